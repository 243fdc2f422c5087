"""Operators for an incident: repair single products, through DJUST or directly, and report on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, conf

from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.hooks.conn_ids import DJUST_DEFAULT, MIRAKL_DEFAULT
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.operators.bases.repair import ProductRepairOperator
from airflow_provider_mirakl.runtime.arguments import Mappings, Maybe

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.runtime.arguments import (
        FlagArg,
        MappingArg,
        NumberArg,
        PathArg,
        RowsArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import TaskArguments

PAIR_PATTERN = r"^(\s*|[^;,\t]*[^;,\t\s][^;,\t]*[;,\t][^;,\t]*[^;,\t\s][^;,\t]*)$"
"""For the form of a Dag: a line of ``products``, such as ``MKL-001;SKU-1``; an empty one is allowed."""


class MiraklResyncProductsOperator(ProductRepairOperator):
    """Synchronize chosen products by one of two routes: the same input, the same outcome.

    - ``direct``: CM21 on the instance, CM22 until it ends, CM23 for each product, and CM51 before and after.
    - ``djust``: DJUST triggers CM21; CM51 on the instance, where ``mirakl_conn_id`` names one, before and after.

    A retry continues after the batches that were accepted; clearing the task sends all of them again.

    :param products: the products, as pairs of Mirakl product id and product SKU: text with one product per line, such
        as ``MKL-001;SKU-1`` (a comma or a tab also separates; a heading and JSON are also understood); or a list of
        such lines, of pairs, or of objects with ``mirakl_product_id`` and ``product_sku``; or a DataFrame with these
        columns. A product that is listed twice is sent once. Templated.
    :param source: a file of products, instead of ``products``: CSV, NDJSON or JSON, a local path or object storage,
        such as the ``rejects`` of a previous run or the ``resync`` file of a reconciliation. Templated.
    :param source_folders: folders in which ``source`` must be; default any. Set it if users enter the file in
        a form: a worker may read files that the user should not see, and a rejected line is logged.
    :param encoding: encoding of ``source``: ``auto`` (UTF-8, or UTF-16 with a byte order mark), or a name that
        Python knows, such as ``cp1252``.
    :param route: ``direct`` or ``djust``. Templated.
    :param mirakl_conn_id: connection of type ``mirakl`` with the key of the operator or the front office: the instance.
        For the route ``djust`` it is used for the proof and may be empty: then every result is ``unknown``. Templated.
    :param djust_conn_id: connection of type ``djust``, for the route ``djust``. Templated.
    :param client_specification_id: for the route ``djust``: the Mirakl client configuration, a UUID; default the
        connection's own, else DJUST resolves it, which works if exactly one is active. Templated.
    :param batch_size: products in one call, 1 or more. Neither Mirakl nor DJUST documents a maximum: uncertain.
    :param preview: send nothing; check the input and the connections, and show the states of the products. May also be
        a string, such as ``"true"``. Templated.
    :param max_products: largest number of products in a run. Use an import for more.
    :param deferrable: wait in the triggerer; default Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds between two polls; the connection's ``interval_factor`` stretches it.
    :param timeout: longest wait after everything is sent, in seconds: for the end of the synchronization (``direct``),
        or until the instance has processed the products (``djust``). Templated.
    :param max_failures: polls that may fail one after another (5xx, broken connection) before the task fails.
    :param max_failed_items: how many products may fail without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of products, 0 to 1, that may fail without failing the task.
    :param work_folder: folder for notes and reports, as an object storage path that every worker can access; default
        ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``. Templated.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``; ``rows``, the file with the
        state before, the state after and the result of each product; ``rejects``, the failed products as ``source`` of
        the next run; ``planned``, ``duplicates``, ``route``, ``preview`` and ``folder``; ``job_ids``, the tracking ids
        of the direct route; ``synchronized``, DJUST's count, and ``client_specification_id``, which it used.
    :raises MiraklInputError: with every problem of the input; nothing was sent.
    :raises MiraklConfigurationError: an argument or a connection is invalid.
    :raises MiraklApiError: Mirakl or DJUST rejected a call; the message says what to do.
    :raises MiraklJobTimeoutError: a synchronization of the direct route did not end in time; a retry waits again.
    :raises MiraklJobFailedError: a synchronization ended without doing its work; a retry sends the products again.
    :raises MiraklItemsFailedError: more products failed than allowed.
    """

    def __init__(
        self,
        *,
        route: TextArg,
        products: RowsArg | None = None,
        source: PathArg | None = None,
        source_folders: Sequence[str] | None = None,
        encoding: TextArg = "auto",
        mirakl_conn_id: TextArg | None = MIRAKL_DEFAULT,
        djust_conn_id: TextArg = DJUST_DEFAULT,
        client_specification_id: TextArg | None = None,
        batch_size: WholeArg = 100,
        preview: FlagArg = False,
        max_products: WholeArg = 1000,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 60.0,
        timeout: NumberArg | timedelta = 600.0,
        max_failures: int = 5,
        max_failed_items: WholeArg | None = 0,
        max_failed_ratio: NumberArg | None = None,
        work_folder: PathArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(
            products=products,
            source=source,
            source_folders=source_folders,
            encoding=encoding,
            route=route,
            mirakl_conn_id=mirakl_conn_id,
            djust_conn_id=djust_conn_id,
            client_specification_id=client_specification_id,
            batch_size=batch_size,
            preview=preview,
            max_products=max_products,
            deferrable=deferrable,
            poll_interval=poll_interval,
            timeout=timeout,
            max_failures=max_failures,
            max_failed_items=max_failed_items,
            max_failed_ratio=max_failed_ratio,
            work_folder=work_folder,
            **kwargs,
        )


class MiraklReportResyncOperator(MiraklBaseOperator):
    """Write the result of each product to ``report.md``, for a ticket; fail if a product failed.

    The last task of a Dag whose first task previews a resync and whose second task, which may be skipped, sends it. Set
    ``trigger_rule="none_failed"`` here, and ``max_failed_items=None`` in the resync, so that the report is written.

    :param previewed: the result of the preview. Templated.
    :param resynced: the result of the resync; ``None`` if it was skipped. Templated.
    :param about: entries for the top of the report, by name, such as a reason and a ticket. Templated.
    :return: ``planned``, ``succeeded``, ``failed``, ``unknown``; ``sent``, whether anything was sent; ``report``, the
        file; ``rejects``, the failed products as ``source`` of the next run; and ``folder``.
    :raises AirflowFailException: a product failed; a retry cannot change that.
    """

    previewed = Mappings()
    resynced = Maybe(Mappings())
    about = Maybe(Mappings())
    ui_color = ProductRepairOperator.ui_color

    def __init__(
        self,
        *,
        previewed: MappingArg,
        resynced: MappingArg | None = None,
        about: MappingArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.previewed = previewed
        self.resynced = resynced
        self.about = about

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the report, log it, and evaluate it."""
        from airflow_provider_mirakl.repair.report import COUNTS, write_report

        result = self.resynced or self.previewed
        (rows,) = map(storage_path, result["rows"])
        about = {**(self.about or {}), "run": context["ti"].run_id}
        file, text = write_report(result, rows, storage_path(result["folder"]), about)
        self.log.info("%s\n%s", file, text)
        if result["failed"]:
            raise AirflowFailException(
                f"{result['failed']} of {result['planned']} products failed; {file} lists them, and "
                f"{result['rejects'] or 'the same input'} is the source for the next run"
            )
        counts = {name: result[name] for name in COUNTS}
        return counts | {
            "report": str(file),
            "rejects": result["rejects"],
            "sent": not result["preview"],
            "folder": result["folder"],
        }
