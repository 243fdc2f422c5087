"""Every operation as a Dag of one task with a sandbox of its own, and how the sandbox's books judge its run."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from string import Template
from typing import Any, TypeAlias

from live_airflow import LiveAirflow

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.connections import connections
from airflow_provider_mirakl.sandbox.feeds import fill
from airflow_provider_mirakl.sandbox.machine.settings import DEFAULT_KEYS, OAuthClient
from airflow_provider_mirakl.sandbox.world import World

SPEED, DAILY = 30.0, 3000.0
"""Mirakl's minute takes two seconds; its day half a minute, where an operation may be called once a day."""
DATA = Path(__file__).parents[3] / "example_dags" / "data"

DAG = Template("""
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.$module import $operator

with DAG(
    dag_id="$dag_id",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    default_args={"retries": $retries, "retry_delay": timedelta(seconds=1), "deferrable": $deferrable},
):
    $operator(task_id="task", $connection="$conn", $arguments)
""")


def ids(prefix: str, number: int, digits: int = 3) -> tuple[str, ...]:
    """Numbered ids."""
    return tuple(f"{prefix}{each:0{digits}d}" for each in range(1, number + 1))


PRODUCTS = ids("p", 40)
MASTERS = ids("MKL-02", 4, 1)


Begin: TypeAlias = Callable[[Sandbox], Mapping[str, Any]]


@dataclass(frozen=True)
class Operation:
    """What runs, and what has to be true afterwards.

    :param name: in the table.
    :param where: module below ``operators``, or ``sensors.`` and one below it, and operator or sensor.
    :param arguments: of the operator; ``$folder`` is the folder of the run, ``$data`` the data of the example Dags,
        and what ``begin`` returns.
    :param conn: the connection of the sandbox.
    :param code: Mirakl's code of the call that writes or submits; empty where the operation only reads.
    :param items: what Mirakl has to accept; empty where the sandbox books calls only.
    :param calls: how many accepted calls there have to be, where there are no items.
    :param once: whether a second accepted call is a fault.
    :param count: the field of the result that has to be ``expects``.
    :param expects: how many items there are.
    :param deferrable: what ``deferrable`` is.
    :param speed: of the sandbox.
    :param begin: what the sandbox holds before the run; its values go into ``arguments``, and ``expects`` instead of
        the field.
    :param target: file or folder below that of the run which has to hold ``expects`` rows, none twice.
    :param limits: arguments that make the limits so short that a test can wait for them.
    """

    name: str
    where: str
    arguments: str
    conn: str = "mirakl_shop"
    code: str = ""
    items: tuple[str, ...] = ()
    calls: int = 1
    once: bool = True
    count: str = ""
    expects: int = 0
    deferrable: bool = True
    speed: float = SPEED
    begin: Begin | None = None
    target: str = ""
    limits: str = ""


def connect(name: str, operator: str, arguments: str, *more: Any, **options: Any) -> Operation:
    """An operation of Mirakl Connect."""
    where = operator if " " in operator else f"connect {operator}"
    return Operation(name, where, arguments, "mirakl_connect_default", *more, **options)


