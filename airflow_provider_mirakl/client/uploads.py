"""Multipart bodies on their way out: opened for one try, read piece by piece, closed."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import BinaryIO

from airflow_provider_mirakl.api.call import Multipart, Part
from airflow_provider_mirakl.exceptions import MiraklInputError

CHUNK = 256 * 1024


class Upload:
    """A body whose files are open.

    :param length: bytes in all; ``None`` where a file does not know its size.
    """

    def __init__(self, body: Multipart, files: contextlib.ExitStack) -> None:
        self._boundary = body.boundary.encode()
        self._parts = [(part, *_open(part, files)) for part in body.parts]
        sizes = [size for _, _, size in self._parts]
        frame = sum(len(self._head(part)) + 2 for part in body.parts) + len(self._end)
        self.length = None if None in sizes else frame + sum(size or 0 for size in sizes)

    def __iter__(self) -> Iterator[bytes]:
        """The body's bytes.

        :raises MiraklInputError: a file is not as long as it was when it was opened.
        """
        for part, file, size in self._parts:
            yield self._head(part)
            sent = 0
            while chunk := file.read(CHUNK):
                sent += len(chunk)
                if size is not None and sent > size:
                    break
                yield chunk
            if size is not None and sent != size:
                raise MiraklInputError(
                    f"{part.file_name or part.name}: changed while it was sent; send it again"
                )
            yield b"\r\n"
        yield self._end

    def _head(self, part: Part) -> bytes:
        return b"--" + self._boundary + b"\r\n" + part.head

    @property
    def _end(self) -> bytes:
        return b"--" + self._boundary + b"--\r\n"


@contextlib.contextmanager
def open_upload(body: Multipart) -> Iterator[Upload]:
    """Open the files of a body for one try.

    :raises OSError: when a file cannot be opened.
    """
    with contextlib.ExitStack() as files:
        yield Upload(body, files)


def _open(part: Part, files: contextlib.ExitStack) -> tuple[BinaryIO, int | None]:
    if isinstance(part.content, bytes):
        return io.BytesIO(part.content), len(part.content)
    file = files.enter_context(part.content())
    if not file.seekable():
        return file, None
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return file, size
