"""Rounds of random kills over every operation. ``scripts/chaos.py`` explains the table."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from leaks import command_lines, in_files, in_text
from live_airflow import LiveAirflow
from operations import OPERATIONS, Case, Operation

PATIENCE = 600.0
"""Seconds after which a run that has not ended hangs."""
WRONG = ("lost", "doubled", "untrue", "hung")
"""Columns of what must never be."""
MOST_CALLS = 90
"""A victim is struck before the sandboxes of a round have answered this many calls."""

FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "reset_before"},
    {"kind": "reset_during"},
    {"kind": "reset_after"},
    {"kind": "throttle", "retry_after": "seconds"},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 500, "body": "json"},
    {"kind": "truncate", "keep": 0.5},
    {"kind": "slow", "seconds": 30, "chunks": 3},
    {"kind": "broken_json"},
    {"kind": "empty_body"},
    {"kind": "revoke_token"},
)


class Strikes:
    """The victims: each method returns when the victim is struck and its replacement is started."""

    def __init__(self, airflow: LiveAirflow, cases: Sequence[Case], rnd: random.Random) -> None:
        self.airflow, self.cases, self.random = airflow, cases, rnd

    def task(self) -> None:
        """Every process that runs a task."""
        for process in self.airflow.task_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def scheduler(self) -> None:
        """The scheduler, and with it LocalExecutor's workers."""
        self._restart("scheduler")

    def triggerer(self) -> None:
        """The triggerer."""
        self._restart("triggerer")

    def dag_processor(self) -> None:
        """The Dag processor."""
        self._restart("dag-processor")

    def api_server(self) -> None:
        """The API server, through which tasks and triggers report."""
        self._restart("api-server")

    def database(self) -> None:
        """The database refuses writers for some seconds."""
        with contextlib.closing(sqlite3.connect(self.airflow.database, timeout=60)) as connection:
            connection.isolation_level = None
            connection.execute("begin immediate")
            time.sleep(self.random.uniform(1, 4))  # this is the fault: how long the database is away
            connection.execute("rollback")

    def mirakl(self) -> None:
        """Every sandbox: open connections break, and it comes back with its state."""
        for case in self.cases:
            case.stand.restart()

    def machine(self) -> None:
        """All of Airflow at once."""
        self._restart(*self.airflow.commands)

    def _restart(self, *names: str) -> None:
        for name in names:
            self.airflow.kill(name)
        # A cold API server takes longer than tasks have tries where the machine is busy: Airflow's own limit.
        for name in sorted(names, key="api-server".__ne__):
            self.airflow.start(name)
            if name == "api-server":
                self.airflow.until(self.airflow.api_answers, "the API server answers again", 300)


VICTIMS = tuple(name for name in vars(Strikes) if not name.startswith("_"))


