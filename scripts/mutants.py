"""Change one operator or constant at a time in the rooms that decide, and see whether a unit test notices.

    make mutants                                                        # the same ten of each module
    make mutants MUTANTS_ARGS="--only client --each 40"                 # more of one room
    make mutants MUTANTS_ARGS="--only client/packing.py --each 0"       # every mutant of a module
    make mutants MUTANTS_ARGS="--again --only jobs"                     # what survived
    make mutants MUTANTS_ARGS="--again --only jobs --tests jobs/test_book.py"    # with a new test

The unit tests of a room are collected once and run once without a mutant, under coverage, which tells the tests of
each line. Then a process is forked for each mutant: it changes the function in memory, and runs the tests that execute
the changed line until one fails. A change of what runs at import, such as a constant or a default, needs a process
that has not imported the module. No source file is written.

What no test notices is listed in ``benchmarks/mutants.json``: either it is harmless, or a test is missing. A reason
under ``harmless`` is kept.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise, zip_longest
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import hypothesis
import pytest
from coverage import Coverage

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_mirakl"
TESTS = {"jobs": ["jobs", "triggers"], "client": ["client"], "catalog": ["catalog"]}
"""Folders of unit tests by room."""
RESULT = ROOT / "benchmarks" / "mutants.json"
PATIENCE = 300.0
"""Seconds for the tests of a mutant; one that waits longer hangs, which is noticed too."""
PROCESSOR = 5
"""A mutant whose tests take so many times the processor time that they take without it runs in a circle."""
AT_IMPORT = 4.0
"""Seconds of processor time for the tests of a change of what runs at import: every test of the module is one."""
OPTIONS = [
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--timeout=100",
    "-o",
    "tmp_path_retention_policy=none",
]
FORK = multiprocessing.get_context("fork")

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
    :param scope: the class and function.
    :param lines: first and last line of what is changed, with the simple statement or the condition around it.
    :param line: where.
    :param place: which of the changes of the module.
    :param change: what is changed, for people.
    """

    module: str
    scope: str
    lines: tuple[int, int]
    line: int
    place: int
    change: str

    @property
    def name(self) -> tuple[str, str, str]:
        """As it is remembered; without the line, which moves."""
        return self.module, self.scope, self.change


