"""Shops: what a marketplace lists, and changes that cannot be sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Page
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.operators.shops import MiraklListShopsOperator, MiraklUpdateShopOperator

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("mirakl_sandbox_connections")]


def test_a_shop_that_moved_between_two_pages_is_listed_once(
    worker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks are mapped over the ids: one listed twice would get two tasks at once."""
    shops = [{"shop_id": number, "shop_state": "OPEN"} for number in (2000, 2001, 2002)]
    pages = [Page(shops[:2], None), Page(shops[1:], None)]  # a new shop took the first place meanwhile
    monkeypatch.setattr(Client, "pages", lambda self, call: iter(pages))
    target = tmp_path / "shops.ndjson"
    ids = worker(
        lambda: MiraklListShopsOperator(task_id="task", target=str(target), mirakl_conn_id="mirakl_operator")
    ).run()
    assert ids == [2000, 2001, 2002]
    assert [json.loads(line)["shop_id"] for line in target.read_text("utf-8").splitlines()] == ids


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": ["INIT", 5]}, r"channels\[1\]: must be text"),
        ({"channels": [{"code": "INIT"}]}, r"channels\[0\]: must be text"),
        ({"channels": ["INIT", None]}, r"channels\[1\]: must be text"),
        ({5: "x"}, "5: is not a field of A02"),
    ],
)
def test_changes_of_a_wrong_type_are_refused(
    worker: Any, mirakl_sandbox: Any, changes: dict[Any, Any], words: str
) -> None:
    task = worker(
        lambda: MiraklUpdateShopOperator(task_id="task", changes=changes, mirakl_conn_id="mirakl_shop")
    )
    with pytest.raises(MiraklInputError, match=words):
        task.run()
    assert not mirakl_sandbox.journal()


def test_changes_nested_too_deep_are_refused(worker: Any, tmp_path: Path, mirakl_sandbox: Any) -> None:
    file = tmp_path / "changes.json"
    file.write_text('{"address": ' + "[" * 200_000 + "]" * 200_000 + "}")
    task = worker(
        lambda: MiraklUpdateShopOperator(task_id="task", changes=str(file), mirakl_conn_id="mirakl_shop")
    )
    with pytest.raises(MiraklInputError, match="is not valid JSON"):
        task.run()
    assert not mirakl_sandbox.journal()
