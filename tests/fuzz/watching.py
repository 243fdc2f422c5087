"""Runs a sample. A bare Python error, a key in a message, a file elsewhere, and a hang are faults."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

sys.path.insert(0, str(Path(__file__).parents[1] / "airflow" / "live"))
from leaks import in_text

from airflow_provider_mirakl.exceptions import MiraklError

MAX_SECONDS = 3.0
"""Processor time of one sample."""
MAX_GROWTH = 300 << 20
"""Bytes by which one sample may raise the memory of the process."""
SECRET = "S3cret-Mark/+9"
"""The key of every client and connection here."""


@dataclass(frozen=True)
class Target:
    """A reader of foreign data.

    :param name: for tests and for ``--only``.
    :param samples: its input.
    :param run: reads a sample; the folder is its own. It may raise a ``MiraklError``.
    :param prepare: loads what takes long only once, before anything is measured.
    """

    name: str
    samples: SearchStrategy[Any]
    run: Callable[[Any, Path], None]
    prepare: Callable[[], object] = lambda: None


_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_allowed: list[str] = []
_elsewhere: list[str] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _allowed:
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, str | bytes) and (flags & _WRITES or (mode and set(mode) & set("wax+"))):
            _note(path)
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.symlink", "os.link", "os.rename"):
        for path in arguments[: 2 if event in ("os.symlink", "os.link", "os.rename") else 1]:
            if isinstance(path, str | bytes | os.PathLike):
                _note(path)


def _note(path: Any) -> None:
    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - resolves no link, and is cheap
    if (
        name != tempfile.gettempdir()
        and not name.startswith(tuple(_allowed))
        and not name.startswith("/dev/")
        and "__pycache__" not in name
    ):
        _elsewhere.append(name)


sys.addaudithook(_audit)


class _Words(logging.Handler):
    """Keeps everything that is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextlib.contextmanager
def _logged() -> Iterator[list[str]]:
    words, log = _Words(), logging.getLogger("airflow_provider_mirakl")
    before, log.propagate = (log.level, log.propagate), False
    log.addHandler(words)
    log.setLevel(logging.DEBUG)
    try:
        yield words.lines
    finally:
        log.removeHandler(words)
        log.setLevel(before[0])
        log.propagate = before[1]


def run(target: Target, sample: Any) -> None:
    """Run a sample.

    :raises AssertionError: something happened that must not; or a Python error that is none of the package's.
    """
    target.prepare()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place, _logged() as lines:
        folder = Path(place) / "own"
        folder.mkdir()
        _elsewhere.clear()
        # Temporary files; one without a name is opened as the folder itself.
        _allowed[:] = [f"{folder}{os.sep}", str(folder), os.path.join(tempfile.gettempdir(), "mirakl-")]  # noqa: PTH118
        began, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            target.run(sample, folder)
        except MiraklError as error:
            lines += traceback.format_exception(error)
            lines.append(repr(vars(error)))
        finally:
            _allowed.clear()
        took = time.process_time() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    assert not _elsewhere, f"written elsewhere: {_elsewhere}"
    told = [line for line in lines if in_text(line, [SECRET])]
    assert not told, f"the secret, or a form of it, is in: {told[0]:.500}"
    assert took < MAX_SECONDS, f"took {took:.1f} s of processor time"
    assert grown < MAX_GROWTH, f"took {grown >> 20} MB"
