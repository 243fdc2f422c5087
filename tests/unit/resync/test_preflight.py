"""Checks of a connection: what is found, and that nothing is changed and no secret shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from airflow.cli import cli_parser

from airflow_provider_mirakl import preflight
from airflow_provider_mirakl.cli import main
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.operators.preflight import MiraklPreflightOperator
from airflow_provider_mirakl.sandbox.pytest_plugin import connections

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]


def found(conn_id, **arguments):
    return {
        (finding.check, finding.status): finding.message for finding in preflight.check(conn_id, **arguments)
    }


def test_a_seller_who_is_not_a_shop_administrator_is_checked_to_the_end(sandbox):
    sandbox.fault("status", "PC01", status=403, body="json", times=9)
    findings = preflight.check("mirakl_shop", require=["P51"])
    assert not preflight.failed(findings)
    said = {finding.check: finding for finding in findings}
    assert "not a shop administrator" in said["key"].message
    assert said["shop P51"].status == "ok"


@pytest.fixture
def change(sandbox, monkeypatch):
    """``change(conn_id, password=...)``: a connection of the sandbox with other fields."""

    def change(conn_id, extra=None, **fields):
        connection = connections(sandbox)[conn_id] | fields
        connection["extra"] = connection.get("extra", {}) | (extra or {})
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    return change


@pytest.mark.parametrize(
    ("conn_id", "rights"),
    [
        ("mirakl_shop", {"shop P51", "shop OF04", "shop PRI02", "shop S30"}),
        (
            "mirakl_operator",
            {f"operator {code}" for code in ("P51", "OF04", "PRI02", "S30", "CM51", "S20")},
        ),
        ("mirakl_front", {"front P51", "front S30", "front CM51"}),
        ("mirakl_connect_default", set()),
        ("djust_default", set()),
    ],
)
def test_connections_that_work(sandbox, conn_id, rights):
    findings = preflight.check(conn_id)
    assert not preflight.failed(findings)
    names = {finding.check for finding in findings if finding.status == "ok"}
    assert names == {"connection", "work folder", "settings", "key", *rights}
    # The sandbox is quicker than Mirakl publishes, and has no https.
    assert any("interval_factor" in str(finding) or "http" in str(finding) for finding in findings)


def test_it_says_where_tasks_keep_their_notes_and_whether_they_can(sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    said = found("mirakl_shop")["work folder", "ok"]
    assert said.startswith(
        f"{tmp_path / 'work'}, on the disk of this machine; with workers on several machines"
    )
    assert list((tmp_path / "work").iterdir()) == []
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "file" / "below"))
    said = found("mirakl_shop")["work folder", "failed"]
    assert "cannot be written to (NotADirectoryError); see [mirakl] work_folder" in said


def test_nothing_is_changed(sandbox):
    before = sandbox.master_products()
    for conn_id in connections(sandbox):
        preflight.check(conn_id)
    assert {entry["method"] for entry in sandbox.journal()} <= {"GET", "POST"}
    # Two POSTs: for a token, and the empty list that DJUST refuses.
    posts = {
        (entry["operation"], entry["status"]) for entry in sandbox.journal() if entry["method"] == "POST"
    }
    assert posts <= {("token", 200), ("ADM-MIRAKL-100", 400)}
    assert ("ADM-MIRAKL-100", 400) in posts
    assert sandbox.master_products() == before


def test_a_right_that_is_missing_is_a_warning_unless_it_is_required(sandbox):
    sandbox.fault("status", "CM51", status=403, times=9)
    findings = preflight.check("mirakl_operator")
    assert not preflight.failed(findings)
    assert "grant its user the right in Mirakl" in found("mirakl_operator")["operator CM51", "warning"]
    findings = found("mirakl_operator", require=["CM51"])
    assert ("operator CM51", "failed") in findings
    assert ("CM51", "failed") in findings


def test_a_right_that_the_role_cannot_have(sandbox):
    assert "no key of the connection has it" in found("mirakl_shop", require=["CM51"])["CM51", "failed"]
    assert "has none to check" in found("djust_default", require=["CM51"])["rights", "failed"]
    with pytest.raises(MiraklConfigurationError, match="'XX' cannot be checked; use P51"):
        preflight.check("mirakl_shop", require=["XX"])


def test_a_key_of_each_role_is_checked(sandbox, change):
    front = connections(sandbox)["mirakl_front"]["password"]
    change("mirakl_operator", extra={"front_api_key": front})
    findings = found("mirakl_operator")
    assert {("operator CM51", "ok"), ("front CM51", "ok")} <= findings.keys()


@pytest.mark.parametrize("conn_id", ["mirakl_operator", "djust_default", "mirakl_connect_default"])
def test_a_wrong_key_ends_the_checks_and_is_not_shown(sandbox, change, capsys, conn_id):
    change(conn_id, password="not-the-key-9876")
    assert main(["check", "--conn-id", conn_id]) == 1
    printed = "".join(capsys.readouterr())
    assert "FAILED  key: " in printed
    assert "P51" not in printed
    assert "not-the-key-9876" not in printed


def test_connections_that_cannot_be_used(sandbox, change, monkeypatch):
    change("mirakl_operator", host="", extra={"role": "boss"})
    (finding,) = preflight.check("mirakl_operator")
    assert finding.status == "failed"
    assert "host: is empty" in finding.message
    assert "role: must be one of shop, operator, front, not 'boss'" in finding.message
    change("mirakl_front", extra={"enabled": False})
    (finding,) = preflight.check("mirakl_front")
    assert (finding.status, "is disabled" in finding.message) == ("failed", True)
    monkeypatch.setenv("AIRFLOW_CONN_A_DATABASE", json.dumps({"conn_type": "postgres"}))
    (finding,) = preflight.check("a_database")
    assert "select one of mirakl" in finding.message
    (finding,) = preflight.check("nowhere")
    assert finding.status == "failed"
    assert "Connection 'nowhere' does not exist; create one of type 'mirakl', " in finding.message


def test_an_extra_that_nothing_reads_is_told(sandbox, change):
    """A slip in a name leaves its field unset: the key would be used as a shop's, or in production."""
    change(
        "mirakl_shop",
        extra={"shopid": 2001, "extra__mirakl__timeout": 30, "extra__mirakl__rol": "operator", "x": ""},
    )
    findings = [finding for finding in preflight.check("mirakl_shop") if "nothing reads" in finding.message]
    assert [finding.status for finding in findings] == ["warning"]
    assert findings[0].message.startswith(
        "the extra contains rol, shopid, which nothing reads; the fields are role, "
    )
    assert not [one for one in preflight.check("mirakl_operator") if "nothing reads" in one.message]


