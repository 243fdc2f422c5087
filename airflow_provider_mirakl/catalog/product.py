"""Connect's product as data, and the checks on it.

The limits are defined once, in the types below (see docs/mirakl-facts.md, the product of Connect). A compiled decoder
checks valid rows. A row that it rejects is checked again by a walk over the same types, which finds *every* problem
and says how to fix it. Rows are never rebuilt from the decoded object: they are sent as the bytes that were read, so
``null`` (erase) and absent (keep) remain distinct.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import inspect as types
from msgspec.structs import replace

from airflow_provider_mirakl.catalog.gtins import check_digit, gtin_fault, is_right, normalized
from airflow_provider_mirakl.catalog.numbers import grouped_number, readings
from airflow_provider_mirakl.exceptions import Problem, counted, one_of
from airflow_provider_mirakl.files.text import BLANK, not_utf8

MAX_PRODUCTS_PER_CALL = 1000
"""Largest number of products in an upsert or delete."""

# --- The object -------------------------------------------------------------------------------------------------
# `says` is the walk's message for a text in the wrong form.


def _says(form: str) -> dict[str, str]:
    return {"says": form}


class Form(StrEnum):
    """Strings of a certain form. Any string of the form is accepted.

    The members are the common ones: the decoder finds them in a table, several times faster than with a pattern, and
    a product has many locales.
    """

    @classmethod
    def _missing_(cls, value: object) -> Form | None:
        if not isinstance(value, str) or not FORMS[cls].pattern.match(value):
            return None
        other = str.__new__(cls, value)
        other._name_ = other._value_ = value
        return other


class Locale(Form):
    """ISO 639, optionally with ISO 3166."""

    AR = "ar"
    CS = "cs"
    CS_CZ = "cs_CZ"
    DA = "da"
    DA_DK = "da_DK"
    DE = "de"
    DE_AT = "de_AT"
    DE_CH = "de_CH"
    DE_DE = "de_DE"
    EN = "en"
    EN_AU = "en_AU"
    EN_CA = "en_CA"
    EN_GB = "en_GB"
    EN_US = "en_US"
    ES = "es"
    ES_ES = "es_ES"
    ES_MX = "es_MX"
    FI = "fi"
    FR = "fr"
    FR_BE = "fr_BE"
    FR_CA = "fr_CA"
    FR_CH = "fr_CH"
    FR_FR = "fr_FR"
    IT = "it"
    IT_IT = "it_IT"
    NL = "nl"
    NL_BE = "nl_BE"
    NL_NL = "nl_NL"
    PL = "pl"
    PL_PL = "pl_PL"
    PT = "pt"
    PT_BR = "pt_BR"
    PT_PT = "pt_PT"
    RO = "ro"
    SV = "sv"
    SV_SE = "sv_SE"


class Currency(Form):
    """ISO 4217."""

    AUD = "AUD"
    BRL = "BRL"
    CAD = "CAD"
    CHF = "CHF"
    CZK = "CZK"
    DKK = "DKK"
    EUR = "EUR"
    GBP = "GBP"
    MXN = "MXN"
    NOK = "NOK"
    PLN = "PLN"
    RON = "RON"
    SEK = "SEK"
    USD = "USD"


@dataclass(frozen=True, slots=True)
class _FormRule:
    pattern: re.Pattern[str]
    says: str


FORMS: dict[type[Form], _FormRule] = {
    Locale: _FormRule(
        re.compile(r"^[a-z]{2,3}(_[A-Z]{2})?\Z"),
        "is not a locale; Connect accepts a language or language_COUNTRY, such as en or en_US",
    ),
    Currency: _FormRule(
        re.compile(r"^[A-Z]{3}\Z"),
        "is not a currency code; Connect accepts ISO 4217, three capital letters such as EUR",
    ),
}

_GTIN = Meta(pattern=r"^([0-9]{8}|[0-9]{12,13})\Z", extra=_says("gtin"))
_URL = Meta(pattern=r"^https?://", extra=_says("is not a valid URL; it must start with http:// or https://"))
_MOMENT = Meta(
    pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z\Z",
    extra=_says("is not a valid date-time; use UTC with a trailing Z, such as 2026-02-19T16:46:00Z"),
)

Text255 = Annotated[str, Meta(max_length=255)]
Name255 = Annotated[str, Meta(min_length=1, max_length=255)]
ProductId = Annotated[str, Meta(min_length=1, max_length=256)]
Quantity32 = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class _Strict(Struct, forbid_unknown_fields=True, gc=False):
    """Base of the parts of a product."""


class Title(_Strict):
    locale: Locale
    value: Text255


class Description(_Strict):
    locale: Locale
    value: Annotated[str, Meta(max_length=6000)]


class Category(_Strict):
    labels: list[Title]
    id: Name255 | UnsetType | None = UNSET


class Gtin(_Strict):
    value: Annotated[str, _GTIN]


class Image(_Strict):
    url: Annotated[str, _URL]


class AttributeString(_Strict, tag_field="type", tag="STRING"):
    id: Name255
    name: Name255
    value: Annotated[str, Meta(max_length=2000)]


class AttributeNumeric(_Strict, tag_field="type", tag="NUMERIC"):
    id: Name255
    name: Name255
    value: Annotated[float, Meta(ge=-1_000_000_000, le=1_000_000_000)]


class AttributeBoolean(_Strict, tag_field="type", tag="BOOLEAN"):
    id: Name255
    name: Name255
    value: bool


Attribute = AttributeString | AttributeNumeric | AttributeBoolean


class Quantity(_Strict):
    available_quantity: Quantity32
    warehouse_code: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET


class PartnerQuantity(_Strict):
    available_quantity: Quantity32
    partner_id: str


class Money(_Strict):
    amount: Annotated[float, Meta(ge=0)]
    currency: Currency


class StandardPrice(_Strict):
    price: Money
    scope: Text255 | UnsetType | None = UNSET


class DiscountPrice(_Strict):
    price: Money
    scope: Text255 | UnsetType | None = UNSET
    start_date: Annotated[str, _MOMENT] | UnsetType | None = UNSET
    end_date: Annotated[str, _MOMENT] | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        # The pattern allows the 30th of February; the calendar does not.
        for moment in (self.start_date, self.end_date):
            if isinstance(moment, str):
                datetime.fromisoformat(moment)


class Product(_Strict):
    """One product, as in listProducts and upsertProducts. Only ``id`` is required."""

    id: ProductId
    titles: Annotated[list[Title], Meta(max_length=10)] | UnsetType | None = UNSET
    descriptions: Annotated[list[Description], Meta(max_length=10)] | UnsetType | None = UNSET
    brand: Text255 | UnsetType | None = UNSET
    category: Category | UnsetType | None = UNSET
    gtins: Annotated[list[Gtin], Meta(max_length=10)] | UnsetType = UNSET
    images: Annotated[list[Image], Meta(max_length=15)] | UnsetType | None = UNSET
    attributes: Annotated[list[Attribute], Meta(max_length=1000)] | UnsetType | None = UNSET
    quantities: Annotated[list[Quantity], Meta(min_length=1, max_length=20)] | UnsetType = UNSET
    partner_quantities: Annotated[list[PartnerQuantity], Meta(min_length=1, max_length=20)] | UnsetType = (
        UNSET
    )
    standard_prices: Annotated[list[StandardPrice], Meta(min_length=1, max_length=10)] | UnsetType = UNSET
    discount_prices: Annotated[list[DiscountPrice], Meta(max_length=10)] | UnsetType | None = UNSET


class OpenProduct(Product, forbid_unknown_fields=False):
    """A product that may carry fields and types of attributes that this package does not know, at any depth."""


class ProductIdentifier(Struct, gc=False):
    """The fields of a product for deleteProducts; other fields of a row are ignored."""

    id: ProductId


def content_hash(item: Product, row: bytes = b"") -> str:
    """Return a hash of the content of a product, independent of its notation.

    Order of fields, white space, escapes and ``1249`` for ``1249.0`` do not matter; ``null`` versus absent and the
    order of lists do.

    :param item: the decoded row.
    :param row: the row, needed if it may have fields unknown to this package.
    """
    content = _encode(item)
    if isinstance(item, OpenProduct):
        extra = _foreign(_decode_any(row), _decode_any(content))
        if extra is not None:
            content += msgspec.json.encode(extra, order="sorted")
    return blake2b(content, digest_size=16).hexdigest()


def _foreign(whole: Any, known: Any) -> Any:
    """The parts of a row that this package does not know; ``None`` if there are none."""
    if isinstance(whole, dict) and isinstance(known, dict):
        extra = {
            name: more
            for name, value in whole.items()
            if (more := _foreign(value, known[name]) if name in known else value) is not None
            or name not in known
        }
        return extra or None
    if isinstance(whole, list) and isinstance(known, list):
        if len(whole) != len(known):
            return whole
        pairs = enumerate(zip(whole, known, strict=True))
        found = {str(at): more for at, pair in pairs if (more := _foreign(*pair)) is not None}
        return found or None
    return None


def row_hash(row: bytes) -> int:
    """Return a 64-bit hash of a row's bytes."""
    return int.from_bytes(blake2b(row, digest_size=8).digest())


