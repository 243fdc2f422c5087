"""The listings that can be extracted, as data: those of Mirakl Connect, and those of an instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from airflow_provider_mirakl.api.call import Call, Json, Operation, Page, Params, Reply, moment, query
from airflow_provider_mirakl.api.conversations import get_conversation_messages, list_conversations
from airflow_provider_mirakl.api.orders import list_orders
from airflow_provider_mirakl.api.paging import offset_page, seek_page
from airflow_provider_mirakl.api.returns import list_returns
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.extract.fields import CONVERSATION, MESSAGE, ORDER, RETURN, Shape
from airflow_provider_mirakl.extract.offsets import PAGE_SIZE, check_query

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing; most can be read from a given time on.

    :param call: the call of its first page, for rows that changed at a given time or later, and further filters.
    :param shape: the structure of its rows.
    :param id: field that identifies a row.
    :param updated: field with the time of a row's last change.
    :param newest_first: whether the last change is listed first, so that the first page shows the end of the range.
        Otherwise the time before the first call is used, by this machine's clock; the overlap covers the difference.
    :param incremental: whether it can be read from a given time on. Otherwise every run reads all rows.
    :param lines: the call for the lines of a row, by its id, where the listing does not have them.
    :param by_query: makes the call of any page, where reading a page needs to know its query.
    :param sorted_by: for a listing by offset: the field with the time by which its rows are sorted, if that never
        changes. Its pages then overlap, so that no row is missed while others leave the listing.
    :param changing: filters by what may change without the row being listed again, because ``updated`` is the time of
        its creation. They cannot be used with a watermark.
    """

    call: Callable[..., Call[Page[dict[str, Json]]]]
    shape: Shape
    id: str = "id"
    updated: str = "updated_at"
    newest_first: bool = True
    incremental: bool = True
    lines: Callable[[str], Call[list[dict[str, Json]]]] | None = None
    by_query: Callable[[Params], Call[Page[dict[str, Json]]]] | None = None
    sorted_by: str = ""
    changing: tuple[str, ...] = ()

    def since(self, moment: datetime, filters: dict[str, Any]) -> Call[Page[dict[str, Json]]]:
        """The call of the first page.

        :raises MiraklConfigurationError: with these filters its pages cannot be joined.
        """
        first = self.call(updated_from=moment, **filters)
        if self.sorted_by:
            check_query(first.params)
        return first

    def page(self, params: Params) -> Call[Page[dict[str, Json]]]:
        """The call of any page, by its query."""
        if self.by_query is not None:
            return self.by_query(params)
        return replace(self.call(updated_from=_EPOCH), params=params)


_PARTICIPANTS: tuple[tuple[str, ...], ...] = (("participants",), ("topic", "value"))

LISTINGS: dict[str, Listing] = {
    "orders": Listing(
        list_orders,
        Shape(
            "orders",
            ORDER,
            lines="order_lines",
            line_table="order_lines",
            line_key="order_id",
            personal=(("billing_info",), ("shipping_info", "address"), ("shipping_info", "email")),
        ),
    ),
    "returns": Listing(
        list_returns,
        Shape(
            "returns",
            RETURN,
            lines="return_lines",
            line_table="return_lines",
            line_key="return_id",
            personal=(("address",), ("label_url",)),
        ),
    ),
    "conversations": Listing(
        list_conversations,
        Shape("conversations", CONVERSATION, personal=_PARTICIPANTS),
    ),
    "conversations_with_messages": Listing(
        list_conversations,
        Shape(
            "conversations",
            {**CONVERSATION, "messages": [MESSAGE]},
            lines="messages",
            line_table="messages",
            line_key="conversation_id",
            personal=(
                *_PARTICIPANTS,
                ("messages", "body"),
                ("messages", "sender"),
                ("messages", "attachments"),
            ),
        ),
        lines=get_conversation_messages,
    ),
}
"""The listings by name."""


