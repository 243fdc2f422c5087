"""Files go to a sandbox: looked at before, answered for one by one, never sent twice."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.exceptions import (
    MiraklBadRequestError,
    MiraklInputError,
    MiraklNotFoundError,
    MiraklPermissionError,
    MiraklServerError,
    MiraklTransportError,
)
from airflow_provider_mirakl.shops.upload import Uploader, check_files

TYPES = [
    {"code": "BANK_DETAILS", "entity": "SHOP", "mime_types": ["application/pdf", "image/png"]},
    {"code": "PRICE_LIST", "entity": "SHOP"},
    {"code": "CUSTOMER_INVOICE", "entity": "ORDER"},
]


@pytest.fixture
def entry(tmp_path):
    def make(name: str, type_code: str, body: bytes = b"%PDF", **more: str) -> dict[str, str]:
        (tmp_path / name).write_bytes(body)
        return {"path": str(tmp_path / name), "type_code": type_code, **more}

    return make


@pytest.fixture
def papers(entry):
    return [
        entry("kbis.pdf", "BUSINESS_REGISTRATION"),
        entry("Ausweis Müller 営業.png", "IDENTITY_PROOF"),
        entry("iban.pdf", "BANK_DETAILS"),
    ]


def faults(wanted, **more) -> list[str]:
    with pytest.raises(MiraklInputError) as caught:
        check_files(wanted, Path, **more)
    return [str(problem) for problem in caught.value.problems]


def test_fit_files_are_fit(papers):
    files = check_files(papers, Path)
    assert [(file.file_name, file.type_code) for file in files] == [
        ("kbis.pdf", "BUSINESS_REGISTRATION"),
        ("Ausweis Müller 営業.png", "IDENTITY_PROOF"),
        ("iban.pdf", "BANK_DETAILS"),
    ]


def test_a_missing_file(tmp_path, entry):
    said = faults([{"path": str(tmp_path / "no.pdf"), "type_code": "A"}, entry("b.pdf", "B")])
    assert len(said) == 1
    assert "documents[0].path" in said[0]
    assert "does not exist" in said[0]


def test_a_folder_is_no_file(tmp_path):
    assert "does not exist" in faults([{"path": str(tmp_path), "type_code": "A"}])[0]


def test_an_empty_file(entry):
    assert "is empty" in faults([entry("a.pdf", "A", b"")])[0]


def test_51_files(entry):
    said = faults([entry(f"{n}.pdf", f"T{n}") for n in range(51)])
    assert said == ["51 files; Mirakl allows 50 per call and per shop"]


def test_no_file():
    assert faults([]) == ["no files to upload"]


def test_two_files_of_one_type(entry):
    assert faults([entry("a.pdf", "A"), entry("b.pdf", "A")]) == [
        "the type 'a' occurs 2 times; Mirakl requires one file of a type"
    ]


@pytest.mark.parametrize("names", [("a.pdf", "a.pdf"), ("a.pdf", "A.PDF"), ("ü.pdf", "u\u0308.pdf")])
def test_duplicate_names(entry, names):
    wanted = [entry(f"{n}.bin", f"T{n}", file_name=name) for n, name in enumerate(names)]
    assert "occurs 2 times; Mirakl requires distinct names" in faults(wanted)[0]


@pytest.mark.parametrize("name", ["../a.pdf", "a/b.pdf", "a\\b.pdf", "a\nb.pdf", "..", "a\x00.pdf"])
def test_names_that_are_paths(entry, name):
    assert "cannot be the name of an uploaded file" in faults([entry("a.pdf", "A", file_name=name)])[0]


@pytest.mark.parametrize("wanted", [{}, {"path": "x"}, {"type_code": "A"}, "a.pdf", None])
def test_an_entry_without_path_or_type(wanted):
    assert "needs a path and a type_code" in faults([wanted])[0]


def test_types_against_what_the_instance_takes(entry):
    wanted = [
        entry("a.pdf", "BANK_DETAILS"),
        entry("b.exe", "PRICE_LIST"),
        entry("c.pdf", "PASSPORT"),
        entry("d.pdf", "CUSTOMER_INVOICE"),
    ]
    said = faults(wanted, types=TYPES)
    assert len(said) == 2
    assert "'PASSPORT' is not a type of shop documents; the types are BANK_DETAILS, PRICE_LIST" in said[0]
    assert "'CUSTOMER_INVOICE' is not a type of shop documents" in said[1]


def test_a_media_type_that_the_type_does_not_take(entry):
    said = faults([entry("a.xlsx", "BANK_DETAILS")], types=TYPES)
    assert "BANK_DETAILS accepts application/pdf, image/png" in said[0]


def test_every_fault_is_named_at_once(tmp_path, entry):
    said = faults(
        [{"path": str(tmp_path / "no.pdf"), "type_code": "A"}, entry("e.pdf", "A", b""), entry("f.pdf", "F")],
        types=TYPES,
    )
    assert len(said) >= 5


# --- sending -------------------------------------------------------------------------------------------------


@pytest.fixture
def send(mirakl_sandbox, client_of):
    def run(wanted, role: str = "operator", shop_id: int | None = 2000, known=()) -> list[tuple[str, str]]:
        uploader = Uploader(client_of(role), role, shop_id, sleep=lambda seconds: None)
        return [
            (result.item_id, result.code or result.status)
            for result in uploader.upload(check_files(wanted, Path), known=known)
        ]

    return run


def stored(sandbox, shop: int = 2000) -> list[tuple[str, str, bytes]]:
    return sandbox.call(
        lambda world: [(d["name"], d["type"], d["body"]) for d in world.instance.documents.of(shop)]
    )


ALL_FINE = [("kbis.pdf", "succeeded"), ("Ausweis Müller 営業.png", "succeeded"), ("iban.pdf", "succeeded")]


@pytest.mark.parametrize(
    ("role", "shop_id"), [("shop", None), ("shop", 2001), ("operator", 2001), ("front", 2000)]
)
def test_every_role_uploads(mirakl_sandbox, send, papers, role, shop_id):
    assert send(papers, role, shop_id) == ALL_FINE
    assert stored(mirakl_sandbox, shop_id or 2000) == [
        ("kbis.pdf", "BUSINESS_REGISTRATION", b"%PDF"),
        ("Ausweis Müller 営業.png", "IDENTITY_PROOF", b"%PDF"),
        ("iban.pdf", "BANK_DETAILS", b"%PDF"),
    ]


@pytest.mark.parametrize("key", ["documents", "shop_documents", "both"])
def test_a_200_that_holds_errors_is_an_error_for_each(mirakl_sandbox, send, entry, key):
    mirakl_sandbox.call(lambda world: setattr(world.settings, "upload_errors_key", key))
    wanted = [entry("a.pdf", "BANK_DETAILS"), entry("b.pdf", "PASSPORT"), entry("c.exe", "PRICE_LIST")]
    assert send(wanted) == [
        ("a.pdf", "succeeded"),
        ("b.pdf", "valid_shop_document.type"),
        ("c.exe", "valid_shop_document.mime_type"),
    ]
    assert [name for name, _, _ in stored(mirakl_sandbox)] == ["a.pdf"]


@pytest.mark.parametrize("kind", ["reset_after", "reset_during", "truncate", "broken_json", "html_body"])
def test_what_arrived_unseen_is_not_sent_again(mirakl_sandbox, send, papers, kind):
    mirakl_sandbox.fault(kind, "S32")
    assert send(papers) == ALL_FINE
    assert len(stored(mirakl_sandbox)) == 3
    assert len(mirakl_sandbox.journal("S32")) == 1


def test_what_did_not_arrive_is_sent_again(mirakl_sandbox, send, papers):
    mirakl_sandbox.fault("reset_before", "S32")
    mirakl_sandbox.fault("status", "S32", skip=1, status=503)
    assert send(papers) == ALL_FINE
    assert len(stored(mirakl_sandbox)) == 3
    assert len(mirakl_sandbox.journal("S32")) == 3


def test_only_the_rest_is_sent_again(mirakl_sandbox, send, papers):
    """One of three is there when the answer is lost; an older document of the same name does not count."""
    old = mirakl_sandbox.put_document(2000, "OLD", "iban.pdf", b"old")
    mirakl_sandbox.fault("status", "S32", status=500)
    mirakl_sandbox.put_document(2000, "BUSINESS_REGISTRATION", "kbis.pdf", b"%PDF")
    assert sorted(send(papers, known=[old])) == sorted(ALL_FINE)
    assert len(stored(mirakl_sandbox)) == 4
    ledger = mirakl_sandbox.call(lambda world: [row["item"] for row in world.ledger.rows(item="kbis.pdf")])
    assert ledger == []


def test_an_older_document_of_the_same_name_and_type_has_not_arrived(mirakl_sandbox, send, entry):
    """So the file is sent again, and Mirakl, here the sandbox, says what it thinks of a second one."""
    old = mirakl_sandbox.put_document(2000, "BANK_DETAILS", "iban.pdf", b"old")
    mirakl_sandbox.fault("status", "S32", status=500)
    sent = send([entry("iban.pdf", "BANK_DETAILS")], known=[old])
    assert sent == [("iban.pdf", "valid_shop_document.unique_type")]
    assert len(mirakl_sandbox.journal("S32")) == 2


class Answers:
    """Mirakl's answers, in the place of a client."""

    def __init__(self, **by_operation):
        self._answers = by_operation

    def send(self, call):
        return call.parse(Reply("S32", 200, {}, json.dumps(self._answers[call.operation.code]).encode()))


