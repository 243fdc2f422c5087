"""A sensor for the documents of shops. Source: :ref:`S30 <facts-s30>`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.runtime.arguments import Codes, Ids, as_codes, as_moment
from airflow_provider_mirakl.sensors.base import MiraklBaseSensor


class MiraklShopDocumentsSensor(MiraklBaseSensor):
    """Wait until shops have documents of given types, or until something new arrives.

    With ``type_codes`` the waiting ends when every shop has a document of every type: the papers of a new seller are
    complete. Without, it ends with any document of any of the shops, mostly together with ``uploaded_after``: something
    new has come.

    :param shop_ids: the shops. A seller gives one or none: then it is the shop of the connection, else the user's
        default shop. The operator and the front office may leave them out only where they give ``uploaded_after``, at
        most 90 days ago, and no types: then it is any shop of the marketplace. Templated.
    :param type_codes: the types that every shop has to have. Templated.
    :param uploaded_after: only documents uploaded after this moment count; a date-time with a time zone, such as
        ``{{ data_interval_start }}``. Templated.
    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: whose key of the connection is used: ``shop``, ``operator`` or ``front``; default the connection's own.
    :return: ``count`` and ``documents`` (``id``, ``file_name``, ``type``, ``shop_id``, ``date_uploaded``), the first
        300.
    :raises MiraklInputError: what the role has not, or has to give.
    :raises MiraklPermissionError: the key may not read documents.
    """

    poll = "airflow_provider_mirakl.shops.arrival.shop_documents"
    template_fields: Sequence[str] = ("shop_ids", "type_codes", "uploaded_after", "mirakl_conn_id")

    def __init__(
        self,
        *,
        shop_ids: Ids = None,
        type_codes: Codes = None,
        uploaded_after: datetime | str | None = None,
        mirakl_conn_id: str = MiraklHook.default_conn_name,
        role: Literal["shop", "operator", "front"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shop_ids = shop_ids
        self.type_codes = type_codes
        self.uploaded_after = uploaded_after
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role

    @cached_property
    def hook(self) -> MiraklHook:
        """The hook of the sensor's connection."""
        return MiraklHook(self.mirakl_conn_id, role=self.role)

    def poll_arguments(self) -> dict[str, Any]:
        """What travels to the triggerer."""
        from airflow_provider_mirakl.api.documents import as_ids

        values = self.hook.values
        shops = as_ids(self.shop_ids, "shop_ids")
        if not shops and values.role == "shop" and values.shop_id is not None:
            shops = [values.shop_id]
        moment = as_moment(self.uploaded_after, "uploaded_after")
        return {
            "role": values.role or "shop",
            "shop_ids": shops,
            "type_codes": as_codes(self.type_codes),
            "uploaded_after": None if moment is None else moment.isoformat(),
        }
