"""The sandbox's page in a real browser: it follows what happens, fits every width, and works without a mouse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.feeds import fill
from airflow_provider_mirakl.sandbox.generate import product
from tests.browsing import SCHEMES, WIDTHS, axe_faults, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page; a test fails that leaves an error on its console, or asks another host for something."""
    context = browser.new_context(**getattr(request, "param", {"viewport": {"width": 1280, "height": 900}}))
    page = context.new_page()
    page.set_default_timeout(120_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda call: call.url.startswith((sandbox.url, "data:")) or errors.append(call.url))
    page.goto(sandbox.url)
    yield page
    context.close()
    assert errors == []


def is_wider_than_the_window(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def test_it_follows_a_product_through_its_changes(
    page: Page, sandbox: Sandbox, connect: httpx.Client
) -> None:
    card = page.locator("#products .cards > li")
    assert card.count() == 0
    connect.post("/api/products", json={"products": [product(0)]})
    sandbox.advance(20)
    card.filter(has_text="created 0 s ago: titles, descriptions").wait_for()
    sandbox.advance(60)
    connect.post("/api/products", json={"products": [{"id": product(0)["id"], "brand": "Other"}]})
    sandbox.advance(20)
    card.filter(has_text="updated 0 s ago: brand").wait_for()
    sandbox.advance(60)
    connect.request("DELETE", "/api/products", json={"products": [{"id": product(0)["id"]}]})
    sandbox.advance(20)
    card.filter(has_text="deleted 0 s ago").wait_for()
    assert card.count() == 1


def test_the_time_line_shows_calls_waits_and_429s(
    page: Page, sandbox: Sandbox, connect: httpx.Client
) -> None:
    connect.get("/api/products")
    connect.get("/api/products")
    lane = page.locator("#now li", has_text="listProducts")
    lane.filter(has_text="2 calls, 1 x 429, free in 60.0 s").wait_for()
    assert lane.locator("i.ok, i.wait").count() == 2
    sandbox.advance(120)
    lane.filter(has_not_text="free in").wait_for()


def test_a_job_shows_its_stages_as_it_goes(page: Page, sandbox: Sandbox, shop: httpx.Client) -> None:
    files = {"file": ("p.csv", b"category;shop_sku;title;ean\nheadphones;A;A;2000000000015\n")}
    shop.post("/api/products/imports", files=files, data={"operator_format": "true"})
    job = page.locator("#jobs .cards > li")
    for seconds, stage in ((0, "WAITING"), (20, "RUNNING"), (60, "SENT"), (120, "COMPLETE")):
        sandbox.advance(seconds)
        job.locator("[aria-current=step]", has_text=stage).wait_for()
    assert job.locator(".done").count() == 4


def test_orders_and_returns_are_followed(page: Page, sandbox: Sandbox) -> None:
    (order_id,) = sandbox.place_orders(1)
    card = page.locator("#orders .cards > li")
    card.filter(has_text=order_id).filter(has_text="AWAITING_ACCEPTANCE").wait_for()
    sandbox.change_order(order_id, status="DELIVERED")
    card.filter(has_text="DELIVERED").wait_for()
    sandbox.request_return(order_id)
    card.filter(has_text="REQUEST_INITIATED").filter(has_text=f"of order {order_id}").wait_for()
    assert "@" not in page.locator("#orders").inner_text(), "no customer's address"


def test_a_fault_is_ordered_with_a_click_and_taken_back(page: Page, connect: httpx.Client) -> None:
    page.get_by_role("button", name="Answer the next call with 503").click()
    page.locator(".rules", has_text="status every call: used 0 of 1").wait_for()
    assert connect.get("/api/products").status_code == 503
    page.locator(".rules", has_text="used 1 of 1").wait_for()
    page.get_by_role("button", name="Remove").click()
    page.get_by_text("No active faults.").wait_for()


def test_a_fault_is_ordered_from_the_keyboard(page: Page, sandbox: Sandbox, connect: httpx.Client) -> None:
    page.get_by_label("Kind").select_option("throttle")
    page.get_by_label("Operation").fill("listProducts")
    page.get_by_label("Times").fill("0")
    page.get_by_label("Times").press("Enter")
    page.locator(".rules", has_text="throttle listProducts: used 0 times, no limit").wait_for()
    assert [connect.get("/api/products").status_code for _ in range(2)] == [429, 429]


def test_the_first_tab_reaches_the_skip_link_and_every_control_has_a_name(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "live"
    for role in ("button", "textbox", "combobox", "spinbutton", "link", "region"):
        for control in page.get_by_role(role).all():
            assert control.evaluate("e => e.ariaLabel || e.textContent || e.labels?.[0]?.textContent || e.id")


FOCUSABLE = "a[href], button, input, select, [tabindex='0']"
FOCUS = """() => {
    const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
    return {
        at: [...document.querySelectorAll("%s")].indexOf(one),
        words: one.textContent.slice(0, 40) || one.name,
        outlined: style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2,
        inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    };
}"""


@pytest.mark.parametrize(
    "page",
    [{"viewport": {"width": w, "height": 844}} for w in WIDTHS],
    indirect=True,
    ids=["wide", "phone"],
)
def test_tab_reaches_everything_in_the_order_of_the_page_and_shows_where_it_is(
    page: Page, sandbox: Sandbox, connect: httpx.Client
) -> None:
    fill(sandbox)
    connect.get("/api/products")
    sandbox.fault("delay", operation="P42")
    page.emulate_media(reduced_motion="reduce")  # else the page still scrolls when it is asked
    page.reload()
    page.locator(".rules", has_text="P42").wait_for()
    reached = []
    for _ in range(page.locator(FOCUSABLE).count()):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS % FOCUSABLE)
        assert focus["outlined"], focus
        assert focus["inside"], focus
        reached.append(focus["at"])
    assert reached == list(range(len(reached)))


def test_the_focus_stays_where_it_is_while_the_page_follows(page: Page, sandbox: Sandbox) -> None:
    sandbox.fault("delay", operation="P42")
    page.locator(".rules", has_text="P42").wait_for()
    calls = page.get_by_role("region", name="Latest calls, table")
    for number, control in enumerate(
        (
            page.get_by_role("button", name="Find"),
            page.get_by_role("button", name="Remove"),
            page.get_by_label("Product id"),
            calls,
        )
    ):
        sandbox.seed([product(number)])
        httpx.get(f"{sandbox.url}/mirakl/api/version")
        calls.wait_for()
        control.focus()
        handle = control.evaluate("e => [e.tagName, e.id, e.ariaLabel, e.textContent.slice(0, 20)].join()")
        sandbox.seed([product(100 + number)])
        httpx.get(f"{sandbox.url}/mirakl/api/version?{number}")
        page.locator("#products", has_text=product(100 + number)["id"]).wait_for()
        page.locator("#calls", has_text=f"version?{number}").wait_for()
        found = page.evaluate(
            "(e => [e.tagName, e.id, e.ariaLabel, e.textContent.slice(0, 20)].join())(document.activeElement)"
        )
        assert found == handle


def test_a_refused_call_says_why(page: Page, connect: httpx.Client) -> None:
    connect.post("/api/products", json={"products": []})
    page.locator("#errors tbody tr").filter(has_text="upsertProducts").filter(has_text="products").wait_for()


@pytest.mark.parametrize("page", [{"color_scheme": "dark"}], indirect=True)
def test_dark_follows_the_machine_and_can_be_changed(page: Page) -> None:
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    button = page.get_by_role("button", name="Dark")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


@pytest.mark.parametrize(
    "page",
    [{"viewport": {"width": w, "height": 844}} for w in WIDTHS],
    indirect=True,
    ids=["wide", "phone"],
)
def test_nothing_is_wider_than_the_window(
    page: Page, sandbox: Sandbox, connect: httpx.Client, shop: httpx.Client
) -> None:
    """Long ids, names, paths and reasons break instead of pushing the page apart."""
    fill(sandbox)
    long = "x" * 250
    sandbox.seed([{"id": long, "titles": [{"locale": "en_US", "value": long}], "brand": long}])
    sandbox.put_document(2000, "INSURANCE", f"{long}.pdf", b"%PDF")
    sandbox.fault("fail_job", operation="P41")
    sandbox.fault("delay", operation=long)
    shop.post(
        "/api/products/imports", files={"file": ("p.csv", b"a;b\n1;2\n")}, data={"operator_format": "true"}
    )
    connect.get(f"/api/products/{long}?{long}={long}")
    sandbox.advance(600)
    page.reload()
    page.locator("#jobs", has_text="FAILED").wait_for()
    assert page.locator("#calls tbody tr").count() >= 2
    assert not is_wider_than_the_window(page)


def test_axe_finds_nothing(page: Page, sandbox: Sandbox, connect: httpx.Client, shop: httpx.Client) -> None:
    """Names, roles, labels, landmarks, contrast: the page with something of every kind on it."""
    fill(sandbox)
    connect.post("/api/products", json={"products": [product(0)]})
    connect.get("/api/products")
    connect.get("/api/products")
    sandbox.fault("delay", operation="P42")
    sandbox.fault("fail_job", operation="P41")
    for _ in range(2):
        files = {"file": ("p.csv", b"category;shop_sku;title;ean\nheadphones;A;A;2000000000015\n")}
        shop.post("/api/products/imports", files=files, data={"operator_format": "true"})
        sandbox.advance(60)
    connect.request("DELETE", "/api/products", json={"products": [{"id": product(0)["id"]}]})
    sandbox.place_orders(1)
    sandbox.advance(20)
    page.reload()
    page.locator("#jobs", has_text="FAILED").wait_for()
    faults = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 844})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            faults += [f"{width} {scheme}: {fault}" for fault in axe_faults(page)]
    assert not faults, "\n".join(faults)
