"""A document that is gone by our own doing is deleted; one that never was is not."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.exceptions import MiraklServerError
from airflow_provider_mirakl.shops.remove import remove


@pytest.fixture
def delete(client_of):
    def run(document_id: int, role: str = "operator", **more):
        return remove(client_of(role), role, document_id, sleep=lambda seconds: None, **more)

    return run


def there(sandbox) -> list[int]:
    return sandbox.call(lambda world: [d["id"] for d in world.instance.documents.of(2001)])


@pytest.mark.parametrize(("role", "shop_id"), [("shop", 2001), ("operator", None), ("front", None)])
def test_every_role_deletes(mirakl_sandbox, delete, role, shop_id):
    number = mirakl_sandbox.put_document(2001, "A", "a.pdf", b"x")
    assert delete(number, role, shop_id=shop_id).status == "succeeded"
    assert there(mirakl_sandbox) == []


def test_an_unknown_document_fails_or_is_ignored(delete):
    assert delete(999).status == "failed"
    assert delete(999, may_be_gone=True).status == "succeeded"


@pytest.mark.parametrize("kind", ["reset_after", "reset_before", "status"])
def test_a_lost_answer_is_no_unknown_document(mirakl_sandbox, delete, kind):
    number = mirakl_sandbox.put_document(2001, "A", "a.pdf", b"x")
    mirakl_sandbox.fault(kind, "S33", times=2)
    assert delete(number).status == "succeeded"
    assert there(mirakl_sandbox) == []


def test_a_server_that_never_answers_is_an_error(mirakl_sandbox, delete):
    number = mirakl_sandbox.put_document(2001, "A", "a.pdf", b"x")
    mirakl_sandbox.fault("status", "S33", times=None, status=503)
    with pytest.raises(MiraklServerError):
        delete(number)
    assert there(mirakl_sandbox) == [number]
