"""``mirakl-provider``: what is done with this package from a shell."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence

from airflow_provider_mirakl.exceptions import MiraklError


def run() -> int:
    """The console script: :func:`main`, in a process that may read Airflow's database."""
    # Without it Airflow 3 reads connections out of the environment and secrets backends alone.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    :return: 0 all is well, 1 a check failed, 2 the command was called wrongly, or Airflow does not start.
    """
    parser = argparse.ArgumentParser(prog="mirakl-provider", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "check", help="check connections: settings, key and rights; nothing is changed in Mirakl"
    )
    check.add_argument(
        "--conn-id", action="append", required=True, metavar="ID", help="Airflow connection; may be repeated"
    )
    check.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="CODE",
        help="a right without which the check fails, such as CM51; may be repeated",
    )
    check.add_argument(
        "--json", action="store_true", help="one JSON object with a list of findings for each id"
    )
    arguments = parser.parse_args(argv)
    if (fault := _airflow_fault()) is not None:
        print(fault, file=sys.stderr)
        return 2
    try:
        return _check(arguments.conn_id, arguments.require, as_json=arguments.json)
    except MiraklError as error:
        print(error, file=sys.stderr)
        return 2


def _airflow_fault() -> str | None:
    """Why Airflow does not start here: it opens its database when it is imported."""
    try:
        import airflow  # noqa: F401
    except Exception as error:  # noqa: BLE001 - whatever its settings bring
        # Other words than those of a missing module may quote the address of the database, password and all.
        words = f": {error}" if isinstance(error, ImportError) else ""
        return (
            f"Airflow does not start here ({type(error).__name__}{words}). Check [database] sql_alchemy_conn, and that "
            "the driver it names is installed beside Airflow"
        )
    return None


def _check(conn_ids: Sequence[str], require: Sequence[str], *, as_json: bool) -> int:
    from airflow_provider_mirakl import preflight

    # Airflow 2 logs to standard output, between what a program is to read; what matters is in the findings.
    logging.disable(logging.CRITICAL)
    try:
        found = {conn_id: preflight.check(conn_id, require=require) for conn_id in conn_ids}
    finally:
        logging.disable(logging.NOTSET)
    if as_json:
        print(
            json.dumps({conn_id: preflight.dump(findings) for conn_id, findings in found.items()}, indent=2)
        )
    else:
        for conn_id, findings in found.items():
            print(conn_id)
            for finding in findings:
                print(f"  {finding}")
    return 1 if any(preflight.failed(findings) for findings in found.values()) else 0