@dataclass(frozen=True, slots=True)
class InstanceListing:
    """A listing of an instance: of the Marketplace or the Catalog Manager.

    :param code: Mirakl's code.
    :param path: path below the instance.
    :param items: field of a page that contains the rows.
    :param paging: ``offset`` (``max``, ``offset``, ``Link`` header) or ``seek`` (``page_token``).
    :param since: query parameter for rows that changed, or were created, since a given time; empty if the listing has
        none: then every run reads all rows.
    :param updated: field with the time that ``since`` refers to.
    :param id: field that identifies a row.
    :param table: name of the folder of the files.
    :param interval: shortest published time between two calls, in seconds.
    :param params: query parameters that are always sent, unless the user sets them too.
    :param newest_first: whether these parameters sort the rows by ``updated``, the latest first.
    :param sorted_by: for ``offset`` only: the field with the time by which Mirakl sorts the rows, if that never
        changes, such as the time of the creation. Then pages overlap by a few rows, so that no row is missed while
        others leave the listing. Empty if the rows are sorted by something else.
    :param changing: for a ``since`` by creation: query parameters that filter by what may change later, such as a
        state. A row that matches only later would never be delivered, so they cannot be used with a watermark.
    :param personal: paths of fields with personal data.
    """

    code: str
    path: str
    items: str
    paging: Literal["offset", "seek"]
    since: str = ""
    updated: str = ""
    id: str = "id"
    table: str = "rows"
    interval: float = 60.0
    params: Mapping[str, str | int] = field(default_factory=dict)
    newest_first: bool = False
    sorted_by: str = ""
    changing: tuple[str, ...] = ()
    personal: tuple[tuple[str, ...], ...] = field(default=())

    def listing(self) -> Listing:
        """The listing, to be read with further query parameters."""

        def first(*, updated_from: datetime, **filters: Any) -> Call[Page[dict[str, Json]]]:
            since = {self.since: moment(updated_from)} if self.since else {}
            size = {"max": PAGE_SIZE} if self.paging == "offset" else {"limit": PAGE_SIZE}
            return self._call(query(**(size | dict(self.params) | filters | since)))

        shape = Shape(self.table, personal=self.personal)
        return Listing(
            first,
            shape,
            id=self.id,
            updated=self.updated,
            newest_first=self.newest_first,
            incremental=bool(self.since),
            by_query=self._call,
            sorted_by=self.sorted_by,
            changing=tuple(self.changing),
        )

    def _call(self, params: Params) -> Call[Page[dict[str, Json]]]:
        asked = dict(params)
        others = tuple((name, value) for name, value in params if name != "offset")

        def parse(reply: Reply) -> Page[dict[str, Json]]:
            if self.paging == "seek":
                return seek_page(
                    reply,
                    self.items,
                    lambda token: self._call(query(page_token=token)),
                    page_token=asked.get("page_token"),
                )
            return offset_page(
                reply,
                self.items,
                lambda offset: self._call((*others, ("offset", str(offset)))),
                offset=int(asked.get("offset", 0)),
                page_size=int(asked.get("max", PAGE_SIZE)),
                optional=True,
                joined=bool(self.sorted_by),
            )

        # Rows of an instance may contain personal data, so messages never quote them.
        operation = Operation(self.code, "GET", self.path, replay=True, interval=self.interval, personal=True)
        return Call(operation, parse=parse, params=params)


INSTANCE_LISTINGS: dict[str, InstanceListing] = {
    row.code: row
    for row in (
        InstanceListing(
            "OR11", "/api/orders", "orders", "offset", "start_update_date", "last_updated_date", "order_id", "orders",
            sorted_by="created_date",
            personal=(
                ("customer",), ("customer_notification_email",), ("order_additional_fields",),
                ("order_lines", "order_line_additional_fields"), ("shipping_pudo_id",), ("shipping_tracking",),
                ("shipping_tracking_url",),
            ),
        ),
        InstanceListing("OF21", "/api/offers", "offers", "offset", id="offer_id", table="offers"),
        # By creation: a later payment changes an invoice without being listed again.
        InstanceListing(
            "IV01", "/api/invoices", "invoices", "offset", "start_date", "date_created", table="invoices", interval=1.0,
            params={"type": "ALL"}, sorted_by="date_created", changing=("payment_status",),
        ),
        InstanceListing(
            "TL02", "/api/sellerpayment/transactions_logs", "data", "seek", "last_updated_from", "last_updated",
            table="transactions", params={"limit": 2000, "sort": "lastUpdated,DESC"}, newest_first=True,
        ),
        InstanceListing(
            "RT11", "/api/returns", "data", "seek", "return_last_updated_from", "last_updated", table="returns",
            interval=300.0, personal=(("return_address",), ("label_url",), ("tracking",)),
        ),
        InstanceListing(
            "M11", "/api/inbox/threads", "data", "seek", "updated_since", "date_updated", table="threads",
            personal=(
                ("authorized_participants",), ("current_participants",), ("customer_organization",), ("messages",),
                ("metadata", "last_sender"), ("topic", "value"),
            ),
        ),
    )
}  # fmt: skip
"""By Mirakl's code."""


def instance_listing(operation: str | Mapping[str, Any]) -> InstanceListing:
    """A listing of an instance.

    :param operation: Mirakl's code of one that is known, or a mapping that describes another.
    :raises MiraklConfigurationError: there is no such operation, or the mapping describes none.
    """
    if isinstance(operation, str):
        if operation not in INSTANCE_LISTINGS:
            raise MiraklConfigurationError(
                f"operation must be one of {', '.join(INSTANCE_LISTINGS)} or a mapping, not {operation!r}",
                field="operation",
            )
        return INSTANCE_LISTINGS[operation]
    try:
        described = InstanceListing(**operation)
    except TypeError as error:
        raise MiraklConfigurationError(f"operation: cannot be read ({error})", field="operation") from None
    if described.paging not in ("offset", "seek"):
        raise MiraklConfigurationError(
            f"operation: paging must be offset or seek, not {described.paging!r}", field="operation"
        )
    if described.sorted_by and described.paging == "seek":
        raise MiraklConfigurationError(
            "operation: sorted_by is for paging by offset; a listing by seek does not need it",
            field="operation",
        )
    return described


def find_listing(described: str | Mapping[str, Any]) -> Listing:
    """A listing by what a task says of it.

    :param described: a name of :data:`LISTINGS`; or as :func:`instance_listing` takes it.
    :raises MiraklConfigurationError: there is none.
    """
    if isinstance(described, str) and described in LISTINGS:
        return LISTINGS[described]
    return instance_listing(described).listing()
