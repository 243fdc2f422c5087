"""Generated files of every kind that Mirakl accepts, the same for the same count and seed.

They fit the instance of the first day: offers are of its products, pairs are products that need a repair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_mirakl.sandbox.generate import lines, product
from airflow_provider_mirakl.sandbox.systems.orders import order

if TYPE_CHECKING:
    from airflow_provider_mirakl.sandbox.server import Sandbox

#: Master products of the first day that offers and pairs are about.
FIRST_DAY = 40
#: One of this many lines of a P41 file has a category that does not exist, so that there is a report.
BAD_LINE = 50
#: Orders that the carrier's file ships, and those whose customers want to send them back.
SHIPPED, RETURNED = 3, 2
#: Documents for an upload, and documents that every shop of an example already has.
UPLOADS = ("BANK_DETAILS", "INSURANCE", "PRICE_LIST")
ON_FILE = ("BUSINESS_REGISTRATION", "IDENTITY_PROOF", "BANK_DETAILS")

_CATEGORIES = ("headphones", "coffee-makers", "desk-lamps", "hiking-boots")
_BRANDS = ("nordlys", "akeba", "veltro", "brightwater", "kusari", "ferrum", "oakline")

Feed = Callable[[int, int], Iterator[bytes]]


def _csv(*values: object) -> bytes:
    return ";".join(str(value) for value in values).encode() + b"\n"


def _import(count: int, seed: int) -> Iterator[bytes]:
    yield _csv("category", "shop_sku", "title", "brand", "ean", "color", "weight")
    for index in range(count):
        source = product(index, seed)
        attributes = {entry["id"]: entry["value"] for entry in source["attributes"]}
        bad = index % BAD_LINE == BAD_LINE - 1
        yield _csv(
            "unknown-category" if bad else _CATEGORIES[index % len(_CATEGORIES)],
            f"EX-{index + 1:05d}",
            source["titles"][0]["value"],
            _BRANDS[index % len(_BRANDS)],
            source["gtins"][0]["value"],
            attributes["color"],
            100 + index % 900,
        )


def _price(index: int, seed: int) -> float:
    return float(product(index, seed)["standard_prices"][0]["price"]["amount"])


def _offers(count: int, seed: int) -> Iterator[bytes]:
    yield _csv("sku", "product-id", "product-id-type", "price", "quantity", "state")
    for index in range(count):
        sku = f"SKU-{index % FIRST_DAY + 1:03d}"
        yield _csv(f"OFFER-{index + 1:05d}", sku, "SKU", _price(index, seed), 10 + index % 90, 11)


def _stock(count: int, seed: int) -> Iterator[bytes]:
    yield _csv("offer-sku", "quantity")
    for index in range(count):
        stock = product(index, seed)["quantities"][0]["available_quantity"]
        yield _csv(f"OFFER-{index + 1:05d}", stock)


def _prices(count: int, seed: int) -> Iterator[bytes]:
    yield _csv("offer-sku", "price")
    for index in range(count):
        yield _csv(f"OFFER-{index + 1:05d}", round(_price(index, seed) * 0.95, 2))


def _pairs(count: int, seed: int) -> Iterator[bytes]:
    """Pairs for a resync, from the products that are not synchronized on the first day (``MKL-021`` to ``MKL-040``)."""
    yield b"mirakl_product_id,product_sku\n"
    for number in range(21, min(count, 20) + 21):
        yield f"MKL-{number:03d},SKU-{number:03d}\n".encode()


def _shipments(count: int, seed: int) -> Iterator[bytes]:
    """A carrier's file of the first orders (of those that :func:`fill` places)."""
    yield _csv("order_id", "order_line_id", "quantity", "carrier", "tracking_number")
    for index in range(1, min(count, SHIPPED) + 1):
        row = order(index, seed, "")
        for line in row["order_lines"]:
            yield _csv(row["id"], line["id"], line["quantity"], "UPS", f"1Z999AA1{index:010d}")


def document(title: str) -> bytes:
    """A PDF of one page that says its title."""
    text = f"BT /F1 24 Tf 72 720 Td ({title}) Tj ET".encode("ascii", "replace")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
            b" /Resources << /Font << /F1 5 0 R >> >> >>"
        ),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return body + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, table, len(objects) + 1, len(body))
    )


#: What can be generated as one file: its name in a folder, and its lines.
FILES: dict[str, tuple[str, Feed]] = {
    "products": ("products.ndjson", lines),
    "import": ("import.csv", _import),
    "offers": ("offers.csv", _offers),
    "stock": ("stock.csv", _stock),
    "prices": ("prices.csv", _prices),
    "pairs": ("pairs.csv", _pairs),
    "shipments": ("shipments.csv", _shipments),
}
KINDS = (*FILES, "documents", "all")


def write(folder: Path, kind: str, count: int, seed: int = 0) -> list[Path]:
    """Write files of one kind, or of all, into a folder; returns their paths.

    :param kind: one of :data:`KINDS`. ``documents`` writes one PDF per type into ``documents/``.
    :param count: lines of each file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (file_name, feed) in FILES.items():
        if kind in (name, "all"):
            with (folder / file_name).open("wb") as out:
                out.writelines(feed(count, seed))
            written.append(folder / file_name)
    if kind in ("documents", "all"):
        (folder / "documents").mkdir(exist_ok=True)
        for code in UPLOADS:
            path = folder / "documents" / f"{code}.pdf"
            path.write_bytes(document(code.replace("_", " ").capitalize()))
            written.append(path)
    return written


def fill(sandbox: Sandbox) -> None:
    """Fill a sandbox with what the example Dags expect: documents, products, orders, returns, a Marketplace."""
    for kind in ("orders", "transactions", "invoices", "returns", "threads"):
        sandbox.add_marketplace_rows(kind, 3)
    sandbox.place_orders(SHIPPED, status="AWAITING_SHIPMENT")
    for order_id in sandbox.place_orders(RETURNED, status="SHIPPED"):
        sandbox.request_return(order_id)
    for shop in sandbox.call(lambda world: sorted(world.instance.shops)):
        for code in ON_FILE:
            title = f"{code.replace('_', ' ').capitalize()} of shop {shop}"
            sandbox.put_document(shop, code, f"{code.lower()}.pdf", document(title))
    sandbox.seed({**product(index), "id": f"EXAMPLE-{index + 1}"} for index in range(2))
