"""Packed bodies, unpacked within limits: a bomb never fills the memory, a body cut short is an error. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

ACCEPTED = "gzip, deflate"
PIECE = 64 * 1024

_GZIP_OR_ZLIB, _RAW = 47, -15
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_KNOWN = frozenset({"br", "zstd", "compress", "x-compress", "bzip2", "lzma", "xz", "dcb", "dcz"})
"""Packings that are named in a message."""
_PLAIN = frozenset({"", "identity", "none", "binary", "aws-chunked"})
"""What stores and proxies write for a body that is not packed. ``aws-chunked`` is left over from the upload."""


class PackingError(Exception):
    """A body that cannot be unpacked, or is not whole."""


class UnknownPackingError(PackingError):
    """A body that is packed in a way that was not asked for. Another try brings the same."""


def packing_of(encoding: str) -> str:
    """How a body is packed; empty for one that is not.

    :param encoding: the reply's ``Content-Encoding``, which in practice also contains names of character sets.
    :raises UnknownPackingError: in a way that was not asked for, or in several.
    """
    words = [word for word in encoding.lower().replace(",", " ").split() if word not in _PLAIN]
    packings = [word for word in words if not _is_charset(word)]
    if len(packings) > 1 or any(word not in _PACKED for word in packings):
        # Names only: a header may repeat what was sent.
        named = " ".join(word for word in packings if word in _PACKED | _KNOWN) or "something unknown"
        raise UnknownPackingError(f"compressed as {named!r}, which was not requested")
    return packings[0] if packings else ""


def _is_charset(word: str) -> bool:
    try:
        return b"a".decode(word) == "a"
    except (LookupError, ValueError):  # "br", or a codec of Python that is not a character set
        return False


class Unpacker:
    """Unpacks a body piece by piece.

    :param encoding: the reply's ``Content-Encoding``.
    :raises UnknownPackingError: it is packed in a way that was not asked for.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = packing_of(encoding)
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._held = b""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Unpack a piece into pieces of bounded size.

        :raises PackingError: it is not compressed as the reply says.
        """
        if not self._encoding:
            yield data
            return
        data = self._held + data
        if not self._begun and len(data) < 2:
            self._held = data  # the first two bytes show the compression
            return
        self._held = b""
        is_more = bool(data)
        while is_more:
            if self._decoder.eof:  # a gzip body may have several members, each followed by zeros
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
            unpacked = self._unpack(data)
            data = self._decoder.unconsumed_tail or self._decoder.unused_data
            # A full piece may leave a rest, although every compressed byte has been read.
            is_more = bool(data) or (len(unpacked) == PIECE and not self._decoder.eof)
            if unpacked:
                yield unpacked

    def end(self) -> None:
        """The body is over.

        :raises PackingError: it was cut short.
        """
        if self._held or (self._begun and not self._decoder.eof):
            raise PackingError("the compressed body is truncated")

    def _unpack(self, data: bytes) -> bytes:
        begun, self._begun = self._begun, True
        try:
            return self._decoder.decompress(data, PIECE)
        except zlib.error as error:
            if begun or self._encoding != "deflate":
                raise PackingError(str(error)) from None
        # "deflate" means two things, and servers send both.
        self._decoder = zlib.decompressobj(_RAW)
        try:
            return self._decoder.decompress(data, PIECE)
        except zlib.error as error:
            raise PackingError(str(error)) from None