@dataclass
class Chaos:
    """Rounds, and what came of them.

    :param operations: what runs in each round.
    :param victims: what may be struck.
    :param faults: the chance that a sandbox fails a call.
    :param seed: of every choice.
    :param keep: a file that gets a line for each round, so that several runs make one table.
    """

    airflow: LiveAirflow
    place: Path
    operations: Sequence[Operation] = OPERATIONS
    victims: Sequence[str] = VICTIMS
    faults: float = 0.4
    seed: int = 1
    say: Callable[[str], object] = print
    keep: Path | None = None
    rounds: list[dict[str, Any]] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)
    commands: bytes = b""

    def round(self, number: int) -> None:
        """Start all operations, strike, wait for their ends, and judge."""
        rnd = random.Random(f"{self.seed} {number}")  # noqa: S311 - repeatable on purpose
        chosen = rnd.sample(self.victims, 1 if len(self.victims) == 1 or rnd.random() < 0.75 else 2)
        cases = [
            Case(self.airflow, operation, self.place / f"r{number}_{index}", self._fault(rnd))
            for index, operation in enumerate(self.operations)
        ]
        try:
            for case in cases:
                self.airflow.until_dag(case.stand.folder.name)
            for case in cases:
                case.start()
            calls = rnd.randrange(MOST_CALLS * len(cases) // len(OPERATIONS) + 1)
            with contextlib.suppress(
                AssertionError
            ):  # fewer calls than that are made: strike what still runs
                self.airflow.until(
                    lambda: (
                        self._over(cases) or sum(len(case.stand.sandbox.journal()) for case in cases) >= calls
                    ),
                    "the moment to strike",
                    PATIENCE / 4,
                )
            struck = [case for case in cases if not case.done]
            self.commands += b"\n".join(command_lines(self.airflow.home))
            strikes = Strikes(self.airflow, cases, rnd)
            for victim in chosen:
                getattr(strikes, victim)()
            name = " + ".join(chosen)
            self.say(
                f"round {number}: {name} struck after {calls} calls, {len(struck)} of {len(cases)} were running"
            )
            with contextlib.suppress(AssertionError):  # hung: said for each case
                self.airflow.until(lambda: self._over(cases), "all runs are over", PATIENCE)
            judged = []
            for case in cases:
                self.marks |= case.stand.secrets() | case.stand.persons()
                judged.append(self._judge(number, name if case in struck else "none", case))
            known = {leak for each in self.rounds for leak in each["leaks"]}
            leaks = [leak for leak in self._leaks() if leak not in known]
            self._add({"seed": self.seed, "round": number, "leaks": leaks, "cases": judged})
        finally:
            for case in cases:
                case.stand.sandbox.stop()

    def _over(self, cases: Sequence[Case]) -> bool:
        """Whether all runs are over."""
        return all(case.done for case in cases)

    def _fault(self, rnd: random.Random) -> dict[str, Any] | None:
        if rnd.random() >= self.faults:
            return None
        return {**rnd.choice(FAULTS), "skip": rnd.randrange(6)}

    def _judge(self, number: int, victim: str, case: Case) -> dict[str, Any]:
        operation, fault, said = case.stand.operation.name, case.stand.fault, list(case.judge())
        for column, words in said:
            struck = f"{victim}, fault {fault}" if fault else victim
            self.say(f"  round {number}, {operation}, {struck}: {column}: {words}")
        return {"operation": operation, "victim": victim, "fault": fault, "said": said}

    def _add(self, found: dict[str, Any]) -> None:
        """Add a round that has ended."""
        self.rounds.append(found)
        if self.keep:
            with self.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")

    def _leaks(self) -> list[str]:
        """What holds a key or a token, or what belongs to a customer: files, the database, command lines.

        Airflow encrypts nothing here, and reads its connections from elsewhere: what is found has leaked.
        """
        told = in_files(self.airflow.home, self.marks)
        return told + [f"a command line holds {secret}" for secret in in_text(self.commands, self.marks)]


def kept(file: Path) -> list[dict[str, Any]]:
    """The rounds that were kept in a file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def tallied(rounds: Sequence[dict[str, Any]]) -> dict[tuple[str, str], Counter[str]]:
    """How often each column was met, by operation and victim."""
    tallies: dict[tuple[str, str], Counter[str]] = {}
    for case in (case for each in rounds for case in each["cases"]):
        tally = tallies.setdefault((case["operation"], case["victim"]), Counter())
        tally.update(("cases", *(column for column, _ in case["said"])))
    return tallies


def wrong(rounds: Sequence[dict[str, Any]]) -> list[str]:
    """What must never be, and what failed although no call was made to fail."""
    return [
        line
        for each in rounds
        for line in (
            *(
                f"seed {each['seed']}, round {each['round']}, {case['operation']}, {case['victim']}, "
                f"fault {case['fault']}: {column}: {words}"
                for case in each["cases"]
                for column, words in case["said"]
                if column in WRONG or (column == "failed" and not case["fault"])
            ),
            *each["leaks"],
        )
    ]


def rows(tallies: Mapping[tuple[str, str], Counter[str]]) -> list[tuple[str, ...]]:
    """Operation by victim, with a heading and a total."""
    columns = ("cases", "failed", "stopped", "lost", "doubled", "repeated", "untrue", "hung")
    total = sum(tallies.values(), Counter())
    return [
        ("operation", "victim", *columns),
        *((*names, *(str(tally[column]) for column in columns)) for names, tally in sorted(tallies.items())),
        ("all", "", *(str(total[column]) for column in columns)),
    ]
