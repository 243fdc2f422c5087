"""Offers, stock and prices: OF01 to OF04, OF24, OF52 to OF54, STO01 to STO03, PRI01 to PRI03. Source: the
Marketplace's OpenAPI documents; see docs/mirakl-facts.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from airflow_provider_mirakl.api.call import (
    CSV,
    Call,
    Json,
    Multipart,
    Operation,
    Page,
    Part,
    Reply,
    encode,
    moment,
    query,
)
from airflow_provider_mirakl.api.caller import SELLER, Caller
from airflow_provider_mirakl.api.paging import offset_page, seek_list
from airflow_provider_mirakl.api.products import Content, file_part, number_id, report, text_id
from airflow_provider_mirakl.exceptions import MiraklInputError

MAX_PAGE = 100
NEWEST_FIRST = "dateCreated,DESC"
REQUIRED_OFFER_FIELDS = ("shop_sku", "product_id", "product_id_type", "price", "state_code", "update_delete")
"""Fields that Mirakl's document requires of every offer of OF24, also of one to be deleted."""
_FEW_FIELDS = {"delete": ("shop_sku", "update_delete"), "update": ("shop_sku", "price", "state_code")}
IMPORTS, STOCK, PRICES = "/api/offers/imports", "/api/offers/stock/imports", "/api/offers/pricing/imports"
EXPORT = "/api/offers/export/async"

OF01 = Operation("OF01", "POST", IMPORTS, replay=False, interval=60)
OF02 = Operation("OF02", "GET", f"{IMPORTS}/{{import_id}}", replay=True, interval=60)
OF03 = Operation("OF03", "GET", f"{IMPORTS}/{{import_id}}/error_report", replay=True, interval=60)
OF04 = Operation("OF04", "GET", IMPORTS, replay=True, interval=60)
# Every offer is replaced as a whole, so sending it again is harmless.
OF24 = Operation("OF24", "POST", "/api/offers", replay=True, interval=60)
STO01 = Operation("STO01", "POST", STOCK, replay=False, interval=60)
STO02 = Operation("STO02", "GET", f"{STOCK}/{{import_id}}/status", replay=True, interval=15)
STO03 = Operation("STO03", "GET", f"{STOCK}/{{import_id}}/error_report", replay=True, interval=60)
PRI01 = Operation("PRI01", "POST", PRICES, replay=False, interval=60)
PRI02 = Operation("PRI02", "GET", PRICES, replay=True, interval=60)
PRI03 = Operation("PRI03", "GET", f"{PRICES}/{{import_id}}/error_report", replay=True, interval=60)
OF21 = Operation("OF21", "GET", "/api/offers", replay=True)
OF52 = Operation("OF52", "POST", EXPORT, replay=False, interval=60)
OF53 = Operation("OF53", "GET", f"{EXPORT}/status/{{tracking_id}}", replay=True, interval=10)
OF54 = Operation("OF54", "GET", "", replay=True)

_OF01_WITH_PRODUCTS = Operation("OF01", "POST", IMPORTS, replay=False, interval=900)
_OF52_FULL = Operation("OF52", "POST", EXPORT, replay=False, interval=86_400)

ImportMode = Literal["NORMAL", "REPLACE", "PARTIAL_UPDATE"]


class OfferImport(NamedTuple):
    """What OF01 answers.

    :param import_id: id of the offer import, or the existing one's if Mirakl recognizes a duplicate.
    :param product_import_id: id of the product import, if the file contains products too.
    """

    import_id: int
    product_import_id: int | None


def import_offers(
    content: Content,
    file_name: str,
    *,
    caller: Caller = SELLER,
    import_mode: ImportMode = "NORMAL",
    with_products: bool = False,
    operator_format: bool = False,
) -> Call[OfferImport]:
    """OF01: create, update or delete offers from a file. At most once a minute for each seller.

    :param content: the file: CSV, XML or XLSX.
    :param import_mode: ``REPLACE`` deletes every offer that the file does not name. Mirakl calls
        ``PARTIAL_UPDATE`` deprecated.
    :param with_products: the file contains products too; then at most every 15 minutes.
    """
    parts = [*caller.parts("OF01"), file_part(content, file_name), Part("import_mode", import_mode.encode())]
    if with_products:
        parts.append(Part("with_products", b"true"))
    if operator_format:
        parts.append(Part("operator_format", b"true"))
    return Call(
        _OF01_WITH_PRODUCTS if with_products else OF01,
        parse=_offer_import,
        body=Multipart(tuple(parts)),
        params=caller.params("OF01"),
        paced_by=f"{caller.name} {'with products' if with_products else ''}".strip(),
    )


def _offer_import(reply: Reply) -> OfferImport:
    body = reply.json_object()
    product_import = body.get("product_import_id")
    return OfferImport(
        number_id(reply, "import_id"), product_import if isinstance(product_import, int) else None
    )


