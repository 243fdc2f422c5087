"""What an event trigger does while it runs: poll, tell what is new, remember how far it came."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_mirakl._compat import in_thread
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.steps import drive_async
from airflow_provider_mirakl.exceptions import MiraklError
from airflow_provider_mirakl.files.notes import Note
from airflow_provider_mirakl.files.paths import folder_below
from airflow_provider_mirakl.triggers.desk import Desk, open_desk, stop_if_cancelled
from airflow_provider_mirakl.triggers.listings import SharedListing, listing_of
from airflow_provider_mirakl.watches import (
    OVERLAP,
    SHOWN,
    WATCH,
    WATCHES,
    Cursor,
    News,
    Watch,
    begin_of,
    listed,
    news,
)

if TYPE_CHECKING:
    from airflow_provider_mirakl.triggers.desk import Perform

log = logging.getLogger(__name__)

SETTLED = 5.0
"""Seconds from an event to the note that it was delivered. Airflow stores an event within a second; an earlier note
would lose it if the triggerer died in between."""
AT_START = timedelta(seconds=30)
"""How much further back the first listing of a trigger may reach: those that start together share it."""
LONGEST_PAUSE = 3600.0
"""Seconds between two polls while they fail."""


class Watched(Protocol):
    """What is needed of an event trigger: its arguments, and its name in the tables."""

    @property
    def watch(self) -> str:
        """Name in the table of watches."""

    @property
    def hook(self) -> str:
        """Path of the class of the hook."""

    conn_id: str
    role: str | None
    shop_id: int | None
    options: dict[str, list[Any]]
    poke_interval: float
    since: str | None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, as Airflow stores them."""


class Watching:
    """The polls of one event trigger.

    :param trigger: the trigger.
    """

    def __init__(self, trigger: Watched) -> None:
        self._trigger = trigger
        self._listing: SharedListing | None = None

    def leave(self) -> None:
        """Leave the shared listing."""
        if self._listing is not None:
            self._listing.leave(self._trigger)

    async def events(self) -> AsyncGenerator[dict[str, Any], None]:
        """What is new at each poll that finds something, for as long as the asset is watched."""
        trigger = self._trigger
        watch, place, pause = WATCHES[trigger.watch], _Place(trigger), 0.0
        cursor: Cursor | None = None
        while True:
            try:
                async with (
                    open_desk(trigger.hook, trigger.conn_id, trigger.role) as desk,
                    desk.caller() as perform,
                ):
                    factor = (await desk.client()).settings.interval_factor
                    interval = trigger.poke_interval * factor or trigger.poke_interval
                    while True:
                        if cursor is None:
                            cursor = await place.load() or await self._first(place)
                        found, begin = await self._poll(watch, desk, perform, cursor, interval)
                        stop_if_cancelled()  # what was found is told by the one that comes after this one
                        if found.found:
                            yield self._told(found, begin)
                            await asyncio.sleep(min(SETTLED, interval))
                        cursor, pause = found.cursor, 0.0
                        await place.save(cursor)
                        await asyncio.sleep(interval)
            except MiraklError as error:
                pause = min(LONGEST_PAUSE, 2 * pause or trigger.poke_interval)
                log.warning(
                    "%s (watching %s of %s; polling again in %.0f s)",
                    error,
                    trigger.watch,
                    trigger.conn_id,
                    pause,
                )
            except Exception:  # any error: Airflow would restart the trigger every second
                pause = min(LONGEST_PAUSE, 2 * pause or trigger.poke_interval)
                log.exception(
                    "Watching %s of %s broke; polling again in %.0f s", trigger.watch, trigger.conn_id, pause
                )
            stop_if_cancelled()
            await asyncio.sleep(pause)

    async def _poll(
        self, watch: Watch, desk: Desk, perform: Perform, cursor: Cursor, interval: float
    ) -> tuple[News, datetime]:
        """What a poll found, and where its window began."""
        trigger = self._trigger
        values = await desk.values()
        shop_id = values.shop_id if trigger.shop_id is None else trigger.shop_id
        caller = Caller(values.role or "shop", shop_id)
        client = await desk.client()
        filters = json.dumps({name: trigger.options.get(name) for name in watch.filters}, sort_keys=True)
        key = (client.settings.account, watch.name, caller.role, str(caller.shop_id), filters)
        listing = listing_of(key)
        if listing is not self._listing:
            self.leave()
            self._listing = listing

        async def ask(since: datetime) -> tuple[list[Any], datetime]:
            before, asked = client.clock_offset, datetime.now(UTC)
            found = await drive_async(listed(watch, caller, since, trigger.options), perform)
            # Mirakl's clock decides what is listed since when. Of what is known of it, the earliest: a reply that is
            # dated wrongly must not put off the next listing.
            offset = min(known or 0.0 for known in (before, client.clock_offset))
            return found, asked + timedelta(seconds=offset)

        slack = OVERLAP + timedelta(seconds=interval)
        if watch.own_time:
            slack = timedelta.max
        elif cursor.settled is None:  # what was long before its first start is not for it
            slack = AT_START
        needed = begin_of(watch, cursor)
        replies, begin, asked = await listing.read(trigger, needed, slack, interval, ask)
        # Another trigger may need more. Without a time of its own, what is listed may be as old as the listing.
        return news(watch, replies, trigger.options, cursor, asked), needed if watch.own_time else begin

    async def _first(self, place: _Place) -> Cursor:
        """The start position of a new watcher. Noted at once, so a restart before the first poll loses nothing."""
        since = self._trigger.since
        begin = Cursor(datetime.now(UTC) if since is None else datetime.fromisoformat(since))
        await place.save(begin)
        return begin

    def _told(self, found: News, begin: datetime) -> dict[str, Any]:
        trigger = self._trigger
        log.info("%s of %s: %d new", trigger.watch, trigger.conn_id, len(found.found))
        return {
            "watch": trigger.watch,
            "conn_id": trigger.conn_id,
            "items": len(found.found),
            "found": found.found[:SHOWN],
            "since": begin.isoformat(),
            "until": found.cursor.since.isoformat(),
        }


