"""Everything that can be set, in one place. Durations are simulated seconds."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

Role = Literal["shop", "operator", "front"]

#: Every permission of Connect.
SCOPES = frozenset(
    f"connect:{scope}"
    for scope in (
        "product:read", "product:write", "product:delete", "order:read", "order:accept", "order:cancel",
        "order:refund", "order:upload-document", "order:action:read", "order:action:write", "order-document:read",
        "order-tracking:read", "order-return:read", "order-return:accept", "order-return:receive",
        "order-return:close", "order-return:update-tracking-information", "shipment:create", "conversation:read",
        "conversation:create", "conversation:reply", "conversation:action:read",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A client of the token server.

    :param account: what Connect counts its limits by (the seller company).
    :param role: the role of its tokens on the instance.
    :param scopes: Connect permissions.
    """

    client_id: str
    secret: str
    account: str = "sandbox-company"
    role: Role = "operator"
    scopes: frozenset[str] = SCOPES


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """An API key of the instance. A shop key belongs to a user of ``shops``; the first is the default shop.

    :param bearer: whether ``Authorization: Bearer <key>`` is accepted besides the raw header.
    """

    key: str
    role: Role
    account: str
    shops: tuple[int, ...] = ()
    bearer: bool = False


DEFAULT_CLIENTS = (OAuthClient("sandbox-client", "sandbox-secret"),)
DEFAULT_KEYS = (
    InstanceKey("sandbox-shop-key", "shop", "shop-user", shops=(2000, 2001)),
    InstanceKey("sandbox-operator-key", "operator", "operator", bearer=True),
    InstanceKey("sandbox-front-key", "front", "front", bearer=True),
)
DEFAULT_DJUST_KEYS = ("sandbox-djust-key",)


CHOICES: dict[str, tuple[str, ...]] = {
    "clock": ("running", "stepped"),
    "limits": ("published", "connect", "off"),
    "unknown_fields": ("reject", "ignore"),
    "duplicate_ids": ("accept", "reject"),
    "oauth_errors": ("rfc6749", "plain"),
    "upload_errors_key": ("documents", "shop_documents", "both"),
    "unlisted_document_types": ("accept", "reject"),
}


@dataclass(slots=True)
class Settings:
    """How the sandbox behaves.

    :param speed: simulated seconds per real second. Every duration is divided by it, no ratio changes.
    :param clock: ``running``, or ``stepped``: time moves only by :meth:`Sandbox.advance`.
    :param seed: makes random choices (faults with a probability, generated data) repeatable.
    :param limits: ``published`` keeps every published call frequency, ``connect`` only those of Connect,
        ``off`` none.
    :param intervals: seconds between two calls, by operation code, instead of the published ones.
    :param pages_count: whether every page of a listing of Connect counts as a call (Mirakl does not say).
    :param refused_calls_count: whether a call answered by 400 uses up the interval (Mirakl does not say).
    :param unknown_fields: what Connect does with a field it does not know (Mirakl does not say).
    :param duplicate_ids: the same product twice in one Connect call: applied in order, or refused (Mirakl
        does not say).
    :param trailing_slash: whether ``/api/products/`` is answered as ``/api/products`` (Mirakl does not say).
    :param oauth_errors: ``rfc6749``, or ``plain`` for a token server that answers text.
    :param token_seconds: life of an access token.
    :param processing_seconds: from Connect's 202 until the change can be read.
    :param action_seconds: from the 202 of an order's or a return's action until it is carried out.
    :param order_seconds: seconds between new orders; 0 for none.
    :param queue_seconds: how long an asynchronous job waits before it runs.
    :param run_seconds: how long an asynchronous job runs.
    :param integration_seconds: from SENT to COMPLETE of a product import.
    :param report_seconds: how long the reports and files of a finished job can be fetched.
    :param cm21_max_items: products per CM21 call (not published), 0 for no limit.
    :param of24_fields: fields that an offer of OF24 needs: ``all`` six that Mirakl's document lists as required; or
        ``few``, since its descriptions call the product optional in an update: only the SKU in a delete, and no product
        in an update.
    :param upload_errors_key: the key of S32's error list: OpenAPI's schema says ``documents``, its sample
        ``shop_documents``; ``both`` sends both.
    :param unlisted_document_types: refuse a file whose extension Mirakl's page does not list.
    :param locked_shop_fields: fields that A02 must not change.
    :param journal_size: calls that the journal keeps.
    """

    speed: float = 1.0
    clock: Literal["running", "stepped"] = "running"
    seed: int = 0
    clients: tuple[OAuthClient, ...] = DEFAULT_CLIENTS
    keys: tuple[InstanceKey, ...] = DEFAULT_KEYS
    djust_keys: tuple[str, ...] = DEFAULT_DJUST_KEYS
    limits: Literal["published", "connect", "off"] = "published"
    intervals: dict[str, float] = field(default_factory=dict)
    pages_count: bool = True
    refused_calls_count: bool = True
    unknown_fields: Literal["reject", "ignore"] = "reject"
    duplicate_ids: Literal["accept", "reject"] = "accept"
    trailing_slash: bool = False
    oauth_errors: Literal["rfc6749", "plain"] = "rfc6749"
    token_seconds: float = 3599.0
    processing_seconds: float = 20.0
    action_seconds: float = 20.0
    order_seconds: float = 0.0
    queue_seconds: float = 15.0
    run_seconds: float = 60.0
    integration_seconds: float = 120.0
    report_seconds: float = 7 * 86400.0
    cm21_max_items: int = 0
    of24_fields: Literal["all", "few"] = "all"
    upload_errors_key: Literal["documents", "shop_documents", "both"] = "documents"
    unlisted_document_types: Literal["accept", "reject"] = "reject"
    locked_shop_fields: frozenset[str] = frozenset()
    journal_size: int = 100_000

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"speed must be greater than 0, not {self.speed!r}")
        if any(key.role == "shop" and not key.shops for key in self.keys):
            raise ValueError("a shop key needs at least one shop")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                words = " or ".join(repr(choice) for choice in choices)
                raise ValueError(f"{name} must be {words}, not {getattr(self, name)!r}")


#: Settings of the command line, and their types.
PLAIN: dict[str, type] = {
    entry.name: {
        "float": float,
        "int": int,
        "bool": bool,
        "frozenset[str]": frozenset,
        "dict[str, float]": dict,
    }.get(str(entry.type), str)
    for entry in fields(Settings)
    if entry.name not in ("speed", "clock", "seed", "clients", "keys", "djust_keys")
}
