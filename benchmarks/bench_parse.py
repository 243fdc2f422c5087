"""What a Dag file with five of our operators costs each time Airflow parses it, beside five of other providers.

Airflow's Dag processor forks a process for each file. Modules that it has loaded before, Airflow's own among them, cost
nothing there; ours are imported again. So each measurement is a fork of a process that has loaded what every Dag file
loads, and it executes one file. Processor time, best of ``--repeat`` forks, and the load of the machine.

The Dag processor loads a provider of the Apache project (``airflow.providers.*``) before it forks, and keeps it, so a
Dag file pays for that once. Ours it does not, so a file pays each time. Both are compared: the first parse, when
nothing has loaded the other provider, and each later one. A provider that is not installed has no figure; ``make
bench`` installs all.

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
from typing import NamedTuple

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


class Neighbour(NamedTuple):
    """An operator of another provider.

    :param title: the provider in words.
    :param module: below ``airflow.providers``.
    :param operator: its class.
    :param arguments: what one has to pass.
    """

    title: str
    module: str
    operator: str
    arguments: str


NEIGHBOURS = (
    Neighbour("HTTP", "http.operators.http", "HttpOperator", 'endpoint="x"'),
    Neighbour("dbt Cloud", "dbt.cloud.operators.dbt", "DbtCloudRunJobOperator", "job_id=1"),
    Neighbour("Airbyte", "airbyte.operators.airbyte", "AirbyteTriggerSyncOperator", 'connection_id="x"'),
    Neighbour("Databricks", "databricks.operators.databricks", "DatabricksRunNowOperator", "job_id=1"),
)
PLAIN = "five of Airflow's own"
THIS = "five of this package"
MOST_FIRST = 1.0
"""Our share of what another provider costs at its first parse."""
MOST_LATER = 5.0
"""The same for each later parse, which costs the other one no imports."""


def is_installed(neighbour: Neighbour) -> bool:
    """Whether the provider can be imported."""
    parts = f"airflow.providers.{neighbour.module}".split(".")
    return all(find_spec(".".join(parts[:length])) for length in range(3, len(parts)))


def sources() -> dict[str, str]:
    """The Dag files, by what is in them."""
    plain = "".join(f'    BaseOperator(task_id="t{number}")\n' for number in range(5))
    found = {PLAIN: HEAD.format(imports="") + plain}
    tasks, imports = "", set()
    for number, (place, arguments) in enumerate(OURS.items()):
        module, _, name = place.partition(".")
        imports.add(f"from airflow_provider_mirakl.operators.{module} import {name}")
        tasks += f'    {name}(task_id="t{number}", {arguments})\n'
    found[THIS] = HEAD.format(imports="\n".join(sorted(imports))) + tasks
    for one in filter(is_installed, NEIGHBOURS):
        tasks = "".join(f'    {one.operator}(task_id="t{at}", {one.arguments})\n' for at in range(5))
        imports = {f"from airflow.providers.{one.module} import {one.operator}"}
        found[one.title] = HEAD.format(imports="\n".join(imports)) + tasks
    return found


def parsed(path: Path, *, later: bool = False) -> float:
    """Processor time, in milliseconds, of a fork that executes a Dag file.

    :param later: as after the first parse: what the file imports of ``airflow`` is there already.
    """
    reader, writer = os.pipe()
    if not (child := os.fork()):
        status = 1
        try:
            if later:  # the parent has loaded them, and the fork of this fork parses
                load_own_imports(str(path))
                gc.collect()
                took = parsed(path)
            else:
                began = time.process_time()
                load_dag_file(str(path))
                took = (time.process_time() - began) * 1000
            os.write(writer, f"{took}".encode())
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
        first: dict[str, float] = dict.fromkeys(paths, float("inf"))
        later = dict(first)
        for _ in range(repeat):
            for name, path in paths.items():
                first[name] = min(first[name], parsed(path))
                later[name] = min(later[name], parsed(path, later=True))
    rows = [("operators", "first parse", "beyond Airflow's own", "each later one"), *(
        (name, f"{first[name]:.1f} ms", f"{first[name] - first[PLAIN]:.1f} ms", f"{later[name]:.1f} ms")
        for name in paths
    )]  # fmt: skip
    print(table(rows))
    for each, costs, most in (("first parse", first, MOST_FIRST), ("later parse", later, MOST_LATER)):
        for one in NEIGHBOURS:
            other = costs.get(one.title)
            figure(f"parsing, {each}: this package over {one.title}, five operators, processor time",
                   costs[THIS] / other if other else None, "times", at_most=most, why="not installed")  # fmt: skip
    print(f"\nBest of {repeat}; load of the machine: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
