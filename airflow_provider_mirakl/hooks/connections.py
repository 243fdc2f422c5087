"""From the fields of an Airflow connection to the settings of a client. Pure; every fault found is listed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from airflow_provider_mirakl.client.settings import (
    CONNECT_TEST_TOKEN_URL,
    CONNECT_TOKEN_URL,
    Auth,
    ClientCredentials,
    Settings,
    api_key,
    bearer,
    clean_base_url,
    djust_key,
)
from airflow_provider_mirakl.connection_types import AUTHS, CONNECTION_TYPES, PRODUCTION, ROLES, TEST
from airflow_provider_mirakl.exceptions import MiraklConfigurationError

V = TypeVar("V")

CONNECT_HOSTS = {PRODUCTION: "https://miraklconnect.com", TEST: "https://connectpartner-test.mirakl.net"}
CONNECT_TOKEN_URLS = {PRODUCTION: CONNECT_TOKEN_URL, TEST: CONNECT_TEST_TOKEN_URL}

_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_LOCALE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")
_TRUE = frozenset({"true", "1", "y", "yes", "on", "t"})
_FALSE = frozenset({"false", "0", "n", "no", "off", "f", ""})


class ConnectionFields(Protocol):
    """What is read of an Airflow connection."""

    conn_id: str
    conn_type: str | None
    host: str | None
    port: int | None
    login: str | None
    password: str | None


class ConnectionReader:
    """Reads a connection field by field and keeps every fault, so that one look tells all that is to be mended.

    :param connection: the connection.
    :param extra: its extra fields. Both ``name`` and ``extra__<type>__name`` are read, and ``null`` is unset,
        since the forms of Airflow's versions store them so.
    """

    def __init__(self, connection: ConnectionFields, extra: Mapping[str, object]) -> None:
        self.connection = connection
        self.conn_type = connection.conn_type or ""
        prefix = f"extra__{self.conn_type}__"
        named = {name.removeprefix(prefix): value for name, value in extra.items() if name.startswith(prefix)}
        self._extra = {name: value for name, value in {**named, **extra}.items() if value not in (None, "")}
        self.faults: list[MiraklConfigurationError] = []

    def wrong(self, field: str, why: str) -> None:
        """Note a fault."""
        self.faults.append(MiraklConfigurationError(f"{field}: {why}", field=field))

    def check(self) -> None:
        """Raise what was noted, all of it.

        :raises MiraklConfigurationError: naming the connection, and each field with its mend.
        """
        if self.faults:
            listed = "; ".join(fault.message for fault in self.faults)
            raise MiraklConfigurationError(
                f"Connection {self.connection.conn_id!r} cannot be used: {listed}", field=self.faults[0].field
            )

    def text(self, name: str) -> str | None:
        """An extra as text."""
        value = self._extra.get(name)
        return str(value).strip() or None if value is not None else None

    def flag(self, name: str, default: bool) -> bool:
        """An extra as a boolean, in any of the spellings Airflow's forms store."""
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in _TRUE | _FALSE:
            self.wrong(name, f"is {value!r}; put true or false")
        return value.lower() in _TRUE

    def number(self, name: str, default: float, *, at_least: float) -> float:
        """An extra as a number."""
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number >= at_least):
            self.wrong(name, f"is {value!r}; put a number of at least {at_least:g}")
            return default
        return number

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str | None:
        """An extra that is one of a few words."""
        value = self.text(name) or default
        if value is not None and value not in choices:
            self.wrong(name, f"is {value!r}; put one of {', '.join(choices)}")
            return default or choices[0]
        return value

    def secret(self, field: str, value: str | None, what: str) -> str:
        """A key, checked for what people paste beside it."""
        text = (value or "").strip()
        if not text:
            self.wrong(field, f"is empty; put {what}")
        elif text.lower().startswith("bearer "):
            self.wrong(field, "begins with 'Bearer'; put the token alone and set auth to bearer")
        elif not (text.isascii() and text.isprintable()) or " " in text:
            self.wrong(field, f"holds a space or a letter that no key has; put {what} alone")
        return text

    def address(self, name: str, value: str | None, *, strip_api: bool = True) -> str:
        """An address, in the one form that paths are put behind."""
        return self._try(
            lambda: clean_base_url(
                value or "", field_name=name, allow_http=self.flag("allow_http", False), strip_api=strip_api
            ),
            "",
        )

    def host(self, default: str = "") -> str:
        """Host and port of the connection; port 0, which Airflow's form stores for none, counts as none."""
        host, port = (self.connection.host or "").strip() or default, self.connection.port
        scheme, separator, rest = host.rpartition("://")
        name, slash, path = rest.partition("/")
        if port and name and not re.search(r":\d+$", name):
            host = f"{scheme}{separator}{name}:{port}{slash}{path}"
        return host

    def _try(self, read: Callable[[], V], otherwise: V) -> V:
        try:
            return read()
        except MiraklConfigurationError as fault:
            self.faults.append(fault)
            return otherwise


