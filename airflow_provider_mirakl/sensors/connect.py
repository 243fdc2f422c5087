"""A sensor on the catalog of Mirakl Connect."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.runtime.arguments import Choice, Codes, Maybe, Submitted, Whole
from airflow_provider_mirakl.runtime.task_run import TaskRun
from airflow_provider_mirakl.sensors.base import MiraklConnectSensor

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.jobs.waiting import Found
    from airflow_provider_mirakl.runtime.arguments import CodesArg, MappingArg, PathArg, TextArg, WholeArg
    from airflow_provider_mirakl.runtime.signatures import ConnectSensorArguments
    from airflow_provider_mirakl.runtime.waiting import Wait

Expect = Literal["present", "absent"]
MAX_IDS = 1000
"""Largest number of ids, since they are sent to the triggerer."""


class MiraklConnectProductsSensor(MiraklConnectSensor):
    """Wait until products are present in Mirakl Connect, absent, or equal to what was submitted.

    Connect has no filter, so each poll reads the catalog page by page, one page a minute: a poll of 100,000
    products takes 100 minutes. It ends early when every product that should be present was found.

    Set either ``product_ids`` or ``submitted``.

    :param product_ids: ids of the products, at most 1,000. Templated.
    :param expect: with ``product_ids``: ``present`` (all of them) or ``absent`` (none of them).
    :param submitted: what was sent: the result of an operator that upserts, deletes or syncs, or its ``folder``. Waits
        until upserted products are equal and deleted products are absent. If the sensor is deferrable, the triggerer
        must be able to access the folder. Templated.
    :param sample: with ``submitted``: check only this many products; default all.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param poke_interval: seconds between two polls; by default 300, which Mirakl recommends.
    :return: ``succeeded``, the number of products that are as expected.
    :raises AirflowSensorTimeout: the timeout has passed.

    Source: :ref:`listProducts <facts-listproducts>`.
    """

    product_ids = Codes()
    expect = Choice[Expect](get_args(Expect))
    submitted = Maybe(Submitted())
    sample = Maybe(Whole())
    poll = "airflow_provider_mirakl.sensors.connect_poll.catalog_matches"

    def __init__(
        self,
        *,
        product_ids: CodesArg | None = None,
        expect: Expect | TextArg = "present",
        submitted: MappingArg | PathArg | None = None,
        sample: WholeArg | None = None,
        **kwargs: Unpack[ConnectSensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.product_ids = product_ids
        self.expect = expect
        self.submitted = submitted
        self.sample = sample
        self._reader = ""

    def _wait(self, context: Context) -> Wait:
        self._reader = TaskRun(context, None, begins=False).reader
        return super()._wait(context)

    def _remember(self, context: Context) -> None:
        from airflow_provider_mirakl.sensors.connect_poll import passing_on

        due = time.time() + self.interval() if self._permitted_at is None else self._permitted_at
        passing_on(self.notes.get("reading", {}), due)
        super()._remember(context)

    def poll_arguments(self) -> dict[str, Any]:
        """The poll's arguments.

        :raises MiraklConfigurationError: both or neither of ``product_ids`` and ``submitted`` are set, one is
            invalid, or there are too many ids.
        """
        if bool(self.product_ids) == (self.submitted is not None):
            raise MiraklConfigurationError(
                "exactly one of product_ids and submitted must be set", field="product_ids"
            )
        reading = self.notes.get("reading")
        begun = {"begun": reading} if reading else {}
        if self.submitted is not None:
            return {"folder": self.submitted, "sample": self.sample, "reader": self._reader} | begun
        if len(self.product_ids) > MAX_IDS:
            raise MiraklConfigurationError(
                f"product_ids must be {MAX_IDS:,} ids or fewer, not {len(self.product_ids):,}; for more, use submitted",
                field="product_ids",
            )
        return {"product_ids": self.product_ids, "expect": self.expect} | begun

    @property
    def awaited(self) -> str:
        """The products."""
        if self.submitted is not None:
            return f"the products of {self.submitted}"
        return f"{len(self.product_ids):,} products to be {self.expect}"

    def conclude(self, context: Context, found: Found) -> Any:
        """Log the number of products that are as expected."""
        self.log.info("%s products are as expected", f"{found['succeeded']:,}")
        return found
