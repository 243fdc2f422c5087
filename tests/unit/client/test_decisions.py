"""What a client decides, driven by hand: no socket, no sleep, no client."""

from __future__ import annotations

import contextlib
import itertools
import re
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Call, Operation, Reply
from airflow_provider_mirakl.client.exchange import (
    NOT_RETRIED_SERVER_ERRORS,
    NeedToken,
    Parse,
    Send,
    Wait,
    backoff,
    exchange,
    may_retry,
    user_agent,
)
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.settings import ClientCredentials, Secret, Settings, api_key, djust_key
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
)

HOME = "https://shop.mirakl.net"
KEY = "the-key"


def operation(**fields: Any) -> Operation:
    return Operation(**{"code": "T1", "method": "GET", "path": "/api/x", "replay": True, **fields})


def reply(status: int = 200, body: bytes = b"{}", **headers: str) -> Reply:
    return Reply("T1", status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


class Hand:
    """Drives one exchange by hand: answers, errors and time come from the test."""

    def __init__(self, call: Call[Any], *, pacer: Pacer | None = None, now: float = 1000.0, **settings: Any):
        self.now = now
        self.effects: list[Any] = []
        self.pacer = pacer or Pacer()
        limit = settings.pop("max_wait", 120.0)
        self.steps = exchange(
            call,
            Settings(**{"base_url": HOME, "auth": api_key(KEY), **settings}),
            self.pacer,
            clock=lambda: self.now,
            max_wait=limit,
        )

    def run(self, *answers: Reply | MiraklError | Secret) -> Any:
        """Answer each Send and NeedToken in turn, serve each Wait."""
        supply = iter(answers)
        step = lambda: next(self.steps)  # noqa: E731
        while True:
            try:
                effect = step()
            except StopIteration as stop:
                assert next(supply, None) is None, "an answer was not asked for"
                return stop.value
            if isinstance(effect, Parse):
                effect.parse()
                step = lambda: self.steps.send(None)  # noqa: E731
                continue
            self.effects.append(effect)
            if isinstance(effect, Wait):
                self.now += effect.seconds
                step = lambda: self.steps.send(None)  # noqa: E731
                continue
            answer = next(supply)
            if isinstance(answer, MiraklError):
                step = lambda answer=answer: self.steps.throw(answer)  # noqa: E731
            else:
                step = lambda answer=answer: self.steps.send(answer)  # noqa: E731

    @property
    def sent(self) -> list[Any]:
        return [effect.request for effect in self.effects if isinstance(effect, Send)]

    @property
    def waited(self) -> list[float]:
        return [effect.seconds for effect in self.effects if isinstance(effect, Wait)]


def call(**fields: Any) -> Call[Any]:
    path = fields.pop("path", "")
    body = fields.pop("body", None)
    accept = fields.pop("accept", "application/json")
    return Call(operation(**fields), parse=Reply.json_object, path=path, body=body, accept=accept)


def broken(surely_not_sent: bool) -> MiraklTransportError:
    return MiraklTransportError("T1: broken", operation="T1", surely_not_sent=surely_not_sent)


# --- may it be sent again? ----------------------------------------------------------------------------------

TABLE = [
    # failure                                 replayed   not replayed
    (broken(surely_not_sent=True), True, True),
    (broken(surely_not_sent=False), True, False),
    (429, True, True),
    *((status, True, False) for status in (408, 500, 502, 503, 504, 520, 599)),
    *((status, False, False) for status in (400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 501, 505)),
]


@pytest.mark.parametrize(("failure", "replayed", "not_replayed"), TABLE, ids=lambda value: str(value)[:14])
def test_replay_table(failure: Any, replayed: bool, not_replayed: bool) -> None:
    """The table of docs/client.md, through the whole exchange: how often each kind of operation is sent."""
    for replay, again in ((True, replayed), (False, not_replayed)):
        first = failure if isinstance(failure, MiraklError) else reply(failure)
        hand = Hand(call(replay=replay, method="POST"))
        if again:
            assert hand.run(first, reply()) == {}
        else:
            with pytest.raises(MiraklError):
                hand.run(first)
        assert len(hand.sent) == 1 + again


def test_retries_end_after_max_attempts() -> None:
    for answer in (reply(503), reply(429), broken(True), broken(False)):
        hand = Hand(call(), max_attempts=3)
        with pytest.raises((MiraklServerError, MiraklRateLimitError, MiraklTransportError)):
            hand.run(answer, answer, answer)
        assert len(hand.sent) == 3


def test_pauses_grow_and_are_jittered() -> None:
    for attempt in range(1, 12):
        pauses = {backoff(attempt) for _ in range(20)}
        base = min(30.0, 0.5 * 2 ** (attempt - 1))
        assert all(base <= pause <= 1.5 * base for pause in pauses)
        assert len(pauses) > 1


def test_not_retried_server_errors_are_the_ones_that_say_never() -> None:
    error = MiraklServerError("", operation="T1", status=501)
    assert not may_retry(error, replay=True)
    assert frozenset({501, 505}) == NOT_RETRIED_SERVER_ERRORS


# --- Retry-After --------------------------------------------------------------------------------------------


def test_retry_after_is_waited_for() -> None:
    hand = Hand(call())
    hand.run(reply(429, retry_after="30"), reply())
    assert 30 <= sum(hand.waited) <= 31


def test_retry_after_shorter_than_the_interval_is_believed() -> None:
    """Somebody else of the account called: Mirakl knows the moment, we do not."""
    hand = Hand(call(interval=60))
    hand.run(reply(429, retry_after="5"), reply())
    assert 5 <= sum(hand.waited) < 6


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_beyond_max_wait_raises_with_the_moment(status: int) -> None:
    hand = Hand(call(), now=1000.0, max_wait=60)
    with pytest.raises((MiraklRateLimitError, MiraklServerError)) as caught:
        hand.run(reply(status, retry_after="300"))
    assert caught.value.retry_after == 300
    assert caught.value.retry_at is not None
    assert caught.value.retry_at.timestamp() == 1300
    assert len(hand.sent) == 1
    assert not hand.waited


def test_retry_after_of_exactly_max_wait_is_waited_for() -> None:
    for _ in range(50):
        hand = Hand(call(interval=1), max_wait=60)
        hand.run(reply(429, retry_after="60"), reply())
        assert len(hand.sent) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_the_waits_of_a_call_add_up_to_max_wait_at_most(status: int) -> None:
    """A worker is held for ``max_wait`` by a call, not by each of its requests."""
    hand = Hand(call(), now=1000.0, max_wait=120)
    with pytest.raises((MiraklRateLimitError, MiraklServerError)) as caught:
        hand.run(*[reply(status, retry_after="70")] * 2)
    assert len(hand.sent) == 2
    assert 70 <= sum(hand.waited) < 72
    assert caught.value.retry_at is not None
    assert caught.value.retry_at.timestamp() == pytest.approx(hand.now + 70)


def test_the_wait_for_a_turn_counts_too() -> None:
    pacer = Pacer()
    Hand(call(interval=100), pacer=pacer).run(reply())
    hand = Hand(call(interval=100), pacer=pacer, max_wait=120)
    with pytest.raises(MiraklRateLimitError, match="in 30 s"):
        hand.run(reply(429, retry_after="30"))
    assert hand.waited == [100]
    again = Hand(call(interval=100), pacer=pacer, max_wait=130)
    again.now = 1100.0
    again.run(reply(429, retry_after="30"), reply())
    assert len(again.sent) == 2


def test_short_waits_use_every_attempt() -> None:
    hand = Hand(call(), max_wait=120)
    hand.run(*[reply(429, retry_after="30")] * 3, reply())
    assert len(hand.sent) == 4


def test_retry_after_is_honoured_after_503() -> None:
    hand = Hand(call())
    hand.run(reply(503, retry_after="7"), reply())
    assert hand.waited == [7]


def test_silent_429_waits_one_interval() -> None:
    hand = Hand(call(interval=20))
    hand.run(reply(429), reply())
    assert 20 <= sum(hand.waited) < 21


def test_silent_429_beyond_max_wait_has_a_moment() -> None:
    hand = Hand(call(interval=20), now=1000.0, max_wait=5)
    with pytest.raises(MiraklRateLimitError) as caught:
        hand.run(reply(429))
    assert caught.value.retry_after is None
    assert caught.value.retry_at.timestamp() == 1020


@pytest.mark.parametrize("said", ["0", "-5", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_429_that_says_now_is_not_hammered(said: str) -> None:
    hand = Hand(call(), max_attempts=4)
    with pytest.raises(MiraklRateLimitError):
        hand.run(*[reply(429, retry_after=said)] * 4)
    assert len(hand.waited) >= 3
    assert sum(hand.waited) >= 0.5 + 1 + 2


def test_last_429_holds_the_others_too() -> None:
    pacer = Pacer()
    with pytest.raises(MiraklRateLimitError):
        Hand(call(), pacer=pacer, max_attempts=1).run(reply(429, retry_after="50"))
    with pytest.raises(MiraklNotYetError) as caught:
        Hand(call(), pacer=pacer, max_wait=10).run()
    assert caught.value.retry_at.timestamp() == pytest.approx(1050)


# --- turns --------------------------------------------------------------------------------------------------


def test_interval_runs_from_the_reply() -> None:
    pacer = Pacer()
    first = Hand(call(interval=60), pacer=pacer, now=1000)
    effect = next(first.steps)
    first.now = 1007  # the reply takes seven seconds
    parse = first.steps.send(reply())
    assert isinstance(parse, Parse)
    parse.parse()
    with pytest.raises(StopIteration):
        first.steps.send(None)
    assert isinstance(effect, Send)
    second = Hand(call(interval=60), pacer=pacer, now=1007)
    second.run(reply())
    assert second.waited == [60]


def test_interval_factor_stretches_and_shrinks() -> None:
    for factor, wait in ((2.0, 20.0), (0.5, 5.0)):
        pacer = Pacer()
        Hand(call(interval=10), pacer=pacer, interval_factor=factor).run(reply())
        hand = Hand(call(interval=10), pacer=pacer, interval_factor=factor)
        hand.run(reply())
        assert hand.waited == [wait]


UNUSED = [broken(surely_not_sent=True), reply(401), reply(429, retry_after="0.001")]
USED = [reply(), reply(400), reply(403), reply(404), reply(503), broken(surely_not_sent=False)]


@pytest.mark.parametrize(
    ("outcome", "used"), [*zip(UNUSED, itertools.repeat(False)), *zip(USED, itertools.repeat(True))]
)
def test_turn_is_given_back_when_mirakl_did_not_count_the_call(outcome: Any, used: bool) -> None:
    pacer = Pacer()
    first = Hand(call(interval=60), pacer=pacer, max_attempts=1)
    with contextlib.suppress(MiraklError):
        first.run(outcome)
    second = Hand(call(interval=60), pacer=pacer, now=1001)
    second.run(reply())
    assert bool(second.waited) is used


def test_turn_of_a_token_failure_is_given_back() -> None:
    pacer, auth = Pacer(), ClientCredentials("https://auth.example/token", "id", "secret")
    refusal = MiraklAuthenticationError("token: no", operation="token", status=401)
    for _ in range(3):
        hand = Hand(call(interval=60), pacer=pacer, auth=auth, max_wait=1)
        with pytest.raises(MiraklAuthenticationError):
            hand.run(refusal)
        assert not hand.waited


def test_retry_after_failed_token_is_left_to_the_token_call() -> None:
    """It has been tried four times already: sixteen would be too many."""
    auth = ClientCredentials("https://auth.example/token", "id", "secret")
    hand = Hand(call(), auth=auth)
    with pytest.raises(MiraklTransportError) as caught:
        hand.run(MiraklTransportError("token: broken", operation="token", surely_not_sent=False))
    assert caught.value.surely_not_sent, "the call itself never left"
    assert not hand.sent


def test_turn_given_up_while_waiting_is_given_back() -> None:
    pacer = Pacer()
    Hand(call(interval=60), pacer=pacer).run(reply())
    waiting = Hand(call(interval=60), pacer=pacer)
    assert isinstance(next(waiting.steps), Wait)
    waiting.steps.close()
    third = Hand(call(interval=60), pacer=pacer)
    third.run(reply())
    assert third.waited == [60]


def test_turn_given_up_while_sending_counts() -> None:
    pacer = Pacer()
    sending = Hand(call(interval=60), pacer=pacer)
    assert isinstance(next(sending.steps), Send)
    sending.steps.close()
    after = Hand(call(interval=60), pacer=pacer)
    after.run(reply())
    assert after.waited == [60]


def test_holder_of_a_turn_waits_on_when_others_are_told_to() -> None:
    """B sleeps until 1060; meanwhile A is told by Mirakl that nothing goes before 1100."""
    pacer = Pacer()
    first = Hand(call(interval=60), pacer=pacer, max_attempts=1)
    next(first.steps)
    second = Hand(call(interval=60), pacer=pacer)
    assert next(second.steps) == Wait(60)
    with pytest.raises(MiraklRateLimitError):
        first.steps.send(reply(429, retry_after="100"))
    second.now = 1060
    assert second.steps.send(None) == Wait(40)


@pytest.mark.parametrize("jump", [-3600.0, 0.0])
def test_a_clock_that_is_set_back_or_stands_during_a_wait_makes_no_second_one(jump: float) -> None:
    hand = Hand(call(), max_wait=120)
    next(hand.steps)
    assert isinstance(hand.steps.send(reply(429, retry_after="60")), Wait)
    hand.now += jump
    assert isinstance(hand.steps.send(None), Send)


def test_not_yet_says_when_and_nothing_is_sent() -> None:
    pacer = Pacer()
    Hand(call(interval=60), pacer=pacer).run(reply())
    hand = Hand(call(interval=60), pacer=pacer, max_wait=10)
    with pytest.raises(MiraklNotYetError) as caught:
        hand.run()
    assert not hand.effects
    assert caught.value.retry_at.timestamp() == 1060


def test_paced_by_parts_shops() -> None:
    pacer = Pacer()
    for shop in ("1", "2"):
        hand = Hand(Call(operation(interval=60), parse=Reply.json_object, paced_by=shop), pacer=pacer)
        hand.run(reply())
        assert not hand.waited


# --- credentials, addresses, redirects ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("", f"{HOME}/api/x"),
        ("/api/y", f"{HOME}/api/y"),
        ("api/y", f"{HOME}/api/y"),
        ("//evil.example/y", f"{HOME}/evil.example/y"),
        ("@evil.example/y", f"{HOME}/@evil.example/y"),
        (".evil.example/y", f"{HOME}/.evil.example/y"),
        (":8443/y", f"{HOME}/:8443/y"),
        ("/api/y?next=https://evil.example", f"{HOME}/api/y?next=https://evil.example"),
    ],
)
def test_a_path_stays_behind_the_host(path: str, url: str) -> None:
    hand = Hand(call(path=path))
    hand.run(reply())
    assert hand.sent[0].url == url
    assert hand.sent[0].headers["Authorization"] == KEY


@pytest.mark.parametrize(
    ("link", "with_key"),
    [
        (f"{HOME}/api/file/1", True),
        ("https://SHOP.mirakl.net:443/api/file/1", True),
        ("https://files.example/1?signature=abc", False),
        ("https://shop.mirakl.net:8443/1", False),
        ("https://shop.mirakl.net.evil.example/1", False),
        ("https://shop.mirakl.net@evil.example/1", False),
    ],
)
def test_a_link_gets_the_key_only_at_home(link: str, with_key: bool) -> None:
    hand = Hand(call(path=link))
    hand.run(reply())
    assert hand.sent[0].url == link
    assert ("Authorization" in hand.sent[0].headers) is with_key


def test_a_link_elsewhere_costs_no_token() -> None:
    auth = ClientCredentials("https://auth.example/token", "id", "secret")
    hand = Hand(call(path="https://files.example/1"), auth=auth)
    hand.run(reply())
    assert not any(isinstance(effect, NeedToken) for effect in hand.effects)


@pytest.mark.parametrize(
    "link", ["http://shop.mirakl.net/1", "http://files.example/1", "ftp://files.example/1", "file:///etc/passwd",
             "https://[::1", "https://host:99999999/"]
)  # fmt: skip
def test_a_bad_link_is_refused_before_anything_is_sent(link: str) -> None:
    hand = Hand(call(path=link))
    with pytest.raises(MiraklReplyError):
        hand.run()
    assert not hand.sent


def redirect(location: str, status: int = 302) -> Reply:
    return reply(status, location=location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/api/elsewhere", "elsewhere", f"{HOME}/api/elsewhere"])
def test_a_read_follows_a_redirect_at_home(status: int, location: str) -> None:
    hand = Hand(call())
    hand.run(redirect(location, status), reply())
    assert hand.sent[1].url == f"{HOME}/api/elsewhere"
    assert hand.sent[1].headers["Authorization"] == KEY


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_write_never_follows(method: str) -> None:
    hand = Hand(call(method=method))
    with pytest.raises(MiraklReplyError, match=r"redirects to https://shop\.mirakl\.net"):
        hand.run(redirect("/api/elsewhere"))
    assert len(hand.sent) == 1


@pytest.mark.parametrize(
    "location",
    ["https://evil.example/x", "//evil.example/x", "https://user:pass@evil.example/x", "http://shop.mirakl.net/api/x",
     "https://shop.mirakl.net:444/", "https://[bad", "javascript:alert(1)"],
)  # fmt: skip
def test_a_read_does_not_leave_home(location: str) -> None:
    hand = Hand(call())
    with pytest.raises(MiraklReplyError) as caught:
        hand.run(redirect(location))
    assert len(hand.sent) == 1
    assert "pass" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("/api/elsewhere", "https://shop.mirakl.net"),
        ("https://other.example:443/x", "https://other.example"),
        ("https://other.example:8443/x", "https://other.example:8443"),
    ],
)
def test_a_redirect_that_is_not_followed_names_the_address_to_enter(location: str, address: str) -> None:
    with pytest.raises(MiraklReplyError, match=f"redirects to {re.escape(address)}; use that") as caught:
        Hand(call(method="POST")).run(redirect(location, 307))
    assert caught.value.status == 307


