"""Product imports P41 to P51.

Words in a title decide what the operator of the sandbox does with a product: ``[reject]`` refuses it, ``[late]`` never
decides, ``[sync-error]`` cannot synchronize it, ``[wrong-id]`` finds its identifier wrong.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_mirakl.sandbox.machine import paging, uploads
from airflow_provider_mirakl.sandbox.machine.core import Machine, Part
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Problem, Reply, loads
from airflow_provider_mirakl.sandbox.systems import reference, tables
from airflow_provider_mirakl.sandbox.systems.catalog_manager import Catalog
from airflow_provider_mirakl.sandbox.systems.jobs import File, Job, Jobs
from airflow_provider_mirakl.sandbox.systems.shops import shop_of
from airflow_provider_mirakl.sandbox.systems.tables import Row, Table, UnreadableFileError

QUARTER = 900.0
KINDS = ("P41",)
STATUSES = ("CANCELLED", "WAITING", "RUNNING", "SENT", "COMPLETE", "FAILED")
_DETAILS = (
    "invalid_products",
    "products_not_accepted_in_time",
    "products_not_synchronized_in_time",
    "products_reimported",
    "products_successfully_synchronized",
    "products_with_synchronization_issues",
    "products_with_wrong_identifiers",
    "rejected_products",
)
#: word in the title: counter, message
_WORDS = {
    "[reject]": ("rejected_products", "The operator rejected the product."),
    "[late]": ("products_not_accepted_in_time", "The operator did not decide in time."),
    "[sync-error]": (
        "products_with_synchronization_issues",
        "The operator's PIM could not take the product.",
    ),
    "[wrong-id]": ("products_with_wrong_identifiers", "The EAN does not belong to this product."),
}
Failure = tuple[int, str]


class ProductImports(Part):
    """What a product import does on its way."""

    name = "products"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._jobs = machine.part(Jobs)
        self._jobs.on("P41", "TRANSFORMATION_RUNNING", self._read)
        self._jobs.on("P41", "WAITING", self._transform)
        self._jobs.on("P41", "RUNNING", self._read)
        self._jobs.on("P41", "COMPLETE", self._integrate)
        for status in ("FAILED", "CANCELLED", "TRANSFORMATION_FAILED"):
            self._jobs.on("P41", status, self._give_up)

    def submit(self, exchange: Exchange, body: bytes, options: dict[str, Any]) -> Job:
        """Take a file."""
        settings = self._machine.settings
        stages = [
            ("WAITING", settings.queue_seconds),
            ("RUNNING", settings.run_seconds),
            ("SENT", settings.integration_seconds),
        ]
        if not options["operator_format"]:
            before = [
                ("TRANSFORMATION_WAITING", settings.queue_seconds),
                ("TRANSFORMATION_RUNNING", settings.run_seconds / 2),
            ]
            stages = before + stages
        data = {**options, "lines": {}}
        items: list[str] = []
        try:
            items = [
                row.get(reference.SKU) or f"#{number}" for number, row in enumerate(tables.read(body).rows)
            ]
        except UnreadableFileError as error:
            data["unreadable"] = str(error)
        exchange.items = len(items)
        entry = self._machine.ledger.open(
            exchange.number, "P41", exchange.principal.account, exchange.moment, items
        )
        job = self._jobs.submit(exchange, "P41", stages, "COMPLETE", data, entry.key, numbered=True)
        job.files["upload"] = File(body, "application/octet-stream", options["file_name"])
        return job

    def _read(self, job: Job) -> None:
        if "unreadable" in job.data:
            early = job.status == "TRANSFORMATION_RUNNING"
            self._jobs.enter(job, "TRANSFORMATION_FAILED" if early else "FAILED", job.data["unreadable"])

    def _table(self, job: Job) -> Table:
        return tables.read(job.files["upload"].body)

    def _transform(self, job: Job) -> None:
        """From the seller's format to the operator's: lines that cannot be converted end here."""
        if job.data["operator_format"]:
            return
        table = self._table(job)
        failures = self._failures(table)
        self._report(job, "transformation_error_report", table, failures)
        good = [row for number, row in enumerate(table.rows) if number not in failures]
        known = [name for name in table.header if name in reference.ATTRIBUTES]
        clean = Table("csv", tuple(known), tuple({name: row[name] for name in known} for row in good))
        job.files["transformed_file"] = File(clean.dump(), "text/csv", f"transformed-{job.id}.csv")
        job.data["lines"] = {"read": len(table.rows), "failed": len(failures)}

    @staticmethod
    def _failures(table: Table) -> dict[int, str]:
        """Lines with a problem, and the words for it."""
        found: dict[int, str] = {}
        seen: set[str] = set()
        for number, row in enumerate(table.rows):
            messages = [f"{code}|{message}" for code, _, message in reference.problems(row)]
            sku = row.get(reference.SKU, "")
            if sku and sku in seen:
                messages.append(f"1003|The SKU {sku} appears twice in the file.")
            seen.add(sku)
            if messages:
                found[number] = ",".join(messages)
        return found

    @staticmethod
    def _report(job: Job, name: str, table: Table, failures: dict[int, str]) -> None:
        if not failures:
            return
        rows = [{**table.rows[number], "errors": words} for number, words in failures.items()]
        report = table.with_rows((*table.header, "errors"), rows)
        title = f"{name.replace('_', '-')}-{job.id}.{table.format}"
        job.files[name] = File(report.dump(), tables.MEDIA_TYPES[table.format], title)

    def _integrate(self, job: Job) -> None:
        """The operator processes the products; the ledger records the result of every line."""
        table = self._table(job)
        failures = self._failures(table)
        early = failures if not job.data["operator_format"] else {}
        late = dict(failures) if job.data["operator_format"] else {}
        details = dict.fromkeys(_DETAILS, 0)
        details["invalid_products"] = len(late)
        fresh: list[Row] = []
        entry = self._machine.ledger.calls.get(job.entry)
        for number, row in enumerate(table.rows):
            if number in failures:
                result, words = "failed", failures[number]
            else:
                result, words, counter = self._take(job, row, fresh)
                details[counter] += 1
                if words:
                    late[number] = words
            if entry is not None:
                entry.mark(number, result, words)
        if entry is not None:
            entry.settled = self._machine.clock.now()
        sent = Table("csv", table.header, table.rows)
        self._report(job, "error_report", sent, {n: words for n, words in late.items() if n not in early})
        if fresh:
            head = (reference.SKU, "mirakl_product_id", "product_sku")
            report = Table("csv", head, tuple(fresh))
            job.files["new_product_report"] = File(report.dump(), "text/csv", f"new-products-{job.id}.csv")
        job.data["details"] = details

    def _take(self, job: Job, row: Row, fresh: list[Row]) -> tuple[str, str, str]:
        """One good line: result, words of a failure, counter."""
        assert job.shop is not None  # noqa: S101 - P41 always has a shop
        for word, (counter, message) in _WORDS.items():
            if word in row.get("title", ""):
                return "failed", f"3001|{message}", counter
        catalog = self._machine.part(Catalog)
        sku, data = row[reference.SKU], {name: value for name, value in row.items() if value}
        source = {"provider_code": str(job.shop), "provider_sku": sku}
        product = catalog.by_source(job.shop, sku)
        if product is not None and product["data"].get("ean") != row["ean"]:
            counter, message = _WORDS["[wrong-id]"]
            return "failed", f"3002|{message}", counter
        product = product or catalog.by_ean(row["ean"])
        if product is not None:
            if source not in product["sources"]:
                product["sources"].append(source)
            product["data"].update(data)
            product["updated"] = self._machine.clock.now()
            return "updated", "", "products_reimported"
        product = catalog.create(data, "", job.shop, sku)
        product["sku"], product["synchronization"] = f"OP-{job.shop}-{sku}", "SYNCHRONIZED"
        fresh.append({reference.SKU: sku, "mirakl_product_id": product["id"], "product_sku": product["sku"]})
        return "created", "", "products_successfully_synchronized"

    def _give_up(self, job: Job) -> None:
        entry = self._machine.ledger.calls.get(job.entry)
        if entry is not None:
            for number in range(len(entry.items)):
                entry.mark(number, "failed", job.reason)
            entry.settled = self._machine.clock.now()

    def view(self, job: Job) -> dict[str, Any]:
        """An import as in P42 and P51."""
        jobs, iso = self._jobs, self._machine.clock.iso
        done = job.status in ("SENT", "COMPLETE")
        complete = job.status == "COMPLETE"
        lines = job.data["lines"]
        read, failed = lines.get("read", 0), lines.get("failed", 0)
        view: dict[str, Any] = {
            "import_id": int(job.id),
            "shop_id": job.shop,
            "date_created": iso(job.created),
            "import_status": job.status,
            "has_transformed_file": done and jobs.has(job, "transformed_file"),
            "has_transformation_error_report": done and jobs.has(job, "transformation_error_report"),
            "has_error_report": complete and jobs.has(job, "error_report"),
            "has_new_product_report": complete and jobs.has(job, "new_product_report"),
            "transform_lines_read": read,
            "transform_lines_in_success": read - failed,
            "transform_lines_in_error": failed,
            "transform_lines_with_warning": 0,
        }
        if job.reason:
            view["reason_status"] = job.reason
        if job.data["conversion_type"] == "AI_CONVERTER":
            view["conversion_type"] = "AI_CONVERTER"
            view["conversion_options"] = job.data["conversion_options"]
        if complete:
            view["integration_details"] = job.data["details"]
        return view


_AI = {"ai_enrichment": "DISABLED", "ai_rewrite": "ENABLED", "ai_translation": "DISABLED"}


def _conversion(form: uploads.Form) -> dict[str, Any]:
    kind = form.text("conversion_type")
    if kind not in ("", "AI_CONVERTER", "STANDARD"):
        message = "conversion_type must be AI_CONVERTER or STANDARD."
        raise ApiError(400, message, problems=[Problem(message, "conversion_type")])
    text = form.text("conversion_options")
    try:
        options = loads(text.encode()) if text else {}
        chosen = {name: {"status": options.get(name, {}).get("status", value)} for name, value in _AI.items()}
    except (ValueError, RecursionError, AttributeError) as error:
        raise ApiError(400, "conversion_options must be a JSON object of objects.") from error
    if any(option["status"] not in ("ENABLED", "DISABLED") for option in chosen.values()):
        raise ApiError(400, "The status of a conversion option must be ENABLED or DISABLED.")
    return {"conversion_type": kind, "conversion_options": chosen}


async def p41(exchange: Exchange) -> Reply:
    """P41: a file of products, CSV, XML or XLSX."""
    form = await uploads.form(exchange)
    shop = shop_of(exchange, form.text("shop"), "shop")
    exchange.take(QUARTER, shop=shop)
    part = form.file()
    options = {
        "file_name": part.file_name,
        "operator_format": form.boolean("operator_format"),
        **_conversion(form),
    }
    job = exchange.part(ProductImports).submit(exchange, part.body, options)
    location = f"{exchange.base_url}/api/products/imports/{job.id}"
    return Reply.json({"import_id": int(job.id)}, 201, {"Location": location})


def _job(exchange: Exchange) -> Job:
    return exchange.part(Jobs).find(exchange, KINDS, exchange.params["import"])


def p42(exchange: Exchange) -> Reply:
    """P42: state of an import."""
    return Reply.json(exchange.part(ProductImports).view(_job(exchange)))


def p44(exchange: Exchange) -> Reply:
    """P44: lines that were not integrated, once COMPLETE."""
    return _report(exchange, "error_report", ("COMPLETE",))


def p45(exchange: Exchange) -> Reply:
    """P45: products that are new, once COMPLETE."""
    return _report(exchange, "new_product_report", ("COMPLETE",))


def p46(exchange: Exchange) -> Reply:
    """P46: the file in the operator's format, once SENT."""
    return _report(exchange, "transformed_file", ("SENT", "COMPLETE"))


