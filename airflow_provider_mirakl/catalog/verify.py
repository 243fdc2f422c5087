"""Read-back: compares what was sent with listProducts.

Connect answers a bare 202 and offers nothing to poll; comparing is the only way to learn the outcome (see
docs/mirakl-facts.md).
The pages of a listing arrive a minute apart, so the relevant part of each is stored in the plan's folder, and a retry
after a killed worker continues with the next page. Each reader has a folder of its own there: several tasks may read
back the same plan, at the same time and with other samples.

What counts as equal:

- Only submitted fields are compared; a listing may show more, at the top and inside objects.
- ``null``, an empty list and an absent field are the same in a listing.
- Numbers are compared as numbers (``1249.0`` is ``1249``, even if a listing quotes it), times as times.
- Entries with a key (locale, attribute id, warehouse, scope and currency) may be listed in another
  order. Images may not: the first one is the main image.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any, Literal
from zlib import crc32

import msgspec

from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.catalog.plan import Plan, read_chunk
from airflow_provider_mirakl.catalog.rows import dump
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.pages import Pages
from airflow_provider_mirakl.files.storage import Spill, write_bytes
from airflow_provider_mirakl.outcome import ItemResult

Expect = Literal["listed", "absent"]

VERIFY_FOLDER = "verify"
EXPECTED_FILE = "expected.bin"
_PARTITION_SHIFT = 64 - 8


class _State(msgspec.Struct):
    """``state.json`` of a reader: checksums of the expected ids and of every stored page; a bit for every id seen."""

    plan: str
    expect: Expect
    sample: int | None
    chunks: int
    pages: list[int]
    seen: bytes
    expected: int = 0


VERIFICATION = NoteKind(
    file="verify*/state.json",
    holds="which pages of a read-back are stored",
    type=_State,
    damaged="restart",
    fix="The catalog is read from its first page again.",
    version=2,
)


class _Identified(msgspec.Struct):
    id: str


_identify = msgspec.json.Decoder(_Identified).decode


class Findings(msgspec.Struct):
    """What a round of a read-back found, in short: ``1 missing, 9 verified; still waiting for: A``."""

    counts: dict[str, int] = msgspec.field(default_factory=dict)
    """Products by the code of their results."""
    waiting: str = ""
    """The first product, by its id, that is not as submitted."""

    def add(self, result: ItemResult) -> None:
        """Count a result."""
        code = result.code or ""
        self.counts[code] = self.counts.get(code, 0) + 1
        if result.status != "succeeded":
            self.waiting = min(self.waiting or result.item_id, result.item_id)

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {code}" for code, count in sorted(self.counts.items()))
        return f"{counts}; still waiting for: {self.waiting}" if self.waiting else counts


class Verifier:
    """Compares a plan with a listing, page by page.

    ::

        verifier = Verifier(plan)
        for page in pages:                  # listProducts, 1,000 a page, paced by the caller
            verifier.see(page)
            if verifier.complete:
                break
        for result in verifier.finish():
            writer.add(result)

    A new verifier for the same plan continues it; :meth:`restart` begins another round.

    To wait for ids only, make the plan with :func:`~airflow_provider_mirakl.catalog.plan.plan_delete` and set
    ``expect``.

    :param plan: the plan that was sent.
    :param expect: ``listed``: every product is there with the submitted fields; ``absent``: none is there. Default by
        the kind of plan.
    :param sample: check only this many products, chosen by the hash of their ids; default all.
    :param chunks: check only this many chunks, for example if the rest was not accepted; default all.
    :param folder: name of the folder next to the plan for the stored pages; one for each reader.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        expect: Expect | None = None,
        sample: int | None = None,
        chunks: int | None = None,
        folder: str = VERIFY_FOLDER,
    ) -> None:
        self._plan = plan
        self._folder = plan.folder / folder
        expect = expect or ("listed" if plan.kind == "upsert" else "absent")
        chunks = len(plan.chunks) if chunks is None else chunks
        wanted = _State(plan.id, expect, sample, chunks, [], b"")
        self._pages = Pages(self._folder)
        self._note = VERIFICATION.at(self._folder)
        state = self._note.read()
        same = state is not None and (state.plan, state.expect, state.sample, state.chunks) == (
            wanted.plan,
            wanted.expect,
            wanted.sample,
            wanted.chunks,
        )
        expected = self._read_expected(state) if state is not None and same else None
        if state is not None and expected is not None:
            self._state = state
            self._expected = expected
        else:
            self._state = wanted
            self._begin()
        self._seen = bytearray(self._state.seen)

    @property
    def pages(self) -> int:
        """Number of pages read so far."""
        return len(self._state.pages)

    @property
    def complete(self) -> bool:
        """True when no further page can change the result: every expected product was found."""
        return self._state.expect == "listed" and self.seen == len(self._expected)

    @property
    def seen(self) -> int:
        """Number of products of the plan found so far."""
        return int.from_bytes(self._seen).bit_count()

    def see(self, products: Iterable[Mapping[str, Any] | bytes]) -> None:
        """Process one page of the listing.

        :param products: listed products, as objects or as JSON.
        """
        kept = bytearray()
        for product in products:
            row = product if isinstance(product, bytes) else dump(product)
            position = self._position(_key(_identify(row).id))
            if position is not None:
                self._seen[position >> 3] |= 1 << (position & 7)
                kept += row.replace(b"\n", b" ") + b"\n"
        self._state.pages.append(self._pages.keep(self.pages, bytes(kept)))
        self._state.seen = bytes(self._seen)
        self._save()

    def restart(self) -> None:
        """Discard the pages, for another round after Mirakl had more time."""
        self._pages.forget()
        self._state.pages = []
        self._seen = bytearray(len(self._seen))
        self._state.seen = bytes(self._seen)
        self._save()

    def finish(self, *, listed_all: bool = True) -> Iterator[ItemResult]:
        """Compare, and yield one result per checked product, in any order.

        Codes: ``verified``, ``different`` (``attribute`` names the fields), ``missing``, ``deleted``, ``still_there``.

        :param listed_all: false if the listing was interrupted: products that were not found are then ``unknown``.
        """
        listed, submitted = self._gather()
        try:
            for partition in submitted.keys():  # noqa: SIM118 - no mapping
                found = {_identify(row).id: row for row in listed.read(partition).split(b"\n")[:-1]}
                for row in submitted.read(partition).split(b"\n")[:-1]:
                    item_id = _identify(row).id
                    yield self._compare(item_id, row, found.get(item_id), listed_all)
        finally:
            listed.close()
            submitted.close()

    def _compare(self, item_id: str, row: bytes, listed: bytes | None, listed_all: bool) -> ItemResult:
        if listed is None and not listed_all:
            return ItemResult(
                item_id, "unknown", "not_seen", "the listing was interrupted before the product was found"
            )
        if self._state.expect == "absent":
            if listed is None:
                return ItemResult(item_id, "succeeded", "deleted")
            return ItemResult(item_id, "failed", "still_there", "still listed")
        if listed is None:
            return ItemResult(item_id, "failed", "missing", "not listed")
        fields = differences(msgspec.json.decode(row), msgspec.json.decode(listed))
        if fields:
            names = ", ".join(fields)
            return ItemResult(
                item_id, "failed", "different", f"{names} differ from what was submitted", names
            )
        return ItemResult(item_id, "succeeded", "verified")

    def _gather(self) -> tuple[Spill, Spill]:
        """Match listed and submitted products, by ranges of the ids' hashes."""
        listed, submitted = Spill(), Spill()
        for number, checksum in enumerate(self._state.pages):
            for row in self._pages.read(number, checksum).split(b"\n")[:-1]:
                listed.add(_key(_identify(row).id) >> _PARTITION_SHIFT, row + b"\n")
        for row in self._rows():
            key = _key(_identify(row).id)
            if self._state.sample is None or self._position(key) is not None:
                submitted.add(key >> _PARTITION_SHIFT, row + b"\n")
        return listed, submitted

    def _rows(self) -> Iterator[bytes]:
        for chunk in self._plan.chunks[: self._state.chunks]:
            yield from read_chunk(self._plan.folder, chunk)

    def _begin(self) -> None:
        keys = Spill()
        for row in self._rows():
            key = _key(_identify(row).id)
            keys.add(key >> _PARTITION_SHIFT, array("Q", (key,)).tobytes())
        self._expected = array("Q")
        for partition in keys.keys():  # noqa: SIM118 - no mapping
            self._expected.extend(sorted(array("Q", keys.read(partition))))
        keys.close()
        if self._state.sample is not None:
            del self._expected[self._state.sample :]
        self._state.seen = bytes((len(self._expected) + 7) // 8)
        data = self._expected.tobytes()
        self._state.expected = crc32(data)
        write_bytes(self._folder / EXPECTED_FILE, data)
        self._save()

    def _position(self, key: int) -> int | None:
        position = bisect_left(self._expected, key)
        return position if position < len(self._expected) and self._expected[position] == key else None

    def _save(self) -> None:
        self._note.write(self._state)

    def _read_expected(self, state: _State) -> array[int] | None:
        """The ids to find; ``None`` if the file is missing or damaged, so that they are read from the plan."""
        try:
            data = (self._folder / EXPECTED_FILE).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            return None
        if crc32(data) != state.expected or len(state.seen) != (len(data) // 8 + 7) // 8:
            return None
        expected = array("Q")
        expected.frombytes(data)
        return expected


def _key(item_id: str) -> int:
    return int.from_bytes(blake2b(item_id.encode(), digest_size=8).digest())


# --- Comparing --------------------------------------------------------------------------------------------------


def _by(*names: str) -> Callable[[Any], str]:
    def key(entry: Any) -> str:
        found = [entry.get(name) for name in names] if isinstance(entry, dict) else [entry]
        return "\0".join("" if value is None else str(value) for value in found)

    return key


def _price(entry: Any) -> str:
    price = entry.get("price") if isinstance(entry, dict) else None
    return _by("scope", "start_date", "end_date")(entry) + "\0" + _by("currency")(price)


_NAMED: dict[str, Callable[[Any], str]] = {
    "titles": _by("locale"),
    "descriptions": _by("locale"),
    "labels": _by("locale"),
    "gtins": _by("value"),
    "attributes": _by("id"),
    "quantities": _by("warehouse_code"),
    "partner_quantities": _by("partner_id"),
    "standard_prices": _price,
    "discount_prices": _price,
}
"""Lists whose entries have a key, and that key. The order of every other list matters."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")


def differences(submitted: Mapping[str, Any], listed: Mapping[str, Any]) -> list[str]:
    """Return the submitted top-level fields that differ in the listing, in alphabetical order.

    :param submitted: the product as it was sent.
    :param listed: the product as listProducts shows it.
    """
    return sorted(name for name, value in submitted.items() if not _same(value, listed.get(name), name))


def _same(sent: Any, shown: Any, name: str) -> bool:
    if sent is None or sent == []:
        return shown is None or shown == []
    if isinstance(sent, dict):
        return isinstance(shown, dict) and all(_same(sent[key], shown.get(key), key) for key in sent)
    if isinstance(sent, list):
        return isinstance(shown, list) and _same_list(sent, shown, name)
    if isinstance(sent, int | float) and not isinstance(sent, bool):
        return _number(sent) == _number(shown)
    if sent == shown:
        return type(sent) is type(shown)
    return isinstance(sent, str) and isinstance(shown, str) and _same_moment(sent, shown)


def _same_list(sent: list[Any], shown: list[Any], name: str) -> bool:
    if len(sent) != len(shown):
        return False
    key = _NAMED.get(name)
    if key is not None:
        sent, shown = sorted(sent, key=key), sorted(shown, key=key)
    return all(_same(one, other, "") for one, other in zip(sent, shown, strict=True))


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _same_moment(sent: str, shown: str) -> bool:
    if not (_MOMENT.match(sent) and _MOMENT.match(shown)):
        return False
    moment = moment_of(sent)
    return moment is not None and moment == moment_of(shown)