UPSERT = "source='$folder/products.ndjson', batch_size=5"
OFFERS = (
    "source=[dict(shop_sku=f'N-{each}', product_id='SKU-001', product_id_type='SKU', price=9.5, quantity=3,"
    " update_delete='update', state_code='11') for each in range(1, 7)], batch_size=2"
)
OPERATIONS = (
    connect(
        "upsert",
        "MiraklConnectUpsertProductsOperator",
        UPSERT,
        "upsertProducts",
        PRODUCTS,
        once=False,
        count="sent",
        expects=40,
    ),
    connect(
        "upsert in a worker",
        "MiraklConnectUpsertProductsOperator",
        UPSERT,
        "upsertProducts",
        PRODUCTS,
        once=False,
        count="sent",
        expects=40,
        deferrable=False,
    ),
    connect(
        "delete",
        "MiraklConnectDeleteProductsOperator",
        f"source={list(PRODUCTS)!r}, batch_size=8",
        "deleteProducts",
        PRODUCTS,
        once=False,
        count="sent",
        expects=40,
    ),
    connect(
        "delta",
        "MiraklConnectSyncCatalogOperator",
        "source='$folder/products.ndjson', state='$folder/state', batch_size=8",
        "upsertProducts",
        PRODUCTS,
        once=False,
    ),
    connect(
        "catalog export",
        "MiraklConnectExportCatalogOperator",
        "target='$folder/catalog.ndjson'",
        begin=lambda sandbox: {"expects": len(sandbox.products())},
        target="catalog.ndjson",
    ),
    connect(
        "orders extract",
        "connect_orders MiraklConnectExtractOrdersOperator",
        "target='$folder/orders', format='ndjson', since='2026-01-01T00:00:00Z'",
        begin=lambda sandbox: {"expects": len(sandbox.orders())},
        target="orders",
    ),
    connect(
        "shipments",
        "connect_orders MiraklConnectShipOrdersOperator",
        "source='$data/shipments.csv'",
        "v2-createShipment",
        calls=3,
    ),
    Operation(
        "P41",
        "products MiraklImportProductsOperator",
        "source='$folder/products.csv', until='complete'",
        code="P41",
        count="succeeded",
        expects=40,
    ),
    Operation(
        "OF01",
        "offers MiraklImportOffersOperator",
        "source='$data/offers.csv'",
        code="OF01",
        count="succeeded",
        expects=60,
    ),
    Operation(
        "OF24",
        "offers MiraklUpsertOffersOperator",
        OFFERS,
        code="OF24",
        items=ids("N-", 6, 1),
        once=False,  # sent again when the reply is lost (docs/faults.md): the same offers change nothing
        count="succeeded",
        expects=6,
    ),
    Operation(
        "STO01",
        "offers MiraklImportStockOperator",
        "source='$folder/stock.csv'",
        code="STO01",
        count="succeeded",
        expects=40,
    ),
    Operation(
        "PRI01",
        "offers MiraklImportPricesOperator",
        "source='$folder/prices.csv'",
        code="PRI01",
        count="succeeded",
        expects=40,
    ),
    Operation(
        "OF52",
        "offers MiraklExportOffersOperator",
        "target='$folder/offers.ndjson'",
        "mirakl_operator",
        "OF52",
        once=False,  # a second export changes nothing, and Mirakl lists none: the first cannot be found
        speed=DAILY,
    ),
    Operation(
        "CM52",
        "catalog_manager MiraklExportProductsOperator",
        "target='$folder/masters.ndjson'",
        "mirakl_operator",
        "CM52",
        once=False,  # a second export changes nothing, and Mirakl lists none: the first cannot be found
        speed=DAILY,
    ),
    Operation(
        "CM21",
        "catalog_manager MiraklSynchronizeProductsOperator",
        f"source=[dict(mirakl_product_id=each, product_sku='SKU' + each[3:]) for each in {MASTERS!r}]",
        "mirakl_operator",
        "CM21",
        MASTERS,
        once=False,  # sent again when the reply is lost (docs/faults.md): Mirakl lists no synchronizations
        count="succeeded",
        expects=4,
    ),
    Operation(
        "resync",
        "resync MiraklResyncProductsOperator",
        "products=['MKL-021;SKU-021', 'MKL-022;SKU-022'], route='direct'",
        "mirakl_operator",
        "CM21",
        MASTERS[:2],
        once=False,
        count="succeeded",
        expects=2,
    ),
    Operation(
        "resync by DJUST",
        "resync MiraklResyncProductsOperator",
        "products=['MKL-021;SKU-021', 'MKL-022;SKU-022'], route='djust', djust_conn_id='${conn}_djust'",
        "mirakl_operator",
        "ADM-MIRAKL-100",
        once=False,
    ),
    Operation(
        "S31",
        "shop_documents MiraklDownloadShopDocumentsOperator",
        "target='$folder/documents', shop_ids=[2000, 2001]",
        "mirakl_operator",
        deferrable=False,
    ),
    Operation(
        "S32",
        "shop_documents MiraklUploadShopDocumentsOperator",
        "documents=[dict(path='$data/documents/PRICE_LIST.pdf', type_code='PRICE_LIST')], if_exists='skip'",
        code="S32",
        deferrable=False,
    ),
    Operation(
        "A02",
        "shops MiraklUpdateShopOperator",
        "changes=dict(description='Chaos'), check_codes=False",
        code="A02",
        once=False,  # the same values a second time change nothing
        deferrable=False,
        speed=DAILY,
    ),
)


