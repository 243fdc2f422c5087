"""``mirakl-sandbox``: serve the sandbox, generate feeds, or set up an Airflow with it."""

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
        raise argparse.ArgumentTypeError(f"{name!r} is not a setting; there are {', '.join(sorted(PLAIN))}")
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
    serve.add_argument("--port", type=int, default=8099, help="0 selects a free port (default: 8099)")
    serve.add_argument(
        "--speed", type=float, default=1.0, help="simulated seconds per real second (default: 1)"
    )
    serve.add_argument("--stepped", action="store_true", help="only POST /_sandbox/clock moves the clock")
    serve.add_argument("--url-file", type=Path, help="write the URL to this file once the sandbox answers")
    serve.add_argument("--catalog", type=Path, help="NDJSON file with the products at the start")
    serve.add_argument("--state", type=Path, help="keep the state in this file across restarts")
    serve.add_argument("--seed", type=int, default=0, help="makes random faults repeatable (default: 0)")
    serve.add_argument(
        "--limits",
        choices=("published", "connect", "off"),
        default="published",
        help="which call frequencies are enforced (default: all published ones)",
    )
    serve.add_argument(
        "--ledger", type=Path, help="write the ledger to this file as NDJSON when the sandbox stops"
    )
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
        help="a fault; may be repeated",
    )
    serve.add_argument(
        "--examples",
        action="store_true",
        help="start with the data that the example Dags expect: documents, orders, returns",
    )
    generate = commands.add_parser(
        "generate", help="write feeds: products, imports, offers, stock, documents"
    )
    generate.add_argument("count", type=int, help="lines of each file")
    generate.add_argument(
        "--kind",
        default="products",
        help="products (NDJSON for Mirakl Connect), import (a P41 file), offers, stock, prices, pairs (for a "
        "resync), shipments (a carrier's file), documents, or all (default: products)",
    )
    generate.add_argument("--folder", type=Path, help="write files into this folder, not to standard output")
    generate.add_argument("--seed", type=int, default=0)
    airflow = commands.add_parser("airflow", help="a separate Airflow with the example Dags and a sandbox")
    airflow.add_argument("--folder", type=Path, default=Path("mirakl-demo"), help="default: ./mirakl-demo")
    airflow.add_argument("--port", type=int, default=8099, help="port of the sandbox (default: 8099)")
    airflow.add_argument("--airflow-port", type=int, default=8080, help="port of Airflow (default: 8080)")
    airflow.add_argument("--speed", type=float, default=60.0, help="speed of the sandbox (default: 60)")
    airflow.add_argument(
        "--run", action="store_true", help="start both now, on free ports if these are busy, until Ctrl-C"
    )
    return parser


def _generate(options: argparse.Namespace) -> int:
    from airflow_provider_mirakl.sandbox import feeds

    if options.kind not in feeds.KINDS:
        print(f"mirakl-sandbox: --kind must be one of {', '.join(feeds.KINDS)}", file=sys.stderr)
        return 2
    if options.folder is not None:
        for path in feeds.write(options.folder, options.kind, options.count, options.seed):
            print(path)
        return 0
    if options.kind not in feeds.FILES:
        print(f"mirakl-sandbox: --kind {options.kind} needs --folder", file=sys.stderr)
        return 2
    out = sys.stdout.buffer
    try:
        out.writelines(feeds.FILES[options.kind][1](options.count, options.seed))
        out.flush()
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    return 0


def _airflow(options: argparse.Namespace) -> int:
    from airflow_provider_mirakl.sandbox import showcase

    try:
        place = showcase.prepare(options.folder, options.port, options.airflow_port, options.speed)
        if options.run:
            return showcase.run(place)
    except (ImportError, OSError) as error:
        print(f"mirakl-sandbox: {error}", file=sys.stderr)
        return 2
    print(showcase.instructions(place))
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
        known = options.state is not None and options.state.exists()
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
        if options.examples and not known:
            from airflow_provider_mirakl.sandbox.feeds import fill

            fill(sandbox)
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
    return {"generate": _generate, "airflow": _airflow, "serve": _serve}[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
