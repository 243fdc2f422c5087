"""Tokens: fetched once however many ask, renewed early, never shown."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from urllib.parse import parse_qsl

import pytest

from airflow_provider_mirakl.api.call import Call, Operation, Reply
from airflow_provider_mirakl.client.http import AsyncClient, Client
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.settings import ClientCredentials, Secret, Settings, api_key
from airflow_provider_mirakl.client.tokens import DEFAULT_LIFETIME, Flight, Token, TokenStore, fetch_token
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklConfigurationError,
    MiraklError,
    MiraklReplyError,
    MiraklServerError,
)

CREDENTIALS = ClientCredentials("https://auth.example/oauth/token", "the-id", "the-s3cret")
READ = Operation("T01", "GET", "/api/things", replay=True)


def parse(body: bytes) -> Token:
    return fetch_token(CREDENTIALS).parse(Reply("token", 200, {}, body))


def test_the_call() -> None:
    call = fetch_token(CREDENTIALS)
    assert call.target == CREDENTIALS.token_url
    assert call.content_type == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(call.body.decode())) == {
        "grant_type": "client_credentials",
        "client_id": "the-id",
        "client_secret": "the-s3cret",
    }
    assert "s3cret" not in repr(call)


def test_audience_only_when_set() -> None:
    call = fetch_token(ClientCredentials("https://a/t", "i", "s", audience="42"))
    assert dict(parse_qsl(call.body.decode()))["audience"] == "42"


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (b"3599", 3599), (b'"120"', 120), (b"0.5", 0.5), (b"null", DEFAULT_LIFETIME), (b'"soon"', DEFAULT_LIFETIME),
        (b"0", DEFAULT_LIFETIME), (b"-1", DEFAULT_LIFETIME), (b'"nan"', DEFAULT_LIFETIME), (b"[]", DEFAULT_LIFETIME),
        (b'"inf"', DEFAULT_LIFETIME), (b"NaN", DEFAULT_LIFETIME), (b"1" + b"0" * 400, DEFAULT_LIFETIME),
    ],
)  # fmt: skip
def test_lifetime(expires_in: bytes, lifetime: float) -> None:
    assert parse(b'{"access_token":"t","expires_in":%s}' % expires_in).lifetime == lifetime


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b"<html>", b'{"access_token":""}', b'{"access_token":null}', b'{"access_token":7}',
        b'{"access_token":"a\\nb"}', b'{"access_token":"\xc3\xa9"}', b'{"token":"hidden-token"}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_reply_without_a_token_is_refused_unquoted(body: bytes) -> None:
    with pytest.raises(MiraklReplyError, match="check token_url") as caught:
        parse(body)
    assert "hidden-token" not in str(caught.value)


# --- the store ----------------------------------------------------------------------------------------------


def fetch(store: TokenStore, now: float, token: Token, **kwargs: Any) -> Secret:
    claim = store.claim(CREDENTIALS, now=now, refused=kwargs.get("refused"), blocking=True)
    if not isinstance(claim, Flight):
        return claim
    assert claim.mine
    with store.fetching(CREDENTIALS, claim):
        return store.keep(CREDENTIALS, token, asked_at=now)


@pytest.mark.parametrize(("lifetime", "kept_for"), [(3599, 3299), (100, 90), (1, 0.9)])
def test_renewed_before_its_end(lifetime: float, kept_for: float) -> None:
    store = TokenStore()
    assert fetch(store, 1000, Token(Secret("a"), lifetime)) == "a"
    assert fetch(store, 1000 + kept_for - 0.01, Token(Secret("b"), lifetime)) == "a"
    assert fetch(store, 1000 + kept_for + 0.01, Token(Secret("b"), lifetime)) == "b"


def test_a_refused_token_is_not_given_again() -> None:
    store = TokenStore()
    fetch(store, 0, Token(Secret("a"), 3600))
    assert fetch(store, 1, Token(Secret("b"), 3600), refused=Secret("a")) == "b"
    # Who was refused "a" and comes later takes what is there.
    assert fetch(store, 2, Token(Secret("c"), 3600), refused=Secret("a")) == "b"


def test_accounts_do_not_share() -> None:
    store = TokenStore()
    fetch(store, 0, Token(Secret("a"), 3600))
    other = ClientCredentials(CREDENTIALS.token_url, "the-id", "another")
    assert isinstance(store.claim(other, now=1, refused=None, blocking=True), Flight)


def test_a_flight_that_fails_tells_those_who_wait_and_makes_room() -> None:
    store = TokenStore()
    mine = store.claim(CREDENTIALS, now=0, refused=None, blocking=False)
    theirs = store.claim(CREDENTIALS, now=0, refused=None, blocking=False)
    assert isinstance(mine, Flight)
    assert isinstance(theirs, Flight)
    assert (mine.mine, theirs.mine) == (True, False)
    failure = MiraklServerError("token: down", operation="token", status=500)
    with pytest.raises(MiraklServerError), store.fetching(CREDENTIALS, mine):
        raise failure
    assert theirs.landed.result(0) is failure
    assert store.claim(CREDENTIALS, now=0, refused=None, blocking=False).mine


def test_a_flight_that_is_cancelled_makes_room() -> None:
    store = TokenStore()
    mine = store.claim(CREDENTIALS, now=0, refused=None, blocking=False)
    with pytest.raises(asyncio.CancelledError), store.fetching(CREDENTIALS, mine):
        raise asyncio.CancelledError
    assert mine.landed.result(0) is None
    assert store.claim(CREDENTIALS, now=0, refused=None, blocking=False).mine


def test_a_sync_caller_does_not_wait_for_a_task_of_its_own_thread() -> None:
    """It would block the event loop that the task needs."""
    store = TokenStore()
    task = store.claim(CREDENTIALS, now=0, refused=None, blocking=False)
    own = store.claim(CREDENTIALS, now=0, refused=None, blocking=True)
    assert own.mine
    with store.fetching(CREDENTIALS, own):
        pass
    waiting = store.claim(CREDENTIALS, now=0, refused=None, blocking=False)
    assert not waiting.mine, "the task's flight is still the one to wait for"
    with store.fetching(CREDENTIALS, task):
        pass


# --- through both clients -----------------------------------------------------------------------------------


def token_step(steps: Any, value: str = "tok-1", **fields: Any) -> Any:
    return steps.reply(200, {"access_token": value, "token_type": "Bearer", "expires_in": 3599, **fields})


def credentials(server: Any) -> ClientCredentials:
    return ClientCredentials(f"{server.url}/oauth/token", "the-id", "the-s3cret")


def test_many_at_once_fetch_one_token(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any
) -> None:
    server.script(steps.reply(200, {}))
    gate = threading.Event()

    def slow(connection: Any, seen: Any) -> None:
        gate.wait(120)
        token_step(steps)(connection, seen)

    other_server.script(slow)
    told: list[str] = []
    client = bench.client(server.url, auth=credentials(other_server), on_secret=told.append)
    threading.Timer(0.2, gate.set).start()  # only makes it likelier that all of them meet
    assert client.together(calls.read, 12) == [{}] * 12
    assert len(other_server.seen) == 1
    assert told == ["tok-1"]
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer tok-1"}


def test_several_clients_of_a_process_share_a_token(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any
) -> None:
    server.script(steps.reply(200, {}))
    other_server.script(token_step(steps))
    for _ in range(3):
        bench.client(server.url, auth=credentials(other_server)).send(calls.read)
    assert len(other_server.seen) == 1


def test_an_old_token_is_renewed_early(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any
) -> None:
    server.script(steps.reply(200, {}))
    other_server.script(token_step(steps, "one"), token_step(steps, "two"))
    client = bench.client(server.url, auth=credentials(other_server))
    client.send(calls.read)
    bench.time.moment += 3599 - 301
    client.send(calls.read)
    bench.time.moment += 2
    client.send(calls.read)
    assert [seen.headers["authorization"] for seen in server.seen] == [
        "Bearer one",
        "Bearer one",
        "Bearer two",
    ]


def test_a_refused_token_is_renewed_once(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any
) -> None:
    other_server.script(token_step(steps, "one"), token_step(steps, "two"), token_step(steps, "three"))
    server.script(steps.reply(401, {}), steps.reply(200, {"ok": True}))
    client = bench.client(server.url, auth=credentials(other_server))
    assert client.send(calls.imported) == {"ok": True}
    server.script(steps.reply(401, {"message": "no"}))
    with pytest.raises(MiraklAuthenticationError):
        client.send(calls.read)
    assert len(server.seen) == 2
    assert len(other_server.seen) == 3


TOKEN_ERRORS = {
    "RFC 6749": (
        401,
        {"error": "invalid_client", "error_description": "the-s3cret is wrong"},
        MiraklAuthenticationError,
    ),
    "RFC 6749 as 400": (400, {"error": "invalid_client"}, MiraklAuthenticationError),
    "bad request": (400, {"error": "invalid_request"}, MiraklBadRequestError),
    "HTML": (403, b"<html><title>Forbidden</title>the-s3cret</html>", MiraklError),
    "empty": (401, b"", MiraklAuthenticationError),
    "200 with HTML": (200, b"<html>the-s3cret</html>", MiraklReplyError),
    "200 empty": (200, b"", MiraklReplyError),
    "200 with an error": (200, {"error": "the-s3cret"}, MiraklReplyError),
    "down": (503, b"the-s3cret", MiraklServerError),
    "a redirect": (302, b"", MiraklReplyError),
}


@pytest.mark.parametrize(("status", "body", "kind"), TOKEN_ERRORS.values(), ids=TOKEN_ERRORS.keys())
def test_token_errors(
    bench: Any,
    server: Any,
    steps: Any,
    other_server: Any,
    calls: Any,
    status: int,
    body: Any,
    kind: type[MiraklError],
) -> None:
    server.script(steps.reply(200, {}))
    headers = {"Location": "https://evil.example/token"} if status == 302 else {}
    other_server.script(steps.reply(status, body, **headers))
    client = bench.client(server.url, auth=credentials(other_server))
    with pytest.raises(kind) as caught:
        client.send(calls.imported)
    assert "the-s3cret" not in str(caught.value)
    assert "token" in str(caught.value)
    assert not server.seen, "nothing goes to Mirakl without a token"
    assert len(other_server.seen) == (4 if status == 503 else 1)


def test_a_failure_is_shared_by_those_who_waited(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any
) -> None:
    server.script(steps.reply(200, {}))
    gate = threading.Event()

    def slow(connection: Any, seen: Any) -> None:
        gate.wait(120)
        steps.reply(401, {"error": "invalid_client"})(connection, seen)

    other_server.script(slow)
    client = bench.client(server.url, auth=credentials(other_server))
    threading.Timer(0.3, gate.set).start()
    results = client.together(calls.read, 6)
    assert all(isinstance(result, MiraklAuthenticationError) for result in results)
    assert len({id(result) for result in results}) == 6, (
        "an error of one's own, whose traceback nobody else writes to"
    )
    assert not server.seen


def test_threads_and_event_loops_share_one_flight(server: Any, steps: Any, other_server: Any) -> None:
    """Two threads with the sync client, two event loops with two tasks each: one token."""
    server.script(steps.reply(200, {}))
    arrived = threading.Barrier(5, timeout=120)
    gate = threading.Event()

    def slow(connection: Any, seen: Any) -> None:
        gate.wait(120)
        token_step(steps)(connection, seen)

    other_server.script(slow)
    settings = Settings(base_url=server.url, auth=credentials(other_server))
    tokens, pacer = TokenStore(), Pacer()
    call, results = Call(READ, parse=Reply.json_object), []

    def thread() -> None:
        with Client(settings, tokens=tokens, pacer=pacer) as client:
            arrived.wait()
            results.append(client.send(call))

    async def loop() -> None:
        async with AsyncClient(settings, tokens=tokens, pacer=pacer) as client:
            await asyncio.to_thread(arrived.wait)
            results.extend(await asyncio.gather(client.send(call), client.send(call)))

    workers = [threading.Thread(target=thread) for _ in range(2)]
    workers += [threading.Thread(target=lambda: asyncio.run(loop())) for _ in range(2)]
    for worker in workers:
        worker.start()
    arrived.wait()
    threading.Timer(0.3, gate.set).start()
    for worker in workers:
        worker.join(120)
    assert results == [{}] * 6
    assert len(other_server.seen) == 1


def test_a_task_that_gives_up_waiting_does_not_cancel_the_fetch(
    server: Any, steps: Any, other_server: Any
) -> None:
    server.script(steps.reply(200, {}))
    gate = threading.Event()

    def slow(connection: Any, seen: Any) -> None:
        gate.wait(120)
        token_step(steps)(connection, seen)

    other_server.script(slow)
    call = Call(READ, parse=Reply.json_object)

    async def story() -> tuple[Any, Any]:
        settings = Settings(base_url=server.url, auth=credentials(other_server))
        async with AsyncClient(settings, tokens=TokenStore(), pacer=Pacer()) as client:
            leader = asyncio.create_task(client.send(call))
            await asyncio.to_thread(other_server.arrived.wait, 120)
            impatient = asyncio.create_task(client.send(call))
            patient = asyncio.create_task(client.send(call))
            await asyncio.sleep(0)
            impatient.cancel()
            gate.set()
            with pytest.raises(asyncio.CancelledError):
                await impatient
            return await leader, await patient

    assert asyncio.run(story()) == ({}, {})
    assert len(other_server.seen) == 1


def test_a_leader_that_is_cancelled_hands_over(server: Any, steps: Any, other_server: Any) -> None:
    server.script(steps.reply(200, {}))
    never = threading.Event()
    other_server.script(lambda connection, seen: never.wait(120), token_step(steps))
    call = Call(READ, parse=Reply.json_object)

    async def story() -> Any:
        settings = Settings(base_url=server.url, auth=credentials(other_server))
        async with AsyncClient(settings, tokens=TokenStore(), pacer=Pacer()) as client:
            leader = asyncio.create_task(client.send(call))
            await asyncio.to_thread(other_server.arrived.wait, 120)
            follower = asyncio.create_task(client.send(call))
            await asyncio.sleep(0)
            leader.cancel()
            try:
                return await follower
            finally:
                never.set()

    assert asyncio.run(story()) == {}
    assert len(other_server.seen) == 2


def test_plain_http_token_url_is_refused_for_an_https_instance(bench: Any, server: Any, calls: Any) -> None:
    client = bench.client("https://shop.mirakl.net", auth=credentials(server))
    with pytest.raises(MiraklReplyError, match="only https"):
        client.send(calls.read)
    assert not server.seen


def test_tokens_for_others(server: Any, steps: Any) -> None:
    """For a requests session that shares the connection."""
    server.script(token_step(steps, "one"), token_step(steps, "two"))
    settings = Settings(base_url=server.url, auth=credentials(server))
    with Client(settings, tokens=TokenStore(), pacer=Pacer()) as client:
        assert client.token() == client.token() == "one"
        assert client.token(refused="one") == "two"
        assert type(client.token()) is str
    with (
        Client(Settings(base_url=server.url, auth=api_key("k"))) as client,
        pytest.raises(MiraklConfigurationError, match="auth"),
    ):
        client.token()
