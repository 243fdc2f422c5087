"""What is kept of jobs that have ended: the totals add up, and what a report names did not succeed."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.exceptions import MiraklNotFoundError, MiraklReplyError
from airflow_provider_mirakl.jobs.table import JOBS, evaluate
from airflow_provider_mirakl.runtime.results import Ended, archive, fetch_export, result_of


class Instance:
    """Answers for every report with the same body; ``None`` is a 404."""

    def __init__(self, body, headers):
        self.body, self.headers = body, headers

    @contextmanager
    def stream(self, call):
        if self.body is None:
            raise MiraklNotFoundError("gone", operation=call.operation.code, status=404)
        chunks = iter([self.body[:1], self.body[1:]] if self.body else [])
        yield SimpleNamespace(reply=Reply(call.operation.code, 200, self.headers), chunks=chunks)


@pytest.fixture
def conclude(tmp_path):
    """The result of a job that ended with this status, and whose report has this body."""

    def conclude(name, status, body, *, items=None, headers=None, secrets=()):
        evaluation = evaluate(JOBS[name], {JOBS[name].state: "COMPLETE"} | status)
        instance = Instance(body.encode() if isinstance(body, str) else body, headers or {})
        reports = archive(instance, Caller(), tmp_path, 1, evaluation, logging.getLogger())
        return result_of(tmp_path, [Ended(1, items, evaluation, reports)], None, secrets=secrets)

    return conclude


def totals(result):
    return tuple(result[name] for name in ("sent", "succeeded", "failed", "unknown"))


OF02 = {"has_error_report": True, "lines_read": 5, "lines_in_success": 3, "lines_in_error": 1}
CM22 = {"has_report": True, "processed": 3, "succeeded": 3, "failed": 0}
CM23 = json.dumps(
    {
        "processed_items": [
            {"product_sku": "A", "status": "SUCCESS"},
            {"product_sku": "B", "status": "FAILURE", "synchronization_errors": [{"code": "E"}]},
            {"product_sku": "C"},
        ]
    }
)


@pytest.mark.parametrize(
    ("name", "status", "body", "items", "expected"),
    [
        # lines without any report are unknown, whether the report exists, is missing or empty
        ("offer_import", OF02, "sku;errors\nA;no\n", None, (5, 3, 1, 1)),
        ("offer_import", OF02, None, None, (5, 3, 1, 1)),
        ("offer_import", OF02, "", None, (5, 3, 1, 1)),
        # the report names what the counts do not have
        ("offer_import", OF02 | {"lines_in_success": 5, "lines_in_error": 0}, "sku;e\nA;\nB;\n", None, (5, 3, 2, 0)),
        ("offer_import", {"has_error_report": True}, "sku;errors\nA;no\n", None, (1, 0, 1, 0)),
        # an item may have several lines: the count knows better
        ("offer_import", OF02, "sku;errors\nA;no\nA;no, no\n", None, (5, 3, 1, 1)),
        # without details only the report knows what was not integrated
        (
            "product_import",
            {"has_error_report": True, "transform_lines_read": 4, "transform_lines_in_success": 4},
            "sku;errors\nA;no\n",
            None,
            (4, 0, 1, 3),
        ),
        (
            "product_import",
            {"has_error_report": True, "transform_lines_read": 4, "transform_lines_in_success": 4},
            None,
            None,
            (4, 0, 0, 4),
        ),
        # lines of P47 may be warnings
        (
            "product_import",
            {"has_transformation_error_report": True, "transform_lines_read": 4, "transform_lines_in_success": 4},
            "sku;errors\nA;mind\n",
            None,
            (4, 0, 0, 4),
        ),
        # CM23 against CM22
        ("product_synchronization", CM22, CM23, 3, (3, 2, 1, 0)),
        ("product_synchronization", {"has_report": True}, CM23, 3, (3, 1, 1, 1)),
        ("product_synchronization", {"has_report": True}, CM23, None, (3, 1, 1, 1)),
        ("product_synchronization", {"has_report": True}, None, 3, (3, 0, 0, 3)),
        ("product_synchronization", CM22, "", 3, (3, 3, 0, 0)),
        # more than was sent
        ("product_synchronization", CM22 | {"processed": 9, "failed": 6}, None, 3, (3, 0, 3, 0)),
    ],
)  # fmt: skip
def test_totals_add_up(conclude, name, status, body, items, expected):
    result = conclude(name, status, body, items=items)
    assert totals(result) == expected
    assert result["sent"] == result["succeeded"] + result["failed"] + result["unknown"]


def test_a_report_that_cannot_be_read_is_told_and_no_bare_error(conclude):
    result = conclude(
        "product_synchronization", CM22, "<html>Sign in</html>", headers={"content-type": "text/html"}
    )
    assert "cannot be read as a report" in result["messages"][0]
    result = conclude("stock_import", OF02, 'sku;errors\nA;no\nB;"' + "x" * (17 << 20))
    assert "longer than 16 MB" in result["messages"][0]
    assert totals(result) == (5, 3, 1, 1)


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        (b"PK\x03\x04\x14\x00", "xlsx"),
        (b"\xef\xbb\xbf <?xml version='1.0'?>" + b"<a/>" * 99, "xml"),
        (b"sku;errors\n", "csv"),
        (b"", "csv"),
    ],
)  # fmt: skip
def test_a_report_without_name_and_type_is_told_by_how_it_begins(conclude, body, ending):
    result = conclude("offer_import", OF02, body, headers={"content-type": "application/octet-stream"})
    assert result["reports"]["1"]["error_report"].endswith(f".{ending}")
    assert totals(result) == (5, 3, 1, 1)


def test_the_result_stays_small_however_long_a_report_is(conclude):
    lines = "".join(f"O-{number};{number} {'x' * 99_999}\n" for number in range(20))
    errors = [{"code": "G", "message": "x" * 99_999}] * 20
    assert len(json.dumps(conclude("offer_import", OF02, "sku;errors\n" + lines))) < 10_000
    report = json.dumps({"global_errors": errors})
    assert len(json.dumps(conclude("product_synchronization", CM22, report))) < 10_000


def test_offers_whose_report_cannot_be_read_have_no_rejects(tmp_path):
    from airflow_provider_mirakl.operators.offers import MiraklUpsertOffersOperator

    report = tmp_path / "error_report.csv"
    report.write_bytes(b'sku;errors\nA;"' + b"x" * (17 << 20))
    kind = JOBS["offer_import"]
    ended = Ended(1, 1, evaluate(kind, {"status": "COMPLETE"}), [(kind.reports[0], report)])
    operator = MiraklUpsertOffersOperator(task_id="t", source=[{"shop_sku": "A"}])
    assert operator.rejects(SimpleNamespace(folder=tmp_path), [ended]) is None
    assert not (tmp_path / "rejects.ndjson").exists()


def test_words_of_a_job_that_is_done_are_told(conclude):
    assert conclude("offer_import", OF02 | {"reason_status": "line 10"}, "")["messages"] == ["1: line 10"]
    status = CM22 | {"partial_read": True}
    assert "only a part" in conclude("product_synchronization", status, "{}")["messages"][0]


def test_a_key_that_a_report_repeats_is_in_no_row_and_no_message(conclude, tmp_path):
    key = "8f14e45f-ceea-467a-9575-2b1c4a7d9e03"
    code = key.encode().hex(":")
    report = f"sku;errors;warnings\nA;bad|key {key};\nB;{code};\nC;;key {key} is old\n"
    lines = conclude("offer_import", OF02, report, secrets=(key,))
    body = {
        "global_errors": [{"code": "E", "message": f"not for {key}"}],
        "processed_items": [
            {"product_sku": "B", "status": "FAILURE", "synchronization_errors": [{"message": key}]}
        ],
    }
    items = conclude("product_synchronization", CM22, json.dumps(body), secrets=(key,))
    shown = json.dumps([lines, items])
    assert key not in shown
    assert code not in shown
    assert "not for ***" in shown
    assert "key ***" in shown
    assert key not in (tmp_path / "outcome.ndjson").read_text()


class Exports:
    """Answers for every export with the same status."""

    def __init__(self, status):
        self.status = status

    def send(self, call):
        return self.status


@pytest.mark.parametrize("name", ["product_export", "offer_export", "order_export"])
@pytest.mark.parametrize(
    "status",
    [
        {},
        {"status": "PENDING"},
        {"status": "FAILED", "error": {"code": "X"}},
        {"status": "COMPLETED", "urls": [{"url": "https://example.com/1"}]},
        {"status": "COMPLETED", "urls": ["https://example.com/1", ""]},
        {"status": "COMPLETED", "urls": "https://example.com/1"},
        {"status": "COMPLETED", "urls": 1},
    ],
    ids=str,
)
def test_an_export_whose_files_are_not_listed_now_is_not_an_empty_one(name, status, tmp_path):
    """It had ended when it was polled. Written as empty, it would move a watermark past rows that nobody has."""
    target = tmp_path / "rows.ndjson"
    target.write_text('{"id": "before"}\n')
    with pytest.raises(MiraklReplyError, match="a retry asks again"):
        fetch_export(
            Exports(status), Caller("operator"), JOBS[name], "t1", str(target), "ndjson", logging.getLogger()
        )
    assert target.read_text() == '{"id": "before"}\n'


@pytest.mark.parametrize("status", [{"status": "COMPLETED"}, {"status": "COMPLETED", "urls": []}], ids=str)
def test_a_complete_export_without_files_is_an_empty_one(status, tmp_path):
    target = tmp_path / "rows.ndjson"
    found = fetch_export(
        Exports(status),
        Caller("operator"),
        JOBS["offer_export"],
        "t1",
        str(target),
        "ndjson",
        logging.getLogger(),
    )
    assert (found["items"], target.read_text()) == (0, "")
