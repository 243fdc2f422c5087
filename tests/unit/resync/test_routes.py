"""Repair of single products by both routes, against the sandbox."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklConfigurationError,
    MiraklInputError,
    MiraklItemsFailedError,
    MiraklJobFailedError,
    MiraklJobTimeoutError,
    MiraklNotFoundError,
    MiraklPermissionError,
    MiraklReplyError,
)
from airflow_provider_mirakl.operators.djust import DjustSynchronizeProductsOperator
from airflow_provider_mirakl.operators.resync import MiraklResyncProductsOperator

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

# The sandbox's first day: MKL-021 to 030 are PENDING, 031 to 035 have integration errors, 036 to 040 stay stuck.
REPAIRABLE = "MKL-021;SKU-021\nMKL-031;SKU-031"
STUCK = "MKL-040;SKU-040"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def djust(products, **arguments):
    arguments = {"timeout": 2.0} | arguments
    return DjustSynchronizeProductsOperator(task_id="repair", products=products, **arguments)


def resync(products, route, **arguments):
    arguments = {"mirakl_conn_id": "mirakl_operator", "timeout": 2.0} | arguments
    return MiraklResyncProductsOperator(task_id="repair", products=products, route=route, **arguments)


def rows(result):
    (path,) = result["rows"]
    return {
        row["mirakl_product_id"]: row for row in map(json.loads, Path(path).read_text("utf-8").splitlines())
    }


def counts(result):
    return tuple(result[name] for name in ("sent", "succeeded", "failed", "unknown"))


def test_without_proof_nothing_is_called_succeeded(sandbox, run_task):
    result = run_task(djust(REPAIRABLE))
    assert counts(result) == (2, 0, 0, 2)
    assert result["synchronized"] == 2
    assert (
        result["client_specification_id"] == sandbox.call(lambda world: world.instance.djust_clients[0])["id"]
    )
    row = rows(result)["MKL-021"]
    assert (row["status"], row["code"], row["before"], row["after"]) == ("unknown", "NO_PROOF", None, None)


@pytest.mark.parametrize("route", ["djust", "direct"])
def test_both_routes_repair_and_prove_with_one_shape(sandbox, run_task, route):
    result = run_task(resync(REPAIRABLE, route))
    assert counts(result) == (2, 2, 0, 0)
    assert {row["status"] for row in rows(result).values()} == {"succeeded"}
    assert {key: row["before"].split(":")[0] for key, row in rows(result).items()} == {
        "MKL-021": "PENDING",
        "MKL-031": "INTEGRATION_ERRORS",
    }
    assert {row["after"] for row in rows(result).values()} == {"SYNCHRONIZED"}
    assert (result["rejects"], result["route"]) == (None, route)
    assert sandbox.master_products()["MKL-031"]["synchronization"] == "SYNCHRONIZED"
    shape = {
        "sent", "succeeded", "failed", "unknown", "errors", "job_ids", "rows", "route", "preview", "planned",
        "duplicates", "synchronized", "client_specification_id", "rejects", "folder",
    }  # fmt: skip
    assert shape <= result.keys()
    assert len(result["job_ids"]) == (route == "direct")


@pytest.mark.parametrize("kind", ["empty_body", "broken_json"])
def test_an_answer_that_is_not_whole_proves_nothing(sandbox, run_task, kind):
    sandbox.fault(kind, operation="CM51", skip=1)  # the states before are read
    with pytest.raises(MiraklReplyError, match="CM51"):
        run_task(resync(REPAIRABLE, "direct"))
    assert counts(run_task(resync(REPAIRABLE, "direct"))) == (2, 2, 0, 0)
    sandbox.fault(kind, operation="CM51", skip=1)
    result = run_task(resync("MKL-022;SKU-022", "djust"))
    assert counts(result) == (1, 1, 0, 0), "the wait for the proof looks again"


@pytest.mark.parametrize("route", ["djust", "direct"])
def test_stuck_products_fail_and_are_input_of_the_next_run(sandbox, run_task, route):
    with pytest.raises(MiraklItemsFailedError, match="1 of 2 items failed") as caught:
        run_task(resync(f"MKL-022;SKU-022\n{STUCK}", route, timeout=1.0))
    row = rows(caught.value.outcome)["MKL-040"]
    assert (row["before"], row["after"], row["status"]) == ("PENDING", "PENDING", "failed")
    assert row["code"] == ("PENDING" if route == "djust" else "MCM-01009")
    result = run_task(
        resync(f"MKL-023;SKU-023\n{STUCK}", route, timeout=1.0, max_failed_items=1), max_tries=1
    )
    assert json.loads(Path(result["rejects"]).read_text("utf-8")) == {
        "mirakl_product_id": "MKL-040", "product_sku": "SKU-040",
    }  # fmt: skip
    sandbox.arrange_master_products({"id": "MKL-040", "stuck": False})
    assert counts(run_task(resync(None, route, source=result["rejects"]), max_tries=2)) == (1, 1, 0, 0)


@pytest.mark.parametrize("route", ["djust", "direct"])
def test_a_preview_sends_nothing(sandbox, run_task, route):
    result = run_task(resync(f"{REPAIRABLE}\nMKL-999;SKU-999", route, preview="True"))
    assert (result["preview"], result["planned"], counts(result)) == (True, 3, (0, 0, 0, 0))
    assert [row["before"] for row in rows(result).values()] == [
        "PENDING",
        rows(result)["MKL-031"]["before"],
        "not found",
    ]
    assert rows(result)["MKL-031"]["before"].startswith("INTEGRATION_ERRORS: ")
    assert sandbox.master_products()["MKL-021"]["synchronization"] == "PENDING"
    assert not sandbox.journal("CM21")
    # DJUST is asked for nothing but whether it takes the key: an empty list, which it refuses.
    assert all(entry["status"] == 400 for entry in sandbox.journal("ADM-MIRAKL-100"))


def test_unknown_products_fail_whether_or_not_the_instance_is_asked(sandbox, run_task):
    products = "MKL-021;SKU-021\nMKL-999;SKU-999"
    with pytest.raises(MiraklItemsFailedError) as caught:
        run_task(djust(products, mirakl_conn_id="mirakl_operator"))
    assert counts(caught.value.outcome) == (2, 1, 1, 0)
    assert rows(caught.value.outcome)["MKL-999"]["code"] == "NOT_FOUND"
    with pytest.raises(MiraklItemsFailedError) as caught:
        run_task(djust(products), max_tries=1)
    # DJUST's count is short by one, and it is not known which product is missing.
    assert counts(caught.value.outcome) == (2, 0, 1, 1)
    assert {row["code"] for row in rows(caught.value.outcome).values()} == {"COUNT_SHORT"}


def test_chunks_go_to_one_client_and_duplicates_once(sandbox, run_task):
    products = [f"MKL-{n:03};SKU-{n:03}" for n in range(1, 8)] + ["MKL-001;SKU-001"]
    result = run_task(djust(products, batch_size=3, mirakl_conn_id="mirakl_front"))
    assert (result["planned"], result["duplicates"], result["synchronized"]) == (7, 1, 7)
    assert [entry["items"] for entry in sandbox.journal("ADM-MIRAKL-100")] == [3, 3, 1]


def test_the_wait_for_proof_is_deferred_with_ids_alone(sandbox, run_task, monkeypatch):
    from airflow_provider_mirakl.runtime import waiting

    monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.0)
    arguments = {"mirakl_conn_id": "mirakl_operator", "timeout": 1, "max_failed_items": 1}
    result = run_task(djust(f"MKL-021;SKU-021\n{STUCK}", deferrable=True, **arguments))
    assert counts(result) == (2, 1, 1, 0)
    (deferral,) = run_task.deferrals
    stored = json.dumps(deferral.trigger.serialize())
    assert "MKL-021" in stored
    assert "sandbox-operator-key" not in stored


@pytest.mark.parametrize("route", ["djust", "direct"])
def test_a_task_cleared_at_the_moment_it_defers_begins_like_any_other(sandbox, run_task, route):
    run_task(resync(REPAIRABLE, route))
    cleared = resync("MKL-022;SKU-022", route)
    assert counts(cleared.resume(run_task.context_of(cleared, max_tries=1))) == (1, 1, 0, 0)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_product_that_stays_stuck_fails_however_it_was_waited_for(
    sandbox, run_task, monkeypatch, deferrable
):
    from airflow_provider_mirakl.runtime import waiting

    monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.0)
    with pytest.raises(MiraklItemsFailedError, match="1 of 2 items failed") as caught:
        run_task(
            djust(
                f"MKL-022;SKU-022\n{STUCK}",
                mirakl_conn_id="mirakl_operator",
                deferrable=deferrable,
                timeout="1",
            )
        )
    assert rows(caught.value.outcome)["MKL-040"]["code"] == "PENDING"
    assert len(run_task.deferrals) == deferrable


def test_a_retry_keeps_the_state_before_the_first_try(sandbox, run_task):
    sandbox.fault("status", "CM51", status=403, skip=1, times=1)
    with pytest.raises(MiraklPermissionError):
        run_task(djust("MKL-021;SKU-021", mirakl_conn_id="mirakl_operator"))
    sandbox.arrange_master_products({"id": "MKL-021", "synchronization": "SYNCHRONIZED"})
    result = run_task(djust("MKL-021;SKU-021", mirakl_conn_id="mirakl_operator"))
    assert rows(result)["MKL-021"]["before"] == "PENDING"


def test_a_failure_between_two_batches_is_reported_and_a_retry_goes_on_behind_them(sandbox, run_task):
    products = [f"MKL-{n:03};SKU-{n:03}" for n in range(1, 8)]
    repair = djust(products, batch_size=3, mirakl_conn_id="mirakl_operator")
    sandbox.fault("status", "ADM-MIRAKL-100", status=403, skip=2, times=1)
    with pytest.raises(MiraklPermissionError) as caught:
        run_task(repair)
    (note,) = caught.value.__notes__
    folder = Path(note.removeprefix("6 of 7 products were sent: ").split(" lists")[0]).parent
    assert note.startswith("6 of 7 products were sent: ")
    told = [json.loads(line) for line in (folder / "outcome.ndjson").read_text("utf-8").splitlines()]
    assert [row["status"] for row in told] == ["unknown"] * 6 + ["failed"]
    assert (told[6]["code"], told[6]["before"]) == ("NOT_SENT", "SYNCHRONIZED")
    assert json.loads((folder / "rejects.ndjson").read_text("utf-8"))["mirakl_product_id"] == "MKL-007"
    result = run_task(repair)
    assert (result["synchronized"], counts(result)) == (7, (7, 7, 0, 0))
    assert [(entry["items"], entry["status"]) for entry in sandbox.journal("ADM-MIRAKL-100")] == [
        (3, 200),
        (3, 200),
        (None, 403),
        (1, 200),
    ]
    # Cleared, it starts over.
    run_task(repair, max_tries=1)
    assert [entry["items"] for entry in sandbox.journal("ADM-MIRAKL-100")][4:] == [3, 3, 1]


# Refusals: each its own words, and nothing sent


def test_several_active_clients_are_shown_and_one_can_be_chosen(sandbox, run_task):
    first, second, off = sandbox.djust_clients({}, {}, {"active": False})
    with pytest.raises(MiraklBadRequestError, match="set client_specification_id to one of") as caught:
        run_task(djust(REPAIRABLE))
    assert first["id"] in str(caught.value)
    assert second["id"] in str(caught.value)
    assert off["id"] not in str(caught.value)
    result = run_task(djust(REPAIRABLE, client_specification_id=second["id"].upper()))
    assert result["client_specification_id"] == second["id"]
    with pytest.raises(MiraklBadRequestError, match="may be disabled; activate its connector"):
        run_task(djust(REPAIRABLE, client_specification_id=off["id"]), max_tries=1)


def test_the_client_of_the_connection(sandbox, run_task, monkeypatch):
    from airflow_provider_mirakl.sandbox.pytest_plugin import connections

    first, _ = sandbox.djust_clients({}, {})
    connection = connections(sandbox)["djust_default"]
    connection["extra"] = {"client_specification_id": first["id"]}
    monkeypatch.setenv("AIRFLOW_CONN_DJUST_DEFAULT", json.dumps(connection))
    assert run_task(djust(REPAIRABLE, client_specification_id=""))["client_specification_id"] == first["id"]


def test_no_active_client(sandbox, run_task):
    sandbox.djust_clients({"active": False})
    with pytest.raises(MiraklBadRequestError, match="probably none is active"):
        run_task(djust(REPAIRABLE))


def test_an_unknown_client(sandbox, run_task):
    with pytest.raises(
        MiraklNotFoundError, match=f"does not know the Mirakl client {UNKNOWN}: check client_spec"
    ):
        run_task(djust(REPAIRABLE, client_specification_id=UNKNOWN))


def test_a_wrong_key_and_one_that_may_not(sandbox, run_task, monkeypatch):
    from airflow_provider_mirakl.sandbox.pytest_plugin import connections

    connection = connections(sandbox)["djust_default"] | {"password": "wrong-key-1234"}
    monkeypatch.setenv("AIRFLOW_CONN_DJUST_DEFAULT", json.dumps(connection))
    with pytest.raises(MiraklAuthenticationError, match="'djust_default': the key was rejected") as caught:
        run_task(djust(REPAIRABLE))
    assert "wrong-key-1234" not in str(caught.value)
    with pytest.raises(MiraklConfigurationError, match="The key was rejected"):
        run_task(djust(REPAIRABLE, preview=True))
    monkeypatch.setenv("AIRFLOW_CONN_DJUST_DEFAULT", json.dumps(connections(sandbox)["djust_default"]))
    sandbox.fault("status", "ADM-MIRAKL-100", status=403, times=1)
    with pytest.raises(MiraklPermissionError, match="must be the key of an operator"):
        run_task(djust(REPAIRABLE))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"client_specification_id": "abc"}, "client_specification_id must be a UUID .* not 'abc'"),
        ({"preview": "maybe"}, "preview.* 'maybe'"),
        ({"batch_size": 0}, "batch_size must be a whole number, 1 or more, not 0"),
        ({"poll_interval": -5}, "poll_interval must be a number of seconds above 0, not -5"),
        ({"timeout": None}, "timeout must be a number of seconds, 0 or more, not None"),
        ({"max_products": 0}, "max_products must be a whole number, 1 or more, not 0"),
        ({"mirakl_conn_id": "mirakl_shop"}, "CM51.* has the key of role shop"),
    ],
)
def test_arguments_that_cannot_work(sandbox, run_task, arguments, words):
    with pytest.raises(MiraklConfigurationError, match=words):
        run_task(djust(REPAIRABLE, **arguments))
    assert not sandbox.journal("ADM-MIRAKL-100")


@pytest.mark.parametrize("route", ["djust", "direct"])
def test_bad_input_spends_no_call(sandbox, run_task, route):
    with pytest.raises(MiraklInputError, match="2 problems; nothing was sent"):
        run_task(resync("MKL-021\n;x", route))
    with pytest.raises(MiraklInputError, match="use an import"):
        run_task(resync(REPAIRABLE, route, max_products=1))
    assert not sandbox.journal()


@pytest.mark.parametrize("folder", ["{here}/allowed", "file://{here}/allowed", "s3://c@bucket/allowed"])
def test_a_file_lies_in_one_of_the_source_folders(sandbox, run_task, tmp_path, folder):
    secret, allowed = tmp_path / "airflow.cfg", tmp_path / "allowed"
    secret.write_text("fernet_key = 1234")
    allowed.mkdir()
    (allowed / "products.csv").write_text("MKL-001;SKU-001")
    (allowed / "link.csv").symlink_to(secret)
    folders = ["gs://other", folder.format(here=tmp_path)]
    for path in (
        secret, f"{allowed}/../airflow.cfg", f"{allowed}/link.csv", f"file://{secret}", f"local://{secret}",
        f"{allowed}2/x.csv", "s3://c@bucket/allowed/../x.csv", "s3://other@bucket/allowed/x.csv", "s3://c@bucket/allowedx/x.csv",
    ):  # fmt: skip
        with pytest.raises(MiraklInputError, match="source must be a file in gs://other or ") as caught:
            run_task(djust(None, source=str(path), source_folders=folders))
        assert "1234" not in str(caught.value)
    if "s3" not in folder:
        assert (
            run_task(djust(None, source=str(allowed / "products.csv"), source_folders=folders))["planned"]
            == 1
        )


def test_a_route_that_does_not_exist_and_one_without_a_connection(sandbox, run_task):
    with pytest.raises(MiraklConfigurationError, match=r"route.*'both'"):
        run_task(resync(REPAIRABLE, "both"))
    with pytest.raises(MiraklConfigurationError, match="the direct route needs a connection"):
        run_task(resync(REPAIRABLE, "direct", mirakl_conn_id=""))
    assert counts(run_task(resync(REPAIRABLE, "djust", mirakl_conn_id=""))) == (2, 0, 0, 2)


@pytest.mark.parametrize("route", ["djust", "direct"])
def test_products_in_every_state_are_proved(sandbox, run_task, route):
    sandbox.arrange_master_products(
        {"id": "MKL-021", "acceptance": {"status": "NEW", "reason_code": "", "message": ""}},
        {"id": "MKL-022", "validation": "INVALID"},
    )
    assert counts(run_task(resync("MKL-021;SKU-021\nMKL-022;SKU-022", route))) == (2, 2, 0, 0)


def test_a_batch_is_not_sent_again_where_airflow_remembers(sandbox, run_task, tmp_path):
    """The folder is lost, as on a worker with a disk of its own; Airflow's task state is not."""
    repair = djust(["MKL-021;SKU-021", "MKL-022;SKU-022"], batch_size=1, mirakl_conn_id="mirakl_operator")
    state = {}
    run_task.state = SimpleNamespace(get=state.get, set=state.__setitem__)
    sandbox.fault("status", "ADM-MIRAKL-100", status=403, skip=1, times=1)
    with pytest.raises(MiraklPermissionError):
        run_task(repair)
    shutil.rmtree(tmp_path / "work")
    result = run_task(repair)
    assert (counts(result), result["synchronized"]) == ((2, 2, 0, 0), 2)
    assert rows(result)["MKL-021"]["before"] == "PENDING"
    assert [entry["status"] for entry in sandbox.journal("ADM-MIRAKL-100")] == [200, 403, 200]


