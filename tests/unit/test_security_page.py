"""Each claim of the page on security names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = re.findall(
    r"^\| (.+?) \| `([\w/]+\.py)::(\w+)` \|$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize(("claim", "file", "name"), CLAIMS)
def test_a_claim_has_its_test(claim: str, file: str, name: str) -> None:
    text = (ROOT / "tests" / file).read_text()
    assert f"def {name}(" in text, claim


def test_every_row_is_a_claim() -> None:
    rows = re.findall(r"^\| (?!Claim|-)", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    assert len(CLAIMS) == len(rows) > 20