_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode

Model = TypeVar("Model", Product, ProductIdentifier)


class RowError(ValueError):
    """A row that must not be sent.

    :param problems: all of its problems.
    :param item_id: its id, if readable.
    """

    def __init__(self, problems: list[Problem], item_id: str | None = None) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems: list[Problem] = problems
        self.item_id = item_id


# --- Good rows --------------------------------------------------------------------------------------------------

_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# JSON can contain a NUL only as this escape; databases behind the API reject it.
_NUL = b"\\u0000"


class Checker(Generic[Model]):
    """Checks rows against one model.

    :param model: :class:`Product`, :class:`OpenProduct` or :class:`ProductIdentifier`.
    :param strip: reject an id with white space at its ends or invisible characters: it would be the id of
        another product. ``False`` keeps ids as they are.
    """

    def __init__(self, model: type[Model], *, strip: bool = True) -> None:
        self._strip = strip
        self._decode: Callable[[bytes], Model] = msgspec.json.Decoder(model).decode
        self._skips = not model.__struct_config__.forbid_unknown_fields
        self._walk: _Walk = _Walk(model)

    def check(self, row: bytes) -> Model:
        """Return the row as an object.

        :param row: one JSON object, UTF-8.
        :raises RowError: the row must not be sent; every problem is listed.
        """
        try:
            item = self._decode(row)
            if self._skips:
                _decode_any(row)  # the typed decoder does not check the parts that it skips
        except _REFUSED as refusal:
            if not self._skips or self.problems(row):
                raise self._refusal(row, str(refusal)) from None
            item = self._decode(self._walk.known(row))
        if _NUL in row and self.problems(row):
            raise self._refusal(row, "")
        if self._strip and _is_hidden(item.id):
            raise self._refusal(row, "")
        return item

    def problems(self, row: bytes) -> list[Problem]:
        """Return every problem found by the walk; an empty list if and only if :meth:`check` accepts the row."""
        return self._found(row)[1]

    def _found(self, row: bytes) -> tuple[str | None, list[Problem]]:
        item_id, walked = self._walk.problems(row)
        if not self._strip or not item_id or not _is_hidden(item_id):
            return item_id, walked
        clean = item_id.strip(BLANK)
        problems = [Problem(_hidden(item_id, clean), "id", item_id=_short(clean))]
        problems.extend(walked)
        return clean or None, problems

    def _refusal(self, row: bytes, reason: str) -> RowError:
        item_id, problems = self._found(row)
        if reason and not problems:
            problems = [Problem(reason, item_id=item_id)]
        return RowError(problems, item_id)


