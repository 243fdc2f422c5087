"""Documents come from a sandbox to a folder: new ones only, whatever they are called, each failing alone."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.api.documents import ShopDocument, list_documents
from airflow_provider_mirakl.client.http import Download
from airflow_provider_mirakl.exceptions import (
    MiraklNoteError,
    MiraklPermissionError,
)
from airflow_provider_mirakl.shops import manifest
from airflow_provider_mirakl.shops.archive import ArchiveLimits
from airflow_provider_mirakl.shops.fetch import Fetched, Fetcher

PDF = b"%PDF-1.7 " + bytes(range(256)) * 20


@pytest.fixture
def fetch(mirakl_sandbox, client_of, tmp_path):
    def run(role: str = "operator", documents=None, **limits) -> Fetched:
        client = client_of(role)
        shops = [2000] if role != "shop" else []
        found = client.send(list_documents(role, shop_ids=shops)) if documents is None else documents
        fetcher = Fetcher(client, role, limits=ArchiveLimits(**limits), sleep=lambda seconds: None)
        return fetcher.fetch(found, tmp_path, shop_id=shops[0] if shops else None)

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def calls(sandbox, operation: str = "S31") -> list[str]:
    return [f"{entry['status']} {entry['query']}" for entry in sandbox.journal(operation)]


def failed(fetched: Fetched) -> dict[str, str | None]:
    return {result.item_id: result.code for result in fetched.results if result.status == "failed"}


@pytest.mark.parametrize("role", ["shop", "operator", "front"])
def test_one_document_comes_as_it_is(mirakl_sandbox, fetch, tmp_path, role):
    number = mirakl_sandbox.put_document(2000, "BANK_DETAILS", "Überweisung 2026.pdf", PDF)
    fetched = fetch(role)
    shop = "shop" if role == "shop" else "2000"
    assert files(tmp_path) == {f"{shop}/{number}-Überweisung 2026.pdf": PDF}
    assert fetched.stored == 1
    manifest = json.loads((tmp_path / shop / "manifest.json").read_text())["content"]
    (entry,) = manifest["documents"]
    assert manifest["shop"] == shop
    assert entry["sha256"] == hashlib.sha256(PDF).hexdigest()
    assert (entry["id"], entry["type"], entry["bytes"]) == (number, "BANK_DETAILS", len(PDF))
    assert (entry["file_name"], entry["stored_as"]) == (
        "Überweisung 2026.pdf",
        f"{number}-Überweisung 2026.pdf",
    )


@pytest.mark.parametrize("role", ["shop", "operator", "front"])
def test_several_documents_come_by_one_call(mirakl_sandbox, fetch, tmp_path, role):
    kinds = ["BANK_DETAILS", "IDENTITY_PROOF", "INSURANCE"]
    for kind in kinds:
        mirakl_sandbox.put_document(2000, kind, f"{kind}.pdf", kind.encode())
    fetched = fetch(role)
    assert len(calls(mirakl_sandbox)) == 1
    assert sorted(files(tmp_path).values()) == [kind.encode() for kind in sorted(kinds)]
    assert not failed(fetched)


def test_what_is_there_is_not_fetched_again(mirakl_sandbox, fetch, tmp_path):
    for kind in ("BANK_DETAILS", "IDENTITY_PROOF"):
        mirakl_sandbox.put_document(2000, kind, f"{kind}.pdf", PDF)
    fetch()
    before, manifest = len(calls(mirakl_sandbox)), (tmp_path / "2000/manifest.json").read_bytes()
    again = fetch()
    assert (again.stored, again.unchanged) == (0, 2)
    assert len(calls(mirakl_sandbox)) == before
    assert (tmp_path / "2000/manifest.json").read_bytes() == manifest

    new = mirakl_sandbox.put_document(2000, "INSURANCE", "new.pdf", b"new")
    third = fetch()
    assert (third.stored, third.unchanged) == (1, 2)
    assert calls(mirakl_sandbox)[-1].endswith(f"document_ids={new}")


def test_a_file_that_was_lost_or_cut_is_fetched_again(mirakl_sandbox, fetch, tmp_path):
    for kind in ("BANK_DETAILS", "IDENTITY_PROOF"):
        mirakl_sandbox.put_document(2000, kind, f"{kind}.pdf", PDF)
    fetch()
    whole = files(tmp_path)
    lost, cut = sorted(tmp_path.glob("2000/*.pdf"))
    lost.unlink()
    cut.write_bytes(PDF[:-1])
    assert fetch().stored == 2
    assert files(tmp_path) == whole


def test_a_document_that_was_replaced_is_fetched_beside_the_old_one(mirakl_sandbox, fetch, tmp_path):
    old = mirakl_sandbox.put_document(2000, "BANK_DETAILS", "bank.pdf", b"old")
    fetch()
    mirakl_sandbox.call(lambda world: world.instance.documents.all[old].update(deleted=1.0))
    new = mirakl_sandbox.put_document(2000, "BANK_DETAILS", "bank.pdf", b"new")
    fetch()
    assert files(tmp_path) == {f"2000/{old}-bank.pdf": b"old", f"2000/{new}-bank.pdf": b"new"}
    ids = [
        entry["id"]
        for entry in json.loads((tmp_path / "2000/manifest.json").read_text())["content"]["documents"]
    ]
    assert ids == [old, new]


def test_another_upload_under_the_same_id_is_fetched(mirakl_sandbox, fetch):
    number = mirakl_sandbox.put_document(2000, "BANK_DETAILS", "bank.pdf", PDF)
    fetch()
    mirakl_sandbox.call(lambda world: world.instance.documents.all[number].update(uploaded=-3600.0))
    assert fetch().stored == 1


class Archives:
    """Mirakl's downloads, in the place of a client: an archive of another making, single files as they are."""

    def __init__(self, packed: dict[str, bytes], files: dict[str, bytes]) -> None:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in packed.items():
                archive.writestr(name, content)
        self._archive = out.getvalue()
        self._files = files
        self.asked: list[str] = []

    @contextmanager
    def stream(self, call):
        wanted = dict(call.params)["document_ids"]
        self.asked.append(wanted)
        yield Download(Reply("S31", 200, {}), iter([self._files.get(wanted, self._archive)]))


