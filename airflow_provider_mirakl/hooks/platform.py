"""What a platform is and allows, requested no more often than Mirakl permits, and cached in between."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_mirakl.api.documents import list_document_types
from airflow_provider_mirakl.api.platform import (
    list_attributes,
    list_channels,
    list_currencies,
    list_hierarchies,
    list_locales,
    list_values_lists,
)
from airflow_provider_mirakl.exceptions import (
    MiraklInputError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklServerError,
    MiraklTransportError,
    Problem,
)
from airflow_provider_mirakl.files.notes import Note, NoteKind
from airflow_provider_mirakl.files.paths import folder_below

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.api.documents import DocumentType
    from airflow_provider_mirakl.checks.products import OperatorAttributes
    from airflow_provider_mirakl.client.http import Client

T = TypeVar("T")

FOLDER = "platform"
"""The folder below the work folder where answers are kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of Mirakl, and when it came, in seconds since the epoch."""

    at: float
    answer: Any


ANSWER = NoteKind(
    file="platform/*/*.json",
    holds="the cached answer of a call that Mirakl permits rarely",
    type=Answer,
    damaged="restart",
    fix="Mirakl is asked again.",
)

log = logging.getLogger("airflow_provider_mirakl.hooks")


class PlatformSettings:
    """Settings of an instance, for validation before a call is made.

    Most of them may be called once a day, some once an hour. So an answer is cached in a file and returned for as long
    as Mirakl does not permit the next call. If Mirakl rejects the call anyway, or cannot be reached, an older answer is
    returned with a warning, and without one the error is raised.

    ::

        with MiraklHook("mirakl_shop").get_conn() as client:
            settings = PlatformSettings(client)
            settings.check(locales=["fr_FR"], channels=["WEB"])

    :param client: sends the calls.
    :param work_folder: where answers are kept; default as for operators. They are kept by account, so that connections
        do not mix.
    :param clock: the wall clock in seconds.
    """

    def __init__(
        self, client: Client, work_folder: str | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._folder = folder_below(work_folder, FOLDER, client.settings.fingerprint)
        self._clock = clock
        self._kept_at: float | None = None
        """When the last answer of :meth:`get` came, if it was a kept one."""

    def get(self, call: Call[T]) -> T:
        """The answer of a call that reads: kept, or fresh.

        :param call: any call whose result is serializable as JSON and whose operation has an interval; another one is
            just sent.
        """
        interval = call.operation.interval * self._client.settings.interval_factor
        if not interval:
            return self._client.send(call)
        note = self._note(call)
        kept = note.read()
        self._kept_at = None
        if kept is not None and 0 <= self._clock() - kept.at < interval:
            self._kept_at = kept.at
            answer: T = kept.answer
            return answer
        try:
            fresh = self._client.send(call)
        except (MiraklNotYetError, MiraklRateLimitError, MiraklServerError, MiraklTransportError) as error:
            # Another task may have asked in the meantime.
            kept = note.read() or kept
            if kept is None:
                raise
            log.warning("%s Using the answer of %d s ago.", error, self._clock() - kept.at)
            self._kept_at = kept.at
            older: T = kept.answer
            return older
        note.write(Answer(self._clock(), fresh))
        return fresh

    def locales(self) -> frozenset[str]:
        """Codes of the enabled locales (L01)."""
        return frozenset(entry["code"] for entry in self.get(list_locales()))

    def channels(self) -> frozenset[str]:
        """Codes of the enabled channels (CH11)."""
        return frozenset(entry["code"] for entry in self.get(list_channels()))

    def currencies(self) -> frozenset[str]:
        """Codes of the enabled currencies (CUR01)."""
        return frozenset(entry["code"] for entry in self.get(list_currencies()))

    def attributes(self) -> frozenset[str]:
        """Codes of the attributes of products (PM11)."""
        return frozenset(entry["code"] for entry in self.get(list_attributes()))

    def operator_attributes(self, caller: Caller, *, all_attributes: bool = False) -> OperatorAttributes:
        """The categories, attributes and lists of values that files of products are checked against (H11, PM11, VL11).

        A key of a shop may ask for them too.

        :param caller: whose key it is, and for which shop.
        :param all_attributes: also those that only the operator fills.
        """
        from airflow_provider_mirakl.checks.products import OperatorAttributes

        is_shop = caller.role == "shop"
        shop_id = caller.shop_id if is_shop else None
        every = True if all_attributes and is_shop else None
        return OperatorAttributes(
            self.get(list_hierarchies(shop_id=shop_id)),
            self.get(list_attributes(shop_id=shop_id, all_operator_attributes=every)),
            self.get(list_values_lists(shop_id=shop_id)),
        )

    def document_types(self, role: str) -> list[DocumentType]:
        """The types of documents of shops (DO01)."""
        return self.get(list_document_types(role))

    def check(
        self,
        *,
        locales: Collection[str] = (),
        channels: Collection[str] = (),
        currencies: Collection[str] = (),
        attributes: Collection[str] = (),
    ) -> None:
        """Reject codes that the instance does not have. Only calls for the arguments set are made.

        :raises MiraklInputError: listing every unknown code, the known ones where they are few, and from when a kept
            answer is.
        """
        asked = {
            "locales": (locales, self.locales),
            "channels": (channels, self.channels),
            "currencies": (currencies, self.currencies),
            "attributes": (attributes, self.attributes),
        }
        problems = []
        for name, (wanted, known_ones) in asked.items():
            if not wanted:
                continue
            known = known_ones()
            there = f", which has {', '.join(sorted(known))}" if 0 < len(known) <= 30 else ""
            if self._kept_at is not None:  # it may have been created since
                there += f" (as Mirakl answered at {datetime.fromtimestamp(self._kept_at, UTC):%Y-%m-%d %H:%M} UTC)"
            problems += [
                Problem(f"{code!r} does not exist on this instance{there}", name)
                for code in sorted(set(wanted) - known)
            ]
        if problems:
            raise MiraklInputError("the instance does not know some codes", problems)

    def _note(self, call: Call[T]) -> Note[Answer]:
        digest = hashlib.sha256(f"{call.target} {call.accept}".encode()).hexdigest()[:12]
        return ANSWER.at(self._folder, name=f"{call.operation.code}-{digest}.json")