GtinCheck = Literal["reject", "warn", "off"]


class ProductChecker(Checker[Product]):
    """Checks products against Connect's limits and the settings of the account.

    :param unknown_fields: ``reject`` fields and types of attributes that Connect does not document, or ``send`` them.
    :param locales: the locales texts may have; empty allows any.
    :param strip: as for :class:`Checker`.
    :param gtin_check: ``reject`` a product with a GTIN whose check digit is wrong, ``warn``: count it in
        :attr:`wrong_gtins`, or ``off``.
    :param normalize_gtins: correct rejected GTINs if the right one is certain: :func:`~.gtins.normalized`.
    """

    def __init__(
        self,
        unknown_fields: Literal["reject", "send"] = "reject",
        locales: Iterable[str] = (),
        *,
        strip: bool = True,
        gtin_check: GtinCheck = "reject",
        normalize_gtins: bool = False,
    ) -> None:
        one_of("unknown_fields", unknown_fields, ("reject", "send"))
        one_of("gtin_check", gtin_check, get_args(GtinCheck))
        super().__init__(OpenProduct if unknown_fields == "send" else Product, strip=strip)
        self._locales = frozenset(locales)
        self._gtin_check = gtin_check
        self.wrong_gtins = 0
        """Number of accepted products with a wrong check digit."""
        self.fixed_gtins = 0
        """Number of corrected GTINs."""
        self._normalize = normalize_gtins

    def check(self, row: bytes) -> Product:
        """Return the row as an object. See :meth:`Checker.check`."""
        # Not super(), and no call where there is nothing to report: a million rows come through here.
        item = Checker.check(self, row)
        if item.gtins and self._gtin_check != "off":
            for gtin in item.gtins:
                if not is_right(gtin.value):
                    if self._gtin_check == "reject":
                        raise RowError(list(_wrong_digits(item)), item.id)
                    self.wrong_gtins += 1
                    break
        if self._locales and (problems := list(self._strangers(item))):
            raise RowError(problems, item.id)
        return item

    def prepare(self, row: bytes) -> tuple[Product, bytes]:
        """Check a row; if the check rejects it and GTINs may be corrected, correct them and check again.

        :return: the product and the row to send.
        :raises RowError: as for :meth:`check`.
        """
        try:
            return self.check(row), row
        except RowError as refusal:
            if not self._normalize or not any(
                problem.field.startswith("gtins") for problem in refusal.problems
            ):
                raise
            fixed, count = _with_gtins(row)
            if not count:
                raise
            try:
                item = self.check(fixed)
            except RowError as second:
                raise RowError(second.problems, second.item_id) from None
        self.fixed_gtins += count
        return item, fixed

    def notes(self) -> list[str]:
        """Notes for the user about accepted rows."""
        notes = []
        if self.fixed_gtins:
            notes.append(f"corrected {counted(self.fixed_gtins, 'GTIN')} to the form that Connect accepts")
        if self.wrong_gtins:
            notes.append(
                f"sending {counted(self.wrong_gtins, 'product')} with a GTIN whose check digit is wrong"
            )
        return notes

    def _strangers(self, item: Product) -> Iterator[Problem]:
        texts: dict[str, Any] = {"titles": item.titles, "descriptions": item.descriptions}
        if isinstance(item.category, Category):
            texts["category.labels"] = item.category.labels
        for field, values in texts.items():
            for index, text in enumerate(values if isinstance(values, list) else ()):
                if text.locale not in self._locales:
                    known = ", ".join(sorted(self._locales))
                    message = f"{str(text.locale)!r} is not a locale of the connection, which has {known}"
                    yield Problem(message, f"{field}[{index}].locale", item_id=item.id)


