"""The hook of Mirakl Connect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.hooks.base import MiraklBaseHook, performer

if TYPE_CHECKING:
    from airflow_provider_mirakl.catalog.plan import Plan
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath


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
        from airflow_provider_mirakl.catalog.columns import Columns
        from airflow_provider_mirakl.catalog.plan import plan_upsert

        mapping = None if columns is None else Columns.from_settings(columns)
        return self._carry_out(
            lambda folder: plan_upsert(
                _source(products),
                folder,
                columns=mapping,
                unknown_fields=unknown_fields,
                locales=self.locales,
            )
        )

    def delete(self, product_ids: str | Iterable[str]) -> dict[str, Any]:
        """Delete products, and return the outcome. As :meth:`upsert`.

        :param product_ids: a list of ids, or a file of them: a local path or object storage.
        """
        from airflow_provider_mirakl.catalog.plan import plan_delete

        return self._carry_out(lambda folder: plan_delete(_source(product_ids), folder))

    def _carry_out(self, plan: Callable[[StoragePath], Plan]) -> dict[str, Any]:
        from airflow_provider_mirakl.api.steps import drive
        from airflow_provider_mirakl.catalog.ledger import Ledger
        from airflow_provider_mirakl.catalog.loop import CallLimits, Pace, make_calls
        from airflow_provider_mirakl.catalog.work import SendWork
        from airflow_provider_mirakl.outcome import Outcome

        with TemporaryDirectory(prefix="mirakl-") as name, self.get_conn() as client:
            ledger = Ledger.open(plan(Path(name)), generation="")
            limits = CallLimits(self.settings.interval_factor, max_failures=5, refused_timeout=3600.0)

            def work() -> SendWork | None:
                return None if ledger.chunk is None else SendWork(ledger)

            drive(make_calls(work, Pace(), limits, self.log), performer(client))
            products = ledger.plan.products
            return Outcome(sent=products, unknown=products).summary()

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


def _source(given: Any) -> Any:
    """What a path names; a list or a table as it is."""
    return storage_path(given) if isinstance(given, str) else given
