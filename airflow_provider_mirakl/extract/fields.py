"""The fields of the rows of a listing, as data: the single source for every table and file format.

A type is one of :data:`SCALARS`, a mapping of fields (an object), or a list of one type. Nested NDJSON keeps a row
unchanged. Everything else has the fields listed here, always all of them and in this order, so that a
warehouse sees a stable schema; a field that Mirakl adds later goes into the column ``other``, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from airflow_provider_mirakl.api.values import moment_of

FieldType: TypeAlias = "str | Mapping[str, FieldType] | list[FieldType]"
Fields: TypeAlias = Mapping[str, FieldType]
Row: TypeAlias = dict[str, Any]

SCALARS = frozenset({"text", "moment", "money", "number", "integer", "boolean", "json"})
OTHER = "other"

MONEY: Fields = {"amount": "money", "currency": "text"}
ADDRESS: Fields = dict.fromkeys(
    (
        "first_name", "last_name", "company", "street", "street_additional_info", "additional_info", "zip_code",
        "city", "state", "country", "country_iso_code", "phone",
    ),
    "text",
)  # fmt: skip
TAX: Fields = {
    "code": "text", "amount": MONEY, "rate": "number", "seller_collectible": MONEY, "channel_collectible": MONEY,
}  # fmt: skip
ATTRIBUTES: list[FieldType] = [{"id": "text", "type": "text", "value": "json"}]
ORIGIN: Fields = dict.fromkeys(
    (
        "channel_id", "channel_name", "channel_store_id", "channel_store_name", "sub_channel_code",
        "sub_channel_name",
    ),
    "text",
)  # fmt: skip
ADJUSTMENT: Fields = {
    "adjustment_id": "text", "type": "text", "reason": "text", "created_at": "moment", "quantity": "integer",
    "price": MONEY, "shipping_price": MONEY, "taxes": [{"code": "text", "amount": MONEY}],
    "shipping_taxes": [{"code": "text", "amount": MONEY}],
}  # fmt: skip
ORDER_LINE: Fields = {
    "id": "text", "channel_order_line_id": "text", "product": {"id": "text", "title": "text"}, "quantity": "integer",
    "status": "text", "status_reason": "text", "can_cancel": "boolean", "can_refund": "boolean", "price": MONEY,
    "taxes": [TAX], "total_shipping_price": MONEY, "shipping_taxes": [TAX], "adjustments": [ADJUSTMENT],
    "custom_attributes": ATTRIBUTES,
}  # fmt: skip
ORDER: Fields = {
    "id": "text", "channel_order_id": "text", "status": "text", "status_reason": "text", "created_at": "moment",
    "channel_updated_at": "moment", "updated_at": "moment", "anonymized_at": "moment", "origin": ORIGIN,
    "fulfillment": {"type": "text", "code": "text"}, "billing_info": {"address": ADDRESS},
    "shipping_info": {
        "email": "text", "address": ADDRESS, "carrier": "text", "method": "text", "pudo_id": "text",
        "shipping_deadline": "moment", "delivery_date": {"earliest": "moment", "latest": "moment"},
    },
    "custom_attributes": ATTRIBUTES, "order_lines": [ORDER_LINE],
}  # fmt: skip
RETURN: Fields = {
    "id": "text", "channel_return_id": "text", "order_id": "text", "status": "text", "rejection_reason": "text",
    "rma_id": "text", "label_url": "text", "method": "text", "created_at": "moment", "channel_updated_at": "moment",
    "updated_at": "moment", "origin": ORIGIN,
    "tracking": {"carrier_name": "text", "tracking_number": "text", "tracking_url": "text"},
    "address": {
        name: ADDRESS[name]
        for name in ("street", "street_additional_info", "zip_code", "city", "state", "country", "country_iso_code")
    },
    "return_lines": [
        {"order_line_id": "text", "product_id": "text", "quantity": "integer", "reason": "text"}
    ],
}  # fmt: skip
CONVERSATION: Fields = {
    "id": "text", "channel_conversation_id": "text", "topic": {"type": "text", "value": "text"},
    "entity": {"type": "text", "id": "text", "channel_entity_id": "text"}, "origin": ORIGIN, "created_at": "moment",
    "updated_at": "moment", "anonymized_at": "moment",
    "participants": [{"type": "text", "id": "text", "name": "text"}],
}  # fmt: skip
MESSAGE: Fields = {
    "id": "text", "channel_message_id": "text", "body": "text",
    "sender": {"type": "text", "id": "text", "name": "text"}, "visible_to_customer": "boolean",
    "created_at": "moment", "channel_created_at": "moment",
    "attachments": [{"id": "text", "filename": "text", "size_in_bytes": "integer"}],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """The structure of a listing's rows, and how they become tables.

    :param table: name of the table of rows.
    :param fields: their fields; empty if they are not known, and then only NDJSON can be written.
    :param lines: the field with the lines of a row, which become a separate table when flattened.
    :param line_table: name of that table.
    :param line_key: column of that table that identifies the row.
    :param personal: paths of personal data: names, addresses and contact details.
    """

    table: str
    fields: Fields = field(default_factory=dict)
    lines: str = ""
    line_table: str = ""
    line_key: str = ""
    personal: tuple[tuple[str, ...], ...] = ()

    @property
    def line_fields(self) -> Fields:
        """The fields of a line."""
        listed = self.fields.get(self.lines)
        inner = listed[0] if isinstance(listed, list) else {}
        return inner if isinstance(inner, Mapping) else {}

    def tables(self, *, flat: bool) -> dict[str, Fields]:
        """The tables by name, each with its columns."""
        if not flat:
            return {self.table: {**self.fields, OTHER: "json"}}
        own = {name: kind for name, kind in self.fields.items() if name != self.lines}
        found: dict[str, Fields] = {self.table: {**flat_fields(own), OTHER: "json"}}
        if self.lines:
            found[self.line_table] = {self.line_key: "text", **flat_fields(self.line_fields), OTHER: "json"}
        return found

    def rows(self, row: Row, *, flat: bool) -> Iterator[tuple[str, Row]]:
        """Split a row of the listing into rows of the tables, each with the name of its table."""
        if not flat:
            yield self.table, {**shaped(row, self.fields), OTHER: _others(row, self.fields)}
            return
        own = {name: kind for name, kind in self.fields.items() if name != self.lines}
        yield self.table, {**flat_row(row, own), OTHER: _others(row, self.fields)}
        lines = row.get(self.lines) if self.lines else None
        for line in lines if isinstance(lines, list) else ():
            line = line if isinstance(line, Mapping) else {}
            values = flat_row(line, self.line_fields)
            yield (
                self.line_table,
                {self.line_key: row.get("id"), **values, OTHER: _others(line, self.line_fields)},
            )

    def without_persons(self, row: Row) -> Row:
        """The row without personal data."""
        for path in self.personal:
            row = _without(row, path)
        return row


def flat_fields(fields: Fields, prefix: str = "") -> dict[str, FieldType]:
    """Columns of an object: fields of nested objects get the names of their parents as prefix, lists are JSON."""
    found: dict[str, FieldType] = {}
    for name, kind in fields.items():
        if isinstance(kind, Mapping):
            found |= flat_fields(kind, f"{prefix}{name}_")
        else:
            found[prefix + name] = "json" if isinstance(kind, list) else kind
    return found


def flat_row(row: object, fields: Fields, prefix: str = "") -> Row:
    """The values of :func:`flat_fields`."""
    values = row if isinstance(row, Mapping) else {}
    found: Row = {}
    for name, kind in fields.items():
        value = values.get(name)
        if isinstance(kind, Mapping):
            found |= flat_row(value, kind, f"{prefix}{name}_")
        else:
            found[prefix + name] = shaped(value, "json" if isinstance(kind, list) else kind)
    return found


def shaped(value: Any, kind: FieldType) -> Any:
    """A value in its type. A value that does not fit becomes null: an invalid date must not stop an extract."""
    if isinstance(kind, Mapping):
        if not isinstance(value, Mapping):
            return None
        return {name: shaped(value.get(name), inner) for name, inner in kind.items()}
    if isinstance(kind, list):
        return [shaped(item, kind[0]) for item in value] if isinstance(value, list) else None
    if value is None:
        return None
    return _READERS[kind](value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _money(value: Any) -> Decimal | None:
    """Six decimals, more than any currency has. In Mirakl's samples amounts are numbers or strings."""
    try:
        return round(Decimal(str(value)), 6) if not isinstance(value, bool) else None
    except (InvalidOperation, ValueError):
        return None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):  # an integer beyond 1e308
        return None


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):  # Infinity
        return None


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "json": _json,
    "moment": moment_of,
    "money": _money,
    "number": _number,
    "integer": _integer,
    "boolean": lambda value: value if isinstance(value, bool) else None,
}


def _others(row: Mapping[str, Any], fields: Fields) -> str | None:
    others = {name: value for name, value in row.items() if name not in fields}
    return _json(others) if others else None


def _without(row: Any, path: tuple[str, ...]) -> Any:
    if isinstance(row, list):
        return [_without(item, path) for item in row]
    name, *rest = path
    if not isinstance(row, Mapping) or name not in row:
        return row
    if not rest:
        return {key: value for key, value in row.items() if key != name}
    return {**row, name: _without(row[name], tuple(rest))}