def _with_gtins(row: bytes) -> tuple[bytes, int]:
    """The row with corrected GTINs, and the number of corrections; other numbers keep their digits."""
    try:
        fields = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
        gtins = msgspec.json.decode(fields["gtins"], type=list[dict[str, Any]])
    except (*_REFUSED, KeyError):
        return row, 0
    count = 0
    for gtin in gtins:
        value = gtin.get("value")
        text = str(value) if type(value) is int else value
        fixed = normalized(text) if isinstance(text, str) else None
        if fixed is not None and fixed != value:
            gtin["value"] = fixed
            count += 1
    fields["gtins"] = msgspec.Raw(msgspec.json.encode(gtins))
    return msgspec.json.encode(fields), count


def _wrong_digits(item: Product) -> Iterator[Problem]:
    for index, gtin in enumerate(item.gtins or ()):
        if not is_right(gtin.value):
            right = check_digit(gtin.value)
            yield Problem(
                f"{gtin.value!r} has the check digit {gtin.value[-1]}, but {right} would be right; is a digit wrong? "
                "gtin_check='warn' accepts it",
                f"gtins[{index}].value",
                item_id=item.id,
            )


def _is_hidden(item_id: str) -> bool:
    return not item_id.isprintable() or item_id[0] == " " or item_id[-1] == " "


