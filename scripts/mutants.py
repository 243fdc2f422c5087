"""Change one operator or constant of a room at a time, and see whether a test of that room notices.

    make mutants                                                  # a sample, ten minutes
    make mutants MUTANTS_ARGS="--rooms client --minutes 60"       # more of one room
    make mutants MUTANTS_ARGS="--module client/packing.py --minutes 0"    # every mutant of a module

Nothing is written: a process is forked for each mutant, which imports the changed module in place of the file. First
the test files that name the module run, then the whole room's. What no test notices is listed, and written to
``benchmarks/mutants.json``: a change that no test sees is either harmless, or a test is missing.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_mirakl"
ROOMS = ("catalog", "client", "jobs")
RESULT = ROOT / "benchmarks" / "mutants.json"
PATIENCE = 300.0
"""Seconds for the tests of a mutant; one that runs longer hangs, which is noticed too."""

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult, ast.Div: ast.Mult, ast.Mod: ast.Mult, ast.Break: ast.Continue, ast.Continue: ast.Break,
}  # fmt: skip
WORDS = {"log", "warn", "warning", "info", "debug", "error", "exception"}


@dataclass(frozen=True)
class Mutant:
    """A change of a module.

    :param module: path below the package.
    :param line: where.
    :param place: which of the changes of the module.
    :param change: what is changed, for people.
    """

    module: str
    line: int
    place: int
    change: str

    @property
    def room(self) -> str:
        """Its room."""
        return self.module.partition("/")[0]

    @property
    def name(self) -> str:
        """As it is listed; without the line, which moves."""
        return f"{self.module}: {self.change}"


class _Changes(ast.NodeTransformer):
    """Finds every change of a module, and makes one of them.

    :param wanted: which one to make; ``None`` only finds them.
    """

    def __init__(self, wanted: int | None = None) -> None:
        self.wanted = wanted
        self.found: list[tuple[int, str]] = []

    def visit(self, node: ast.AST) -> Any:
        if _is_prose(node):
            return node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list") or (
                name == "type" and isinstance(node, ast.arg)
            ):
                continue
            if isinstance(value, list):
                setattr(
                    node, name, [self.visit(each) if isinstance(each, ast.AST) else each for each in value]
                )
            elif isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))
        return self._changed(node)

    def _changed(self, node: ast.AST) -> ast.AST:
        for new in _alternatives(node):
            here = len(self.found)
            self.found.append((getattr(node, "lineno", 0), f"{_shown(node)} -> {_shown(new)}"))
            if here == self.wanted:
                return ast.copy_location(new, node)
        return node


def _alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """What a node could have been by mistake."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case _:
            yield from _swapped(node)


def _swapped(node: ast.AST) -> Iterator[ast.AST]:
    """The node with another operator."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in SWAPS:
            yield _with(node, ops=[SWAPS[type(op)]()])
        case ast.BinOp(op=ast.Mod(), left=ast.Constant(value=str())):
            pass  # a text with its values
        case ast.BoolOp(op=op) | ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPS:
            yield _with(node, op=SWAPS[type(op)]())
        case ast.Break() | ast.Continue():
            yield SWAPS[type(node)]()


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _is_prose(node: ast.AST) -> bool:
    """What only people read, or only a type checker."""
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.Assert() | ast.Import() | ast.ImportFrom():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=attr))) if attr in WORDS:
            return True
        case ast.Expr(value=ast.Constant()):
            return True
    return False


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else f"{text[:87]}..."


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of a module."""
    changes = _Changes()
    changes.visit(ast.parse(path.read_text("utf-8")))
    module = path.relative_to(ROOT / PACKAGE).as_posix()
    return [Mutant(module, line, place, change) for place, (line, change) in enumerate(changes.found)]


def code_of(mutant: Mutant) -> CodeType:
    """The changed module."""
    path = ROOT / PACKAGE / mutant.module
    tree = _Changes(mutant.place).visit(ast.parse(path.read_text("utf-8")))
    return compile(ast.fix_missing_locations(tree), str(path), "exec")


