"""Compare two lists of products: which are missing, extra and different. Uses constant memory.

A side is a file (NDJSON, JSON, CSV or Parquet), a list or a DataFrame: your catalog, an export of the Catalog
Manager (CM51, CM52) or of Mirakl Connect (listProducts).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from airflow_provider_mirakl.catalog.source import open_source
from airflow_provider_mirakl.checks.fields import hint, keep_columns
from airflow_provider_mirakl.checks.fields import key as key_of
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem
from airflow_provider_mirakl.files.storage import Spill, StoragePath, remove, writing
from airflow_provider_mirakl.files.text import AUTO, not_utf8
from airflow_provider_mirakl.files.values import Frame
from airflow_provider_mirakl.repair.pairs import ID_NAMES, SKU_NAMES, fold
from airflow_provider_mirakl.repair.proof import SYNCHRONIZED

Kind = Literal["missing", "extra", "different"]
KINDS: tuple[Kind, ...] = ("missing", "extra", "different")
STATUS = "synchronization.status"
"""The field of a difference with the product's state of synchronization in Mirakl."""

_BUCKETS = 64
_MAX_NAMES = 1000
"""Names of fields kept for a suggestion."""
_ABSENT = object()
"""The value of a field that a product does not have."""
_STATUS_NAMES = frozenset({"miraklsynchronizationstatus", "synchronizationstatus"})


@dataclass(frozen=True, slots=True)
class Keys:
    """How products are matched and compared.

    :param source: field of the source that identifies a product, as a path such as ``ids.sku``; default its SKU.
    :param other: the same for the other side.
    :param fields: the fields to compare: fields of the source, each with the field of the other side.
    """

    source: str | None = None
    other: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """A product that differs between the sides.

    :param kind: ``missing`` on the other side, ``extra`` there, or ``different``.
    :param key: the key by which the product was matched.
    :param mirakl_product_id: Mirakl's id, from whichever side has one.
    :param product_sku: the SKU, from the source if it has one.
    :param fields: the fields that differ, each with the value of the source and of the other side.
    """

    kind: Kind
    key: str
    mirakl_product_id: str | None
    product_sku: str | None
    fields: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def is_pair(self) -> bool:
        """Whether a resync can repair it: both ids are known, and the source has it."""
        return self.kind != "extra" and bool(self.mirakl_product_id and self.product_sku)

    def dump(self) -> dict[str, Any]:
        """The difference as JSON."""
        fields = {name: {"source": ours, "other": theirs} for name, (ours, theirs) in self.fields.items()}
        return {
            "difference": self.kind,
            "key": self.key,
            "mirakl_product_id": self.mirakl_product_id,
            "product_sku": self.product_sku,
            "fields": fields,
        }


@dataclass(slots=True)
class Sizes:
    """Numbers of products read: of each side, and of repeated ones, of which the last counts."""

    source: int = 0
    other: int = 0
    duplicates: int = 0


def compare(
    source: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]], keys: Keys, sizes: Sizes
) -> Iterator[Difference]:
    """Compare two sides.

    :param sizes: counters to increase.
    :raises MiraklInputError: the source is empty, products have no key, or a compared field is in no product of a side.
    """
    # If either side is matched by SKU, the key serves as SKU of a product without one. An EAN does not.
    is_sku = any(
        path is None or fold(path.rpartition(".")[2]) in SKU_NAMES for path in (keys.source, keys.other)
    )
    with closing(Spill()) as spill:
        mine, yours = _Fields("source", keys.fields), _Fields("other", keys.fields.values())
        sizes.source = _gather(source, keys.source, mine, spill, 0, is_sku)
        if not sizes.source:
            raise MiraklInputError(
                "source contains no products, so every product of the other side would be extra; check why it is empty"
            )
        sizes.other = _gather(other, keys.other, yours, spill, 1, is_sku)
        if problems := [
            problem
            for pair in keys.fields.items()
            for problem in _absent(zip((mine, yours), pair, strict=True))
        ]:
            raise MiraklInputError("fields contains what no product has, so it cannot be compared", problems)
        for bucket in range(_BUCKETS):
            ours, theirs = (_read(spill, 2 * bucket + side, sizes) for side in (0, 1))
            for key, entry in ours.items():
                found = _difference(key, entry, theirs.pop(key, None), list(keys.fields))
                if found is not None:
                    yield found
            for key, (product_id, sku, _, _) in theirs.items():
                yield Difference("extra", key, product_id, sku)