class _Changes(ast.NodeTransformer):
    """Finds every change of a module, and makes one of them.

    :param module: path below the package.
    :param wanted: which one to make; ``None`` only finds them.
    """

    def __init__(self, module: str, wanted: int | None = None) -> None:
        self.module, self.wanted = module, wanted
        self.found: list[Mutant] = []
        self.alike: Counter[tuple[str, str]] = Counter()
        self.scopes: list[str] = []
        self.statement = (0, 0)

    def visit(self, node: ast.AST) -> Any:
        if _is_prose(node):
            return node
        outside = self.statement
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None) or getattr(node, "cases", None)
            last = (node.end_lineno or node.lineno) if body is None else node.lineno
            self.statement = (node.lineno, last)
        if named := isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            self.scopes.append(node.name)  # type: ignore[attr-defined]
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
        changed = self._changed(node)
        if named:
            self.scopes.pop()
        self.statement = outside
        return changed

    def _changed(self, node: ast.AST) -> ast.AST:
        for new in _alternatives(node):
            line, end = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
            lines = (min(line, self.statement[0]), max(end, self.statement[1]))
            scope, change, here = ".".join(self.scopes), f"{_shown(node)} -> {_shown(new)}", len(self.found)
            self.alike[scope, change] += 1
            if (number := self.alike[scope, change]) > 1:
                change += f" (no. {number})"
            self.found.append(Mutant(self.module, scope, lines, line, here, change))
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
        case ast.keyword(arg="strict"):  # of zip: an assertion
            return True
    return False


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else f"{text[:87]}..."


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of a module."""
    changes = _Changes(path.relative_to(ROOT / PACKAGE).as_posix())
    changes.visit(ast.parse(path.read_text("utf-8")))
    return changes.found


def code_of(mutant: Mutant) -> CodeType:
    """The changed module."""
    path = ROOT / PACKAGE / mutant.module
    tree = _Changes(mutant.module, mutant.place).visit(ast.parse(path.read_text("utf-8")))
    return compile(ast.fix_missing_locations(tree), str(path), "exec")


def dotted(module: str) -> str:
    """The name under which a module is imported."""
    return ".".join((PACKAGE, *Path(module).with_suffix("").parts)).removesuffix(".__init__")


class _Finder(importlib.abc.MetaPathFinder):
    """Imports a changed module in place of its file."""

    def __init__(self, mutant: Mutant) -> None:
        self.path = ROOT / PACKAGE / mutant.module
        self.name = dotted(mutant.module)
        self.code = code_of(mutant)

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        loader = importlib.machinery.SourceFileLoader(fullname, str(self.path))
        loader.get_code = lambda name: self.code  # type: ignore[method-assign]
        return importlib.util.spec_from_file_location(fullname, self.path, loader=loader)


def change_in_memory(mutant: Mutant) -> bool:
    """Change the functions of a module that is imported; whether that was possible."""
    path, new = str(ROOT / PACKAGE / mutant.module), dict(_codes(code_of(mutant)))
    for function in [each for each in gc.get_objects() if isinstance(each, FunctionType)]:
        code = function.__code__
        if code.co_filename == path:
            try:
                function.__code__ = new[code.co_qualname, code.co_firstlineno]
            except (KeyError, ValueError):  # another number of closure variables
                return False
    return True


def _codes(code: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    yield (code.co_qualname, code.co_firstlineno), code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def forked(work: Callable[..., Any], *args: Any, quiet: bool = True, seconds: float | None = None) -> Any:
    """What a function returns in a process of its own; ``None`` when it dies or takes too long."""
    here, there = FORK.Pipe(duplex=False)

    def run() -> None:
        if quiet:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
        there.send(work(*args))
        os._exit(0)

    child = FORK.Process(target=run)
    child.start()
    there.close()
    try:
        return here.recv() if here.poll(seconds) else None
    except EOFError:
        return None
    finally:
        child.kill()
        child.join()


@dataclass
class Covered:
    """Which tests execute a line.

    :param tests: ids of tests by module and line.
    :param seconds: processor time by test.
    :param failed: what failed without a mutant.
    """

    tests: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def of(self, module: str, lines: Iterable[int] | None = None) -> list[str]:
        """Tests of some lines, or of a whole module; those first that are quick and named like the module."""
        known, near = self.tests.get(module, {}), f"test_{Path(module).stem}"
        ids = {test for line in (known if lines is None else lines) for test in known.get(line, ())}
        if lines is None:  # a test that only reads a constant executes no line
            ids |= {test for test in self.seconds if near in test}
        ids -= self.failed.keys()
        return sorted(
            ids, key=lambda test: (self.seconds[test] > 0.3, near not in test, self.seconds[test], test)
        )

    def within(self, module: str) -> list[str]:
        """Tests of a whole module, the first ones that take :data:`AT_IMPORT` together."""
        tests = self.of(module)
        spent = accumulate(self.seconds[test] for test in tests)
        return [test for test, seconds in zip(tests, spent, strict=True) if seconds <= AT_IMPORT]


class Tests:
    """Collects the tests once as a plugin of pytest, and tries mutants in forked processes.

    :param mutants: what to try.
    :param report: told each result.
    """

    def __init__(self, mutants: Sequence[Mutant], report: Connection) -> None:
        self.mutants, self.report = mutants, report
        self.modules = sorted({mutant.module for mutant in mutants})
        self.failed: dict[str, str] = {}
        self.watched = self._coverage()  # of what runs at import

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed[report.nodeid] = report.longreprtext

    def pytest_runtestloop(self, session: Any) -> bool:
        for module in self.modules:
            importlib.import_module(dotted(module))
        self.watched.stop()
        data = self.watched.get_data()
        imported = {module: set(data.lines(str(ROOT / PACKAGE / module)) or ()) for module in self.modules}
        covered: Covered | None = forked(self._cover, session.items)
        if covered is None or session.testsfailed:
            self.report.send("the tests cannot be run without a mutant")
            return True
        for test, text in covered.failed.items():
            self.report.send(f"left out, because it fails without a mutant: {test}\n{text}")
        items = {item.nodeid: item for item in session.items}
        for mutant in self.mutants:
            lines = range(mutant.lines[0], mutant.lines[1] + 1)
            survives: bool | str | None = "at import"
            if imported[mutant.module].isdisjoint(lines):
                tests = covered.of(mutant.module, lines)
                limit = int(5 + PROCESSOR * sum(covered.seconds[test] for test in tests))
                survives = not tests or forked(
                    self._try, mutant, [items[test] for test in tests], limit, seconds=PATIENCE
                )
            found = covered.within(mutant.module) if survives == "at import" else bool(survives)
            self.report.send((mutant, found))
        return True

    def _coverage(self) -> Coverage:
        watched = Coverage(data_file=None, include=[str(ROOT / PACKAGE / module) for module in self.modules])
        watched.start()
        return watched

    def _cover(self, items: Sequence[Any]) -> Covered:
        covered, watched = Covered(failed=self.failed), self._coverage()
        for item, following in pairwise([*items, None]):
            watched.switch_context(item.nodeid)
            begun = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            covered.seconds[item.nodeid] = time.process_time() - begun
        watched.stop()
        data = watched.get_data()
        for module in self.modules:
            covered.tests[module] = data.contexts_by_lineno(str(ROOT / PACKAGE / module))
        return covered

    def _try(self, mutant: Mutant, items: Sequence[Any], limit: int) -> bool | str:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        if not change_in_memory(mutant):
            return "at import"
        items[0].config.pluginmanager.unregister(name="terminalreporter")  # it holds a copy of stdout
        for item, following in pairwise([*items, None]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return False
        return True


class Chosen:
    """Selects tests as a plugin of pytest: their files alone are given to it.

    :param tests: ids in the order in which they are to run.
    """

    def __init__(self, tests: Sequence[str]) -> None:
        self.order = {test: at for at, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self.order), key=lambda item: self.order[item.nodeid]
        )


def run_tests(folders: Sequence[str], mutants: Sequence[Mutant], report: Connection) -> None:
    """Try mutants, in a process that has imported nothing of the package."""
    # The first failure is enough; the tests' own profile adds to this one.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", phases=phases, database=None)
    hypothesis.settings.load_profile("mutants")
    pytest.main([*OPTIONS, "-m", "not slow", *folders], plugins=[Tests(mutants, report)])


def try_at_import(mutant: Mutant, tests: Sequence[str]) -> bool:
    """Run tests with a changed module in a process that has imported nothing of the package."""
    sys.meta_path.insert(0, _Finder(mutant))
    files = sorted({str(ROOT / test.partition("::")[0]) for test in tests})
    return pytest.main([*OPTIONS, "-x", *files], plugins=[Chosen(tests)]) in (0, 5)


def tried(folders: Sequence[str], mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant, and whether it survives."""
    here, there = FORK.Pipe(duplex=False)
    child = FORK.Process(target=run_tests, args=(folders, mutants, there))
    child.start()
    there.close()
    at_import: list[tuple[Mutant, list[str]]] = []
    try:
        while True:
            match here.recv():
                case str(words):
                    print(words, flush=True)
                case (mutant, list(tests)):
                    at_import.append((mutant, tests))
                case (mutant, survives):
                    yield mutant, survives
    except EOFError:
        pass
    finally:
        child.kill()
        child.join()
    for mutant, tests in at_import:
        yield mutant, not tests or bool(forked(try_at_import, mutant, tests, seconds=PATIENCE))


