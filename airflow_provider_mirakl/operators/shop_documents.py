"""Operators for the documents of shops, in every role."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklError, MiraklInputError
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.files.storage import write_bytes
from airflow_provider_mirakl.operators.shops import MiraklInstanceOperator, StoringOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Codes,
    Elements,
    Flag,
    Id,
    Ids,
    Location,
    Maybe,
    Moment,
    Number,
    Seconds,
    Selection,
    Some,
    Whole,
)
from airflow_provider_mirakl.runtime.choices import OnChangedFilters
from airflow_provider_mirakl.runtime.limits import LimitsFailures
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.documents import ShopDocument
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.outcome import ItemResult
    from airflow_provider_mirakl.runtime.arguments import (
        CodesArg,
        FlagArg,
        IdsArg,
        MomentArg,
        NumberArg,
        PathArg,
        RowsArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import (
        CheckedArguments,
        InstanceArguments,
        StoringArguments,
    )
    from airflow_provider_mirakl.runtime.watermark import MarkedWindow
    from airflow_provider_mirakl.shops.fetch import Fetched, Fetcher

IfExists = Literal["skip", "upload"]
IfMissing = Literal["fail", "ignore"]


class _ListingOperator(MiraklInstanceOperator):
    """Lists."""

    operation = "S30"

    def shops(self, given: Sequence[int]) -> list[int]:
        """The shops of an argument, else the connection's shop, else none for the default shop."""
        own = self.caller_of().shop_id
        return list(given) or ([] if own is None else [own])

    def listed(
        self,
        client: Client,
        shops: Sequence[int],
        updated_since: datetime | None,
        type_codes: Sequence[str],
        *,
        include_deleted: bool = False,
    ) -> list[ShopDocument]:
        """The documents of these types that S30 lists for these shops."""
        from airflow_provider_mirakl.api.documents import list_documents

        call = list_documents(
            self.caller_of().role,
            shop_ids=shops,
            updated_since=updated_since,
            include_deleted=include_deleted,
        )
        return [document for document in client.send(call) if not type_codes or document.type in type_codes]


