"""The test of a connection by the button, by REST and by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from airflow.cli import cli_parser

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.usefixtures("patient")]

WRONG = "wrong-key-9c2e"
SECRETS = ("sandbox-shop-key", "sandbox-secret", "sandbox-djust-key", WRONG)


@pytest.fixture
def answered(conn_type):
    """The one operation that the test calls."""
    return {"mirakl": "PC01", "mirakl_connect": "token", "djust": "ADM-MIRAKL-100"}[conn_type]


class TestButton:
    def test_good(self, site, good, sandbox, answered):
        worked, said = site.test(**good)
        assert worked, said
        assert [call["operation"] for call in sandbox.journal()] == [answered]
        assert not [secret for secret in SECRETS if secret in said]

    def test_the_form_sends_port_0_for_none(self, site, good, answered):
        worked, said = site.test(**{**good, "port": 0})
        assert worked, said

    def test_a_wrong_key(self, site, good, answered):
        worked, said = site.test(**{**good, "password": WRONG})
        assert not worked
        assert "rejected" in said
        assert "password" in said
        assert WRONG not in said

    def test_nulls_and_airflow_2_s_doubles(self, site, good, conn_type, answered):
        posted = {"enabled": "y", "timeout": None, "locales": None, "proxy": "", **good.get("extra", {})}
        posted |= {f"extra__{conn_type}__{name}": value for name, value in posted.items()}
        worked, said = site.test(**{**good, "extra": posted})
        assert worked, said

    def test_disabled(self, site, good):
        extra = {**good.get("extra", {}), "enabled": False}
        worked, said = site.test(**{**good, "extra": extra})
        assert not worked
        assert said.startswith("The connection is disabled; set its field enabled to true"), (
            "not the id that Airflow makes up"
        )

    def test_nothing_filled_in(self, site, conn_type):
        worked, said = site.test(conn_type=conn_type)
        assert not worked
        assert "password: is empty" in said


class TestCommandLine:
    def test_good(self, airflow_db, good, monkeypatch, capsys):
        monkeypatch.setenv("AIRFLOW_CONN_CLI_GOOD", json.dumps(good))
        arguments = cli_parser.get_parser().parse_args(["connections", "test", "cli_good"])
        arguments.func(arguments)
        said = "".join(capsys.readouterr())
        assert "Connection success!" in said
        assert not [secret for secret in SECRETS if secret in said]

    @pytest.mark.parametrize("conn_type", ["mirakl"], indirect=True)
    def test_a_wrong_key(self, airflow_db, good):
        conn_id, fields = "cli_bad", {**good, "password": WRONG}
        env = {**os.environ, f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(fields)}
        command = [sys.executable, "-m", "airflow", "connections", "test", conn_id]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr  # Airflow 2 ends with 0 all the same
        assert "Connection failed!" in said
        assert "Enter a valid key in password" in said
        assert not [secret for secret in SECRETS if secret in said]
