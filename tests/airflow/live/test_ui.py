"""The Dag of an incident and the forms of connections on a running Airflow, in a real browser where there is one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from live_airflow import AIRFLOW, ON_3, LiveAirflow, Run

from airflow_provider_mirakl.connection_types import CONNECTION_TYPES
from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.pytest_plugin import connections

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not ON_3, reason="needs Airflow 3.0 or later: make matrix MATRIX=3.3.2"),
]

DAG_FILE = Path(__file__).parents[3] / "example_dags" / "mirakl_incident_resync.py"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-sync"]
PICTURES = os.environ.get("MIRAKL_PICTURES")
"""Folder for pictures of the forms, for the docs."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """At speed 60 Mirakl's minute is a second."""
    with Sandbox(speed=60) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def airflow(live: LiveAirflow, sandbox: Sandbox) -> LiveAirflow:
    """The Dag with its connections, also after a setting at its top was changed."""
    for conn_id, connection in connections(sandbox).items():
        live.add_connection(conn_id, connection)
    text = DAG_FILE.read_text("utf-8")
    live.add_dag("mirakl_incident_resync", text)
    for dag_id, before, after in (
        ("skipping", 'OVERLAP = "queue"', 'OVERLAP = "skip"'),
        ("approving", "APPROVAL = False", "APPROVAL = True"),
    ):
        assert before in text
        changed = text.replace(before, after).replace("mirakl_incident_resync", dag_id)
        if dag_id != "approving" or AIRFLOW >= (3, 2):
            live.add_dag(dag_id, changed)
    return live


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: make venv installs it")
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the PATH: install Debian's package chromium")
    arguments = [f"--{name}" for name in QUIET]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to run as root otherwise
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, airflow: LiveAirflow) -> Iterator[Page]:
    """A page of the running Airflow's interface."""
    context = browser.new_context(
        base_url=airflow.url, locale="en-US", viewport={"width": 1280, "height": 2000}
    )
    page = context.new_page()
    page.set_default_timeout(300_000)
    yield page
    context.close()


def photograph(form: Locator, name: str) -> None:
    """Keep a picture for the docs, where a folder for them is named."""
    if PICTURES:
        form.screenshot(path=str(Path(PICTURES) / f"{name}.png"), animations="disabled")


def photograph_the_window(page: Page, name: str, home: Path) -> None:
    """The same for what a laptop shows of a page. Folders of this machine are called as on a server."""
    page.set_viewport_size({"width": 1280, "height": 640})
    page.evaluate(
        """(folders) => {
            const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walk.nextNode())
                for (const folder of folders)
                    walk.currentNode.data = walk.currentNode.data.replaceAll(folder, "/opt/airflow");
        }""",
        [str(home), str(Path(__file__).parents[3])],
    )
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), animations="disabled")


def trigger(
    airflow: LiveAirflow, dag_id: str, run_id: str, logical_date: datetime | None, **form: Any
) -> Run:
    airflow.until_dag(dag_id)
    airflow.call(
        "POST",
        f"/api/v2/dags/{dag_id}/dagRuns",
        {
            "dag_run_id": run_id,
            "logical_date": logical_date and logical_date.isoformat(),
            "conf": {"reason": "tried live", "preview": False} | form,
        },
    )
    return Run(airflow, dag_id, run_id)


def is_settled(airflow: LiveAirflow, run: Run, task_id: str) -> bool:
    """Whether the scheduler has taken note of the end of a task's process."""
    named = f"task_id='{task_id}', run_id='{run.run_id}'"
    return any(
        named in line and "executor event" in line
        for line in airflow.component_log("scheduler").read_text("utf-8").splitlines()
    )


# In the browser


