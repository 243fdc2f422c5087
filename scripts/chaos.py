"""Kill parts of a real Airflow at random while every operation runs, and read from the sandbox what came of it.

    make chaos                                             # 20 rounds, some 40 minutes
    make chaos CHAOS_ARGS="--rounds 3 --seed 7"            # the same kills and faults again
    make chaos CHAOS_ARGS="--only P41,STO01 --victims task --faults 0"

A round starts all operations at once, each with a sandbox of its own, waits until a random number of calls was made,
strikes one victim or two, and starts again what it killed. Some sandboxes also fail a call. Each operation that was not
done when the victim was struck is one case. All choices follow from the seed. Moments do not: they are the machine's.

The table shows operation by victim:

cases
    runs that were struck.
failed
    runs that ended as failed. That is right where a reply was lost and the call must not be repeated; the last error of
    each is listed.
lost
    items or jobs of a successful run that Mirakl never accepted.
doubled
    items or jobs that Mirakl accepted more than once although the call must not be repeated.
repeated
    items that Mirakl accepted more than once where a repeated call changes nothing (products of Mirakl Connect).
untrue
    results that differ from the sandbox's books, and failures whose error is not one of the package's own.
hung
    runs that did not end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from string import Template
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "airflow" / "live"))
sys.path.insert(0, str(ROOT / "benchmarks"))
from live_airflow import LiveAirflow  # noqa: E402 - the tests' own harness
from measure import table  # noqa: E402

from airflow_provider_mirakl.sandbox import Sandbox  # noqa: E402
from airflow_provider_mirakl.sandbox.connections import connections  # noqa: E402
from airflow_provider_mirakl.sandbox.feeds import fill  # noqa: E402
from airflow_provider_mirakl.sandbox.world import World  # noqa: E402

SPEED, DAILY = 30.0, 3000.0
"""Mirakl's minute takes two seconds; its day half a minute, where an operation may be called once a day."""
PATIENCE = 600.0
"""Seconds after which a run that has not ended hangs."""
MOST_CALLS = 90
"""A victim is struck before the sandboxes of a round have answered so many calls."""
DATA = ROOT / "example_dags" / "data"

DAG = Template("""
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.$module import $operator

with DAG(
    dag_id="$dag_id",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    default_args={"retries": 6, "retry_delay": timedelta(seconds=1), "deferrable": $deferrable},
):
    $operator(task_id="task", $connection="$conn", $arguments)
""")


def ids(prefix: str, number: int, digits: int = 3) -> tuple[str, ...]:
    """Numbered ids."""
    return tuple(f"{prefix}{each:0{digits}d}" for each in range(1, number + 1))


PRODUCTS = ids("p", 40)
MASTERS = ids("MKL-02", 4, 1)


