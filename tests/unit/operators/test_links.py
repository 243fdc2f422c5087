"""Where the links of a task lead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.get_provider_info import get_provider_info
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.links import (
    LINKS,
    MiraklBackOfficeLink,
    MiraklGuideLink,
    MiraklRejectsLink,
    MiraklReportLink,
)


def ti(**result: Any) -> Any:
    return SimpleNamespace(map_index=-1, xcom_pull=lambda *, task_ids, key, map_indexes: result.get(key))


TASK: Any = SimpleNamespace(task_id="t")


@pytest.mark.parametrize(
    ("link", "result", "address"),
    [
        (MiraklRejectsLink(), {"rejects": "/work/a b/rejects.csv"}, "file:///work/a%20b/rejects.csv"),
        (
            MiraklRejectsLink(),
            {"rejects": "s3://aws_default@bucket/x/rejects.csv"},
            "https://console.aws.amazon.com/s3/object/bucket?prefix=x/rejects.csv",
        ),
        (
            MiraklReportLink(),
            {"reports": {"7": {"error_report": "gs://bucket/e.csv"}}},
            "https://console.cloud.google.com/storage/browser/_details/bucket/e.csv",
        ),
        (
            MiraklReportLink(),
            {"reports": {"7": {}}, "rows": ["abfs://c/outcome.ndjson"]},
            "abfs://c/outcome.ndjson",
        ),
        (MiraklReportLink(), {"reports": {}, "rows": []}, ""),
        (MiraklRejectsLink(), {}, ""),
        (MiraklRejectsLink(), {"rejects": None}, ""),
        (MiraklGuideLink(), {}, "https://developer.mirakl.com"),
        (MiraklBackOfficeLink(), {}, ""),
    ],
)
def test_where_a_link_leads(link: Any, result: dict[str, Any], address: str) -> None:
    assert link.get_link(TASK, ti_key=ti(**result)) == address


@pytest.mark.parametrize(
    ("extra", "address"),
    [
        ("{}", "https://your-instance.mirakl.net/"),
        (
            '{"back_office_path": "/mmp/operator/dashboard"}',
            "https://your-instance.mirakl.net/mmp/operator/dashboard",
        ),
    ],
)
def test_the_back_office_is_that_of_the_connection(
    monkeypatch: pytest.MonkeyPatch, extra: str, address: str
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_SHOP",
        f'{{"conn_type": "mirakl", "host": "https://your-instance.mirakl.net", "password": "k", "extra": {extra}}}',
    )
    task: Any = SimpleNamespace(task_id="t", hook=MiraklHook("shop"))
    assert MiraklBackOfficeLink().get_link(task, ti_key=ti()) == "", "a link reads no connection"
    assert task.hook.values
    assert MiraklBackOfficeLink().get_link(task, ti_key=ti()) == address


def test_every_link_is_known_to_airflow_and_has_a_key_of_its_own() -> None:
    listed = {path.rpartition(".")[2] for path in get_provider_info()["extra-links"]}
    assert {type(link).__name__ for link in LINKS} == listed
    assert len({link.xcom_key for link in LINKS if hasattr(link, "xcom_key")}) in (0, len(LINKS))


def test_a_link_takes_what_the_task_still_knows() -> None:
    """Airflow reports each XCom that is missing as an error in the log of a task that succeeded."""
    task: Any = SimpleNamespace(task_id="t", result={"rejects": "s3://b/rejects.ndjson"})
    nothing: Any = SimpleNamespace(map_index=-1)
    assert MiraklRejectsLink().get_link(task, ti_key=nothing).startswith("https://console.aws.amazon.com/")
    assert MiraklReportLink().get_link(task, ti_key=nothing) == ""
