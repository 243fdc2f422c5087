"""Operators for DJUST. Source: :ref:`ADM-MIRAKL-100 <facts-djust>`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.operators.bases.repair import ProductRepairOperator
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class DjustSynchronizeProductsOperator(ProductRepairOperator):
    """Let DJUST trigger Mirakl's CM21 for chosen products, and prove what came of it.

    DJUST answers with a count of what it sent, not with what Mirakl accepted. So a product's result is ``unknown``
    unless ``proof_conn_id`` names the instance: then each product's state is read before and after (CM51).

    :param proof_conn_id: connection of type ``mirakl`` with the key of the operator or the front office, for the proof;
        none for no proof. Templated.
    :param deferrable: wait for the proof in the triggerer; default Airflow's ``[operators] default_deferrable``.
    :param max_failed_items: failed products that do not fail the task; ``None`` lets any number pass.
    :param max_failed_ratio: share of failed products, 0 to 1, that does not fail the task.
    :param work_folder: folder for the report, as an object storage path that every worker reaches; default
        ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``. Templated.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``; ``synchronized``, DJUST's count;
        ``client_specification_id``, which it used; ``rows``, the file with before, after and result of each product;
        ``rejects``, the failed products as input of a next run; ``products``, ``duplicates``, ``route``, ``preview``
        and ``folder``.
    :raises MiraklInputError: with every problem of the input; nothing was sent.
    :raises MiraklConfigurationError: an argument or a connection cannot work.
    :raises MiraklApiError: DJUST refuses; the message says what to do.
    :raises MiraklItemsFailedError: more products failed than allowed.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.repair.ProductRepairOperator`.
    """

    template_fields: Sequence[str] = (*ProductRepairOperator.template_fields, "proof_conn_id", "work_folder")

    def __init__(
        self,
        *,
        proof_conn_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        max_failed_items: int | None = 0,
        max_failed_ratio: float | None = None,
        work_folder: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.proof_conn_id = proof_conn_id
        self.deferrable = deferrable
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio
        self.work_folder = work_folder

    @cached_property
    def proof_hook(self) -> MiraklHook | None:
        """The instance that is asked about the products, if any."""
        return None if self.proof_conn_id in (None, "", "None") else MiraklHook(self.proof_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, send, prove."""
        return self._begin(context)

    def _begin(self, context: Context) -> dict[str, Any]:
        run = TaskRun(context, self.work_folder, begins=True)
        repair = self.begin(run)
        if self.is_preview:
            return self.previewed(run, repair)
        return self.send_through_djust(context, run, repair)
