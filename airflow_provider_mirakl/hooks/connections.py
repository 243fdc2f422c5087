"""From the fields of an Airflow connection to the settings of a client. Pure; lists every fault it finds."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote, urlsplit

from airflow_provider_mirakl.api.values import numeric_id
from airflow_provider_mirakl.client.settings import (
    CONNECT_TEST_TOKEN_URL,
    CONNECT_TOKEN_URL,
    Auth,
    ClientCredentials,
    HeaderAuth,
    Settings,
    api_key,
    bearer,
    can_be_resolved,
    clean_base_url,
    djust_key,
    origin,
)
from airflow_provider_mirakl.connection_types import AUTHS, CONNECTION_TYPES, PRODUCTION, ROLES, TEST
from airflow_provider_mirakl.exceptions import MiraklConfigurationError

CONNECT_HOSTS = {PRODUCTION: "https://miraklconnect.com", TEST: "https://connectpartner-test.mirakl.net"}
CONNECT_TOKEN_URLS = {PRODUCTION: CONNECT_TOKEN_URL, TEST: CONNECT_TEST_TOKEN_URL}
EXAMPLE_HOSTS = {
    "mirakl": "https://your-instance.mirakl.net",
    "mirakl_connect": CONNECT_HOSTS[PRODUCTION],
    "djust": "the one for your DJUST tenant",
}

_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_LOCALE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")
_TRUE = frozenset({"true", "1", "y", "yes", "on", "t"})
_FALSE = frozenset({"false", "0", "n", "no", "off", "f"})


class ConnectionFields(Protocol):
    """The values of an Airflow connection."""

    conn_id: str
    conn_type: str | None
    host: str | None
    port: int | None
    login: str | None
    password: str | None
    schema: str | None
    extra: str | None


@dataclass(frozen=True, slots=True)
class ConnectionValues:
    """The checked values of a connection.

    :param settings: the client's settings.
    :param role: whose key it is: ``shop``, ``operator`` or ``front``; ``None`` where a type has no roles.
    :param roles: every role that the connection has a key for.
    :param key_field: the field with the key.
    :param locales: locales in use, empty where any is accepted.
    :param shop_id: the shop, ``None`` for the user's default.
    :param client_specification_id: the Mirakl client configuration of DJUST, ``None`` lets DJUST resolve it.
    :param back_office: address of the back office, for people.
    :param unknown: names of extra fields that the type does not have, so that nothing reads them.
    """

    settings: Settings
    role: str | None = None
    roles: tuple[str, ...] = ()
    key_field: str = "password"
    locales: tuple[str, ...] = ()
    shop_id: int | None = None
    client_specification_id: str | None = None
    back_office: str = ""
    unknown: tuple[str, ...] = ()


class ConnectionReader:
    """Reads a connection field by field and collects every fault, so that all of them can be fixed at once.

    No message quotes a secret.

    :param connection: the connection.
    :param extra: its extra fields. Both ``name`` and ``extra__<type>__name`` are read, and ``null`` is unset,
        since the forms of Airflow's versions store them so.
    """

    def __init__(self, connection: ConnectionFields, extra: Mapping[str, object]) -> None:
        self.connection = connection
        self.conn_type = connection.conn_type or ""
        self.faults: list[MiraklConfigurationError] = []
        if not _is_readable(connection.extra):
            # Airflow treats an unreadable extra as empty: a disabled connection would work, and a test one would
            # become production.
            self.wrong(
                "extra",
                'must be a JSON object such as {"role": "operator"}; nothing in it could be read',
            )
            extra = {}
        extra = extra or {}  # Airflow turns a JSON null into None
        prefix = f"extra__{self.conn_type}__"
        named = {name.removeprefix(prefix): value for name, value in extra.items() if name.startswith(prefix)}
        self._long = {prefix + name for name in named}
        self._extra = {
            name: value
            for values in (named, extra)
            for name, value in values.items()
            if value not in (None, "")
        }

    def unknown(self) -> tuple[str, ...]:
        """Names of extras that are no fields of the connection's type."""
        return tuple(
            sorted(self._extra.keys() - CONNECTION_TYPES[self.conn_type]["conn-fields"].keys() - self._long)
        )

    def wrong(self, name: str, why: str) -> None:
        """Note a fault."""
        self.faults.append(MiraklConfigurationError(f"{name}: {why}", field=name))

    def check(self) -> None:
        """Raise all noted problems.

        :raises MiraklConfigurationError: naming the connection and, for each field, the fix.
        """
        if self.faults:
            listed = "; ".join(dict.fromkeys(fault.message for fault in self.faults))
            raise MiraklConfigurationError(
                f"Connection {self.connection.conn_id!r} cannot be used: {listed}",
                field=self.faults[0].field,
                conn_id=self.connection.conn_id,
            )

    def text(self, name: str) -> str | None:
        """An extra as text."""
        value = self._extra.get(name)
        if isinstance(value, list | dict):
            self.wrong(
                name, f"must be text (separate several values with commas), not a {type(value).__name__}"
            )
            return None
        return str(value).strip() or None if value is not None else None

    def flag(self, name: str, default: bool) -> bool:
        """An extra as a boolean, in any of the spellings Airflow's forms store."""
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in _TRUE | _FALSE:
            self.wrong(name, f"must be true or false, not {value!r}")
            return default
        return value.lower() in _TRUE

    def number(self, name: str, default: float, *, at_least: float, at_most: float = 86_400.0) -> float:
        """An extra as a number. A far too large one would fail later, in the system's clock."""
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (at_least <= number <= at_most):
            self.wrong(name, f"must be a number from {at_least:g} to {at_most:.0f}, not {value!r}")
            return default
        return number

    def shop_id(self) -> int | None:
        """The extra ``shop_id``."""
        value = self.text("shop_id")
        if value is None:
            return None
        number = numeric_id(value)
        if number is None:
            self.wrong(
                "shop_id", f"must be the number of the shop, or empty for the default one, not {value!r}"
            )
        return number

    def back_office(self, base_url: str) -> str:
        """The address that the extra ``back_office_path`` leads to."""
        path = self.text("back_office_path") or "/"
        if not path.startswith("/") or path.startswith("//"):
            self.wrong("back_office_path", f"must begin with one slash, such as /mmp/shop, not {path!r}")
        parts = urlsplit(base_url)
        return f"{parts.scheme}://{parts.netloc}{path}"

    def uuid(self, name: str) -> str | None:
        """An extra that is a UUID."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return str(uuid.UUID(value))
        except ValueError:
            self.wrong(name, f"must be a UUID such as a1b2c3d4-e5f6-7890-abcd-ef1234567890, not {value!r}")
            return None

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str | None:
        """An extra that is one of a few words."""
        value = self.text(name) or default
        if value is not None and value not in choices:
            self.wrong(name, f"must be one of {', '.join(choices)}, not {value!r}")
            return default
        return value

    def locales(self) -> tuple[str, ...]:
        """The extra ``locales``."""
        locales = tuple(word.strip() for word in (self.text("locales") or "").split(",") if word.strip())
        for locale in locales:
            if not _LOCALE.fullmatch(locale):
                self.wrong("locales", f"contains {locale!r}; locales look like en_US, fr or de_DE")
        return locales

    def secret(self, name: str, value: str | None, what: str) -> str:
        """A key, checked for what people paste along with it."""
        text = (value or "").strip()
        if not text:
            self.wrong(name, f"is empty; enter {what}")
        elif text.lower().startswith("bearer "):
            self.wrong(name, "begins with 'Bearer'; enter only the token and set auth to bearer")
        elif not set(text) - set("*"):
            self.wrong(name, f"contains only asterisks, which is how Airflow hides a key; enter {what}")
        elif text[0] == text[-1] and text[0] in "'\"":
            self.wrong(name, f"is in quotes; enter {what} without them")
        elif not (text.isascii() and text.isprintable()) or " " in text:
            self.wrong(
                name,
                f"contains a space, a line break or a character that is not allowed in a key; enter only {what}",
            )
        return text

    def address(self, name: str, value: str | None, *, strip_api: bool = True) -> str:
        """An address, in the form that paths are appended to."""
        text = (value or "").strip()
        if not text:
            self.wrong(name, f"is empty; enter an address such as {EXAMPLE_HOSTS[self.conn_type]}")
            return ""
        if re.match(r"https?:/?[^/]", text):
            self.wrong(name, "is missing a slash; it must begin with https://")
            return ""
        try:
            allow_http = self.flag("allow_http", False)
            return clean_base_url(text, field_name=name, allow_http=allow_http, strip_api=strip_api)
        except MiraklConfigurationError as fault:
            self.faults.append(fault)
            return ""

    def host(self, default: str = "") -> str:
        """Host and port of the connection; port 0, which Airflow's form stores for none, counts as none."""
        schema = (self.connection.schema or "").strip("/ ")
        if schema not in ("", "api", "https"):
            # The path of a connection URI arrives here.
            self.wrong(
                "schema",
                f"is {schema!r} and is not used; enter the whole address in host (percent-encoded in a connection URI)",
            )
        host, port = (self.connection.host or "").strip() or default, self.connection.port
        scheme, separator, rest = host.rpartition("://")
        name, slash, path = rest.partition("/")
        if not port or not name:
            return host
        stated = re.search(r":(\d{1,5})$", name)
        if stated is None:
            return f"{scheme}{separator}{name}:{port}{slash}{path}"
        if int(stated[1]) != port:
            self.wrong("port", f"is {port}, but host says {stated[1]}; keep only one of them")
        return host

    def proxy(self) -> str | None:
        """The extra ``proxy``. It may contain a password, so it is never quoted."""
        value = self.text("proxy")
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if (
            not can_be_resolved(host or "")
            or parts.scheme not in ("http", "https")
            or parts.path not in ("", "/")
        ):
            self.wrong("proxy", "must be the address of an HTTP proxy such as http://proxy.example.com:3128")
            return None
        return value


