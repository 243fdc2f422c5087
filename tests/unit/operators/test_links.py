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


def pull(**_: Any) -> Any:
    raise AssertionError(
        "Airflow reports each XCom that is missing as an error, above the reason of a failed task"
    )


TI: Any = SimpleNamespace(map_index=-1, xcom_pull=pull)


@pytest.mark.parametrize(
    ("link", "result", "address"),
    [
        (MiraklRejectsLink(), {"rejects": "/data/a b/rejects.csv"}, "file:///data/a%20b/rejects.csv"),
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
    task: Any = SimpleNamespace(task_id="t", result=result)
    assert link.get_link(task, ti_key=TI) == address


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
    assert MiraklBackOfficeLink().get_link(task, ti_key=TI) == "", "a link reads no connection"
    assert task.hook.values
    assert MiraklBackOfficeLink().get_link(task, ti_key=TI) == address


def test_every_link_is_known_to_airflow_and_has_a_key_of_its_own() -> None:
    listed = {path.rpartition(".")[2] for path in get_provider_info()["extra-links"]}
    assert {type(link).__name__ for link in LINKS} == listed
    assert len({link.xcom_key for link in LINKS if hasattr(link, "xcom_key")}) in (0, len(LINKS))


@pytest.mark.parametrize("link", LINKS)
def test_a_task_that_failed_before_it_had_a_result_leads_nowhere(link: Any) -> None:
    if not isinstance(link, MiraklGuideLink):
        task: Any = SimpleNamespace(task_id="t", result=None)
        assert link.get_link(task, ti_key=TI) == ""
