"""``mirakl-sandbox`` as people run it, and the pytest plugin as their tests use it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox, cli, server
from airflow_provider_mirakl.sandbox.generate import lines, product

COMMAND = [sys.executable, "-m", "airflow_provider_mirakl.sandbox.cli"]
pytest_plugins = ("pytester",)


def wait_for(file: Path, process: subprocess.Popen[bytes]) -> str:
    for _ in range(2400):
        if file.exists():
            return file.read_text().strip()
        assert process.poll() is None, "the sandbox ended before it answered"
        time.sleep(0.05)
    raise AssertionError("the sandbox did not write its URL within two minutes")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_keeps_its_state_and_ends_cleanly(tmp_path: Path, end: signal.Signals) -> None:
    catalog = tmp_path / "products.ndjson"
    catalog.write_bytes(b"".join(lines(3)))
    options = ["--port", "0", "--url-file", str(tmp_path / "url"), "--speed", "60", "--catalog", str(catalog)]
    options += ["--state", str(tmp_path / "state")]
    process = subprocess.Popen([*COMMAND, "serve", *options], stdout=subprocess.PIPE)
    try:
        url = wait_for(tmp_path / "url", process)
        status = httpx.get(f"{url}/_sandbox/status").json()
        assert status["products"] == {"sandbox-company": 3}
        assert status["clock"]["speed"] == 60
        process.send_signal(end)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.communicate()
    with Sandbox(state=tmp_path / "state") as sandbox:
        assert [entry["id"] for entry in sandbox.products()] == ["SKU-0000001", "SKU-0000002", "SKU-0000003"]


def test_settings_credentials_faults_and_the_ledger_from_the_command_line(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials.json"
    client = {"client_id": "me", "secret": "mine", "account": "my-company"}
    key = {"key": "my-key", "role": "shop", "account": "me", "shops": [2001]}
    credentials.write_text(json.dumps({"clients": [client], "keys": [key], "djust_keys": ["d"]}))
    options = [
        "--port",
        "0",
        "--url-file",
        str(tmp_path / "url"),
        "--stepped",
        "--credentials",
        str(credentials),
    ]
    options += [
        "--set",
        "unknown_fields=ignore",
        "--set",
        "processing_seconds=1",
        "--ledger",
        str(tmp_path / "ledger"),
    ]
    options += [
        "--set",
        'intervals={"upsertProducts": 0}',
        "--fault",
        '{"kind": "status", "operation": "A01"}',
    ]
    process = subprocess.Popen([*COMMAND, "serve", *options], stdout=subprocess.PIPE)
    try:
        url = wait_for(tmp_path / "url", process)
        form = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "mine"}
        token = httpx.post(f"{url}/auth/oauth/token", data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        for brand in ("x", "y"):
            body = {"products": [{"id": "a", "brand": brand, "unknown": 1}]}
            sent = httpx.post(f"{url}/connect/api/products", json=body, headers=headers)
            assert sent.status_code == 202
        httpx.post(f"{url}/_sandbox/clock", json={"advance": 1})
        account = f"{url}/mirakl/api/account"
        assert [httpx.get(account, headers={"Authorization": "my-key"}).status_code for _ in range(2)] == [
            503,
            200,
        ]
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.communicate()
    ledger = [json.loads(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    assert [(row["item"], row["result"]) for row in ledger] == [("a", "created"), ("a", "updated")]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--set", "colour=blue"], "is not a setting"),
        (["--set", "pages_count=1"], "must be a bool"),
        (["--set", "token_seconds=soon"], "must be a float"),
        (["--set", "unknown_fields=often"], "unknown_fields must be 'reject' or"),
        (["--fault", "{"], "is not JSON"),
        (["--fault", '{"kind": "gremlins"}'], "kind must be one of"),
        (["--speed", "0"], "speed must be greater than 0"),
    ],
)
def test_a_bad_option_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], option: list[str], words: str
) -> None:
    try:
        status = cli.main(["serve", "--port", "0", *option])
    except SystemExit as end:
        status = end.code  # type: ignore[assignment]
    assert (status, words in capsys.readouterr().err) == (2, True)


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("uvicorn", "airflow_provider_mirakl.sandbox.server"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.main(["serve", "--port", "0"]) == 2
    assert "airflow-provider-mirakl[sandbox]" in capsys.readouterr().err


def test_a_busy_port_and_a_bad_catalog_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert cli.main(["serve", "--port", str(other.getsockname()[1])]) == 2
    assert "in use" in capsys.readouterr().err
    catalog = tmp_path / "products.ndjson"
    catalog.write_text('{"id": "a"}\n{"id": 5}\n')
    assert cli.main(["serve", "--port", "0", "--catalog", str(catalog)]) == 2
    assert "line 2: $.id must be a string" in capsys.readouterr().err


def test_a_generated_catalog_is_the_same_every_time_and_valid(sandbox: Sandbox) -> None:
    run = subprocess.run([*COMMAND, "generate", "250"], capture_output=True, check=True)
    rows = run.stdout.splitlines()
    assert rows == [line.rstrip(b"\n") for line in lines(250)]
    assert rows != [line.rstrip(b"\n") for line in lines(250, seed=1)]
    assert sandbox.seed(rows) == 250
    assert [json.loads(row)["id"] for row in rows] == sorted(entry["id"] for entry in sandbox.products())
    assert json.loads(rows[7]) == product(7)


def test_generate_ends_quietly_when_nobody_reads_on() -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen([*COMMAND, "generate", "100000"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.read(reading, 100)
    os.close(reading)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (141, b"")


def test_a_team_tests_its_own_code_with_the_plugin(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import json, os
        import pytest, requests

        @pytest.mark.mirakl_sandbox_settings(speed=60)
        def test_speed(mirakl_sandbox):
            assert mirakl_sandbox.world.clock.speed == 60
            assert requests.get(mirakl_sandbox.mirakl_url + "/api/version").ok

        def test_connections(mirakl_sandbox, mirakl_sandbox_connections):
            connect = json.loads(os.environ["AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT"])
            assert connect["host"] == mirakl_sandbox.connect_url
            assert connect["extra"] == {"token_url": mirakl_sandbox.token_url, "interval_factor": 1 / 600}
            instance = json.loads(os.environ["AIRFLOW_CONN_MIRAKL_DEFAULT"])
            assert (instance["conn_type"], instance["extra"]["role"]) == ("mirakl", "shop")
            key = {"Authorization": instance["password"]}
            assert requests.get(instance["host"] + "/api/account", headers=key).json()["shop_id"] == 2000
            assert json.loads(os.environ["AIRFLOW_CONN_DJUST_DEFAULT"])["host"] == mirakl_sandbox.djust_url
            assert json.loads(os.environ["AIRFLOW_CONN_MIRAKL_OPERATOR"])["extra"]["role"] == "operator"

        def test_environment_is_left_as_it_was():
            assert "AIRFLOW_CONN_MIRAKL_DEFAULT" not in os.environ
        """
    )
    plugin = () if _installed() else ("-p", "airflow_provider_mirakl.sandbox.pytest_plugin")
    result = pytester.runpytest("-q", "-p", "no:cacheprovider", *plugin)
    result.assert_outcomes(passed=3)


def test_a_sandbox_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would still hold its port, and write its state later."""
    may_end = threading.Event()
    sandbox = Sandbox().start()
    thread, loop = sandbox._thread, sandbox._loop
    assert thread is not None
    assert loop is not None
    loop.call_soon_threadsafe(may_end.wait)
    with monkeypatch.context() as patch:
        patch.setattr(server, "LONGEST_WAIT", 0.1)
        try:
            with pytest.raises(RuntimeError, match="did not end within"):
                sandbox.stop()
        finally:
            may_end.set()
    thread.join()


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(entry.value.endswith("sandbox.pytest_plugin") for entry in entry_points(group="pytest11"))
