"""Products that a route left out without saying which: a state that was there before proves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.repair.pairs import Pair, Pairs
from airflow_provider_mirakl.repair.record import REPAIR_NOTE
from airflow_provider_mirakl.repair.routes import DirectRoute, DjustRoute
from airflow_provider_mirakl.repair.run import RepairRun

THERE = "SYNCHRONIZED"


class Platform:
    """Mirakl and DJUST: the states before and after, and how many products DJUST says it sent."""

    secrets = ()

    def __init__(self, before: list[str], after: list[str], taken: int, report: bytes) -> None:
        self.states = iter((before, after))
        self.taken = taken
        self.report = report

    def send(self, call: Any) -> Any:
        match call.operation.code:
            case "CM51":
                body = json.dumps(
                    [
                        {
                            "mirakl_product_id": f"p{n}",
                            "product_sku": f"s{n}",
                            "synchronization": {"status": s},
                        }
                        for n, s in enumerate(next(self.states))
                    ]
                )
                return call.parse(Reply("CM51", 200, {}, body.encode()))
            case "CM21":
                return "T1"
            case "CM23":
                return self.report
        body = json.dumps({"synchronizedProducts": self.taken, "clientSpecificationId": "c"})
        return call.parse(Reply("DJUST", 200, {}, body.encode()))


def repaired(
    tmp_path: Path, route: str, before: list[str], after: list[str], short: int, report: bytes = b""
) -> tuple[tuple[int, ...], list[tuple[str, str | None]]]:
    """Counts, and status and code of each product in the file."""
    asked = len(before)
    client: Any = Platform(before, after, asked - short, report)
    way = DirectRoute(client, "operator")
    chosen = way if route == "direct" else DjustRoute(client, "djust", None, has_proof=True)
    run = RepairRun(tmp_path, REPAIR_NOTE.at(tmp_path, generation="g"), chosen, client)
    run.begin(Pairs(tuple(Pair(f"p{n}", f"s{n}") for n in range(asked))), keep=True)
    run.send(100)
    status = {"status": "COMPLETED", "succeeded": asked - short, "failed": short, "has_report": True}
    result = run.conclude({"settled": asked} if route == "djust" else {"statuses": {"T1": status}})
    rows = [json.loads(line) for line in (tmp_path / "outcome.ndjson").read_text().splitlines()]
    counts = tuple(result[name] for name in ("sent", "succeeded", "failed", "unknown"))
    return counts, [(row["status"], row.get("code")) for row in rows]


@pytest.mark.parametrize(("route", "code"), [("djust", "COUNT_SHORT"), ("direct", "NO_REPORT")])
@pytest.mark.parametrize(
    ("before", "short", "counts"),
    [
        ([THERE] * 3, 3, (3, 0, 3, 0)),
        ([THERE] * 3, 1, (3, 0, 1, 2)),
        (["PENDING", THERE, THERE], 2, (3, 1, 2, 0)),
        (["PENDING", "PENDING", THERE], 1, (3, 2, 1, 0)),
        (["PENDING"] * 3, 2, (3, 3, 0, 0)),  # each state changed, whoever changed it
        ([THERE] * 3, 0, (3, 3, 0, 0)),
    ],
)
def test_what_was_synchronized_before_does_not_hide_a_product_that_was_left_out(
    tmp_path: Path, route: str, code: str, before: list[str], short: int, counts: tuple[int, ...]
) -> None:
    found, rows = repaired(tmp_path, route, before, [THERE] * 3, short)
    assert found == counts
    assert rows == [
        ("unknown", code) if short and state == THERE else ("succeeded", None) for state in before
    ]


def test_a_failure_that_cm23_lists_hides_no_other_product(tmp_path: Path) -> None:
    item = {"mirakl_product_id": "p1", "product_sku": "s1", "status": "FAILURE"}
    found, rows = repaired(
        tmp_path, "direct", [THERE] * 3, [THERE] * 3, 1, json.dumps({"processed_items": [item]}).encode()
    )
    assert found == (3, 2, 1, 0), rows
