"""When the waiting for documents is over."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_mirakl.api.documents import ShopDocument
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.shops.arrival import SHOWN, Awaited, shop_documents

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def document(kind: str, shop: int | None = 2000, uploaded: str | None = "2026-03-01T10:00:00Z", **more: str):
    return ShopDocument(1, f"{kind}.pdf", kind, shop, uploaded, **more)


@pytest.mark.parametrize(
    ("role", "awaited", "documents", "done", "missing"),
    [
        ("operator", Awaited((2000,), ("A", "B")), [document("A")], False, {"2000": ("B",)}),
        ("operator", Awaited((2000,), ("A", "B")), [document("A"), document("B"), document("C")], True, {}),
        (
            "operator",
            Awaited((2000, 2001), ("A",)),
            [document("A"), document("B", 2001)],
            False,
            {"2001": ("A",)},
        ),
        ("operator", Awaited((2000, 2001), ("A",)), [document("A"), document("A", 2001)], True, {}),
        ("shop", Awaited((), ("A", "B")), [document("A", None)], False, {"shop": ("B",)}),
        ("shop", Awaited((2000,), ("A",)), [document("A", None)], True, {}),
        ("operator", Awaited((2000,)), [], False, {}),
        ("operator", Awaited((2000,)), [document("A")], True, {}),
        ("operator", Awaited((), (), NOON), [document("A")], False, {}),
        ("operator", Awaited((), (), NOON), [document("A", uploaded="2026-03-01T12:00:00.001Z")], True, {}),
        ("operator", Awaited((), (), NOON), [document("A", uploaded="2026-03-01T12:00:00Z")], False, {}),
        ("operator", Awaited((), (), NOON), [document("A", uploaded=None)], False, {}),
        ("operator", Awaited((), (), NOON), [document("A", uploaded="yesterday")], False, {}),
        ("operator", Awaited((2000,)), [document("A", date_deleted="2026-03-01T11:00:00Z")], False, {}),
        ("operator", Awaited((2000,), ("A",), NOON), [document("A")], False, {"2000": ("A",)}),
    ],
)
def test_what_ends_the_waiting(role, awaited, documents, done, missing):
    found = awaited.look(role, documents)
    assert (found.done, found.missing) == (done, missing)


@pytest.mark.parametrize(
    ("awaited", "said"), [(Awaited(), "needs shop_ids"), (Awaited((), ("A",), NOON), "type_codes of role")]
)
def test_what_cannot_be_waited_for(awaited, said):
    with pytest.raises(MiraklInputError, match=said):
        awaited.call("operator")


def look(documents: list[ShopDocument], **more):
    arguments = {"role": "operator", "shop_ids": [2000], "type_codes": [], "uploaded_after": None} | more
    steps = shop_documents({}, **arguments)
    step = next(steps)
    assert step.call.operation.code == "S30"
    with pytest.raises(StopIteration) as caught:
        steps.send(documents)
    return caught.value.value


def test_a_look_is_json_and_stays_small():
    assert look([]) is None
    found = look([document("A")] * 2000)
    assert found["items"] == 2000
    assert len(found["documents"]) == SHOWN
    assert len(json.dumps(found)) < 64_000
    assert found["documents"][0]["type"] == "A"


def test_the_moment_travels_as_text():
    assert look([document("A")], uploaded_after=NOON.isoformat()) is None
