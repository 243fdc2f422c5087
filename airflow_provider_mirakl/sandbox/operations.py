"""The operations of the sandbox, as data: one row each.

Intervals are the published maximum frequencies. Where the interval depends on what the call carries (P41, OF01, OF24,
STO01, PRI01, OF52, OR13, TL03, CM11), the handler counts it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_provider_mirakl.sandbox.machine.exchange import Handler, Operation
from airflow_provider_mirakl.sandbox.machine.uploads import MULTIPART
from airflow_provider_mirakl.sandbox.machine.wire import JSON
from airflow_provider_mirakl.sandbox.systems import (
    auth,
    catalog_manager,
    connect,
    djust,
    documents,
    marketplace,
    offers,
    order_calls,
    platform,
    products,
    shopupdate,
)

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0

CONNECT = frozenset({"connect"})
DJUST = frozenset({"djust"})
SHOP = frozenset({"shop"})
OPERATOR = frozenset({"operator"})
PLATFORM = frozenset({"operator", "front"})
ALL = SHOP | PLATFORM

CSV = "text/csv"
OCTETS = "application/octet-stream"
ZIP = "application/zip"


def _connect(code: str, method: str, handler: Handler, scope: str) -> Operation:
    body = () if method == "GET" else (JSON,)
    scope = f"connect:product:{scope}"
    return Operation(
        code, "connect", method, "/api/products", handler, CONNECT, MINUTE, consumes=body, scope=scope
    )


def _orders(code: str, method: str, path: str, handler: Handler, scope: str, **more: Any) -> Operation:
    more.setdefault("consumes", () if method == "GET" else (JSON,))
    return Operation(
        code, "connect", method, f"/api{path}", handler, CONNECT, scope=f"connect:{scope}", **more
    )


def _read(
    code: str,
    path: str,
    handler: Handler,
    roles: frozenset[str] = ALL,
    interval: float = 0.0,
    produces: tuple[str, ...] = (JSON,),
) -> Operation:
    """A GET of the instance; calls with the same query are counted together."""
    return Operation(
        code, "mirakl", "GET", f"/api{path}", handler, roles, interval, "resource", produces=produces
    )


def _write(code: str, path: str, handler: Handler, roles: frozenset[str] = ALL, **more: Any) -> Operation:
    return Operation(code, "mirakl", more.pop("method", "POST"), f"/api{path}", handler, roles, **more)


_FILES = (MULTIPART,)
_ORDER = "/v2/orders/{order_id}"
_RETURN = "/v2/orders/returns/{return_id}"
_CONVERSATIONS = "/conversations"
_IMPORT = "/products/imports/{import}"
_SYNC = "/mcm/products/synchronization"
_OFFER = "/offers/imports"
_STOCK = "/offers/stock/imports"
_PRICE = "/offers/pricing/imports"

OPERATIONS: tuple[Operation, ...] = (
    Operation("token", "auth", "POST", "/oauth/token", auth.token, consumes=(auth.FORM,)),
    # Mirakl Connect
    _connect("listProducts", "GET", connect.list_products, "read"),
    _connect("upsertProducts", "POST", connect.upsert_products, "write"),
    _connect("deleteProducts", "DELETE", connect.delete_products, "delete"),
    # Orders, returns and conversations of Mirakl Connect
    _orders("v2-listOrders", "GET", "/v2/orders", order_calls.list_orders, "order:read", interval=MINUTE),
    _orders("v2-acceptOrderLines", "PUT", f"{_ORDER}/accept", order_calls.accept, "order:accept"),
    _orders("v2-createShipment", "POST", f"{_ORDER}/shipments", order_calls.ship, "shipment:create"),
    _orders("v2-cancelOrderLines", "POST", f"{_ORDER}/cancel", order_calls.cancel, "order:cancel"),
    _orders("v2-refundOrderLines", "POST", f"{_ORDER}/refund", order_calls.refund, "order:refund"),
    _orders(
        "v2-getActionStatus",
        "GET",
        "/v2/orders/actions/{action_id}",
        order_calls.action,
        "order:action:read",
        interval=MINUTE,
        per="resource",
    ),
    _orders(
        "v2-getOrderTracking",
        "GET",
        "/v2/orders/tracking/{tracking_id}",
        partial(order_calls.action, name="tracking_id"),
        "order-tracking:read",
    ),
    _orders(
        "v2-reportOrderActions",
        "POST",
        "/v2/orders/actions",
        order_calls.report,
        "order:action:write",
        interval=MINUTE,
    ),
    _orders(
        "v2-listOrderDocuments",
        "GET",
        "/v2/orders/documents",
        order_calls.list_documents,
        "order-document:read",
    ),
    _orders(
        "v2-downloadOrderDocuments",
        "GET",
        f"{_ORDER}/documents",
        order_calls.download_documents,
        "order-document:read",
        produces=(ZIP,),
    ),
    _orders(
        "v2-uploadOrderDocument",
        "POST",
        f"{_ORDER}/documents",
        order_calls.upload_document,
        "order:upload-document",
        consumes=_FILES,
    ),
    _orders(
        "v2-listReturns",
        "GET",
        "/v2/orders/returns",
        order_calls.list_returns,
        "order-return:read",
        interval=MINUTE,
    ),
    _orders("v2-acceptReturn", "PUT", f"{_RETURN}/accept", order_calls.accept_return, "order-return:accept"),
    _orders(
        "v2-acknowledgeReturnReception",
        "PUT",
        f"{_RETURN}/receive",
        order_calls.receive_return,
        "order-return:receive",
        consumes=(),
    ),
    _orders(
        "v2-closeReturn",
        "PUT",
        f"{_RETURN}/close",
        order_calls.close_return,
        "order-return:close",
        consumes=(),
    ),
    _orders(
        "v2-updateReturnTrackingInformation",
        "PUT",
        f"{_RETURN}/trackings",
        order_calls.track_return,
        "order-return:update-tracking-information",
    ),
    _orders("listConversations", "GET", _CONVERSATIONS, order_calls.list_conversations, "conversation:read"),
    _orders(
        "createConversation",
        "POST",
        _CONVERSATIONS,
        order_calls.create_conversation,
        "conversation:create",
        consumes=_FILES,
    ),
    _orders(
        "getConversationMessages",
        "GET",
        f"{_CONVERSATIONS}/{{conversationId}}",
        order_calls.messages,
        "conversation:read",
    ),
    _orders(
        "createMessage",
        "POST",
        f"{_CONVERSATIONS}/{{conversationId}}/messages",
        order_calls.create_message,
        "conversation:reply",
        consumes=_FILES,
    ),
    _orders(
        "downloadConversationAttachments",
        "GET",
        f"{_CONVERSATIONS}/{{conversationId}}/attachments",
        order_calls.download_attachments,
        "conversation:read",
        produces=(ZIP,),
    ),
    _orders(
        "getConversationActionStatus",
        "GET",
        f"{_CONVERSATIONS}/actions/{{actionId}}",
        partial(order_calls.action, name="actionId"),
        "conversation:action:read",
    ),
    # Platform and shops
    _read("V01", "/version", platform.version, frozenset()),
    _read("PC01", "/platform/configuration", platform.configuration),
    _read("A01", "/account", platform.account, SHOP, DAY),
    _write("A02", "/account", shopupdate.update, SHOP, method="PUT", interval=DAY, consumes=(JSON,)),
    _read("A21", "/account/statistics", platform.statistics, SHOP, DAY),
    _read("S20", "/shops", platform.shops, OPERATOR),
    _read("AF01", "/additional_fields", platform.additional_fields, interval=DAY),
    _read("CH11", "/channels", platform.channels, interval=DAY),
    _read("CUR01", "/currencies", platform.currencies, interval=DAY),
    _read("DO01", "/documents", platform.documents, interval=DAY),
    _read("L01", "/locales", platform.locales, interval=DAY),
    _read("RO02", "/users/shops/roles", platform.roles),
    _read("H11", "/hierarchies", platform.hierarchies, interval=HOUR),
    _read("PM11", "/products/attributes", platform.attributes, interval=HOUR, produces=(JSON, CSV)),
    _read("VL11", "/values_lists", platform.values_lists, interval=HOUR),
    # Shop documents
    _read("S30", "/shops/documents", documents.s30),
    _read("S31", "/shops/documents/download", documents.s31, produces=(OCTETS,)),
    _write("S32", "/shops/documents", documents.s32, consumes=_FILES),
    _write("S33", "/shops/documents/{document_id}", documents.s33, method="DELETE"),
    # Product imports
    _write("P41", "/products/imports", products.p41, per="handler", consumes=_FILES),
    Operation("P51", "mirakl", "GET", "/api/products/imports", products.p51, ALL, MINUTE),
    _read("P42", _IMPORT, products.p42, interval=MINUTE),
    _read("P44", f"{_IMPORT}/error_report", products.p44, produces=(OCTETS,)),
    _read("P45", f"{_IMPORT}/new_product_report", products.p45, produces=(OCTETS,)),
    _read("P46", f"{_IMPORT}/transformed_file", products.p46, produces=(CSV,)),
    _read("P47", f"{_IMPORT}/transformation_error_report", products.p47, produces=(OCTETS,)),
    # Catalog Manager
    Operation(
        "CM11",
        "mirakl",
        "GET",
        "/api/mcm/products/sources/status/export",
        catalog_manager.cm11,
        ALL,
        per="handler",
    ),
    _write("CM21", _SYNC, catalog_manager.cm21, PLATFORM, consumes=(JSON,)),
    _read("CM22", f"{_SYNC}/{{tracking_id}}", catalog_manager.cm22, PLATFORM),
    _read("CM23", f"{_SYNC}/{{tracking_id}}/report", catalog_manager.cm23, PLATFORM),
    _read("CM51", "/mcm/products/export", catalog_manager.cm51, PLATFORM, produces=(JSON, CSV)),
    _write("CM52", "/mcm/products/export/async", catalog_manager.cm52, PLATFORM, consumes=(JSON,)),
    _read("CM53", "/mcm/products/export/async/status/{tracking_id}", catalog_manager.cm53, PLATFORM),
    _read("CM61", "/mcm/products/deleted/export", catalog_manager.cm61, PLATFORM, produces=(JSON, CSV)),
    # Offers, stock, prices
    _write("OF01", _OFFER, offers.of01, SHOP | OPERATOR, per="handler", consumes=_FILES),
    Operation("OF04", "mirakl", "GET", f"/api{_OFFER}", offers.of04, SHOP | OPERATOR, MINUTE),
    _read("OF02", f"{_OFFER}/{{import}}", offers.of02, SHOP | OPERATOR, MINUTE),
    _read("OF03", f"{_OFFER}/{{import}}/error_report", offers.of03, SHOP | OPERATOR, MINUTE, (OCTETS,)),
    _write("OF24", "/offers", offers.of24, SHOP | OPERATOR, per="handler", consumes=(JSON,)),
    _write("STO01", _STOCK, offers.sto01, SHOP | OPERATOR, per="handler", consumes=_FILES),
    _read("STO02", f"{_STOCK}/{{import_id}}/status", offers.sto02, SHOP | OPERATOR, 15.0),
    _read("STO03", f"{_STOCK}/{{import_id}}/error_report", offers.sto03, SHOP | OPERATOR, MINUTE, (CSV,)),
    _write("PRI01", _PRICE, offers.pri01, SHOP | OPERATOR, per="handler", consumes=_FILES),
    _read("PRI02", _PRICE, offers.pri02, SHOP | OPERATOR, MINUTE),
    _read("PRI03", f"{_PRICE}/{{import_id}}/error_report", offers.pri03, SHOP | OPERATOR, MINUTE, (CSV,)),
    _write("OF52", "/offers/export/async", offers.of52, ALL, per="handler", consumes=(JSON,)),
    _read("OF53", "/offers/export/async/status/{tracking_id}", offers.of53, ALL, 10.0),
    _read("OF21", "/offers", offers.of21, SHOP),
    # The listings of a Marketplace besides offers
    _read("OR11", "/orders", marketplace.or11, interval=MINUTE),
    _write("OR13", "/orders/async-export", marketplace.or13, per="handler", consumes=(JSON,)),
    _read("OR14", "/orders/async-export/status/{tracking_id}", marketplace.or14),
    _read("TL02", "/sellerpayment/transactions_logs", marketplace.tl02, interval=MINUTE),
    _write(
        "TL03", "/sellerpayment/transactions_logs/async", marketplace.tl03, per="handler", consumes=(JSON,)
    ),
    _read(
        "TL04", "/sellerpayment/transactions_logs/async/status/{tracking_id}", marketplace.tl04, interval=10.0
    ),
    _read("IV01", "/invoices", marketplace.iv01, interval=DAY),
    _read("RT11", "/returns", marketplace.rt11, interval=5 * MINUTE),
    _read("M11", "/inbox/threads", marketplace.m11),
    # The files of exports have URLs that only the status contains
    Operation(
        "CM54",
        "mirakl",
        "GET",
        "/dynamic/CM54/{tracking_id}/{file}",
        catalog_manager.cm54,
        PLATFORM,
        produces=(JSON, CSV),
    ),
    Operation(
        "OF54",
        "mirakl",
        "GET",
        "/dynamic/OF54/{tracking_id}/{file}",
        offers.of54,
        ALL,
        produces=(JSON, CSV),
    ),
    Operation("OR15", "mirakl", "GET", "/dynamic/OR15/{tracking_id}/{file}", marketplace.or15, ALL),
    Operation("TL05", "mirakl", "GET", "/dynamic/TL05/{tracking_id}/{file}", marketplace.tl05, ALL),
    # DJUST
    Operation(
        "ADM-MIRAKL-100",
        "djust",
        "POST",
        "/v1/mapper/mirakl/product-synchronizations",
        djust.synchronize,
        DJUST,
        consumes=(JSON,),
    ),
)
