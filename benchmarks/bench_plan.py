"""Planning an upsert against a plain loop with pydantic and json, in one run.

    python benchmarks/bench_plan.py                # 100,000 products, best of 3
    python benchmarks/bench_plan.py --count 1000000 --repeat 1

The plain loop is the usual code without the engine: read a line, ``json.loads``, validate a pydantic model of the same
limits, remember the id, ``json.dumps`` the model, write it, cut chunks of 1,000. A second loop uses pydantic's own JSON
reader and writes the line as it came, the best pydantic can do. Both keep all ids in memory; the engine does not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import Cost, measured, run, table
from products import write_products

TARGET_RATIO = 4.0
TARGET_MEGABYTES = 200.0


def engine(source: Path, folder: Path) -> None:
    from airflow_provider_mirakl.catalog.plan import plan_upsert

    print(plan_upsert(source, folder / "plan").describe())


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
    seen: set[str] = set()
    chunk: list[str] = []
    folder.mkdir(exist_ok=True)
    with source.open(encoding="utf-8") as file, (folder / "plain.ndjson").open("w", encoding="utf-8") as out:
        for line in file:
            item_id, text = row(line)
            if item_id in seen:
                raise ValueError(item_id)
            seen.add(item_id)
            chunk.append(text)
            if len(chunk) == 1000:
                out.write("\n".join(chunk) + "\n")
                chunk = []
        out.write("\n".join(chunk) + "\n")


JOBS = {"engine": engine, "plain": plain, "plain_json": plain_json}
NAMES = {
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
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args()
    if options.job:
        source, folder = options.paths
        measured(lambda: JOBS[options.job](source, folder))
        return
    work = Path(tempfile.mkdtemp(prefix="mirakl-bench-"))
    try:
        source = write_products(work / "products.ndjson", options.count)
        report(source, work, options.count, options.repeat)
    finally:
        shutil.rmtree(work)


def report(source: Path, work: Path, count: int, repeat: int) -> None:
    costs: dict[str, Cost] = {}
    for _ in range(
        repeat
    ):  # jobs take turns, so that a busy moment of the machine does not hit one of them alone
        for job in JOBS:
            cost = run(__file__, job, str(source), str(work / job))
            costs[job] = min(costs.get(job, cost), cost, key=lambda one: one.seconds)
    base = costs["plain"].seconds
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
    ratio = base / costs["engine"].seconds
    print(f"\nratio {ratio:.1f} (target {TARGET_RATIO:g}), peak {costs['engine'].megabytes:.0f} MB "
          f"(target {TARGET_MEGABYTES:g})")  # fmt: skip


if __name__ == "__main__":
    main()