@pytest.mark.parametrize("route", ["djust", "direct"])
def test_a_worker_that_does_not_reach_the_folder_judges_after_the_wait(
    sandbox, run_task, tmp_path, monkeypatch, route
):
    from airflow_provider_mirakl.runtime import waiting

    monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.0)
    # The first poll finds nothing; what the task defers with is all that the other worker has.
    sandbox.fault(
        "status", "CM51" if route == "djust" else "CM22", status=503, skip=route == "djust", times=4
    )
    run_task.before_resume = lambda: shutil.rmtree(tmp_path / "work")
    result = run_task(resync(REPAIRABLE, route, deferrable=True, timeout=60, poll_interval=1))
    assert len(run_task.deferrals) == 1
    assert counts(result) == (2, 2, 0, 0)
    assert rows(result)["MKL-021"]["before"] == "PENDING"


def test_the_outcome_is_there_although_products_failed(sandbox, run_task):
    task = djust(f"MKL-021;SKU-021\n{STUCK}", mirakl_conn_id="mirakl_operator", timeout=1)
    with pytest.raises(MiraklItemsFailedError) as caught:
        run_task(task)
    pushed = run_task.pushed["return_value"]
    assert pushed == caught.value.outcome
    assert counts(pushed) == (2, 1, 1, 0)
    assert json.loads(Path(pushed["rejects"]).read_text("utf-8"))["mirakl_product_id"] == "MKL-040"


