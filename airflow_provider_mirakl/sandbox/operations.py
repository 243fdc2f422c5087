"""What the sandbox answers, as data: one row per operation (facts, sections 1 to 8)."""

from __future__ import annotations

from airflow_provider_mirakl.sandbox import auth, connect, platform
from airflow_provider_mirakl.sandbox.exchange import Operation
from airflow_provider_mirakl.sandbox.wire import JSON

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0

CONNECT = frozenset({"connect"})
SHOP = frozenset({"shop"})
PLATFORM = frozenset({"operator", "front"})
ALL = SHOP | PLATFORM

OPERATIONS: tuple[Operation, ...] = (
    Operation("token", "auth", "POST", "/oauth/token", auth.token, consumes=(auth.FORM,)),
    Operation(
        "listProducts", "connect", "GET", "/api/products", connect.list_products, CONNECT, MINUTE,
        scope="connect:product:read",
    ),
    Operation(
        "upsertProducts", "connect", "POST", "/api/products", connect.upsert_products, CONNECT, MINUTE,
        consumes=(JSON,), scope="connect:product:write",
    ),
    Operation(
        "deleteProducts", "connect", "DELETE", "/api/products", connect.delete_products, CONNECT, MINUTE,
        consumes=(JSON,), scope="connect:product:delete",
    ),
    Operation("V01", "mirakl", "GET", "/api/version", platform.version),
    Operation("PC01", "mirakl", "GET", "/api/platform/configuration", platform.configuration, ALL),
    Operation("A01", "mirakl", "GET", "/api/account", platform.account, SHOP, DAY),
)  # fmt: skip
