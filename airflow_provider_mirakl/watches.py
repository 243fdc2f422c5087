"""The events in Mirakl since the last poll, for the event triggers. Pure decisions: a generator polls, one table says
what counts.

Mirakl lists changes since a given time. The time alone is not enough to deliver every event exactly once:
Mirakl's clock may differ from ours, and a change may be listed slightly later. So each poll overlaps the previous one
by :data:`OVERLAP`, and delivered events are stored as short hashes.

=====================  =============================================================================================
``Cursor.since``       everything before it was delivered
``Cursor.told``        hashes of the last delivered events, at most :data:`REMEMBERED`, which are not delivered again;
                       each has 12 characters and a space, except those of earlier versions
``Cursor.states``      the same where an item can return to an earlier state (CM11): pairs of hashes, of the item and of
                       its last state, so that each change is an event
``Cursor.settled``     of what was created before this time, only ``waiting`` may still become an event
``Cursor.waiting``     hashes of unfinished jobs, at most :data:`MAX_WAITING`
=====================  =============================================================================================

A listing by creation (OF04) shows a job only if the poll covers the time of its creation. There ``since`` does not
move while a job is unfinished, for at most :data:`LONGEST_JOB`. Meanwhile more jobs may end than ``told`` has room
for, so ``settled`` and ``waiting`` say which of the listed jobs are old.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2s
from typing import Any, NamedTuple

from airflow_provider_mirakl.api.call import Call, Json, Page, Reply
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.catalog_manager import export_source_status
from airflow_provider_mirakl.api.documents import MAX_PERIOD, VARIANTS, list_documents
from airflow_provider_mirakl.api.offers import list_offer_imports
from airflow_provider_mirakl.api.orders import list_orders
from airflow_provider_mirakl.api.paging import PageWalk
from airflow_provider_mirakl.api.products import list_imports
from airflow_provider_mirakl.api.steps import Steps, send
from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.jobs.table import JOBS, evaluate

OVERLAP = timedelta(seconds=120)
REMEMBERED = 3000
"""Largest number of events in a cursor: 39 kB, or 48 kB with their items, of the 64 kB that Airflow stores without a
warning."""
_HASH = 8
"""Characters of a hash that is compared with one other."""
_LONG = 12
"""Characters of a hash in ``told``: a new event with the hash of one of thousands would never be delivered."""
MAX_WAITING = 500
"""Largest number of unfinished jobs in a cursor, the oldest. If there are more, ``settled`` ends before the others."""
LONGEST_JOB = timedelta(days=30)
SHOWN = 100
"""Largest number of items in an event, besides their count."""


class Seen(NamedTuple):
    """Something in a listing.

    :param key: identifies the event: the same item in another state has another key.
    :param shown: its data in an event: ids and states, nothing personal.
    :param happened: whether it is an event already; otherwise it may become one.
    :param at: when it happened, if Mirakl says so.
    :param item: identifies it in every state, if it is a job or may return to an earlier state.
    :param created: when the job was created.
    """

    key: str
    shown: dict[str, Any]
    happened: bool
    at: datetime | None = None
    item: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of a watch.

    :param since: everything before this time was delivered.
    :param told: hashes of delivered events, the newest last.
    :param settled: of what was created before this time, only ``waiting`` may still become an event; default
        ``since``.
    :param waiting: hashes of the unfinished jobs that were created before ``settled``.
    :param states: hashes of items and of their last states, in turn.
    """

    since: datetime
    told: str = ""
    settled: datetime | None = None
    waiting: str = ""
    states: str = ""

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        settled = None if self.settled is None else self.settled.isoformat()
        return {
            "since": self.since.isoformat(),
            "told": self.told,
            "settled": settled,
            "waiting": self.waiting,
            "states": self.states,
        }

    @classmethod
    def load(cls, dumped: object) -> Cursor | None:
        """The cursor from :meth:`dump`; ``None`` for anything else."""
        if not isinstance(dumped, Mapping):
            return None
        since, settled = moment_of(dumped.get("since")), moment_of(dumped.get("settled"))
        if since is None:
            return None
        waiting = dumped.get("waiting")
        if settled is None or not isinstance(waiting, str):
            settled, waiting = None, ""
        return cls(since, _text(dumped.get("told")), settled, waiting, _text(dumped.get("states")))


WATCH = NoteKind(
    file="watch-*.json",
    holds="the position of an event trigger",
    type=Cursor,
    damaged="stop",
    fix="Remove it to deliver only events from now on.",
)