def test_a_confirmation_whose_reply_is_lost_is_sent_again(sandbox, run_task):
    sandbox.fault("reset_after", "CM21", times=1)
    assert counts(run_task(resync(REPAIRABLE, "direct"))) == (2, 2, 0, 0)
    assert len(sandbox.journal("CM21")) == 2


def test_a_retry_waits_for_the_job_that_is_there(sandbox, run_task):
    sandbox.fault("status", "CM22", status=403, times=1)
    with pytest.raises(MiraklPermissionError):
        run_task(resync(REPAIRABLE, "direct"))
    result = run_task(resync(REPAIRABLE, "direct"))
    assert (counts(result), len(result["job_ids"])) == ((2, 2, 0, 0), 1)
    assert len(sandbox.journal("CM21")) == 1
    assert rows(result)["MKL-021"]["before"] == "PENDING"


def test_a_job_that_failed_is_submitted_again_by_a_retry(sandbox, run_task):
    sandbox.fault("fail_job", "CM21", times=1)
    with pytest.raises(MiraklJobFailedError, match="ended FAILED"):
        run_task(resync(REPAIRABLE, "direct"))
    result = run_task(resync(REPAIRABLE, "direct"))
    assert (counts(result), len(result["job_ids"])) == ((2, 2, 0, 0), 1)


