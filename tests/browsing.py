"""A real browser for tests; and axe, which finds what a screen reader, a keyboard or weak eyes cannot use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS, SCHEMES = (1280, 375), ("light", "dark")


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """A Chromium without a window; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: make venv installs it")
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the PATH: install Debian's package chromium")
    arguments = ("--disable-gpu", *arguments)
    if os.geteuid() == 0:
        arguments += ("--no-sandbox",)  # Chromium refuses to run as root otherwise
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(arguments))
        yield browser
        browser.close()


def axe_faults(page: Page) -> list[str]:
    """What axe finds on the page as it is now: a line for each element."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python: make venv installs it"
    )
    found = axe.Axe().run(page).response
    return [
        f"{rule['id']} ({rule['impact']}): {' '.join(node['target'][0:1])}: "
        f"{' '.join(node['failureSummary'].split())}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
