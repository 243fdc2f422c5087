"""``mirakl-sandbox``: serve the sandbox, or generate a catalog."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from error


def _setting(text: str) -> tuple[str, Any]:
    from airflow_provider_mirakl.sandbox.machine.settings import PLAIN

    name, _, value = text.partition("=")
    if name not in PLAIN:
        raise argparse.ArgumentTypeError(f"{name!r} is no setting; there are {', '.join(sorted(PLAIN))}")
    try:
        found = json.loads(value)
    except ValueError:
        found = value
    if isinstance(found, list):
        found = frozenset(found)
    kinds = (int, float) if PLAIN[name] is float else PLAIN[name]
    if not isinstance(found, kinds) or (isinstance(found, bool) and PLAIN[name] is not bool):
        raise argparse.ArgumentTypeError(f"{name} must be a {PLAIN[name].__name__}, not {value!r}")
    return name, found


def _credentials(path: Path | None) -> dict[str, Any]:
    """Clients, keys and DJUST keys from a file."""
    from airflow_provider_mirakl.sandbox.machine.settings import InstanceKey, OAuthClient

    if path is None:
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for client in document.get("clients", ()):
        if "scopes" in client:
            client["scopes"] = frozenset(client["scopes"])
    for key in document.get("keys", ()):
        key["shops"] = tuple(key.get("shops", ()))
    if "clients" in document:
        found["clients"] = tuple(OAuthClient(**client) for client in document["clients"])
    if "keys" in document:
        found["keys"] = tuple(InstanceKey(**key) for key in document["keys"])
    if "djust_keys" in document:
        found["djust_keys"] = tuple(document["djust_keys"])
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mirakl-sandbox", description="A local Mirakl for tests and demonstrations."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve Connect, an instance, the token server and DJUST")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8099, help="0 takes a free one (default: 8099)")
    serve.add_argument(
        "--speed", type=float, default=1.0, help="simulated seconds per real second (default: 1)"
    )
    serve.add_argument("--stepped", action="store_true", help="time moves only by POST /_sandbox/clock")
    serve.add_argument("--url-file", type=Path, help="write the URL here as soon as calls are answered")
    serve.add_argument("--catalog", type=Path, help="NDJSON file with the products to start with")
    serve.add_argument("--state", type=Path, help="keep the state in this file across restarts")
    serve.add_argument("--seed", type=int, default=0, help="makes random faults repeatable (default: 0)")
    serve.add_argument(
        "--limits",
        choices=("published", "connect", "off"),
        default="published",
        help="which call frequencies are kept (default: all that are published)",
    )
    serve.add_argument("--ledger", type=Path, help="write the ledger here as NDJSON at the end")
    serve.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        type=_setting,
        help="any setting, e.g. --set pages_count=false --set processing_seconds=5",
    )
    serve.add_argument(
        "--credentials",
        type=Path,
        help="JSON file with clients, keys and djust_keys instead of the sandbox's own",
    )
    serve.add_argument(
        "--fault",
        action="append",
        default=[],
        type=_json,
        metavar="JSON",
        help="a fault rule; may be repeated",
    )
    generate = commands.add_parser("generate", help="write a realistic catalog to standard output, as NDJSON")
    generate.add_argument("count", type=int)
    generate.add_argument("--seed", type=int, default=0)
    return parser


def _generate(count: int, seed: int) -> int:
    from airflow_provider_mirakl.sandbox.generate import lines

    out = sys.stdout.buffer
    try:
        out.writelines(lines(count, seed))
        out.flush()
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    return 0


def _serve(options: argparse.Namespace) -> int:
    try:
        from airflow_provider_mirakl.sandbox import Sandbox

        settings = {
            "seed": options.seed,
            "limits": options.limits,
            "clock": "stepped" if options.stepped else "running",
            **dict(options.set),
            **_credentials(options.credentials),
        }
        sandbox = Sandbox(
            speed=options.speed,
            port=options.port,
            host=options.host,
            catalog=options.catalog,
            state=options.state,
            ledger=options.ledger,
            **settings,
        )
        for rule in options.fault:
            sandbox.fault(**rule)
        sandbox.bind()
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"mirakl-sandbox: {error}", file=sys.stderr)
        return 2

    def ready() -> None:
        print(f"Mirakl sandbox at {sandbox.url} (speed {options.speed:g})", flush=True)
        if options.url_file:
            partial = options.url_file.with_name(options.url_file.name + ".part")
            partial.write_text(sandbox.url + "\n")
            partial.replace(options.url_file)

    with contextlib.suppress(KeyboardInterrupt):
        sandbox.serve(ready)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "generate":
        return _generate(options.count, options.seed)
    return _serve(options)


if __name__ == "__main__":
    sys.exit(main())
