"""When a waiting looks, what it bears, when it gives up: driven by a clock of its own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mirakl.api.steps import Sleep, drive
from airflow_provider_mirakl.exceptions import (
    MiraklNotYetError,
    MiraklPermissionError,
    MiraklServerError,
    MiraklTransportError,
)
from airflow_provider_mirakl.jobs.waiting import Schedule, Tolerance, waiting


class Scene:
    """A clock, and answers by turns: an error is raised, anything else is what the look finds."""

    def __init__(self, *answers, now=1000.0):
        self.now = now
        self.answers = list(answers)
        self.looks = []

    def clock(self):
        return self.now

    def poll(self):
        return (yield "ask")

    def perform(self, step):
        if isinstance(step, Sleep):
            assert step.seconds > 0
            self.now += step.seconds
            return None
        self.looks.append(self.now)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, schedule, limit=5):
        return drive(waiting(self.poll, schedule, Tolerance(limit), notes={}, clock=self.clock), self.perform)


def broken():
    return MiraklServerError("503", operation="P42", status=503)


def test_looks_keep_the_beat_and_end_with_what_is_found():
    scene = Scene(None, None, {"x": 1})
    assert scene.run(Schedule(1060, 60, 9999)) == {"x": 1}
    assert scene.looks == [1060, 1120, 1180]


def test_a_poll_is_not_a_second_early():
    scene = Scene(None, {"x": 1})
    scene.run(Schedule(1000.75, 0.5, 9999))
    assert scene.looks == [1000.75, 1001.25]


def test_the_last_look_is_at_the_deadline_and_not_after():
    scene = Scene()
    assert scene.run(Schedule(1060, 60, 1150)) is None
    assert scene.looks == [1060, 1120, 1150]


def test_a_deadline_that_passed_still_allows_one_look():
    scene = Scene()
    assert scene.run(Schedule(1060, 60, 500)) is None
    assert scene.looks == [1000]


def test_a_triggerer_that_comes_late_keeps_the_beat_of_each_task():
    scene = Scene(None, {"x": 1}, now=1234.0)
    scene.run(Schedule(1007, 60, 9999))
    assert scene.looks == [1247, 1307]


def test_failures_are_borne_up_to_the_limit_and_a_good_look_sets_them_back():
    scene = Scene(broken(), broken(), None, broken(), broken(), {"x": 1})
    assert scene.run(Schedule(1000, 60, 9999), limit=2) == {"x": 1}


def test_one_failure_too_many_is_raised():
    scene = Scene(broken(), MiraklTransportError("x", operation="P42", surely_not_sent=False), broken())
    with pytest.raises(MiraklServerError):
        scene.run(Schedule(1000, 60, 9999), limit=2)
    assert len(scene.looks) == 3


def test_a_refusal_is_raised_at_once():
    scene = Scene(MiraklPermissionError("403", operation="P42", status=403))
    with pytest.raises(MiraklPermissionError):
        scene.run(Schedule(1000, 60, 9999))
    assert len(scene.looks) == 1


def test_a_429_is_a_wait_and_no_failure():
    told = MiraklNotYetError("not yet", operation="P42", retry_at=datetime.fromtimestamp(1300, UTC))
    scene = Scene(told, told, {"x": 1})
    scene.run(Schedule(1000, 60, 9999), limit=0)
    assert scene.looks[0] == 1000
    assert scene.looks[1] == 1300


def test_a_poll_of_several_calls_begins_anew_when_one_of_them_fails():
    scene, asked = Scene(1, broken(), 2, 3), []

    def poll():
        asked.append(scene.now)
        first = yield "one"
        second = yield "two"
        return {"both": first + second}

    steps = waiting(poll, Schedule(1000, 60, 9999), Tolerance(1), notes={}, clock=scene.clock)
    assert drive(steps, scene.perform) == {"both": 5}
    assert asked == [1000, 1060]


def not_yet():
    return MiraklNotYetError("not yet", operation="P42", retry_at=datetime.fromtimestamp(1000, UTC))


def pages(*answers, limit):
    """A poll that reads two pages, and notes each."""
    scene, notes = Scene(*answers), {"pages": []}

    def poll():
        while len(notes["pages"]) < 2:
            notes["pages"].append((yield "page"))
        return notes

    steps = waiting(poll, Schedule(1000, 60, 9999), Tolerance(limit), notes=notes, clock=scene.clock)
    return drive(steps, scene.perform)


@pytest.mark.parametrize("end_of_poll", [(), (not_yet(),)], ids=["goes on", "must leave the worker"])
def test_failures_with_progress_between_them_are_not_in_a_row(end_of_poll):
    assert pages(broken(), 1, *end_of_poll, broken(), 2, limit=1) == {"pages": [1, 2]}


def test_progress_does_not_excuse_the_failures_after_it():
    with pytest.raises(MiraklServerError):
        pages(broken(), 1, broken(), not_yet(), broken(), 2, limit=1)


@given(
    first=st.floats(0, 1e5),
    interval=st.floats(0.1, 1e4),
    deadline=st.floats(0, 1e6),
    now=st.floats(0, 1e6),
)
def test_the_next_look_is_never_past_and_never_after_the_deadline(first, interval, deadline, now):
    moment = Schedule(first, interval, deadline).next(now)
    assert moment <= deadline
    assert moment >= min(now, deadline)
    assert moment - max(now, first) <= interval * 1.001


def test_a_clock_that_is_set_back_does_not_stop_the_polling(monkeypatch):
    """NTP sets the clock back an hour during a wait: polls go on at their interval."""
    from types import SimpleNamespace

    from airflow_provider_mirakl.api import clock

    times = SimpleNamespace(wall=10_000.0, monotonic=500.0)
    monkeypatch.setattr(
        clock, "time", SimpleNamespace(time=lambda: times.wall, monotonic=lambda: times.monotonic)
    )
    polled, answers = [], [None, None, {"x": 1}]

    def perform(step):
        if isinstance(step, Sleep):
            times.wall += step.seconds
            times.monotonic += step.seconds
            return None
        polled.append(times.monotonic)
        if len(polled) == 1:
            times.wall -= 3600
        return answers.pop(0)

    def poll():
        return (yield "ask")

    assert drive(waiting(poll, Schedule(10_060, 60, 99_999), Tolerance(0), notes={}), perform) == {"x": 1}
    assert polled == [560, 620, 680]


def test_an_undocumented_state_is_reported_with_every_poll(caplog):
    from airflow_provider_mirakl.jobs.polls import jobs_ended

    notes = {}
    for _ in range(2):
        steps = jobs_ended(notes, kind="product_import", job_ids=[7])
        assert drive(steps, lambda step: {"import_id": 7, "import_status": "ARRIVING"}) is None
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert all("7 is in state 'ARRIVING', which Mirakl does not document" in line for line in said)