FILES = {
    "products.ndjson": [json.dumps({"id": each}) for each in PRODUCTS],
    "products.csv": [
        "category;shop_sku;title;ean;brand",
        *(f"headphones;{each};T;{2000000000001 + number};nordlys" for number, each in enumerate(PRODUCTS)),
    ],
    "stock.csv": ["offer-sku;quantity", *(f"{each};7" for each in PRODUCTS)],
    "prices.csv": ["offer-sku;price", *(f"{each};9.90" for each in PRODUCTS)],
}


def with_offers(world: World) -> None:
    """Offers whose stock and prices can be imported."""
    now = world.clock.now()
    for number, sku in enumerate(PRODUCTS):
        world.instance.offers.offers[f"2000|{sku}"] = {
            "id": 9000 + number, "shop": 2000, "sku": sku, "product_sku": "SKU-001", "price": 1.0, "quantity": 1,
            "warehouses": {}, "state": "11", "description": "", "discount": None, "deleted": False, "created": now,
            "updated": now,
        }  # fmt: skip


MARK = "-Mark/+\"&'<9"
"""Part of every key: whatever writes it as JSON, HTML, URL or base64 changes it."""
KEYS: dict[str, Any] = {
    "clients": (OAuthClient("sandbox-client", f"client{MARK}"),),
    "keys": tuple(replace(each, key=each.role + MARK) for each in DEFAULT_KEYS),
    "djust_keys": (f"djust{MARK}",),
}


CONN_TYPES = {"mirakl_connect_default": "mirakl_connect"}

_UNCLEAR = re.compile(r'"event":"([^"\\]{0,160})[^"]*Messages >(?:\\n|\s)+MiraklUnclearSubmissionError')
"""The block of an unclear submission in a task's log."""


