"""Operators for the orders of Mirakl Connect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.hooks.conn_ids import CONNECT_DEFAULT
from airflow_provider_mirakl.operators.bases.actions import OrderActionsOperator, read_rows
from airflow_provider_mirakl.operators.bases.extract import ConnectExtractOperator
from airflow_provider_mirakl.operators.bases.paced import PacedOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Codes,
    Deliberate,
    Maybe,
    Number,
    Selection,
    Table,
    Whole,
)
from airflow_provider_mirakl.runtime.connections import OnConnect

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.actions.reports import ReportWork
    from airflow_provider_mirakl.actions.rows import Row
    from airflow_provider_mirakl.runtime.arguments import (
        CodesArg,
        NumberArg,
        PathArg,
        RowsArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import (
        ConnectExtractArguments,
        OrderActionArguments,
        PacedArguments,
    )
    from airflow_provider_mirakl.runtime.task_run import TaskRun
    from airflow_provider_mirakl.triggers.places import Here

Fulfillment = Literal["FULFILLED_BY_SELLER", "FULFILLED_BY_PARTNER"]


class MiraklConnectExtractOrdersOperator(ConnectExtractOperator):
    """Extract the orders of Mirakl Connect that changed since the previous run.

    Reads v2-listOrders, 100 orders a page and a page a minute, and writes them to files: the last version of every
    order that changed. A run begins where the previous one ended (the watermark), less the ``overlap``. An order that
    changes while pages are read is delivered by the next run; rows that the overlap lists again are not delivered
    again. The watermark moves only after the files are complete. A retry continues with the first unread page;
    clearing the task reads again from where its window began. Run one extract of a watermark at a time
    (``max_active_runs=1``).

    With ``updated_from``, such as ``{{ data_interval_start }}``, it extracts a fixed interval instead, for a backfill.
    Mirakl lists orders by their *last* change, so an order appears in the interval of its last change only.

    **Personal data.** Orders contain customers' names, addresses, phone numbers and email addresses. They go into the
    files of ``target`` and, while the extract runs, into the work folder; never into logs, XCom or errors.
    ``personal_data="drop"`` leaves them out of both.

    :param target: folder of the files, a local path or object storage. Each table has a subfolder, and each run
        one below that: ``orders/run_id=.../part-00000-<hash>.ndjson``. A table without rows has no file. Templated.
    :param format: ``ndjson`` or ``parquet``, which needs the extra ``parquet``.
    :param layout: ``nested``, an order with its lines in a row; or ``flat``, the tables ``orders`` and ``order_lines``
        with the same columns in every run.
    :param since: where the first run begins, before there is a watermark; default 30 days ago. Templated.
    :param updated_from: start of a fixed interval. Neither reads nor moves a watermark. Templated.
    :param updated_to: end of a fixed interval, exclusive; default no end. Templated.
    :param statuses: only orders in these states, such as ``AWAITING_SHIPMENT``. Templated.
    :param fulfillment_type: only ``FULFILLED_BY_SELLER`` or ``FULFILLED_BY_PARTNER``.
    :param overlap: seconds, or a timedelta, that a run reaches back before the watermark.
    :param watermark: folder of the watermark; default ``watermarks/<connection>/<dag>/<task>`` below the work folder.
        Templated.
    :param on_changed_filters: what to do when ``statuses``, ``fulfillment_type`` or account differ from those of the
        previous run, whose watermark does not cover the orders that were left out then: ``fail`` before any call; or
        ``restart``, which starts over at ``since`` and delivers rows that match both filters again. Templated.
    :param on_lost_state: what to do if the watermark of an earlier run is missing: ``fail`` before any call; or
        ``full``, which starts over at ``since``. Templated.
    :param personal_data: ``keep``, or ``drop`` fields that identify a customer.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param deferrable: wait in the triggerer between pages; default Airflow's ``[operators] default_deferrable``.
    :param max_failures: pages that may fail one after another (5xx, broken connection) before the task fails.
    :param work_folder: folder for progress, pages and watermarks; default ``[mirakl] work_folder``. Templated.
    :return: ``items`` and ``files`` by table, ``pages``, ``updated_from``, ``updated_to``, ``watermark`` and
        ``folder``.
    :raises MiraklConfigurationError: arguments are invalid; no call was made.
    :raises MiraklApiError: Mirakl rejected the call.
    """

    asset_read = "orders"
    statuses = Selection(Codes())
    fulfillment_type = Maybe(Choice[Fulfillment](get_args(Fulfillment)))

    def __init__(
        self,
        *,
        target: PathArg,
        statuses: CodesArg | None = None,
        fulfillment_type: Fulfillment | TextArg | None = None,
        **kwargs: Unpack[ConnectExtractArguments],
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.statuses = statuses
        self.fulfillment_type = fulfillment_type

    @property
    def described(self) -> str:
        """v2-listOrders."""
        return "orders"

    def filters(self) -> dict[str, Any]:
        """The filters for state and fulfillment."""
        return {"statuses": self.statuses, "fulfillment_type": self.fulfillment_type}


class MiraklConnectAcceptOrdersOperator(OrderActionsOperator):
    """Accept or refuse order lines that are ``AWAITING_ACCEPTANCE`` (v2-acceptOrderLines).

    Columns of a row: ``order_id`` and ``order_line_id``, and ``accepted`` (true or false; default true).

    Parameters, result and errors: :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "accept"


