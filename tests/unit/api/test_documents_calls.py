"""Calls for documents, shops and platform settings: what they refuse, and how they read what comes back."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_mirakl.api import documents, platform, shops
from airflow_provider_mirakl.api.call import Multipart, Reply
from airflow_provider_mirakl.exceptions import MiraklInputError, MiraklReplyError


def reply(body: object, **headers: str) -> Reply:
    return Reply("S30", 200, headers, json.dumps(body).encode())


def upload(number: int = 1) -> documents.Upload:
    return documents.Upload(f"{number}.pdf", f"TYPE_{number}", b"x")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: documents.list_documents("operator"), "needs shop_ids or updated_since"),
        (lambda: documents.list_documents("front"), "needs shop_ids or updated_since"),
        (lambda: documents.list_documents("shop", updated_since=datetime.now(UTC)), "for the operator"),
        (lambda: documents.list_documents("shop", include_deleted=True), "for the operator"),
        (lambda: documents.list_documents("shop", shop_ids=[1, 2]), "one at a time"),
        (lambda: documents.list_documents("seller"), "shop, operator, front"),
        (lambda: documents.download_documents("operator", type_codes=["A"]), "shop_ids or document_ids"),
        (lambda: documents.upload_documents("operator", [upload()]), "set shop_id"),
        (lambda: documents.upload_documents("shop", []), "0 documents"),
        (lambda: documents.upload_documents("shop", [upload(n) for n in range(51)]), "51 documents"),
        (lambda: platform.list_additional_fields(entities=["SHOPS"]), "entities must be among OFFER"),
        (lambda: shops.get_statistics(periods=["LAST_WEEK"]), "periods must be among ALL_SINCE"),
        (lambda: shops.list_shops(page_size=101), "1 to 100"),
    ],
)
def test_what_cannot_work_is_refused(make, said):
    with pytest.raises(MiraklInputError, match=said):
        make()


def test_updated_since_reaches_90_days_back():
    now = datetime.now(UTC)
    documents.list_documents("operator", updated_since=now - timedelta(days=90))
    with pytest.raises(MiraklInputError, match="90 days"):
        documents.list_documents("operator", updated_since=now - timedelta(days=91))
    with pytest.raises(MiraklInputError, match="no time zone"):
        documents.list_documents("operator", updated_since=datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("role", "shop_id", "query", "part"),
    [
        ("shop", None, "", False),
        ("shop", 2000, "?shop_id=2000", False),
        ("operator", 2000, "", True),
        ("front", 2000, "", True),
    ],
)
def test_where_an_upload_names_its_shop(role, shop_id, query, part):
    call = documents.upload_documents(role, [upload()], shop_id=shop_id)
    assert call.target == "/api/shops/documents" + query
    assert isinstance(call.body, Multipart)
    assert [p.content for p in call.body.parts if p.name == "shop_id"] == ([b"2000"] if part else [])


def test_an_upload_opens_its_files_anew_for_every_try():
    opened = []

    def opener() -> io.BytesIO:
        opened.append(1)
        return io.BytesIO(b"x")

    call = documents.upload_documents("shop", [documents.Upload("a.pdf", "A", opener)])
    assert isinstance(call.body, Multipart)
    assert opened == []
    assert call.body.parts[-1].content is opener
    assert not call.operation.replay


@pytest.mark.parametrize("keys", [("documents",), ("shop_documents",), ("documents", "shop_documents")])
def test_both_spellings_of_the_error_list_are_read_once(keys):
    entry = {
        "input": {"file_name": "a.pdf", "type_code": "A"},
        "errors": [{"code": "valid_shop_document.type", "field": "type_code", "message": "unknown"}],
    }
    read = documents.upload_documents("shop", [upload()]).parse(
        reply({"errors_count": 1} | {key: [entry] for key in keys})
    )
    assert read.errors_count == 1
    assert [(r.file_name, r.type_code, r.faults[0].code) for r in read.refused] == [
        ("a.pdf", "A", "valid_shop_document.type")
    ]


@pytest.mark.parametrize(("count", "found"), [(2, 2), ("2", 2), (None, 0), ("?", 0), (True, 0)])
def test_errors_without_a_list_are_counted(count, found):
    """Their number tells the uploader to look which documents arrived."""
    read = documents.upload_documents("shop", [upload()]).parse(
        reply({"errors_count": count, "documents": []})
    )
    assert read == documents.UploadReply(found, ())


@pytest.mark.parametrize(
    "body",
    [{"errors_count": 0, "documents": []}, {"errors_count": 0}, {"documents": []}, {"shop_documents": []}],
)
def test_an_upload_without_errors(body):
    assert documents.upload_documents("shop", [upload()]).parse(reply(body)) == documents.UploadReply(0, ())


@pytest.mark.parametrize("body", [{}, {"documents": None}, {"message": "OK"}, {"errors_count": "none"}])
def test_an_upload_whose_reply_proves_nothing_is_not_done(body):
    """Such as that of a gateway. The uploader then looks which documents arrived."""
    with pytest.raises(MiraklReplyError, match="errors_count"):
        documents.upload_documents("shop", [upload()]).parse(reply(body))


def test_an_error_without_words_still_counts():
    read = documents.upload_documents("shop", [upload()]).parse(reply({"documents": [{}]}))
    assert (read.errors_count, read.refused[0].faults[0].message) == (1, "no reason given")


@pytest.mark.parametrize("body", [[], {}, {"shop_documents": [{"file_name": "a"}]}, {"shop_documents": [1]}])
def test_a_listing_that_is_none_is_an_error(body):
    with pytest.raises(MiraklReplyError):
        documents.list_documents("shop").parse(reply(body))


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="kbis 1.pdf"', "kbis 1.pdf"),
        ("attachment; filename=plain.txt", "plain.txt"),
        ("attachment; filename=\"x.txt\"; filename*=UTF-8''%e2%82%ac%20rates.txt", "€ rates.txt"),
        ("attachment; filename*=iso-8859-1'en'%A3.txt; filename=x", "£.txt"),
        ("attachment; filename*=nonsense''%41.txt", "A.txt"),
        ('attachment; filename="=?UTF-8?Q?na=C3=AFve.pdf?="', "naïve.pdf"),
        ('attachment; filename="=?UTF-8?B?w6nDoC5wZGY=?="', "éà.pdf"),
        ('attachment; filename="=?iso-8859-1?Q?caf=E9.pdf?="', "café.pdf"),
        ('attachment; filename="a;b.pdf"', "a;b.pdf"),
        ('attachment; filename="we\\"ird.pdf"', 'we"ird.pdf'),
        ('attachment;\r\n filename="folded.pdf"', "folded.pdf"),
        ("attachment", None),
        ("", None),
        ("attachment; filename *", None),
        pytest.param("(" * 5000, None, id="open brackets by the thousand"),
    ],
)
def test_the_name_of_a_downloaded_file(header, name):
    assert documents.file_name_of(reply({}, **{"content-disposition": header})) == name
    assert documents.file_name_of(reply({})) is None


def faults(changes: dict[str, object], **more: str) -> list[str]:
    with pytest.raises(MiraklInputError) as caught:
        shops.update_account(changes, **more)
    return [f"{problem.field}: {problem.message}" for problem in caught.value.problems]


def test_a_shop_update_names_every_fault_at_once():
    said = faults(
        {
            "emial": "x",
            "email": None,
            "shop_name": None,
            "address": "Paris",
            "recycling_policy": "x" * 5001,
            "shipping_country": "fr",
            "closed_from": datetime(2026, 1, 1),  # noqa: DTZ001
            "producer_identifiers": [{}] * 51,
            "shop_additional_fields": [{"code": "segment"}, {"value": "1"}],
        }
    )
    assert [line.partition(":")[0] for line in said] == [
        "emial",
        "email",
        "shop_name",
        "address",
        "recycling_policy",
        "shipping_country",
        "closed_from",
        "producer_identifiers",
        "shop_additional_fields[0]",
        "shop_additional_fields[1]",
    ]
    assert "would erase it" in said[-2]


def test_a_shop_update_of_nothing_is_refused():
    assert "nothing to change" in faults({})[0]


def test_what_a_shop_update_sends():
    call = shops.update_account(
        {
            "fax": None,
            "closed_from": datetime(2026, 1, 2, 3, tzinfo=UTC),
            "shop_additional_fields": [{"code": "segment", "value": "M"}, {"code": "note", "value": None}],
        },
        shop_id=2000,
    )
    assert isinstance(call.body, bytes)
    assert json.loads(call.body) == {
        "fax": None,
        "closed_from": "2026-01-02T03:00:00Z",
        "shop_additional_fields": [{"code": "segment", "value": "M"}, {"code": "note"}],
    }
    assert call.target == "/api/account?shop_id=2000"
    assert json.loads(shops.update_account({"new": 1}, unknown_fields="send").body) == {"new": 1}


@pytest.mark.parametrize(
    "body", [{"errors": [{"code": "c", "field": "f", "message": "m"}], "updated": None}, {"errors": [{}]}]
)
def test_a_200_of_a_shop_update_may_hold_errors(body):
    read = shops.update_account({"fax": None}).parse(reply(body))
    assert len(read.errors) == 1
    assert read.updated is None


@pytest.mark.parametrize(
    "body", [{}, {"locales": None}, {"locales": [{"label": "x"}]}, {"locales": [{"code": ""}]}]
)
def test_a_setting_without_its_code_is_an_error(body):
    with pytest.raises(MiraklReplyError):
        platform.list_locales().parse(reply(body))


def test_settings_may_gain_fields():
    read = platform.list_locales().parse(reply({"locales": [{"code": "fr_FR", "new": 1}], "new": 2}))
    assert read == [{"code": "fr_FR", "new": 1}]


def test_shops_are_listed_page_by_page():
    link = '<https://elsewhere.example.com/api/shops?offset=100&max=100>; rel="next"'
    page = shops.list_shops(shop_ids=[1, 2]).parse(reply({"shops": [{"shop_id": 1}]}, link=link))
    assert page.items == [{"shop_id": 1}]
    assert page.following is not None
    assert page.following.target == "/api/shops?shop_ids=1%2C2&max=100&offset=100"
