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
    pytest.mark.skipif(not PICTURES, reason="takes minutes, so it runs on request only: make pictures"),
    pytest.mark.skipif(not ON_3, reason="needs Airflow 3.0 or later: make matrix MATRIX=3.3.2"),
]
# One of those that read alike; and a connection that is not JSON would make the whole file of connections unreadable.
LEFT_OUT = {
    "bad_extra",
    "missing_import_file",
    "empty_import_file",
    *(f"work_folder_of_{name}" for name in ("delete", "sync", "import", "resync")),
}
DAG_ID = "common_mistakes"
NAMES = [name for name in MISTAKES if name not in LEFT_OUT]


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feeds")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def run(live: LiveAirflow, feeds: Path) -> Iterator[Run]:
    """A task for each mistake, and all have failed."""
    with Sandbox(speed=6000) as sandbox:
        found = connections_of(sandbox)
        for conn_id, connection in (found | connections(found, sandbox.url)).items():
            if conn_id not in LEFT_OUT:
                live.add_connection(conn_id, connection)
        live.add_dag(
            DAG_ID, dag({name: MISTAKES[name] for name in NAMES}, feeds).replace('"mistakes"', f"{DAG_ID!r}")
        )
        run = live.trigger(DAG_ID)
        assert run.until_done(800) == "failed"
        yield run


@pytest.fixture(scope="module")
def page(live: LiveAirflow) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_context(
            base_url=live.url, locale="en-US", viewport={"width": 1280, "height": 1400}
        ).new_page()
        page.set_default_timeout(60_000)
        yield page


# Where each text begins and ends, and how far the widest of their lines reaches beyond the log.
PLACES = """(texts) => {
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = {};
    while (walk.nextNode()) {
        const node = walk.currentNode, range = document.createRange();
        for (const text of texts) {
            const at = node.data.indexOf(text);
            if (at < 0 || text in found) continue;
            range.setStart(node, at);
            range.setEnd(node, node.data.length);
            const box = range.getBoundingClientRect();
            found[text] = { top: box.top, bottom: box.bottom, right: box.right };
        }
    }
    return found;
}"""
FOLDERS = """(folders) => {
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode())
        for (const [folder, name] of folders) walk.currentNode.data = walk.currentNode.data.replaceAll(folder, name);
}"""
LEFT, RIGHT = 345, 1252
"""The log on a laptop's screen, beside the grid."""


@pytest.mark.parametrize("name", NAMES)
def test_the_block_is_whole_and_in_order(page: Page, run: Run, feeds: Path, name: str) -> None:
    page.goto(f"/dags/{DAG_ID}/runs/{run.run_id}/tasks/{name}")
    happened = MISTAKES[name].happened.split()[0].replace("FOLDER", str(feeds))
    texts = [happened, f"Where: task {name}", "What to do: ", "Read more: ", "Task failed with exception"]
    for text in texts:
        page.get_by_text(text).first.wait_for()
    page.evaluate(FOLDERS, [[str(feeds), "/data/feeds"], [str(run.airflow.home), "/opt/airflow"]])
    places: dict[str, Any] = page.evaluate(PLACES, texts[1:])
    tops = [place["top"] for place in places.values()]
    assert tops == sorted(set(tops)), "each begins a line of its own"
    assert max(place["right"] for place in places.values()) <= RIGHT, "no line is cut"
    folder = Path(PICTURES, "mistakes")
    folder.mkdir(exist_ok=True)
    entry = page.locator("[data-testid^=virtualized-item]", has_text=texts[1]).first
    top = entry.bounding_box()["y"]
    page.screenshot(
        path=str(folder / f"{name}.png"),
        clip={"x": LEFT, "y": top, "width": RIGHT - LEFT, "height": places[texts[-1]]["bottom"] + 6 - top},
        animations="disabled",
    )
    # What the picture shows, for those who do not see it.
    (folder / f"{name}.txt").write_text(f"{entry.inner_text().partition('ERROR - ')[2].strip()}\n", "utf-8")
