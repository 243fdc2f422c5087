"""Operators for a Marketplace's orders; Connect's are in :mod:`airflow_provider_mirakl.operators.connect_orders`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_mirakl.operators.bases.exports import ChangesExportOperator
from airflow_provider_mirakl.runtime.arguments import Codes, Mappings, Maybe, Moment, Selection, check_range

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.runtime.arguments import CodesArg, MappingArg, MomentArg, PathArg
    from airflow_provider_mirakl.runtime.signatures import ChangesExportArguments


class MiraklExportOrdersOperator(ChangesExportOperator):
    """Export orders of a Marketplace (OR13 to OR15) into one file, with an asynchronous export. For every role.

    Mirakl recommends it over OR11 for many orders. It allows an export of changes every five minutes, one of everything
    once a day, and one at a time for each shop. For a smaller number of orders, page by page, use
    :class:`~airflow_provider_mirakl.operators.extract.MiraklExtractOperator`.

    **Personal data.** Orders contain customers' names and addresses. They go into ``target``, and, while the file is
    written, into a temporary folder of the worker; never into logs, XCom or errors.

    :param target: the file to write: a local path or object storage. Templated.
    :param target_format: ``ndjson`` or ``parquet``; default by the target's ending. Mirakl exports JSON only.
    :param updated_since: only orders that changed since this time. A date-time or its ISO 8601 text, such as
        ``{{ data_interval_start }}``. Without any range everything is exported. Templated.
    :param updated_to: end of the window of ``updated_since``; default now. Templated.
    :param created_since: only orders that were created since this time. Templated.
    :param created_to: only orders that were created up to this time; default now. Templated.
    :param changes_only: only orders that changed since the last run that wrote its target; the first run exports all.
        Cannot be combined with ``updated_since`` or ``updated_to``. Templated.
    :param overlap: with ``changes_only``: seconds by which a window begins before the last one ended; default 300.
        Templated.
    :param watermark: with ``changes_only``: the file that keeps where the last window ended; default one of the task in
        the work folder. Templated.
    :param order_state_codes: only orders in these states, such as ``SHIPPING``. Templated.
    :param channel_codes: only orders of these channels. Templated.
    :param options: further fields of the request by Mirakl's names, such as ``order_tax_mode``. Templated.
    :param items_per_chunk: orders in one of Mirakl's files, 10,000 to 1,000,000.
    :return: ``target``, ``items``, ``files``, ``job_ids``, ``shop_id`` and ``folder``; without ``wait_for_completion``
        only ``job_ids``, ``target``, ``shop_id`` and ``folder``.
    :raises MiraklConfigurationError: arguments are invalid; no call was made.
    :raises MiraklInputError: an unknown state, or the end of a range without its start; no call was made.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    job = "order_export"
    formats = ("ndjson", "parquet")
    narrowing = ("created_since", "created_to", "order_state_codes", "channel_codes", "options")

    updated_to = Maybe(Moment())
    created_since = Maybe(Moment())
    created_to = Maybe(Moment())
    order_state_codes = Selection(Codes())
    channel_codes = Selection(Codes())
    options = Maybe(Mappings())

    def __init__(
        self,
        *,
        target: PathArg,
        updated_to: MomentArg | None = None,
        created_since: MomentArg | None = None,
        created_to: MomentArg | None = None,
        order_state_codes: CodesArg = (),
        channel_codes: CodesArg = (),
        options: MappingArg | None = None,
        **kwargs: Unpack[ChangesExportArguments],
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.updated_to = updated_to
        self.created_since = created_since
        self.created_to = created_to
        self.order_state_codes = order_state_codes
        self.channel_codes = channel_codes
        self.options = options

    def begin(self, caller: Caller) -> Call[str]:
        """OR13."""
        return self._export(caller, datetime.now(UTC))

    def asked(self, caller: Caller) -> Call[str]:
        """OR13 without the time of the try, which ends a range that was left open."""
        return self._export(caller, datetime.max.replace(tzinfo=UTC))

    def _export(self, caller: Caller, now: datetime) -> Call[str]:
        from airflow_provider_mirakl.api.marketplace import FIRST_DAY, start_order_export

        since, created = self.since_until(self.updated_to), self.created_since
        check_range(("created_since", "created_to"), created, self.created_to)
        if since is None and created is None:
            created = FIRST_DAY
        return start_order_export(
            caller=caller,
            updated_since=since,
            updated_to=self.updated_to or (now if since is not None else None),
            created_since=created,
            created_to=self.created_to or (now if created is not None else None),
            order_state_codes=self.order_state_codes,
            channel_codes=self.channel_codes,
            items_per_chunk=self.items_per_chunk,
            options=self.options,
        )
