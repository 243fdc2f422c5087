"""Whatever happens to calls, none comes too early and none is sent twice that must not be. A simulated Mirakl."""

from __future__ import annotations

import contextlib
import heapq
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mirakl.api.call import Call, Operation, Reply
from airflow_provider_mirakl.client.exchange import Parse, Send, Wait, exchange
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.settings import Settings, api_key
from airflow_provider_mirakl.exceptions import MiraklError, MiraklTransportError

INTERVAL = 60.0
SETTINGS = Settings(base_url="https://shop.mirakl.net", auth=api_key("the-key"))


@dataclass
class Mirakl:
    """Counts a call when it arrives and refuses one that comes too early."""

    counted: list[float] = field(default_factory=list)
    carried_out: int = 0
    too_early: int = 0

    def arrive(self, now: float, outcome: str) -> Reply | MiraklTransportError:
        if outcome == "not sent":
            return MiraklTransportError("", operation="T1", surely_not_sent=True)
        if outcome == "lost on the way":
            return MiraklTransportError("", operation="T1", surely_not_sent=False)
        if outcome == "401":
            return Reply("T1", 401, {})
        if self.counted and now < self.counted[-1] + INTERVAL - 0.001:
            self.too_early += 1
            return Reply("T1", 429, {"retry-after": str(self.counted[-1] + INTERVAL - now)})
        self.counted.append(now)
        if outcome == "503":
            return Reply("T1", 503, {})
        self.carried_out += 1
        if outcome == "reply lost":
            return MiraklTransportError("", operation="T1", surely_not_sent=False)
        return Reply("T1", 200, {}, b"{}")


OUTCOMES = st.sampled_from(["ok", "ok", "ok", "not sent", "lost on the way", "401", "503", "reply lost"])


def run(
    calls: list[list[tuple[str, float, float]]], gaps: list[float], replay: bool
) -> tuple[Mirakl, list[int]]:
    """Interleave calls in simulated time; gives the server and how often each call was carried out there.

    Each call has a row of (outcome, seconds on the way, seconds back), the last of which repeats.
    """
    server, pacer, now = Mirakl(), Pacer(), [1_000_000.0]
    call = Call(Operation("T1", "POST", "/x", replay=replay, interval=INTERVAL), parse=Reply.json_object)
    agenda: list[tuple[float, int, int, Any, Any]] = []
    carried_out, order = [0] * len(calls), 0

    def later(seconds: float, place: int, steps: Any, answer: Any) -> None:
        nonlocal order
        order += 1
        heapq.heappush(agenda, (now[0] + seconds, order, place, steps, answer))

    start = 0.0
    for place, gap in zip(range(len(calls)), gaps, strict=False):
        start += gap
        later(start, place, exchange(call, SETTINGS, pacer, clock=lambda: now[0], max_wait=1e6), None)
    while agenda:
        now[0], _, place, steps, answer = heapq.heappop(agenda)
        if isinstance(answer, Send):  # it arrives
            outcome, _, back = calls[place].pop(0) if len(calls[place]) > 1 else calls[place][0]
            before = server.carried_out
            answer = server.arrive(now[0], outcome)
            carried_out[place] += server.carried_out - before
            later(back, place, steps, answer)
            continue
        with contextlib.suppress(StopIteration, MiraklError):
            effect = steps.throw(answer) if isinstance(answer, MiraklError) else steps.send(answer)
            if isinstance(effect, Parse):
                effect.parse()
                later(0, place, steps, None)
            elif isinstance(effect, Wait):
                later(effect.seconds, place, steps, None)
            else:
                later(calls[place][0][1], place, steps, effect)
    return server, carried_out


ROWS = st.lists(
    st.lists(st.tuples(OUTCOMES, st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=5),
    min_size=1,
    max_size=6,
)


@settings(max_examples=100)
@given(ROWS, st.lists(st.floats(0, 100), min_size=6, max_size=6))
def test_nothing_comes_too_early_that_was_told_in_time(calls: Any, gaps: list[float]) -> None:
    """Callers of one process, at once or one after the other, on a way that takes up to five seconds.

    Two may collide only where the reply to the first is still under way when the second leaves: here it never is.
    What is lost on the way is not counted by Mirakl, but by the client, which cannot know.
    """
    server, _ = run(calls, gaps, replay=True)
    assert server.too_early == 0
    assert all(b - a >= INTERVAL - 0.001 for a, b in zip(server.counted, server.counted[1:], strict=False))


@settings(max_examples=100)
@given(ROWS, st.lists(st.floats(0, 100), min_size=6, max_size=6))
def test_what_is_not_replayed_is_carried_out_once_at_most(calls: Any, gaps: list[float]) -> None:
    _, carried_out = run(calls, gaps, replay=False)
    assert all(times <= 1 for times in carried_out)
