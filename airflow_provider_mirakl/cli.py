"""``mirakl-provider``: the command line of this package."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.exceptions import MiraklError, MiraklStorageError, counted

# Nothing here imports Airflow: where it does not start, `main` says why, without a traceback that may quote the
# database URL with its password.

if TYPE_CHECKING:
    from airflow_provider_mirakl.checks.lint import Check


def run() -> int:
    """The console script: :func:`main`, in a process that may read Airflow's database."""
    # Without it Airflow 3 reads connections only from the environment and secrets backends.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    return main()


@dataclass(frozen=True, slots=True)
class Command:
    """A command, for the console script and for ``airflow mirakl``.

    :param name: its name.
    :param help: its description.
    :param run: runs it and returns the exit status.
    :param arguments: flags, with their argparse settings.
    """

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    arguments: Sequence[tuple[str, Mapping[str, Any]]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    :return: 0 for success, 1 if a check failed, 2 if the command was invalid or did not finish, or Airflow does not
        start.
    """
    parser = argparse.ArgumentParser(
        prog="mirakl-provider", description="Check connections and files, and clean up."
    )
    found = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        own = found.add_parser(command.name, help=command.help, description=command.help)
        for flag, options in command.arguments:
            own.add_argument(flag, **options)
    arguments = parser.parse_args(argv)
    if (fault := _airflow_fault()) is not None:
        print(fault, file=sys.stderr)
        return 2
    return carry_out(arguments.command, arguments)


def carry_out(name: str, arguments: argparse.Namespace) -> int:
    """Run a command.

    :param name: its name.
    :param arguments: the parsed arguments.
    :return: the exit status.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not have every character
    try:
        status = next(command for command in COMMANDS if command.name == name).run(arguments)
        sys.stdout.flush()
    except MiraklError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # such as of `| head`; Python would write the rest when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except OSError as error:
        print(f"{name} did not finish: {error}", file=sys.stderr)
        return 2
    return status


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep logs out of standard output, whose lines may be for programs; the results contain what matters.

    Airflow 2 and many hooks log there. On Airflow 3 their lines do not go through the standard library.
    """
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _storage(place: object) -> Iterator[None]:
    """Turn whatever the driver of an object store raises into an error of this package.

    :param place: the file or folder, for the message.
    """
    try:
        yield
    except (MiraklError, OSError):
        raise
    except Exception as error:
        if type(error).__module__ == "builtins":
            raise
        raise MiraklStorageError(
            f"{place} cannot be accessed ({type(error).__name__}); check its connection", path=str(place)
        ) from None


def _as_json(value: object) -> str:
    """A result as JSON, in characters that standard output has."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeError:
        return json.dumps(value, indent=2)
    return text


def _airflow_fault() -> str | None:
    """Why Airflow does not start here: it opens its database when it is imported."""
    try:
        import airflow  # noqa: F401
    except Exception as error:  # noqa: BLE001 - its settings may cause any error
        # Any message but that of a missing module may quote the database URL with its password.
        words = f": {error}" if isinstance(error, ImportError) else ""
        return (
            f"Airflow does not start here ({type(error).__name__}{words}). Check [database] sql_alchemy_conn, and that "
            "its driver is installed with Airflow"
        )
    return None


def _check(arguments: argparse.Namespace) -> int:
    from airflow_provider_mirakl import preflight

    with _quiet():
        found = {
            conn_id: preflight.check(conn_id, require=arguments.require) for conn_id in arguments.conn_id
        }
    if arguments.json:
        print(_as_json({conn_id: preflight.dump(findings) for conn_id, findings in found.items()}))
    else:
        for conn_id, findings in found.items():
            print(conn_id)
            for finding in findings:
                print(f"  {finding}")
    return 1 if any(preflight.failed(findings) for findings in found.values()) else 0


def _clean(arguments: argparse.Namespace) -> int:
    from airflow_provider_mirakl._compat import unfinished_runs
    from airflow_provider_mirakl.files.paths import folder_below, safe_folder
    from airflow_provider_mirakl.files.tidying import (
        DAY,
        old_claims,
        old_runs,
        remove_claim,
        work_folder_within,
    )

    folder, before = folder_below(arguments.work_folder), time.time() - arguments.older_than * DAY
    try:
        unfinished = {(safe_folder(dag_id), safe_folder(run_id)) for dag_id, run_id in unfinished_runs()}
    except Exception as error:  # noqa: BLE001 - of any driver; its message may quote the address of the database
        print(
            f"Airflow's database cannot be read ({type(error).__name__}), so it is not known which runs are "
            "unfinished. Nothing was removed. Check [database] sql_alchemy_conn, and that the database is migrated",
            file=sys.stderr,
        )
        return 2
    removed = size = claims = 0
    with _storage(folder):
        if arguments.work_folder and not folder.is_dir():
            print(f"{folder} is not a folder that exists; check --work-folder", file=sys.stderr)
            return 2
        if (inner := work_folder_within(folder)) is not None:
            print(
                f"{folder} is not a work folder, but contains one: {inner}; check --work-folder",
                file=sys.stderr,
            )
            return 2
        for old in old_runs(
            folder,
            before,
            lambda dag, task, run: (dag, run) in unfinished,
        ):
            print(f"{'would remove' if arguments.dry_run else 'removing'} {old.path} ({old.size:,} bytes)")
            if not arguments.dry_run:
                old.remove()
            removed, size = removed + 1, size + old.size
        for file in old_claims(folder, before):
            if not arguments.dry_run:
                remove_claim(file)
            claims += 1
    print(f"{counted(claims, 'old note')} about submitted jobs and actions")
    found = f"{counted(removed, 'folder')}, {counted(size, 'byte')}"
    print(f"{found}{'; nothing was removed' if arguments.dry_run else ''}")
    return 0


def _days(text: str) -> float:
    """A number of days, such as ``30d`` or ``30``."""
    try:
        days = float(text.removesuffix("d"))
    except ValueError:
        days = -1.0
    if not 1 <= days < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of days such as 30d, 1 or more, not {text!r}")
    return days


def _lint(arguments: argparse.Namespace) -> int:
    from airflow_provider_mirakl.checks.lint import Finding, lint_table, words
    from airflow_provider_mirakl.files.csv_table import open_table
    from airflow_provider_mirakl.files.paths import storage_path

    if arguments.operation == "P41" and not arguments.conn_id:
        print(
            "lint of products (P41) needs --conn-id: they are checked against the operator's attributes",
            file=sys.stderr,
        )
        return 2
    every: list[dict[str, Any]] = []  # a program may need more than the first, which are for people
    try:
        with _quiet():
            path = storage_path(arguments.file)
            check = _checker(arguments)
            with _storage(arguments.file), open_table(path, encoding=arguments.encoding) as table:
                lint = lint_table(table, check, found=lambda finding: every.append(finding.as_row()))
    except OSError as error:
        print(f"{arguments.file} cannot be read: {error}", file=sys.stderr)
        return 2
    if not lint.rows:
        empty = Finding("the file has no rows, so an operator would not send it")
        lint.add(empty)
        every.append(empty.as_row())
    if arguments.json:
        print(_as_json(lint.summary() | {"findings": every}))
    else:
        for line in words(lint, path.name):
            print(line)
    return 1 if lint.count else 0


def _checker(arguments: argparse.Namespace) -> Check:
    from airflow_provider_mirakl.checks.imports import OF01, PRI01, STO01, ImportCheck

    if (file := {"OF01": OF01, "STO01": STO01, "PRI01": PRI01}.get(arguments.operation)) is not None:
        return ImportCheck(file)
    from airflow_provider_mirakl.checks.products import ProductCheck
    from airflow_provider_mirakl.hooks.mirakl import MiraklHook
    from airflow_provider_mirakl.hooks.platform import PlatformSettings
    from airflow_provider_mirakl.runtime.arguments import read_caller

    hook = MiraklHook(arguments.conn_id)
    with hook.get_conn() as client:
        caller = read_caller(hook, arguments.shop_id)
        attributes = PlatformSettings(client).operator_attributes(
            caller, all_attributes=arguments.operator_format
        )
    return ProductCheck(attributes, operator_format=arguments.operator_format)


COMMANDS = (
    Command(
        "check",
        "check connections: settings, key and rights; nothing is changed in Mirakl",
        _check,
        (
            (
                "--conn-id",
                {
                    "action": "append",
                    "required": True,
                    "metavar": "ID",
                    "help": "Airflow connection; may be repeated",
                },
            ),
            (
                "--require",
                {
                    "action": "append",
                    "default": [],
                    "metavar": "CODE",
                    "help": "a required right, such as CM51; may be repeated",
                },
            ),
            (
                "--json",
                {"action": "store_true", "help": "one JSON object with a list of findings for each id"},
            ),
        ),
    ),
    Command(
        "clean",
        "remove files of old runs from the work folder, but never states, watermarks, or files of a running Dag run",
        _clean,
        (
            (
                "--older-than",
                {
                    "required": True,
                    "type": _days,
                    "metavar": "DAYS",
                    "help": "days since the last write, such as 30d",
                },
            ),
            (
                "--work-folder",
                {"default": None, "metavar": "PATH", "help": "default: [mirakl] work_folder"},
            ),
            ("--dry-run", {"action": "store_true", "help": "list what would be removed"}),
        ),
    ),
    Command(
        "lint",
        "check a CSV file before it is imported, like the operators; nothing is sent to Mirakl",
        _lint,
        (
            ("file", {"help": "a local path or object storage"}),
            (
                "--operation",
                {
                    "choices": ("P41", "OF01", "STO01", "PRI01"),
                    "default": "P41",
                    "help": "content of the file: products (P41, the default), offers, stock or prices",
                },
            ),
            (
                "--conn-id",
                {
                    "metavar": "ID",
                    "help": "Airflow connection of the instance; only P41 needs it, to read the operator's attributes",
                },
            ),
            ("--shop-id", {"type": int, "metavar": "ID", "help": "the shop; default the connection's own"}),
            (
                "--operator-format",
                {"action": "store_true", "help": "the file is already in the operator's format (P41)"},
            ),
            ("--encoding", {"default": "auto", "help": "encoding of the file, such as cp1252"}),
            ("--json", {"action": "store_true", "help": "one JSON object with the findings"}),
        ),
    ),
)
"""Every command."""