def chosen(room: str, options: argparse.Namespace, results: Results) -> Iterator[Mutant]:
    """What to try of a room."""
    for path in sorted((ROOT / PACKAGE / room).rglob("*.py")):
        module = path.relative_to(ROOT / PACKAGE).as_posix()
        if not module.startswith(tuple(options.only)):
            continue
        every = mutants(path)
        if options.again:
            every = [mutant for mutant in every if mutant.name in results.survivors]
        elif 0 < options.each < len(every):
            every = random.Random(f"{options.seed} {module}").sample(every, options.each)  # noqa: S311
        yield from every


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[""], help="rooms or modules, such as client/packing.py")
    parser.add_argument("--each", type=int, default=10, help="mutants of each module; 0 for all")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--again", action="store_true", help="only what survived")
    parser.add_argument("--tests", nargs="+", help="files below tests/unit, in place of those of the room")
    options = parser.parse_args()
    for name in ("httpx", "msgspec", "pydantic", "numpy", "pandas", "pyarrow"):
        importlib.import_module(name)  # once for all processes; nothing of the package
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    results = Results(again=options.again)
    try:
        for room, tests in TESTS.items():
            # The first of each module, then the second of each: also a run that is interrupted has tried every module.
            by_module = [
                [*group] for _, group in groupby(chosen(room, options, results), lambda each: each.module)
            ]
            wanted = [each for row in zip_longest(*by_module) for each in row if each is not None]
            folders = [str(ROOT / "tests" / "unit" / each) for each in options.tests or tests]
            for mutant, survives in tried(folders, wanted) if wanted else ():
                results.add(mutant, survives)
                if survives:
                    print(f"survives  {mutant.module}:{mutant.line}  {mutant.change}", flush=True)
            results.write()
    finally:  # also what an interrupted run has found
        results.write()
    return 0


class Results:
    """What is known, in ``benchmarks/mutants.json``.

    :param again: only survivors are tried; else a sample replaces what was known of its modules.
    """

    def __init__(self, again: bool) -> None:
        known = json.loads(RESULT.read_text("utf-8"))
        self.again = again
        self.modules: dict[str, dict[str, int]] = known["modules"]
        self.survivors = {(row["module"], row["scope"], row["change"]): row for row in known["survivors"]}
        self.seen: dict[str, list[tuple[Mutant, bool]]] = defaultdict(list)

    def add(self, mutant: Mutant, survives: bool) -> None:
        """Note a result."""
        self.seen[mutant.module].append((mutant, survives))

    def write(self) -> None:
        """Write what is known, and print it for the modules that were tried."""
        for module, seen in self.seen.items():
            if not self.again:
                every = len(mutants(ROOT / PACKAGE / module))
                self.modules[module] = {"mutants": every, "tried": len(seen)}
            alive = [mutant for mutant, survives in seen if survives]
            old = {name: self.survivors.pop(name) for name in [*self.survivors] if name[0] == module}
            for mutant in alive:
                row = {"module": module, "line": mutant.line, "scope": mutant.scope, "change": mutant.change}
                reason = old.get(mutant.name, {}).get("harmless")
                self.survivors[mutant.name] = row | ({"harmless": reason} if reason else {})
            self.modules[module]["killed"] = self.modules[module]["tried"] - len(alive)
            print(module, self.modules[module])
        self.seen.clear()
        rows = sorted(self.survivors.values(), key=lambda row: (row["module"], row["line"], row["change"]))
        known = {"modules": dict(sorted(self.modules.items())), "survivors": rows}
        RESULT.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
