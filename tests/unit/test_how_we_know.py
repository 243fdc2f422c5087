"""The page "How we know" against the code: fields, states, limits and results are those that the code uses."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.actions.table import ACTIONS
from airflow_provider_mirakl.catalog import state as state_module
from airflow_provider_mirakl.catalog.sync import SyncPlan, plan_sync
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.get_provider_info import get_provider_info
from airflow_provider_mirakl.jobs.table import DONE, FAILED, JOBS, JobKind, evaluate
from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.repair import proof
from airflow_provider_mirakl.repair.pairs import Pair

PAGE = (Path(__file__).parents[2] / "docs" / "how-we-know.md").read_text()
BY_CODE = {"P41": "product_import", "CM21": "product_synchronization", "OF01": "offer_import", "STO01": "stock_import",
           "PRI01": "price_import"}  # fmt: skip
NO_COUNTERS = {"integration_details"}
"""Fields that hold counters and are none."""


def rows(heading: str) -> Iterator[list[str]]:
    """Rows of the tables of a section."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and not line.startswith("|---"):
            yield cells


def fields_of(cell: str) -> set[str]:
    """Mirakl's fields that a cell names."""
    return set(re.findall(r"`([a-z]+(?:_[a-z]+)*)`", cell)) - NO_COUNTERS


def jobs() -> dict[str, list[str]]:
    return {
        found[1]: cells
        for cells in rows("Jobs of an instance")
        if (found := re.search(r"\((P41|CM21|OF01|STO01|PRI01)\)", cells[0]))
    }


class Recorded(Mapping[str, Any]):
    """A status that notes which fields are read."""

    def __init__(self, values: Mapping[str, Any], read: set[str]) -> None:
        self.values, self.read = dict(values), read

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return self.values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)


def counted(kind: JobKind, field: str) -> tuple[int, int, int]:
    """Succeeded, failed and unknown of a job of ten items of which three are in a field."""
    read = {"P41": "transform_lines_read", "CM21": "processed"}.get(kind.code, "lines_read")
    inside = kind.code == "P41" and not field.startswith("transform_")
    status: dict[str, Any] = {read: 10}
    if inside:
        status["integration_details"] = {field: 3}
    else:
        status[field] = 10 if field == read else 3
    counts = evaluate(kind, status).counts
    return counts.succeeded, counts.failed, counts.unknown


def test_every_kind_that_counts_is_on_the_page() -> None:
    counting = {
        kind.code for kind in JOBS.values() if "count" in vars_of(kind) and kind.name in BY_CODE.values()
    }
    assert set(jobs()) == set(BY_CODE) == counting


def vars_of(kind: JobKind) -> set[str]:
    """Fields of a row that are not their default."""
    default = JobKind.__dataclass_fields__["count"].default  # type: ignore[attr-defined]
    return {"count"} if kind.count is not default else set()


@pytest.mark.parametrize("code", BY_CODE)
def test_the_fields_of_a_column_count_as_that_column_says(code: str) -> None:
    kind, (_, succeeded, failed, unknown) = JOBS[BY_CODE[code]], jobs()[code]
    for field in fields_of(succeeded):
        assert counted(kind, field) == (3, 0, 7), field
    for field in fields_of(failed):
        assert counted(kind, field) == (0, 3, 7), field
    for field in fields_of(unknown):
        assert counted(kind, field)[2] == 10, field


@pytest.mark.parametrize("code", BY_CODE)
def test_no_field_is_read_that_the_page_does_not_name(code: str) -> None:
    kind, read = JOBS[BY_CODE[code]], set[str]()
    kind.count(Recorded({"integration_details": Recorded({}, read)}, read))  # type: ignore[arg-type]
    assert read - NO_COUNTERS == set().union(*map(fields_of, jobs()[code][1:]))


def test_reports_are_those_of_the_table() -> None:
    named = {
        code: set(re.findall(r"\b(P4[0-9]|CM23|[A-Z]{2,3}03)\b", " ".join(cells)))
        for code, cells in jobs().items()
    }
    for code, name in BY_CODE.items():
        reports = {
            report.code for report in JOBS[name].reports if report.lists == "failures" or code == "CM21"
        }
        assert named[code] & reports, code


def test_the_states_that_end_a_job() -> None:
    states = {
        cells[0].startswith("in `F"): set(re.findall(r"`([A-Z_]+)`", cells[0]))
        for cells in rows("Jobs of an instance")
        if cells[0].startswith("in `")
    }
    assert states == {False: set(DONE), True: set(FAILED)}


