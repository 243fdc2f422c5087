"""What a client has to know, and the rules that an address has to keep."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from airflow_provider_mirakl.exceptions import MiraklConfigurationError

CONNECT_TOKEN_URL = "https://auth.mirakl.net/oauth/token"  # noqa: S105
CONNECT_TEST_TOKEN_URL = "https://auth-test.mirakl.net/oauth/token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class HeaderAuth:
    """Credentials that never change: one or more headers sent as they are.

    :param headers: names and values, such as a raw API key under ``Authorization``.
    """

    headers: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def identity(self) -> str:
        """Tells two accounts apart without telling their secret."""
        return _digest(*(part for header in self.headers for part in header))


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth 2.0 client credentials. Source: facts section 1d.

    :param token_url: where the token is fetched.
    :param client_id: client id.
    :param client_secret: client secret.
    :param audience: the seller's company id, sent only when set. Uncertain: half of the public
        clients send it.
    """

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    audience: str | None = None

    @property
    def identity(self) -> str:
        """Tells two accounts apart without telling their secret."""
        return _digest(self.token_url, self.client_id, self.client_secret, self.audience or "")


Auth: TypeAlias = HeaderAuth | ClientCredentials


def api_key(key: str) -> HeaderAuth:
    """Mirakl's API key: the raw key, without a scheme word."""
    return HeaderAuth((("Authorization", key),))


def bearer(token: str) -> HeaderAuth:
    """A token made in Mirakl's back office."""
    return HeaderAuth((("Authorization", f"Bearer {token}"),))


def djust_key(key: str) -> HeaderAuth:
    """DJUST's key. Source: seed 001."""
    return HeaderAuth((("dj-client", "OPERATOR"), ("dj-api-key", key)))


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client has to know.

    :param base_url: address of the instance, as :func:`clean_base_url` gives it.
    :param auth: how a call is authenticated.
    :param timeout: longest silence of the server, in seconds.
    :param connect_timeout: longest time to make a connection, in seconds.
    :param max_attempts: how often one call is tried, the first time included.
    :param max_wait: longest single wait inside a call, in seconds, for Mirakl's published interval or for its
        ``Retry-After``. Beyond it the call raises an error that holds the moment.
    :param interval_factor: stretches every published interval: 1 keeps Mirakl's rules, 2 calls half as often,
        and a sandbox that runs at sixty times the speed takes 1/60.
    :param proxy: address of an HTTP proxy.
    :param ca_bundle: path of a file with the certificate authorities to trust instead of the default ones.
    :param user_agent: words put behind the package's own User-Agent.
    """

    base_url: str
    auth: Auth
    timeout: float = 60.0
    connect_timeout: float = 10.0
    max_attempts: int = 4
    max_wait: float = 120.0
    interval_factor: float = 1.0
    proxy: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    user_agent: str = ""

    @property
    def account(self) -> str:
        """Whose call frequencies are counted together."""
        return _digest(self.base_url, self.auth.identity)


def clean_base_url(
    url: str, *, field_name: str = "host", allow_http: bool = False, strip_api: bool = True
) -> str:
    """Check an address a person typed and bring it into the one form that paths are put behind.

    A missing scheme becomes ``https://``; a trailing ``/api``, which people paste, goes away.

    :param url: the address as typed.
    :param field_name: the form field, for the message.
    :param allow_http: accept plain HTTP to any host. Keys then travel readable.
    :param strip_api: whether a trailing ``/api`` is part of every path already.
    :return: scheme, host, port and path, without a trailing slash.
    :raises MiraklConfigurationError: naming the field and what to put instead.
    """

    def wrong(why: str) -> MiraklConfigurationError:
        return MiraklConfigurationError(f"{field_name}: {why}", field=field_name)

    text = url.strip()
    if not text:
        raise wrong("is empty; put the address of the instance, such as https://your-instance.mirakl.net")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise wrong(f"is not an address ({error})") from None
    if parts.scheme not in ("http", "https"):
        raise wrong(f"begins with {parts.scheme}://; Mirakl is reached by https://")
    if not host or any(letter.isspace() for letter in text):
        raise wrong("has no host name; put an address such as https://your-instance.mirakl.net")
    if parts.username is not None or parts.password is not None:
        raise wrong("holds a user name or a password; keys belong in the password field")
    if parts.query or parts.fragment:
        raise wrong("holds a '?' or '#' part; put the address alone")
    if parts.scheme == "http" and not (allow_http or is_loopback(host)):
        raise wrong(
            f"begins with http://, which would send the key readable; put https://{host}, "
            "or set allow_http for a server of your own"
        )
    path = parts.path.rstrip("/")
    if strip_api and path.endswith("/api"):
        path = path.removesuffix("/api").rstrip("/")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{path}"


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what decides whether a key may go there."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)


def is_loopback(host: str) -> bool:
    """Whether a host name means this very machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]