@pytest.mark.parametrize(
    "packed",
    [
        {"2001/a.pdf": b"of another shop", "2001/b.pdf": b"of another shop"},
        {"a.pdf": b"of nobody", "2000/other.pdf": b"not asked for"},
        {"2000/../a.pdf": b"evil", "2000/b.pdf": b"b"},
        {},
    ],
)
def test_what_an_archive_should_not_hold_is_left_aside(tmp_path, packed):
    client = Archives(packed, {"1": b"a", "2": b"b"})
    listed = [ShopDocument(1, "a.pdf", "A", 2000, "x"), ShopDocument(2, "b.pdf", "B", 2000, "x")]
    fetched = Fetcher(client, "operator").fetch(listed, tmp_path, shop_id=2000)
    assert fetched.stored == 2
    assert client.asked == ["1,2", "1", "2"]
    assert files(tmp_path) == {"2000/1-a.pdf": b"a", "2000/2-b.pdf": b"b"}


HOSTILE = [
    "../../../evil.sh",
    "..\\..\\evil.bat",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "..",
    "CON",
    "a/b/c.pdf",
    "line\nbreak\x00.pdf",
    "right\u202eto-left.pdf",
    "x" * 300 + ".pdf",
    "manifest.json",
]


def test_hostile_names_stay_in_the_folder_and_stop_nobody(mirakl_sandbox, fetch, tmp_path):
    contents = {
        mirakl_sandbox.put_document(2000, f"T{place}", name, str(place).encode()): str(place).encode()
        for place, name in enumerate([*HOSTILE, "honest.pdf"])
    }
    fetched = fetch()
    assert not failed(fetched)
    found = files(tmp_path)
    assert {int(Path(name).name.partition("-")[0]): body for name, body in found.items()} == contents
    assert all(Path(name).parent == Path("2000") for name in found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2000"]
    assert len(json.loads((tmp_path / "2000/manifest.json").read_text())["content"]["documents"]) == len(
        contents
    )


def test_a_shop_with_hostile_names_is_fetched_again_the_next_time(mirakl_sandbox, fetch, tmp_path):
    """What the first run writes into its manifest, the second one can read: a name may be as long as it gets."""
    for place, name in enumerate([*HOSTILE, "é" * 74 + "x.pdf", "honest.pdf"]):
        mirakl_sandbox.put_document(2000, f"T{place}", name, str(place).encode())
    assert fetch().stored == len(HOSTILE) + 2
    again = fetch()
    assert (again.stored, again.unchanged) == (0, len(HOSTILE) + 2)


def test_names_that_are_alike_are_told_apart(mirakl_sandbox, fetch, tmp_path):
    """Mirakl renames the second in its archive, in an order that is not published: so these come one by one."""
    contents = {
        mirakl_sandbox.put_document(2000, kind, name, kind.encode()): kind.encode()
        for kind, name in [("A", "x.pdf"), ("B", "x.pdf"), ("C", "X.PDF"), ("D", "y.pdf"), ("E", "z.pdf")]
    }
    fetch()
    assert {
        int(Path(name).name.partition("-")[0]): body for name, body in files(tmp_path).items()
    } == contents
    assert len(calls(mirakl_sandbox)) == 4


def test_a_refused_archive_leads_to_single_files(mirakl_sandbox, fetch, tmp_path):
    mirakl_sandbox.put_document(2000, "A", "a.pdf", b"a")
    mirakl_sandbox.put_document(2000, "B", "b.pdf", b"b")
    assert not failed(fetch(max_files=1))
    assert list(files(tmp_path).values()) == [b"a", b"b"]
    assert len(calls(mirakl_sandbox)) == 3


def test_a_document_that_is_too_large_fails_alone(mirakl_sandbox, fetch, tmp_path):
    big = mirakl_sandbox.put_document(2000, "A", "big.pdf", PDF * 2)
    small = mirakl_sandbox.put_document(2000, "B", "small.pdf", PDF)
    fetched = fetch(max_file_bytes=len(PDF))
    assert failed(fetched) == {f"2000/{big}": "too_large"}
    assert files(tmp_path) == {f"2000/{small}-small.pdf": PDF}


def test_an_archive_that_is_too_large_is_not_spooled_to_its_end(mirakl_sandbox, fetch, tmp_path):
    for kind in "AB":
        mirakl_sandbox.put_document(2000, kind, f"{kind}.pdf", PDF)
    fetched = fetch(max_total_bytes=100)
    assert fetched.stored == 2
    assert len(calls(mirakl_sandbox)) == 3


def test_one_unknown_document_does_not_spoil_the_others(mirakl_sandbox, fetch, tmp_path):
    """S31 is all or nothing: 404 for the whole archive when one id is wrong."""
    for kind in "AB":
        mirakl_sandbox.put_document(2000, kind, f"{kind}.pdf", PDF)
    listed = [ShopDocument(n, f"{k}.pdf", k, 2000, "x") for n, k in ((501, "A"), (502, "B"), (999, "C"))]
    fetched = fetch(documents=listed)
    assert failed(fetched) == {"2000/999": "http_404"}
    assert len(files(tmp_path)) == 2
    assert [call.partition(" ")[0] for call in calls(mirakl_sandbox)] == ["404", "200", "200", "404"]


@pytest.mark.parametrize("kind", ["truncate", "reset_during"])
def test_a_download_that_breaks_off_is_begun_again(mirakl_sandbox, fetch, tmp_path, kind):
    mirakl_sandbox.put_document(2000, "A", "a.pdf", PDF)
    mirakl_sandbox.fault(kind, "S31", times=2)
    assert fetch().stored == 1
    assert list(files(tmp_path).values()) == [PDF]


def test_a_download_that_always_breaks_off_leaves_nothing_half(mirakl_sandbox, fetch, tmp_path):
    number = mirakl_sandbox.put_document(2000, "A", "a.pdf", PDF)
    mirakl_sandbox.fault("truncate", "S31", times=None)
    fetched = fetch()
    assert failed(fetched) == {f"2000/{number}": "no_reply"}
    assert files(tmp_path) == {}
    assert not (tmp_path / "2000/manifest.json").exists()


def test_an_archive_that_breaks_off_is_begun_again(mirakl_sandbox, fetch, tmp_path):
    for kind in "AB":
        mirakl_sandbox.put_document(2000, kind, f"{kind}.pdf", PDF)
    mirakl_sandbox.fault("truncate", "S31")
    assert fetch().stored == 2
    assert len(calls(mirakl_sandbox)) == 2


def test_a_web_page_in_place_of_an_archive_is_refused(mirakl_sandbox, fetch, tmp_path):
    for kind in "AB":
        mirakl_sandbox.put_document(2000, kind, f"{kind}.pdf", PDF)
    mirakl_sandbox.fault("html_body", "S31")
    assert fetch().stored == 2
    assert sorted(files(tmp_path).values()) == [PDF, PDF]


def test_a_web_page_is_never_stored_as_a_document(mirakl_sandbox, fetch, tmp_path):
    number = mirakl_sandbox.put_document(2000, "A", "a.html", b"<html>mine</html>")
    mirakl_sandbox.fault("html_body", "S31")
    assert set(failed(fetch())) == {f"2000/{number}"}
    assert files(tmp_path) == {}
    fetch()
    assert files(tmp_path) == {f"2000/{number}-a.html": b"<html>mine</html>"}


def test_a_key_that_may_not_stops_everything(mirakl_sandbox, fetch):
    mirakl_sandbox.put_document(2000, "A", "a.pdf", PDF)
    mirakl_sandbox.fault("status", "S31", status=403, body="json")
    with pytest.raises(MiraklPermissionError):
        fetch()


@pytest.mark.parametrize(
    "broken",
    [
        "no json",
        "{}",
        '{"documents": [{"id": 1}]}',
        json.dumps(
            {
                "format": 1,
                "generation": "",
                "revision": 1,
                "saved_at": "",
                "content": {
                    "shop": "2000",
                    "documents": [
                        {
                            "id": 1,
                            "type": "A",
                            "file_name": "x",
                            "date_uploaded": None,
                            "stored_as": "../../../etc/passwd",
                            "bytes": 1,
                            "sha256": "",
                            "stored_at": "",
                        }
                    ],
                },
            }
        ),
    ],
)
def test_a_manifest_that_cannot_be_read_is_an_error(mirakl_sandbox, fetch, tmp_path, broken):
    mirakl_sandbox.put_document(2000, "A", "a.pdf", PDF)
    (tmp_path / "2000").mkdir()
    (tmp_path / "2000/manifest.json").write_text(broken)
    words = "names '../../../etc/passwd'" if "passwd" in broken else "which records which documents"
    with pytest.raises(MiraklNoteError, match=rf"manifest\.json.*{words}.* move it away"):
        fetch()
    assert files(tmp_path) == {}


def test_object_storage(mirakl_sandbox, client_of, tmp_path):
    """From an object store to Mirakl, and from there to the store again, broken downloads included."""
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec: make venv installs it")
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_mirakl.shops.upload import Uploader, check_files

    filesystem = fsspec.filesystem("memory")
    try:
        from airflow.sdk.io.store import attach
    except ImportError:
        from airflow.io.store import attach
    attach("memory", fs=filesystem)
    store = ObjectStoragePath(f"memory://bucket{tmp_path}")
    (store / "papers").mkdir(parents=True, exist_ok=True)
    (store / "papers/iban.pdf").write_bytes(PDF)
    (store / "papers/kbis.pdf").write_bytes(PDF[::-1])
    wanted = [
        {"path": str(store / "papers/iban.pdf"), "type_code": "BANK_DETAILS"},
        {"path": str(store / "papers/kbis.pdf"), "type_code": "BUSINESS_REGISTRATION"},
    ]
    client = client_of("operator")
    files_ = check_files(wanted, ObjectStoragePath)
    results = Uploader(client, "operator", 2000).upload(files_, known=())
    assert [result.status for result in results] == ["succeeded", "succeeded"]

    listed = client.send(list_documents("operator", shop_ids=[2000]))
    fetcher = Fetcher(client, "operator", sleep=lambda seconds: None)
    mirakl_sandbox.fault("truncate", "S31", times=9)
    assert fetcher.fetch(listed[:1], store / "archive", shop_id=2000).stored == 0
    assert not [path for path in filesystem.find(f"/bucket{tmp_path}") if "archive" in path]
    mirakl_sandbox.call(lambda world: world.faults.clear())

    assert fetcher.fetch(listed, store / "archive", shop_id=2000).stored == 2
    assert fetcher.fetch(listed, store / "archive", shop_id=2000).unchanged == 2
    found = {path.name: path.read_bytes() for path in (store / "archive/2000").iterdir()}
    manifest = json.loads(found.pop("manifest.json"))["content"]
    assert sorted(found.values()) == sorted([PDF, PDF[::-1]])
    assert {entry["stored_as"] for entry in manifest["documents"]} == set(found)


def test_an_empty_reply_is_never_stored_as_a_document(mirakl_sandbox, fetch, tmp_path):
    """A document that were stored like this would never be fetched again."""
    number = mirakl_sandbox.put_document(2000, "A", "a.pdf", PDF)
    mirakl_sandbox.fault("empty_body", "S31", times=None)
    assert failed(fetch()) == {f"2000/{number}": "no_reply"}
    assert files(tmp_path) == {}
    mirakl_sandbox.call(lambda world: world.faults.clear())
    mirakl_sandbox.fault("empty_body", "S31")
    assert not failed(fetch())
    assert files(tmp_path) == {f"2000/{number}-a.pdf": PDF}


@pytest.mark.parametrize("archive", [True, False])
def test_what_every_document_would_meet_is_not_tried_for_each(tmp_path, met_by_all, archive):
    class Down:
        asked = 0

        @contextmanager
        def stream(self, call):
            self.asked += 1
            raise met_by_all
            yield

    client, names = Down(), ("a.pdf", "b.pdf", "c.pdf") if archive else ("x.pdf",) * 3
    listed = [ShopDocument(number, name, "A", 2000, "x") for number, name in enumerate(names)]
    with pytest.raises(type(met_by_all)):
        Fetcher(client, "operator", sleep=lambda seconds: None).fetch(listed, tmp_path, shop_id=2000)
    assert client.asked == 1


def test_a_call_without_a_reply_is_not_repeated_once_more_by_the_fetcher(mirakl_sandbox, fetch):
    """The client has repeated it; only a body that breaks off is begun again."""
    mirakl_sandbox.put_document(2000, "A", "a.pdf", PDF)
    mirakl_sandbox.fault("reset_before", "S31", times=None)
    assert set(failed(fetch()).values()) == {"no_reply"}
    assert len(calls(mirakl_sandbox)) == 4


def test_a_folder_in_the_place_of_a_document_stops_only_this_one(mirakl_sandbox, fetch, tmp_path):
    numbers = [
        mirakl_sandbox.put_document(2000, name, f"{name}.pdf", name.encode()) for name in ("A", "B", "C")
    ]
    (tmp_path / f"2000/{numbers[1]}-B.pdf").mkdir(parents=True)
    assert failed(fetch()) == {f"2000/{numbers[1]}": "storage"}
    assert list(files(tmp_path).values()) == [b"A", b"C"]


def test_a_document_that_cannot_be_written_does_not_fail_those_that_are_there(
    mirakl_sandbox, fetch, tmp_path, monkeypatch
):
    numbers = [mirakl_sandbox.put_document(2000, name, f"{name}.pdf", PDF) for name in ("A", "B")]
    assert fetch().stored == 2
    numbers += [mirakl_sandbox.put_document(2000, name, f"{name}.pdf", PDF) for name in ("C", "D", "E")]
    writing = manifest.writing

    def full(path):
        if path.name.endswith("D.pdf"):
            raise OSError(28, "No space left on device")
        return writing(path)

    monkeypatch.setattr(manifest, "writing", full)
    fetched = fetch()
    assert failed(fetched) == {f"2000/{numbers[3]}": "storage"}
    assert (fetched.stored, fetched.unchanged) == (2, 2)
    monkeypatch.undo()
    again = fetch()
    assert (again.stored, again.unchanged) == (1, 4)
