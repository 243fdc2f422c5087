"""The state of the sandbox in a file, so that it survives a restart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_mirakl.sandbox.wire import dumps, loads

if TYPE_CHECKING:
    from airflow_provider_mirakl.sandbox.world import World

FORMAT = 1


def save(world: World, path: Path) -> None:
    """Write everything as JSON lines, complete or not at all."""
    head = {
        "format": FORMAT,
        "clock": world.clock.dump(),
        "agenda": world.agenda.dump(),
        "journal": world.journal.dump(),
        "ledger": world.ledger.dump(),
        "random": world.random.getstate(),
        "faults": world.faults.table(),
        "limits": world.limits.dump(),
        "tokens": world.tokens.dump(),
        "instance": world.instance.dump(),
    }
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as out:
        out.write(dumps(head) + b"\n")
        for line in world.connect.dump():
            out.write(line + b"\n")
    partial.chmod(0o600)
    partial.replace(path)


def load(world: World, path: Path) -> None:
    """Read what :func:`save` wrote.

    :raises ValueError: when the file is none of ours.
    """
    with path.open("rb") as lines:
        head = loads(next(lines, b"null"))
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise ValueError(f"{path} is not a state file of this sandbox")
        world.clock.load(head["clock"])
        world.agenda.load(head["agenda"])
        world.journal.load(head["journal"])
        world.ledger.load(head["ledger"])
        version, numbers, gauss = head["random"]
        world.random.setstate((version, tuple(numbers), gauss))
        world.faults.load(head["faults"])
        world.limits.load(head["limits"])
        world.tokens.load(head["tokens"])
        world.instance.load(head["instance"])
        for header in lines:
            shelf = loads(header)
            target = world.connect.shelf(shelf["account"])
            for _ in range(shelf["products"]):
                line = next(lines).rstrip(b"\n")
                target.put(loads(line)["id"], line)