@dataclass(frozen=True, slots=True)
class Watch:
    """A kind of event that can be watched.

    :param name: its name.
    :param call: the call that lists it since a given time, for a caller and the options that Mirakl filters by.
    :param read: reads a reply, with the options that are compared here.
    :param shortest: shortest published time between two polls, in seconds.
    :param recommended: recommended time.
    :param filters: names of the options that Mirakl filters by; the others are compared here, so that watches which
        differ in them share a listing.
    :param by_creation: whether Mirakl lists by creation instead of by change.
    :param returns: whether an item can return to an earlier state, which is an event again.
    :param own_time: whether what is listed says when it happened, so that a listing may reach back further than a watch
        needs.
    """

    name: str
    call: Callable[[Caller, datetime, Mapping[str, Any]], Call[Any]]
    read: Callable[[Any, Mapping[str, Any]], Iterator[Seen]]
    shortest: float
    recommended: float
    filters: tuple[str, ...] = ()
    by_creation: bool = False
    returns: bool = False
    own_time: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """The finding of a poll.

    :param found: the new events, oldest first as far as Mirakl shows it.
    :param cursor: for the next poll.
    """

    found: list[dict[str, Any]]
    cursor: Cursor


def listed(watch: Watch, caller: Caller, since: datetime, options: Mapping[str, Any]) -> Steps[list[Any]]:
    """Everything that Mirakl lists since a given time, page by page.

    :return: the replies: items of pages, or the whole of a reply that has none.
    :raises MiraklReplyError: the pages do not end.
    """
    walk: PageWalk[Any] = PageWalk(watch.call(caller, since, options))
    found: list[Any] = []
    while walk.following is not None:
        reply: Any = yield from send(walk.following)
        if isinstance(reply, Page):
            found += walk.arrived(reply).items
        else:
            found.append(reply)
            walk.following = None
    return found


def begin_of(watch: Watch, cursor: Cursor) -> datetime:
    """The time from which a poll must list."""
    return _before(cursor.since)


def _before(moment: datetime) -> datetime:
    """A moment and the overlap. Calendars end where a damaged cursor may be, so that is the epoch."""
    return (moment if 1970 <= moment.year < 9999 else datetime(1970, 1, 1, tzinfo=UTC)) - OVERLAP


def news(
    watch: Watch, replies: Iterable[Any], options: Mapping[str, Any], cursor: Cursor, now: datetime
) -> News:
    """Compare a listing with the delivered events.

    :param replies: the replies of :func:`listed`, which may reach further back than the cursor.
    :param now: when the listing was requested.
    """
    begin, told = begin_of(watch, cursor), _told(cursor.told)
    settled, awaited = _before(cursor.settled or cursor.since), set(_hashes(cursor.waiting))
    pairs = _hashes(cursor.states)
    states = dict(zip(pairs[::2], pairs[1::2], strict=False))
    known, fresh, found, waiting = set(told), [], [], []
    listed_now: dict[str, str] = {}
    for seen in (seen for reply in replies for seen in watch.read(reply, options)):
        created = seen.created if watch.by_creation else None
        item, digest = _hash(seen.item), _hash(seen.key)
        if not seen.happened:
            states.pop(item, None)  # it may return
            if created is not None and created > now - LONGEST_JOB:
                waiting.append((created, item))
            continue
        if seen.at is not None and seen.at < begin:
            continue  # long ago: a seller's S30 lists everything
        if created is not None and created < settled and item not in awaited:
            continue  # listed again, because another one has not ended
        if watch.returns:
            before = states.pop(item, None)
            listed_now[item] = digest
            if digest == before or (before is None and digest in known):  # known: noted by an earlier version
                continue
        else:
            long = _hash(seen.key, _LONG)
            if long in known or digest in known:  # the shorter one: noted by an earlier version
                continue
            known.add(long)
            fresh.append(long)
        found.append(seen.shown)
    waiting.sort()
    since = min([now, *(created for created, _ in waiting[:1])])
    settled = min([now, *(created for created, _ in waiting[MAX_WAITING:])])
    # The newest is listed first, and kept longest.
    told = [] if watch.returns else [*told, *fresh[::-1]]
    last = [*states.items(), *reversed(listed_now.items())]
    return News(
        found[::-1],
        Cursor(
            since,
            "".join(f"{each} " for each in told[-REMEMBERED:]),
            settled,
            "".join(digest for _, digest in waiting[:MAX_WAITING]),
            "".join(part for pair in last[-REMEMBERED:] for part in pair),
        ),
    )


