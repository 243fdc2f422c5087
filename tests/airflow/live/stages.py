"""A stage is what one scenario runs on: a sandbox, a connection to it, a product file and a Dag."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live_airflow import LiveAirflow, Run

from airflow_provider_mirakl.sandbox import Sandbox

DAG = """
import datetime

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectUpsertProductsOperator,
    MiraklConnectVerifyProductsOperator,
)

with DAG(dag_id={dag_id!r}, schedule=None, start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)):
    upsert = MiraklConnectUpsertProductsOperator(
        task_id="upsert",
        source="{{{{ dag_run.conf['source'] }}}}",
        mirakl_connect_conn_id={dag_id!r},
        batch_size=5,
        retry_delay=datetime.timedelta(seconds=1),
        **{upsert!r},
    )
    if {verify!r} is not None:
        MiraklConnectVerifyProductsOperator(
            task_id="verify",
            submitted=upsert.output,
            mirakl_connect_conn_id={dag_id!r},
            round_interval=60,
            **({verify!r} or {{}}),
        )
"""


@dataclass(frozen=True)
class Stage:
    """One scenario: what it runs on.

    :param name: of the Dag and of the connection.
    :param source: the product file; five products a call.
    :param ids: of its products.
    """

    airflow: LiveAirflow
    name: str
    sandbox: Sandbox
    source: Path
    ids: list[str]

    def start(self) -> Run:
        """Start a run of the Dag."""
        return self.airflow.trigger(self.name, {"source": str(self.source)})

    def write_source(self, **fields: Any) -> None:
        """Write the source file again, each product with its id and these fields."""
        lines = (json.dumps({"id": item, **fields}) + "\n" for item in self.ids)
        self.source.write_text("".join(lines), encoding="utf-8")

    def sent(self) -> Counter[str]:
        """How often Mirakl accepted each product."""
        return Counter(row["item"] for row in self.sandbox.ledger() if row["operation"] == "upsertProducts")

    def chunks(self) -> list[list[str]]:
        """The accepted calls in order, each with its products."""
        calls: dict[int, list[str]] = {}
        for row in self.sandbox.ledger():
            calls.setdefault(row["call"], []).append(row["item"])
        return [calls[number] for number in sorted(calls)]

    def statuses(self, operation: str = "upsertProducts") -> list[int]:
        """How the calls of an operation were answered, in order."""
        return [call["status"] for call in self.sandbox.journal(operation)]

    def until_accepted(self, count: int, timeout: float = 180) -> None:
        """Wait until Mirakl has accepted this many calls."""
        self.airflow.until(
            lambda: len(self.chunks()) >= count, f"{self.name}: {count} calls accepted", timeout
        )

    def until_refused(self, status: int, count: int) -> None:
        """Wait until Mirakl has answered this many calls with a status."""
        self.airflow.until(
            lambda: self.statuses().count(status) >= count,
            f"{self.name}: {count} calls refused with {status}",
        )


SetStage = Callable[..., Stage]
