"""Downloads to storage: the files of an export become one file.

Uses constant memory, except for Parquet: each piece is read into memory.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklReplyError
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.files.storage import writing
from airflow_provider_mirakl.runtime.tables import decoded, learn, write_table

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.table import ColumnKind


_HEAD = 1 << 20
"""Bytes read from a file to detect its format."""
_OTHER_ENDINGS = (".parquet", ".csv", ".tsv", ".xlsx", ".xml")


def ready_target(target: str, target_format: str = "ndjson") -> StoragePath:
    """A target, checked before the first call, so hours of reading do not end with a file that cannot be written.

    :param target: the path as the user wrote it.
    :param target_format: its format.
    :raises MiraklConfigurationError: it is a folder, it cannot be written, its name promises another format, or what
        writes its format is not installed.
    """
    path = storage_path(target)
    bare = target.lower().removesuffix(".gz")
    if target_format == "ndjson" and bare.endswith(_OTHER_ENDINGS):
        raise MiraklConfigurationError(
            f"target must end in .ndjson, not {target!r}: it is written as NDJSON", field="target"
        )
    if target_format == "parquet" and find_spec("pyarrow") is None:
        raise MiraklConfigurationError(_NO_PYARROW, field="target")
    if target.endswith("/") or path.is_dir():
        raise MiraklConfigurationError(f"target must be a file, not the folder {target!r}", field="target")
    if isinstance(path, Path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise MiraklConfigurationError(
                f"target: {target!r} cannot be written: {error}", field="target"
            ) from None
    return path


_NO_PYARROW = "target: Parquet needs pyarrow; install it with: pip install 'airflow-provider-mirakl[parquet]'"


def write_files(
    client: Client,
    calls: Sequence[Call[bytes]],
    target: StoragePath,
    target_format: str,
    items: str | None = None,
    columns: Mapping[str, ColumnKind] | None = None,
    *,
    max_wait: float | None = None,
) -> int | None:
    """Fetch files one after another and write them as one.

    :param calls: each fetches a file: CSV for a CSV target, else a JSON array. 204 means an empty file.
    :param target: the file; it appears when it is complete.
    :param target_format: ``ndjson``, ``csv`` or ``parquet``.
    :param items: the field with the list, if a file may be an object.
    :param max_wait: see :meth:`~airflow_provider_mirakl.client.http.Client.send`.
    :return: the number of items; ``None`` for CSV, which is not parsed.
    """
    with tempfile.TemporaryDirectory(prefix="mirakl-export-") as folder:
        pieces = _of_format(_fetched(client, calls, Path(folder), max_wait), target_format)
        if target_format == "csv":
            _join_csv(pieces, target)
            return None
        if target_format == "parquet":
            return _write_parquet([_as_ndjson(piece, items) for piece in pieces], target, columns or {})
        return _join_rows(pieces, target, items)


def _fetched(
    client: Client, calls: Sequence[Call[bytes]], folder: Path, max_wait: float | None
) -> Iterator[Path]:
    for number, call in enumerate(calls):
        piece = folder / f"{number:06d}"
        with client.stream(call, max_wait=max_wait) as download, piece.open("wb") as file:
            for chunk in download.chunks:
                file.write(chunk)
        if piece.stat().st_size:
            yield piece
        elif download.reply.status != 204:
            raise MiraklReplyError(
                f"{call.operation.code}: Mirakl answered {download.reply.status} with an empty file. Only 204, an "
                "empty JSON list or a CSV header mean that there is nothing; a retry fetches it again",
                operation=call.operation.code,
                status=download.reply.status,
            )
        if piece.exists():
            piece.unlink()


def _of_format(pieces: Iterator[Path], target_format: str) -> Iterator[Path]:
    """The pieces, which must all be in the format of the target: CSV, or otherwise JSON."""
    for piece in pieces:
        with piece.open("rb") as file:
            is_json = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{")
        if is_json and target_format == "csv":
            raise MiraklReplyError(
                "The files of the export are JSON, not CSV; use a target that ends in .ndjson or .parquet",
                operation="export",
            )
        if not is_json and target_format != "csv":
            raise MiraklReplyError(
                "The files of the export are not JSON; if it was exported as CSV, use a target that ends in .csv",
                operation="export",
            )
        yield piece


@contextmanager
def writing_target(target: StoragePath) -> Iterator[IO[bytes]]:
    """Open a target for writing. A local folder is created, and the file appears when it is complete."""
    if isinstance(target, Path):
        target.parent.mkdir(parents=True, exist_ok=True)
    with writing(target) as file:
        yield file


def write_rows(rows: Iterable[Mapping[str, Any]], target: str) -> int:
    """Write objects as NDJSON.

    :param rows: the objects; the file appears when all of them are written.
    :param target: a local path or an address of object storage.
    :return: how many.
    """
    count = 0
    with writing_target(storage_path(target)) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            count += 1
    return count


def _join_csv(pieces: Iterator[Path], target: StoragePath) -> None:
    """The pieces below one header, which must be the same in all."""
    header = b""
    with writing_target(target) as file:
        for piece in pieces:
            with piece.open("rb") as source:
                first = source.readline()
                if not header:
                    header = first
                    file.write(first if first.endswith(b"\n") else first + b"\n")
                elif first.strip() != header.strip():
                    raise MiraklReplyError(
                        "The files of the export have different columns; export as ndjson or parquet",
                        operation="export",
                    )
                last = b"\n"
                while block := source.read(1 << 20):
                    file.write(block)
                    last = block[-1:]
                if last != b"\n":
                    file.write(b"\n")


def _rows(piece: Path, items: str | None) -> Iterator[bytes]:
    from airflow_provider_mirakl.catalog.source import open_source

    for batch in open_source(piece, "json", items=_list_of(piece, items)).batches():
        if batch.refused:
            raise MiraklReplyError(
                f"The export contains an item that is not an object: {batch.refused[0].problems[0]}",
                operation="export",
            )
        yield from batch.rows


def _list_of(piece: Path, items: str | None) -> str | None:
    """The field with the list, if the file is an object.

    For TL05, Mirakl's document shows such an object, describes a single line, and allows one line after another, so
    the format is detected from the file.
    """
    if items is None:
        return None
    with piece.open("rb") as file:
        head = file.readline(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"["):
        return None
    try:
        first = json.loads(head)
    except (ValueError, RecursionError):  # pretty-printed, longer than the head, or nested too deep
        return items
    return items if isinstance(first, dict) and items in first else None


def _join_rows(pieces: Iterator[Path], target: StoragePath, items: str | None) -> int:
    count = 0
    with writing_target(target) as file:
        for piece in pieces:
            for row in _rows(piece, items):
                file.write(row + b"\n")
                count += 1
    return count


def _as_ndjson(piece: Path, items: str | None) -> Path:
    rows = piece.with_suffix(".ndjson")
    with rows.open("wb") as file:
        for row in _rows(piece, items):
            file.write(row + b"\n")
    return rows


def _write_parquet(pieces: Sequence[Path], target: StoragePath, documented: Mapping[str, ColumnKind]) -> int:
    """Two passes: first the columns of all pieces, then their rows. See :mod:`.tables`."""
    if find_spec("pyarrow") is None:
        raise MiraklConfigurationError(_NO_PYARROW, field="target")

    def rows() -> Iterator[dict[str, Any]]:
        for piece in pieces:
            with piece.open("rb") as file:
                yield from decoded(file)

    columns = learn(rows(), documented)
    with writing_target(target) as file:
        return write_table(file, rows(), columns)
