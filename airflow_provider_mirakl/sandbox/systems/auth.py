"""Who may call: API keys, access tokens, and the token server."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers

from airflow_provider_mirakl.sandbox.machine.exchange import ANONYMOUS, Exchange, Operation, Principal
from airflow_provider_mirakl.sandbox.machine.settings import OAuthClient, Settings
from airflow_provider_mirakl.sandbox.machine.tokens import Tokens
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Reply

FORM = "application/x-www-form-urlencoded"


class Gate:
    """Turns an ``Authorization`` header into a :class:`Principal`."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._tokens = tokens
        self._readers: dict[str, Callable[[Headers], Principal]] = {
            "connect": self._connect,
            "mirakl": self._mirakl,
            "djust": self._djust,
        }
        self._djust_keys = frozenset(settings.djust_keys)
        self._keys: dict[str, Principal] = {}
        for key in settings.keys:
            principal = Principal(key.role, key.account, key.shops)
            self._keys[key.key] = principal
            if key.bearer:
                self._keys[f"Bearer {key.key}"] = principal

    def admit(self, exchange: Exchange, operation: Operation) -> Principal:
        """The caller of an operation.

        :raises ApiError: 401 without valid authentication, 403 if the caller may not do this.
        """
        if not operation.roles:
            return ANONYMOUS
        principal = self._readers[operation.system](exchange.request.headers)
        if principal.role not in operation.roles:
            raise ApiError(403, f"The role {principal.role} may not call {operation.code}.")
        if operation.scope and operation.scope not in principal.scopes:
            raise ApiError(403, f"The token lacks the permission {operation.scope}.")
        return principal

    def _bearer(self, header: str) -> OAuthClient | None:
        scheme, _, token = header.partition(" ")
        return self._tokens.client(token.strip()) if scheme.lower() == "bearer" else None

    def _connect(self, headers: Headers) -> Principal:
        client = self._bearer(headers.get("authorization", ""))
        if client is None:
            raise ApiError(401, "The access token is missing, unknown or expired.")
        return Principal("connect", client.account, scopes=client.scopes)

    def _mirakl(self, headers: Headers) -> Principal:
        header = headers.get("authorization", "")
        principal = self._keys.get(header)
        if principal is not None:
            return principal
        client = self._bearer(header)
        if client is None:
            raise ApiError(401, "Unauthorized: the API key or token is missing or not valid.")
        return Principal(client.role, client.client_id)

    def _djust(self, headers: Headers) -> Principal:
        if headers.get("dj-api-key", "") not in self._djust_keys:
            raise ApiError(401, "The header dj-api-key is missing or not valid.", code="UNAUTHORIZED")
        return Principal("djust", "djust")


async def token(exchange: Exchange) -> Reply:
    """OAuth 2.0 client credentials: three form fields, ``audience`` is understood and ignored."""
    form = parse_qs((await exchange.request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    values = {name: entries[-1] for name, entries in form.items()}
    grant = values.get("grant_type", "")
    if not grant:
        raise ApiError(400, "grant_type is missing.", code="invalid_request")
    if grant != "client_credentials":
        raise ApiError(400, f"grant_type {grant} is not supported.", code="unsupported_grant_type")
    for name in ("client_id", "client_secret"):
        if not values.get(name):
            raise ApiError(400, f"{name} is missing.", code="invalid_request")
    machine = exchange.machine
    client = machine.tokens.authenticate(values["client_id"], values["client_secret"])
    if client is None:
        raise ApiError(401, "The client id or the client secret is wrong.", code="invalid_client")
    exchange.principal = Principal("client", client.client_id)
    life = max(1, int(machine.clock.real(machine.settings.token_seconds)))
    body = {
        "token_type": "Bearer",
        "access_token": machine.tokens.issue(client),
        "expires_in": life,
        "target_app": "CONNECT",
        "resource_owner": client.account,
    }
    return Reply.json(body, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})