@dataclass(frozen=True)
class Operation:
    """What runs, and what has to be true afterwards.

    :param name: in the table.
    :param where: module below ``operators`` and operator.
    :param arguments: of the operator; ``$folder`` is the folder of the run, ``$data`` the data of the example Dags.
    :param conn: the connection of the sandbox.
    :param code: Mirakl's code of the call that writes or submits; empty where the operation only reads.
    :param items: what Mirakl has to accept; empty where the sandbox books calls only.
    :param calls: how many accepted calls there have to be, where there are no items.
    :param once: whether a second accepted call is a fault.
    :param count: the field of the result that has to be ``expects``.
    :param expects: how many items there are.
    :param deferrable: what ``deferrable`` is.
    :param speed: of the sandbox.
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
    connect("catalog export", "MiraklConnectExportCatalogOperator", "target='$folder/catalog.ndjson'"),
    connect(
        "orders extract",
        "connect_orders MiraklConnectExtractOrdersOperator",
        "target='$folder/orders', format='ndjson', since='2026-01-01T00:00:00Z'",
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
        speed=DAILY,
    ),
    Operation(
        "CM52",
        "catalog_manager MiraklExportProductsOperator",
        "target='$folder/masters.ndjson'",
        "mirakl_operator",
        "CM52",
        speed=DAILY,
    ),
    Operation(
        "CM21",
        "catalog_manager MiraklSynchronizeProductsOperator",
        f"source=[dict(mirakl_product_id=each, product_sku='SKU' + each[3:]) for each in {MASTERS!r}]",
        "mirakl_operator",
        "CM21",
        MASTERS,
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
        deferrable=False,
        speed=DAILY,
    ),
)

FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "reset_before"},
    {"kind": "reset_during"},
    {"kind": "reset_after"},
    {"kind": "throttle", "retry_after": "seconds"},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 500, "body": "json"},
    {"kind": "truncate", "keep": 0.5},
    {"kind": "slow", "seconds": 30, "chunks": 3},
    {"kind": "broken_json"},
    {"kind": "empty_body"},
    {"kind": "revoke_token"},
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


def _with_offers(world: World) -> None:
    """Offers whose stock and prices can be imported."""
    now = world.clock.now()
    for number, sku in enumerate(PRODUCTS):
        world.instance.offers.offers[f"2000|{sku}"] = {
            "id": 9000 + number, "shop": 2000, "sku": sku, "product_sku": "SKU-001", "price": 1.0, "quantity": 1,
            "warehouses": {}, "state": "11", "description": "", "discount": None, "deleted": False, "created": now,
            "updated": now,
        }  # fmt: skip


class Case:
    """One run of an operation, with a sandbox, a folder and a Dag of its own."""

    def __init__(
        self, airflow: LiveAirflow, operation: Operation, folder: Path, fault: dict[str, Any] | None
    ) -> None:
        self.operation, self.folder, self.fault = operation, folder, fault
        self.struck = False
        folder.mkdir()
        for name, lines in FILES.items():
            (folder / name).write_text("".join(f"{line}\n" for line in lines))
        self.state = folder / "sandbox.json"
        self.sandbox = Sandbox(speed=operation.speed, state=self.state).start()
        fill(self.sandbox)
        if operation.code in ("STO01", "PRI01"):
            self.sandbox.call(_with_offers)
        if operation.code == "deleteProducts":
            self.sandbox.seed({"id": each} for each in PRODUCTS)
        if fault is not None:
            self.sandbox.fault(**fault)
        found = connections(self.sandbox.url, self.sandbox.settings)
        dag_id = folder.name
        airflow.add_connection(dag_id, found[operation.conn])
        airflow.add_connection(f"{dag_id}_djust", found["djust_default"])
        module, _, operator = operation.where.partition(" ")
        airflow.add_dag(
            dag_id,
            DAG.substitute(
                module=module,
                operator=operator,
                dag_id=dag_id,
                deferrable=operation.deferrable,
                connection="mirakl_connect_conn_id" if module.startswith("connect") else "mirakl_conn_id",
                conn=dag_id,
                arguments=Template(operation.arguments).substitute(folder=folder, data=DATA, conn=dag_id),
            ),
        )
        self.airflow = airflow

    def start(self) -> None:
        """Trigger the run."""
        self.run = self.airflow.trigger(self.folder.name)

    @property
    def done(self) -> bool:
        """Whether the run is over."""
        return self.run.state in ("success", "failed")

    def restart(self) -> None:
        """Mirakl goes away with its connections, and comes back as it was."""
        port, settings = self.sandbox.port, self.sandbox.settings
        self.sandbox.stop()
        values = {each.name: getattr(settings, each.name) for each in fields(settings)}
        self.sandbox = Sandbox(port=port, state=self.state, **values).start()

    def judge(self) -> Iterator[tuple[str, str]]:
        """What is wrong, as columns of the table, and what to say of it."""
        operation, state = self.operation, self.run.state
        if state not in ("success", "failed"):
            yield "hung", f"is {state}, its task {self.run.task('task').state}"
            return
        wanted = operation.items or tuple(map(str, range(operation.calls if operation.code else 0)))
        accepted = self._accepted()
        if more := sorted(item for item, count in accepted.items() if count > 1):
            yield (
                "doubled" if operation.once else "repeated",
                f"accepted more than once: {', '.join(more[:5])}",
            )
        if state == "failed":
            yield "failed", self._last_error()
            if not re.search(r"\bMirakl\w+Error\b", self.run.log("task")):
                yield "untrue", "failed, and not with an error of the package"
            return
        missing = [item for item in wanted if item not in accepted] if operation.items else []
        if missing or len(accepted) < len(wanted):
            yield "lost", f"{len(accepted)} of {len(wanted)} accepted; missing {', '.join(missing[:5])}"
        result = self.run.result("task") or {}
        if operation.count and result.get(operation.count) != operation.expects:
            yield "untrue", f"{operation.count} is {result.get(operation.count)}, not {operation.expects}"
        if result.get("failed"):
            yield "untrue", f"success with {result['failed']} failed"

    def _accepted(self) -> Counter[str]:
        """How often Mirakl accepted each item; each path where the sandbox books no items."""
        operation = self.operation
        if not operation.items:
            calls = self.sandbox.journal(operation.code) if operation.code else []
            return Counter(call["path"].partition("?")[0] for call in calls if 200 <= call["status"] < 300)
        return Counter(
            row["item"]
            for row in self.sandbox.ledger()
            if row["operation"] == operation.code and row["result"] not in ("invalid", "refused")
        )

    def _last_error(self) -> str:
        found = re.findall(
            r"\b(Mirakl\w+Error|\w*(?:Exception|Error))\b[\"']?[:,] ?(.{0,160})", self.run.log("task")
        )
        return ": ".join(found[-1]) if found else "no error is logged"


class Strikes:
    """The victims: each method returns when the victim is struck and its replacement is started."""

    def __init__(self, airflow: LiveAirflow, cases: Sequence[Case], rnd: random.Random) -> None:
        self.airflow, self.cases, self.random = airflow, cases, rnd

    def task(self) -> None:
        """Every process that runs a task."""
        for process in self.airflow.task_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def scheduler(self) -> None:
        """The scheduler, and with it LocalExecutor's workers."""
        self._restart("scheduler")

    def triggerer(self) -> None:
        """The triggerer."""
        self._restart("triggerer")

    def dag_processor(self) -> None:
        """The Dag processor."""
        self._restart("dag-processor")

    def api_server(self) -> None:
        """The API server, through which tasks and triggers report."""
        self._restart("api-server")

    def database(self) -> None:
        """The database refuses writers for some seconds."""
        with contextlib.closing(sqlite3.connect(self.airflow.database, timeout=60)) as connection:
            connection.isolation_level = None
            connection.execute("begin immediate")
            time.sleep(self.random.uniform(1, 4))  # this is the fault: how long the database is away
            connection.execute("rollback")

    def mirakl(self) -> None:
        """Every sandbox: open connections break, and it comes back with its state."""
        for case in self.cases:
            case.restart()

    def machine(self) -> None:
        """All of Airflow at once."""
        self._restart(*self.airflow.commands)

    def _restart(self, *names: str) -> None:
        for name in names:
            self.airflow.kill(name)
        for name in names:
            self.airflow.start(name)


