"""Files of Connect come in archives: what the listing or an archive says wrong ends in our errors, without names."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Call, Reply
from airflow_provider_mirakl.client.http import Client, Download
from airflow_provider_mirakl.exceptions import (
    MiraklError,
    MiraklReplyError,
    MiraklStorageError,
)
from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.shops.order_documents import attachments_of, documents_of, fetch

PDF = b"%PDF of Jane"
LISTED = {"order_id": "O1", "id": "D1", "name": "Invoice Jane Doe.pdf", "size_in_bytes": len(PDF)}


def packed(name: str = "Invoice Jane Doe.pdf") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, PDF)
    return out.getvalue()


class Archives(Client):
    """Mirakl's downloads, each the same, or an error."""

    def __init__(self, body: bytes | MiraklError) -> None:
        self._body = body
        self.asked: list[str] = []

    @contextmanager
    def stream(
        self, call: Call[Any], *, max_wait: float | None = None
    ) -> Iterator[Download[Iterator[bytes]]]:
        self.asked.append(call.target)
        if isinstance(self._body, MiraklError):
            raise self._body
        yield Download(Reply(call.operation.code, 200, {}), iter([self._body]))


def fetched(target: Path, *listed: dict[str, Any], body: bytes | None = None) -> list[ItemResult]:
    return list(fetch(Archives(packed() if body is None else body), documents_of(listed), target))


BROKEN = {
    "checksum": packed().replace(PDF, PDF[:-1] + b"!"),
    "another name": packed().replace(b"Invoice Jane", b"Invoice Jake", 1),
    "name": packed("../Jane Doe.pdf"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_archive_does_not_tell_the_name_of_a_customer(
    tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (result,) = fetched(tmp_path, LISTED, body=BROKEN[broken])
    assert result.status == "failed"
    assert "The archive was rejected: a file" in str(result.message)
    assert "Jane" not in f"{result} {caplog.text}"
    assert "Jake" not in f"{result} {caplog.text}"
    assert not list(tmp_path.rglob("*.pdf"))


def test_a_file_that_cannot_be_stored_does_not_tell_it_either(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "O1" / "D1-Invoice Jane Doe.pdf"
    place.mkdir(parents=True)
    (result,) = fetched(tmp_path, LISTED)
    assert (result.status, result.code) == ("failed", "storage")
    assert "is a folder" in str(result.message)

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(
        MiraklStorageError,
        match=r"O1/D1 cannot be stored in .*O1 .Permission denied.*Until",
    ) as found:
        fetched(tmp_path, LISTED)
    assert "Jane" not in f"{result} {found.value} {found.value.path} {caplog.text}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "D1"},
        {"order_id": "O1"},
        {"order_id": None, "id": None},
        {"order_id": "O1", "id": ["D1"]},
        {"order_id": "..", "id": "D1"},
        {"order_id": " ", "id": "D1"},
        {"order_id": True, "id": "D1"},
    ],
)
def test_a_document_without_an_id_is_an_error_of_the_reply(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(MiraklReplyError, match=r"v2-listOrderDocuments: expected an id under '(order_)?id'"):
        fetched(tmp_path, {"name": "Jane.pdf"} | wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "message",
    [
        {"id": "M1", "attachments": {"id": "A1"}},
        {"id": "M1", "attachments": "A1"},
        {"id": "M1", "attachments": ["A1"]},
        {"id": "M1", "attachments": [None]},
        {"id": "M1", "attachments": [{}]},
        {"attachments": [{"id": "A1"}]},
    ],
)
def test_an_attachment_without_an_id_is_one_too(message: dict[str, Any]) -> None:
    with pytest.raises(MiraklReplyError, match="getConversationMessages: expected"):
        list(attachments_of("C1", [{"id": "M0"}, {"id": "M0", "attachments": None}, message]))


def test_a_file_that_is_listed_twice_counts_once(tmp_path: Path) -> None:
    """A document that changes while the pages are read may be on two of them."""
    client = Archives(packed())
    listed = documents_of([LISTED, LISTED | {"id": "D2"}, LISTED])
    assert [one.item_id for one in fetch(client, listed, tmp_path)] == ["O1/D1", "O1/D2"]
    assert len(client.asked) == 2


@pytest.mark.parametrize("size", [len(PDF), str(len(PDF)), None, "unknown", [], 1.5])
def test_a_size_that_is_no_number_is_not_known(tmp_path: Path, size: Any) -> None:
    assert [one.status for one in fetched(tmp_path, LISTED | {"size_in_bytes": size})] == ["succeeded"]


def test_a_size_that_differs_is_refused_whatever_its_type(tmp_path: Path) -> None:
    (result,) = fetched(tmp_path, LISTED | {"size_in_bytes": "99"})
    assert (result.status, result.message) == (
        "failed",
        f"The archive was rejected: the file in it has {len(PDF)} bytes; Mirakl lists 99",
    )


def test_what_every_file_would_meet_is_not_tried_for_each(tmp_path: Path, met_by_all: MiraklError) -> None:
    client = Archives(met_by_all)
    with pytest.raises(type(met_by_all)):
        list(fetch(client, documents_of([LISTED, LISTED | {"id": "D2"}]), tmp_path))
    assert len(client.asked) == 1
