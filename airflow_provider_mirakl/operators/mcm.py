"""Operators for the Catalog Manager. Source: seeds 000 and 004; facts section 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.operators.jobs import Ended, RowsJobOperator

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.catalog.storage import StoragePath
    from airflow_provider_mirakl.operators.paced import TaskRun


class MiraklSynchronizeProductsOperator(RowsJobOperator):
    """Synchronize master products with your own catalog (CM21), wait, and judge each product by the report (CM23).

    For the operator and the front office. An object of the source has one of six uses, told by its fields, and is
    checked before a call is spent:

    - confirm the integration: ``mirakl_product_id``, ``product_sku``
    - report integration errors: ``mirakl_product_id``, ``integration_errors``
    - create: ``product_sku``, ``data``
    - accept, reject, ask for changes or for a review, as a whole or by channel: ``acceptance``
    - update: ``product_sku``, ``mirakl_product_id``, ``data``
    - delete: ``mirakl_product_id``, ``operation: DELETE``

    :param source: the objects: a list, or a file (NDJSON or a JSON array; a local path or object storage). Templated.
    :param batch_size: products in one call. Mirakl publishes no maximum: uncertain.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``; ``job_ids`` (tracking ids)
        and ``states``; ``reports``, the archived ones by id; ``rows``, the file with a line for each product;
        ``rejects``, the failed objects as input of a next run; and ``folder``.
    :raises MiraklInputError: an object has no such use; every problem is listed and nothing was sent.
    :raises MiraklItemsFailedError: more products failed than allowed.
    :raises MiraklJobFailedError: a synchronization ended without doing its work.

    Further parameters: :class:`~airflow_provider_mirakl.operators.jobs.MiraklJobOperator`.
    """

    job = "product_synchronization"
    roles = ("operator", "front")

    def __init__(self, *, batch_size: int = 500, **kwargs: Any) -> None:
        super().__init__(batch_size=batch_size, **kwargs)

    def check(self, item: Any) -> list[Any]:
        """Every reason why the object has none of the six uses."""
        from airflow_provider_mirakl.jobs.synchronization import check_product

        return list(check_product(item))

    def batch(self, caller: Caller, rows: list[bytes]) -> Call[str]:
        """CM21."""
        from airflow_provider_mirakl.api.mcm import synchronize_products

        return synchronize_products(b"[" + b",".join(rows) + b"]")

    def rejects(self, run: TaskRun, jobs: Sequence[Ended]) -> StoragePath | None:
        """The failed objects, as CM23 echoes them."""
        import json

        from airflow_provider_mirakl.catalog.storage import writing
        from airflow_provider_mirakl.jobs.reports import rejected_items

        reports = [path for job in jobs for report, path in job.reports if report.lists == "items"]
        if not reports:
            return None
        target = run.folder / "rejects.ndjson"
        with writing(target) as file:
            for path in reports:
                for item in rejected_items(path):
                    file.write(json.dumps(item, ensure_ascii=False).encode() + b"\n")
        return target