@pytest.mark.parametrize(
    ("status", "sku", "reported", "result"),
    [
        ("SYNCHRONIZED", "S", None, "succeeded"),
        ("SYNCHRONIZED", "other", None, "unknown"),
        ("INTEGRATION_ERRORS", "S", None, "failed"),
        (None, "S", None, "failed"),
        ("PENDING", "S", None, "failed"),
        ("PENDING", "S", "succeeded", "unknown"),
        ("NEVER_SEEN", "S", None, "unknown"),
        ("SYNCHRONIZED", "S", "failed", "failed"),
    ],
)
def test_repairs_are_judged_as_their_row_says(
    status: str | None, sku: str, reported: Any, result: str
) -> None:
    state = proof.ProductState(status, sku, ("broken",))
    report = None if reported is None else ItemResult("M", reported)
    assert proof.result_of(Pair("M", "S"), state, report, ("X", "x")).status == result
    (row,) = (cells for cells in rows("Shops and repairs") if "MiraklResyncProductsOperator" in cells[0])
    column = row[("", "succeeded", "failed", "unknown").index(result)]
    word = {
        ("SYNCHRONIZED", "other"): "another SKU", (None, "S"): "does not know the product",
        ("INTEGRATION_ERRORS", "S"): "integration errors", ("NEVER_SEEN", "S"): "not documented",
    }.get((status, sku), status)  # fmt: skip
    assert (word if reported != "failed" else "FAILURE") in column


class Calls:
    """What can become of the call of a product. Each returns the sync that made it.

    :param folder: for state and plans.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.now = 1_000_000.0
        patch.setattr(state_module, "time", SimpleNamespace(time=lambda: self.now))

    def plan(self, brand: str) -> SyncPlan:
        name = f"{brand}{self.now}"
        return plan_sync([{"id": "A", "brand": brand}], self.folder / name, self.folder / "state")

    def __call__(self, row: str) -> str:
        """Bring about a row of the table; returns the brand that the state has if it is certain."""
        first = self.plan("before")
        first.intend(first.upsert, 0)
        first.commit(first.upsert, 0)
        sync = self.plan("sent")
        if "not made" in row:
            return "before"
        sync.intend(sync.upsert, 0)
        if "not carried out" in row:
            sync.withdraw()
            return "before"
        if "no result" in row:
            return "sent"
        if "another sync had begun" in row:
            self.plan("other")
            with pytest.raises(MiraklInputError):
                sync.commit(sync.upsert, 0)
            return "sent"
        if found := re.search(r"(less than )?an hour after a call of another sync", row):
            self.now += state_module.LONGEST_CALL - bool(found[1])
            sync = self.plan("newer")
            sync.intend(sync.upsert, 0)
        sync.commit(sync.upsert, 0)
        if "read-back" in row:
            sync.state.doubt(["A"], reader="r")
        return "newer" if found else "sent"


@pytest.mark.parametrize("row", list(rows("Mirakl Connect"))[-8:], ids=lambda row: row[0])
def test_what_a_sync_knows(row: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certain product is not sent again while the source has the same; an uncertain one is."""
    calls = Calls(tmp_path, monkeypatch)
    brand = calls(row[0])
    assert row[1].split(",")[0] in ("certain", "uncertain")
    assert (row[1] == "certain, as before") is (brand == "before")
    again = calls.plan(brand)
    assert again.upsert.products == (0 if row[1].startswith("certain") else 1)


def operators() -> dict[str, type]:
    return {
        name: kind
        for entry in get_provider_info()["operators"]
        for module in entry["python-modules"]
        for name, kind in vars(importlib.import_module(module)).items()
        if inspect.isclass(kind) and kind.__module__ == module and re.match("Mirakl|Djust", name)
    }


def default_of(kind: type, parameter: str) -> Any:
    for base in kind.__mro__:
        found = (
            inspect.signature(base.__init__).parameters.get(parameter) if "__init__" in vars(base) else None
        )
        if found is not None:
            return found.default
    raise AssertionError(parameter)


def test_the_limits_and_their_defaults() -> None:
    judged = {name: kind for name, kind in operators().items() if hasattr(kind, "max_failed_items")}
    listed = {
        name: cells[1]
        for cells in rows("What `max_failed_items` and `max_failed_ratio` see")
        for name in re.findall(r"`((?:Mirakl|Djust)\w+Operator)`", cells[0])
    }
    assert listed.keys() == judged.keys()
    for name, kind in judged.items():
        default = default_of(kind, "max_failed_items")
        assert listed[name].startswith("no limit" if default is None else f"`{default}`"), name
        assert default_of(kind, "max_failed_ratio") is None


def test_every_action_is_of_an_operator_on_the_page() -> None:
    actions = {getattr(kind, "action", None): name for name, kind in operators().items()}
    assert set(ACTIONS) <= actions.keys()
    assert all(f"`{actions[action]}`" in PAGE for action in ACTIONS)