def _hash(text: str, characters: int = _HASH) -> str:
    return blake2s(text.encode(), digest_size=characters // 2).hexdigest()


def _told(joined: str) -> list[str]:
    """The hashes of delivered events. Those of an earlier version are short and without a space."""
    return joined.split() if " " in joined else _hashes(joined)


def _hashes(joined: str) -> list[str]:
    return [joined[place : place + _HASH] for place in range(0, len(joined), _HASH)]


# The table


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _wanted(value: object, options: Mapping[str, Any], name: str) -> bool:
    wanted: Sequence[Any] = options.get(name) or ()
    return not wanted or value in wanted


def _product_imports(caller: Caller, since: datetime, options: Mapping[str, Any]) -> Call[Any]:
    return list_imports(caller=caller, changed_since=since)


def _offer_imports(caller: Caller, since: datetime, options: Mapping[str, Any]) -> Call[Any]:
    return list_offer_imports(caller=caller, created_since=since)


def _read_import(kind_name: str) -> Callable[[Any, Mapping[str, Any]], Iterator[Seen]]:
    def read(status: Any, options: Mapping[str, Any]) -> Iterator[Seen]:
        kind = JOBS[kind_name]
        evaluation = evaluate(kind, status, early="SENT" in (options.get("states") or ()))
        import_id = status.get("import_id")
        shown = {
            "import_id": import_id,
            "state": evaluation.state,
            "shop_id": status.get("shop_id"),
            "failed": evaluation.counts.failed,
        }
        happened = evaluation.ended and _wanted(evaluation.state, options, "states")
        if happened or not evaluation.ended:
            yield Seen(
                f"{import_id} {evaluation.state}",
                shown,
                happened,
                item=str(import_id),
                created=moment_of(status.get("date_created")),
            )

    return read


def _product_status(caller: Caller, since: datetime, options: Mapping[str, Any]) -> Call[Any]:
    return export_source_status(caller=caller, updated_since=since)


_STATUS_FIELDS = frozenset((
    "attribute_code", "channels", "code", "errors", "integration_details", "message", "provider_unique_identifier",
    "reason_code", "reason_label", "rejection_details", "status", "unique_identifiers", "value", "warnings",
))  # fmt: skip
"""The fields of CM11 that Mirakl documents. A new one is no change of a product."""


def _documented(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _documented(part) for name, part in value.items() if name in _STATUS_FIELDS}
    return [_documented(part) for part in value] if isinstance(value, list) else value


def _read_product_status(body: bytes, options: Mapping[str, Any]) -> Iterator[Seen]:
    reply = Reply("CM11", 200, {}, body)  # whose body was streamed
    products: dict[str, dict[str, dict[str, Json]]] = {}
    for row in reply.objects(reply.json()) if body else ():
        key, product = json.dumps(_documented(row), sort_keys=True), row.get("provider_unique_identifier")
        products.setdefault(key if product is None else str(product), {})[key] = row
    for item, rows in products.items():  # Mirakl does not say that a product has only one row
        wanted = [row for row in rows.values() if _wanted(row.get("status"), options, "statuses")]
        row = [*wanted, *rows.values()][0]
        shown = {"product": row.get("provider_unique_identifier"), "status": row.get("status")}
        yield Seen("".join(sorted(rows)), shown, bool(wanted), item=item)


def _shop_documents(caller: Caller, since: datetime, options: Mapping[str, Any]) -> Call[Any]:
    since = max(since, datetime.now(UTC) - MAX_PERIOD + timedelta(hours=1))  # after a long downtime
    shops = options.get("shop_ids") or ([] if caller.shop_id is None else [caller.shop_id])
    changes = VARIANTS[caller.role].changes
    return list_documents(caller.role, shop_ids=shops, updated_since=since if changes else None)


def _read_documents(documents: Any, options: Mapping[str, Any]) -> Iterator[Seen]:
    for document in documents:
        if document.date_deleted is None and _wanted(document.type, options, "type_codes"):
            shown = {"document_id": document.id, "shop_id": document.shop_id, "type_code": document.type}
            yield Seen(str(document.id), shown, happened=True, at=moment_of(document.date_uploaded))


def _orders(caller: Caller, since: datetime, options: Mapping[str, Any]) -> Call[Any]:
    return list_orders(statuses=options["statuses"], updated_from=since)


def _read_order(order: Any, options: Mapping[str, Any]) -> Iterator[Seen]:
    order_id, status = order.get("id"), order.get("status")
    if _wanted(status, options, "statuses"):  # else Mirakl has not filtered
        yield Seen(f"{order_id} {status}", {"order_id": order_id, "status": status}, happened=True)


WATCHES: Mapping[str, Watch] = {
    watch.name: watch
    for watch in (
        Watch("product_imports", _product_imports, _read_import("product_import"), 60, 300),
        Watch(
            "offer_imports",
            _offer_imports,
            _read_import("offer_import"),
            60,
            300,
            by_creation=True,
            own_time=True,
        ),
        Watch("product_status", _product_status, _read_product_status, 300, 300, returns=True),
        Watch(
            "shop_documents", _shop_documents, _read_documents, 60, 300, filters=("shop_ids",), own_time=True
        ),
        Watch("orders", _orders, _read_order, 60, 300, filters=("statuses",)),
    )
}
"""The watches by name."""
