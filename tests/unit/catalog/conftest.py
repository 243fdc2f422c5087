"""Products and files for the tests of the catalog engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Product = dict[str, Any]


def gtin(number: int) -> str:
    """A GTIN of 13 digits: the digits at even places count three times, and the last makes a full ten."""
    body = f"{number:012d}"
    total = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(body))
    return f"{body}{-total % 10}"


@pytest.fixture
def product() -> Callable[..., Product]:
    """Return a maker of good products; keywords replace fields."""

    def make(number: int = 0, **fields: Any) -> Product:
        return {
            "id": f"SKU-{number:06d}",
            "titles": [
                {"locale": "en_US", "value": f"Phone {number}"},
                {"locale": "fr", "value": f"Téléphone {number}"},
            ],
            "descriptions": [{"locale": "en_US", "value": "A “fine” phone.\nWith a charger."}],
            "brand": "ACME",
            "category": {"id": "phones", "labels": [{"locale": "en_US", "value": "Phones"}]},
            "gtins": [{"value": gtin(number)}],
            "images": [{"url": f"https://img.example.com/{number}.jpg"}],
            "attributes": [
                {"id": "color", "name": "Color", "type": "STRING", "value": "Purple"},
                {"id": "storage", "name": "Storage", "type": "NUMERIC", "value": 256},
                {"id": "limited", "name": "Limited", "type": "BOOLEAN", "value": True},
            ],
            "quantities": [{"available_quantity": number % 100, "warehouse_code": "LYON"}],
            "partner_quantities": [{"available_quantity": 1, "partner_id": "P1"}],
            "standard_prices": [{"price": {"amount": 1249.99, "currency": "EUR"}, "scope": "EUR_FR"}],
            "discount_prices": [
                {
                    "price": {"amount": 1149, "currency": "EUR"},
                    "start_date": "2026-02-19T16:46:00Z",
                    "end_date": None,
                }
            ],
            **fields,
        }

    return make


class Drops:
    """A path whose file gives a few bytes at a time, as a network does."""

    def __init__(self, content: bytes, size: int) -> None:
        self.content, self.size, self.name = content, size, "drops.json"
        self.taken = 0

    def open(self, mode: str) -> Any:
        drops, content, size = self, self.content, self.size

        class File:
            place = 0

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *error: object) -> None: ...

            def read(self, wanted: int = -1) -> bytes:
                data = content[self.place : self.place + size]
                self.place += len(data)
                drops.taken = self.place
                return data

        return File()


@pytest.fixture(scope="session")
def drops() -> Callable[[bytes, int], Any]:
    """Return a maker of such paths."""
    return Drops


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of files: lines or products as NDJSON, text, or bytes."""

    def make(content: Any, name: str = "products.ndjson") -> Path:
        if isinstance(content, list):
            content = (
                "\n".join(line if isinstance(line, str) else json.dumps(line) for line in content) + "\n"
            )
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make
