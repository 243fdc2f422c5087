"""Common mistakes, as a person sees them on the log page of a running Airflow; `make pictures` keeps the pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_airflow import ON_3, LiveAirflow, Run

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.pytest_plugin import connections as connections_of
from tests.airflow.test_mistakes import FILES, MISTAKES, connections, dag
from tests.browsing import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = os.environ.get("MIRAKL_PICTURES", "")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not PICTURES, reason="makes pictures, for minutes: make pictures"),
    pytest.mark.skipif(not ON_3, reason="Airflow 2 has another log page"),
]
# One of those that read alike.
ALIKE = {
    "missing_import_file",
    "empty_import_file",
    *(f"work_folder_of_{name}" for name in ("delete", "sync", "import", "resync")),
}
DAG_ID = "common_mistakes"
NAMES = [name for name in MISTAKES if name not in ALIKE]


@pytest.fixture(scope="module")
def run(live: LiveAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A task for each mistake, and all have failed."""
    folder = tmp_path_factory.mktemp("feeds")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    with Sandbox(speed=6000) as sandbox:
        found = connections_of(sandbox)
        for conn_id, connection in (found | connections(found, sandbox.url)).items():
            live.add_connection(conn_id, connection)
        live.add_dag(
            DAG_ID, dag({name: MISTAKES[name] for name in NAMES}, folder).replace('"mistakes"', f"{DAG_ID!r}")
        )
        run = live.trigger(DAG_ID)
        assert run.until_done(800) == "failed"
        yield run


@pytest.fixture(scope="module")
def page(live: LiveAirflow) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_context(
            base_url=live.url, locale="en-US", viewport={"width": 1280, "height": 900}
        ).new_page()
        page.set_default_timeout(60_000)
        yield page


# The rectangle of each text, and how far the widest line of the log reaches to the right of its box.
PLACES = """(texts) => {
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = {};
    let cut = 0;
    while (walk.nextNode()) {
        const node = walk.currentNode, range = document.createRange();
        for (const text of texts) {
            const at = node.data.indexOf(text);
            if (at < 0 || text in found) continue;
            range.setStart(node, at);
            range.setEnd(node, node.data.length);
            const box = range.getBoundingClientRect();
            found[text] = { top: box.top, bottom: box.bottom, right: box.right };
            cut = Math.max(cut, box.right - window.innerWidth);
        }
    }
    return { found, cut };
}"""


@pytest.mark.parametrize("name", NAMES)
def test_the_block_is_whole_and_in_order(page: Page, run: Run, name: str) -> None:
    page.goto(f"/dags/{DAG_ID}/runs/{run.run_id}/tasks/{name}")
    texts = [f"Where: task {name}", "What to do: ", "Read more: "]
    for text in texts:
        page.get_by_text(text).first.wait_for()
    folder = Path(PICTURES, "mistakes")
    folder.mkdir(exist_ok=True)
    page.screenshot(path=str(folder / f"{name}.png"), animations="disabled")
    places: dict[str, Any] = page.evaluate(PLACES, texts)
    tops = [places["found"][text]["top"] for text in texts]
    assert tops == sorted(set(tops)), "each begins a line of its own"
    assert places["cut"] <= 0, "no line is cut"