@pytest.mark.browser
@pytest.mark.parametrize(
    ("label", "conn_type", "fields", "chosen", "extra"),
    [
        (
            "Mirakl",
            "mirakl",
            {"host": "{mirakl}", "password": "sandbox-operator-key", "element_locales": "en_US, fr_FR"},
            {"element_role": "operator"},
            {"role": "operator", "locales": "en_US, fr_FR"},
        ),
        (
            "Mirakl Connect",
            "mirakl_connect",
            {
                "host": "{connect}",
                "login": "sandbox-client",
                "password": "sandbox-secret",
                "element_token_url": "{token}",
                "element_interval_factor": "0.5",
            },
            {"element_environment": "test"},
            {"environment": "test", "interval_factor": 0.5},  # a number, not a text
        ),
        ("DJUST", "djust", {"host": "{djust}", "password": "sandbox-djust-key"}, {}, {}),
    ],
)
def test_a_connection_is_made_and_tested(page, airflow, sandbox, label, conn_type, fields, chosen, extra):
    conn_id = f"my_{conn_type}"
    urls = {
        "mirakl": sandbox.mirakl_url,
        "connect": sandbox.connect_url,
        "token": sandbox.token_url,
        "djust": sandbox.djust_url,
    }
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Connection ID").fill(conn_id)
    form.get_by_role("combobox").fill(label)
    form.get_by_role("option", name=label, exact=True).click()
    ours = CONNECTION_TYPES[conn_type]["conn-fields"]

    def section(name: str) -> str:
        if not name.startswith("element_"):
            return "Standard Fields"
        return ours[name.removeprefix("element_")]["schema"].get("section", "Extra Fields")

    # Airflow 3.3.2 tests no stored connection whose port is empty; the docs say so.
    fields = {"port": str(urlsplit(sandbox.url).port)} | fields | chosen
    for title in dict.fromkeys([*map(section, fields), "Extra Fields"]):
        toggle = form.get_by_role("button", name=title, exact=True)
        if toggle.get_attribute("aria-expanded") != "true":
            toggle.click()
        for name, value in fields.items():
            if section(name) == title and name in chosen:
                form.locator(f"#{name}").get_by_role("combobox").fill(value)
                form.locator(f"#{name}").get_by_role("option", name=value, exact=True).click()
            elif section(name) == title:
                form.locator(f"[name={name}]").fill(value.format(**urls))
    photograph(form, f"connection-form-{conn_type}")
    form.get_by_role("button", name="Save").click()
    form.wait_for(state="hidden")

    stored = airflow.call("GET", f"/api/v2/connections/{conn_id}")
    assert stored["conn_type"] == conn_type
    assert stored["host"] == fields["host"].format(**urls)
    assert fields["password"] not in json.dumps(stored)
    assert {name: json.loads(stored["extra"]).get(name) for name in extra} == extra

    row = page.get_by_role("row").filter(has_text=conn_id)
    row.get_by_role("button", name="Test Connection").click()
    page.get_by_text("Test Connection Successful").first.wait_for()


@pytest.mark.browser
def test_the_trigger_form_repairs_what_was_pasted(page, airflow, sandbox):
    airflow.until_dag("mirakl_incident_resync")
    page.goto("/dags/mirakl_incident_resync")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.locator("[name=element_products]").fill(
        "mirakl_product_id\tproduct_sku\nMKL-021\tSKU-021\nMKL-022\tSKU-022"
    )
    form.locator("[name=element_reason]").fill("stuck since the morning")
    form.locator("[name=element_ticket]").fill("INC-1")
    form.locator("label").filter(has=page.locator("[name=element_preview]")).click()
    assert not form.locator("[name=element_preview]").is_checked()
    photograph(form, "incident-form")
    form.get_by_role("button", name="Trigger").last.click()
    form.wait_for(state="hidden")

    def triggered() -> str | None:
        rows = airflow.query("select run_id from dag_run where dag_id = 'mirakl_incident_resync'")
        return rows[0][0] if rows else None

    run = Run(airflow, "mirakl_incident_resync", airflow.until(triggered, "the form has started a run", 300))
    run.succeed()
    told = run.result("report")
    assert (told["sent"], told["succeeded"], told["failed"], told["unknown"]) == (True, 2, 0, 0)
    states = sandbox.master_products()
    assert {states[key]["synchronization"] for key in ("MKL-021", "MKL-022")} == {"SYNCHRONIZED"}
    run.logged("report", "| MKL-022 | SKU-022 | PENDING | SYNCHRONIZED | succeeded |")


MISTAKES = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator

ROWS = [{"id": "A-1", "gtins": [{"value": "4.00638E+12"}]}, {"id": "A-2"}, {"titles": []}]
with DAG("mistakes", schedule=None, start_date=datetime(2026, 1, 1)):
    MiraklImportProductsOperator(task_id="wrong_key", source=__file__, mirakl_conn_id="wrong_key")
    MiraklConnectUpsertProductsOperator(task_id="wrong_rows", source=ROWS)
