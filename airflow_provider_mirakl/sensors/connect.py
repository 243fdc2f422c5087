"""A sensor on the catalog of Mirakl Connect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.runtime.arguments import is_nothing, read_structure
from airflow_provider_mirakl.sensors.base import MiraklBaseSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.jobs.waiting import Found

MAX_IDS = 1000
"""Ids that may be named one by one: they travel to the triggerer."""


class MiraklConnectProductsSensor(MiraklBaseSensor):
    """Wait until products are present in Mirakl Connect, absent, or equal to what was submitted.

    There is no filter in Connect, so each look reads the catalog page by page, one page a minute: a look at 100,000
    products takes 100 minutes. It ends early when everything that is to be present was seen.

    Name either ``product_ids`` or ``submitted``.

    :param product_ids: ids of the products, at most 1,000. Templated.
    :param expect: with ``product_ids``: ``present`` (all of them) or ``absent`` (none of them).
    :param submitted: what was sent: the result of an operator that upserts, deletes or syncs, or its ``folder``. Waits
        until what was upserted is equal and what was deleted is absent. The triggerer has to reach the folder when
        the sensor is deferrable. Templated.
    :param sample: with ``submitted``: look at only so many products; default all.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param poke_interval: seconds between two looks; by default 300, which Mirakl recommends.
    :param kwargs: of :class:`~airflow_provider_mirakl.sensors.base.MiraklBaseSensor`, such as ``deferrable`` and
        ``timeout`` in seconds.
    :return: how many products were found as expected, under ``succeeded``.
    :raises AirflowSensorTimeout: not in time.

    Source: :ref:`listProducts <facts-listproducts>`.
    """

    template_fields: Sequence[str] = ("product_ids", "submitted", "mirakl_connect_conn_id")
    poll = "airflow_provider_mirakl.sensors.connect_poll.catalog_matches"

    def __init__(
        self,
        *,
        product_ids: Sequence[str] | str | None = None,
        expect: Literal["present", "absent"] = "present",
        submitted: str | Mapping[str, Any] | None = None,
        sample: int | None = None,
        mirakl_connect_conn_id: str = MiraklConnectHook.default_conn_name,
        poke_interval: float | timedelta = 300.0,  # a parameter of its own, so that default_args reaches it
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.product_ids = product_ids
        self.expect = expect
        self.submitted = submitted
        self.sample = sample
        self.mirakl_connect_conn_id = mirakl_connect_conn_id

    @cached_property
    def hook(self) -> MiraklConnectHook:
        """The hook of the sensor's connection."""
        return MiraklConnectHook(self.mirakl_connect_conn_id)

    def poll_arguments(self) -> dict[str, Any]:
        """What to look for.

        :raises MiraklConfigurationError: both or neither of ``product_ids`` and ``submitted``, one that cannot be
            used, or too many ids.
        """
        if self.expect not in ("present", "absent"):
            raise MiraklConfigurationError(
                f"expect: is {self.expect!r}; give present or absent", field="expect"
            )
        if is_nothing(self.product_ids) == is_nothing(self.submitted):
            raise MiraklConfigurationError("name either product_ids or submitted", field="product_ids")
        if not is_nothing(self.submitted):
            submitted = read_structure(self.submitted)
            folder = submitted.get("folder") if isinstance(submitted, Mapping) else submitted
            if not isinstance(folder, str) or not folder:
                raise MiraklConfigurationError(
                    f"submitted: {self.submitted!r:.200} names no folder; give the result of an operator that upserts, "
                    "deletes or syncs, or its folder",
                    field="submitted",
                )
            return {"folder": folder, "sample": self.sample, "reader": f"sensor-{self.task_id}"}
        given: Any = read_structure(self.product_ids)
        ids = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
        if not 0 < len(ids) <= MAX_IDS or not all(isinstance(one, str) and one for one in ids):
            raise MiraklConfigurationError(
                f"product_ids: name 1 to {MAX_IDS:,} ids, each a text; for more, use submitted",
                field="product_ids",
            )
        return {"product_ids": ids, "expect": self.expect}

    def conclude(self, context: Context, found: Found) -> Any:
        """Say how many products are as expected."""
        self.log.info("%s products are as expected", f"{found['succeeded']:,}")
        return found
