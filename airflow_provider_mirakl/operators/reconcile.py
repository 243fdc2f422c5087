"""An operator that compares two lists of products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.files.paths import path_or_data
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import Location, Mappings, Maybe, Table, Text
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.runtime.arguments import MappingArg, PathArg, RowsArg, TextArg
    from airflow_provider_mirakl.runtime.signatures import TaskArguments


class MiraklReconcileProductsOperator(MiraklBaseOperator):
    """Compare your products with those of the other side, and write which are missing, extra and different there.

    A side is a file or a list: your catalog, an export of the Catalog Manager
    (:class:`~airflow_provider_mirakl.operators.catalog_manager.MiraklExportProductsOperator`) or of Mirakl Connect.
    Where the other side has the state of synchronization, a product that is not ``SYNCHRONIZED`` is different, also one
    without a status.
    Uses constant memory.

    :param source: your side: a file (NDJSON, JSON, CSV or Parquet), a list of objects, or a DataFrame. Templated.
    :param other: the other side, in the same forms. Templated.
    :param source_key: field of the source by which products are matched, as a path such as ``ids.sku``; default its
        ``product_sku`` or ``sku``, else ``id``.
    :param other_key: the same for the other side.
    :param fields: further fields to compare: fields of the source, each with the path of the other side's, such as
        ``{"title": "data.title"}``. Values are compared as strings; absent, ``null`` and empty are the same. A
        field that no product of a side has is refused.
    :param encoding: encoding of text files: ``auto`` (UTF-8, or UTF-16 with a byte order mark), or a name that
        Python knows, such as ``cp1252``.
    :param work_folder: folder for the files, as an object storage path that every worker can access; default
        ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``. Templated.
    :return: ``source`` and ``other``, products of each side; ``duplicates``; ``missing``, ``extra`` and ``different``,
        counts; ``differences``, the NDJSON file with a line for each; ``resync``, the NDJSON file with those that a
        resync can repair, ready as its ``source`` (``None`` if there are none), and ``resync_products``, how many;
        ``folder``.
    :raises MiraklInputError: a side cannot be read, has products without a key, or lacks one of ``fields`` in every
        product; or the source is empty.
    """

    ui_color = "#e2f0d9"
    source = Table()
    other = Table()
    source_key = Maybe(Text())
    other_key = Maybe(Text())
    fields = Maybe(Mappings())
    encoding = Text()
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        source: RowsArg,
        other: RowsArg,
        source_key: TextArg | None = None,
        other_key: TextArg | None = None,
        fields: MappingArg | None = None,
        encoding: TextArg = "auto",
        work_folder: PathArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.other = other
        self.source_key = source_key
        self.other_key = other_key
        self.fields = fields
        self.encoding = encoding
        self.work_folder = work_folder

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare both sides, and write both files."""
        from airflow_provider_mirakl.repair.reconcile import Keys, reconcile

        run = TaskRun(context, self.work_folder, begins=True)
        keys = Keys(self.source_key, self.other_key, self.fields or {})
        found = reconcile(self._side("source"), self._side("other"), keys, run.folder)
        if found["duplicates"]:
            self.log.warning(
                "%d products have a key that occurs twice; the last one is used", found["duplicates"]
            )
        if not found["other"]:
            self.log.warning("The other side is empty: check that its export is complete")
        self.log.info(
            "%d products against %d: %d missing, %d extra, %d different; %d can be resynchronized",
            *(
                found[name]
                for name in ("source", "other", "missing", "extra", "different", "resync_products")
            ),
        )
        return found

    def _side(self, name: str) -> Iterator[Mapping[str, Any]]:
        from airflow_provider_mirakl.repair.reconcile import read_side

        data = getattr(self, name)
        return read_side(path_or_data(data), name, self.encoding)
