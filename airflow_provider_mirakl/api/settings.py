"""The settings of an instance as data: one row for each, with the questions that Mirakl's call answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from airflow_provider_mirakl.api import documents, platform
from airflow_provider_mirakl.api.call import Call
from airflow_provider_mirakl.exceptions import MiraklInputError


class Setting(NamedTuple):
    """One setting of an instance.

    :param code: Mirakl's code of the call.
    :param make: makes the call.
    :param questions: parameters of the call that narrow the answer.
    """

    code: str
    make: Callable[..., Call[Any]]
    questions: tuple[str, ...] = ()


SETTINGS: Mapping[str, Setting] = {
    "additional_fields": Setting("AF01", platform.list_additional_fields, ("entities", "locale")),
    "attributes": Setting(
        "PM11",
        platform.list_attributes,
        ("hierarchy", "max_level", "all_operator_attributes", "channels", "with_roles"),
    ),
    "channels": Setting("CH11", platform.list_channels, ("locale",)),
    "configuration": Setting("PC01", platform.get_platform_configuration),
    "currencies": Setting("CUR01", platform.list_currencies, ("locale",)),
    "document_types": Setting("DO01", documents.list_document_types, ("entities", "locale")),
    "hierarchies": Setting("H11", platform.list_hierarchies, ("hierarchy", "max_level")),
    "locales": Setting("L01", platform.list_locales),
    "shop_roles": Setting("RO02", platform.list_shop_roles),
    "values_lists": Setting("VL11", platform.list_values_lists, ("code",)),
}
"""By name."""


def get_setting(
    name: str, query: Mapping[str, Any] | None = None, *, role: str = "shop", shop_id: int | None = None
) -> Call[Any]:
    """The call that reads a setting.

    :param name: of :data:`SETTINGS`.
    :param query: its questions, by name.
    :param role: ``shop``, ``operator`` or ``front``.
    :param shop_id: the shop, for a seller with several shops; in other roles it is not sent.
    :raises MiraklInputError: the setting does not exist, or the call does not take a key of the query.
    """
    if name not in SETTINGS:
        raise MiraklInputError(f"setting must be one of {', '.join(SETTINGS)}, not {name!r}")
    setting = SETTINGS[name]
    asked = {
        question: _several(value) if question in _LISTS else value
        for question, value in (query or {}).items()
        if value is not None
    }
    if unknown := sorted(asked.keys() - set(setting.questions)):
        known = ", ".join(setting.questions) or "none"
        raise MiraklInputError(
            f"query contains {', '.join(map(repr, unknown))}; {setting.code} accepts {known}"
        )
    if setting.code == "DO01":
        return setting.make(role, **{"entities": (), **asked}, shop_id=shop_id if role == "shop" else None)
    return setting.make(**asked, shop_id=shop_id if role == "shop" else None)


_LISTS = ("channels", "entities")


def _several(value: Any) -> list[Any]:
    """The elements of a list, also of one that is written with commas: a text alone would be taken letter by letter."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, Collection) else [value]
