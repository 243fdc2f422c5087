"""Operators for DJUST."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl.hooks.conn_ids import DJUST_DEFAULT
from airflow_provider_mirakl.operators.bases.repair import ProductRepairOperator

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.runtime.arguments import (
        FlagArg,
        NumberArg,
        PathArg,
        RowsArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import TaskArguments


class DjustSynchronizeProductsOperator(ProductRepairOperator):
    """Let DJUST trigger Mirakl's CM21 for chosen products, and verify the result.

    The same as :class:`~airflow_provider_mirakl.operators.resync.MiraklResyncProductsOperator` with the route
    ``djust``. DJUST returns how many products it sent, not which of them Mirakl accepted. So every result is
    ``unknown`` unless ``mirakl_conn_id`` is set: then the state of each product is read before and after (CM51).

    :param products: the products, see ``MiraklResyncProductsOperator``. Templated.
    :param source: a file of products, instead of ``products``. Templated.
    :param source_folders: folders in which ``source`` must be; default any.
    :param encoding: encoding of ``source``; default ``auto``.
    :param djust_conn_id: connection of type ``djust``. Templated.
    :param client_specification_id: the Mirakl client configuration of DJUST, a UUID; default the connection's own, else
        DJUST resolves it, which works if exactly one is active. Templated.
    :param mirakl_conn_id: connection of type ``mirakl`` with the key of the operator or the front office, for the
        proof; default none, without proof. Templated.
    :param batch_size: products in one call, 1 or more. DJUST documents no maximum: uncertain.
    :param preview: send nothing; check the input and the connections, and show the states of the products. Templated.
    :param max_products: largest number of products in a run.
    :param deferrable: wait in the triggerer; default Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds between two polls; the connection's ``interval_factor`` stretches it.
    :param timeout: longest wait for the proof, in seconds. Templated.
    :param max_failures: polls that may fail one after another.
    :param max_failed_items: how many products may fail without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of products, 0 to 1, that may fail without failing the task.
    :param work_folder: folder for notes and reports, as an object storage path that every worker can access; default
        ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``. Templated.
    :return: as for ``MiraklResyncProductsOperator``.
    :raises MiraklInputError: with every problem of the input; nothing was sent.
    :raises MiraklConfigurationError: an argument or a connection is invalid.
    :raises MiraklApiError: DJUST rejected the call; the message says what to do.
    :raises MiraklItemsFailedError: more products failed than allowed.
    """

    def __init__(
        self,
        *,
        products: RowsArg | None = None,
        source: PathArg | None = None,
        source_folders: Sequence[str] | None = None,
        encoding: TextArg = "auto",
        djust_conn_id: TextArg = DJUST_DEFAULT,
        client_specification_id: TextArg | None = None,
        mirakl_conn_id: TextArg | None = None,
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
            route="djust",
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
