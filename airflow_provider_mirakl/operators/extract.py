"""The operator that extracts any listing of an instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.files.values import is_nothing, read_structure
from airflow_provider_mirakl.hooks.conn_ids import MIRAKL_DEFAULT
from airflow_provider_mirakl.operators.bases.extract import ExtractOperator
from airflow_provider_mirakl.runtime.arguments import Argument, Id, Maybe, Query, read_caller
from airflow_provider_mirakl.runtime.connections import OnInstance

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.extract.listings import InstanceListing
    from airflow_provider_mirakl.runtime.arguments import MappingArg, PathArg, TextArg, WholeArg
    from airflow_provider_mirakl.runtime.signatures import ExtractArguments


class Operation(Argument["str | Mapping[str, Any]"]):
    """The code of an operation, or a mapping that describes one."""

    expected = "the code of an operation, or a mapping that describes one"

    def convert(self, value: object) -> str | Mapping[str, Any]:
        found = read_structure(value)
        if isinstance(found, Mapping) or (isinstance(found, str) and not is_nothing(found)):
            return found
        raise TypeError


class MiraklExtractOperator(OnInstance, ExtractOperator):
    """Extract a listing of an instance, each run from where the previous one ended.

    Works like :class:`~airflow_provider_mirakl.operators.connect_orders.MiraklConnectExtractOrdersOperator`, with
    the same watermark, for rows as Mirakl sends them (nested NDJSON). Most of these listings are not sorted by the last
    change: a row that changes while pages are read is delivered as it was when it was read, and by the next run again.
    ``OF21`` has no time of change: every run reads all offers of the shop.

    :param operation: ``OR11`` (orders), ``OF21`` (offers), ``IV01`` (invoices), ``TL02`` (transaction lines), ``RT11``
        (returns) or ``M11`` (threads of messages); or a mapping that describes another listing by the fields of
        :class:`~airflow_provider_mirakl.extract.listings.InstanceListing`: ``code``, ``path``, ``items`` and ``paging``
        (``offset`` or ``seek``), and, where the defaults do not apply, ``since``, ``updated``, ``id``, ``table``,
        ``interval`` in seconds, ``params``, ``newest_first``, ``sorted_by``, ``changing`` and ``personal``.
    :param target: folder of the files: a local path or object storage. Templated.
    :param query: further query parameters, such as ``{"order_state_codes": "SHIPPING"}``. ``IV01``, which is read by
        creation, takes ``payment_status`` only with ``updated_from``. Templated.
    :param since: where the first run begins; default 30 days ago. Templated.
    :param updated_from: start of a fixed interval; neither reads nor moves a watermark. Templated.
    :param updated_to: end of a fixed interval, exclusive. Templated.
    :param overlap: seconds, or a timedelta, that a run reaches back before the watermark.
    :param watermark: folder of the watermark. Templated.
    :param on_changed_filters: what to do when ``operation``, ``role``, ``query``, shop or account differ from those of
        the previous run: ``fail`` before any call; or ``restart``, which starts over at ``since``. Templated.
    :param on_lost_state: what to do if the watermark of an earlier run is missing: ``fail`` before any call; or
        ``full``, which starts over at ``since``. Templated.
    :param personal_data: ``keep``; or ``drop`` the fields of OR11, RT11 and M11 that are known to identify a customer.
    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: the shop of a seller with several shops; default the connection's own. Refused with other keys,
        which list every shop: set the shop in ``query`` if the operation has a parameter for it. Templated.
    :return: ``items`` and ``files`` by table, ``pages``, ``updated_from``, ``updated_to``, ``watermark`` and
        ``folder``.
    :raises MiraklConfigurationError: the operation does not exist, or arguments are invalid; no call was made.
    """

    operation = Operation()
    query = Maybe(Query())
    shop_id = Maybe(Id())

    def __init__(
        self,
        *,
        operation: MappingArg,
        target: PathArg,
        query: MappingArg | None = None,
        mirakl_conn_id: TextArg = MIRAKL_DEFAULT,
        role: TextArg | None = None,
        shop_id: WholeArg | None = None,
        **kwargs: Unpack[ExtractArguments],
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.operation = operation
        self.query = query
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role
        self.shop_id = shop_id

    @property
    def described(self) -> str | Mapping[str, Any]:
        """The operation."""
        return self.operation

    def source(self) -> dict[str, Any]:
        """Mirakl's code, and the role of the key, because an operator's lists every shop.

        If the operation is a mapping, also what it asks for.
        """
        listing = self._listing
        source = {"operation": listing.code, "role": read_caller(self.hook, self.shop_id).role}
        if isinstance(self.operation, str):
            return source
        return source | {"path": listing.path, "params": listing.params, "since": listing.since}

    def filters(self) -> dict[str, Any]:
        """The query, and the seller's shop.

        :raises MiraklConfigurationError: a shop is set, but the key is not a seller's.
        """
        caller = read_caller(self.hook, self.shop_id).check_shop(self._listing.code)
        return {**dict(caller.params(self._listing.code)), **(self.query or {})}

    @property
    def _listing(self) -> InstanceListing:
        from airflow_provider_mirakl.extract.listings import instance_listing

        return instance_listing(self.operation)
