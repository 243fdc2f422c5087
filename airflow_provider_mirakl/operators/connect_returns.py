"""Operators for the returns of Mirakl Connect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.operators.bases.actions import OrderActionsOperator
from airflow_provider_mirakl.operators.bases.extract import ConnectExtractOperator
from airflow_provider_mirakl.runtime.arguments import Codes, Selection

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.runtime.arguments import CodesArg, PathArg
    from airflow_provider_mirakl.runtime.signatures import ConnectExtractArguments


class MiraklConnectExtractReturnsOperator(ConnectExtractOperator):
    """Extract the returns of Mirakl Connect that changed since the previous run (v2-listReturns).

    Works like :class:`~airflow_provider_mirakl.operators.connect_orders.MiraklConnectExtractOrdersOperator`. The
    flat tables are ``returns`` and ``return_lines``. Personal data: the address that goods are sent back from, and the
    label.

    :param target: folder of the files. Templated.
    :param format: ``ndjson`` or ``parquet``.
    :param layout: ``nested`` or ``flat``.
    :param since: where the first run begins; default 30 days ago. Templated.
    :param updated_from: start of a fixed interval. Templated.
    :param updated_to: end of a fixed interval, exclusive. Templated.
    :param statuses: only returns in these states, such as ``REQUEST_INITIATED``. Templated.
    :param overlap: seconds, or a timedelta, that a run reaches back before the watermark.
    :param watermark: folder of the watermark. Templated.
    :param on_changed_filters: what to do when ``statuses`` or account differ from those of the previous run: ``fail``
        before any call; or ``restart``, which starts over at ``since``. Templated.
    :param on_lost_state: what to do if the watermark of an earlier run is missing: ``fail`` before any call; or
        ``full``, which starts over at ``since``. Templated.
    :param personal_data: ``keep`` or ``drop``.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: ``items`` and ``files`` by table, ``pages``, ``updated_from``, ``updated_to``, ``watermark`` and
        ``folder``.
    """

    asset_read = "returns"
    statuses = Selection(Codes())

    def __init__(
        self, *, target: PathArg, statuses: CodesArg | None = None, **kwargs: Unpack[ConnectExtractArguments]
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.statuses = statuses

    @property
    def described(self) -> str:
        """v2-listReturns."""
        return "returns"

    def filters(self) -> dict[str, Any]:
        """States."""
        return {"statuses": self.statuses}


class MiraklConnectAcceptReturnsOperator(OrderActionsOperator):
    """Accept or refuse returns that are ``REQUEST_INITIATED`` (v2-acceptReturn).

    Columns of a row: ``return_id``; ``accepted`` (true or false; default true) and, if it is false,
    ``rejection_reason``.

    Parameters, result and errors: :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "accept_return"
    asset_name = "returns"


class MiraklConnectReceiveReturnsOperator(OrderActionsOperator):
    """Confirm that the goods of returns have arrived (v2-acknowledgeReturnReception).

    Column of a row: ``return_id``.

    Parameters, result and errors: :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "receive_return"
    asset_name = "returns"


class MiraklConnectCloseReturnsOperator(OrderActionsOperator):
    """Close returns that are finished (v2-closeReturn).

    Column of a row: ``return_id``.

    Parameters, result and errors: :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "close_return"
    asset_name = "returns"


class MiraklConnectTrackReturnsOperator(OrderActionsOperator):
    """Set the tracking information of returns (v2-updateReturnTrackingInformation).

    Columns of a row: ``return_id``, and any of ``carrier``, ``tracking_number``, ``tracking_url``, ``label_url`` and
    ``rma_id``.

    Parameters, result and errors: :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "track_return"
    asset_name = "returns"
