"""Operators for the accounting of a Marketplace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_mirakl.operators.bases.exports import ChangesExportOperator
from airflow_provider_mirakl.runtime.arguments import Mappings, Maybe, Moment

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.runtime.arguments import MappingArg, MomentArg, PathArg
    from airflow_provider_mirakl.runtime.signatures import ChangesExportArguments


class MiraklExportTransactionsOperator(ChangesExportOperator):
    """Export transaction lines (TL03 to TL05) into one file, with an asynchronous export. For every role.

    Mirakl allows one export a day. To read more often, page by page, use
    :class:`~airflow_provider_mirakl.operators.extract.MiraklExtractOperator` with ``TL02``.

    :param target: the file to write: a local path or object storage. Templated.
    :param target_format: ``ndjson`` or ``parquet``; default by the target's ending. Mirakl exports JSON only.
    :param updated_since: only lines that changed since this time; default all. A date-time or its ISO 8601 text, such
        as ``{{ data_interval_start }}``. Templated.
    :param created_since: only lines that were created since this time. Templated.
    :param created_to: only lines that were created up to this time. Templated.
    :param changes_only: only lines that changed since the last run that wrote its target; the first run exports all.
        Templated.
    :param overlap: with ``changes_only``: seconds by which a window begins before the last one ended; default 300.
        Templated.
    :param watermark: with ``changes_only``: the file that keeps where the last window ended; default one of the task in
        the work folder. Templated.
    :param options: further fields of the request by Mirakl's names, such as ``payment_state``, ``transaction_type`` and
        ``shop_id`` of an operator. Templated.
    :param items_per_chunk: lines in one of Mirakl's files.
    :return: ``target``, ``items``, ``files``, ``job_ids``, ``shop_id`` and ``folder``; without ``wait_for_completion``
        only ``job_ids``, ``target``, ``shop_id`` and ``folder``.
    :raises MiraklConfigurationError: arguments are invalid; no call was made.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    job = "transaction_export"
    formats = ("ndjson", "parquet")
    narrowing = ("created_since", "created_to", "options")

    created_since = Maybe(Moment())
    created_to = Maybe(Moment())
    options = Maybe(Mappings())

    def __init__(
        self,
        *,
        target: PathArg,
        created_since: MomentArg | None = None,
        created_to: MomentArg | None = None,
        options: MappingArg | None = None,
        **kwargs: Unpack[ChangesExportArguments],
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.created_since = created_since
        self.created_to = created_to
        self.options = options

    def begin(self, caller: Caller) -> Call[str]:
        """TL03."""
        from airflow_provider_mirakl.api.marketplace import start_transaction_export

        return start_transaction_export(
            caller=caller,
            updated_since=self.since,
            created_since=self.created_since,
            created_to=self.created_to,
            items_per_chunk=self.items_per_chunk,
            options=self.options,
        )