def test_errors_without_a_name_are_found_by_the_listing(papers):
    refused = {
        "input": {"file_name": "kbis.pdf", "type_code": "X"},
        "errors": [{"code": "c", "message": "m"}],
    }
    client = Answers(
        S32={"errors_count": 2, "documents": [refused]},
        S30={"shop_documents": [{"id": 1, "file_name": "iban.pdf", "type": "BANK_DETAILS", "shop_id": 2000}]},
    )
    results = Uploader(client, "operator", 2000).upload(check_files(papers, Path), known=())
    assert {result.item_id: result.code or result.status for result in results} == {
        "kbis.pdf": "c",
        "Ausweis Müller 営業.png": "not_listed",
        "iban.pdf": "succeeded",
    }


def test_a_server_that_never_takes_them_is_an_error(mirakl_sandbox, send, papers):
    mirakl_sandbox.fault("status", "S32", times=None, status=503)
    with pytest.raises(MiraklServerError):
        send(papers)
    assert len(mirakl_sandbox.journal("S32")) == 3
    assert stored(mirakl_sandbox) == []


def test_a_server_that_is_not_there_is_an_error(mirakl_sandbox, client_of, papers):
    client, port = client_of("operator"), mirakl_sandbox.port
    mirakl_sandbox.stop()
    # Bound, and not listening, so that no other server takes the port meanwhile.
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        with pytest.raises(MiraklTransportError) as caught:
            Uploader(client, "operator", 2000, sleep=lambda seconds: None).upload(
                check_files(papers, Path), known=()
            )
    assert caught.value.surely_not_sent


