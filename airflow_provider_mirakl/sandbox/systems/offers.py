"""Offers, stock and prices of the Marketplace."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from airflow_provider_mirakl.sandbox.machine import checks, paging, uploads
from airflow_provider_mirakl.sandbox.machine.checks import array, fields, number, text
from airflow_provider_mirakl.sandbox.machine.core import Machine, Part
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.values import parse_date
from airflow_provider_mirakl.sandbox.machine.wire import JSON, ApiError, Problem, Reply, dumps
from airflow_provider_mirakl.sandbox.systems import exports, reference, tables
from airflow_provider_mirakl.sandbox.systems.catalog_manager import Catalog
from airflow_provider_mirakl.sandbox.systems.jobs import File, Job, Jobs
from airflow_provider_mirakl.sandbox.systems.products import QUARTER, ProductImports
from airflow_provider_mirakl.sandbox.systems.shops import Shops, shop_of
from airflow_provider_mirakl.sandbox.systems.tables import Row, Table, UnreadableFileError

MINUTE = 60.0
OFFER = ("OF01",)
STOCK = ("STO01",)
PRICE = ("PRI01",)
MODES = ("NORMAL", "REPLACE", "PARTIAL_UPDATE")
STATES = frozenset(str(state) for state in range(1, 12))
MAX_PRICES = 50
OFFER_COLUMNS = frozenset(
    {
        "sku",
        "product-id",
        "product-id-type",
        "internal-description",
        "price",
        "price-additional-info",
        "quantity",
        "min-quantity-alert",
        "state",
        "available-start-date",
        "available-end-date",
        "logistic-class",
        "discount-price",
        "discount-start-date",
        "discount-end-date",
        "leadtime-to-ship",
        "update-delete",
    }
)

Offer = dict[str, Any]
Check = Callable[[Job, int, Row], tuple[str, str]]


def _number(value: str) -> float | None:
    try:
        found = float(value.replace(",", "."))
    except ValueError:
        return None
    return found if 0 <= found < 1e12 else None


class Offers(Part):
    """Offers by shop and SKU, and the imports that change them."""

    name = "offers"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._jobs = machine.part(Jobs)
        self._last = 0
        self.offers: dict[str, Offer] = {}
        work: tuple[tuple[str, tuple[str, ...], Check], ...] = (
            ("OF01", ("sku",), self._offer),
            ("STO01", ("offer-sku", "quantity"), self._stock),
            ("PRI01", ("offer-sku", "price"), self._price),
        )
        for kind, columns, check in work:
            self._jobs.on(kind, "RUNNING", lambda job, columns=columns: self._read(job, columns))  # type: ignore[misc]
            self._jobs.on(kind, "COMPLETE", lambda job, check=check: self._work(job, check))  # type: ignore[misc]
            self._jobs.on(kind, "FAILED", self._give_up)
        self._jobs.on("OF52", "COMPLETED", self._export)

    def count(self, shop: int) -> int:
        """Active offers of a shop."""
        return sum(1 for offer in self.offers.values() if offer["shop"] == shop and _active(offer))

    def reset(self) -> None:
        """Forget all offers."""
        self.offers.clear()

    def dump(self) -> Any:
        """As JSON, for a restart."""
        return {"last": self._last, "offers": self.offers}

    def load(self, saved: Any) -> None:
        """Replace the content by that of :meth:`dump`."""
        self._last, self.offers = saved["last"], saved["offers"]

    # Imports

    def submit(
        self, exchange: Exchange, kind: str, body: bytes, data: dict[str, Any], digest: str = ""
    ) -> Job:
        """Take a file."""
        settings = self._machine.settings
        stages = [("WAITING", settings.queue_seconds), ("RUNNING", settings.run_seconds)]
        if data.get("product_import"):
            product = self._jobs.all[data["product_import"]]
            end = product.working[1] + settings.integration_seconds - self._machine.clock.now()
            stages.insert(0, ("WAITING_SYNCHRONIZATION_PRODUCT", end + 1.0))
        items = []
        try:
            rows = tables.read(body).rows
            items = [row.get("sku") or row.get("offer-sku") or f"#{line}" for line, row in enumerate(rows)]
        except UnreadableFileError as error:
            data["unreadable"] = str(error)
        data["total"] = exchange.items = len(items)
        code = exchange.operation.code if exchange.operation else kind
        entry = self._machine.ledger.open(
            exchange.number, code, exchange.principal.account, exchange.moment, items
        )
        job = self._jobs.submit(
            exchange, kind, stages, "COMPLETE", data, entry.key, numbered=kind == "OF01", digest=digest
        )
        job.files["upload"] = File(body, "text/csv", str(data.get("file_name") or "offers.csv"))
        return job

    def _read(self, job: Job, columns: tuple[str, ...]) -> None:
        reason = job.data.get("unreadable", "")
        if not reason:
            header = tables.read(job.files["upload"].body).header
            missing = [column for column in columns if column not in header]
            reason = f"The file lacks the column {', '.join(missing)}." if missing else ""
        if reason:
            self._jobs.enter(job, "FAILED", reason)

    def _work(self, job: Job, check: Check) -> None:
        table = tables.read(job.files["upload"].body)
        entry = self._machine.ledger.calls.get(job.entry)
        bad: list[Row] = []
        results: list[str] = []
        job.data["seen"] = []
        for line, row in enumerate(table.rows):
            result, message = check(job, line, row)
            results.append(result)
            if message:
                bad.append({**row, "error-line": str(line + 2), "error-message": message})
            if entry is not None:
                entry.mark(line, result, message)
        if entry is not None:
            entry.settled = self._machine.clock.now()
        if job.data.get("mode") == "REPLACE":
            self._replace(job)
        job.data["results"] = {name: results.count(name) for name in set(results)}
        job.data["failed"] = len(bad)
        if bad:
            header = (*table.header, "error-line", "error-message")
            report = table.with_rows(header, bad)
            media_type = tables.MEDIA_TYPES[table.format]
            job.files["error_report"] = File(report.dump(), media_type, f"errors-{job.id}.{table.format}")

    def _give_up(self, job: Job) -> None:
        entry = self._machine.ledger.calls.get(job.entry)
        if entry is not None:
            for line in range(len(entry.items)):
                entry.mark(line, "failed", job.reason)
            entry.settled = self._machine.clock.now()

    def _known(self, job: Job, sku: str) -> Offer | None:
        offer = self.offers.get(f"{job.shop}|{sku}")
        return None if offer is None or offer["deleted"] else offer

    def _offer(self, job: Job, line: int, row: Row) -> tuple[str, str]:
        sku = row.get("sku", "")
        if not sku:
            return "failed", "The SKU is missing."
        if sku in job.data["seen"]:
            return "failed", f"The SKU {sku} appears twice in the file."
        job.data["seen"].append(sku)
        before = self._known(job, sku)
        if row.get("update-delete", "").lower() == "delete":
            if before is None:
                return "failed", f"There is no offer with the SKU {sku} to delete."
            before.update(deleted=True, quantity=0, updated=self._machine.clock.now())
            return "deleted", ""
        message = self._wrong(job, row, before)
        if message:
            return "failed", message
        self._put(job, sku, row, before)
        return ("created" if before is None else "updated"), ""

    def _wrong(self, job: Job, row: Row, before: Offer | None) -> str:
        if _number(row.get("price", "")) is None:
            return "The price is missing or not a number."
        if row.get("quantity", "") and not row["quantity"].isdecimal():
            return "The quantity is not a whole number."
        if row.get("state", "") not in STATES:
            return "The state is missing or unknown."
        if before is None and self._product(job, row) is None:
            return f"The product {row.get('product-id', '')} is unknown."
        return ""

    def _product(self, job: Job, row: Row) -> dict[str, Any] | None:
        assert job.shop is not None  # noqa: S101 - an offer always has a shop
        catalog = self._machine.part(Catalog)
        key = row.get("product-id", "")
        found: dict[str, Callable[[], dict[str, Any] | None]] = {
            "SHOP_SKU": lambda: catalog.by_source(job.shop or 0, key),
            "SKU": lambda: catalog.by_sku(key),
            "EAN": lambda: catalog.by_ean(key),
            "MIRAKL_PRODUCT_ID": lambda: catalog.products.get(key),
        }
        kind = row.get("product-id-type", "").upper()
        if not key and row.get(reference.SKU):
            return catalog.by_source(job.shop, row[reference.SKU])
        return found[kind]() if kind in found else None

    def _put(self, job: Job, sku: str, row: Row, before: Offer | None) -> None:
        now = self._machine.clock.now()
        product = self._product(job, row)
        if before is None:
            self._last += 1
        self.offers[f"{job.shop}|{sku}"] = {
            "id": before["id"] if before else 3000 + self._last,
            "shop": job.shop,
            "sku": sku,
            "product_sku": product["sku"] if product else before["product_sku"] if before else "",
            "price": _number(row["price"]),
            "quantity": int(row.get("quantity") or 0),
            "warehouses": {},
            "state": row["state"],
            "description": row.get("description", ""),
            "discount": _number(row.get("discount-price", "")),
            "deleted": False,
            "created": before["created"] if before else now,
            "updated": now,
        }

    def _replace(self, job: Job) -> None:
        """Mode REPLACE: offers that are not in the file are deleted."""
        kept = set(job.data["seen"])
        gone = [
            offer for offer in self.offers.values() if offer["shop"] == job.shop and offer["sku"] not in kept
        ]
        for offer in gone:
            if not offer["deleted"]:
                offer.update(deleted=True, quantity=0, updated=self._machine.clock.now())
        job.data["replaced"] = len(gone)

    def _stock(self, job: Job, line: int, row: Row) -> tuple[str, str]:
        offer = self._known(job, row["offer-sku"])
        if offer is None:
            return "failed", f"There is no offer with the SKU {row['offer-sku']}."
        warehouse = row.get("warehouse-code", "")
        if [row["offer-sku"], warehouse] in job.data["seen"]:
            return "failed", "The offer and warehouse appear twice in the file."
        job.data["seen"].append([row["offer-sku"], warehouse])
        if row.get("update-delete", "").lower() == "delete":
            offer["warehouses"].pop(warehouse, None)
        elif not row["quantity"].isdecimal():
            return "failed", "The quantity is not a whole number."
        elif warehouse:
            offer["warehouses"][warehouse] = int(row["quantity"])
        if offer["warehouses"]:
            offer["quantity"] = sum(offer["warehouses"].values())
        elif row["quantity"].isdecimal():
            offer["quantity"] = int(row["quantity"])
        offer["updated"] = self._machine.clock.now()
        return "updated", ""

    def _price(self, job: Job, line: int, row: Row) -> tuple[str, str]:
        sku = row["offer-sku"]
        offer = self._known(job, sku)
        if offer is None:
            return "failed", f"There is no offer with the SKU {sku}."
        price = _number(row["price"])
        if price is None:
            return "failed", "The price is missing or not a number."
        discount = row.get("discount-price", "")
        if discount and _number(discount) is None:
            return "failed", "The discount price is not a number."
        for column in ("discount-start-date", "discount-end-date"):
            if row.get(column) and parse_date(row[column]) is None:
                return "failed", f"{column} is not an ISO 8601 date-time."
        if job.data["seen"].count(sku) >= MAX_PRICES:
            return "failed", f"An offer has at most {MAX_PRICES} prices."
        job.data["seen"].append(sku)
        if not row.get("channels"):
            offer["price"], offer["discount"] = price, _number(discount) if discount else None
        offer["updated"] = self._machine.clock.now()
        return "updated", ""

    # Views

    def _lines(self, job: Job) -> tuple[int, int, int]:
        """Lines read, in success, in error; they grow while the import runs."""
        total = int(job.data["total"])
        if job.status == "COMPLETE":
            failed = int(job.data["failed"])
            return total, total - failed, failed
        if job.status == "RUNNING":
            read = int(total * job.part(self._machine.clock.now()))
            return read, read, 0
        return 0, 0, 0

    def offer_view(self, job: Job, listed: bool) -> dict[str, Any]:
        """An import as in OF02 and OF04."""
        read, good, bad = self._lines(job)
        results = job.data.get("results", {})
        view: dict[str, Any] = {
            "import_id": int(job.id),
            "date_created": self._machine.clock.iso(job.created),
            "status": job.status,
            "mode": job.data["mode"],
            "lines_read": read,
            "lines_in_success": good,
            "lines_in_error": bad,
            # An import that waits has not read its file: no line counts yet.
            "lines_in_pending": int(job.data["total"]) - read if job.status == "RUNNING" else 0,
            "offer_inserted": results.get("created", 0),
            "offer_updated": results.get("updated", 0),
            "offer_deleted": results.get("deleted", 0) + job.data.get("replaced", 0),
            "has_error_report": self._jobs.has(job, "error_report"),
            "reason_status": job.reason,
        }
        return {**view, "origin": "API", "shop_id": job.shop} if listed else {**view, "type": "MIRAKL"}

    def stock_view(self, job: Job) -> dict[str, Any]:
        """An import as in STO02."""
        _, good, bad = self._lines(job)
        return {
            "import_id": job.id,
            "shop_id": job.shop,
            "date_created": self._machine.clock.iso(job.created),
            "status": job.status,
            "lines_in_success": good,
            "lines_in_error": bad,
            "has_error_report": self._jobs.has(job, "error_report"),
        }

    def price_view(self, job: Job) -> dict[str, Any]:
        """An import as in PRI02."""
        view = self.stock_view(job)
        updated = set(job.data.get("seen", ())) if job.status == "COMPLETE" else set()
        view["offers_updated"] = len(updated)
        view["offers_in_error"] = view["lines_in_error"]
        return {**view, "origin": "API", "reason_status": job.reason}

    # Export

    def _export(self, job: Job) -> None:
        since, inactive = job.data["since"], job.data["inactive"]
        found = [
            offer
            for offer in self.offers.values()
            if (job.shop is None or offer["shop"] == job.shop)
            and (offer["updated"] >= since if since is not None else inactive or _active(offer))
        ]
        if job.data["export_type"] == JSON:
            exports.leave_files(
                job, found, lambda part: dumps([self._element(offer) for offer in part]), JSON
            )
        else:
            exports.leave_files(job, found, lambda part: self._csv(job, part), exports.CSV)

    def _element(self, offer: Offer) -> dict[str, Any]:
        iso = self._machine.clock.iso
        prices: dict[str, Any] = {"origin_price": offer["price"], "context": {"channel_codes": []}}
        if offer["discount"] is not None:
            prices["discount_price"] = offer["discount"]
        return {
            "offer_id": offer["id"],
            "shop_id": offer["shop"],
            "shop_name": self._machine.part(Shops).all[offer["shop"]]["shop_name"],
            "shop_sku": offer["sku"],
            "product_sku": offer["product_sku"],
            "active": _active(offer),
            "deleted": offer["deleted"],
            "quantity": offer["quantity"],
            "state_code": offer["state"],
            "description": offer["description"],
            "currency_iso_code": "EUR",
            "date_created": iso(offer["created"]),
            "last_updated": iso(offer["updated"]),
            "prices": [prices],
            "warehouses": [{"code": code, "quantity": count} for code, count in offer["warehouses"].items()],
        }

    def seller_view(self, offer: Offer) -> dict[str, Any]:
        """An offer as OF21 lists it."""
        row = self._element(offer)
        price = offer["price"] if offer["discount"] is None else offer["discount"]
        kept = (
            "offer_id", "shop_sku", "product_sku", "active", "quantity", "state_code", "description",
            "currency_iso_code", "warehouses",
        )  # fmt: skip
        return {name: row[name] for name in kept} | {
            "all_prices": [{"price": price, "unit_origin_price": offer["price"], "volume_prices": []}],
            "price": price, "total_price": price + 4.9, "channels": ["INIT"], "category_code": "lamps",
            "category_label": "Lamps", "fulfillment": {"center": {"code": "DEFAULT"}}, "leadtime_to_ship": 2,
            "logistic_class": {"code": "STD", "label": "Standard"}, "max_order_quantity": 0, "min_order_quantity": 0,
            "min_quantity_alert": 0, "min_shipping_price": 4.9, "min_shipping_price_additional": 0,
            "min_shipping_type": "STD", "min_shipping_zone": "FR", "package_quantity": 1, "product_references": [],
            "product_title": offer["product_sku"], "shipping_deadline": self._machine.clock.iso(offer["updated"]),
        }  # fmt: skip

    def _csv(self, job: Job, offers: list[Offer]) -> bytes:
        iso = self._machine.clock.iso
        rows = []
        for offer in offers:
            row = {
                "offer-id": str(offer["id"]),
                "shop-id": str(offer["shop"]),
                "shop-name": str(self._machine.part(Shops).all[offer["shop"]]["shop_name"]),
                "shop-sku": offer["sku"],
                "product-sku": offer["product_sku"],
                "active": str(_active(offer)).lower(),
                "deleted": str(offer["deleted"]).lower(),
                "quantity": str(offer["quantity"]),
                "state-code": offer["state"],
                "price": str(offer["discount"] or offer["price"]),
                "origin-price": str(offer["price"]),
                "currency-iso-code": "EUR",
                "date-created": iso(offer["created"]),
                "last-updated": iso(offer["updated"]),
            }
            kept = job.data["fields"] or list(row)
            rows.append({job.data["rename"].get(name, name): row[name] for name in kept if name in row})
        header = tuple(rows[0]) if rows else ()
        return Table("csv", header, tuple(rows)).dump()


def _active(offer: Offer) -> bool:
    return bool(not offer["deleted"] and offer["quantity"] > 0)


async def of01(exchange: Exchange) -> Reply:
    """OF01: a file of offers only, or of offers and products; an identical request that still runs is found again."""
    form = await uploads.form(exchange)
    shop = shop_of(exchange, form.text("shop"), "shop")
    mode, products = form.text("import_mode"), form.boolean("with_products")
    exchange.take(QUARTER if products else MINUTE, "with products" if products else "", shop)
    if mode not in MODES:
        message = f"import_mode is required and must be one of {', '.join(MODES)}."
        raise ApiError(400, message, problems=[Problem(message, "import_mode")])
    part = form.file()
    digest = f"{shop} {form.digest()}"
    job = exchange.part(Jobs).same("OF01", digest)
    if job is None:
        data: dict[str, Any] = {"mode": mode, "file_name": part.file_name}
        if products:
            options: dict[str, Any] = {
                "file_name": part.file_name,
                "operator_format": form.boolean("operator_format"),
                "conversion_type": "",
                "conversion_options": {},
            }
            body = _products(part.body)
            data["product_import"] = exchange.part(ProductImports).submit(exchange, body, options).id
        job = exchange.part(Offers).submit(exchange, "OF01", part.body, data, digest)
    return _created(exchange, job, f"/api/offers/imports/{job.id}", number=True)


def _products(body: bytes) -> bytes:
    """The product columns of a file that carries both."""
    try:
        table = tables.read(body)
    except UnreadableFileError:
        return body
    rows = [{reference.SKU: row.get("sku", ""), **row} for row in table.rows]
    header = [name for name in dict.fromkeys([reference.SKU, *table.header]) if name not in OFFER_COLUMNS]
    return table.with_rows(header, rows).dump()


def _created(exchange: Exchange, job: Job, path: str, number: bool) -> Reply:
    body: dict[str, Any] = {"import_id": int(job.id) if number else job.id}
    if job.data.get("product_import"):
        body["product_import_id"] = int(job.data["product_import"])
    if job.kind == "PRI01":
        body["importId"] = job.id
    return Reply.json(body, 201, {"Location": f"{exchange.base_url}{path}"})


_OFFER_FIELDS = {
    "shop_sku": text(1),
    "product_id": text(1),
    "product_id_type": text(1),
    "state_code": text(1),
    "update_delete": text(),
    "price": number(0),
    "quantity": checks.nullable(number(0, 1e9, whole=True)),
    "description": checks.nullable(text()),
    "discount": checks.nullable(fields({"price": checks.nullable(number(0))}, strict=False)),
}
_REQUIRED = {
    "all": frozenset({"shop_sku", "product_id", "product_id_type", "state_code", "update_delete", "price"}),
    "few": frozenset({"shop_sku"}),
}
_OFFERS = {
    name: fields(
        {"offers": array(fields(_OFFER_FIELDS, required, strict=False), 1)},
        frozenset({"offers"}),
        strict=False,
    )
    for name, required in _REQUIRED.items()
}


async def of24(exchange: Exchange) -> Reply:
    """OF24: offers as JSON, each replaced as a whole."""
    shop = shop_of(exchange, exchange.query.get("shop", ""), "shop")
    exchange.take(MINUTE, by_account=True)
    document = await exchange.json()
    problems: list[Problem] = []
    _OFFERS[exchange.machine.settings.of24_fields](document, "$", problems)
    if problems:
        named = [Problem(f"{found.field} {found.message}", found.field) for found in problems]
        raise ApiError(400, named[0].message, problems=named)
    digest = f"{shop} {hashlib.sha256(dumps(document)).hexdigest()}"
    job = exchange.part(Jobs).same("OF01", digest)
    if job is None:
        rows = tuple(_as_row(offer) for offer in document["offers"])
        body = Table("csv", tuple(rows[0]), rows).dump()
        job = exchange.part(Offers).submit(exchange, "OF01", body, {"mode": "NORMAL"}, digest)
    return _created(exchange, job, f"/api/offers/imports/{job.id}", number=True)


def _as_row(offer: dict[str, Any]) -> Row:
    discount = (offer.get("discount") or {}).get("price")
    return {
        "sku": offer["shop_sku"],
        "product-id": offer.get("product_id", ""),
        "product-id-type": offer.get("product_id_type", ""),
        "description": str(offer.get("description") or ""),
        "price": str(offer.get("price", "")),
        "quantity": str(offer.get("quantity") or 0),
        "state": offer.get("state_code", ""),
        "discount-price": "" if discount is None else str(discount),
        "update-delete": offer.get("update_delete", ""),
    }


def of02(exchange: Exchange) -> Reply:
    """OF02: state of an offer import."""
    job = exchange.part(Jobs).find(exchange, OFFER, exchange.params["import"])
    return Reply.json(exchange.part(Offers).offer_view(job, listed=False))


def of03(exchange: Exchange) -> Reply:
    """OF03: lines in error, in the format of the upload."""
    jobs = exchange.part(Jobs)
    reply = jobs.file(jobs.find(exchange, OFFER, exchange.params["import"]), "error_report")
    reply.media_type = "application/octet-stream"
    return reply


def of04(exchange: Exchange) -> Reply:
    """OF04: the offer imports, paged by seek."""
    return _listed(exchange, OFFER, lambda job: exchange.part(Offers).offer_view(job, listed=True))


async def sto01(exchange: Exchange) -> Reply:
    """STO01: a CSV of quantities."""
    return await _lines(exchange, "STO01", "shop_id", "/api/offers/stock/imports/{}/status")


async def pri01(exchange: Exchange) -> Reply:
    """PRI01: a CSV of prices."""
    return await _lines(exchange, "PRI01", "shop", "/api/offers/pricing/imports?import_id={}")


async def _lines(exchange: Exchange, kind: str, shop_part: str, path: str) -> Reply:
    form = await uploads.form(exchange)
    shop_of(exchange, form.text(shop_part), shop_part)
    exchange.take(MINUTE, by_account=True)
    part = form.file()
    job = exchange.part(Offers).submit(exchange, kind, part.body, {"file_name": part.file_name})
    return _created(exchange, job, path.format(job.id), number=False)


def sto02(exchange: Exchange) -> Reply:
    """STO02: state of a stock import."""
    job = exchange.part(Jobs).find(exchange, STOCK, exchange.params["import_id"])
    return Reply.json(exchange.part(Offers).stock_view(job))


def sto03(exchange: Exchange) -> Reply:
    """STO03: lines in error."""
    jobs = exchange.part(Jobs)
    return jobs.file(jobs.find(exchange, STOCK, exchange.params["import_id"]), "error_report")


def pri02(exchange: Exchange) -> Reply:
    """PRI02: the price imports, paged by seek; one of them by ``import_id``."""
    return _listed(exchange, PRICE, exchange.part(Offers).price_view)


def pri03(exchange: Exchange) -> Reply:
    """PRI03: lines in error."""
    jobs = exchange.part(Jobs)
    return jobs.file(jobs.find(exchange, PRICE, exchange.params["import_id"]), "error_report")


def _listed(exchange: Exchange, kinds: tuple[str, ...], view: Callable[[Job], dict[str, Any]]) -> Reply:
    cursor = paging.cursor(exchange)
    start, end = _moment(exchange, cursor.one("start_date")), _moment(exchange, cursor.one("end_date"))
    ids, shops = cursor.many("import_id"), cursor.many("shop_id")
    statuses, modes, origins = cursor.many("status"), cursor.many("mode"), cursor.many("origins")
    jobs = {
        job.order: job
        for job in exchange.part(Jobs).listed(exchange, kinds)
        if (not ids or job.id in ids)
        and (exchange.shop is not None or not shops or str(job.shop) in shops)
        and (not statuses or job.status in statuses)
        and (not modes or job.data.get("mode") in modes)
        and (not origins or "API" in origins)
        and (start is None or job.created >= start)
        and (end is None or job.created <= end)
    }
    criterion, _, direction = (cursor.one("sort") or "dateCreated").partition(",")
    if criterion != "dateCreated" or direction not in ("", "ASC", "DESC"):
        raise ApiError(400, "sort must be dateCreated, dateCreated,ASC or dateCreated,DESC.")
    keys, tokens = cursor.window(exchange, sorted(jobs), descending=direction != "ASC")
    return Reply.json({"data": [view(jobs[key]) for key in keys], **tokens})


def _moment(exchange: Exchange, text_: str) -> float | None:
    if not text_:
        return None
    stamp = parse_date(text_)
    if stamp is None:
        raise ApiError(400, "start_date and end_date must be ISO 8601 date-times with an offset.")
    return exchange.machine.clock.at_wall(stamp)


def of21(exchange: Exchange) -> Reply:
    """OF21: the offers of a shop by offset, the lowest total price first."""
    part = exchange.part(Offers)
    states, sku = exchange.listed("offer_state_codes"), exchange.query.get("sku")
    product, shop = exchange.query.get("product_id"), exchange.shop
    found = [
        part.seller_view(offer)
        for offer in part.offers.values()
        if offer["shop"] == shop
        and not offer["deleted"]
        and (not states or offer["state"] in states)
        and (not sku or offer["sku"] == sku)
        and (not product or offer["product_sku"] == product)
    ]
    field = {
        "": "total_price",
        "totalPrice": "total_price",
        "price": "price",
        "productTitle": "product_title",
    }.get(exchange.query.get("sort", ""))
    if field is None:
        raise ApiError(400, "sort must be totalPrice, price or productTitle.")
    found.sort(key=lambda row: (row[field], row["offer_id"]), reverse=exchange.query.get("order") == "desc")
    page, links = paging.offset(exchange, len(found))
    return Reply(200, dumps({"offers": found[page], "total_count": len(found)}), JSON, headers=links)


async def of52(exchange: Exchange) -> Reply:
    """OF52: an export in the background: whole once a day, changes once a minute."""
    body = await exports.body(exchange)
    since = exports.date(exchange, body, "last_request_date")
    exchange.take(86400.0 if since is None else MINUTE, "full" if since is None else "differential")
    if since is not None and body.get("include_inactive_offers") is True:
        raise ApiError(400, "include_inactive_offers cannot be used with last_request_date.")
    rename = body.get("rename_fields") or {}
    if not isinstance(rename, dict) or not all(isinstance(name, str) for name in rename.values()):
        raise ApiError(400, "rename_fields must be an object of strings.")
    data = {
        "since": since,
        "inactive": body.get("include_inactive_offers") is True,
        "export_type": exports.kind(body, exports.CSV),
        "chunk": exports.chunk(body),
        "fields": exports.texts(body, "include_fields"),
        "rename": rename,
    }
    return exports.submit(exchange, "OF52", data, digest=f"{exchange.shop} {dumps(body).decode()}")


def of53(exchange: Exchange) -> Reply:
    """OF53: state of the export."""
    return exports.status(exchange, "OF52", "OF54", "detail")


def of54(exchange: Exchange) -> Reply:
    """OF54: one file of the export."""
    return exports.file(exchange, "OF52")