"""


@pytest.mark.browser
def test_a_mistake_is_explained_line_by_line_where_a_person_looks(page, airflow, sandbox):
    airflow.add_connection(
        "wrong_key", {"conn_type": "mirakl", "host": sandbox.mirakl_url, "password": "not-the-key"}
    )
    airflow.add_dag("mistakes", MISTAKES)
    run = airflow.trigger("mistakes")
    assert run.until_done() == "failed"
    for task, lines in {
        "wrong_key": (
            "P41: POST /api/products/imports answered 401",
            "Where: task wrong_key (MiraklImportProductsOperator)",
            "What to do: The key was rejected",
            "Read more: ",
        ),
        "wrong_rows": (
            "of 3 rows are invalid",
            "Where: task wrong_rows",
            "What to do: Correct",
            "Read more: ",
        ),
    }.items():
        page.goto(f"/dags/mistakes/runs/{run.run_id}/tasks/{task}")
        tops = []
        for line in lines:
            place = page.get_by_text(line).first
            place.wait_for()
            box = page.evaluate(
                """([text]) => {
                    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
                    while (walk.nextNode()) {
                        const at = walk.currentNode.data.indexOf(text);
                        if (at < 0) continue;
                        const range = document.createRange();
                        range.setStart(walk.currentNode, at);
                        range.setEnd(walk.currentNode, at + 1);
                        return range.getBoundingClientRect().top;
                    }
                }""",
                [line],
            )
            tops.append(box)
        assert tops == sorted(set(tops)), f"{task}: each entry begins a line of its own"
        photograph_the_window(page, f"task-log-{task}", airflow.home)


@pytest.mark.browser
def test_a_catalog_in_the_grid_and_in_the_log(page, airflow, sandbox):
    source = DAG_FILE.parent / "data" / "products.ndjson"
    airflow.add_dag(
        "catalog",
        (DAG_FILE.parent / "mirakl_connect_catalog_sync.py")
        .read_text("utf-8")
        .replace('dag_id="mirakl_connect_catalog_sync"', 'dag_id="catalog"'),
    )
    run = airflow.trigger("catalog", {"source": str(source)})
    run.succeed()
    page.goto(f"/dags/catalog/runs/{run.run_id}")
    for task in ("upsert", "verify"):
        page.get_by_text(task, exact=True).first.wait_for()
    photograph_the_window(page, "grid", airflow.home)
    page.goto(f"/dags/catalog/runs/{run.run_id}/tasks/verify")
    page.get_by_text("60 succeeded, 0 failed").first.wait_for()
    photograph_the_window(page, "task-log", airflow.home)


# Without one


def test_a_run_skips_while_a_former_one_goes_on(airflow, sandbox):
    now = datetime.now(UTC)
    # A stuck product: this run asks for proof all the while.
    first = trigger(
        airflow,
        "skipping",
        "first",
        now - timedelta(minutes=2),
        products=["MKL-040;SKU-040"],
        minutes=30,
    )
    first.until_task("resync", "running")
    for run_id, logical_date in (("dated", now), ("undated", None)):
        run = trigger(airflow, "skipping", run_id, logical_date, products=["MKL-023;SKU-023"])
        run.succeed()
        assert {run.task(task).state for task in ("preview", "resync", "report")} == {"skipped"}, run_id
        run.logged("no_other_run", "Another run is running")
    assert sandbox.master_products()["MKL-023"]["synchronization"] == "PENDING"
    assert first.state == "running"
    sandbox.arrange_master_products({"id": "MKL-040", "synchronization": "SYNCHRONIZED"})
    first.succeed()
    after = trigger(airflow, "skipping", "after", None, products=["MKL-023;SKU-023"])
    after.succeed()
    assert after.result("report")["succeeded"] == 1


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="approval needs Airflow 3.2 or later: make matrix MATRIX=3.3.2")
@pytest.mark.parametrize(("answer", "resynced"), [("Approve", "success"), ("Reject", "skipped")])
def test_a_second_person_is_asked(airflow, sandbox, answer, resynced):
    key = {"Approve": "024", "Reject": "025"}[answer]
    run = trigger(airflow, "approving", answer, None, products=[f"MKL-{key};SKU-{key}"], route="direct")
    run.until_task("approve", "deferred", "awaiting_input")
    # An answer before the scheduler has heard that the question was asked runs into a race of Airflow's.
    airflow.until(lambda: is_settled(airflow, run, "approve"), "the scheduler knows of the question", 300)
    path = f"/api/v2/dags/approving/dagRuns/{run.run_id}/taskInstances/approve/-1/hitlDetails"
    assert sandbox.master_products()[f"MKL-{key}"]["synchronization"] == "PENDING"
    airflow.call("PATCH", path, {"chosen_options": [answer], "params_input": {}})
    run.succeed()
    assert run.task("resync").state == resynced
    told = run.result("report")
    assert told["sent"] is (answer == "Approve")
    wanted = "SYNCHRONIZED" if answer == "Approve" else "PENDING"
    assert sandbox.master_products()[f"MKL-{key}"]["synchronization"] == wanted
