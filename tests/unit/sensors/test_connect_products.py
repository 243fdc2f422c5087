"""What the sensor of Connect's catalog looks for, before it looks."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.sensors.connect import MiraklConnectProductsSensor


def arguments(**options):
    return MiraklConnectProductsSensor(task_id="wait", **options).poll_arguments()


@pytest.mark.parametrize("mapped", [False, True])
def test_the_interval_may_stand_in_default_args(mapped):
    from airflow.providers.common.compat.sdk import DAG

    def made(**default_args):
        with DAG("dag", default_args=default_args):
            if not mapped:
                return MiraklConnectProductsSensor(task_id="wait", product_ids=["A"])
            task = MiraklConnectProductsSensor.partial(task_id="wait").expand(product_ids=[["A"], ["B"]])
            return task.unmap({"product_ids": ["A"]})

    assert made().poke_interval == 300
    assert made(poke_interval=900).poke_interval == 900


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ("A", ["A"]),
        (["A", "B"], ["A", "B"]),
        ("['A', '007']", ["A", "007"]),
        ('["A", "007"]', ["A", "007"]),
    ],
)
def test_ids_in_every_form_that_a_template_makes(given, ids):
    assert arguments(product_ids=given) == {"product_ids": ids, "expect": "present"}


@pytest.mark.parametrize("given", [{"folder": "/f"}, "{'folder': '/f', 'sent': 1}", '{"folder": "/f"}', "/f"])
def test_a_result_in_every_form_that_a_template_makes(given):
    assert arguments(submitted=given)["folder"] == "/f"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        # read as absent, a slip would end the waiting for products that are missing
        ({"product_ids": ["A"], "expect": "Present"}, "expect must be 'present' or 'absent', not 'Present'"),
        ({"product_ids": [1, 2]}, "product_ids must be codes"),  # no product is ever found under a number
        ({"product_ids": 7}, "product_ids must be codes"),
        ({"product_ids": "[]"}, "exactly one of product_ids and submitted must be set"),
        ({"product_ids": "None"}, "exactly one of product_ids and submitted must be set"),
        ({"product_ids": ["A"], "submitted": "/f"}, "exactly one of product_ids and submitted must be set"),
        ({"submitted": {"sent": 3}}, "submitted must be the result of an operator"),
        ({"submitted": "{'sent': 3}"}, "submitted must be the result of an operator"),
    ],
)
def test_what_cannot_be_waited_for(options, words):
    with pytest.raises(MiraklConfigurationError, match=words):
        arguments(**options)


def poll(pages, **options):
    """What a poll finds in these pages."""
    from airflow_provider_mirakl.api.call import Page
    from airflow_provider_mirakl.api.steps import Blocking
    from airflow_provider_mirakl.sensors.connect_poll import catalog_matches

    steps = catalog_matches({}, **options)
    found = [Page([{"id": name} for name in page], None) for page in pages]
    try:
        step = next(steps)
        while True:
            step = steps.send(step.function() if isinstance(step, Blocking) else found.pop(0))
    except StopIteration as stop:
        return stop.value


@pytest.mark.parametrize(
    ("listed", "expect", "words"),
    [
        (["B"], "present", "This round: 1 of 3 products are present; still waiting for: A"),
        (["C", "B"], "absent", "This round: products are still listed; still waiting for: B"),
    ],
)
def test_a_round_says_what_it_found(listed, expect, words, caplog):
    with caplog.at_level("INFO"):
        assert poll([listed], product_ids=["A", "B", "C"], expect=expect) is None
    assert caplog.messages == [words]
    ids = ["A", "B", "C"] if expect == "present" else []
    assert poll([ids], product_ids=["A", "B", "C"], expect=expect) == {"succeeded": 3}
    assert len(caplog.messages) == 1


def test_a_round_over_a_plan_counts_by_code(tmp_path, caplog):
    from airflow_provider_mirakl.catalog.plan import plan_delete

    plan_delete(["A", "B"], tmp_path / "plan")
    with caplog.at_level("INFO"):
        assert poll([["B", "X"]], folder=str(tmp_path / "plan")) is None
    assert caplog.messages == ["This round: 1 deleted, 1 still_there; still waiting for: B"]
    assert poll([["X"]], folder=str(tmp_path / "plan")) == {"succeeded": 2}