def test_a_job_that_does_not_end_in_time_is_named_and_waited_for_again(sandbox, run_task):
    sandbox.fault("lost", "CM21", times=1)
    for _ in range(2):
        with pytest.raises(MiraklJobTimeoutError, match="it continues in Mirakl") as caught:
            run_task(resync(REPAIRABLE, "direct", timeout=0))
    (entry,) = sandbox.journal("CM21")
    assert entry["status"] == 200
    assert len(caught.value.job_ids) == 1


@pytest.mark.parametrize("route", ["djust", "direct"])
def test_a_state_that_mirakl_does_not_document_is_unknown(sandbox, run_task, route):
    sandbox.fault("unknown_enum", "CM51", field="status", times=20)
    result = run_task(resync("MKL-021;SKU-021", route, timeout=0.5))
    (row,) = rows(result).values()
    assert (counts(result), row["status"]) == ((1, 0, 0, 1), "unknown")
    assert row["code"] == row["after"]
    assert "does not document the state" in row["message"]


def test_products_or_source(sandbox, run_task):
    with pytest.raises(MiraklInputError, match="either products or source, not both"):
        run_task(djust(REPAIRABLE, source="x.csv"))
    for products in (None, "None", "", [], ["", " "], "['', '']"):
        with pytest.raises(MiraklInputError, match="No products: set either products or source"):
            run_task(djust(products, source="None"))
    assert not sandbox.journal()


def test_ids_too_long_for_a_trigger_are_waited_for_in_the_worker(sandbox, run_task, monkeypatch):
    from airflow_provider_mirakl.runtime import task_run, waiting

    monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.0)
    monkeypatch.setattr(task_run, "MAX_CARRIED", 10)
    arguments = {"mirakl_conn_id": "mirakl_operator", "timeout": 1, "max_failed_items": 1}
    assert counts(run_task(djust(STUCK, deferrable=True, **arguments))) == (1, 0, 1, 0)
    assert not run_task.deferrals