class _Place:
    """Stores the cursor of a trigger: with its asset, else in the work folder.

    A cursor in the work folder counts as long as there is none with the asset.
    """

    def __init__(self, trigger: Watched) -> None:
        path, arguments = trigger.serialize()
        told = {name: value for name, value in arguments.items() if name not in ("poke_interval", "since")}
        words = json.dumps([path, told], sort_keys=True)
        self._conn_id = trigger.conn_id
        self._name = f"mirakl.{trigger.watch}.{hashlib.sha256(words.encode()).hexdigest()[:16]}"
        store = getattr(trigger, "asset_state_store", None)
        self._store: Any = store if hasattr(store, "aget") else None
        self._note: Note[Any] | None = None

    async def load(self) -> Cursor | None:
        """The stored cursor; ``None`` at the very first start."""
        if self._store is not None:
            try:
                stored = Cursor.load(await self._store.aget(self._name))
            except ValueError:  # several assets share the watcher, so the asset is ambiguous
                self._store = None
            else:
                if stored is not None:
                    return stored
        # Airflow before 3.3 has no store: after its upgrade the position is still here.
        note = await self._opened()
        kept: Cursor | None = await in_thread(note.read)
        return kept

    async def save(self, cursor: Cursor) -> None:
        """Store the cursor."""
        if self._store is not None:
            await self._store.aset(self._name, cursor.dump())
            return
        note = await self._opened()
        await in_thread(lambda: note.write(cursor))

    async def _opened(self) -> Note[Any]:
        if self._note is None:
            self._note = await in_thread(lambda: _note(self._conn_id, self._name))
        return self._note


def _note(conn_id: str, name: str) -> Note[Any]:
    return WATCH.at(folder_below(None, "watches", conn_id), name=f"watch-{name}.json")
