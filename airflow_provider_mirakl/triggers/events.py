"""Event triggers: an event in Mirakl starts a Dag, through an asset and its watcher. Airflow 3.0 and later.

::

    from airflow.sdk import DAG, Asset, AssetWatcher

    ended = Asset(
        "mirakl_imports",
        watchers=[AssetWatcher(name="imports", trigger=MiraklProductImportsTrigger(mirakl_conn_id="shop"))],
    )
    with DAG("after_import", schedule=[ended]): ...

An event contains ``watch``, ``conn_id``, ``items`` (a count), ``found`` (the first 100: ids and states),
``since`` and ``until``. A Dag finds it in the asset event's ``extra["payload"]``. It contains no personal data. The
window of the poll began at ``since``, two minutes or more before the previous poll, so that a change which became
visible late is in it.

Delivery is at least once: a triggerer that dies within seconds of an event delivers it again. The position is kept in
Airflow's ``asset_state_store`` from 3.3 on, before that in the work folder, which triggerers must share; so events that
happen while no triggerer runs are delivered later. Events from before the first start of a watcher are not.

An error does not end a trigger, since Airflow would start it again every second: it is logged, and polled again later.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.triggers.base import TriggerEvent

from airflow_provider_mirakl._compat import HAS_EVENT_TRIGGERS, BaseEventTrigger
from airflow_provider_mirakl.api.values import in_utc
from airflow_provider_mirakl.exceptions import MiraklConfigurationError

if TYPE_CHECKING:
    from airflow_provider_mirakl.triggers.watching import Watching

log = logging.getLogger(__name__)

Role = Literal["shop", "operator", "front"]


class MiraklEventTrigger(BaseEventTrigger):
    """Base of the event triggers: polls forever, and fires whenever something new is listed.

    :param conn_id: the connection.
    :param role: the role whose key is used; ``None`` is the connection's own.
    :param shop_id: the shop; ``None`` is the connection's own.
    :param options: the options of the watch.
    :param poke_interval: seconds between two polls. The connection's ``interval_factor`` stretches it.
    :param since: at the very first start, also deliver events from this time on.
    :raises MiraklConfigurationError: before Airflow 3.0, for a shorter interval than Mirakl permits, or an invalid
        time.
    """

    watch: ClassVar[str]
    """Name of the watch in the table of watches."""
    hook: ClassVar[str] = "airflow_provider_mirakl.hooks.mirakl.MiraklHook"
    shortest: ClassVar[float] = 60.0
    """Seconds between two polls that Mirakl permits, as in the table."""

    def __init__(
        self,
        conn_id: str,
        *,
        role: str | None = None,
        shop_id: int | None = None,
        options: Mapping[str, Collection[Any] | None] | None = None,
        poke_interval: float = 300.0,
        since: datetime | str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if not HAS_EVENT_TRIGGERS:
            raise MiraklConfigurationError(
                f"{type(self).__name__} needs Airflow 3.0 or later; use the sensor on an older one",
                field="trigger",
            )
        if poke_interval < self.shortest:
            raise MiraklConfigurationError(
                f"poke_interval must be {self.shortest:g} s or more, not {poke_interval:g} s: Mirakl publishes that as "
                "the shortest interval",
                field="poke_interval",
            )
        self.conn_id = conn_id
        self.role = role
        self.shop_id = shop_id
        self.options = {name: list(value) for name, value in (options or {}).items() if value is not None}
        self.poke_interval = poke_interval
        self.since = _iso(since)
        self._watching: Watching | None = None

    def arguments(self) -> dict[str, Any]:
        """The parameters of the subclass, serializable as JSON."""
        return {"role": self.role, "shop_id": self.shop_id, **self.options}

    conn_field: ClassVar[str] = "mirakl_conn_id"

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, as Airflow stores them."""
        arguments = {self.conn_field: self.conn_id, **self.arguments()}
        arguments |= {"poke_interval": self.poke_interval, "since": self.since}
        return f"{type(self).__module__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire at each poll that finds something new, for as long as the asset is watched."""
        from airflow_provider_mirakl.triggers.watching import Watching

        self._watching = Watching(self)
        async with aclosing(self._watching.events()) as events:
            async for event in events:
                yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def cleanup(self) -> None:
        """Leave the shared listing."""
        if self._watching is not None:
            self._watching.leave()


class _ImportsTrigger(MiraklEventTrigger):
    """Fires when an import has ended. The triggers made of it describe the parameters."""

    def __init__(
        self,
        *,
        mirakl_conn_id: str = "mirakl_default",
        role: Role | None = None,
        shop_id: int | None = None,
        states: Collection[str] | None = None,
        poke_interval: float = 300.0,
        since: datetime | str | None = None,
    ) -> None:
        super().__init__(
            mirakl_conn_id,
            role=role,
            shop_id=shop_id,
            options={"states": states},
            poke_interval=poke_interval,
            since=since,
        )