class Stand:
    """An operation with a sandbox, a folder, connections and a Dag of its own, and how its run is judged.

    :param folder: is made; its name is the id of the Dag and of its connection.
    :param fault: a fault of the sandbox.
    :param deferrable: instead of the operation's own.
    :param speed: of the sandbox, instead of the operation's own.
    :param retries: tries after the first one.
    :param settings: more settings of the sandbox.
    """

    def __init__(
        self,
        operation: Operation,
        folder: Path,
        fault: dict[str, Any] | None = None,
        deferrable: bool | None = None,
        speed: float = 0,
        retries: int = 6,
        **settings: Any,
    ) -> None:
        self.operation, self.folder, self.fault = operation, folder, fault
        folder.mkdir()
        for name, lines in FILES.items():
            (folder / name).write_text("".join(f"{line}\n" for line in lines))
        self.state = folder / "sandbox.json"
        self.sandbox = Sandbox(speed=speed or operation.speed, state=self.state, **KEYS, **settings).start()
        fill(self.sandbox)
        if operation.code in ("STO01", "PRI01"):
            self.sandbox.call(with_offers)
        if operation.code == "deleteProducts":
            self.sandbox.seed({"id": each} for each in PRODUCTS)
        begun = operation.begin(self.sandbox) if operation.begin else {}
        self.expects = int(begun.get("expects", operation.expects))
        if fault is not None:
            self.sandbox.fault(**fault)
        found = connections(self.sandbox.url, self.sandbox.settings)
        name = folder.name
        self.connections = {name: found[operation.conn], f"{name}_djust": found["djust_default"]}
        module, _, operator = operation.where.partition(" ")
        self.dag = DAG.substitute(
            module=module if module.startswith("sensors.") else f"operators.{module}",
            operator=operator,
            dag_id=name,
            retries=retries,
            deferrable=operation.deferrable if deferrable is None else deferrable,
            connection=f"{CONN_TYPES.get(operation.conn, 'mirakl')}_conn_id",
            conn=name,
            arguments=Template(operation.arguments).substitute(
                {"folder": folder, "data": DATA, "conn": name} | dict(begun)
            ),
        )

    def secrets(self) -> set[str]:
        """Every key and every token of the sandbox."""
        settings = self.sandbox.settings
        keys = [each.secret for each in settings.clients] + [each.key for each in settings.keys]
        return {*keys, *settings.djust_keys, *self.sandbox.call(lambda world: set(world.tokens.dump()))}

    def persons(self) -> set[str]:
        """What the sandbox knows of customers."""
        orders = self.sandbox.orders().values()
        found = {row["shipping_info"]["email"] for row in orders}
        return found | {row["billing_info"]["address"]["street"] for row in orders}

    def restart(self) -> None:
        """Mirakl goes away with its connections, and comes back as it was."""
        port, settings = self.sandbox.port, self.sandbox.settings
        self.sandbox.stop()
        values = {each.name: getattr(settings, each.name) for each in fields(settings)}
        self.sandbox = Sandbox(port=port, state=self.state, **values).start()

    def judge(self, state: str | None, result: dict[str, Any], log: str) -> Iterator[tuple[str, str]]:
        """What is wrong with a run that has ended, as columns of the table, and what to say of it."""
        operation = self.operation
        wanted = operation.items or tuple(map(str, range(operation.calls if operation.code else 0)))
        accepted = self._accepted()
        if more := sorted(item for item, count in accepted.items() if count > 1):
            column = "doubled" if operation.once else "repeated"
            yield column, f"accepted more than once: {', '.join(more[:5])}"
        if state != "success":
            if unclear := _UNCLEAR.search(log):
                yield "stopped", unclear[1]
                return
            yield "failed", _last_error(log)
            if not re.search(r"\b(Mirakl\w+Error|AirflowSensorTimeout)\b", log):
                yield "untrue", "failed, and not with an error of the package"
            return
        missing = [item for item in wanted if item not in accepted] if operation.items else []
        if missing or len(accepted) < len(wanted):
            yield "lost", f"{len(accepted)} of {len(wanted)} accepted; missing {', '.join(missing[:5])}"
        if operation.count and result.get(operation.count) != self.expects:
            yield "untrue", f"{operation.count} is {result.get(operation.count)}, not {self.expects}"
        yield from self._wrong_rows()
        if result.get("failed"):
            yield "untrue", f"success with {result['failed']} failed"

    def _wrong_rows(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the rows of the target."""
        if not self.operation.target:
            return
        target = self.folder / self.operation.target
        files = sorted(target.rglob("*.ndjson")) if target.is_dir() else [target]
        rows = [line for file in files for line in file.read_text("utf-8").splitlines()]
        if more := len(rows) - len(set(rows)):
            yield "doubled", f"{more} rows of {target.name} are there twice"
        if len(set(rows)) != self.expects:
            yield "lost", f"{target.name} has {len(set(rows))} rows, not {self.expects}"

    def _accepted(self) -> Counter[str]:
        """How often Mirakl accepted each item; without items, the number of jobs, or of calls of each path."""
        operation = self.operation
        if not operation.items:
            # An identical request gets the job that still runs: that is one job, and two accepted calls.
            jobs = self.sandbox.call(
                lambda world: sum(job.kind == operation.code for job in world.jobs.all.values())
            )
            if jobs:
                return Counter({f"jobs of {operation.code}": jobs})
            calls = self.sandbox.journal(operation.code) if operation.code else []
            return Counter(
                call["path"].partition("?")[0]
                for call in calls
                if 200 <= call["status"] < 300
                or "reset_after" in call.get("faults", ())  # processed, but not answered
            )
        return Counter(
            row["item"]
            for row in self.sandbox.ledger()
            if row["operation"] == operation.code and row["result"] not in ("invalid", "refused")
        )


class Case:
    """A stand on a live Airflow, and its run."""

    def __init__(
        self, airflow: LiveAirflow, operation: Operation, folder: Path, fault: dict[str, Any] | None
    ) -> None:
        self.airflow = airflow
        self.stand = Stand(operation, folder, fault)
        for conn_id, connection in self.stand.connections.items():
            airflow.add_connection(conn_id, connection)
        airflow.add_dag(folder.name, self.stand.dag)

    def start(self) -> None:
        """Trigger the run."""
        self.run = self.airflow.trigger(self.stand.folder.name)

    @property
    def done(self) -> bool:
        """Whether the run is over."""
        return self.run.state in ("success", "failed")

    def judge(self) -> Iterator[tuple[str, str]]:
        """What is wrong, as columns of the table, and what to say of it."""
        if self.done:
            said = self.run.log("task") if self.run.state == "success" else self._explained()
            yield from self.stand.judge(self.run.state, self.run.result("task") or {}, said)
        else:
            yield "hung", f"is {self.run.state}, its task {self.run.task('task').state}"

    def _explained(self) -> str:
        """The log of a task that failed: its last lines may come after its state."""
        with contextlib.suppress(AssertionError):
            return self.run.logged("task", "What to do:")
        return self.run.log("task")


def _last_error(log: str) -> str:
    found = re.findall(r"\b(Mirakl\w+Error|\w*(?:Exception|Error))\b[\"']?[:,] ?(.{0,160})", log)
    return ": ".join(found[-1]) if found else "no error is logged"