def is_enabled(connection: ConnectionFields, extra: Mapping[str, object]) -> bool:
    """Whether the connection may be used. Source: seed 000, activate and disable."""
    return ConnectionReader(connection, extra).flag("enabled", True)


def read_locales(connection: ConnectionFields, extra: Mapping[str, object]) -> tuple[str, ...]:
    """The connection's locales, empty where any is accepted.

    :raises MiraklConfigurationError: for something that is no locale.
    """
    reader = ConnectionReader(connection, extra)
    locales = tuple(word.strip() for word in (reader.text("locales") or "").split(",") if word.strip())
    for locale in locales:
        if not _LOCALE.fullmatch(locale):
            reader.wrong("locales", f"holds {locale!r}; put locales such as en_US, fr or de_DE")
    reader.check()
    return locales


def read_settings(
    connection: ConnectionFields,
    extra: Mapping[str, object],
    *,
    role: str | None = None,
    user_agent: str = "",
) -> Settings:
    """Read a connection of any of the three types.

    :param connection: the connection.
    :param extra: its extra fields.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param user_agent: words for the User-Agent.
    :raises MiraklConfigurationError: with every fault found, each naming its field and the mend.
    """
    reader = ConnectionReader(connection, extra)
    if reader.conn_type not in _READERS:
        reader.wrong("conn_type", f"is {reader.conn_type!r}; put one of {', '.join(CONNECTION_TYPES)}")
        reader.check()
    base_url, auth = _READERS[reader.conn_type](reader, role)
    settings = Settings(
        base_url=base_url,
        auth=auth,
        timeout=reader.number("timeout", 60.0, at_least=0.1),
        max_wait=reader.number("max_wait", 120.0, at_least=0.0),
        interval_factor=reader.number("interval_factor", 1.0, at_least=0.0),
        proxy=reader.text("proxy"),
        ca_bundle=reader.text("ca_bundle"),
        user_agent=user_agent,
    )
    reader.check()
    return settings


def _mirakl(reader: ConnectionReader, role: str | None) -> tuple[str, Auth]:
    base_url = reader.address("host", reader.host())
    role = role or reader.choice("role", ROLES, "shop")
    front_key = reader.text("front_api_key")
    if role == "front" and front_key:
        field, value = "front_api_key", front_key
    else:
        field, value = "password", reader.connection.password or ""
    login = (reader.connection.login or "").strip()
    secret = reader.secret(field, value, "the API key, the token, or the client secret")
    usual = (
        "client_credentials"
        if login and field == "password"
        else "bearer"
        if _JWT.fullmatch(secret)
        else "api_key"
    )
    auth = reader.choice("auth", AUTHS) or usual
    if auth == "client_credentials":
        if not login:
            reader.wrong("login", "is empty; put the client id, or set auth to api_key")
        token_url = reader.address(
            "token_url", reader.text("token_url") or CONNECT_TOKEN_URL, strip_api=False
        )
        return base_url, ClientCredentials(token_url, login, secret, reader.text("audience"))
    return base_url, bearer(secret) if auth == "bearer" else api_key(secret)


def _mirakl_connect(reader: ConnectionReader, role: str | None) -> tuple[str, Auth]:
    environment = reader.choice("environment", (PRODUCTION, TEST), PRODUCTION) or PRODUCTION
    base_url = reader.address("host", reader.host(CONNECT_HOSTS[environment]))
    token_url = reader.text("token_url") or CONNECT_TOKEN_URLS[environment]
    login = (reader.connection.login or "").strip()
    if not login:
        reader.wrong("login", "is empty; put the client id that Mirakl Connect gave you")
    secret = reader.secret("password", reader.connection.password, "the client secret")
    return base_url, ClientCredentials(
        reader.address("token_url", token_url, strip_api=False), login, secret, reader.text("audience")
    )


def _djust(reader: ConnectionReader, role: str | None) -> tuple[str, Auth]:
    base_url = reader.address("host", reader.host(), strip_api=False)
    return base_url, djust_key(reader.secret("password", reader.connection.password, "the dj-api-key"))


_READERS: dict[str, Callable[[ConnectionReader, str | None], tuple[str, Auth]]] = {
    "mirakl": _mirakl,
    "mirakl_connect": _mirakl_connect,
    "djust": _djust,
}
