"""The hook of a Mirakl instance: Marketplace or Catalog Manager."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_mirakl.exceptions import (
    MiraklInputError,
    MiraklPermissionError,
    MiraklReplyError,
    on_one_line,
)
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.hooks.base import MiraklBaseHook
from airflow_provider_mirakl.hooks.conn_ids import MIRAKL_DEFAULT

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.api.offers import ImportMode
    from airflow_provider_mirakl.client.http import Client


class MiraklHook(MiraklBaseHook):
    """A Mirakl instance, as a shop, the operator or the front office.

    :param mirakl_conn_id: connection of type ``mirakl``.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own. With ``front`` the
        connection's front-office key is used where it has one.

    Source: :ref:`authentication <facts-authentication>`, :ref:`PC01 <facts-pc01>`.
    """

    conn_name_attr = "mirakl_conn_id"
    default_conn_name = MIRAKL_DEFAULT
    conn_type = "mirakl"
    hook_name = "Mirakl"

    def __init__(self, mirakl_conn_id: str = default_conn_name, *, role: str | None = None) -> None:
        super().__init__(mirakl_conn_id)
        self.role = role

    @property
    def caller(self) -> Caller:
        """Whose key it is, and for which shop."""
        return self._caller(None)

    def import_products(
        self, source: str | PathLike[str], *, shop_id: int | None = None, operator_format: bool = False
    ) -> int:
        """Submit a file of products (P41), and return the id of the import.

        For a ``@task`` that Airflow does not retry: a retry submits the file again. The operator
        :class:`~airflow_provider_mirakl.operators.products.MiraklImportProductsOperator` does not, and it waits without
        a worker.

        :param source: a CSV, XML or XLSX file: a local path or object storage.
        :param shop_id: the shop; default the connection's own. The operator and the front office must set one.
        :param operator_format: the file is already in the operator's format.
        :raises MiraklInputError: the file cannot be read, or a required shop is missing.
        :raises MiraklError: as for the client.
        """
        from airflow_provider_mirakl.api.products import import_products

        name, content = _readable(source)
        return self.send(
            import_products(
                content,
                name,
                caller=self._caller(shop_id),
                operator_format=operator_format,
            )
        )

    def import_offers(
        self,
        source: str | PathLike[str],
        *,
        shop_id: int | None = None,
        import_mode: ImportMode = "NORMAL",
        with_products: bool = False,
    ) -> int:
        """Submit a file of offers (OF01), and return the id of the import. As :meth:`import_products`.

        :param source: a CSV, XML or XLSX file: a local path or object storage.
        :param shop_id: the shop; default the connection's own.
        :param import_mode: ``NORMAL``, or ``REPLACE``, which deletes every offer that the file does not name.
        :param with_products: the file contains products too.
        """
        from airflow_provider_mirakl.api.offers import import_offers

        name, content = _readable(source)
        call = import_offers(
            content,
            name,
            caller=self._caller(shop_id),
            import_mode=import_mode,
            with_products=with_products,
        )
        return self.send(call).import_id

    def wait_for(
        self, job: str, job_id: int | str, *, shop_id: int | None = None, timeout: float = 3600.0
    ) -> dict[str, Any]:
        """Wait in this worker until a job has ended, and return Mirakl's status.

        Polls as often as Mirakl recommends. Failed lines are not an error here: the status counts them.

        :param job: ``product_import``, ``product_synchronization``, ``offer_import``, ``stock_import``,
            ``price_import``, ``product_export`` or ``offer_export``.
        :param job_id: Mirakl's id.
        :param shop_id: the shop; default the connection's own.
        :param timeout: seconds; the job continues after it.
        :raises MiraklJobFailedError: it ended without doing its work.
        :raises MiraklJobTimeoutError: it did not end in time.
        """
        from airflow_provider_mirakl.hooks.job_wait import wait_for

        return wait_for(self, job, job_id, self._caller(shop_id), timeout)

    def _caller(self, shop_id: int | None) -> Caller:
        from airflow_provider_mirakl.api.caller import Caller

        return Caller(self.values.role or "shop", self.values.shop_id if shop_id is None else shop_id)

    def _one_per_key(self) -> Sequence[MiraklHook]:
        roles = self.values.roles if self.role is None else (self.role,)
        return [MiraklHook(self.conn_id, role=role) for role in roles]

    def _probe(self, client: Client) -> str:
        """PC01, which may be called at any time. For a seller it needs the rights of a shop administrator.

        Without them Mirakl answers 403, and only to a key that it knows.
        """
        from airflow_provider_mirakl.api.platform import get_platform_configuration

        role = self.values.role
        try:
            answer = client.send(get_platform_configuration())
        except MiraklPermissionError as error:
            if role != "shop" or error.is_page:
                raise
            return (
                "Mirakl accepts the key, which the connection uses in the role shop. Its user is not a shop "
                "administrator, so PC01, which returns the name of the instance, is not permitted."
            )
        name = answer.get("platform_name")
        if not isinstance(name, str):
            raise MiraklReplyError("PC01: the reply has no platform_name", operation="PC01", status=200)
        tenant = answer.get("tenant_name")
        where = f" ({_shown(tenant)})" if isinstance(tenant, str) and tenant else ""
        return f"{_shown(name)}{where} accepts the key, which the connection uses in the role {role}."


def _shown(name: str) -> str:
    """A name that the server chose, for a message."""
    return on_one_line(name[:100])


def _readable(source: str | PathLike[str]) -> tuple[str, Callable[[], BinaryIO]]:
    """The name of a file that is there, and what opens it.

    :raises MiraklInputError: it is not, or it is empty; no call was made.
    """
    from airflow_provider_mirakl.files.storage import is_file, opener

    path = storage_path(fspath(source))
    if not is_file(path):
        raise MiraklInputError(f"source: {source!r} is not a file that can be read; nothing was sent")
    if path.stat().st_size == 0:
        raise MiraklInputError(f"source: {source!r} is empty; nothing was sent")
    return path.name, opener(path)
