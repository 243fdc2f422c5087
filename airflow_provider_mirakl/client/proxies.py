"""Which proxy leads where: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` as routes. Pure.

httpx reads these variables too, but with an entry such as ``[::1]`` or ``fd00::/8`` it makes no client, and it does not
know networks. What is read here:

=============================  =====================================================================
entry of ``NO_PROXY``          is reached without a proxy
=============================  =====================================================================
``*``                          every host
``example.com``, also with     the host and every host below it
``.`` or ``*.`` in front
``example.com:8443``           the same, at this port only
``10.0.0.7``, ``::1``,         this address; with a port (``[::1]:8080``) at this port only
``[::1]``
``10.0.0.0/8``, ``fd00::/8``   a connection whose host is an address in the network
``https://example.com``        the host, with this scheme only
anything else                  nothing: the entry is ignored, with a warning
=============================  =====================================================================
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import urlsplit

from airflow_provider_mirakl.client.settings import can_be_resolved, is_loopback

SCHEMES = ("http", "https", "all")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?")
_DEFAULT_PORTS = {80: "http", 443: "https"}

log = logging.getLogger("airflow_provider_mirakl.client")


def routes(found: Mapping[str, str], hosts: Collection[str]) -> dict[str, str | None]:
    """Routes as httpx's ``mounts`` writes them, each with the address of a proxy, or ``None`` for no proxy.

    :param found: what ``urllib.request.getproxies()`` found, of the environment or of the operating system.
    :param hosts: hosts that will be called. Only of these is it known whether a network contains them.
    """
    proxies = {
        f"{scheme}://": address if "://" in address else f"http://{address}"
        for scheme in SCHEMES
        if (address := found.get(scheme, ""))
    }
    if not proxies:
        return {}
    entries = [entry for entry in re.split(r"[\s,]+", found.get("no", "")) if entry]
    if "*" in entries:
        return {}
    own = (
        "localhost",
        "127.0.0.1",
        "::1",
        *filter(is_loopback, hosts),
    )  # no proxy reaches this machine itself
    direct = {pattern for entry in (*own, *entries) for pattern in _patterns(entry, tuple(hosts))}
    return proxies | dict.fromkeys(sorted(direct))


@functools.lru_cache(maxsize=256)
def _patterns(entry: str, hosts: tuple[str, ...]) -> tuple[str, ...]:
    """The routes of an entry of ``NO_PROXY``. Cached, so that an invalid one is logged once per process."""
    try:
        return tuple(_read(entry.lower(), hosts))
    except ValueError:
        log.warning("NO_PROXY: %r is neither a host nor a network; it is ignored", entry)
        return ()


def _read(entry: str, hosts: tuple[str, ...]) -> Iterator[str]:
    if (address := _address(entry)) is not None:
        yield f"all://{_written(address)}"
        yield from _within(ipaddress.ip_network(address), hosts)  # one may be written in another way
    elif "/" in entry and "://" not in entry:
        network = ipaddress.ip_network(re.sub(r"[\[\]]", "", entry), strict=False)
        yield from _within(network, hosts)
    else:
        parts = urlsplit(entry if "://" in entry else f"all://{entry}")
        if parts.scheme not in SCHEMES or parts.username or parts.path.strip("/") or parts.query:
            raise ValueError(entry)
        yield from _of_host(parts.scheme, parts.hostname or "", parts.port)


def _of_host(scheme: str, host: str, port: int | None) -> Iterator[str]:
    name = host.removeprefix("*").lstrip(".")
    if (address := _address(name)) is not None:
        name = _written(address)
    elif _NAME.fullmatch(name) and can_be_resolved(name):
        name = f"*{name}"
    else:
        raise ValueError(host)
    if port not in _DEFAULT_PORTS:
        yield f"{scheme}://{name}" + ("" if port is None else f":{port}")
    elif scheme in ("all", _DEFAULT_PORTS[port]):  # an address with the port of its scheme has none
        yield f"{_DEFAULT_PORTS[port]}://{name}"


def _address(text: str) -> str | None:
    """An IP address as httpx compares it; ``None`` for a name."""
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]").partition("%")[0]))
    except ValueError:
        return None


def _within(network: ipaddress.IPv4Network | ipaddress.IPv6Network, hosts: tuple[str, ...]) -> Iterator[str]:
    for host in hosts:
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in network:
                yield f"all://{_written(host)}"


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def host_of(address: str) -> str:
    """The host of a URL; empty if it is not a URL."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
