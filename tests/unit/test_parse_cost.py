"""The check that keeps Dag parsing light: it holds, and it finds what it is there to find."""

from __future__ import annotations

import re
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


def test_heavy_dag_files_are_found(tmp_path):
    heavy, many = tmp_path / "heavy.py", tmp_path / "many.py"
    heavy.write_text("import airflow_provider_mirakl.client.http\n", encoding="utf-8")
    many.write_text(MANY + "\n", encoding="utf-8")
    code, output = check(heavy, many)
    assert code == 1
    assert f"{heavy} loads airflow_provider_mirakl.client.http\n" in output
    assert re.search(r"many\.py loads \d+ modules, 30 are allowed", output)
