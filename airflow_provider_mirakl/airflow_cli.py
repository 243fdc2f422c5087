"""``airflow mirakl``: the commands of the console script, in Airflow's own command line.

Airflow loads this for every call of ``airflow``, so nothing is imported before a command runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any


def commands() -> list[Any]:
    """The commands; Airflow calls this, from 3.2 on."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    from airflow_provider_mirakl.cli import COMMANDS

    argument: Any = Arg
    return [
        GroupCommand(
            name="mirakl",
            help="Check connections to Mirakl and files to import, and clean up",
            subcommands=[
                ActionCommand(
                    name=command.name,
                    help=command.help,
                    func=_run(command.name),
                    args=[argument((flag,), **options) for flag, options in command.arguments],
                )
                for command in COMMANDS
            ],
        )
    ]


def _run(name: str) -> Callable[[argparse.Namespace], None]:
    def run(arguments: argparse.Namespace) -> None:
        from airflow_provider_mirakl.cli import carry_out

        if status := carry_out(name, arguments):
            sys.exit(status)

    return run