def _is_readable(extra: str | None) -> bool:
    try:
        value = json.loads((extra or "").strip() or "{}")
    except (ValueError, RecursionError):
        return False
    return value is None or isinstance(value, dict)


def secrets_of(connection: ConnectionFields, extra: Mapping[str, object]) -> list[str]:
    """Every secret of a connection, to be masked in logs. Airflow finds only some of them, by field name."""
    reader = ConnectionReader(connection, extra)
    found = [connection.password or "", reader.text("front_api_key") or ""]
    if proxy := reader.text("proxy"):
        account, at, _ = proxy.rpartition("://")[2].rpartition("@")
        password = account.partition(":")[2] if at else ""
        found += [password, unquote(password)]
    return list(dict.fromkeys(secret for text in found for secret in (text, text.strip()) if secret.strip()))


def read_connection(
    reader: ConnectionReader, *, role: str | None = None, user_agent: str = ""
) -> ConnectionValues:
    """Read a connection of any of the three types.

    :param reader: reads the connection.
    :param role: whose key is wanted: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param user_agent: words for the User-Agent.
    :raises MiraklConfigurationError: with every fault found, each with its field and the fix.
    """
    if reader.conn_type not in _READERS:
        reader.wrong("conn_type", f"must be one of {', '.join(CONNECTION_TYPES)}, not {reader.conn_type!r}")
        reader.check()
    base_url, auth, key = _READERS[reader.conn_type](reader, role)
    values = ConnectionValues(
        settings=Settings(
            base_url=base_url,
            auth=auth,
            timeout=reader.number("timeout", 60.0, at_least=0.1),
            max_wait=reader.number("max_wait", 120.0, at_least=0.0),
            interval_factor=reader.number("interval_factor", 1.0, at_least=0.0),
            proxy=reader.proxy(),
            ca_bundle=reader.text("ca_bundle"),
            user_agent=user_agent,
        ),
        role=key.role,
        roles=key.roles,
        key_field=key.field,
        locales=reader.locales(),
        shop_id=reader.shop_id(),
        client_specification_id=reader.uuid("client_specification_id"),
        back_office=reader.back_office(base_url),
        unknown=reader.unknown(),
    )
    reader.check()
    return values