def list_offers(
    *, caller: Caller = SELLER, limit: int = MAX_PAGE, offset: int = 0
) -> Call[Page[dict[str, Json]]]:
    """OF21: the offers of a seller's shop, without those that were deleted. For sellers.

    :param limit: offers a page, 1 to 100.
    :param offset: position of the first one.
    :return: a call that returns one page.
    """
    return Call(
        OF21,
        parse=lambda reply: offset_page(
            reply,
            "offers",
            lambda at: list_offers(caller=caller, limit=limit, offset=at),
            offset=offset,
            page_size=limit,
        ),
        params=(*query(max=limit, offset=offset or None), *caller.check_shop("OF21").params("OF21")),
    )


def get_offer_import(import_id: int, *, caller: Caller = SELLER) -> Call[dict[str, Json]]:
    """OF02: the state of an offer import. At most once a minute; every 5 recommended."""
    return _status(OF02, import_id, caller)


def get_offer_error_report(import_id: int, *, caller: Caller = SELLER) -> Call[bytes]:
    """OF03: the lines in error, in the format of the upload. At most once a minute."""
    return report(OF03, import_id, caller)


def list_offer_imports(
    *,
    caller: Caller = SELLER,
    created_since: datetime | None = None,
    created_to: datetime | None = None,
    status: str | None = None,
    mode: str | None = None,
    origins: Collection[str] = (),
    limit: int = MAX_PAGE,
) -> Call[Page[dict[str, Json]]]:
    """OF04: offer imports, newest first, with the fields of OF02, ``origin`` and ``shop_id``.

    At most once a minute; every 5 recommended.

    :param created_since: only imports that were created since then.
    :param created_to: only imports that were created before.
    :param status: ``WAITING_SYNCHRONIZATION_PRODUCT``, ``WAITING``, ``RUNNING``, ``COMPLETE`` or ``FAILED``.
    :param mode: ``NORMAL`` or ``REPLACE``.
    :param origins: any of ``API``, ``FTP``, ``SFTP``, ``HTTP``, ``HTTPS``, ``FRONT``, ``PENDING_OFFERS``.
    :param limit: imports a page, 1 to 100.
    """
    params = caller.params("OF04") + query(
        start_date=moment(created_since),
        end_date=moment(created_to),
        status=status,
        mode=mode,
        origins=list(origins) or None,
        sort=NEWEST_FIRST,
        limit=limit,
    )
    return seek_list(OF04, "data", params)


def required_fields(offer: Mapping[str, Json], *, few: bool = False) -> tuple[str, ...]:
    """The required fields of an offer of OF24.

    :param few: by the descriptions of Mirakl's document, which call the product optional at an update, instead of its
        list of required fields. That a delete needs only the SKU is uncertain.
    """
    if not few:
        return REQUIRED_OFFER_FIELDS
    return _FEW_FIELDS["delete" if offer.get("update_delete") == "delete" else "update"]


def upsert_offers(offers: Sequence[Mapping[str, Json]] | bytes, *, caller: Caller = SELLER) -> Call[int]:
    """OF24: create, update or delete offers. At most once a minute.

    Every offer is replaced as a whole: a field that is not sent goes back to its default.

    :param offers: the offers; or the encoded body ``{"offers": [...]}``, sent as it is.
    :return: a call that returns the import's id, or the existing one's if Mirakl recognizes a duplicate.
    """
    if not offers:
        raise MiraklInputError("OF24 needs at least one offer")
    body = offers if isinstance(offers, bytes) else encode({"offers": list(offers)})
    return Call(
        OF24,
        parse=lambda reply: number_id(reply, "import_id"),
        body=body,
        params=caller.params("OF24"),
    )


def import_stock(content: Content, file_name: str, *, caller: Caller = SELLER) -> Call[str]:
    """STO01: set stock from a CSV file (``offer-sku;quantity;warehouse-code;update-delete``). At most once a minute."""
    return _upload(STO01, content, file_name, caller)


def get_stock_import(import_id: str, *, caller: Caller = SELLER) -> Call[dict[str, Json]]:
    """STO02: the state of a stock import. At most every 15 seconds; every 5 minutes recommended."""
    return _status(STO02, import_id, caller)


def get_stock_error_report(import_id: str, *, caller: Caller = SELLER) -> Call[bytes]:
    """STO03: the lines in error, CSV. At most once a minute."""
    return report(STO03, import_id, caller)


def import_prices(content: Content, file_name: str, *, caller: Caller = SELLER) -> Call[str]:
    """PRI01: set prices from a CSV file. At most once a minute.

    An offer's prices are deleted and replaced: send all of them, 50 at most.
    """
    return _upload(PRI01, content, file_name, caller)


