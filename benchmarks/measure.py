"""Runs one job in a fresh process and measures its cost, so jobs do not share memory peaks or warm caches."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What a job cost.

    :param seconds: processor time, which other load on the machine changes least.
    :param wall: elapsed time.
    :param megabytes: peak resident memory of the process.
    """

    seconds: float
    wall: float
    megabytes: float


def run(script: str, job: str, *arguments: str) -> Cost:
    """Run ``script --job job arguments`` and return its cost."""
    command = [sys.executable, script, "--job", job, *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Cost(**json.loads(output.splitlines()[-1]))


@contextlib.contextmanager
def serving(program: str, *arguments: str) -> Iterator[list[str]]:
    """Run a server in a process of its own until the block ends: its memory is not that of the job.

    :param program: Python text that prints one line when it serves, and ends when its input does.
    :return: the words of that line: the server's addresses.
    """
    command = [sys.executable, "-c", program, *arguments]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().split()
    finally:
        server.communicate("")


def measured(job: Callable[[], object]) -> None:
    """Do a job in this process and print its cost for :func:`run`."""
    wall, seconds = time.perf_counter(), time.process_time()
    job()
    cost = {
        "seconds": time.process_time() - seconds,
        "wall": time.perf_counter() - wall,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(cost))


def figure(
    name: str,
    value: float | None,
    unit: str = "",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    why: str = "",
) -> None:
    """Report a figure to :mod:`ledger`, if it started this script. A ratio or a count, of which one run has both sides.

    :param name: what it is, the same in every run.
    :param value: the figure; ``None`` if it could not be measured here.
    :param unit: such as ``times``, ``MB`` or ``calls``.
    :param at_least: its target, where more is better.
    :param at_most: its target, where less is better.
    :param why: why there is no value, such as ``not installed``.
    """
    if path := os.environ.get("MIRAKL_BENCH_FIGURES"):
        row = {
            "name": name,
            "value": None if value is None else float(f"{value:.4g}"),
            "unit": unit,
            "at_least": at_least,
            "at_most": at_most,
        }
        with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123 - one line
            file.write(json.dumps(row | ({"why": why} if value is None else {})) + "\n")


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows as a Markdown table; the first one is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