def test_a_link_follows_to_another_host_without_the_key() -> None:
    hand = Hand(call(path=f"{HOME}/api/file/1"))
    hand.run(redirect("https://files.example/1?sig=x"), redirect(f"{HOME}/back"), reply())
    assert [("Authorization" in request.headers) for request in hand.sent] == [True, False, True]


def test_redirects_in_a_circle_end() -> None:
    hand = Hand(call())
    with pytest.raises(MiraklReplyError, match="more than 5 redirects"):
        hand.run(*[redirect("/api/x")] * 6)


def test_a_redirect_without_location_is_an_error() -> None:
    with pytest.raises(MiraklBadRequestError, match="302"):
        Hand(call()).run(reply(302))


# --- tokens -------------------------------------------------------------------------------------------------


def test_401_renews_the_token_once() -> None:
    auth = ClientCredentials("https://auth.example/token", "id", "secret")
    hand = Hand(call(), auth=auth)
    hand.run(Secret("old"), reply(401), Secret("new"), reply())
    assert [request.headers["Authorization"] for request in hand.sent] == ["Bearer old", "Bearer new"]
    needs = [effect.refused for effect in hand.effects if isinstance(effect, NeedToken)]
    assert needs == [None, "old"]


def test_a_second_401_is_raised() -> None:
    auth = ClientCredentials("https://auth.example/token", "id", "secret")
    hand = Hand(call(), auth=auth)
    with pytest.raises(MiraklAuthenticationError):
        hand.run(Secret("old"), reply(401), Secret("new"), reply(401))
    assert len(hand.sent) == 2