def test_a_closed_shop_is_an_error(mirakl_sandbox, send, papers):
    mirakl_sandbox.call(lambda world: world.instance.shops[2000].update(shop_state="CLOSE"))
    with pytest.raises(MiraklBadRequestError, match="closed"):
        send(papers)


def test_an_unknown_shop_is_an_error(send, papers):
    with pytest.raises(MiraklNotFoundError):
        send(papers, shop_id=4711)


def test_a_role_that_may_not_is_an_error(mirakl_sandbox, send, papers):
    mirakl_sandbox.fault("status", "S32", status=403, body="json")
    with pytest.raises(MiraklPermissionError):
        send(papers)


def test_an_upload_of_200_mb_needs_little_memory(tmp_path):
    """A child that may hold 40 MB more than before uploads 200 MB to a server that throws them away."""
    big = tmp_path / "big.zip"
    with big.open("wb") as file:
        file.truncate(200 << 20)
    script = """
import http.server, resource, sys, threading
from pathlib import Path
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.client.settings import Settings, api_key
from airflow_provider_mirakl.shops.upload import Uploader, check_files

got = 0

class Drain(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global got
        left = int(self.headers["Content-Length"])
        while left:
            left -= (step := len(self.rfile.read(min(left, 1 << 16))))
            got += step
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"errors_count": 0, "documents": []}')

    def log_message(self, *args):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Drain)
threading.Thread(target=server.serve_forever, daemon=True).start()
files = check_files([{"path": sys.argv[1], "type_code": "PRICE_LIST"}], Path)
with Client(Settings(base_url=f"http://127.0.0.1:{server.server_port}", auth=api_key("k"))) as client:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (result,) = Uploader(client, "operator", 2000).upload(files, known=())
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert result.status == "succeeded", result
assert got > 200 << 20, got
assert grown < 40 * 1024, grown
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(big)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("accepted", [None, [], 5, "application/pdf", {"a": 1}, [None], [5]])
def test_media_types_in_another_form_are_not_checked(entry, accepted):
    types = [{"code": "A", "mime_types": accepted}]
    assert len(check_files([entry("a.txt", "A")], Path, types=types)) == 1
