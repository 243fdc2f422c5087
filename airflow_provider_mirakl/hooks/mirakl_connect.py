"""The hook of Mirakl Connect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_mirakl.hooks.base import MiraklBaseHook
from airflow_provider_mirakl.hooks.conn_ids import CONNECT_DEFAULT

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client


class MiraklConnectHook(MiraklBaseHook):
    """Mirakl Connect, as a seller.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.

    Source: :ref:`authentication <facts-authentication>`, :ref:`listProducts <facts-listproducts>`.
    """

    conn_name_attr = "mirakl_connect_conn_id"
    default_conn_name = CONNECT_DEFAULT
    conn_type = "mirakl_connect"
    hook_name = "Mirakl Connect"

    def __init__(self, mirakl_connect_conn_id: str = default_conn_name) -> None:
        super().__init__(mirakl_connect_conn_id)

    def upsert(
        self,
        products: str | Iterable[Mapping[str, Any]],
        *,
        columns: Mapping[str, Any] | str | None = None,
        unknown_fields: Literal["reject", "send"] = "reject",
    ) -> dict[str, Any]:
        """Create or update products, and return the outcome.

        Checks every product before the first call, then makes one call a minute of up to 1,000 products, in this
        worker. Use it in a ``@task`` for a few products; for a catalog use
        :class:`~airflow_provider_mirakl.operators.connect.MiraklConnectUpsertProductsOperator`, which does not occupy a
        worker while it waits and continues where it stopped. Sending a product again is harmless.

        :param products: a list of dictionaries, a DataFrame, or a file: a local path or object storage.
        :param columns: how flat columns become products, as for the operator.
        :param unknown_fields: ``reject`` fields that Connect does not document, or ``send`` them.
        :return: ``sent``, and ``unknown`` as many: Mirakl accepts products before it processes them.
        :raises MiraklInputError: products are wrong; every problem is listed and no call was made.
        :raises MiraklError: as for the client.
        """
        from airflow_provider_mirakl.hooks.sending import upsert

        return upsert(self, products, columns, unknown_fields)

    def delete(self, product_ids: str | Iterable[str]) -> dict[str, Any]:
        """Delete products, and return the outcome. As :meth:`upsert`.

        :param product_ids: a list of ids, or a file of them: a local path or object storage.
        """
        from airflow_provider_mirakl.hooks.sending import delete

        return delete(self, product_ids)

    def _probe(self, client: Client) -> str:
        """Fetch a new token: any call to the catalog would use up the one of this minute."""
        from airflow_provider_mirakl.client.settings import ClientCredentials
        from airflow_provider_mirakl.client.tokens import fetch_token

        auth = self.settings.auth
        assert isinstance(auth, ClientCredentials)  # noqa: S101 - the only kind that this type has
        client.send(fetch_token(auth))
        return (
            "Mirakl returned a token for the client id and secret. The first call shows whether they have the right to "
            "call Connect."
        )