VICTIMS = tuple(name for name in vars(Strikes) if not name.startswith("_"))


@dataclass
class Chaos:
    """Rounds, and what came of them.

    :param operations: what runs in each round.
    :param victims: what may be struck.
    :param faults: the chance that a sandbox fails a call.
    :param seed: of every choice.
    """

    airflow: LiveAirflow
    place: Path
    operations: Sequence[Operation] = OPERATIONS
    victims: Sequence[str] = VICTIMS
    faults: float = 0.4
    seed: int = 1
    say: Callable[[str], object] = print
    tallies: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def round(self, number: int) -> None:
        """Start all operations, strike, wait for their ends, and judge."""
        rnd = random.Random(f"{self.seed} {number}")  # noqa: S311 - repeatable on purpose
        chosen = rnd.sample(self.victims, 1 if len(self.victims) == 1 or rnd.random() < 0.75 else 2)
        cases = [
            Case(self.airflow, operation, self.place / f"r{number}_{index}", self._fault(rnd))
            for index, operation in enumerate(self.operations)
        ]
        try:
            for case in cases:
                self.airflow.until_dag(case.folder.name)
            for case in cases:
                case.start()
            calls = rnd.randrange(MOST_CALLS * len(cases) // len(OPERATIONS) + 1)
            with contextlib.suppress(
                AssertionError
            ):  # fewer calls than that are made: strike what still runs
                self.airflow.until(
                    lambda: (
                        all(case.done for case in cases)
                        or sum(len(case.sandbox.journal()) for case in cases) >= calls
                    ),
                    "the moment to strike",
                    PATIENCE / 4,
                )
            struck = [case for case in cases if not case.done]
            strikes = Strikes(self.airflow, cases, rnd)
            for victim in chosen:
                getattr(strikes, victim)()
            name = " + ".join(chosen)
            self.say(
                f"round {number}: {name} struck after {calls} calls, {len(struck)} of {len(cases)} were running"
            )
            with contextlib.suppress(AssertionError):  # hung: said for each case
                self.airflow.until(lambda: all(case.done for case in cases), "all runs are over", PATIENCE)
            for case in cases:
                self._note(number, name if case in struck else "none", case)
        finally:
            for case in cases:
                case.sandbox.stop()

    def _fault(self, rnd: random.Random) -> dict[str, Any] | None:
        if rnd.random() >= self.faults:
            return None
        return {**rnd.choice(FAULTS), "skip": rnd.randrange(6)}

    def _note(self, number: int, victim: str, case: Case) -> None:
        tally = self.tallies.setdefault((case.operation.name, victim), Counter())
        tally["cases"] += 1
        for column, words in case.judge():
            tally[column] += 1
            fault = f", fault {case.fault}" if case.fault else ""
            line = f"round {number}, {case.operation.name}, {victim}{fault}: {column}: {words}"
            self.say(f"  {line}")
            if column in ("lost", "doubled", "untrue", "hung") or (column == "failed" and not case.fault):
                self.wrong.append(line)

    def table(self) -> str:
        """Operation by victim."""
        columns = ("cases", "failed", "lost", "doubled", "repeated", "untrue", "hung")
        total: Counter[str] = Counter()
        for tally in self.tallies.values():
            total.update(tally)
        rows = [("operation", "victim", *columns)]
        for (operation, victim), tally in sorted(self.tallies.items()):
            rows.append((operation, victim, *(str(tally[column]) for column in columns)))
        return table([*rows, ("all", "", *(str(total[column]) for column in columns))])


def main() -> int:
    """Run, print the table, and say by the exit code whether anything was lost, doubled, untrue or hung."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="rounds; each runs all operations once")
    parser.add_argument("--first", type=int, default=1, help="number of the first round")
    parser.add_argument("--seed", type=int, default=1, help="of every choice")
    parser.add_argument("--only", default="", help="names of operations, separated by commas")
    parser.add_argument("--victims", default=",".join(VICTIMS), help="separated by commas")
    parser.add_argument("--faults", type=float, default=0.4, help="chance that a sandbox fails a call")
    options = parser.parse_args()
    wanted = set(filter(None, options.only.split(",")))
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        with LiveAirflow(place / "home", place / "connections.json") as airflow:
            chaos = Chaos(
                airflow,
                place,
                [each for each in OPERATIONS if not wanted or each.name in wanted],
                options.victims.split(","),
                options.faults,
                options.seed,
                lambda words: print(words, flush=True),
            )
            for number in range(options.first, options.first + options.rounds):
                chaos.round(number)
    print(chaos.table())
    print("\n".join(["", *chaos.wrong]) if chaos.wrong else "\nNothing was lost, doubled, untrue or hung.")
    return bool(chaos.wrong)


if __name__ == "__main__":
    sys.exit(main())
