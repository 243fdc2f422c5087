"""What a Dag file with five of our operators costs each time Airflow parses it.

Airflow's Dag processor forks a process for each file. Modules that it has loaded before, Airflow's own among them, cost
nothing there; ours are imported again. So each measurement is a fork of a process that has loaded what every Dag file
loads, and it executes one file. Processor time, best of ``--repeat`` forks, and the load of the machine.

Usage: ``python benchmarks/bench_parse.py [--repeat N]``
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from measure import figure, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from check_imports import load_bases, load_dag_file, load_own_imports, load_plain_dag

HEAD = """
from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, BaseOperator, Param
{imports}

with DAG("parsed", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), params={{"file": Param("x.csv")}}):
"""
OURS = {
    "connect.MiraklConnectUpsertProductsOperator": 'source="{{ params.file }}"',
    "connect.MiraklConnectVerifyProductsOperator": 'submitted="{{ params.file }}"',
    "products.MiraklImportProductsOperator": 'source="{{ params.file }}"',
    "offers.MiraklImportOffersOperator": 'source="{{ params.file }}"',
    "offers.MiraklImportStockOperator": 'source="{{ params.file }}"',
}


def sources() -> dict[str, str]:
    """The Dag files, by what is in them."""
    plain = "".join(f'    BaseOperator(task_id="t{number}")\n' for number in range(5))
    found = {"five of Airflow's own": HEAD.format(imports="") + plain}
    tasks, imports = "", set()
    for number, (place, arguments) in enumerate(OURS.items()):
        module, _, name = place.partition(".")
        imports.add(f"from airflow_provider_mirakl.operators.{module} import {name}")
        tasks += f'    {name}(task_id="t{number}", {arguments})\n'
    found["five of this package"] = HEAD.format(imports="\n".join(sorted(imports))) + tasks
    if find_spec("airflow.providers.http"):
        tasks = "".join(f'    HttpOperator(task_id="t{number}", endpoint="x")\n' for number in range(5))
        imports = {"from airflow.providers.http.operators.http import HttpOperator"}
        found["five of the HTTP provider"] = HEAD.format(imports="\n".join(imports)) + tasks
    return found


def parsed(path: Path) -> float:
    """Processor time, in milliseconds, of a fork that executes a Dag file."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        status = 1
        try:
            began = time.process_time()
            load_dag_file(str(path))
            os.write(writer, f"{(time.process_time() - began) * 1000}".encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"could not load {path}")
    with os.fdopen(reader) as file:
        return float(file.read())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeat", type=int, default=30)
    repeat = arguments.parse_args().repeat
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"AIRFLOW_HOME": folder, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        # Compiled modules are kept, as where a package is installed.
        sys.dont_write_bytecode, sys.pycache_prefix = False, folder
        load_plain_dag()
        load_bases()
        paths = {}
        for name, text in sources().items():
            paths[name] = Path(folder) / f"{len(paths)}.py"
            paths[name].write_text(text, encoding="utf-8")
        load_own_imports(str(next(iter(paths.values()))))
        for path in paths.values():
            parsed(path)  # compiles the modules where that has not been done
        # Else a fork may have to search all of Airflow for garbage, or not, whatever it loads: that takes 5 ms.
        gc.collect()
        # In turn, so that a burst of other load does not hit one of them only.
        costs: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(repeat):
            for name, path in paths.items():
                costs[name].append(parsed(path))
    bare = min(next(iter(costs.values())))
    rows = [("operators", "best", "beyond Airflow's own"), *(
        (name, f"{min(times):.1f} ms", f"{min(times) - bare:.1f} ms") for name, times in costs.items()
    )]  # fmt: skip
    print(table(rows))
    best = {name: min(times) for name, times in costs.items()}
    if http := best.get("five of the HTTP provider"):
        figure("parsing: five operators of this package over five of Airflow's HTTP provider, processor time",
               best["five of this package"] / http, "times", at_most=1.0)  # fmt: skip
    print(f"\nBest of {repeat}; load of the machine: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
