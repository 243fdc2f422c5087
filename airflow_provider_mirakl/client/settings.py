"""The settings of a client, and the rules for its addresses."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment

from airflow_provider_mirakl.exceptions import MiraklConfigurationError

CONNECT_TOKEN_URL = "https://auth.mirakl.net/oauth/token"  # noqa: S105
CONNECT_TEST_TOKEN_URL = "https://auth-test.mirakl.net/oauth/token"  # noqa: S105


_NOT_SECRET = frozenset({"dj-client"})
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?|[0-9a-f:.]+(%[\w.-]+)?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Secret(str):
    """Text that is hidden in a ``repr``, so that a dump of variables does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True, slots=True)
class HeaderAuth:
    """Credentials that never change: one or more headers sent as they are.

    :param headers: names and values, such as a raw API key under ``Authorization``.
    """

    headers: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def identity(self) -> str:
        """Distinguishes two accounts without revealing their secrets."""
        return _digest(*(part for header in self.headers for part in header))

    @property
    def account(self) -> tuple[str, ...]:
        """Whose calls are counted together."""
        return tuple(part for header in self.headers for part in header)

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The names of the account that stay when the key is replaced: none but that of its host."""
        return ((),)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, even if a server repeats it."""
        values = [value for name, value in self.headers if name.lower() not in _NOT_SECRET]
        return tuple(text for value in values for text in (value, value.removeprefix("Bearer ")))

    def faults(self) -> Iterator[str]:
        """Its problem, without quoting it."""
        for name, value in self.headers:
            if not is_header_text(value):
                yield (
                    f"auth: the value of {name} is empty, or contains a line break or a character that is not "
                    "allowed in a key"
                )


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth 2.0 client credentials. Source: :ref:`authentication <facts-authentication>`.

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
        """Distinguishes two accounts without revealing their secrets."""
        return _digest(self.token_url, self.client_id, self.client_secret, self.audience or "")

    @property
    def account(self) -> tuple[str, ...]:
        """The account whose calls are counted together: the same for all secrets, separate for each company."""
        return (self.token_url, self.client_id, self.audience or "")

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The names of the account that stay when the secret is replaced; the company's also with another client id.

        The host comes first, so that an instance may move from a key to client credentials.
        """
        company = (("company", self.audience),) if self.audience else ()
        return ((), ("client", self.client_id), *company)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, even if a server repeats it."""
        return (self.client_secret,)

    def faults(self) -> Iterator[str]:
        """Its problem, without quoting it."""
        if not (self.client_id and self.client_secret):
            yield "auth: client_id or client_secret is empty"
        if not re.match(r"https?://[^/]", self.token_url):
            yield "auth: token_url is not an address"


Auth: TypeAlias = HeaderAuth | ClientCredentials


def api_key(key: str) -> HeaderAuth:
    """Mirakl's API key: the plain key, without a scheme."""
    return HeaderAuth((("Authorization", key),))


def bearer(token: str) -> HeaderAuth:
    """A token made in Mirakl's back office."""
    return HeaderAuth((("Authorization", f"Bearer {token}"),))


def djust_key(key: str) -> HeaderAuth:
    """DJUST's key. Source: :ref:`ADM-MIRAKL-100 <facts-djust>`."""
    return HeaderAuth((("dj-client", "OPERATOR"), ("dj-api-key", key)))


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a client.

    :param base_url: URL of the instance, as :func:`clean_base_url` returns it.
    :param auth: how a call is authenticated.
    :param timeout: seconds to wait for the server to send something.
    :param connect_timeout: seconds to wait for a connection.
    :param min_rate: bytes per second at which a reply must arrive, on average, once it was waited for as long as
        ``timeout``; a slower one is given up. 0 waits for it as long as anything arrives.
    :param max_attempts: attempts for one call, including the first.
    :param max_wait: seconds that one call may wait in all, for Mirakl's published interval and for its
        ``Retry-After``. Beyond it the call raises an error with the permitted time.
    :param interval_factor: multiplies every published interval: 1 keeps Mirakl's rules, 2 calls half as often.
        Use 1/60 for a sandbox that runs at sixty times the speed.
    :param proxy: address of an HTTP proxy.
    :param ca_bundle: path of a file with the certificate authorities to trust instead of the default ones.
    :param user_agent: text appended to the package's own User-Agent.
    """

    base_url: str
    auth: Auth
    timeout: float = 60.0
    connect_timeout: float = 10.0
    min_rate: float = 1000.0
    max_attempts: int = 4
    max_wait: float = 120.0
    interval_factor: float = 1.0
    proxy: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    user_agent: str = ""

    @property
    def account(self) -> str:
        """Whose call frequencies are counted together: the same client id, or the same key on the same host.

        A keyed hash that means nothing outside this process and its children: it is made of a secret.
        """
        host = "\x00".join(map(str, origin(self.base_url)))
        return hashlib.blake2b(
            "\x00".join((host, *self.auth.account)).encode(), digest_size=16, key=_PROCESS_KEY
        ).hexdigest()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, even if a server or a proxy repeats it."""
        proxies = (self.proxy,) if self.proxy else getproxies_environment().values()
        return (*self.auth.secrets, *(text for proxy in proxies for text in _passwords(proxy)))

    @property
    def fingerprint(self) -> str:
        """Tells the folders of two accounts apart, on disk."""
        return _digest(self.base_url, self.auth.identity)

    @property
    def owner(self) -> list[str]:
        """Whose data this account has, for notes; see :mod:`airflow_provider_mirakl.files.owner`."""
        _, host, port = origin(self.base_url)
        return [_digest(host, str(port), *name) for name in self.auth.names]

    def check(self) -> None:
        """Refuse settings that cannot work.

        :raises MiraklConfigurationError: naming every fault, and the field of the first.
        """
        faults = [] if re.match(r"https?://[^/]", self.base_url) else ["base_url: is not an address"]
        faults += self.auth.faults()
        if (
            isinstance(self.auth, ClientCredentials)
            and _is_readable(self.auth.token_url)
            and not _is_readable(self.base_url)
        ):
            faults.append(
                "auth: token_url begins with http://, which would send the secret unencrypted; use https://"
            )
        if self.proxy is not None and not _is_proxy(self.proxy):
            faults.append("proxy: must be the address of a proxy such as http://proxy:3128")
        numbers = (
            ("timeout", self.timeout > 0),
            ("connect_timeout", self.connect_timeout > 0),
            ("min_rate", self.min_rate >= 0),
            ("max_attempts", self.max_attempts >= 1),
            ("max_wait", self.max_wait >= 0),
            ("interval_factor", self.interval_factor >= 0),
        )
        for name, good in numbers:
            value = getattr(self, name)
            if not (good and math.isfinite(value)):
                faults.append(
                    f"{name}: must be a number greater than 0 (max_wait, min_rate and interval_factor may be 0), "
                    f"not {value}"
                )
        if faults:
            raise MiraklConfigurationError("; ".join(faults), field=faults[0].partition(":")[0])