class MiraklConnectShipOrdersOperator(OrderActionsOperator):
    """Ship order lines (v2-createShipment): one action for each parcel.

    Columns of a row: ``order_id``, ``order_line_id`` or ``product_id``, and ``quantity``; ``carrier``,
    ``tracking_number``, ``tracking_url``, ``return_tracking_number`` and ``warehouse_id`` if they are known. Rows of
    one order with the same carrier and numbers are one parcel.

    Parameters, result and errors: :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "ship"


class MiraklConnectCancelOrdersOperator(OrderActionsOperator):
    """Cancel order lines, wholly or in part (v2-cancelOrderLines).

    Columns of a row: ``order_id``, ``order_line_id`` or ``product_id``, ``quantity``, ``price`` and ``shipping_price``
    (amounts without taxes, for the whole quantity), ``currency`` and ``reason``; ``taxes`` and ``shipping_taxes`` as
    lists of ``{"code", "amount": {"amount", "currency"}}``, in a CSV file as JSON.

    Parameters, result and errors: :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "cancel"


class MiraklConnectRefundOrdersOperator(OrderActionsOperator):
    """Refund order lines, wholly or in part (v2-refundOrderLines).

    Columns of a row: as for :class:`MiraklConnectCancelOrdersOperator`; ``quantity`` may be left out.

    :param max_refund_amount: largest total that one task may refund in each currency, including taxes and shipping.
        Beyond it the whole source is rejected. Default no limit; a template that renders to nothing is refused.

    Further parameters, result and errors:
    :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "refund"

    max_refund_amount = Deliberate(Number(least=0))

    def __init__(
        self,
        *,
        source: RowsArg,
        max_refund_amount: NumberArg | None = None,
        **kwargs: Unpack[OrderActionArguments],
    ) -> None:
        super().__init__(source=source, **kwargs)
        self.max_refund_amount = max_refund_amount

    def guard(self, rows: Sequence[Row]) -> None:
        """Reject a total above ``max_refund_amount``.

        :raises MiraklInputError: the total is higher.
        """
        from airflow_provider_mirakl.actions.table import money

        totals: dict[str, float] = {}
        for row in rows:
            totals[row["currency"]] = totals.get(row["currency"], 0.0) + money(row)
        for currency, total in totals.items():
            self.log.info("The rows refund %.2f %s", total, currency)
            if self.max_refund_amount is not None and round(total, 6) > self.max_refund_amount:
                raise MiraklInputError(
                    f"source refunds {total:,.2f} {currency}, but max_refund_amount allows "
                    f"{self.max_refund_amount:,.2f}; no call was made. Raise max_refund_amount if the total is intended"
                )


class MiraklConnectReportOrderActionsOperator(OnConnect, PacedOperator):
    """Report what your own system did with orders, for the errors page of Mirakl Connect (v2-reportOrderActions).

    For example, report the outcome of a load into an ERP: which orders it accepted, and why it rejected the others.
    Columns of a row: ``order_id`` (Connect's id) and ``status`` (``SUCCESS`` or ``FAILED``); for a failed one
    ``error_code`` and ``error_message``; optionally ``executed_at`` (now) and ``type`` (``SYNCHRONIZE_ORDER`` or
    ``SYNCHRONIZE_ORDER_UPDATE``).

    Mirakl accepts 100 rows a call and a call a minute. A deferrable task waits for the next call in the triggerer, and
    a worker makes it. A retry continues with the first call that was not made; a call whose reply was lost is made
    again, and Connect may show its rows twice.

    :param source: the rows: a list, XCom, or a file (CSV, NDJSON, a JSON array or Parquet; a local path or object
        storage). Templated.
    :param max_orders: largest number of rows of one task. With more the whole source is rejected. Templated.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param deferrable: wait in the triggerer between the calls; default Airflow's ``[operators] default_deferrable``.
        Otherwise the worker sleeps.
    :param max_failures: calls that may fail one after another (5xx, broken connection) before the task fails; each is
        made again.
    :param refused_timeout: longest time in seconds during which Mirakl may answer only 429.
    :param work_folder: folder for the rows and the notes of what was sent, as an object storage path that every worker
        can access; default ``[mirakl] work_folder``. Templated.
    :return: ``action_ids``, the ids under which Connect keeps the reports; ``reported``, the number sent; and
        ``folder``.
    :raises MiraklInputError: rows are invalid, or too many; no call was made.
    """

    ui_color = "#f3e6d0"
    source = Table()
    max_orders = Whole()

    def __init__(
        self,
        *,
        source: RowsArg,
        max_orders: WholeArg = 1000,
        mirakl_connect_conn_id: TextArg = CONNECT_DEFAULT,
        **kwargs: Unpack[PacedArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.max_orders = max_orders
        self.mirakl_connect_conn_id = mirakl_connect_conn_id
        self._report: tuple[TaskRun, ReportWork] | None = None

    def prepare(self, run: TaskRun) -> Here | None:
        """The rows that have not been sent yet; ``None`` when all are sent."""
        from airflow_provider_mirakl.triggers.places import Here

        work = self._work(run)
        return None if work.operation is None else Here(work)

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """What was sent."""
        sent = self._work(run).sent
        return {"action_ids": sent.action_ids, "reported": sent.count, "folder": str(run.folder)}

    def _work(self, run: TaskRun) -> ReportWork:
        """The rows, read once in each stay in a worker: the source may change meanwhile."""
        from airflow_provider_mirakl.actions.reports import REPORTED, begun, taken_up

        if self._report is None or self._report[0] is not run:
            note = REPORTED.at(run.folder, generation=run.generation, store=run.memory)
            work = (
                begun(note, run.folder, self._rows())
                if run.begins
                else taken_up(note, run.folder, self._rows)
            )
            self._report = run, work
        return self._report[1]

    def _rows(self) -> Sequence[Row]:
        """The rows of the source.

        :raises MiraklInputError: rows are invalid, or too many.
        """
        from airflow_provider_mirakl.actions.reports import COLUMNS, wrong
        from airflow_provider_mirakl.actions.rows import checked

        rows = checked(read_rows(self.source), COLUMNS, wrong)
        if not rows:
            self.log.warning("source has no rows, so nothing is reported")
        if len(rows) > self.max_orders:
            raise MiraklInputError(
                f"source has {len(rows):,} rows, but max_orders allows {self.max_orders:,}; no call was made. Raise "
                "max_orders if that is intended"
            )
        return rows
