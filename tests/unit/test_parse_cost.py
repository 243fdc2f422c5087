"""The check that keeps Dag parsing light: it holds, and it finds what it is there to find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_imports.py"


def check(*dag_files: Path) -> tuple[int, str]:
    command = [sys.executable, str(SCRIPT), *map(str, dag_files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_public_modules_and_example_dags_load_nothing_heavy():
    code, output = check()
    assert code == 0, output


MANY = (
    "import cProfile, doctest, email.mime.text, ftplib, imaplib, mailbox, modulefinder, pdb, plistlib, poplib, pyclbr, "
    "pydoc, shelve, smtplib, sqlite3, symtable, tabnanny, timeit, trace, turtle, wave, xml.dom.minidom, xmlrpc.server, "
    "zipapp"
)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("import airflow_provider_mirakl.client.http", "loads airflow_provider_mirakl.client.http"),
        (MANY, "are allowed"),
    ],
)
def test_a_heavy_dag_file_is_found(tmp_path, line, complaint):
    dag_file = tmp_path / "heavy.py"
    dag_file.write_text(line + "\n", encoding="utf-8")
    code, output = check(dag_file)
    assert code == 1
    assert complaint in output
