"""The queue of published intervals."""

from __future__ import annotations

import os
import threading

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mirakl.client.pacing import MAX_LINES, Pacer

KEY = ("account", "P41", "")


def take(pacer: Pacer, now: float = 0.0, *, interval: float = 60.0, max_wait: float = 1e9) -> float:
    return pacer.take_turn(KEY, interval=interval, now=now, max_wait=max_wait)


def test_turns_are_one_interval_apart() -> None:
    pacer = Pacer()
    assert [take(pacer) for _ in range(4)] == [0, 60, 120, 180]


def test_a_turn_too_far_away_is_not_taken() -> None:
    pacer = Pacer()
    assert take(pacer) == 0
    assert take(pacer, max_wait=10) == 60
    assert take(pacer) == 60


def test_a_turn_exactly_as_far_away_as_accepted_is_taken() -> None:
    pacer = Pacer()
    assert take(pacer) == 0
    assert take(pacer, max_wait=60) == 60
    assert take(pacer) == 120


def test_asking_when_the_next_turn_is_takes_none() -> None:
    pacer = Pacer()
    assert pacer.wait(KEY, now=0) == 0
    take(pacer)
    assert [pacer.wait(KEY, now=1), pacer.wait(KEY, now=1)] == [59, 59]
    pacer.hold(KEY, until=90, now=1)
    assert pacer.wait(KEY, now=1) == 89
    assert pacer.wait(KEY, now=100) == 0


def test_keys_do_not_know_each_other() -> None:
    pacer = Pacer()
    assert take(pacer) == 0
    assert pacer.take_turn(("other", "P41", ""), interval=60, now=0, max_wait=0) == 0
    assert pacer.take_turn(("account", "P42", ""), interval=60, now=0, max_wait=0) == 0
    assert pacer.take_turn(("account", "P41", "shop 7"), interval=60, now=0, max_wait=0) == 0


def test_a_turn_given_back_is_free_again() -> None:
    pacer = Pacer()
    take(pacer)
    pacer.give_back(KEY, interval=60, moment=0, now=1)
    assert take(pacer, 1) == 0


def test_a_turn_given_back_does_not_disturb_those_behind() -> None:
    pacer = Pacer()
    assert take(pacer) == 0
    assert take(pacer) == 60  # another caller sleeps until then
    pacer.give_back(KEY, interval=60, moment=0, now=1)
    assert [1 + take(pacer, 1), 1 + take(pacer, 1)] == [120, 180]


def leave(pacer: Pacer, now: float, *, interval: float = 60.0) -> float:
    return pacer.leave(KEY, interval=interval, now=now)


def test_a_reply_holds_even_those_who_have_a_turn() -> None:
    pacer = Pacer()
    take(pacer)
    assert take(pacer) == 60
    pacer.hold(KEY, until=67, now=7)
    assert leave(pacer, 60) == 7


def test_of_two_at_one_moment_one_leaves() -> None:
    pacer = Pacer()
    assert [leave(pacer, 0), leave(pacer, 0)] == [0, 60]


def test_who_comes_back_makes_room_unless_mirakl_has_spoken() -> None:
    pacer = Pacer()
    leave(pacer, 0)
    pacer.come_back(KEY, interval=60, left_at=0, now=1)
    assert leave(pacer, 1) == 0
    pacer.hold(KEY, until=90, now=2)
    pacer.come_back(KEY, interval=60, left_at=1, now=2)
    assert leave(pacer, 2) == 88


def test_mirakls_word_may_be_earlier_than_ours() -> None:
    pacer = Pacer()
    pacer.hold(KEY, until=60, now=0)
    pacer.refused(KEY, until=5, now=0)
    assert leave(pacer, 0) == 5


def test_a_hold_does_not_shorten_another() -> None:
    pacer = Pacer()
    pacer.hold(KEY, until=60, now=0)
    pacer.hold(KEY, until=5, now=0)
    assert leave(pacer, 0) == 60


@given(
    back=st.floats(2, 1e9, allow_nan=False),
    interval=st.floats(1, 86_400),
    passed=st.floats(0, 86_400),
)
def test_a_clock_set_back_never_makes_a_wait_longer(back: float, interval: float, passed: float) -> None:
    pacer, start = Pacer(), 2e9
    pacer.take_turn(KEY, interval=interval, now=start, max_wait=0)
    pacer.hold(KEY, until=start + interval, now=start)
    expected = max(0.0, interval - passed)
    assert abs(pacer.take_turn(KEY, interval=interval, now=start + passed, max_wait=-1) - expected) < 1e-3
    after = pacer.take_turn(KEY, interval=interval, now=start + passed - back, max_wait=-1)
    assert after <= expected + 1e-3


def test_threads_get_turns_of_their_own() -> None:
    pacer, waits, barrier = Pacer(), [], threading.Barrier(20)

    def work() -> None:
        barrier.wait()
        waits.append(take(pacer))

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [60.0 * place for place in range(20)]


def test_what_is_long_over_is_forgotten() -> None:
    pacer = Pacer()
    for number in range(MAX_LINES):
        pacer.take_turn(("a", "P42", str(number)), interval=1, now=0, max_wait=0)
    pacer.take_turn(("a", "P42", "one more"), interval=1, now=100, max_wait=0)
    assert len(pacer._lines) == 1


def test_a_forked_child_is_not_stuck_behind_a_lock_of_its_parent() -> None:
    from airflow_provider_mirakl.client.pacing import PACER
    from airflow_provider_mirakl.client.tokens import TOKENS

    with PACER._lock, TOKENS._lock:
        pid = os.fork()
        if pid == 0:
            free = PACER._lock.acquire(blocking=False) and TOKENS._lock.acquire(blocking=False)
            os._exit(0 if free else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