@dataclass(frozen=True, slots=True)
class _Key:
    """Which of the connection's keys was chosen."""

    field: str = "password"
    role: str | None = None
    roles: tuple[str, ...] = ()


def _mirakl(reader: ConnectionReader, role: str | None) -> tuple[str, Auth, _Key]:
    base_url = reader.address("host", reader.host())
    if any(origin(base_url) == origin(host) for host in CONNECT_HOSTS.values()):
        reader.wrong("host", "is Mirakl Connect; use a connection of type mirakl_connect")
    own = reader.choice("role", ROLES, "shop") or "shop"
    how = reader.choice("auth", AUTHS)
    front_key = reader.text("front_api_key")
    if front_key is not None:
        front_key = reader.secret("front_api_key", front_key, "the front-office key")
    key = _mirakl_key(reader, own, role or own, has_front_key=front_key is not None)
    if front_key is not None and key.field == "front_api_key":
        return base_url, _header(front_key, how), key
    password, login = reader.connection.password, (reader.connection.login or "").strip()
    if how == "client_credentials" or (how is None and login):
        secret = reader.secret("password", password, "the client secret")
        if not login:
            reader.wrong("login", "is empty; enter the client id, or set auth to api_key")
        token_url = reader.text("token_url") or CONNECT_TOKEN_URL
        return base_url, _client_credentials(reader, token_url, login, secret), key
    return base_url, _header(reader.secret("password", password, "the API key or token"), how), key