def clean_base_url(
    url: str, *, field_name: str = "host", allow_http: bool = False, strip_api: bool = True
) -> str:
    """Check an address and normalize it to the form that paths are appended to.

    A missing scheme becomes ``https://``; a trailing ``/api``, which people paste, is removed.

    :param url: the address as typed.
    :param field_name: the form field, for the message.
    :param allow_http: accept plain HTTP to any host. Keys are then sent unencrypted.
    :param strip_api: whether a trailing ``/api`` is part of every path already.
    :return: scheme, host, port and path, without a trailing slash.
    :raises MiraklConfigurationError: naming the field and the fix.
    """

    fault = next(_address_faults(url.strip(), allow_http), None)
    if fault is not None:
        raise MiraklConfigurationError(f"{field_name}: {fault}", field=field_name)
    parts = _split(url.strip())
    host = parts.hostname or ""
    path = parts.path.rstrip("/")
    while strip_api and path.endswith("/api"):
        path = path.removesuffix("/api").rstrip("/")
    name = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port and parts.port != _DEFAULT_PORTS[parts.scheme] else ""
    return f"{parts.scheme}://{name}{port}{path}"


def _split(text: str) -> SplitResult:
    return urlsplit(text if "://" in text else f"https://{text}")


def _address_faults(text: str, allow_http: bool) -> Iterator[str]:
    """The problem of a URL; each check may rely on the previous ones."""
    if not text:
        yield "is empty; enter the address of the instance, such as https://your-instance.mirakl.net"
    try:
        parts = _split(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        # Python's own message would repeat what was typed, possibly a password.
        yield "must be an address such as https://your-instance.mirakl.net"
        return
    if parts.scheme not in _DEFAULT_PORTS:
        yield f"begins with {parts.scheme}://; Mirakl requires https://"
    if parts.username is not None or parts.password is not None:
        yield "contains a user name or a password; keys belong in the password field"
    if parts.query or parts.fragment:
        yield "contains a '?' or '#' part; enter only the address"
    if not text.isprintable():
        yield "contains an invisible character; retype the URL instead of pasting it"
    if not host.isascii():
        yield "contains a non-ASCII character in the host name; check it, or use its ASCII form (xn--...)"
    if not (_HOST.fullmatch(host) and can_be_resolved(host)) or host in _DEFAULT_PORTS or " " in text:
        yield "has no host name; enter an address such as https://your-instance.mirakl.net"
    if parts.scheme == "http" and not (allow_http or is_loopback(host)):
        yield (
            f"begins with http://, which would send the key unencrypted; use https://{host}, "
            "or set allow_http for your own server"
        )


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what decides whether a key may go there.

    :raises ValueError: for something that is not an address.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


def can_be_resolved(host: str) -> bool:
    """Whether every part of a host name is 1 to 63 characters long; otherwise Python's resolver raises a bare error."""
    return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_header_text(value: str) -> bool:
    """Whether a text can be sent in a header as it is."""
    return bool(value) and value.isascii() and value.isprintable() and value == value.strip()


def _is_readable(url: str) -> bool:
    """Whether data sent there travels unencrypted."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _passwords(address: str) -> Iterator[str]:
    """The password of an address, as it is written and as it is meant. One of the environment may have no scheme."""
    with contextlib.suppress(ValueError):
        if password := urlsplit(address if "://" in address else f"http://{address}").password:
            yield from {password, unquote(password)}


def _is_proxy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https", "socks5", "socks5h")
            and can_be_resolved(parts.hostname or "")
            and parts.port != 0
        )
    except ValueError:
        return False


_PROCESS_KEY = os.urandom(32)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]
