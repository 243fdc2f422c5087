"""A document that is gone by our own doing is deleted; one that never was is not."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.exceptions import MiraklPermissionError, MiraklServerError
from airflow_provider_mirakl.shops.remove import ATTEMPTS, TRIED, Deletions, remove


@pytest.fixture
def delete(client_of, tmp_path):
    """Each call is a try of the same task."""

    def run(document_id: int, role: str = "operator", **more):
        deletions = Deletions(TRIED.at(tmp_path))
        return remove(client_of(role), role, document_id, deletions, sleep=lambda seconds: None, **more)

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
    assert delete(999, may_be_missing=True).status == "succeeded"
    assert delete(999).status == "failed"


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


@pytest.mark.parametrize(
    ("status", "error", "missing"),
    [(503, MiraklServerError, "succeeded"), (403, MiraklPermissionError, "failed")],
)
def test_only_a_call_without_an_answer_explains_a_missing_document(
    mirakl_sandbox, delete, status, error, missing
):
    """403 says that the call deleted nothing; after 503 it may have."""
    mirakl_sandbox.fault("status", "S33", times=ATTEMPTS if status == 503 else 1, status=status)
    with pytest.raises(error):
        delete(999)
    assert delete(999).status == missing
    assert delete(999).status == missing


def test_a_document_that_an_earlier_try_deleted_is_not_missing(mirakl_sandbox, delete):
    number = mirakl_sandbox.put_document(2001, "A", "a.pdf", b"x")
    assert [delete(number).status for _ in range(3)] == ["succeeded"] * 3
