"""What the paced loop decides, step by step, with a clock of its own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Call, Operation, nothing
from airflow_provider_mirakl.api.steps import Blocking, Send, Sleep, Turn, drive
from airflow_provider_mirakl.catalog import loop as loop_module
from airflow_provider_mirakl.catalog.loop import CallLimits, Pace, make_calls
from airflow_provider_mirakl.exceptions import (
    TOKEN,
    MiraklBadRequestError,
    MiraklError,
    MiraklNotYetError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklStorageError,
    MiraklTransportError,
)

OPERATION = Operation("upsertProducts", "POST", "/api/products", replay=True, interval=60)


class Scene:
    """A piece of work of some calls, a clock, and the answers of Mirakl and of the storage by turns."""

    not_before: datetime | None = None

    def __init__(self, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = calls
        self.now = 1_000_000.0
        self.answers: list[MiraklError | None] = []
        self.storage: dict[str, list[Exception]] = {}
        self.moved = False
        self.sent: list[float] = []
        self.done: list[str] = []
        self.last_call_at: datetime | None = None
        monkeypatch.setattr(loop_module.time, "time", lambda: self.now)

    @property
    def operation(self) -> Operation | None:
        return OPERATION if self.left else None

    @property
    def is_current(self) -> bool:
        self._touch("is_current")
        return not self.moved

    def next_call(self) -> Call[None]:
        self._touch("next_call")
        return Call(OPERATION, parse=nothing)

    def intend(self) -> None:
        self._touch("intend")

    def withdraw(self) -> None:
        self._touch("withdraw")

    def accept(self, result: object, at: datetime) -> None:
        self._touch("accept")
        self.left -= 1
        self.last_call_at = datetime.fromtimestamp(self.now, UTC)

    def describe(self, interval: float) -> str:
        return f"{self.left} left"

    def _touch(self, name: str) -> None:
        if self.storage.get(name):
            raise self.storage[name].pop(0)
        self.done.append(name)

    def perform(self, step: Any) -> object:
        match step:
            case Sleep():
                assert step.seconds > 0
                self.now += step.seconds
            case Blocking():
                return step.function()
            case Turn():
                self.done.append("turn")
            case Send():
                self.sent.append(self.now - 1_000_000)
                answer = self.answers.pop(0) if self.answers else None
                if answer is not None:
                    raise answer
                self.done.append("send")
        return None

    def run(self, pace: Pace | None = None, **limits: Any) -> Pace:
        pace = pace or Pace()
        chosen = CallLimits(**{"interval_factor": 1.0, "max_failures": 5, "refused_timeout": 3600.0} | limits)
        opened: Callable[[], Any] = lambda: self if self.left else None  # noqa: E731
        log = logging.getLogger(__name__)
        drive(make_calls(opened, pace, chosen, log, clock=lambda: self.now), self.perform)
        return pace


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Scene]:
    return lambda calls: Scene(calls, monkeypatch)


def refused(scene: Scene, seconds: float) -> MiraklRateLimitError:
    at = datetime.fromtimestamp(scene.now + seconds, UTC)
    return MiraklRateLimitError(
        "429", operation="upsertProducts", status=429, retry_after=seconds, retry_at=at
    )


def broken() -> MiraklServerError:
    return MiraklServerError("503", operation="upsertProducts", status=503)


def test_calls_are_an_interval_apart(scene: Callable[[int], Scene]) -> None:
    one = scene(3)
    one.run()
    assert one.sent == [0, 60, 120]


def test_the_published_interval_is_stretched(scene: Callable[[int], Scene]) -> None:
    one, other = scene(3), scene(3)
    one.run(interval_factor=1.5)
    assert one.sent == [0, 90, 180]
    other.run(interval_factor=0.01)
    assert other.sent == pytest.approx([0, 0.6, 1.2])


def test_each_call_is_read_only_in_its_turn_and_noted_before_and_after(scene: Callable[[int], Scene]) -> None:
    one = scene(1)
    one.run()
    assert one.done == ["turn", "is_current", "next_call", "intend", "send", "accept"]


@pytest.mark.parametrize(
    ("error", "withdrawn"),
    [
        (
            MiraklRateLimitError("429", operation="x", status=429, retry_at=datetime(2026, 1, 1, tzinfo=UTC)),
            True,
        ),
        (MiraklNotYetError("", operation="x", retry_at=datetime(2026, 1, 1, tzinfo=UTC)), True),
        (MiraklPermissionError("403", operation="x", status=403), True),
        (MiraklBadRequestError("408", operation="x", status=408), False),
        (MiraklServerError("503", operation="x", status=503), False),
        (MiraklServerError("503", operation=TOKEN, status=503), True),
        (MiraklTransportError("reset", operation="x", surely_not_sent=False), False),
        (MiraklTransportError("no connection", operation="x", surely_not_sent=True), True),
        (MiraklReplyError("302", operation="x", status=302), True),
        (MiraklReplyError("HTML", operation="x", status=200), False),
    ],
    ids=str,
)
def test_an_intent_is_withdrawn_only_if_the_call_was_certainly_not_carried_out(
    scene: Callable[[int], Scene], error: MiraklError, withdrawn: bool
) -> None:
    one = scene(1)
    one.answers = [error]
    with contextlib.suppress(type(error)):
        one.run(max_failures=0, refused_timeout=0)
    assert ("withdraw" in one.done) is withdrawn


def test_a_429_waits_as_long_as_it_says_and_is_no_failure(scene: Callable[[int], Scene]) -> None:
    one = scene(2)
    one.answers = [refused(one, 40)]
    pace = one.run(max_failures=0)
    assert one.sent == [0, 40, 100]
    assert pace.refused_since is None


def test_a_429_that_never_ends_has_an_end_that_the_log_names(
    scene: Callable[[int], Scene], caplog: pytest.LogCaptureFixture
) -> None:
    one = scene(1)

    class Always(list[Any]):
        def __bool__(self) -> bool:
            return True

        def pop(self, index: Any = 0) -> MiraklError:
            return refused(one, 60)

    one.answers = Always()
    caplog.set_level("INFO")
    with pytest.raises(MiraklRateLimitError):
        one.run(refused_timeout=300)
    assert one.sent == [0, 60, 120, 180, 240, 300]
    assert "refused_timeout=300 s" in caplog.records[0].getMessage()


def test_failures_pause_longer_and_longer_and_end_at_the_limit(scene: Callable[[int], Scene]) -> None:
    one = scene(1)
    one.answers = [broken() for _ in range(8)]
    with pytest.raises(MiraklServerError):
        one.run(max_failures=7)
    assert one.sent == [0, 60, 120, 180, 240, 300, 364, 492]


def test_what_does_not_pass_ends_at_once(scene: Callable[[int], Scene]) -> None:
    one = scene(1)
    one.answers = [MiraklPermissionError("403", operation="upsertProducts", status=403)]
    with pytest.raises(MiraklPermissionError):
        one.run()
    assert one.sent == [0]


def test_an_object_store_that_is_down_for_a_minute_repeats_no_call(scene: Callable[[int], Scene]) -> None:
    one = scene(2)
    one.storage["accept"] = [OSError("503 Slow Down") for _ in range(5)]
    one.run()
    assert len(one.sent) == 2
    assert one.done.count("send") == one.done.count("accept") == 2


@pytest.mark.parametrize("place", ["is_current", "next_call", "intend"])
def test_what_cannot_be_noted_is_not_sent(scene: Callable[[int], Scene], place: str) -> None:
    one = scene(1)
    one.storage[place] = [OSError(28, "No space left on device") for _ in range(9)]
    with pytest.raises(MiraklStorageError, match="No space left"):
        one.run()
    assert one.sent == []


def test_a_plan_that_is_gone_is_not_waited_for(scene: Callable[[int], Scene]) -> None:
    one = scene(1)
    one.storage["next_call"] = [FileNotFoundError("plan.json")]
    with pytest.raises(FileNotFoundError):
        one.run()
    assert one.now == 1_000_000


def test_work_with_which_another_process_went_on_is_opened_again(scene: Callable[[int], Scene]) -> None:
    one = scene(3)
    one.moved = True
    opened = []

    def reopen() -> Any:
        opened.append(one.left)
        if len(opened) == 2:
            one.moved, one.left = False, 1
        return one if one.left else None

    limits = CallLimits(1.0, 5, 3600)
    log = logging.getLogger(__name__)
    drive(make_calls(reopen, Pace(), limits, log, clock=lambda: one.now), one.perform)
    assert opened == [3, 3, 0]
    assert len(one.sent) == 1


def test_a_clock_set_back_does_not_hold_the_next_call_up(scene: Callable[[int], Scene]) -> None:
    one = scene(1)
    one.last_call_at = datetime.fromtimestamp(one.now + 7200, UTC)
    one.run()
    assert one.sent == [60]
