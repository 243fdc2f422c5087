"""A test that is left out says what is missing, and the command or the step that brings it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
POSITIONAL = {"skip": 0, "skipif": None, "importorskip": None}
"""Where a reason may stand without its name."""


def unexplained(source: str) -> Iterator[int]:
    """The lines of a module where a test is left out without a reason, or with one that is only a word."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        owner = ast.unparse(node.func.value)
        if name not in POSITIONAL or owner not in ("pytest", "pytest.mark"):
            continue
        reason = next((each.value for each in node.keywords if each.arg == "reason"), None)
        if reason is None and POSITIONAL[name] is not None and node.args:
            reason = node.args[0]
        if reason is None or (isinstance(reason, ast.Constant) and " " not in str(reason.value)):
            yield node.lineno


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix()
)
def test_every_skip_has_a_reason(path: Path) -> None:
    assert list(unexplained(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('pytest.importorskip("x")', [1]),
        ('pytest.importorskip("x", reason="x")', [1]),
        ('pytest.importorskip("x", reason="needs x: make venv installs it")', []),
        ("pytest.skip()", [1]),
        ('pytest.skip("needs x: install it")', []),
        ("pytest.mark.skipif(True)", [1]),
        ('pytest.mark.skipif(True, reason=f"needs {x}")', []),
    ],
)
def test_what_counts_as_a_reason(line: str, found: list[int]) -> None:
    assert list(unexplained(line)) == found