class MiraklProductImportsTrigger(_ImportsTrigger):
    """Fires when a product import has ended (P51).

    :param mirakl_conn_id: connection of type ``mirakl``.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: only imports of this shop; default the connection's own. The operator may leave it out and gets the
        imports of all shops.
    :param states: only these of Mirakl's states, such as ``["COMPLETE"]``; default every final state. With
        ``SENT`` an import is also delivered when its products have been sent to the operator.
    :param poke_interval: seconds between two polls; Mirakl permits 60 and recommends 300.
    :param since: at the very first start, also deliver changes from this time on.
    """

    watch = "product_imports"


class MiraklOfferImportsTrigger(_ImportsTrigger):
    """Fires when an import of offers has ended (OF04).

    :param mirakl_conn_id: connection of type ``mirakl``.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: only imports of this shop; default the connection's own.
    :param states: only these of Mirakl's states, such as ``["FAILED"]``; default every final state.
    :param poke_interval: seconds between two polls; Mirakl permits 60 and recommends 300.
    :param since: at the very first start, also deliver imports created from this time on.
    """

    watch = "offer_imports"


class MiraklProductStatusTrigger(MiraklEventTrigger):
    """Fires when products of a shop changed their status: live, or not and why (CM11).

    To export what changed, pass the event's ``since`` to
    :class:`~airflow_provider_mirakl.operators.catalog_manager.MiraklExportProductStatusOperator` as ``updated_since``.

    :param mirakl_conn_id: connection of type ``mirakl``.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: the shop; default the connection's own. The operator and the front office must set one.
    :param statuses: only ``LIVE`` or only ``NOT_LIVE`` products; default both.
    :param poke_interval: seconds between two polls; Mirakl permits 300.
    :param since: at the very first start, also deliver changes from this time on.
    """

    watch = "product_status"
    shortest = 300.0

    def __init__(
        self,
        *,
        mirakl_conn_id: str = "mirakl_default",
        role: Role | None = None,
        shop_id: int | None = None,
        statuses: Collection[Literal["LIVE", "NOT_LIVE"]] | None = None,
        poke_interval: float = 300.0,
        since: datetime | str | None = None,
    ) -> None:
        super().__init__(
            mirakl_conn_id,
            role=role,
            shop_id=shop_id,
            options={"statuses": statuses},
            poke_interval=poke_interval,
            since=since,
        )


class MiraklShopDocumentsTrigger(MiraklEventTrigger):
    """Fires when documents of shops arrived (S30).

    :param mirakl_conn_id: connection of type ``mirakl``.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_ids: only documents of these shops; default the connection's own shop; of the operator and the front
        office, all shops.
    :param type_codes: only documents of these types; default all.
    :param poke_interval: seconds between two polls. Mirakl publishes no interval for S30.
    :param since: at the very first start, also deliver documents that arrived from this time on; at most 90 days ago.
    """

    watch = "shop_documents"

    def __init__(
        self,
        *,
        mirakl_conn_id: str = "mirakl_default",
        role: Role | None = None,
        shop_ids: Collection[int] | None = None,
        type_codes: Collection[str] | None = None,
        poke_interval: float = 300.0,
        since: datetime | str | None = None,
    ) -> None:
        super().__init__(
            mirakl_conn_id,
            role=role,
            options={"shop_ids": shop_ids, "type_codes": type_codes},
            poke_interval=poke_interval,
            since=since,
        )

    def arguments(self) -> dict[str, Any]:
        """The parameters of the subclass, serializable as JSON."""
        return {"role": self.role, **self.options}


class MiraklConnectOrdersTrigger(MiraklEventTrigger):
    """Fires when orders of Mirakl Connect are in one of given states (v2-listOrders).

    The event contains the ids of the orders; fetch what you need with
    :class:`~airflow_provider_mirakl.operators.connect_orders.MiraklConnectExtractOrdersOperator`.

    :param statuses: the states, such as ``["AWAITING_ACCEPTANCE"]``. An order is delivered once for each of them.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.
    :param poke_interval: seconds between two polls; Mirakl permits 60.
    :param since: at the very first start, also deliver orders that changed from this time on.
    """

    watch = "orders"
    hook = "airflow_provider_mirakl.hooks.mirakl_connect.MiraklConnectHook"
    conn_field = "mirakl_connect_conn_id"

    def __init__(
        self,
        *,
        statuses: Collection[str],
        mirakl_connect_conn_id: str = "mirakl_connect_default",
        poke_interval: float = 300.0,
        since: datetime | str | None = None,
    ) -> None:
        super().__init__(
            mirakl_connect_conn_id,
            options={"statuses": statuses},
            poke_interval=poke_interval,
            since=since,
        )

    def arguments(self) -> dict[str, Any]:
        """The parameters of the subclass, serializable as JSON."""
        return dict(self.options)


def _iso(moment: datetime | str | None) -> str | None:
    if moment is None:
        return None
    try:
        found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        return in_utc(found).isoformat()
    except (ValueError, AttributeError):
        raise MiraklConfigurationError(
            f"since must be a date-time such as 2026-01-31T10:00:00Z, not {moment!r}", field="since"
        ) from None