def _mirakl_key(reader: ConnectionReader, own: str, wanted: str, *, has_front_key: bool) -> _Key:
    """Choose between the password, which is a key of the connection's own role, and the front-office key."""
    roles = tuple(dict.fromkeys((own, "front") if has_front_key else (own,)))
    if wanted not in ROLES:
        reader.wrong("role", f"must be one of {', '.join(ROLES)}, not {wanted!r}")
    elif wanted not in roles:
        place = "front_api_key, or in the password" if wanted == "front" else "the password"
        reader.wrong(
            "role",
            f"is {own}, but a key of role {wanted} is needed; enter one in {place} of a connection of role {wanted}",
        )
    return _Key("front_api_key" if wanted == "front" and has_front_key else "password", wanted, roles)


def _mirakl_connect(reader: ConnectionReader, role: str | None) -> tuple[str, Auth, _Key]:
    environment = reader.choice("environment", (PRODUCTION, TEST), PRODUCTION) or PRODUCTION
    base_url = reader.address("host", reader.host(CONNECT_HOSTS[environment]))
    for other, host in CONNECT_HOSTS.items():
        if other != environment and origin(base_url) == origin(host):
            reader.wrong(
                "environment",
                f"is {environment}, but the host belongs to {other}; set environment to {other}",
            )
    login = (reader.connection.login or "").strip()
    if not login:
        reader.wrong("login", "is empty; enter the client id from Mirakl")
    secret = reader.secret("password", reader.connection.password, "the client secret")
    token_url = reader.text("token_url") or CONNECT_TOKEN_URLS[environment]
    return base_url, _client_credentials(reader, token_url, login, secret), _Key()


def _djust(reader: ConnectionReader, role: str | None) -> tuple[str, Auth, _Key]:
    base_url = reader.address("host", reader.host(), strip_api=False)
    return (
        base_url,
        djust_key(reader.secret("password", reader.connection.password, "the dj-api-key")),
        _Key(),
    )


def _header(key: str, how: str | None) -> HeaderAuth:
    """A key as a header: bearer when auth says so or, with auth empty, when it is a JWT; otherwise the plain key."""
    return bearer(key) if how == "bearer" or (how != "api_key" and _JWT.fullmatch(key)) else api_key(key)


def _client_credentials(
    reader: ConnectionReader, token_url: str, login: str, secret: str
) -> ClientCredentials:
    return ClientCredentials(
        reader.address("token_url", token_url, strip_api=False), login, secret, reader.text("audience")
    )


_READERS: dict[str, Callable[[ConnectionReader, str | None], tuple[str, Auth, _Key]]] = {
    "mirakl": _mirakl,
    "mirakl_connect": _mirakl_connect,
    "djust": _djust,
}
