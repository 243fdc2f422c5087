"""The documentation site in a real browser: nothing is cut at any width, no link is broken, the search finds codes.

Needs the site that ``make docs`` builds; ``make check`` builds it before the tests run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from tests.browsing import SCHEMES, WIDTHS, axe_faults, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.timeout(300)]
SITE = Path(__file__).resolve().parents[2] / "docs" / "_build" / "html"
# Pages of the Python API are made by autodoc alone.
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if not path.relative_to(SITE).as_posix().startswith(("_modules/", "reference/python/"))
)
# Pages for axe, which takes seconds for each: cards, steps, tables, results of tests, an operator, messages with a
# field to paste into, pictures, the search.
KINDS_OF_PAGES = (
    "index.html",
    "quickstart.html",
    "client.html",
    "faults.html",
    "reference/MiraklImportProductsOperator.html",
    "reference/messages.html",
    "reference/mistakes.html",
    "search.html",
)
needs_site = pytest.mark.skipif(not PAGES, reason="needs the site: make docs builds it")


class Links(HTMLParser):
    """Where a page leads, and what can be led to."""

    def __init__(self) -> None:
        super().__init__()
        self.hrefs: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.update(filter(None, (found.get("id"), found.get("name"))))
        if address := found.get("href") or found.get("src"):
            self.hrefs.add(address)


@needs_site
def test_no_link_inside_the_site_is_broken() -> None:
    # Sphinx's own list of sources leads to a page of Python's builtins, which it does not make.
    pages = {path: Links() for path in SITE.rglob("*.html") if path != SITE / "_modules" / "index.html"}
    for path, links in pages.items():
        links.feed(path.read_text("utf-8"))
    broken = []
    for path, links in pages.items():
        for address in links.hrefs:
            target, fragment = urldefrag(address)
            if urlsplit(address).scheme or target.startswith("//"):
                continue
            file = (path.parent / unquote(urlsplit(target).path)).resolve() if target else path
            known = pages[file].ids if file in pages else None
            if not file.exists() or (fragment and known is not None and unquote(fragment) not in known):
                broken.append(f"{path.relative_to(SITE)}: {address}")
    assert broken == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium("--allow-file-access-from-files") as browser:
        yield browser


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": getattr(request, "param", 1280), "height": 900})
    page = context.new_page()
    page.set_default_timeout(240_000)
    yield page
    context.close()


CUT = """() => {
    const wide = document.documentElement.scrollWidth > window.innerWidth ? ['the page'] : [];
    // A table may scroll inside itself only where its frame says so; text that is hidden cannot be reached at all.
    for (const table of document.querySelectorAll('article table')) {
        for (let box = table; box && box.tagName !== 'ARTICLE'; box = box.parentElement) {
            const style = getComputedStyle(box);
            if (box.scrollWidth > box.clientWidth + 1 && style.overflowX === 'hidden') wide.push('a table');
        }
    }
    return wide;
}"""


@needs_site
@pytest.mark.browser
@pytest.mark.parametrize("page", WIDTHS, indirect=True)
def test_nothing_is_wider_than_the_window(page: Page) -> None:
    faults = {}
    for name in PAGES:
        page.goto((SITE / name).as_uri(), wait_until="domcontentloaded")
        if cut := page.evaluate(CUT):
            faults[name] = cut
    assert faults == {}


@needs_site
@pytest.mark.browser
@pytest.mark.parametrize(
    ("words", "expected"), [("429", "waiting"), ("CM21", "mirakl-facts"), ("GTIN", "your-feed")]
)
def test_the_search_finds_what_people_type(page: Page, words: str, expected: str) -> None:
    page.goto(f"{(SITE / 'search.html').as_uri()}?q={words}")
    page.locator("#search-results li a").first.wait_for()
    page.locator("#search-results p.search-summary", has_text=re.compile(r"\d+ page|found")).wait_for()
    found = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.href)")
    assert any(expected in address for address in found), found[:10]


@needs_site
@pytest.mark.browser
def test_a_pasted_message_is_found(page: Page) -> None:
    """What stands in a log has names, paths and numbers of its own, and the log's block behind it."""
    page.goto((SITE / "reference" / "messages.html").as_uri())
    field = page.get_by_label("Paste a message from the log")
    found = page.locator(".find-message > ul > li")
    for name, expected in {
        "no_connection": "Connection <conn_id> does not exist; create one",
        "missing_host": "<name>: is empty; enter an address such as",
        "nothing_listens": "Mirakl could not be reached",
        "empty_file": "is empty",
        "not_json": "not JSON",
        "not_rendered": "<name> is <value> after rendering",
        "nothing_to_verify": "does not contain a plan",
        "target_that_is_a_folder": "target must be a file, not the folder",
        "work_folder_of_upsert": "A file or folder that the task needs cannot be used",
        "utf_16": "is not UTF-8 but looks like UTF-16",
        "wrong_column": "the source does not have this column",
    }.items():
        text = (SITE.parents[1] / "images" / "mistakes" / f"{name}.txt").read_text("utf-8")
        field.fill(text)
        # A message may be of two entries: one for the file, one for its first row.
        assert any(expected in text for text in found.all_inner_texts()[:2]), name
        kind = re.search(r"Messages > (\w+)", " ".join(text.split()))
        assert kind
        assert page.locator(".find-message [role=status] a").inner_text() == kind[1]


@needs_site
@pytest.mark.browser
def test_every_block_of_code_has_a_button_that_copies_it(page: Page) -> None:
    page.goto((SITE / "quickstart.html").as_uri())
    blocks = page.locator("div.highlight pre")
    blocks.first.wait_for()
    assert page.locator("div.highlight button.copybtn").count() == blocks.count() > 3


@needs_site
@pytest.mark.browser
def test_the_landing_page_has_four_cards_that_lead_on(page: Page) -> None:
    page.goto((SITE / "index.html").as_uri())
    assert page.locator(".cards > ul > li").count() == 4
    picture = page.locator("img.only-light")
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")


@needs_site
@pytest.mark.browser
@pytest.mark.parametrize("name", KINDS_OF_PAGES)
def test_axe_finds_nothing(page: Page, name: str) -> None:
    faults = []
    for width, scheme in zip(WIDTHS, SCHEMES, strict=True):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto((SITE / name).as_uri(), wait_until="load")
        faults += [f"{width} {scheme}: {fault}" for fault in axe_faults(page)]
    assert not faults, "\n".join(faults)


@needs_site
def test_every_column_has_a_title_and_every_picture_words() -> None:
    pages = {name: (SITE / name).read_text("utf-8") for name in PAGES}
    assert [name for name, text in pages.items() if re.search(r"<th[^>]*>(<p>)?(</p>)?</th>", text)] == []
    assert [name for name, text in pages.items() if re.search(r"<img(?![^>]*\balt=)", text)] == []