def _hidden(item_id: str, clean: str) -> str:
    if not clean:
        return "is blank"
    if clean != item_id:
        ends = item_id[: len(item_id) - len(item_id.lstrip(BLANK))] + item_id[len(item_id.rstrip(BLANK)) :]
        shown = ", ".join(dict.fromkeys(f"U+{ord(sign):04X}" for sign in ends))
        return (
            f"{_short(item_id)!r} begins or ends with white space ({shown}), and would be another product than "
            f"{_short(clean)!r}; remove it, or set strip=False if that is the id"
        )
    signs = ", ".join(dict.fromkeys(f"U+{ord(sign):04X}" for sign in item_id if not sign.isprintable()))
    return f"{_short(item_id)!r} contains an invisible character ({signs}); remove it, or set strip=False"


# --- Bad rows ---------------------------------------------------------------------------------------------------


class _Constant(str):
    """``NaN``, ``Infinity`` or ``-Infinity``: which Python reads but JSON does not have."""

    __slots__ = ()


class _Huge(str):
    """A number too long to read."""

    __slots__ = ()


def _integer(text: str) -> int | _Huge:
    try:
        return int(text)
    except ValueError:
        return _Huge(text)


_KINDS: tuple[tuple[type, str], ...] = (
    (_Constant, "{}"),
    (_Huge, "a number with too many digits"),
    (bool, "{}"),
    (str, "the text {!r}"),
    (int, "the number {}"),
    (float, "the number {}"),
    (list, "a list"),
    (dict, "an object"),
)

_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?\Z")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind(value: Any) -> str:
    """Describe a value, including the value if it is short."""
    for kind, words in _KINDS:
        if isinstance(value, kind):
            shown = str(value).lower() if isinstance(value, bool) else value
            return words.format(_short(str(shown)) if isinstance(shown, str) else shown)
    return "null"


class _Walk:
    """Finds every problem of a row, with the same types as the decoder."""

    def __init__(self, model: type[Struct]) -> None:
        self._model = model

    @cached_property
    def _root(self) -> types.Type:
        root = types.type_info(self._model)
        return _opened(root) if self._model is OpenProduct else root

    def known(self, row: bytes) -> bytes:
        """A valid row, without the parts unknown to this package."""
        return json.dumps(_known(self._root, json.loads(row)), ensure_ascii=False).encode()

    def problems(self, row: bytes) -> tuple[str | None, list[Problem]]:
        """Return the row's id, if it has one, and its problems."""
        try:
            value = _read(row)
        except RowError as error:
            return None, error.problems
        found: list[Problem] = []
        item_id = value.get("id") if isinstance(value, dict) else None
        named = item_id if type(item_id) is str else None
        for path, message in _look(self._root, value, ""):
            found.append(Problem(message, field=path, item_id=None if named is None else _short(named)))
        return named, found