@pytest.mark.parametrize("extra", ['{"role": "operator"', "role=operator", "[1]"])
def test_an_extra_that_cannot_be_read_is_told(sandbox, monkeypatch, extra):
    connection = connections(sandbox)["mirakl_operator"] | {"extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_OPERATOR", json.dumps(connection))
    message = found("mirakl_operator")["connection", "failed"]
    # Airflow 3.1 has no such connection at all.
    assert "extra: must be a JSON object" in message or "Its extra must be a JSON object" in message
    assert "role=operator" not in message


@pytest.mark.parametrize(
    ("status", "word", "verdict"),
    [
        (403, "the key may not do this", "no key of the connection has it"),
        (401, "the key is not accepted here", "no key of the connection has it"),
        (404, "the instance does not offer this", "no key of the connection has it"),
        (429, "could not be checked", "it could not be checked"),
        (500, "could not be checked", "it could not be checked"),
        (503, "could not be checked", "it could not be checked"),
    ],
)
@pytest.mark.parametrize("code", [right.code for right in preflight.rights()])
def test_what_each_answer_means_for_each_right(sandbox, code, status, word, verdict):
    sandbox.fault("status", code, status=status, times=None)
    findings = preflight.check("mirakl_operator", require=[code])
    (of_role,) = [finding for finding in findings if finding.check == f"operator {code}"]
    assert word in of_role.message
    assert of_role.status == ("warning" if "checked" in verdict else "failed")
    assert findings[-1] == preflight.Finding(code, "failed", f"is required, and {verdict}")
    others = [finding for finding in findings if finding.check.startswith("operator ")]
    assert {finding.status for finding in others if finding is not of_role} == {"ok"}


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("postgresql+psycopg2://airflow:secret@127.0.0.1:1/airflow", "psycopg2"),
        ("nonsense:secret", "sql_alchemy_conn"),
    ],
)
def test_a_shell_where_airflow_does_not_start_is_told_why(address, word):
    command = (
        "import sys; sys.modules['psycopg2'] = None; from airflow_provider_mirakl.cli import run; "
        "sys.exit(run())"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, "check", "--conn-id", "any"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address},
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith("Airflow does not start here")
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr + done.stdout


def test_the_command_line(sandbox, capsys):
    assert main(["check", "--conn-id", "mirakl_operator", "--conn-id", "djust_default"]) == 0
    printed = capsys.readouterr().out
    assert "OK      operator CM51: master products" in printed
    assert main(["check", "--conn-id", "mirakl_shop", "--json", "--require", "P51"]) == 0
    findings = json.loads(capsys.readouterr().out)["mirakl_shop"]
    assert {"check": "shop P51", "status": "ok", "message": "product imports: allowed"} in findings
    assert main(["check", "--conn-id", "mirakl_shop", "--require", "CM51"]) == 1
    assert main(["check", "--conn-id", "mirakl_shop", "--require", "nothing"]) == 2
    assert "cannot be checked" in capsys.readouterr().err
    for connection in connections(sandbox).values():
        assert connection["password"] not in printed


def test_a_connection_of_the_database_is_found_from_a_shell(sandbox):
    arguments = [
        "connections",
        "add",
        "stored",
        "--conn-json",
        json.dumps(connections(sandbox)["mirakl_operator"]),
    ]
    add = cli_parser.get_parser().parse_args(arguments)
    add.func(add)
    command = [
        sys.executable,
        "-c",
        "import sys; from airflow_provider_mirakl.cli import run; sys.exit(run())",
    ]
    done = subprocess.run(
        [*command, "check", "--conn-id", "stored"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK      key" in done.stdout


def test_the_operator(sandbox, change, run_task):
    result = run_task(MiraklPreflightOperator(task_id="t", conn_ids=["mirakl_operator"], require=["CM51"]))
    assert {finding["status"] for finding in result["mirakl_operator"]} <= {"ok", "warning"}
    change("djust_default", password="wrong")
    with pytest.raises(MiraklConfigurationError, match="djust_default: key: The key was rejected"):
        run_task(MiraklPreflightOperator(task_id="t", conn_ids=["mirakl_operator", "djust_default"]))


@pytest.mark.parametrize("written", ["{}", "{},", "['{}']", '["{}"]'])
def test_the_operator_takes_what_a_template_gives(sandbox, run_task, written):
    names = {"conn_ids": written.format("mirakl_operator"), "require": written.format("CM51")}
    assert run_task(MiraklPreflightOperator(task_id="t", **names)).keys() == {"mirakl_operator"}


@pytest.mark.parametrize("nothing", [[], "", "None", "[]"])
def test_the_operator_does_not_pass_where_it_checks_nothing(run_task, nothing):
    with pytest.raises(MiraklConfigurationError, match="conn_ids must name at least one connection to check"):
        run_task(MiraklPreflightOperator(task_id="t", conn_ids=nothing))
