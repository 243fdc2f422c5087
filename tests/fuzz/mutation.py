"""Samples that are almost right: files and JSON of the corpus, changed in a few places. Everything is Hypothesis'."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"

TOKENS = (
    b"", b"\0", b"\n", b"\r\n", b'"', b"'", b",", b";", b"\t", b"|", b"{", b"}", b"[", b"]", b":", b"null",
    b"NaN", b"-0", b"1e999", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800", b"\\u0000",
    b"{{", b"{%", b"../", b"%00", b"<!DOCTYPE x>", b"]]>", b"&#0;", b"<?xml version='1.0'?>",
    b"9" * 5000, b"[" * 3000, b"{\"a\":" * 3000, "é€😀\u202e\u200b".encode(),
)  # fmt: skip
"""What breaks readers: separators, marks, half characters, too deep and too long."""

ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from((0, -1, 1, 2**31, 2**63, -(2**64), 10**400, 1e308, -0.0, 1.5, float("inf"), float("nan"))),
    st.sampled_from(
        (
            "", " ", "None", "null", "\0", "\ud800", "a" * 300, "../../x", "/", "{{ x }}", "{", "[", "1e9", "-1",
            "2026-13-40T99:99:99Z", "0001-01-01T00:00:00+23:59", "https://", "http://[", "x://y", "é\u200b", "1,2",
            "[1, ", "{'a': }", "airflow_provider_mirakl.exceptions", "os.path.join", "builtins.print", "a.b.c",
            "\u0661\u0662",
        )
    ),
    st.text(max_size=12),
    st.sampled_from(([], {}, [[]], [None], [{}], {"": None}, [1, "a", None], {"a": {"b": []}})),
)  # fmt: skip
"""Values that no author of a reader had in mind."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    yield path
    if isinstance(value, dict | list):
        for key, element in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(element, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a document with another value at a place."""
    if not path:
        return new
    result = copy.deepcopy(value)
    target = result
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = new
    return result


@st.composite
def documents(draw: st.DrawFn, base: Sequence[Any], names: Sequence[str] = ()) -> Any:
    """A document of the corpus, with up to three values replaced, added or removed.

    :param base: documents.
    :param names: names of fields that readers know, to be added.
    """
    found = draw(st.sampled_from(base))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(list(places(found))))
        new = draw(ODD)
        if names and isinstance(new, dict) and draw(st.booleans()):
            new = draw(st.dictionaries(st.sampled_from(names), ODD, max_size=8))
        found = replaced(found, path, new)
    return found


@st.composite
def contents(draw: st.DrawFn, base: Sequence[bytes], most: int = 4) -> bytes:
    """The bytes of a file of the corpus, changed in a few places.

    :param base: files.
    :param most: the most changes.
    """
    data = draw(st.sampled_from(base))
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 40)))
        new = draw(st.sampled_from((*TOKENS, *base)) | st.binary(max_size=4))
        how = draw(st.sampled_from(("insert", "replace", "cut", "repeat", "flip")))
        if how == "insert":
            data = data[:at] + new + data[at:]
        elif how == "replace":
            data = data[:at] + new + data[end:]
        elif how == "cut":
            data = data[:at]
        elif how == "repeat":
            data = data[:end] + data[at:]
        elif at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
    return data


def files(folder: str) -> list[bytes]:
    """The files of a folder of the corpus."""
    return [file.read_bytes() for file in sorted((CORPUS / folder).iterdir())]


def json_of(folder: str) -> list[Any]:
    """The documents of a folder of the corpus."""
    return [json.loads(data) for data in files(folder)]


def lines_of(folder: str) -> list[str]:
    """The lines of the files of a folder of the corpus."""
    return [line for data in files(folder) for line in data.decode().splitlines()]
