"""Products for the benchmarks: about 1 kB each, the fields a seller really fills in."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_TEXT = "A phone with a bright display, two cameras and a battery for the whole day. In the box: phone, cable, manual. "


def gtin(number: int) -> str:
    """A GTIN of 13 digits with its check digit."""
    body = f"{number:012d}"
    total = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(body))
    return f"{body}{-total % 10}"


def product(number: int, *, price_change: bool = False) -> dict[str, Any]:
    """Return one product.

    :param number: its number; id and texts follow from it.
    :param price_change: give it another price.
    """
    return {
        "id": f"SKU-{number:08d}",
        "titles": [
            {"locale": "en_US", "value": f"Phone model {number}, 128 GB"},
            {"locale": "fr_FR", "value": f"Téléphone modèle {number}, 128 Go"},
        ],
        "descriptions": [{"locale": "en_US", "value": _TEXT * 2}],
        "brand": "ACME",
        "category": {"id": "phones", "labels": [{"locale": "en_US", "value": "Phones"}]},
        "gtins": [{"value": gtin(number)}],
        "images": [{"url": f"https://img.example.com/{number}.jpg"}],
        "attributes": [
            {"id": "color", "name": "Color", "type": "STRING", "value": "Purple"},
            {"id": "storage", "name": "Storage", "type": "NUMERIC", "value": 128},
            {"id": "limited", "name": "Limited edition", "type": "BOOLEAN", "value": number % 7 == 0},
        ],
        "quantities": [{"available_quantity": number % 100, "warehouse_code": "LYON"}],
        "standard_prices": [
            {"price": {"amount": number % 1000 + (0.49 if price_change else 0.99), "currency": "EUR"}}
        ],
    }


def write_products(path: Path, count: int, *, changed_every: int = 0) -> Path:
    """Write a file of products, one a line.

    :param path: the file; an existing one with the right number of lines is kept.
    :param count: number of products.
    :param changed_every: change the price of every n-th product; 0 for none.
    """
    if not path.exists():
        with path.open("w", encoding="utf-8") as file:
            file.writelines(_lines(count, changed_every))
    return path


def _lines(count: int, changed_every: int) -> Iterator[str]:
    for number in range(count):
        change = bool(changed_every) and number % changed_every == 0
        yield json.dumps(product(number, price_change=change), ensure_ascii=False) + "\n"


CSV_MAPPING = {
    "sku": "id",
    "title": "titles[en_US]",
    "title_fr": "titles[fr_FR]",
    "description": "descriptions[en_US]",
    "brand": "brand",
    "category": "category.id",
    "ean": "gtins",
    "image": "images",
    "color": "attributes[color]",
    "storage": "attributes[storage]:NUMERIC",
    "stock": "quantities[LYON]",
    "price": "standard_prices.amount",
}
"""The columns of :func:`write_csv`."""


def write_csv(path: Path, count: int, *, variants: int = 1) -> Path:
    """Write the same products as CSV.

    :param path: the file.
    :param count: rows.
    :param variants: rows of a group; then only the first of a group has texts, brand and category.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["handle", *CSV_MAPPING])
        for number in range(count):
            shared = [
                f"Phone model {number}, 128 GB", f"Téléphone modèle {number}, 128 Go", _TEXT * 2, "ACME", "phones",
            ]  # fmt: skip
            writer.writerow(
                [
                    f"H-{number // variants:08d}", f"SKU-{number:08d}",
                    *(shared if number % variants == 0 else [""] * len(shared)),
                    gtin(number), f"https://img.example.com/{number}.jpg", "Purple", 128, number % 100,
                    number % 1000 + 0.99,
                ]
            )  # fmt: skip
    return path