def _opened(kind: types.Type) -> types.Type:
    """The same type, whose objects at any depth may have further fields."""
    if isinstance(kind, types.Metadata):
        return replace(kind, type=_opened(kind.type))
    if isinstance(kind, types.UnionType):
        return replace(kind, types=tuple(map(_opened, kind.types)))
    if isinstance(kind, types.ListType):
        return replace(kind, item_type=_opened(kind.item_type))
    if isinstance(kind, types.StructType):
        fields = tuple(replace(field, type=_opened(field.type)) for field in kind.fields)
        return replace(kind, fields=fields, forbid_unknown_fields=False)
    return kind


_UNKNOWN = object()


def _known(kind: types.Type, value: Any) -> Any:
    """The part of a value that its type knows; ``_UNKNOWN`` for an object of an unknown type."""
    if isinstance(kind, types.Metadata):
        return _known(kind.type, value)
    if isinstance(kind, types.UnionType):
        structs = [choice for choice in kind.types if isinstance(choice, types.StructType)]
        if isinstance(value, dict) and structs and structs[0].tag_field:
            structs = [choice for choice in structs if choice.tag == value.get(str(choice.tag_field))]
            return _known(structs[0], value) if structs else _UNKNOWN
        choices = [choice for choice in kind.types if not isinstance(choice, types.NoneType)]
        return value if value is None or len(choices) != 1 else _known(choices[0], value)
    if isinstance(kind, types.ListType):
        return [kept for entry in value if (kept := _known(kind.item_type, entry)) is not _UNKNOWN]
    if isinstance(kind, types.StructType):
        fields = {field.encode_name: field.type for field in kind.fields}
        return {
            name: _known(fields[name], entry) if name in fields else entry
            for name, entry in value.items()
            if name in fields or name == kind.tag_field
        }
    return value


