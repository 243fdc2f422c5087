"""Catalog Manager: master products, their synchronization and their exports."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.sandbox.machine import checks
from airflow_provider_mirakl.sandbox.machine.checks import array, fields, nullable, text
from airflow_provider_mirakl.sandbox.machine.core import Machine, Part
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import JSON, ApiError, Problem, Reply, dumps
from airflow_provider_mirakl.sandbox.systems import exports, reference
from airflow_provider_mirakl.sandbox.systems.jobs import Job, Jobs

if TYPE_CHECKING:
    from airflow_provider_mirakl.sandbox.machine.ledger import LedgerCall

CSV = "text/csv"
Product = dict[str, Any]

ACCEPTANCE = frozenset({"NEW", "ACCEPTED", "REJECTED", "CHANGES_REQUESTED", "TO_REVIEW"})
DECISIONS = ACCEPTANCE - {"NEW"}
VALIDATION = frozenset({"VALID", "INVALID"})
SYNCHRONIZATION = frozenset({"SYNCHRONIZED", "PENDING", "INTEGRATION_ERRORS", "ERROR"})

#: Initial products: how many of each state, and whether CM21 can repair them.
FIRST_PRODUCTS = (
    ("SYNCHRONIZED", False, 20),
    ("PENDING", False, 10),
    ("INTEGRATION_ERRORS", False, 5),
    ("PENDING", True, 5),
)


class Catalog(Part):
    """Master products by their Mirakl id."""

    name = "catalog_manager"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._jobs = machine.part(Jobs)
        self.products: dict[str, Product] = {}
        self.deleted: list[dict[str, Any]] = []
        self._jobs.on("CM21", "COMPLETE", self._synchronize)
        self._jobs.on("CM52", "COMPLETED", self._export)

    def reset(self) -> None:
        """Back to the first day."""
        self.products.clear()
        self.deleted.clear()
        number = 0
        for status, stuck, count in FIRST_PRODUCTS:
            for _ in range(count):
                number += 1
                self._first(number, status, stuck)

    def dump(self) -> Any:
        """As JSON, for a restart."""
        return {"products": list(self.products.values()), "deleted": self.deleted}

    def load(self, saved: Any) -> None:
        """Replace the content by that of :meth:`dump`."""
        self.products = {product["id"]: product for product in saved["products"]}
        self.deleted = saved["deleted"]

    def _first(self, number: int, status: str, stuck: bool) -> None:
        data = {
            reference.CATEGORY: "headphones",
            reference.SKU: f"SHOP-{number:03d}",
            "title": f"Headphones {number}",
            "brand": "nordlys",
            "ean": f"{4_000_000_000_000 + number}",
        }
        sku = f"SKU-{number:03d}"
        product = self.create(
            data, sku, shop=2000, provider_sku=f"SHOP-{number:03d}", key=f"MKL-{number:03d}"
        )
        product["synchronization"] = status
        product["stuck"] = stuck
        if status == "INTEGRATION_ERRORS":
            error = {"code": "PIM-17", "message": "The PIM refused the brand.", "attribute_code": "brand"}
            product["integration_errors"] = [error]

    def create(
        self, data: dict[str, Any], sku: str, shop: int | None = None, provider_sku: str = "", key: str = ""
    ) -> Product:
        """A new master product."""
        now = self._machine.clock.now()
        product: Product = {
            "id": key or str(uuid.UUID(int=self._machine.random.getrandbits(128), version=4)),
            "sku": sku,
            "data": dict(data),
            "acceptance": {"status": "ACCEPTED", "reason_code": "", "message": ""},
            "validation": "VALID",
            "synchronization": "PENDING",
            "integration_errors": [],
            "catalogs": ["default"],
            "product_urls": [],
            "selling_authorization": {"restricted": False, "authorized_selling_shop_ids": []},
            "sources": [],
            "created": now,
            "updated": now,
            "stuck": False,
        }
        if shop is not None:
            product["sources"] = [{"provider_code": str(shop), "provider_sku": provider_sku}]
        self.products[product["id"]] = product
        return product

    def arrange(self, rows: Any) -> None:
        """Create products, or change those that exist; for tests, which need a product in a certain state.

        :param rows: objects with ``id`` and any other field of a product (``synchronization``, ``stuck``, ...).
        :raises ValueError: for an unknown field or state.
        """
        if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("id") for row in rows):
            raise ValueError("master products are a list of objects with an id")
        for row in rows:
            product = self.products.get(row["id"]) or self.create({}, row.get("sku", ""), key=row["id"])
            unknown = sorted(row.keys() - product.keys())
            if unknown or row.get("synchronization", "PENDING") not in SYNCHRONIZATION:
                raise ValueError(
                    f"the product {row['id']} has unknown fields or states: {', '.join(unknown)}"
                )
            product.update(row, updated=self._machine.clock.now())

    def find(self, test: Callable[[Product], bool]) -> Product | None:
        """The first product that matches a condition."""
        return next((product for product in self.products.values() if test(product)), None)

    def by_sku(self, sku: str) -> Product | None:
        """The product with an operator's SKU."""
        return self.find(lambda product: bool(sku) and product["sku"] == sku)

    def by_ean(self, ean: str) -> Product | None:
        """The product with a GTIN."""
        return self.find(lambda product: bool(ean) and product["data"].get("ean") == ean)

    def by_source(self, shop: int, sku: str) -> Product | None:
        """The product that a shop knows by its SKU."""
        source = {"provider_code": str(shop), "provider_sku": sku}
        return self.find(lambda product: source in product["sources"])

    # CM21

    def _synchronize(self, job: Job) -> None:
        entry = self._machine.ledger.calls.get(job.entry)
        items: list[Any] = job.data["items"]
        read = items[: len(items) // 2] if job.data["partial"] else items
        seen: set[str] = set()
        processed = []
        for index, item in enumerate(read):
            result, problems = self.apply(item, seen)
            echo = dict(item) if isinstance(item, dict) else {}
            if result == "created":
                echo["mirakl_product_id"] = job.data.setdefault("new", {})[str(index)] = self._newest()
            errors = [{"code": code, "message": message} for code, message in problems]
            echo["status"] = "FAILURE" if errors else "SUCCESS"
            echo["synchronization_errors"] = errors
            processed.append(echo)
            if entry is not None:
                entry.mark(index, result, "; ".join(message for _, message in problems))
        job.data["failed"] = sum(1 for item in processed if item["status"] == "FAILURE")
        job.data["processed_items"] = processed
        self._settle(entry, len(read), len(items))

    def _newest(self) -> str:
        return next(reversed(self.products))

    def _settle(self, entry: LedgerCall | None, read: int, total: int) -> None:
        if entry is None:
            return
        for index in range(read, total):
            entry.mark(index, "lost", "not read")
        entry.settled = self._machine.clock.now()

    def apply(self, item: Any, seen: set[str]) -> tuple[str, list[tuple[str, str]]]:
        """One element of CM21: its result and its errors."""
        if not isinstance(item, dict):
            return "failed", [("MCM-01000", "The element is not an object.")]
        key, sku = item.get("mirakl_product_id"), item.get("product_sku")
        problems = _shape(item)
        if problems:
            return "failed", problems
        mark = f"{key or ''}|{'' if key else sku}"
        if mark in seen:
            return "failed", [("MCM-01002", "The product appears twice in the synchronization.")]
        seen.add(mark)
        product = self.products.get(key) if key else self.by_sku(sku or "")
        if key and product is None:
            return "failed", [("MCM-01003", f"The product {key} does not exist.")]
        if product is not None and product["stuck"]:
            return "failed", [("MCM-01009", "The product is locked by another process.")]
        if item.get("operation") == "DELETE":
            return self._delete(product)
        other = self.by_sku(sku or "")
        if other is not None and other is not product:
            return "failed", [("MCM-01004", f"The SKU {sku} belongs to the product {other['id']}.")]
        return self._write(product, item)

    def _delete(self, product: Product | None) -> tuple[str, list[tuple[str, str]]]:
        if product is None:
            return "failed", [("MCM-01003", "The product to delete does not exist.")]
        del self.products[product["id"]]
        self.deleted.append(
            {
                "id": product["id"],
                "sku": product["sku"],
                "created": product["created"],
                "deleted": self._machine.clock.now(),
                "user": "sandbox",
            }
        )
        return "deleted", []

    def _write(self, product: Product | None, item: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
        data = item.get("data")
        if data is not None:
            merged = {**(product["data"] if product else {}), **data}
            merged.setdefault(reference.SKU, item.get("product_sku", ""))
            found = reference.problems(
                {name: str(value) for name, value in merged.items() if value is not None}
            )
            if found:
                return "failed", [(f"MCM-{code}", message) for code, _, message in found]
        result = "updated"
        if product is None:
            if data is None:
                return "failed", [("MCM-01005", "A new product needs its data.")]
            product, result = self.create(data, item["product_sku"]), "created"
        self._assign(product, item)
        return result, []

    def _assign(self, product: Product, item: dict[str, Any]) -> None:
        if isinstance(item.get("data"), dict):
            merged = {**product["data"], **item["data"]}
            product["data"] = {name: value for name, value in merged.items() if value is not None}
        for name in ("catalogs", "product_urls", "selling_authorization"):
            if item.get(name) is not None:
                product[name] = item[name]
        if isinstance(item.get("acceptance"), dict):
            empty = {"reason_code": "", "message": ""}
            product["acceptance"] = {
                **empty,
                **{k: v for k, v in item["acceptance"].items() if v is not None},
            }
        errors = item.get("integration_errors") or []
        product["integration_errors"] = errors
        if errors:
            product["synchronization"] = "INTEGRATION_ERRORS"
        elif item.get("product_sku"):
            product["sku"] = item["product_sku"]
            product["synchronization"] = "SYNCHRONIZED"
        product["updated"] = self._machine.clock.now()

    # What the exports see

    def element(self, product: Product, errors: bool = False) -> dict[str, Any]:
        """A product as in CM51 and CM54.

        :param errors: with the validation errors, which only CM54 has.
        """
        iso = self._machine.clock.iso
        acceptance = product["acceptance"]
        validation: dict[str, Any] = {"status": product["validation"]}
        if errors:
            validation["validation_errors"] = []
        return {
            "mirakl_product_id": product["id"],
            "product_sku": product["sku"],
            "creation_date": iso(product["created"]),
            "update_date": iso(product["updated"]),
            "data": product["data"],
            "acceptance": {**acceptance, "status": acceptance["status"]},
            "validation": validation,
            "synchronization": {
                "status": product["synchronization"],
                "integration_errors": product["integration_errors"],
            },
            "catalogs": product["catalogs"],
            "product_urls": product["product_urls"],
            "selling_authorization": product["selling_authorization"],
            "sources": product["sources"],
        }

    def rows(self, products: list[Product]) -> bytes:
        """Products as the CSV of CM51 and CM54."""
        iso = self._machine.clock.iso
        codes = list(reference.ATTRIBUTES)
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow([*_CSV_HEAD, *codes])
        for product in products:
            errors = ",".join(
                f"{error.get('code', '')}|{error.get('message', '')}|{error.get('attribute_code', '')}"
                for error in product["integration_errors"]
            )
            sources = ",".join(f"{s['provider_code']}|{s['provider_sku']}" for s in product["sources"])
            urls = ",".join(f"{u['qualifier']}|{u['link']}" for u in product["product_urls"])
            selling = product["selling_authorization"]
            writer.writerow(
                [
                    product["id"],
                    product["sku"],
                    product["acceptance"]["status"],
                    product["validation"],
                    product["synchronization"],
                    iso(product["updated"]),
                    iso(product["created"]),
                    errors,
                    sources,
                    ",".join(product["catalogs"]),
                    product["acceptance"].get("reason_code", ""),
                    product["acceptance"].get("message", ""),
                    str(selling["restricted"]).lower(),
                    ",".join(selling["authorized_selling_shop_ids"]),
                    urls,
                    *(product["data"].get(code, "") for code in codes),
                ]
            )
        return out.getvalue().encode()

    def _export(self, job: Job) -> None:
        wanted = job.data["filter"]
        products = [product for product in self.products.values() if _passes(product, wanted)]
        if job.data["export_type"] == CSV:
            exports.leave_files(job, products, self.rows, CSV)
        else:
            exports.leave_files(
                job,
                products,
                lambda part: dumps([self.element(product, errors=True) for product in part]),
                JSON,
            )


_CSV_HEAD = (
    "mirakl-product-id",
    "mirakl-product-sku",
    "mirakl-acceptance-status",
    "mirakl-validation-status",
    "mirakl-synchronization-status",
    "mirakl-update-date",
    "mirakl-creation-date",
    "mirakl-integration-errors",
    "mirakl-sources",
    "mirakl-catalogs",
    "mirakl-rejection-reason",
    "mirakl-rejection-message",
    "mirakl-restricted-selling",
    "mirakl-authorized-selling-shop-ids",
    "mirakl-product-urls",
)


_ERROR = fields({name: nullable(text()) for name in ("code", "message", "attribute_code")}, strict=False)
_WORDS = {"status": text(), "reason_code": nullable(text()), "message": nullable(text()), "code": text()}
_CHANNELS = nullable(array(fields(_WORDS, strict=False)))
_ELEMENT = fields(
    {
        "acceptance": nullable(fields({**_WORDS, "channels": _CHANNELS}, strict=False)),
        "mirakl_product_id": nullable(text()),
        "product_sku": nullable(text()),
        "operation": text(),
        "data": nullable(fields({}, strict=False)),
        "catalogs": nullable(array(text())),
        "integration_errors": nullable(array(_ERROR)),
        "product_urls": nullable(
            array(
                fields({"qualifier": text(), "link": text()}, frozenset({"qualifier", "link"}), strict=False)
            )
        ),
        "selling_authorization": nullable(
            fields(
                {"restricted": checks.boolean, "authorized_selling_shop_ids": array(text())},
                frozenset({"restricted", "authorized_selling_shop_ids"}),
                strict=False,
            )
        ),
    },
    strict=False,
)


def _shape(item: dict[str, Any]) -> list[tuple[str, str]]:
    """Problems of the form of a CM21 element."""
    problems: list[Problem] = []
    _ELEMENT(item, "$", problems)
    if problems:
        return [("MCM-01007", f"{found.field} {found.message}.") for found in problems]
    found = []
    if item.get("operation", "CREATE_UPDATE") not in ("CREATE_UPDATE", "DELETE"):
        found.append(("MCM-01001", f"The operation {item['operation']} is unknown."))
    if not item.get("mirakl_product_id") and not item.get("product_sku"):
        found.append(("MCM-01006", "The element names neither a mirakl_product_id nor a product_sku."))
    acceptance = item.get("acceptance")
    if acceptance is None:
        return found
    for decision in (acceptance, *(acceptance.get("channels") or ())):
        status = decision.get("status")
        if status not in DECISIONS:
            found.append(("MCM-01008", f"The acceptance status {status} is unknown."))
        elif status != "ACCEPTED" and not decision.get("reason_code"):
            found.append(("MCM-01010", f"The acceptance status {status} needs a reason_code."))
    return found


def _passes(product: Product, wanted: dict[str, Any]) -> bool:
    """Whether an export asks for a product."""
    values = {
        "acceptance_status": [product["acceptance"]["status"]],
        "validation_status": [product["validation"]],
        "synchronization_status": [product["synchronization"]],
        "product_id": [product["id"]],
        "product_sku": [product["sku"]],
        "variant_group_code": [product["data"].get("variant_group", "")],
        "catalog": product["catalogs"],
        "category": reference.branch(product["data"].get(reference.CATEGORY, "")),
        "rejection_reason": [product["acceptance"].get("reason_code", "")],
    }
    if any(wanted.get(name) and not set(found) & set(wanted[name]) for name, found in values.items()):
        return False
    since, until = wanted.get("updated_since"), wanted.get("updated_to")
    return (since is None or product["updated"] >= since) and (until is None or product["updated"] <= until)


_LISTS: dict[str, frozenset[str] | None] = {
    "acceptance_status": ACCEPTANCE,
    "validation_status": VALIDATION,
    "synchronization_status": SYNCHRONIZATION,
    "product_id": None,
    "product_sku": None,
    "variant_group_code": None,
    "catalog": None,
    "category": None,
    "rejection_reason": None,
}


def _lists(read: Callable[[str], list[str]]) -> Iterator[tuple[str, list[str]]]:
    for name, allowed in _LISTS.items():
        values = read(name)
        strange = [value for value in values if allowed is not None and value not in allowed]
        if strange or len(values) > 100:
            message = (
                f"{name} contains unknown values: {', '.join(strange)}"
                if strange
                else f"{name} contains more than 100 values"
            )
            raise ApiError(400, message, problems=[Problem(message, name)])
        if values:
            yield name, values


async def cm21(exchange: Exchange) -> Reply:
    """CM21: the body is a bare array."""
    items = await exchange.json()
    limit = exchange.machine.settings.cm21_max_items
    if not isinstance(items, list) or not items:
        raise ApiError(400, "The body must be an array with at least one product.")
    if limit and len(items) > limit:
        raise ApiError(400, f"The body must contain at most {limit} products.")
    job = submit_synchronization(exchange, items, "CM21")
    return Reply.json({"tracking_id": job.id})


def submit_synchronization(exchange: Exchange, items: list[Any], code: str) -> Job:
    """Start a CM21, for Mirakl's own operation and for DJUST."""
    machine = exchange.machine
    exchange.items = len(items)
    keys = [str(_key(item) or f"#{index}") for index, item in enumerate(items)]
    entry = machine.ledger.open(exchange.number, code, exchange.principal.account, exchange.moment, keys)
    stages = [
        ("WAITING", machine.settings.queue_seconds),
        ("QUEUED", 5.0),
        ("RUNNING", machine.settings.run_seconds),
    ]
    data = {"items": items, "partial": exchange.fault("partial_read") is not None}
    return exchange.part(Jobs).submit(exchange, "CM21", stages, "COMPLETE", data, entry.key)


def _key(item: Any) -> Any:
    return (item.get("mirakl_product_id") or item.get("product_sku")) if isinstance(item, dict) else None


def cm22(exchange: Exchange) -> Reply:
    """CM22: counters grow while the synchronization runs."""
    jobs = exchange.part(Jobs)
    job = jobs.find(exchange, ("CM21",), exchange.params["tracking_id"])
    total = len(job.data["items"])
    if job.data["partial"]:
        total //= 2
    complete = job.status == "COMPLETE"
    processed = (
        total if complete else 0 if job.finished else int(total * job.part(exchange.machine.clock.now()))
    )
    failed = job.data["failed"] if complete else 0
    body = {
        "tracking_id": job.id,
        "status": job.status,
        "processed": processed,
        "succeeded": processed - failed,
        "failed": failed,
        "has_report": complete and not jobs.expired(job),
        "partial_read": job.data["partial"],
        "archived": jobs.expired(job),
    }
    return Reply.json(body)


def cm23(exchange: Exchange) -> Reply:
    """CM23: every element, with its result."""
    jobs = exchange.part(Jobs)
    job = jobs.find(exchange, ("CM21",), exchange.params["tracking_id"])
    if job.status != "COMPLETE" or jobs.expired(job):
        raise ApiError(404, f"There is no report of the synchronization {job.id}.")
    errors = (
        [{"code": "MCM-01011", "message": "Only a part of the input was read."}]
        if job.data["partial"]
        else []
    )
    exchange.items = len(job.data["processed_items"])
    return Reply.json({"global_errors": errors, "processed_items": job.data["processed_items"]})


_BY_DEFAULT = {"acceptance_status": ["ACCEPTED"], "validation_status": ["VALID"]}
"""What CM51 and CM52 export unless asked otherwise."""


def cm51(exchange: Exchange) -> Reply:
    """CM51: master products, JSON or CSV; accepted and valid ones unless asked otherwise."""
    wanted: dict[str, Any] = {**_BY_DEFAULT, **dict(_lists(exchange.listed))}
    wanted["updated_since"], wanted["updated_to"] = (
        exchange.date("updated_since"),
        exchange.date("updated_to"),
    )
    catalog = exchange.part(Catalog)
    products = [product for product in catalog.products.values() if _passes(product, wanted)]
    exchange.items = len(products)
    if CSV in exchange.request.headers.get("accept", ""):
        return Reply(200, catalog.rows(products), CSV)
    return Reply.json([catalog.element(product) for product in products])


async def cm52(exchange: Exchange) -> Reply:
    """CM52: an export in the background; accepted and valid products unless asked otherwise."""
    body = await exports.body(exchange)
    wanted: dict[str, Any] = {**_BY_DEFAULT, **dict(_lists(lambda name: exports.texts(body, name)))}
    for name in ("updated_since", "updated_to"):
        wanted[name] = exports.date(exchange, body, name)
    kind = exports.kind(body, JSON)
    data = {"filter": wanted, "export_type": kind, "chunk": exports.chunk(body)}
    return exports.submit(exchange, "CM52", data)


def cm53(exchange: Exchange) -> Reply:
    """CM53: state of the export."""
    return exports.status(exchange, "CM52", "CM54", "message")


def cm54(exchange: Exchange) -> Reply:
    """CM54: one file of the export."""
    return exports.file(exchange, "CM52")


def cm61(exchange: Exchange) -> Reply:
    """CM61: products deleted in the last year; 204 when there are none."""
    machine = exchange.machine
    since, until, ids = (
        exchange.date("deleted_from"),
        exchange.date("deleted_to"),
        exchange.listed("product_id"),
    )
    year = machine.clock.now() - 365 * 86400.0
    rows = [
        row
        for row in exchange.part(Catalog).deleted
        if row["deleted"] >= max(year, since if since is not None else year)
        and (until is None or row["deleted"] <= until)
        and (not ids or row["id"] in ids)
    ]
    exchange.items = len(rows)
    if not rows:
        return Reply(204)
    iso = machine.clock.iso
    if CSV in exchange.request.headers.get("accept", ""):
        head = "mirakl-product-id;mirakl-deletion-date;mirakl-product-sku;mirakl-creation-date;mirakl-deletion-username"
        lines = [
            f'"{r["id"]}";"{iso(r["deleted"])}";"{r["sku"]}";"{iso(r["created"])}";"{r["user"]}"'
            for r in rows
        ]
        return Reply(200, "\n".join([head, *lines, ""]).encode(), CSV)
    return Reply.json(
        [
            {
                "mirakl_product_id": row["id"],
                "product_sku": row["sku"],
                "creation_date": iso(row["created"]),
                "deletion_date": iso(row["deleted"]),
                "deletion_user": {"name": row["user"]},
            }
            for row in rows
        ]
    )


def cm11(exchange: Exchange) -> Reply:
    """CM11: which products of a shop are live, and why the others are not; 204 if there are none."""
    since, until = exchange.date("updated_since"), exchange.date("updated_to")
    status = exchange.query.get("status", "")
    if status not in ("", "LIVE", "NOT_LIVE"):
        raise ApiError(400, "status must be LIVE or NOT_LIVE.")
    provider = str(exchange.shop) if exchange.shop is not None else exchange.query.get("provider_id", "")
    if not provider:
        message = "provider_id is required."
        raise ApiError(400, message, problems=[Problem(message, "provider_id")])
    if exchange.query.get("updated_since"):
        exchange.take(300, f"{provider} differential")
    else:
        exchange.take(4 * 3600, f"{provider} full")
    skus = set(exchange.listed("provider_unique_identifier"))
    identifiers = set(exchange.listed("unique_identifier"))
    rows = []
    for product in exchange.part(Catalog).products.values():
        if (since is not None and product["updated"] < since) or (
            until is not None and product["updated"] > until
        ):
            continue
        for source in product["sources"]:
            if source["provider_code"] != provider or (skus and source["provider_sku"] not in skus):
                continue
            row = _source(product, source["provider_sku"])
            known = {f"{found['code']}|{found['value']}" for found in row["unique_identifiers"]}
            if (not status or row["status"] == status) and (not identifiers or identifiers & known):
                rows.append(row)
    exchange.items = len(rows)
    return Reply.json(rows) if rows else Reply(204)


def _source(product: Product, sku: str) -> dict[str, Any]:
    errors: list[dict[str, Any]] = []
    acceptance = product["acceptance"]
    if acceptance["status"] in ("REJECTED", "CHANGES_REQUESTED"):
        reason = acceptance.get("reason_code", "")
        errors.append(
            {
                "code": "MCM-04012",
                "message": "The operator asked for changes or refused the product.",
                "rejection_details": {
                    "reason_code": reason,
                    "reason_label": reason.replace("_", " ").lower(),
                    "message": acceptance.get("message", ""),
                },
            }
        )
    if product["integration_errors"]:
        details = [
            {
                "code": error.get("code", ""),
                "attribute_code": error.get("attribute_code", ""),
                "message": error.get("message", ""),
            }
            for error in product["integration_errors"]
        ]
        errors.append({"code": "MCM-04000", "message": "Integration errors.", "integration_details": details})
    elif product["synchronization"] != "SYNCHRONIZED":
        errors.append({"code": "MCM-0L000", "message": "The product is not synchronized yet."})
    live = not errors and acceptance["status"] == "ACCEPTED" and product["validation"] == "VALID"
    ean = product["data"].get("ean")
    warnings = []
    if not product["data"].get("main_image"):
        warnings.append(
            {
                "code": "MCM-05000",
                "message": "A recommended attribute is missing.",
                "attribute_code": "main_image",
            }
        )
    return {
        "status": "LIVE" if live else "NOT_LIVE",
        "provider_unique_identifier": sku,
        "unique_identifiers": [{"code": "EAN", "value": ean}] if ean else [],
        "errors": errors,
        "warnings": warnings,
    }
