"""Files of the catalog engine: a minimal path protocol, atomic writes, and a buffer that spills to disk.

The engine never imports Airflow. Any class that implements :class:`StoragePath` works, such as
``pathlib.Path`` and Airflow's ``ObjectStoragePath``.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, TypeGuard, cast

from airflow_provider_mirakl.exceptions import MiraklInputError, MiraklMissingFileError, MiraklStorageError

BLOCK = 1 << 20
"""Bytes copied at once. Large, because every call on a file in an object store is expensive."""


class StoragePath(Protocol):
    """The methods of a path that the engine needs."""

    @property
    def name(self) -> str: ...

    @property
    def parent(self) -> StoragePath: ...

    def __truediv__(self, key: str, /) -> StoragePath: ...

    def open(self, mode: str) -> IO[Any]: ...

    def exists(self) -> bool: ...

    def is_dir(self) -> bool: ...

    def unlink(self) -> None: ...

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None: ...

    def stat(self) -> Any: ...

    def read_bytes(self) -> bytes: ...

    def iterdir(self) -> Iterator[StoragePath]: ...


def plain(path: StoragePath | str) -> StoragePath:
    """Return the fastest equivalent of a path: strings and local ``file://`` paths become ``pathlib.Path``.

    :param path: a local path as string, or any path object.
    :raises MiraklInputError: a string with a scheme such as ``s3://``, which only a path object can open.
    """
    if isinstance(path, str):
        if "://" in path:
            raise MiraklInputError(f"{path!r}: pass an ObjectStoragePath for storage that is not local")
        return Path(path)
    if getattr(path, "protocol", None) in ("file", "local", ""):
        return Path(getattr(path, "path", str(path)))
    return path


def _is_local(path: StoragePath) -> TypeGuard[Path]:
    # In Airflow 2 an object storage path is also a pathlib.Path, with another protocol.
    return isinstance(path, Path) and not hasattr(path, "protocol")


def unreadable(field: str, path: object, error: Exception) -> MiraklInputError:
    """The error for a file that cannot be opened.

    :param field: the argument that names it.
    :param path: the file.
    :param error: why.
    """
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        is_relative = "://" not in str(path) and not Path(str(path)).is_absolute()
        here = f" in {Path.cwd()}" if is_relative else ""
        return MiraklMissingFileError(f"{field}: {str(path)!r} does not exist{here}", path=str(path))
    if isinstance(error, IsADirectoryError):
        why = "is a folder; name one file in it"
    elif isinstance(error, PermissionError):
        why = f"cannot be read by this user ({error})"
    else:
        why = f"cannot be read ({error})"
    return MiraklInputError(f"{field}: {str(path)!r} {why}")


def remove(path: StoragePath) -> None:
    """Remove a file; a missing one is not an error.

    :raises MiraklStorageError: a folder has its name.
    """
    with suppress(FileNotFoundError), _naming_a_folder(path):
        path.unlink()


@contextmanager
def _naming_a_folder(path: StoragePath) -> Iterator[None]:
    """Say what to do about a folder where a file of the package should be."""
    try:
        yield
    except IsADirectoryError:
        raise MiraklStorageError(
            f"{path} is a folder, but this package keeps a file there; remove it, and run the task again",
            path=str(path),
        ) from None


def is_file(path: StoragePath) -> bool:
    """Whether a path is there and is not a folder."""
    return bool(path.exists() and not path.is_dir())


def opener(path: StoragePath) -> Callable[[], BinaryIO]:
    """What opens a file for reading, again for each try of a call."""
    return lambda: cast("BinaryIO", path.open("rb"))


def names(folder: StoragePath) -> list[str]:
    """Return the names of the files in a folder, in order; a missing folder has none."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def write_bytes(path: StoragePath, data: bytes) -> None:
    """Replace a file atomically: a reader sees the old content or the new, never a part.

    :param path: the file; its folder is made where it is missing.
    :param data: the whole content.
    """
    try:
        with writing(path) as file:
            file.write(data)
    except FileNotFoundError:  # the first file of a folder; or the folder was removed meanwhile
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as file:
            file.write(data)


@contextmanager
def writing(path: StoragePath) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only if the block succeeds.

    A local file is written under a temporary name next to it. An object store shows an object when its upload is
    complete, so a plain write is already atomic; an interrupted upload is discarded.

    :raises MiraklStorageError: a folder has its name.
    """
    if _is_local(path):
        # Not the process id: in containers that share a folder, several processes have the same.
        partial = path.with_name(f".{path.name}.partial-{uuid.uuid4().hex[:12]}")
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            with _naming_a_folder(path):
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return
    upload = path.open("wb")
    try:
        yield upload
    except BaseException:
        _discard(upload)
        raise
    upload.close()


def _discard(upload: Any) -> None:
    """Abort an upload. Otherwise it would be completed with partial content when it is garbage-collected."""
    file = getattr(upload, "_obj", upload)  # Airflow wraps it
    with suppress(Exception):  # show the original error
        file.discard()  # frees uploaded parts; not every store supports it
    with suppress(AttributeError):  # a file in memory has no such attribute, and is not completed later
        file.closed = True


def line_blocks(file: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines of a file without line ends, block by block. Every line must be terminated."""
    rest = b""
    while block := file.read(BLOCK):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if lines:
            yield lines


class Spill:
    """Bytes gathered under small integer keys, on local disk once they are many.

    Data that must be processed together later, such as equal ids far apart in a file, is added under the same key and
    read back key by key, so memory holds only the data of one key.

    :param memory: bytes held before they are moved to a temporary file.
    """

    def __init__(self, memory: int = 16 << 20) -> None:
        self._limit = memory
        self._held = 0
        self._parts: dict[int, bytearray] = {}
        self._extents: dict[int, list[tuple[int, int]]] = {}
        self._file: IO[bytes] | None = None

    def add(self, key: int, data: bytes) -> None:
        """Append bytes to the data of a key."""
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = bytearray()
        part += data
        self._held += len(data)
        if self._held > self._limit:
            self._flush()

    def keys(self) -> list[int]:
        """Return the keys in order."""
        return sorted(self._parts.keys() | self._extents.keys())

    def read(self, key: int) -> bytes:
        """Return the data of a key, in the order it was added."""
        shares = []
        if self._file is not None:
            for offset, length in self._extents.get(key, ()):
                self._file.seek(offset)
                shares.append(self._file.read(length))
        shares.append(bytes(self._parts.get(key, b"")))
        return b"".join(shares)

    def close(self) -> None:
        """Free memory and disk."""
        self._parts.clear()
        self._extents.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _flush(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="mirakl-spill-")  # noqa: SIM115 - lives as long as the spill
        offset = self._file.seek(0, os.SEEK_END)
        for key, part in self._parts.items():
            self._file.write(part)
            self._extents.setdefault(key, []).append((offset, len(part)))
            offset += len(part)
        self._parts.clear()
        self._held = 0