def _read(row: bytes) -> Any:
    """Read JSON, accepting values that the walk can explain better: NaN and out-of-range numbers."""
    try:
        text = row.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError([Problem(not_utf8(error))]) from None
    try:
        return json.loads(text, parse_constant=_Constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise RowError([Problem(f"not JSON: {error.msg} at position {error.pos + 1}")]) from None
    except RecursionError:
        raise RowError([Problem("not readable: lists and objects are nested too deep")]) from None


Found = Iterator[tuple[str, str]]


def _look(kind: types.Type, value: Any, path: str) -> Found:
    """Yield (path, message) for everything wrong with a value."""
    says = ""
    if isinstance(kind, types.Metadata):
        says = (kind.extra or {}).get("says", "")
        kind = kind.type
    if isinstance(kind, types.UnionType):
        yield from _look_union(kind, value, path)
        return
    look = _LOOKS[type(kind)]
    yield from look(kind, value, path, says)


def _look_union(kind: types.UnionType, value: Any, path: str) -> Found:
    if value is None and kind.includes_none:
        return
    choices = [choice for choice in kind.types if not isinstance(choice, types.NoneType)]
    if len(choices) == 1:
        yield from _look(choices[0], value, path)
    else:
        yield from _look_tagged(
            [choice for choice in choices if isinstance(choice, types.StructType)], value, path
        )


def _look_tagged(kinds: list[types.StructType], value: Any, path: str) -> Found:
    if not isinstance(value, dict):
        yield path, f"expected an object, got {_kind(value)}"
        return
    by_tag = {kind.tag: kind for kind in kinds}
    field = str(kinds[0].tag_field)
    takes = "Connect accepts " + ", ".join(str(tag) for tag in by_tag)
    tag = value.get(field)
    if field not in value:
        yield _join(path, field), f"missing; {takes}"
    elif isinstance(tag, str) and tag in by_tag:
        yield from _look(by_tag[tag], value, path)
    elif isinstance(tag, str) and tag and not kinds[0].forbid_unknown_fields:
        yield from _look_any(value, path)
    else:
        hint = " (a text is STRING)" if isinstance(tag, str) and tag.upper() in ("TEXT", "STR") else ""
        yield _join(path, field), f"{_kind(tag)} is not an attribute type; {takes}{hint}"


def _look_struct(kind: types.StructType, value: Any, path: str, says: str) -> Found:
    if not isinstance(value, dict):
        yield path, f"expected an object, got {_kind(value)}"
        return
    fields = {field.encode_name: field for field in kind.fields}
    for name, field in fields.items():
        where = _join(path, name)
        if name in value:
            if value[name] is None and not _nullable(field.type):
                yield where, _no_null(field.type)
            else:
                yield from _look(field.type, value[name], where)
        elif field.required:
            yield where, "missing"
    if kind.cls is DiscountPrice:
        yield from _look_calendar(value, path)
    for name in [name for name in value if name not in fields and name != kind.tag_field]:
        if kind.forbid_unknown_fields:
            words = _unknown(name, list(fields))
            if not path and "id" not in value and _holds_objects(value[name]):
                words = f"is a list; if it contains the products, set items={name!r}"
            yield _join(path, name), words
        else:
            yield from _look_any({name: value[name]}, path)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _look_any(value: Any, path: str) -> Found:
    """Check values of unknown fields: they must be JSON that can be stored."""
    if isinstance(value, _Constant):
        yield path, f"{value} is not a valid number in JSON"
    elif isinstance(value, str) and not isinstance(value, _Huge):
        yield from _look_characters(value, path)
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _look_characters(name, path)
            yield from _look_any(entry, _join(path, name))
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            yield from _look_any(entry, f"{path}[{position}]")


def _look_characters(value: str, path: str) -> Found:
    if "\0" in value:
        yield path, "contains the character U+0000, which cannot be stored; remove it"
    if not _encodable(value):
        yield (
            path,
            "contains half of a surrogate pair (\\ud800 to \\udfff), which is not a character; remove it",
        )


def _look_calendar(value: dict[str, Any], path: str) -> Found:
    form = re.compile(str(_MOMENT.pattern))
    for name in ("start_date", "end_date"):
        moment = value.get(name)
        if isinstance(moment, str) and form.match(moment):
            try:
                datetime.fromisoformat(moment)
            except ValueError as error:
                yield _join(path, name), f"{moment!r} is not a date: {error}"


def _look_list(kind: types.ListType, value: Any, path: str, says: str) -> Found:
    if not isinstance(value, list):
        yield path, f"expected a list, got {_kind(value)}"
        return
    if kind.max_length is not None and len(value) > kind.max_length:
        yield path, f"has {len(value)} entries; Connect accepts at most {kind.max_length}"
    if kind.min_length and len(value) < kind.min_length:
        yield path, "is an empty list; leave the field out to keep what Mirakl has"
    for position, entry in enumerate(value):
        yield from _look(kind.item_type, entry, f"{path}[{position}]")


def _look_text(kind: types.StrType, value: Any, path: str, says: str) -> Found:
    if isinstance(value, _Constant | _Huge) or not isinstance(value, str):
        yield (
            path,
            f"expected a text, got {_kind(value)}"
            + ("; write it in quotes" if _is_number(value) or isinstance(value, _Huge) else ""),
        )
        return
    if kind.min_length and len(value) < kind.min_length:
        yield path, "is empty"
    if kind.max_length is not None and len(value) > kind.max_length:
        yield path, f"has {len(value)} characters; Connect accepts at most {kind.max_length}"
    if kind.pattern is not None and re.search(kind.pattern, value) is None:
        yield path, gtin_fault(value) if says == "gtin" else f"{_short(value)!r} {says}"
    yield from _look_characters(value, path)


def _look_form(kind: types.EnumType, value: Any, path: str, says: str) -> Found:
    rule = FORMS[cast("type[Form]", kind.cls)]
    yield from _look_text(types.StrType(pattern=rule.pattern.pattern), value, path, rule.says)


def _number_in_text(value: str, word: str) -> str:
    """Advise about a string that looks like a number to a human; empty for any other."""
    text = value.strip()
    if two := readings(text):
        sign = text.lstrip("-0123456789")[:1]
        return (
            f"the number {value!r} could be {two[1]} or {two[0]}; write it without group separators, or set "
            f"thousands={sign!r} in columns (thousands='' if there are no groups of three)"
        )
    if grouped := grouped_number(text):
        amount, sign, decimal = grouped
        other = ".".join(re.split(r"[^0-9-]", text)[:2])
        return (
            f"the number {value!r} could be {amount} or {other}; set thousands={sign!r} and decimal={decimal!r} in "
            f"columns, or write {amount}"
        )
    if _NUMBER.match(text):
        plain = re.sub(r"^(-?)0+(?=\d)", r"\1", text.lstrip("+").replace(",", "."))
        comma = ", or set decimal=',' in columns for a table" if "," in text else ""
        return f"expected {word}, got the text {value!r}; write {plain} without quotes{comma}"
    return ""


def _look_number(kind: types.IntType | types.FloatType, value: Any, path: str, says: str) -> Found:
    whole = isinstance(kind, types.IntType)
    word = "a whole number" if whole else "a number"
    if isinstance(value, _Constant) or (isinstance(value, float) and math.isinf(value)):
        shown = value if isinstance(value, _Constant) else "a number out of range"
        yield path, f"{shown} is not a valid number in JSON; use {word}"
    elif isinstance(value, _Huge):
        yield path, "has too many digits"
    elif isinstance(value, str) and (words := _number_in_text(value, word)):
        yield path, words
    elif not _is_number(value) or (whole and isinstance(value, float) and not value.is_integer()):
        yield path, f"expected {word}, got {_kind(value)}"
    elif kind.ge is not None and value < kind.ge:
        yield path, f"{value} is too small; Connect accepts {kind.ge} or more"
    elif kind.le is not None and value > kind.le:
        yield path, f"{value} is too large; Connect accepts at most {kind.le}"
    elif whole and isinstance(value, float):
        yield path, f"expected a whole number, got {value}; write {int(value)}"
    elif not whole and not _fits_float(value):
        yield path, "has too many digits"


def _look_boolean(kind: types.BoolType, value: Any, path: str, says: str) -> Found:
    if not isinstance(value, bool):
        yield path, f"expected true or false, got {_kind(value)}"


_LOOKS: dict[type, Callable[[Any, Any, str, str], Found]] = {
    types.StructType: _look_struct,
    types.ListType: _look_list,
    types.StrType: _look_text,
    types.EnumType: _look_form,
    types.IntType: _look_number,
    types.FloatType: _look_number,
    types.BoolType: _look_boolean,
}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits_float(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _nullable(kind: types.Type) -> bool:
    return isinstance(kind, types.UnionType) and kind.includes_none


def _no_null(kind: types.Type) -> str:
    if isinstance(kind, types.ListType) and not kind.min_length:
        return "null is not allowed here; send [] to empty it, or leave the field out to keep what Mirakl has"
    return "null is not allowed here; leave the field out to keep what Mirakl has"


_HABITS: dict[str, str] = {
    "title": "titles",
    "name": "titles",
    "description": "descriptions",
    "sku": "id",
    "product_id": "id",
    "gtin": "gtins",
    "ean": "gtins",
    "upc": "gtins",
    "isbn": "gtins",
    "image": "images",
    "price": "standard_prices",
    "prices": "standard_prices",
    "discount_price": "discount_prices",
    "quantity": "quantities",
    "stock": "quantities",
    "attribute": "attributes",
    "lang": "locale",
    "language": "locale",
}
"""Common wrong names of fields, and the right ones."""


def _unknown(name: str, known: list[str]) -> str:
    lowered = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    close = difflib.get_close_matches(lowered, known, 1, 0.7) or [
        field for field in (_HABITS.get(lowered),) if field in known
    ]
    hint = f"did you mean {close[0]!r}?" if close else "Connect knows " + ", ".join(known)
    return f"unknown field; {hint}"
