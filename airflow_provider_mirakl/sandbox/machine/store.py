"""The state of the sandbox in a file, so that it survives a restart."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from airflow_provider_mirakl.sandbox.machine.core import Machine
from airflow_provider_mirakl.sandbox.machine.wire import dumps, loads

FORMAT = 2


def save(machine: Machine, path: Path) -> None:
    """Write everything as JSON lines, complete or not at all.

    The first line contains everything small. A part with many rows adds its own lines, after one with their number.
    """
    head = {
        "format": FORMAT,
        "clock": machine.clock.dump(),
        "agenda": machine.agenda.dump(),
        "journal": machine.journal.dump(),
        "ledger": machine.ledger.dump(),
        "random": machine.random.getstate(),
        "faults": machine.faults.table(),
        "limits": machine.limits.dump(),
        "tokens": machine.tokens.dump(),
        "parts": {part.name: part.dump() for part in machine.parts.values()},
    }
    partial = path.with_name(path.name + ".part")
    partial.touch(0o600)
    partial.chmod(0o600)  # a crash may have left one; nothing is in it before only the owner can read it
    with partial.open("wb") as out:
        out.write(dumps(head) + b"\n")
        for part in machine.parts.values():
            rows = list(part.lines())
            if rows:
                out.write(dumps({"part": part.name, "lines": len(rows)}) + b"\n")
                out.writelines(row + b"\n" for row in rows)
    partial.replace(path)


def load(machine: Machine, path: Path) -> None:
    """Read what :func:`save` wrote.

    :raises ValueError: when the file is not a state file, or one of another version.
    """
    parts = {part.name: part for part in machine.parts.values()}
    with path.open("rb") as lines:
        head = loads(next(lines, b"null"))
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise ValueError(f"{path} is not a state file of this sandbox")
        machine.clock.load(head["clock"])
        machine.agenda.load(head["agenda"])
        machine.journal.load(head["journal"])
        machine.ledger.load(head["ledger"])
        version, numbers, gauss = head["random"]
        machine.random.setstate((version, tuple(numbers), gauss))
        machine.faults.load(head["faults"])
        machine.limits.load(head["limits"])
        machine.tokens.load(head["tokens"])
        for name, saved in head["parts"].items():
            parts[name].load(saved)
        for header in lines:
            block = loads(header)
            parts[block["part"]].load_lines(line.rstrip(b"\n") for line in islice(lines, block["lines"]))