def list_price_imports(
    *,
    caller: Caller = SELLER,
    import_ids: Collection[str] = (),
    created_since: datetime | None = None,
    created_to: datetime | None = None,
    status: str | None = None,
    origins: Collection[str] = (),
    limit: int = MAX_PAGE,
) -> Call[Page[dict[str, Json]]]:
    """PRI02: price imports, newest first. At most once a minute; every 5 recommended.

    Mirakl has no call for one import: filter by its id.

    :param import_ids: only these.
    :param created_since: only imports that were created since then.
    :param created_to: only imports that were created before.
    :param status: ``WAITING``, ``RUNNING``, ``COMPLETE`` or ``FAILED``.
    :param origins: as for :func:`list_offer_imports`.
    :param limit: imports a page, 1 to 100.
    """
    params = caller.params("PRI02") + query(
        import_id=list(import_ids),
        start_date=moment(created_since),
        end_date=moment(created_to),
        status=status,
        origins=list(origins) or None,
        sort=NEWEST_FIRST,
        limit=limit,
    )
    return seek_list(PRI02, "data", params)


def get_price_import(import_id: str, *, caller: Caller = SELLER) -> Call[dict[str, Json]]:
    """PRI02 for one import: the state of a price import. At most once a minute.

    :raises MiraklReplyError: on reading a reply without it.
    """
    listing = list_price_imports(caller=caller, import_ids=[import_id])

    def only(reply: Reply) -> dict[str, Json]:
        for item in reply.list_of_objects("data"):
            if item.get("import_id") == import_id:
                return item
        raise reply.unreadable(f"the price import {import_id}", "a list that does not contain it")

    return Call(PRI02, parse=only, params=listing.params, paced_by=f"import {import_id}")


def get_price_error_report(import_id: str, *, caller: Caller = SELLER) -> Call[bytes]:
    """PRI03: the lines of offers with a price in error, CSV. At most once a minute."""
    return report(PRI03, import_id, caller)


def start_offer_export(
    *,
    caller: Caller = SELLER,
    updated_since: datetime | None = None,
    export_type: str = CSV,
    items_per_chunk: int | None = None,
    megabytes_per_chunk: int | None = None,
    channel_codes: Collection[str] = (),
    options: Mapping[str, Json] | None = None,
) -> Call[str]:
    """OF52: start an asynchronous export of offers. A delta at most once a minute, everything once a day.

    :param updated_since: only what changed since then (``last_request_date``).
    :param options: further fields of the body by Mirakl's names: ``include_fields``, ``rename_fields``,
        ``include_inactive_offers``, ``shipping_zones``, ``ongoing_discount_campaign_identifiers``.
    :return: a call that returns the tracking id, or the existing export's if Mirakl recognizes a duplicate.
    :raises MiraklInputError: inactive offers are asked for together with ``updated_since``, which Mirakl refuses.
    """
    if updated_since is not None and (options or {}).get("include_inactive_offers"):
        raise MiraklInputError(
            "include_inactive_offers cannot be used with updated_since: leave out one of them (OF52 exports changes "
            "with the offers that became inactive, or everything)"
        )
    body: dict[str, object] = {
        "last_request_date": moment(updated_since),
        "export_type": export_type,
        "items_per_chunk": items_per_chunk,
        "megabytes_per_chunk": megabytes_per_chunk,
        "channel_codes": list(channel_codes) or None,
        **(options or {}),
    }
    return Call(
        OF52 if updated_since is not None else _OF52_FULL,
        parse=lambda reply: text_id(reply, "tracking_id"),
        body=encode({name: value for name, value in body.items() if value is not None}),
        params=caller.check_shop("OF52").params("OF52"),
        paced_by=f"{caller.name} {'full' if updated_since is None else 'differential'}".strip(),
    )


def get_offer_export(tracking_id: str, *, caller: Caller = SELLER) -> Call[dict[str, Json]]:
    """OF53: state of an export, and the addresses of its files. At most every 10 seconds; once a minute recommended."""
    return Call(
        OF53,
        parse=Reply.state,
        path=OF53.at(tracking_id=tracking_id),
        params=caller.params("OF53"),
        paced_by=tracking_id,
    )


def get_offer_export_file(url: str, *, accept: str = CSV) -> Call[bytes]:
    """OF54: one file of an export, from the address that OF53 gave. Meant for ``Client.stream``."""
    return Call(OF54, parse=lambda reply: reply.body, path=url, accept=accept)


def _upload(operation: Operation, content: Content, file_name: str, caller: Caller) -> Call[str]:
    return Call(
        operation,
        parse=lambda reply: text_id(reply, "import_id", "importId"),
        body=Multipart((*caller.parts(operation.code), file_part(content, file_name))),
        params=caller.params(operation.code),
    )


def _status(operation: Operation, import_id: int | str, caller: Caller) -> Call[dict[str, Json]]:
    return Call(
        operation,
        parse=Reply.state,
        path=operation.at(import_id=import_id),
        params=caller.params(operation.code),
        paced_by=f"import {import_id}",
    )
