"""A sensor for the documents of shops. Source: :ref:`S30 <facts-s30>`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.hooks.conn_ids import MIRAKL_DEFAULT
from airflow_provider_mirakl.runtime.arguments import Codes, Ids, Maybe, Moment, Selection, read_caller
from airflow_provider_mirakl.runtime.connections import OnInstance
from airflow_provider_mirakl.sensors.base import MiraklBaseSensor

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.runtime.arguments import CodesArg, IdsArg, MomentArg, TextArg
    from airflow_provider_mirakl.runtime.signatures import SensorArguments


class MiraklShopDocumentsSensor(OnInstance, MiraklBaseSensor):
    """Wait until shops have documents of given types, or until something new arrives (S30).

    With ``type_codes`` the wait ends when every shop has a document of every type, such as all documents required of a
    new seller. Otherwise it ends with any document of any of the shops; use ``uploaded_after`` to wait for a new one.

    :param shop_ids: the shops. A seller sets one shop or none: then it is the shop of the connection, else the user's
        default shop. The operator and the front office may leave it out only if they set ``uploaded_after``, at
        most 90 days ago, and no types: then any shop of the marketplace counts. Templated.
    :param type_codes: the types that every shop must have. Templated.
    :param uploaded_after: only documents uploaded after this time count; a date-time with a time zone, such as
        ``{{ data_interval_start }}``. Templated.
    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: the role whose key is used: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param poke_interval: seconds between two polls.
    :return: ``items``, the number of documents, and ``documents`` (``id``, ``file_name``, ``type``, ``shop_id``,
        ``date_uploaded``), the first 300.
    :raises MiraklInputError: an argument the role does not support, or a required one is missing.
    :raises MiraklPermissionError: the key may not read documents.
    """

    poll = "airflow_provider_mirakl.shops.arrival.shop_documents"
    shop_ids = Selection(Ids())
    type_codes = Selection(Codes())
    uploaded_after = Maybe(Moment())

    def __init__(
        self,
        *,
        shop_ids: IdsArg | None = None,
        type_codes: CodesArg | None = None,
        uploaded_after: MomentArg | None = None,
        mirakl_conn_id: TextArg = MIRAKL_DEFAULT,
        role: TextArg | None = None,
        poke_interval: float | timedelta = 60.0,  # a separate parameter, so that default_args applies to it
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.shop_ids = shop_ids
        self.type_codes = type_codes
        self.uploaded_after = uploaded_after
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role

    @property
    def awaited(self) -> str:
        """The documents."""
        shops = ", ".join(map(str, self.shop_ids)) or "the connection's shop"
        return f"{', '.join(self.type_codes) or 'any document'} of {shops}"

    def poll_arguments(self) -> dict[str, Any]:
        """The poll's arguments."""
        caller = read_caller(self.hook)
        own = [] if caller.shop_id is None else [caller.shop_id]
        return {
            "role": caller.role,
            "shop_ids": self.shop_ids or own,
            "type_codes": self.type_codes,
            "uploaded_after": None if self.uploaded_after is None else self.uploaded_after.isoformat(),
        }
