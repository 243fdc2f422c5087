"""Access tokens of the token server."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from airflow_provider_mirakl.sandbox.machine.clock import Clock
from airflow_provider_mirakl.sandbox.machine.settings import OAuthClient, Settings


class Tokens:
    """Access tokens and their life."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._clients = {client.client_id: client for client in settings.clients}
        self._tokens: dict[str, tuple[str, float]] = {}

    def issue(self, client: OAuthClient) -> str:
        """A new token; older ones of the client stay valid until they expire."""
        now = self._clock.now()
        self._tokens = {token: entry for token, entry in self._tokens.items() if entry[1] > now}
        token = secrets.token_urlsafe(48)
        self._tokens[token] = (client.client_id, now + self._settings.token_seconds)
        return token

    def client(self, token: str) -> OAuthClient | None:
        """Whose token it is; ``None`` if it is unknown, expired or revoked."""
        entry = self._tokens.get(token)
        if entry is None or entry[1] <= self._clock.now():
            return None
        return self._clients.get(entry[0])

    def authenticate(self, client_id: str, secret: str) -> OAuthClient | None:
        """The client, if its secret is right."""
        client = self._clients.get(client_id)
        if client is None or not hmac.compare_digest(client.secret.encode(), secret.encode()):
            return None
        return client

    def revoke(self, token: str = "") -> int:
        """End one token, or all; returns how many ended."""
        if token:
            return 1 if self._tokens.pop(token, None) else 0
        ended = len(self._tokens)
        self._tokens.clear()
        return ended

    def active(self) -> int:
        """How many tokens are alive."""
        now = self._clock.now()
        return sum(1 for entry in self._tokens.values() if entry[1] > now)

    def dump(self) -> dict[str, Any]:
        """As JSON, for a restart."""
        return {token: list(entry) for token, entry in self._tokens.items()}

    def load(self, saved: dict[str, Any]) -> None:
        """Replace the content by that of :meth:`dump`."""
        self._tokens = {token: (entry[0], entry[1]) for token, entry in saved.items()}