def p47(exchange: Exchange) -> Reply:
    """P47: lines that could not be converted, in the format of the upload, once SENT."""
    return _report(exchange, "transformation_error_report", ("SENT", "COMPLETE"))


def _report(exchange: Exchange, name: str, statuses: tuple[str, ...]) -> Reply:
    job = _job(exchange)
    if job.status not in statuses:
        raise ApiError(404, f"There is no {name.replace('_', ' ')} of the import {job.id} yet.")
    reply = exchange.part(Jobs).file(job, name)
    if exchange.operation is not None and exchange.operation.produces == ("application/octet-stream",):
        reply.media_type = "application/octet-stream"
    return reply


def p51(exchange: Exchange) -> Reply:
    """P51: the imports, paged by offset."""
    since = exchange.date("last_request_date")
    status = exchange.query.get("status", "")
    if status and status not in STATUSES:
        raise ApiError(400, f"status must be one of {', '.join(STATUSES)}.")
    sort, order = exchange.query.get("sort", "dateCreated"), exchange.query.get("order", "asc")
    if sort != "dateCreated" or order not in ("asc", "desc"):
        raise ApiError(400, "sort must be dateCreated, order must be asc or desc.")
    imports = exchange.part(ProductImports)
    wanted_shop = exchange.query.get("shop_id", "") if exchange.principal.role != "shop" else ""
    transformed = exchange.query.get("has_transformed_file", "")
    found = [
        (job, view)
        for job, view in ((job, imports.view(job)) for job in exchange.part(Jobs).listed(exchange, KINDS))
        if (since is None or job.changed >= since)
        and (not status or job.status == status)
        and (not wanted_shop or str(job.shop) == wanted_shop)
        and (
            not transformed or view["has_transformed_file"] == exchange.boolean("has_transformed_file", False)
        )
    ]
    found.sort(key=lambda pair: pair[0].created, reverse=order == "desc")
    part, headers = paging.offset(exchange, len(found))
    body = {"product_import_trackings": [view for _, view in found[part]], "total_count": len(found)}
    return Reply.json(body, headers=headers)
