"""The hook of DJUST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_mirakl.exceptions import MiraklBadRequestError
from airflow_provider_mirakl.hooks.base import MiraklBaseHook
from airflow_provider_mirakl.hooks.conn_ids import DJUST_DEFAULT

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client


class DjustHook(MiraklBaseHook):
    """DJUST, as an operator (``dj-client: OPERATOR``).

    :param djust_conn_id: connection of type ``djust``.

    Source: :ref:`ADM-MIRAKL-100 <facts-djust>`.
    """

    conn_name_attr = "djust_conn_id"
    default_conn_name = DJUST_DEFAULT
    conn_type = "djust"
    hook_name = "DJUST"

    def __init__(self, djust_conn_id: str = default_conn_name) -> None:
        super().__init__(djust_conn_id)

    def _probe(self, client: Client) -> str:
        """Send an empty product list: DJUST answers 400 to a valid key, and nothing is synchronized.

        A page with status 400 proves nothing: a proxy or a web server sends such pages.
        """
        from airflow_provider_mirakl.api.djust import synchronize_products

        try:
            client.send(synchronize_products([]))
        except MiraklBadRequestError as error:
            if error.status != 400 or error.is_page:
                raise
        return "DJUST answers and accepts the key."
