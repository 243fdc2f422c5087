"""An operator that compares two lists of products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class MiraklReconcileProductsOperator(BaseOperator):
    """Compare one's own products with those of the other side, and write what is missing, extra and different there.

    A side is a file or a list: one's own catalog, an export of the Catalog Manager
    (:class:`~airflow_provider_mirakl.operators.catalog_manager.MiraklExportProductsOperator`) or of Mirakl Connect.
    Where the other side tells the state of synchronization, a product that is not ``SYNCHRONIZED`` is different.
    In constant memory.

    :param source: one's own side: NDJSON, a JSON array, CSV, or a list of objects. Templated.
    :param other: the other side, in the same forms. Templated.
    :param source_key: field of the source by which products are matched, as a path such as ``ids.sku``; default its
        ``product_sku`` or ``sku``, else ``id``.
    :param other_key: the same of the other side.
    :param fields: what is compared beside: fields of the source, each with the path of the other side's, such as
        ``{"title": "data.title"}``. Values are compared as texts; absent, ``null`` and empty are the same.
    :param work_folder: folder for the files, as an object storage path that every worker reaches; default
        ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``. Templated.
    :return: ``source`` and ``other``, products of each side; ``duplicates``; ``missing``, ``extra`` and ``different``,
        counts; ``differences``, the NDJSON file with a line for each; ``resync``, the NDJSON file with those of which a
        resync can be asked, ready as its input (``None`` when there is none), and ``resync_products``, how many;
        ``folder``.
    :raises MiraklInputError: a side cannot be read, has products without a key, or the source is empty.
    """

    template_fields: Sequence[str] = ("source", "other", "work_folder")
    ui_color = "#e2f0d9"

    def __init__(
        self,
        *,
        source: str | Sequence[Mapping[str, Any]],
        other: str | Sequence[Mapping[str, Any]],
        source_key: str | None = None,
        other_key: str | None = None,
        fields: Mapping[str, str] | None = None,
        work_folder: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.other = other
        self.source_key = source_key
        self.other_key = other_key
        self.fields = fields
        self.work_folder = work_folder

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, and write both files."""
        import json

        from airflow_provider_mirakl.files.paths import storage_path
        from airflow_provider_mirakl.files.storage import remove, writing
        from airflow_provider_mirakl.repair.reconcile import Keys, Sizes, compare, read_side
        from airflow_provider_mirakl.runtime.arguments import read_structure

        def line(row: dict[str, Any]) -> bytes:
            # Half of a surrogate pair, which JSON lets in, goes out as it came: escaped.
            return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"

        folder = TaskRun(context, self.work_folder, begins=True).folder
        folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = (
            read_side(storage_path(data) if isinstance(data, str) else data, name)
            for name, data in (
                ("source", read_structure(self.source)),
                ("other", read_structure(self.other)),
            )
        )
        sizes, counts = Sizes(), {"missing": 0, "extra": 0, "different": 0}
        all_of_them, pairs, resyncs = folder / "differences.ndjson", folder / "resync.ndjson", 0
        keys = Keys(self.source_key, self.other_key, self.fields or {})
        with writing(all_of_them) as file, writing(pairs) as input_file:
            for found in compare(ours, theirs, keys, sizes):
                counts[found.kind] += 1
                file.write(line(found.dump()))
                if found.is_pair:
                    resyncs += 1
                    pair = {"mirakl_product_id": found.mirakl_product_id, "product_sku": found.product_sku}
                    input_file.write(line(pair))
        if not resyncs:
            remove(pairs)
        if sizes.duplicates:
            self.log.warning(
                "%d products came again under the same key; the last one counts", sizes.duplicates
            )
        if not sizes.other:
            self.log.warning("The other side is empty: look whether its export is right")
        self.log.info(
            "%d products against %d: %s; %d can be resynchronized", sizes.source, sizes.other, counts, resyncs
        )
        return {
            "source": sizes.source,
            "other": sizes.other,
            "duplicates": sizes.duplicates,
            **counts,
            "differences": str(all_of_them),
            "resync": str(pairs) if resyncs else None,
            "resync_products": resyncs,
            "folder": str(folder),
        }