class _CheckedOperator(LimitsFailures, _ListingOperator, StoringOperator):
    """Base of the operators that evaluate each document.

    :param max_failed_items: how many documents may fail without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of documents, 0 to 1, that may fail without failing the task.
    """

    def __init__(
        self,
        *,
        max_failed_items: WholeArg | None = 0,
        max_failed_ratio: NumberArg | None = None,
        **kwargs: Unpack[StoringArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio

    def conclude(
        self, run: TaskRun, results: Iterable[ItemResult], further: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write the rows and evaluate them.

        :param further: further keys of the result.
        :raises MiraklItemsFailedError: more failed than allowed.
        """
        from airflow_provider_mirakl.outcome import OutcomeWriter

        run.folder.mkdir(parents=True, exist_ok=True)
        with OutcomeWriter(run.folder / "outcome.ndjson") as writer:
            writer.add_all(results)
        result = writer.outcome.summary() | {"folder": str(run.folder)} | dict(further or {})
        self.check_items(run, result)
        run.tell_assets(self, result)
        return result


class MiraklListShopDocumentsOperator(_ListingOperator):
    """List the documents of shops.

    :param shop_ids: the shops. The operator and the front office must set this or ``updated_since``. A seller sets one
        shop or none: then it is the shop of the connection, else the user's default shop. Templated.
    :param updated_since: only documents uploaded or deleted since then, at most 90 days ago; a date-time with a time
        zone, such as ``{{ data_interval_start }}``. Not for sellers. Templated.
    :param include_deleted: list deleted documents too. Not for sellers.
    :param type_codes: only these types. Templated.
    :param target: NDJSON file for the documents, a local path or object storage; they are then left out of XCom.
        Templated.
    :return: ``items``, the number of documents, ``shop_ids`` and ``documents`` (``id``, ``file_name``, ``type``,
        ``shop_id``, ``date_uploaded``, ``date_deleted``), or ``target`` and
        ``folder`` instead of ``documents``.
    :raises MiraklInputError: an argument the role does not support, or a required one is missing.
    :raises MiraklPermissionError: the key may not read documents.

    Source: :ref:`S30 <facts-s30>`.
    """

    shop_ids = Selection(Ids())
    updated_since = Maybe(Moment())
    include_deleted = Flag()
    type_codes = Selection(Codes())
    target = Maybe(Location())

    def __init__(
        self,
        *,
        shop_ids: IdsArg | None = None,
        updated_since: MomentArg | None = None,
        include_deleted: FlagArg = False,
        type_codes: CodesArg | None = None,
        target: PathArg | None = None,
        **kwargs: Unpack[InstanceArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.shop_ids = shop_ids
        self.updated_since = updated_since
        self.include_deleted = include_deleted
        self.type_codes = type_codes
        self.target = target

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the call."""
        with self.hook.get_conn() as client:
            documents = self.listed(
                client,
                self.shops(self.shop_ids),
                self.updated_since,
                self.type_codes,
                include_deleted=self.include_deleted,
            )
        rows = [asdict(document) for document in documents]
        self.log.info("%d documents", len(rows))
        found = {
            "items": len(rows),
            "shop_ids": sorted({document.shop_id for document in documents if document.shop_id is not None}),
        }
        if self.target is None:
            return found | {"documents": rows}

        lines = (json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
        write_bytes(storage_path(self.target), b"".join(lines))
        folder = TaskRun(context, None, begins=False).folder
        return found | {"target": self.target, "folder": str(folder)}


class MiraklDownloadShopDocumentsOperator(_CheckedOperator):
    """Fetch the documents of shops to storage: only new ones, each checked.

    Documents are written to ``<target>/<shop>/<id>-<file name>``, with a safe name, next to a ``manifest.json`` with
    id, type, original name, upload date, size and SHA-256 of each. A document that exists with the same id, upload date
    and size is not fetched again. Several new documents of a shop come as one archive, which is streamed to storage and
    treated as untrusted. If the archive is rejected, or Mirakl rejects the call because of one document, they are
    fetched one by one. So a bad document, or a bad shop, does not affect the others.

    :param target: the folder of all shops, a local path or object storage. Templated.
    :param shop_ids: the shops. The operator and the front office must set this or ``updated_since``. A seller sets one
        shop or none: then it is the shop of the connection, else the user's default shop, whose folder is ``shop``.
        Templated.
    :param document_ids: only these documents. Each must be among those listed. Templated.
    :param type_codes: only these types. Templated.
    :param updated_since: only documents uploaded since then, at most 90 days ago. Not for sellers. Templated.
    :param changes_only: only documents that were uploaded since the last run in which none failed. The first run takes
        everything of ``shop_ids``, or without them what S30 still lists, which is 90 days. If the last good run is
        longer ago, ``shop_ids`` are listed completely again, and without them the task fails, since documents would be
        missing. Not for sellers, and not together with ``updated_since``. Templated.
    :param overlap: with ``changes_only``: seconds by which a window begins before the watermark, because Mirakl's clock
        may differ from Airflow's. Documents that are already stored are not fetched again. Templated.
    :param watermark: the file that keeps the watermark; default one of the task in the work folder; a mapped task must
        set it. Templated.
    :param on_changed_filters: with ``changes_only``: what to do if shops, documents, types, role or account differ from
        those of the previous run, whose watermark says nothing about other documents: ``fail`` before any call, or
        ``restart`` to list everything once. Documents that are already stored are not fetched again. Templated.
    :param max_files: largest number of files in an archive.
    :param max_file_bytes: largest size of a document. Default 1 GiB.
    :param max_total_bytes: largest size of an archive, compressed and uncompressed. Default 4 GiB: the worker's local
        disk needs as much free space.
    :param max_ratio: largest ratio of a file's uncompressed to its compressed size, checked from 1 MiB on.
    :param max_failed_items: how many documents may fail without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of documents, 0 to 1, that may fail without failing the task.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``errors``, ``rows`` (the file with a line for each
        document, by ``<shop>/<id>``), ``stored``, ``unchanged``, ``shop_ids``, ``manifests`` and
        ``folder``.
    :raises MiraklInputError: a document is not listed, or an argument that the role requires is missing.
    :raises MiraklConfigurationError: the watermark is about other documents, or further back than S30 lists.
    :raises MiraklPermissionError: the key may not read documents.
    :raises MiraklItemsFailedError: more documents failed than allowed. Stored documents are kept.

    Source: :ref:`S30 <facts-s30>`, :ref:`S31 <facts-s31>`.
    """

    after_failure = "a retry fetches the failed ones again; so does clearing this task"
    retries_failures = True
    asset_read = "documents"
    operation = "S31"
    target = Location()
    shop_ids = Selection(Ids())
    document_ids = Selection(Ids())
    type_codes = Selection(Codes())
    updated_since = Maybe(Moment())
    changes_only = Flag()
    overlap = Seconds(least=0)
    watermark = Maybe(Location())
    on_changed_filters = Choice[OnChangedFilters](get_args(OnChangedFilters))
    max_files = Whole()
    max_file_bytes = Whole()
    max_total_bytes = Whole()
    max_ratio = Number(above=0)

    def __init__(
        self,
        *,
        target: PathArg,
        shop_ids: IdsArg | None = None,
        document_ids: IdsArg | None = None,
        type_codes: CodesArg | None = None,
        updated_since: MomentArg | None = None,
        changes_only: FlagArg = False,
        overlap: NumberArg = 300.0,
        watermark: PathArg | None = None,
        on_changed_filters: OnChangedFilters | TextArg = "fail",
        max_files: WholeArg = 1_000,
        max_file_bytes: WholeArg = 1 << 30,
        max_total_bytes: WholeArg = 4 << 30,
        max_ratio: NumberArg = 200.0,
        **kwargs: Unpack[CheckedArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.shop_ids = shop_ids
        self.document_ids = document_ids
        self.type_codes = type_codes
        self.updated_since = updated_since
        self.changes_only = changes_only
        self.overlap = overlap
        self.watermark = watermark
        self.on_changed_filters = on_changed_filters
        self.max_files = max_files
        self.max_file_bytes = max_file_bytes
        self.max_total_bytes = max_total_bytes
        self.max_ratio = max_ratio

    def execute(self, context: Context) -> dict[str, Any]:
        """List, fetch what is new, and evaluate."""
        from airflow_provider_mirakl.shops.archive import ArchiveLimits
        from airflow_provider_mirakl.shops.fetch import Fetcher

        shops, target = self.shops(self.shop_ids), storage_path(self.target)
        limits = ArchiveLimits(self.max_files, self.max_file_bytes, self.max_total_bytes, self.max_ratio)
        run = TaskRun(context, self.work_folder, begins=True)
        asked, window = datetime.now(UTC), self._window(run, shops)
        since = self.updated_since if window is None else self._start(window, shops)
        fetched: list[Fetched] = []
        with self.hook.get_conn() as client:
            documents = self._chosen(self.listed(client, shops, since, self.type_codes))
            fetcher = Fetcher(client, self.caller_of().role, limits=limits)
            for shop, own in self._by_shop(documents, shops).items():
                fetched.append(self._fetch(fetcher, shop, own, target))
        result = self.conclude(
            run,
            (result for part in fetched for result in part.results),
            {
                "stored": sum(part.stored for part in fetched),
                "unchanged": sum(part.unchanged for part in fetched),
                "shop_ids": shops or sorted({d.shop_id for d in documents if d.shop_id is not None}),
                "manifests": [part.manifest for part in fetched],
            },
        )
        if window is not None and not result["failed"]:  # failed documents must be listed again
            window.delivered(asked)
        return result

    def _window(self, run: TaskRun, shops: Sequence[int]) -> MarkedWindow | None:
        """The window of ``changes_only``; else ``None``.

        :raises MiraklConfigurationError: it is set in two ways, S30 of the role has no such window, or the watermark is
            about other documents.
        """
        if not self.changes_only:
            return None
        from airflow_provider_mirakl.api.documents import VARIANTS
        from airflow_provider_mirakl.runtime.watermark import MarkedWindow

        if self.updated_since is not None or not VARIANTS[self.caller_of().role].changes:
            raise MiraklConfigurationError(
                "changes_only is for the operator and the front office, and begins at its own watermark; leave it out, "
                "or leave out updated_since",
                field="changes_only",
            )
        filters = {
            "role": self.caller_of().role,
            "shop_ids": shops,
            "document_ids": self.document_ids,
            "type_codes": self.type_codes,
        }
        return MarkedWindow.find(self, run, filters)

    def _start(self, window: MarkedWindow, shops: Sequence[int]) -> datetime | None:
        """The start of a window; ``None`` for everything. S30 lists everything of shops, and of all shops the changes
        of the last days.

        :raises MiraklConfigurationError: the window begins earlier, and no shops are set: documents would be missing.
        """
        from airflow_provider_mirakl.api.documents import MAX_PERIOD

        since, earliest = window.since, datetime.now(UTC) - MAX_PERIOD + timedelta(hours=1)
        if since is not None and since >= earliest:
            return since
        if shops:
            if since is not None:
                self.log.info(
                    "S30 lists the changes of %d days at most, so all documents are listed; stored ones are not "
                    "fetched again",
                    MAX_PERIOD.days,
                )
            return None
        first = earliest.strftime("%Y-%m-%d %H:%M:%S UTC")
        if since is None or window.repeats:
            self.log.warning(
                "S30 reaches back %d days at most, so documents uploaded before %s are omitted; fetch them once with "
                "shop_ids and without changes_only",
                MAX_PERIOD.days,
                first,
            )
            return earliest
        raise MiraklConfigurationError(
            f"changes_only continues at {since:%Y-%m-%d %H:%M:%S UTC}, but without shop_ids S30 reaches back "
            f"{MAX_PERIOD.days} days at most: documents uploaded before {first} would be missing. Fetch them once with "
            f"shop_ids and without changes_only, to the same target; then remove {window.path}, and this task starts "
            "again",
            field="changes_only",
        )

    def _fetch(
        self, fetcher: Fetcher, shop: int | None, documents: Sequence[ShopDocument], target: StoragePath
    ) -> Fetched:
        """Fetch a shop's documents. An error in one shop does not stop the others, unless they would meet it too."""
        from airflow_provider_mirakl.outcome import ItemResult
        from airflow_provider_mirakl.shops.fetch import Fetched, concerns_all, folder_of

        try:
            return fetcher.fetch(documents, target, shop_id=shop)
        except (MiraklError, OSError) as error:
            if isinstance(error, MiraklError) and concerns_all(error):
                raise
            folder = folder_of(shop)
            self.log.exception("Shop %s failed", folder)
            results = (
                ItemResult(f"{folder}/{document.id}", "failed", "shop", str(error)) for document in documents
            )
            return Fetched(tuple(results), 0, 0, str(target / folder / "manifest.json"))

    def _chosen(self, documents: list[ShopDocument]) -> list[ShopDocument]:
        ids = self.document_ids
        if not ids:
            return documents
        unknown = sorted(set(ids) - {document.id for document in documents})
        if unknown:
            raise MiraklInputError(
                f"document_ids contains {', '.join(map(str, unknown))}, which S30 does not list here; "
                "nothing was fetched. They do not exist, or belong to another shop or type"
            )
        return [document for document in documents if document.id in ids]

    def _by_shop(
        self, documents: list[ShopDocument], shops: Sequence[int]
    ) -> dict[int | None, list[ShopDocument]]:
        from airflow_provider_mirakl.api.documents import VARIANTS

        if VARIANTS[self.caller_of().role].own_shop:
            return {(shops[0] if shops else None): documents} if documents else {}
        found: dict[int | None, list[ShopDocument]] = {}
        for document in documents:
            found.setdefault(document.shop_id, []).append(document)
        return found


class MiraklUploadShopDocumentsOperator(_CheckedOperator):
    """Attach files to a shop, up to 50.

    Every file is checked before a call is made: it exists, is not empty, and no two share a name or a type. Then they
    are sent in one call, streamed from storage. Mirakl answers 200 even if it rejects documents: each rejected document
    counts as failed here.

    The call is never blindly repeated. After a failure with an unknown result, and in a retry of the task, S30
    lists what arrived, and only the rest is sent. Clearing the task starts over.

    :param documents: for each file a mapping with ``path`` (local or object storage), ``type_code`` and, optionally,
        ``file_name``; default the name in the path. Templated.
    :param shop_id: the shop. A seller may leave it out: then it is the shop of the connection, else the user's default
        shop. Templated.
    :param if_exists: what to do with a file if the shop has one of the same name and type: ``skip`` it, or
        ``upload`` it anyway.
    :param check_codes: compare types and media types with those the instance accepts (DO01, called once a day) before
        the upload. The check is left out, with a warning, if Mirakl refuses that call because it was made too recently.
    :param max_failed_items: how many documents Mirakl may reject without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of documents, 0 to 1, that Mirakl may reject without failing the task.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``errors``, ``rows`` (the file with a line for each
        document, by file name), ``uploaded``, ``skipped`` and ``folder``.
    :raises MiraklInputError: files cannot be uploaded; every problem is listed and nothing was sent.
    :raises MiraklBadRequestError: Mirakl rejected the whole call, for example for a closed shop.
    :raises MiraklPermissionError: the key may not write documents.
    :raises MiraklItemsFailedError: Mirakl rejected more documents than allowed.

    Source: :ref:`S32 <facts-s32>`.
    """

    operation = "S32"
    asset_name = "documents"
    documents = Elements()
    shop_id = Maybe(Id())
    if_exists = Choice[IfExists](get_args(IfExists))
    check_codes = Flag()

    def __init__(
        self,
        *,
        documents: RowsArg,
        shop_id: WholeArg | None = None,
        if_exists: IfExists | TextArg = "skip",
        check_codes: FlagArg = True,
        **kwargs: Unpack[CheckedArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.documents = documents
        self.shop_id = shop_id
        self.if_exists = if_exists
        self.check_codes = check_codes

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, list what exists, send the rest, and evaluate."""
        from airflow_provider_mirakl.api.documents import MAX_DOCUMENTS
        from airflow_provider_mirakl.outcome import ItemResult
        from airflow_provider_mirakl.shops.upload import Uploader, check_files

        run = TaskRun(context, self.work_folder, begins=True)
        files = check_files(self.documents, storage_path)  # before DO01, which Mirakl permits once a day
        with self.hook.get_conn() as client:
            if self.check_codes:
                with self.unless_refused():
                    types = self.kept_settings(client).document_types(self.caller_of().role)
                    files = check_files(self.documents, storage_path, types=types)
            uploader = Uploader(client, self.caller_of().role, self.caller_of(self.shop_id).shop_id)
            there = uploader.listed()
            known = self._known(run, there, client)
            counted = there if self.if_exists == "skip" else [d for d in there if d.id not in known]
            skipped = [file for file in files if any(file.is_that(document) for document in counted)]
            left = [file for file in files if file not in skipped]
            if len(there) + len(left) > MAX_DOCUMENTS:
                raise MiraklInputError(
                    f"the shop has {len(there)} documents and would get {len(left)} more; "
                    f"the limit is {MAX_DOCUMENTS}. Delete some first; nothing was sent"
                )
            results = [ItemResult(file.file_name, "succeeded") for file in skipped]
            if left:
                results += uploader.upload(left, known=known)
        self.log.info("%d uploaded or rejected, %d already existed", len(left), len(skipped))
        uploaded = sum(result.status == "succeeded" for result in results) - len(skipped)
        return self.conclude(run, results, {"uploaded": uploaded, "skipped": len(skipped)})

    def _known(self, run: TaskRun, there: Sequence[ShopDocument], client: Client) -> set[int]:
        """The documents that the shop had before the first try. What came since, this task has uploaded."""
        from airflow_provider_mirakl.shops.upload import KNOWN, Known, is_since

        note = KNOWN.at(run.folder, generation=run.generation, store=run.memory)
        known = note.read()
        if known is None:
            began = run.run_began
            if run.may_have_lost_notes and began is not None:
                # A previous try on another disk may have uploaded what came since the Dag run began.
                began += client.clock_offset or 0.0
                there = [document for document in there if not is_since(document, began)]
            known = Known(sorted(document.id for document in there))
            note.write(known)
        return set(known.document_ids)


class MiraklDeleteShopDocumentsOperator(_CheckedOperator):
    """Delete documents of shops, one by one.

    A retry does not count documents as missing that a previous try deleted, or whose call was not answered. A document
    that never existed is missing in every try.

    :param document_ids: the documents. Templated.
    :param shop_id: the shop, for a seller with several shops; default the connection's own. Refused with the key of an
        operator, who names no shop here. Templated.
    :param if_missing: what to do about a document that does not exist: ``fail`` or ``ignore``.
    :param max_failed_items: how many documents may fail without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of documents, 0 to 1, that may fail without failing the task.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``errors``, ``rows`` and ``folder``.
    :raises MiraklPermissionError: the key may not delete documents.
    :raises MiraklItemsFailedError: more documents failed than allowed.

    Source: :ref:`S33 <facts-s33>`.
    """

    operation = "S33"
    asset_name = "documents"
    document_ids = Some(Ids())
    shop_id = Maybe(Id())
    if_missing = Choice[IfMissing](get_args(IfMissing))
    ui_color = "#f6dcd8"

    def __init__(
        self,
        *,
        document_ids: IdsArg,
        shop_id: WholeArg | None = None,
        if_missing: IfMissing | TextArg = "fail",
        **kwargs: Unpack[CheckedArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.document_ids = document_ids
        self.shop_id = shop_id
        self.if_missing = if_missing

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete the documents one by one."""
        from airflow_provider_mirakl.shops.remove import TRIED, Deletions, remove

        run, shop = TaskRun(context, self.work_folder, begins=True), self.caller_of(self.shop_id).shop_id
        deletions = Deletions(TRIED.at(run.folder, generation=run.generation, store=run.memory))
        role, may_be_missing = self.caller_of().role, self.if_missing == "ignore"
        with self.hook.get_conn() as client:
            results = [
                remove(client, role, document_id, deletions, shop_id=shop, may_be_missing=may_be_missing)
                for document_id in self.document_ids
            ]
        return self.conclude(run, results)
