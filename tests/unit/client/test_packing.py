"""Packed bodies."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_mirakl.client.packing import PIECE, PackingError, UnknownPackingError, Unpacker

PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    " Deflate ": lambda data: zlib.compress(data, wbits=-15),
    "": bytes,
    "identity": bytes,
    "none": bytes,
    "aws-chunked": bytes,
    "UTF-8": bytes,
    "iso-8859-1": bytes,
    " , ": bytes,
    "gzip,aws-chunked": gzip.compress,
    "aws-chunked, gzip": gzip.compress,
}


def unpack(encoding: str, packed: bytes, size: int = 1000) -> bytes:
    unpacker, pieces = Unpacker(encoding), []
    for start in range(0, len(packed), size):
        pieces += unpacker.feed(packed[start : start + size])
    unpacker.end()
    return b"".join(pieces)


@example(b"", 1, " Deflate ")
@example(b"x" * 300, 1, " Deflate ")
@given(st.binary(max_size=5000), st.integers(1, 400), st.sampled_from(sorted(PACKERS)))
def test_every_packing_cut_anywhere(data: bytes, size: int, encoding: str) -> None:
    assert unpack(encoding, PACKERS[encoding](data), size) == data


@given(st.binary(min_size=1, max_size=2000), st.data(), st.sampled_from(["gzip", "deflate"]))
def test_no_part_passes_for_the_whole(data: bytes, draw: st.DataObject, encoding: str) -> None:
    packed = PACKERS[encoding](data)
    keep = draw.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(PackingError):
        unpack(encoding, packed[:keep])


def test_an_empty_body_is_whole() -> None:
    assert unpack("gzip", b"") == b""


def test_several_behind_one_another() -> None:
    assert unpack("gzip", gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_zeros_behind_are_padding(size: int) -> None:
    """Some servers fill a block up; gzip itself passes over it."""
    assert unpack("gzip", gzip.compress(b"a") + bytes(1000), size) == b"a"
    assert unpack("gzip", gzip.compress(b"a") + bytes(7) + gzip.compress(b"b") + bytes(1), size) == b"ab"


@pytest.mark.parametrize(
    "behind", [b"x", bytes(3) + b"x", bytes(3) + gzip.compress(b"b")[:-1]], ids=["other", "later", "cut"]
)
def test_what_is_behind_a_body_is_no_padding(behind: bytes) -> None:
    with pytest.raises(PackingError):
        unpack("gzip", gzip.compress(b"a") + behind)


def test_a_bomb_comes_in_small_pieces() -> None:
    packed = gzip.compress(bytes(50_000_000))
    count = 0
    for piece in Unpacker("gzip").feed(packed):
        assert len(piece) <= PIECE
        count += len(piece)
    assert count == 50_000_000


@pytest.mark.parametrize("encoding", ["gzip", "deflate", " Deflate "])
@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 258])
def test_a_limit_that_falls_on_an_edge_loses_nothing(encoding: str, size: int) -> None:
    """Unpacked bytes may be left when every packed one has been read."""
    for data in (bytes(size), b"ab" * (size // 2), bytes(size - 1) + b"x"):
        packed = PACKERS[encoding](data)
        assert unpack(encoding, packed, len(packed)) == data


@pytest.mark.parametrize(
    ("encoding", "body"), [("gzip", b"no"), ("deflate", b"\xff\xff"), ("br", b"x"), ("gzip, br", b"x")]
)
def test_what_cannot_be_unpacked(encoding: str, body: bytes) -> None:
    with pytest.raises(PackingError):
        unpack(encoding, body)


@pytest.mark.parametrize(
    "encoding", ["br", "zstd", "compress", "zip", "hex", "gzip, br", "gzip, gzip", "rot13", "é" * 500]
)
def test_what_was_not_asked_for_is_refused_before_the_body_is_read(encoding: str) -> None:
    with pytest.raises(UnknownPackingError) as caught:
        Unpacker(encoding)
    assert len(str(caught.value)) < 200
