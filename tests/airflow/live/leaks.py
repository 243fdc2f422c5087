"""Where a secret may have leaked to: files, processes and texts, as it is and in every form in which it may stand."""

from __future__ import annotations

import base64
import functools
import html
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

import psutil


@functools.lru_cache(maxsize=1000)
def forms(secret: str) -> set[bytes]:
    """A secret as it may stand in a file: as it is, in JSON, a URL or HTML, and each of these within base64."""
    plain = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
        repr(secret)[1:-1],
    }
    found = {each.encode() for each in plain}
    for each in tuple(found):
        # What stands in front shifts the bits; both ends also depend on the neighbours.
        for before in range(3):
            coded = base64.b64encode(bytes(before) + each)[(0, 2, 3)[before] : 8 * (before + len(each)) // 6]
            found |= {coded, coded.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def in_text(text: str | bytes, secrets: Iterable[str]) -> list[str]:
    """The secrets that a text contains, in any form."""
    content = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    return sorted(secret for secret in secrets if any(form in content for form in forms(secret)))


def in_files(folder: Path, secrets: Iterable[str]) -> list[str]:
    """Files below a folder with a secret, in words. A database is one of them."""
    marked = {form: secret for secret in secrets for form in forms(secret)}
    if not marked:
        return []
    with tempfile.NamedTemporaryFile(prefix="leaks-") as patterns:
        patterns.write(b"\n".join(marked) + b"\n")
        patterns.flush()
        # Thousands of strings in hundreds of files: grep searches for all of them at once.
        found = subprocess.run(
            [
                "grep",
                "-raFl",
                "-f",
                patterns.name,
                ".",
            ],  # recursive, binary files too, fixed strings, names only
            cwd=folder,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
    gone = "No such file or directory"  # Airflow still runs, and a journal of SQLite comes and goes
    assert found.returncode in (0, 1) or all(gone in line for line in found.stderr.splitlines()), found
    told = {
        f"{file} holds {secret}"
        for file in found.stdout.splitlines()
        if (folder / file).exists()
        for content in [(folder / file).read_bytes()]
        for form, secret in marked.items()
        if form in content
    }
    return sorted(told)


def command_lines(home: Path) -> set[bytes]:
    """The command lines of all processes of an Airflow: everyone on the machine can read them. Empty without Linux.

    A process that has set its title may have written it over its environment: it is found through its parents.
    """
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"AIRFLOW_HOME={home}\0".encode() in (place / "environ").read_bytes():
                family = psutil.Process(int(place.name))
                for process in (family, *family.children(recursive=True)):
                    with suppress(psutil.Error):
                        found.add(" ".join(process.cmdline()).encode())
        except (OSError, psutil.Error):  # it has ended, or belongs to another user
            continue
    return found
