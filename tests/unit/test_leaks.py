"""What searches for keys after a run finds one in every form, in files, texts and command lines."""

from __future__ import annotations

import base64
import html
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "airflow" / "live"))
import chaos
import leaks
from operations import MARK

KEY = f"shop{MARK}"
WRITTEN: dict[str, Callable[[str], str]] = {
    "text": lambda key: f"key={key};",
    "json": lambda key: json.dumps({"key": key}),
    "json within json": lambda key: json.dumps(json.dumps({"key": key})),
    "url": lambda key: f"https://x/?{urlencode({'key': key})}",
    "path of a url": lambda key: f"https://x/{quote(key)}/",
    "form": lambda key: f"key={quote_plus(key)}",
    "html": lambda key: f"<p>{html.escape(key)}</p>",
    "python": lambda key: repr([key]),
    **{
        f"base64 behind {length} bytes": lambda key, length=length: base64.b64encode(
            b"x" * length + key.encode() + b"y"
        ).decode()
        for length in range(4)
    },
    "base64 for urls": lambda key: base64.urlsafe_b64encode(f"user:{key}".encode()).decode(),
}


@pytest.mark.parametrize("form", WRITTEN)
def test_a_key_is_found_in_every_form(form: str, tmp_path: Path) -> None:
    written = WRITTEN[form](KEY)
    assert leaks.in_text(written, [KEY, "another-key"]) == [KEY]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "task.log").write_bytes(b"\0\xff" + written.encode() + b"\n")
    (tmp_path / "clean.log").write_text("shop-Mark")
    assert leaks.in_files(tmp_path, [KEY, "another-key"])[0] == f"./logs/task.log holds {KEY}"
    assert leaks.in_files(tmp_path, ["another-key"]) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, whose /proc it reads")
def test_chaos_finds_a_key_in_a_file_and_in_an_argument(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print(flush=True); input()", f"--key={KEY}"]
    with subprocess.Popen(
        command,
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # before it runs, the kernel may not show its environment yet
        commands = leaks.command_lines(tmp_path)
        process.communicate(b"\n")
    assert len(commands) == 1
    assert leaks.command_lines(tmp_path) == set()
    (tmp_path / "a.log").write_text(KEY)
    airflow: Any = SimpleNamespace(home=tmp_path)
    found = chaos.Chaos(airflow, tmp_path, marks={KEY}, commands=b"\n".join(commands))
    assert found._leaks() == [f"./a.log holds {KEY}", f"a command line holds {KEY}"]
