"""Checks of a connection: its fields, its key, the rights of its role. Nothing is changed.

Airflow's own test button is off by default, and proves only the key.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_mirakl.api import catalog_manager, offers, products, shops
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.documents import list_documents
from airflow_provider_mirakl.connection_types import CONNECTION_TYPES
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklConfigurationError,
    MiraklError,
    MiraklNotFoundError,
    MiraklPermissionError,
    on_one_line,
)
from airflow_provider_mirakl.files.paths import folder_below, reach
from airflow_provider_mirakl.files.storage import remove, write_bytes
from airflow_provider_mirakl.hooks.advice import hide
from airflow_provider_mirakl.hooks.base import _secrets, hook_of
from airflow_provider_mirakl.hooks.mirakl import MiraklHook

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook

Status = Literal["ok", "warning", "failed"]
_MARKS: dict[Status, str] = {"ok": "OK     ", "warning": "WARNING", "failed": "FAILED "}
NOWHERE = "mirakl-provider-preflight"
"""Name of a product that no instance has."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    :param check: what was checked: ``connection``, ``settings``, ``key``, or a role and Mirakl's code of an
        operation.
    :param status: ``ok``, ``warning`` or ``failed``.
    :param message: for the user; contains no secret.
    """

    check: str
    status: Status
    message: str

    def __str__(self) -> str:
        return f"{_MARKS[self.status]} {self.check}: {self.message}"


@dataclass(frozen=True, slots=True)
class Right:
    """A right that a harmless read proves.

    :param code: Mirakl's code of the operation that is called.
    :param allows: what it allows, for the user.
    :param roles: roles that may have it.
    :param call: makes the call for a caller.
    """

    code: str
    allows: str
    roles: tuple[str, ...]
    call: Callable[[Any], Call[Any]]


def rights() -> tuple[Right, ...]:
    """The rights that are checked. None of their operations may be called only hourly or daily."""
    everyone, operators = ("shop", "operator", "front"), ("operator", "front")
    return (
        Right(
            "P51", "product imports", everyone, lambda caller: products.list_imports(caller=caller, limit=1)
        ),
        Right(
            "OF04",
            "offer imports",
            ("shop", "operator"),
            lambda caller: offers.list_offer_imports(caller=caller, limit=1),
        ),
        Right(
            "PRI02",
            "price imports",
            ("shop", "operator"),
            lambda caller: offers.list_price_imports(caller=caller, limit=1),
        ),
        Right("S30", "documents of shops", everyone, _documents),
        Right(
            "CM51",
            "master products: exports, CM21, proof of a resync",
            operators,
            lambda _: catalog_manager.export_products(filters={"product_id": [NOWHERE]}),
        ),
        Right("S20", "the list of shops", ("operator",), lambda _: shops.list_shops(page_size=1)),
    )


def _documents(caller: Caller) -> Call[Any]:
    if caller.role == "shop" or caller.shop_id is not None:
        return list_documents(caller.role, shop_ids=() if caller.shop_id is None else [caller.shop_id])
    return list_documents(caller.role, updated_since=datetime.now(UTC))  # required without shops


def check(conn_id: str, *, require: Collection[str] = ()) -> list[Finding]:
    """Check a connection, changing nothing.

    :param conn_id: connection of type ``mirakl``, ``mirakl_connect`` or ``djust``.
    :param require: codes of rights without which the check fails; a lack of any other is a warning.
    :return: the findings, in order. A connection that cannot be used ends the checks.
    :raises MiraklConfigurationError: ``require`` names a right that is not checked.
    """
    known = [right.code for right in rights()]
    for code in require:
        if code not in known:
            raise MiraklConfigurationError(
                f"require: {code!r} cannot be checked; use {', '.join(known)}", field="require"
            )
    return list(_check(conn_id, set(require)))


def failed(findings: Sequence[Finding]) -> bool:
    """Whether any check failed."""
    return any(finding.status == "failed" for finding in findings)


def dump(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings as JSON."""
    return [asdict(finding) for finding in findings]


