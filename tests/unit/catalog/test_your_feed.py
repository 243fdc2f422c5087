"""The page "Your feed": every example is run, every setting is described."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.columns import PRESETS, Columns
from airflow_provider_mirakl.catalog.plan import plan_upsert, read_chunk

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "your-feed.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```text\n(.*?)```\n+```python\n(.*?)```\n+```json\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("feed", "code", "products"), EXAMPLES, ids=[code[:60] for _, code, _ in EXAMPLES])
def test_an_example_gives_the_products_beside_it(feed: str, code: str, products: str, tmp_path: Path) -> None:
    said: dict[str, Any] = {}
    exec(code, said)  # noqa: S102
    path = tmp_path / ("feed.json" if feed.startswith("{") else "feed.csv")
    path.write_text(feed, encoding="utf-8")
    columns = Columns.from_settings(said["columns"])
    plan = plan_upsert(path, tmp_path / "plan", columns=columns, **said.get("settings", {}))
    sent = [json.loads(row) for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)]
    assert sent == json.loads(products)


def test_every_text_block_is_an_example() -> None:
    assert len(EXAMPLES) == PAGE.count("```text") > 10


def test_every_setting_is_described() -> None:
    settings = {*Columns.__dataclass_fields__, "encoding", "items", "transform", "strip", "on_invalid"}
    settings |= {"gtin_check", "normalize_gtins", "lint", "max_failed_items", "max_failed_ratio"}
    assert sorted(name for name in settings if not re.search(rf"`{name}\b|\"{name}\"", PAGE)) == []


def test_every_ready_mapping_is_named() -> None:
    assert [name for name in PRESETS if f'"{name}"' not in PAGE] == []


def test_the_links_of_the_table_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= headings


def test_the_function_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(def without_prefix.*?)```", PAGE, re.DOTALL)
    (tmp_path / "feeds_of_the_page.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = [{"sku": "SHOP-A1"}, {"sku": "TEST"}, {"sku": "B"}]
    plan = plan_upsert(
        rows,
        tmp_path / "plan",
        columns=Columns({"sku": "id"}),
        transform="feeds_of_the_page.without_prefix",
    )
    sent = [json.loads(row)["id"] for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)]
    assert sent == ["A1", "B"]