class _Finder(importlib.abc.MetaPathFinder):
    """Imports a changed module in place of its file."""

    def __init__(self, mutant: Mutant) -> None:
        self.path = ROOT / PACKAGE / mutant.module
        self.name = ".".join((PACKAGE, *Path(mutant.module).with_suffix("").parts)).removesuffix(".__init__")
        self.code = code_of(mutant)

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        loader = importlib.machinery.SourceFileLoader(fullname, str(self.path))
        loader.get_code = lambda name: self.code  # type: ignore[method-assign]
        return importlib.util.spec_from_file_location(fullname, self.path, loader=loader)


def tests_of(module: str) -> tuple[list[str], list[str]]:
    """The test files that name a module, and those of its room."""
    room, name = module.partition("/")[0], Path(module).stem
    files = sorted((ROOT / "tests" / "unit" / room).glob("test_*.py"))
    named = re.compile(rf"\b{PACKAGE}\.{room}\.{name}\b|\b{room} import .*\b{name}\b")
    near = [str(file) for file in files if named.search(file.read_text("utf-8"))]
    return near, [str(file) for file in files]


def survives(mutant: Mutant | None, files: Sequence[str]) -> bool:
    """Run test files in a process of their own, with a mutant; whether all of them pass."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        import pytest

        if mutant is not None:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            sys.meta_path.insert(0, _Finder(mutant))
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=300", "-m", "not slow"]
        os._exit(int(pytest.main([*options, *files]) not in (0, 5)))
    until = time.monotonic() + (float("inf") if mutant is None else PATIENCE)
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rooms", default=",".join(ROOMS), help=f"default {','.join(ROOMS)}")
    parser.add_argument("--module", default="", help="one module, such as client/packing.py")
    parser.add_argument("--minutes", type=float, default=10.0, help="of processor time; 0 for no limit")
    parser.add_argument("--seed", type=int, default=1, help="which mutants come first")
    options = parser.parse_args()
    paths = sorted(
        path
        for room in options.rooms.split(",")
        for path in (ROOT / PACKAGE / room).rglob("*.py")
        if not options.module or path == ROOT / PACKAGE / options.module
    )
    every = [mutant for path in paths for mutant in mutants(path)]
    random.Random(options.seed).shuffle(every)  # noqa: S311 - repeatable on purpose
    for name in ("pytest", "hypothesis", "httpx", "msgspec", "pydantic", "numpy", "pandas", "pyarrow"):
        importlib.import_module(name)  # once for all processes; nothing of the package
    broken = [room for room in options.rooms.split(",") if not survives(None, tests_of(f"{room}/x.py")[1])]
    if broken:
        sys.exit(f"the tests of {', '.join(broken)} fail without a mutant")
    tried: list[Mutant] = []
    alive: list[Mutant] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        _try(every, options.minutes * 60 or float("inf"), tried, alive)
    finally:  # also what an interrupted run has found
        _report(every, tried, alive)
    return 0


def _try(every: list[Mutant], seconds: float, tried: list[Mutant], alive: list[Mutant]) -> None:
    for mutant in every:
        used = os.times()
        if used.children_user + used.children_system > seconds:
            break
        near, room = tests_of(mutant.module)
        if (not near or survives(mutant, near)) and survives(mutant, room):
            alive.append(mutant)
            print(f"survives  {mutant.module}:{mutant.line}  {mutant.change}", flush=True)
        tried.append(mutant)


def _report(every: list[Mutant], tried: list[Mutant], alive: list[Mutant]) -> None:
    known = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {"rooms": {}, "survivors": []}
    names = {mutant.name for mutant in tried}
    for room in sorted({mutant.room for mutant in tried}):
        known["rooms"][room] = {
            "mutants": sum(mutant.room == room for mutant in every),
            "tried": sum(mutant.room == room for mutant in tried),
            "survived": sum(mutant.room == room for mutant in alive),
        }
        print(room, known["rooms"][room])
    left = [name for name in known["survivors"] if name not in names]
    known["survivors"] = sorted({*left, *(mutant.name for mutant in alive)})
    RESULT.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