def _check(conn_id: str, require: set[str]) -> Iterator[Finding]:
    try:
        hook = hook_of(conn_id)
        values = hook.values
    except (MiraklError, AirflowException) as error:
        yield Finding("connection", "failed", str(error))
        return
    yield Finding("connection", "ok", f"{conn_id} is of type {hook.conn_type}, at {values.settings.base_url}")
    yield _work_folder()
    yield from _settings(hook)
    works, word = hook.test_connection()
    yield Finding("key", "ok" if works else "failed", word)
    if not works:
        return
    if hook.conn_type != "mirakl":
        if require:
            yield Finding(
                "rights",
                "failed",
                f"a connection of type {hook.conn_type} has none to check; leave out {', '.join(sorted(require))}",
            )
        return
    yield from _all_rights(conn_id, values.roles, require)


def _work_folder() -> Finding:
    """Where tasks keep their notes, and whether this process can write there."""
    name = "work folder"
    try:
        folder = folder_below(None)
        probe = folder / f"preflight-{uuid.uuid4().hex}"
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(probe, b"")
        remove(probe)
    except MiraklError as error:
        return Finding(name, "failed", str(error))
    except Exception as error:  # noqa: BLE001 - whatever the driver of an object store brings
        return Finding(
            name,
            "failed",
            f"{folder} cannot be written to ({type(error).__name__}); see [mirakl] work_folder",
        )
    return Finding(name, "ok", f"{folder}, {'; '.join(filter(None, reach(folder)))}")


def _all_rights(conn_id: str, roles: Collection[str], require: set[str]) -> Iterator[Finding]:
    missing, unknown = set(require), set()
    for role in roles:
        for finding, code in _rights(conn_id, role, require):
            yield finding
            if finding.status == "ok":
                missing.discard(code)
            elif finding.status == "warning":
                unknown.add(code)
    for code in sorted(missing):
        why = "it could not be checked" if code in unknown else "no key of the connection has it"
        yield Finding(code, "failed", f"is required, and {why}")


def _settings(hook: MiraklBaseHook) -> Iterator[Finding]:
    values, settings = hook.values, hook.settings
    words = [f"role {', '.join(values.roles)}"] if values.roles else []
    words += [f"shop {values.shop_id}"] if values.shop_id is not None else []
    words += [f"Mirakl client {values.client_specification_id}"] if values.client_specification_id else []
    words += [f"locales {', '.join(values.locales) or 'any'}", f"timeout {settings.timeout:g} s"]
    yield Finding("settings", "ok", "; ".join(words))
    if values.unknown:
        known = CONNECTION_TYPES[hook.conn_type]["conn-fields"]
        named = ", ".join(on_one_line(f"{name:.50}") for name in values.unknown[:5])
        yield Finding(
            "settings",
            "warning",
            f"the extra contains {named}, which nothing reads; the fields are {', '.join(known)}",
        )
    if settings.interval_factor < 1:
        yield Finding(
            "settings",
            "warning",
            f"interval_factor is {settings.interval_factor:g}: calls come sooner than Mirakl publishes; "
            "only right for a sandbox",
        )
    if settings.base_url.startswith("http://"):
        yield Finding("settings", "warning", "the address is http://, so the key is sent unencrypted")


def _rights(conn_id: str, role: str, require: set[str]) -> Iterator[tuple[Finding, str]]:
    hook = MiraklHook(conn_id, role=role)
    connection = hook.get_connection(conn_id)
    secrets = _secrets(connection, connection.extra_dejson)
    caller = Caller(role, hook.values.shop_id)
    with hook._impatient_client() as client:
        for right in rights():
            if role in right.roles:
                status, word = _try(client, right.call(caller))
                if status == "failed" and right.code not in require:
                    status = "warning"
                name = f"{role} {right.code}"
                yield Finding(name, status, hide(secrets, f"{right.allows}: {word}")), right.code


def _try(client: Client, call: Call[Any]) -> tuple[Status, str]:
    """Make a call, and report whether it is allowed."""
    try:
        client.send(call)
    except MiraklPermissionError as error:
        return "failed", f"the key may not do this: grant its user the right in Mirakl ({error})"
    except MiraklAuthenticationError as error:
        return "failed", f"the key is not accepted here: it may be of another role ({error})"
    except MiraklNotFoundError as error:
        return "failed", f"the instance does not offer this ({error})"
    except MiraklError as error:
        return "warning", f"could not be checked ({error})"
    return "ok", "allowed"
