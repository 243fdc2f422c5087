"""The hook of Mirakl Connect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_mirakl.hooks.base import MiraklBaseHook

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client


class MiraklConnectHook(MiraklBaseHook):
    """Mirakl Connect, as a seller.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.

    Source: :ref:`authentication <facts-authentication>`, :ref:`listProducts <facts-listproducts>`.
    """

    conn_name_attr = "mirakl_connect_conn_id"
    default_conn_name = "mirakl_connect_default"
    conn_type = "mirakl_connect"
    hook_name = "Mirakl Connect"

    def __init__(self, mirakl_connect_conn_id: str = default_conn_name) -> None:
        super().__init__(mirakl_connect_conn_id)

    def _probe(self, client: Client) -> str:
        """Fetch a new token: any call to the catalog would use up the one of this minute."""
        from airflow_provider_mirakl.client.settings import ClientCredentials
        from airflow_provider_mirakl.client.tokens import fetch_token

        auth = self.settings.auth
        assert isinstance(auth, ClientCredentials)  # noqa: S101 - the only kind that this type has
        client.send(fetch_token(auth))
        return "Mirakl gives a token for client id and secret. Whether they may call Connect shows at the first call."
