"""Files of lines that end with a seal: the number of lines above it, and their checksum.

Such a file is written at once (:func:`~airflow_provider_mirakl.files.storage.writing`), so that one without a seal was
damaged afterwards: emptied, cut, or written by something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import IO, NamedTuple
from zlib import crc32

from airflow_provider_mirakl.files.storage import BLOCK, StoragePath, line_blocks


class Stamp(NamedTuple):
    """What a file is recognized by.

    :param size: bytes.
    :param checksum: CRC-32 of all of them.
    """

    size: int
    checksum: int


def stamp_of(path: StoragePath) -> Stamp:
    """The stamp of a file, which is read to its end.

    :param path: the file.
    """
    stamp = Stamp(0, 0)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            stamp = Stamp(stamp.size + len(block), crc32(block, stamp.checksum))
    return stamp


class SealedLines:
    """What :func:`sealing` writes to.

    :param file: the open file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._count = self._checksum = 0

    def write(self, lines: bytes) -> None:
        """Append lines, each terminated."""
        self._file.write(lines)
        self._count += lines.count(b"\n")
        self._checksum = crc32(lines, self._checksum)

    def close(self) -> None:
        """Write the seal. The file stays open."""
        self._file.write(_seal(self._count, self._checksum) + b"\n")


@contextmanager
def sealing(file: IO[bytes]) -> Iterator[SealedLines]:
    """Write lines to a file, and seal it unless the block fails.

    :param file: the file, open for writing and empty.
    """
    lines = SealedLines(file)
    yield lines
    lines.close()


def sealed_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines above the seal, without line ends.

    :param file: the file, open for reading.
    :raises ValueError: after the last line: the file is not as it was sealed. What it yielded must not be used.
    """
    count = checksum = 0
    last: bytes | None = None
    for line in chain.from_iterable(line_blocks(file)):
        if last is not None:
            yield last
            count += 1
            checksum = crc32(last + b"\n", checksum)
        last = line
    if last != _seal(count, checksum):
        raise ValueError("it is empty, truncated, or was changed after it was written")


def _seal(count: int, checksum: int) -> bytes:
    return b'{"lines":%d,"crc32":%d}' % (count, checksum)
