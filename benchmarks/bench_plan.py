"""Planning an upsert against a plain loop with pydantic and json, in one run.

    python benchmarks/bench_plan.py                # 100,000 products, best of 3
    python benchmarks/bench_plan.py --count 1000000 --repeat 1
    python benchmarks/bench_plan.py --format csv       # a mapping, against csv.DictReader and the same models
    python benchmarks/bench_plan.py --format groups    # CSV with group_by, five rows a group
    python benchmarks/bench_plan.py --sizes 10000 100000    # only how much memory more products take

The plain loop is the usual code without the engine: read a line, ``json.loads``, validate a pydantic model of the same
limits, remember the id, ``json.dumps`` the model, write it, cut chunks of 1,000. A second loop uses pydantic's own JSON
reader and writes the line as it came, the best pydantic can do. Both keep all ids in memory; the engine does not.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from measure import Cost, figure, measured, run, table
from products import CSV_MAPPING, write_csv, write_products

TARGET_RATIOS = {"ndjson": 4.0, "csv": 2.0, "groups": 2.0}
TARGET_MEGABYTES = 200.0
TARGET_GROWTH = 1.5
VARIANTS = 5


def engine(source: Path, folder: Path) -> None:
    from airflow_provider_mirakl.catalog.plan import plan_upsert

    print(plan_upsert(source, folder / "plan").describe())


def engine_csv(source: Path, folder: Path) -> None:
    from airflow_provider_mirakl.catalog.columns import Columns
    from airflow_provider_mirakl.catalog.plan import plan_upsert

    columns = Columns(CSV_MAPPING, currency="EUR", locale="en_US")
    print(plan_upsert(source, folder / "plan", columns=columns).describe())


def engine_groups(source: Path, folder: Path) -> None:
    from airflow_provider_mirakl.catalog.columns import Columns
    from airflow_provider_mirakl.catalog.plan import plan_upsert

    shared = ("title", "title_fr", "description", "brand", "category")
    columns = Columns(
        CSV_MAPPING, currency="EUR", locale="en_US", group_by="handle", fill_down=shared, collect=("image",)
    )
    print(plan_upsert(source, folder / "plan", columns=columns).describe())


def plain_csv(source: Path, folder: Path) -> None:
    from plain_model import Product

    def read() -> Iterator[tuple[str, str]]:
        with source.open(encoding="utf-8", newline="") as file:
            for cells in csv.DictReader(file, delimiter=";"):
                product = Product.model_validate(
                    product_of({name: cell.strip() for name, cell in cells.items()})
                )
                yield product.id, json.dumps(product.model_dump(exclude_unset=True))

    write(read(), folder)


def plain_groups(source: Path, folder: Path) -> None:
    from plain_model import Product

    def read() -> Iterator[tuple[str, str]]:
        with source.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter=";")
            for _, rows in groupby(reader, key=lambda cells: cells["handle"]):
                group = [{name: cell.strip() for name, cell in cells.items()} for cells in rows]
                images = list(dict.fromkeys(cells["image"] for cells in group if cells["image"]))
                for cells in group:
                    filled = {**cells, **{name: group[0][name] for name in _SHARED}}
                    made = product_of(filled) | {"images": [{"url": url} for url in images]}
                    product = Product.model_validate(made)
                    yield product.id, json.dumps(product.model_dump(exclude_unset=True))

    write(read(), folder)


_SHARED = ("title", "title_fr", "description", "brand", "category")


def product_of(cells: dict[str, str]) -> dict[str, Any]:
    """A product of a row, as one writes it by hand."""
    return {
        "id": cells["sku"],
        "titles": [
            {"locale": "en_US", "value": cells["title"]},
            {"locale": "fr_FR", "value": cells["title_fr"]},
        ],
        "descriptions": [{"locale": "en_US", "value": cells["description"]}],
        "brand": cells["brand"],
        "category": {"id": cells["category"], "labels": []},
        "gtins": [{"value": cells["ean"]}],
        "images": [{"url": cells["image"]}],
        "attributes": [
            {"id": "color", "name": "color", "type": "STRING", "value": cells["color"]},
            {"id": "storage", "name": "storage", "type": "NUMERIC", "value": float(cells["storage"])},
        ],
        "quantities": [{"available_quantity": int(cells["stock"]), "warehouse_code": "LYON"}],
        "standard_prices": [{"price": {"amount": float(cells["price"]), "currency": "EUR"}}],
    }


def plain(source: Path, folder: Path) -> None:
    from plain_model import Product

    def row(line: str) -> tuple[str, str]:
        product = Product.model_validate(json.loads(line))
        return product.id, json.dumps(product.model_dump(exclude_unset=True))

    loop(source, folder, row)


def plain_json(source: Path, folder: Path) -> None:
    from plain_model import Product

    loop(source, folder, lambda line: (Product.model_validate_json(line).id, line.rstrip("\n")))


def loop(source: Path, folder: Path, row: Callable[[str], tuple[str, str]]) -> None:
    with source.open(encoding="utf-8") as file:
        write(map(row, file), folder)


def write(rows: Iterable[tuple[str, str]], folder: Path) -> None:
    seen: set[str] = set()
    chunk: list[str] = []
    folder.mkdir(exist_ok=True)
    with (folder / "plain.ndjson").open("w", encoding="utf-8") as out:
        for item_id, text in rows:
            if item_id in seen:
                raise ValueError(item_id)
            seen.add(item_id)
            chunk.append(text)
            if len(chunk) == 1000:
                out.write("\n".join(chunk) + "\n")
                chunk = []
        out.write("\n".join(chunk) + "\n")


JOBS = {
    "engine": engine,
    "plain": plain,
    "plain_json": plain_json,
    "engine_csv": engine_csv,
    "plain_csv": plain_csv,
    "engine_groups": engine_groups,
    "plain_groups": plain_groups,
}
FORMATS = {
    "ndjson": ("engine", "plain", "plain_json"),
    "csv": ("engine_csv", "plain_csv"),
    "groups": ("engine_groups", "plain_groups"),
}
"""The jobs that are compared: the engine, the plain loop, and others."""
NAMES = {
    "engine_csv": "plan_upsert with a mapping",
    "plain_csv": "csv.DictReader, model_validate, json.dumps",
    "engine_groups": "plan_upsert with group_by",
    "plain_groups": "csv.DictReader, groupby, model_validate, json.dumps",
    "engine": "plan_upsert",
    "plain": "json.loads, model_validate, json.dumps",
    "plain_json": "model_validate_json, line as it is",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--format", choices=FORMATS, default="ndjson")
    parser.add_argument("--sizes", type=int, nargs=2, help="the fewest and the most products")
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args()
    if options.job:
        source, folder = options.paths
        measured(lambda: JOBS[options.job](source, folder))
        return
    work = Path(tempfile.mkdtemp(prefix="mirakl-bench-"))
    try:
        if options.sizes:
            growth(work, *options.sizes)
            return
        if options.format == "ndjson":
            source = write_products(work / "products.ndjson", options.count)
        else:
            variants = VARIANTS if options.format == "groups" else 1
            source = write_csv(work / "products.csv", options.count, variants=variants)
        report(source, work, options.count, options.repeat, options.format)
    finally:
        shutil.rmtree(work)


def report(source: Path, work: Path, count: int, repeat: int, kind: str) -> None:
    ours, base_job, *_ = FORMATS[kind]
    costs: dict[str, Cost] = {}
    for _ in range(
        repeat
    ):  # jobs take turns, so that a busy moment of the machine does not hit one of them alone
        for job in FORMATS[kind]:
            cost = run(__file__, job, str(source), str(work / job))
            costs[job] = min(costs.get(job, cost), cost, key=lambda one: one.seconds)
    base = costs[base_job].seconds
    rows = [("job", "CPU s", "wall s", "us a product", "times plain", "peak MB")]
    rows += [
        (
            NAMES[job],
            f"{cost.seconds:.2f}",
            f"{cost.wall:.2f}",
            f"{cost.seconds / count * 1e6:.1f}",
            f"{base / cost.seconds:.1f}",
            f"{cost.megabytes:.0f}",
        )
        for job, cost in costs.items()
    ]
    print(f"{count:,} products, {source.stat().st_size / count:,.0f} bytes each, best of {repeat}\n")
    print(table(rows))
    ratio = base / costs[ours].seconds
    figure(f"planning, {kind}: a plain pydantic loop over plan_upsert, processor time", ratio, "times",
           at_least=TARGET_RATIOS[kind])  # fmt: skip
    figure(f"planning, {kind}: peak memory", costs[ours].megabytes, "MB", at_most=TARGET_MEGABYTES)
    print(f"\nratio {ratio:.1f} (target {TARGET_RATIOS[kind]:g}), peak {costs[ours].megabytes:.0f} MB "
          f"(target {TARGET_MEGABYTES:g})")  # fmt: skip


def growth(work: Path, least: int, most: int) -> None:
    """Report the memory that a plan takes for more products."""
    rows = [("products", "CPU s", "peak MB")]
    peaks = {}
    for count in (least, most):
        source = write_products(work / f"{count}.ndjson", count)
        cost = run(__file__, "engine", str(source), str(work / str(count)))
        peaks[count] = cost.megabytes
        rows.append((f"{count:,}", f"{cost.seconds:.2f}", f"{cost.megabytes:.0f}"))
    print(table(rows))
    figure(f"planning, ndjson: peak memory of {most:,} products over that of {least:,}",
           peaks[most] / peaks[least], "times", at_most=TARGET_GROWTH)  # fmt: skip


if __name__ == "__main__":
    main()
