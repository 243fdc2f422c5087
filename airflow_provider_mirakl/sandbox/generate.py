"""A realistic catalog of any size, the same for the same seed, line by line."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from airflow_provider_mirakl.sandbox.machine.wire import dumps

_KINDS: tuple[tuple[str, str, str, tuple[str, ...], float], ...] = (
    ("smartphones", "Smartphone", "Smartphone", ("Display", "Battery", "Memory"), 390),
    ("headphones", "Headphones", "Casque audio", ("Battery", "Weight", "Impedance"), 120),
    ("coffee-makers", "Coffee maker", "Machine à café", ("Pressure", "Tank", "Power"), 180),
    ("hiking-boots", "Hiking boots", "Chaussures de randonnée", ("Weight", "Height", "Sole"), 140),
    ("office-chairs", "Office chair", "Fauteuil de bureau", ("Height", "Load", "Width"), 210),
    ("cordless-drills", "Cordless drill", "Perceuse sans fil", ("Torque", "Voltage", "Weight"), 95),
    ("backpacks", "Backpack", "Sac à dos", ("Volume", "Weight", "Height"), 70),
    ("desk-lamps", "Desk lamp", "Lampe de bureau", ("Power", "Height", "Flux"), 45),
    ("board-games", "Board game", "Jeu de société", ("Players", "Duration", "Age"), 35),
    ("garden-hoses", "Garden hose", "Tuyau d'arrosage", ("Length", "Diameter", "Pressure"), 30),
)
_BRANDS = (
    "Nordlys",
    "Akeba",
    "Veltro",
    "Brightwater",
    "Kusari",
    "Maison Olive",
    "Ferrum",
    "Tindra",
    "Oakline",
    "Zephyr",
)
_COLORS = (
    ("black", "noir"),
    ("white", "blanc"),
    ("blue", "bleu"),
    ("green", "vert"),
    ("red", "rouge"),
    ("grey", "gris"),
)
_WORD_LIST = """
durable light quiet compact sturdy simple precise elegant reliable practical foldable washable
balanced modern robust careful warm dry fast gentle
"""
_WORDS = tuple(_WORD_LIST.split())


def _gtin(number: int) -> str:
    digits = f"20{number % 10**10:010d}"
    total = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits))
    return digits + str(-total % 10)


def product(index: int, seed: int = 0) -> dict[str, Any]:
    """The product of a place in the catalog; the same for the same index and seed.

    :param index: from 0.
    :param seed: another seed, another catalog.
    """
    chance = random.Random(seed << 40 | index).random  # noqa: S311 - repeatable test data, not a secret

    def draw(count: int) -> int:
        return int(chance() * count)

    kind, english, french, measures, base = _KINDS[draw(len(_KINDS))]
    brand = _BRANDS[draw(len(_BRANDS))]
    color, couleur = _COLORS[draw(len(_COLORS))]
    model = f"{chr(65 + draw(26))}{100 + draw(900)}"
    price = round(base * (0.6 + chance()), 2)
    words = [_WORDS[draw(len(_WORDS))] for _ in range(12)]
    result: dict[str, Any] = {
        "id": f"SKU-{index + 1:07d}",
        "titles": [
            {"locale": "en_US", "value": f"{brand} {english} {model} {color}"},
            {"locale": "fr_FR", "value": f"{french} {brand} {model} {couleur}"},
        ],
        "descriptions": [{"locale": "en_US", "value": f"A {', '.join(words)} {english.lower()} by {brand}."}],
        "brand": brand,
        "category": {
            "id": kind,
            "labels": [{"locale": "en_US", "value": english}, {"locale": "fr_FR", "value": french}],
        },
        "gtins": [{"value": _gtin(index * 7 + seed)}],
        "images": [
            {"url": f"https://images.example.com/{kind}/{index + 1}-{n}.jpg"}
            for n in range(1, 1 + 1 + draw(3))
        ],
        "attributes": [
            {"id": "color", "name": "Color", "type": "STRING", "value": color},
            *(
                {"id": name.lower(), "name": name, "type": "NUMERIC", "value": 1 + draw(499)}
                for name in measures
            ),
            {"id": "refurbished", "name": "Refurbished", "type": "BOOLEAN", "value": chance() < 0.05},
        ],
        "quantities": [{"available_quantity": draw(400), "warehouse_code": "main"}],
        "standard_prices": [{"price": {"amount": price, "currency": "EUR"}}],
    }
    if chance() < 0.2:
        result["discount_prices"] = [
            {
                "price": {"amount": round(price * 0.85, 2), "currency": "EUR"},
                "start_date": "2026-01-01T00:00:00Z",
                "end_date": "2027-01-01T00:00:00Z",
            }
        ]
    return result


def lines(count: int, seed: int = 0) -> Iterator[bytes]:
    """NDJSON lines of ``count`` products, each valid for Connect."""
    for index in range(count):
        yield dumps(product(index, seed)) + b"\n"
