"""Kill parts of a real Airflow at random while every operation runs, and read the result from the sandbox.

    make chaos                                             # 20 rounds, some 40 minutes
    make chaos CHAOS_ARGS="--rounds 3 --seed 7"            # the same kills and faults again
    make chaos CHAOS_ARGS="--only P41,STO01 --victims task --faults 0"
    make chaos CHAOS_ARGS="--rounds 5 --seed 2 --keep chaos.ndjson"     # adds its rounds to earlier ones
    make chaos CHAOS_ARGS="--rounds 0 --keep chaos.ndjson"              # one table of all of them
    make chaos CHAOS_ARGS="--rounds 0 --keep chaos.ndjson --record"     # the same, for the docs

A round starts all operations at once, each with a sandbox of its own, waits until a random number of calls was made,
strikes one victim or two, and starts again what it killed. Some sandboxes also fail a call. Each operation that was not
done when the victim was struck is one case. All choices follow from the seed. Timing does not: it depends on the
machine.

The table shows operation by victim:

cases
    runs that were struck; those of the victim "none" had ended before.
failed
    runs that failed; the last error of each is listed.
stopped
    runs that stopped for a person: it is not known whether Mirakl received a call that must not be repeated.
lost
    items or jobs of a successful run that Mirakl never accepted.
doubled
    items or jobs that Mirakl accepted more than once.
repeated
    the same where it changes nothing: products of Mirakl Connect, offers as objects, synchronized products, exports,
    a shop's update.
untrue
    results that differ from the sandbox's books, and failures whose error is not one of the package's own.
hung
    runs that did not end.

After each round the logs, the database and the work folder are searched for keys, tokens and customers' data, as they
are and in JSON, URLs, HTML and base64. Everything logs at debug level.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "chaos.json"
sys.path.insert(0, str(ROOT / "tests" / "airflow" / "live"))
sys.path.insert(0, str(ROOT / "benchmarks"))
from chaos import VICTIMS, Chaos, kept, rows, tallied, wrong  # noqa: E402 - the tests' own harness
from ledger import machine  # noqa: E402
from live_airflow import LiveAirflow  # noqa: E402
from measure import table  # noqa: E402
from operations import OPERATIONS  # noqa: E402


def main() -> int:
    """Run and print the table; the exit code shows whether anything was lost, doubled, untrue or hung."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="rounds; each runs all operations once")
    parser.add_argument("--first", type=int, default=1, help="number of the first round")
    parser.add_argument("--seed", type=int, default=1, help="of every choice")
    parser.add_argument("--only", default="", help="names of operations, separated by commas")
    parser.add_argument("--victims", default=",".join(VICTIMS), help="separated by commas")
    parser.add_argument("--faults", type=float, default=0.4, help="chance that a sandbox fails a call")
    parser.add_argument("--keep", type=Path, help="file of rounds; the table shows all that it has")
    parser.add_argument("--record", action="store_true", help=f"write that table to {RECORD.name} too")
    options = parser.parse_args()
    if (options.record or not options.rounds) and not options.keep:
        parser.error("--record and --rounds 0 need --keep")
    if not options.rounds:
        return show(kept(options.keep), record=options.record)
    wanted = set(filter(None, options.only.split(",")))
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        with LiveAirflow(
            place / "home", place / "connections.json", AIRFLOW__LOGGING__LOGGING_LEVEL="DEBUG"
        ) as airflow:
            chaos = Chaos(
                airflow,
                place,
                [each for each in OPERATIONS if not wanted or each.name in wanted],
                options.victims.split(","),
                options.faults,
                options.seed,
                lambda words: print(words, flush=True),
                options.keep,
            )
            for number in range(options.first, options.first + options.rounds):
                chaos.round(number)
    return show(kept(options.keep) if options.keep else chaos.rounds, record=options.record)


def show(rounds: list[dict[str, Any]], *, record: bool) -> int:
    """Print the table and what was wrong; the exit code shows whether anything was. The docs show what is recorded."""
    tallies, found = tallied(rounds), wrong(rounds)
    if record:
        about = {"machine": machine(), "date": datetime.now(UTC).date().isoformat(), "rounds": len(rounds)}
        counts = [
            {"operation": operation, "victim": victim, **tally}
            for (operation, victim), tally in sorted(tallies.items())
        ]
        leaks = [leak for each in rounds for leak in each["leaks"]]
        RECORD.write_text(json.dumps(about | {"leaks": leaks, "counts": counts}, indent=1) + "\n", "utf-8")
    print(table(rows(tallies)))
    print("\n".join((f"\n{len(rounds)} rounds", *found)))
    if not found:
        print("Nothing was lost, doubled, untrue, hung or leaked.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
