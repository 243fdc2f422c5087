"""The quickstart of the docs, command by command, as a reader types it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "quickstart.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.timeout(600)
def test_the_quickstart_runs_as_printed(tmp_path):
    port = free_port()
    install, *rest = blocks("console")
    assert "pip install 'airflow-provider-mirakl[sandbox]'" in install
    (dag,) = blocks("python")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "first_catalog.py").write_text(dag)
    lines = [line.removeprefix("$ ") for block in rest for line in block.splitlines()]
    serve = next(index for index, line in enumerate(lines) if line.startswith("mirakl-sandbox serve"))
    # A reader goes on when the server is up; the script has to wait for that.
    lines[serve] = lines[serve].replace(" &", " --url-file up &")
    lines.insert(serve + 1, "trap 'kill %1' EXIT; until [ -s up ]; do sleep 0.1; done")
    script = "set -e\n" + "\n".join(lines).replace("8099", str(port))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-m", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-5000:]
    assert "2,500 succeeded, 0 failed" in said or re.search(r"succeeded\D+2,?500", said), said[-5000:]
