"""How a flat source becomes products: the settings, and the ready mappings of shop systems."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Literal

from airflow_provider_mirakl.catalog.product import FORMS, Currency
from airflow_provider_mirakl.exceptions import MiraklConfigurationError


@dataclass(frozen=True, slots=True)
class Columns:
    """How a flat source becomes products.

    :param mapping: column to target, or target to columns in braces or a constant after ``=``, see the
        module; other columns are ignored. Names are matched regardless of case and
        surrounding spaces. ``None``: the columns must be named after their targets; any other column is an error.
    :param optional: columns of the mapping that the source may lack; a ready mapping names those that its system
        does not always export.
    :param languages: the source's own name of a language to Connect's locale, such as ``{"FR": "fr_FR"}``; it is used
        for every key in brackets or after a title or description column. ``None``: the source uses locales.
    :param locale: locale of texts whose target does not have one.
    :param currency: currency of prices without a column for it, ISO 4217; ``cell`` if each price includes its own,
        such as ``12.50 EUR``. A currency in the cell of a price always takes precedence.
    :param separator: the separator of several values in a cell (gtins, images). ``None`` detects it: a pipe, a line
        break, a semicolon or a comma; the last two separate URLs only if a URL follows.
    :param decimal: the decimal sign of numbers in strings.
    :param thousands: the signs that may separate groups of three digits, such as ``.`` or ``,``; a space means
        every kind of space, ``'`` both apostrophes; ``""`` means none. ``None``: an ambiguous number with such a
        group is rejected.
    :param empty: the meaning of a field whose cells are all empty: ``absent`` keeps the field in Mirakl, ``null``
        erases it. If only some cells of a list are empty, the others are sent, and replace the list in Connect.
    :param strip: remove white space and invisible characters from both ends of every cell.
    :param delimiter: the delimiter of a CSV file; default detected from its first lines.
    :param quoting: ``auto``: cells of a CSV file may be in double quotes; ``none``: a quote is an ordinary
        character.
    :param group_by: the column that is equal in all rows of a product or of its variants; such rows must be adjacent.
    :param fill_down: columns whose value in the first row of a group applies to all of its rows.
    :param collect: columns whose values in all rows of a group belong to each of its products, such as images.
    :param category_path: the meaning of a category written as ``A > B > C``: ``leaf`` uses C as its id and, if no
        column is mapped to labels, as its label; ``whole`` uses the whole text.
    :param category_separator: the separator of the levels of such a path; ``>`` needs a space on both sides.
    :param attribute_types: type of attributes by their id, such as ``{"weight": "NUMERIC"}``.
    :param truncate: cut titles and descriptions that are too long at a word, instead of rejecting the product.
    :param html: ``text`` converts titles and descriptions from HTML to plain text; ``keep`` does not.
    :raises MiraklConfigurationError: a setting is invalid; every one is listed.
    """

    mapping: Mapping[str, str] | None = None
    optional: tuple[str, ...] = ()
    languages: Mapping[str, str] | None = None
    locale: str | None = None
    currency: str | None = None
    separator: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: str | None = None
    empty: Literal["absent", "null"] = "absent"
    strip: bool = True
    delimiter: str | None = None
    quoting: Literal["auto", "none"] = "auto"
    group_by: str | None = None
    fill_down: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()
    category_path: Literal["leaf", "whole"] = "leaf"
    category_separator: str = ">"
    attribute_types: Mapping[str, Literal["STRING", "NUMERIC", "BOOLEAN"]] | None = None
    truncate: bool = False
    html: Literal["keep", "text"] = "keep"

    def __post_init__(self) -> None:
        faults = []
        if self.separator == "":
            faults.append(
                "separator: must be the characters between several values of a cell, such as '|', not ''"
            )
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            faults.append(f"delimiter: must be one character such as ';', not {self.delimiter!r}")
        choices = {
            "decimal": (".", ","),
            "empty": ("absent", "null"),
            "quoting": ("auto", "none"),
            "category_path": ("leaf", "whole"),
            "html": ("keep", "text"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                faults.append(
                    f"{name}: must be {' or '.join(map(repr, allowed))}, not {getattr(self, name)!r}"
                )
        if self.thousands is not None and (
            self.decimal in self.thousands or set(self.thousands) - set(".,' \u2019_")
        ):
            faults.append(
                f"thousands: must consist of the characters . , ' and space, without the decimal character "
                f"{self.decimal!r}, not {self.thousands!r}"
            )
        if self.currency not in (None, CELL) and not FORMS[Currency].pattern.match(str(self.currency)):
            faults.append(f"currency: {self.currency!r} {FORMS[Currency].says}")
        if self.group_by is None and (self.fill_down or self.collect):
            faults.append("group_by: must be set for fill_down and collect")
        if faults:
            raise MiraklConfigurationError(f"columns: {'; '.join(faults)}", field="columns")

    def without_groups(self) -> Columns:
        """The same for independent rows."""
        return replace(self, group_by=None, fill_down=(), collect=())

    def sources(self) -> list[str]:
        """The columns that the mapping reads."""
        names: list[str] = []
        for name, spec in (self.mapping or {}).items():
            names += columns_of(spec) if is_expression(spec) else [name]
        return list(dict.fromkeys(names))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any] | str) -> Columns:
        """Make it from plain values, such as from a Dag file or a form.

        :param settings: the settings; or the name of a ready mapping, such as ``shopify``. Settings with ``preset``
            override parts of that ready mapping; a column of its mapping that is set to ``""`` is left
            out.
        :raises MiraklConfigurationError: a setting does not exist or is invalid; every one is listed.
        """
        settings = _with_preset({"preset": settings} if isinstance(settings, str) else settings)
        unknown = [name for name in settings if name not in cls.__dataclass_fields__]
        faults = [
            f"{name}: is not a setting{hint(name, list(cls.__dataclass_fields__))}; the settings are "
            f"{', '.join(cls.__dataclass_fields__)}"
            for name in unknown
        ]
        known = {name: value for name, value in settings.items() if name not in unknown}
        # pydantic is imported here only: most plans have no settings to check, and it takes as long as 10,000 products.
        from pydantic import TypeAdapter, ValidationError

        try:
            columns = TypeAdapter(cls).validate_python(known)
        except ValidationError as error:
            faults += [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        except MiraklConfigurationError as error:
            faults.append(str(error).removeprefix("columns: "))
        if faults:
            raise MiraklConfigurationError(f"columns: {'; '.join(faults)}", field="columns")
        return columns


CELL = "cell"
"""Currency: each price includes its own."""

PRESETS = ("akeneo", "google_merchant", "magento", "shopify", "woocommerce")
"""Ready mappings; each is a file of ``presets/``."""


def _with_preset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Merge settings with their ready mapping."""
    own = dict(settings)
    name = own.pop("preset", None)
    if name is None:
        return own
    if name not in PRESETS:
        raise MiraklConfigurationError(
            f"columns: preset must be one of {', '.join(PRESETS)}, not {name!r}{hint(str(name), PRESETS)}",
            field="columns",
        )
    text = resources.files(__package__).joinpath("presets", f"{name}.json").read_text("utf-8")
    ready: dict[str, Any] = json.loads(text)
    ready.pop("about", None)
    mapping = {**ready.get("mapping", {}), **(own.get("mapping") or {})}
    return {**ready, **own, "mapping": {column: target for column, target in mapping.items() if target}}


_FIELD = re.compile(r"\{([^{}]+)\}")


def is_expression(spec: str) -> bool:
    """Whether the value of a mapping consists of columns or a constant; then its key is the target."""
    return spec.startswith("=") or bool(_FIELD.search(spec))


def columns_of(spec: str) -> list[str]:
    """The columns of an expression."""
    return [] if spec.startswith("=") else _FIELD.findall(spec)


def split_fields(text: str) -> list[str]:
    """Texts and columns of an expression in turn, beginning with a text."""
    return _FIELD.split(text)


def hint(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known name that is meant."""
    close = difflib.get_close_matches(name, list(known))
    return f"; did you mean {close[0]!r}?" if close else ""