def reconcile(
    source: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]], keys: Keys, folder: StoragePath
) -> dict[str, Any]:
    """Compare two sides, and write the differences and the products that can be repaired.

    :param folder: the folder of ``differences.ndjson`` and ``resync.ndjson``.
    :return: the result of the operator.
    :raises MiraklInputError: a side cannot be read, or as for :func:`compare`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes, pairs = Sizes(), 0
    counts: dict[str, int] = dict.fromkeys(KINDS, 0)
    differences, resync = folder / "differences.ndjson", folder / "resync.ndjson"
    with writing(differences) as all_of_them, writing(resync) as input_file:
        for found in compare(source, other, keys, sizes):
            counts[found.kind] += 1
            all_of_them.write(_line(found.dump()))
            if found.is_pair:
                pairs += 1
                names = {"mirakl_product_id": found.mirakl_product_id, "product_sku": found.product_sku}
                input_file.write(_line(names))
    if not pairs:
        remove(resync)
    return {
        "source": sizes.source,
        "other": sizes.other,
        "duplicates": sizes.duplicates,
        **counts,
        "differences": str(differences),
        "resync": str(resync) if pairs else None,
        "resync_products": pairs,
        "folder": str(folder),
    }


def _line(row: Mapping[str, Any]) -> bytes:
    # Half of a surrogate pair, which JSON permits, is written as it was read: escaped.
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def read_side(
    data: StoragePath | Iterable[Any] | Frame, name: str, encoding: str = AUTO
) -> Iterator[Mapping[str, Any]]:
    """The products of a side.

    :param data: a file, a list of objects, or a table of a library.
    :param name: for messages.
    :param encoding: of a text file: ``auto``, or a name that Python knows.
    :raises MiraklInputError: it cannot be read.
    """
    if isinstance(getattr(data, "name", None), str) and _is_empty(cast("StoragePath", data)):
        return
    source = open_source(data, encoding=encoding, compiled=keep_columns)
    for batch in source.batches():
        if batch.refused:
            raise MiraklInputError(
                f"{name}: {source.name} cannot be read",
                [
                    problem._replace(line=source.place(row.at)[0])
                    for row in batch.refused
                    for problem in row.problems
                ],
            )
        for at, row in zip(batch.at, batch.rows, strict=True):
            try:
                item = json.loads(row)
            except (ValueError, RecursionError) as error:
                words = not_utf8(error) if isinstance(error, UnicodeDecodeError) else f"is not JSON: {error}"
                raise MiraklInputError(
                    f"{name}: {source.name} cannot be read", [Problem(words, line=source.place(at)[0])]
                ) from None
            if not isinstance(item, Mapping):
                raise MiraklInputError(f"{name} must contain objects, not {item!r:.100}")
            yield item


def _is_empty(path: StoragePath) -> bool:
    """Whether a file has no content. An export may find nothing."""
    try:
        return not path.stat().st_size
    except OSError:
        return False  # the reader says what is wrong with it


_Entry = tuple[str | None, str | None, str | None, list[str]]
"""Mirakl's id, SKU, state of synchronization, and the compared values. The state is empty where Mirakl names none, and
``None`` where the side does not have it."""


class _Fields:
    """The compared fields of a side, and which of them no product had so far.

    :param side: its name, for messages.
    :param paths: the fields.
    """

    def __init__(self, side: str, paths: Iterable[str]) -> None:
        self.side = side
        self._paths = list(paths)
        self._absent = dict.fromkeys(self._paths)
        self._names: dict[str, None] = {}

    def of(self, row: Mapping[str, Any]) -> list[str]:
        """The values of a product."""
        values = [_at(row, path) for path in self._paths]
        if self._absent:
            for path, value in zip(self._paths, values, strict=True):
                if value is not _ABSENT:
                    self._absent.pop(path, None)
            if self._absent and len(self._names) < _MAX_NAMES:
                self._names |= dict.fromkeys(_names(row))
        return list(map(_text, values))

    def has_none_of(self, path: str) -> bool:
        """Whether no product has a field. A side without products lacks none."""
        return path in self._absent and bool(self._names)

    def hint(self, path: str) -> str:
        """The name that may be meant, as the end of a message."""
        inner = {key_of(name.partition(".")[2]): name for name in self._names if "." in name}
        return hint(path, self._names, inner)


def _absent(pair: Iterable[tuple[_Fields, str]]) -> list[Problem]:
    """The problems of a field that is compared, with its path on each side.

    What only one side has differs in every product, and is reported so, unless its name is a slip.
    """
    absent = [(fields.side, path, fields.hint(path)) for fields, path in pair if fields.has_none_of(path)]
    if len(absent) < 2 and not any(close for _, _, close in absent):
        return []
    return [Problem(f"is in no product of {side}{close}", path) for side, path, close in absent]


def _names(row: Mapping[str, Any]) -> Iterator[str]:
    """The fields of a product, and those of its objects."""
    for name, value in row.items():
        yield name
        yield from (f"{name}.{inner}" for inner in _object(value) or ())


def _gather(
    rows: Iterable[Mapping[str, Any]],
    key_path: str | None,
    fields: _Fields,
    spill: Spill,
    side: int,
    is_sku: bool,
) -> int:
    problems: list[Problem] = []
    count = nameless = 0
    for number, row in enumerate(rows, 1):
        folded = {fold(str(column)): value for column, value in row.items()}
        product_id, sku = _named(folded, ID_NAMES), _named(folded, SKU_NAMES)
        key = _text(_at(row, key_path)) if key_path else (sku or _named(folded, {"id"}))
        if not key:
            nameless += 1
            if len(problems) < 100:
                problems.append(Problem(f"has no {key_path or 'product_sku'}", line=number))
            continue
        said = _object(row.get("synchronization"))
        status = _named(folded, _STATUS_NAMES) if said is None else _text(said.get("status"))
        entry = [
            key,
            product_id,
            sku or (key if is_sku else None),
            status,
            fields.of(row),
        ]
        bucket = zlib.crc32(key.encode("utf-8", "backslashreplace")) % _BUCKETS
        spill.add(2 * bucket + side, json.dumps(entry).encode() + b"\n")
        count += 1
    if nameless:
        raise MiraklInputError(
            f"{fields.side}: {nameless:,} products cannot be matched; set {fields.side}_key to the field that "
            "identifies them",
            problems,
            problem_count=nameless,
        )
    return count


def _read(spill: Spill, share: int, sizes: Sizes) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    for line in spill.read(share).splitlines():
        key, *entry = json.loads(line)
        sizes.duplicates += key in found
        found[key] = tuple(entry)
    return found


def _difference(key: str, ours: _Entry, theirs: _Entry | None, names: list[str]) -> Difference | None:
    product_id, sku, _, values = ours
    if theirs is None:
        return Difference("missing", key, product_id, sku)
    their_id, their_sku, status, their_values = theirs
    fields = {
        name: (mine, yours)
        for name, mine, yours in zip(names, values, their_values, strict=True)
        if mine != yours
    }
    if status is not None and status != SYNCHRONIZED:
        fields[STATUS] = (SYNCHRONIZED, status)
    return Difference("different", key, product_id or their_id, sku or their_sku, fields) if fields else None


def _named(folded: Mapping[str, Any], names: Iterable[str]) -> str | None:
    return next((text for name in names if (text := _text(folded.get(name)))), None)


def _at(row: Mapping[str, Any], path: str) -> Any:
    """The value at a path, or :data:`_ABSENT`; the name of a column may contain a dot."""
    if path in row:
        return row[path]
    value: Any = row
    for name in path.split("."):
        value = (_object(value) or {}).get(name, _ABSENT)
    return value


def _object(value: Any) -> Mapping[str, Any] | None:
    """An object, or one as JSON text, as an export in Parquet has it; ``None`` for anything else."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    return value if isinstance(value, Mapping) else None


def _text(value: Any) -> str:
    if value is None or value is _ABSENT:
        return ""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
