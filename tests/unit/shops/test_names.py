"""Names that other people chose become safe ones."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_mirakl.shops.names import MAX_BYTES, folded, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("kbis.pdf", "kbis.pdf"),
        ("Extrait Kbis 2026.pdf", "Extrait Kbis 2026.pdf"),
        ("Überweisung.pdf", "Überweisung.pdf"),
        ("営業許可証.pdf", "営業許可証.pdf"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "document"),
        ("", "document"),
        ("/etc/passwd", "_etc_passwd"),
        ("C:\\Windows\\system.ini", "C__Windows_system.ini"),
        ("a/b\\c.pdf", "a_b_c.pdf"),
        ("nul", "_nul"),
        ("COM1.pdf", "_COM1.pdf"),
        ("nul .pdf", "_nul .pdf"),
        ("CONIN$", "_CONIN$"),
        ("comfort.pdf", "comfort.pdf"),
        ("what?.pdf", "what_.pdf"),
        ("line\nbreak\x00.pdf", "line break_.pdf"),
        ("trailing. . ", "trailing"),
        (".htaccess", "htaccess"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\ud800.pdf", "_.pdf"),
        ("50%#.pdf", "50__.pdf"),
    ],
)
def test_names(name, safe):
    assert safe_name(name) == safe


def test_a_composed_and_a_decomposed_name_are_one():
    assert safe_name(unicodedata.normalize("NFD", "Müller.pdf")) == "Müller.pdf"
    assert folded(unicodedata.normalize("NFD", "MÜLLER.pdf")) == folded("müller.PDF")


def test_a_long_name_keeps_its_extension():
    name = safe_name("é" * 300 + ".pdf")
    assert name.endswith(".pdf")
    assert len(name.encode()) <= MAX_BYTES
    assert len(safe_name("x" * 100 + "." + "y" * 100).encode()) <= MAX_BYTES


@example("e\u200b\u0301")  # an invisible character between a letter and its accent
@example("<\u200b\u0338")  # the same with a letter that is reserved alone
@example("nul" + " " * 200 + ".pdf")  # reserved once it is cut
@example("_" * 200 + "x")  # no name once it is cut
@given(st.text(max_size=400))
def test_every_name_is_safe_and_stays_as_it_is(name):
    safe = safe_name(name)
    assert 1 <= len(safe.encode()) <= MAX_BYTES
    assert not set(safe) & set('<>:"/\\|?*')
    assert safe not in (".", "..")
    assert not safe.startswith(".")
    assert not safe.endswith((" ", "."))
    assert all(unicodedata.category(letter) not in ("Cc", "Cf", "Cs") for letter in safe)
    assert safe_name(safe) == safe