def test_401_with_a_key_is_raised_at_once() -> None:
    hand = Hand(call())
    with pytest.raises(MiraklAuthenticationError):
        hand.run(reply(401))
    assert len(hand.sent) == 1


def test_unauthenticated_operations_send_no_key() -> None:
    hand = Hand(call(authenticated=False))
    hand.run(reply())
    assert "Authorization" not in hand.sent[0].headers


def test_djust_headers() -> None:
    hand = Hand(call(), auth=djust_key("k"))
    hand.run(reply())
    assert hand.sent[0].headers["dj-client"] == "OPERATOR"
    assert hand.sent[0].headers["dj-api-key"] == "k"


# --- replies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
def test_a_web_page_is_no_data(content_type: str) -> None:
    with pytest.raises(MiraklReplyError, match="web page"):
        Hand(call()).run(Reply("T1", 200, {"content-type": content_type}, b"<html>Please sign in</html>"))


def test_a_file_of_any_type_may_be_a_web_page() -> None:
    """A document of a shop; a login page has no file name."""
    page = {"content-type": "text/html"}
    assert (
        Hand(call(accept="*/*")).run(Reply("T1", 200, {**page, "content-disposition": "attachment"}, b"{}"))
        == {}
    )
    with pytest.raises(MiraklReplyError, match="web page"):
        Hand(call(accept="*/*")).run(Reply("T1", 200, page, b"{}"))


def test_user_agent_has_versions_and_is_fit_for_a_header() -> None:
    from airflow_provider_mirakl import __version__

    words = user_agent(Settings(base_url=HOME, auth=api_key("k"), user_agent="airflow/3.3.2\r\nX: é"))
    assert words.startswith(f"airflow-provider-mirakl/{__version__} python/3.")
    assert words.endswith(" airflow/3.3.2 X:")
