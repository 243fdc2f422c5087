"""The one CSV reader: products, reports of jobs, pairs for a repair.

It takes files as spreadsheets, shops and databases write them: a line ``sep=;`` above the header, blank lines, columns
without a name, short rows, a cell of any length. A row that cannot be read does not affect the rest of the file.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Literal, NamedTuple

from airflow_provider_mirakl.exceptions import MiraklInputError, Problem
from airflow_provider_mirakl.files.storage import StoragePath
from airflow_provider_mirakl.files.text import (
    AUTO,
    BLANK,
    GZIP,
    MARKS,
    PLAIN,
    check_encoding,
    not_utf8,
    text_blocks,
)

Quoting = Literal["auto", "none"]

_Quotes = Literal[0, 3]

DELIMITERS = ",;\t|"
MAX_ROW_BYTES = 16 << 20
"""A row longer than this is not a row: a file without line ends, or a quote that is never closed."""
_MAX_HEADING_LINES = 100
_SAMPLE_LINES = 6


class Row(NamedTuple):
    """A row below the header.

    :param line: its first line, from 1.
    :param cells: its cells; in a valid row as many as the header has names.
    :param fault: why it cannot be used; then ``cells`` contains the readable part.
    """

    line: int
    cells: list[str]
    fault: str = ""


@dataclass(slots=True)
class Table:
    """A CSV file below its header.

    :param name: the file, for errors.
    :param header: names of the columns, without white space around them; ``""`` for a column without one.
    :param delimiter: the character between the cells.
    :param line: the line of the header.
    :param rows: the rows; can be iterated once.
    :param repeated_headings: how often the header was repeated in the rows so far, as in joined part files.
    :param plain: whether the file, as far as it is read, contains only the header and the rows: no line above
        the heading, no empty row, no row of another width.
    :param cut: the last line, if it has too few cells and no line end: the file may be truncated.
    """

    name: str
    header: list[str]
    delimiter: str
    line: int
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    repeated_headings: int = 0
    plain: bool = True
    cut: int | None = None

    def position(self, names: Sequence[str]) -> int | None:
        """Position of the first of the columns that exists, ignoring case and spaces."""
        folded = [fold(name) for name in self.header]
        return next((folded.index(fold(name)) for name in names if fold(name) in folded), None)

    def doubled(self) -> dict[str, list[int]]:
        """Names that occur more than once, with their positions."""
        places: dict[str, list[int]] = {}
        for at, name in enumerate(self.header):
            if name:
                places.setdefault(name, []).append(at)
        return {name: at for name, at in places.items() if len(at) > 1}


def fold(name: str) -> str:
    """A normalized column name: lower case, without extra spaces."""
    return " ".join(name.strip(BLANK).split()).casefold()


_TEXT_CELL = re.compile(r"""\s*=["\u201c\u201d\u201e](?P<text>[^"]*)["\u201c\u201d]\s*""")


def text_cell(cell: str) -> str:
    """A cell without the formula ``="00123"``, with which a spreadsheet keeps leading zeros. A chat makes other quotes
    of the plain ones."""
    found = _TEXT_CELL.fullmatch(cell) if "=" in cell[:20] else None
    return found["text"] if found else cell


def decoded_lines(blocks: Iterable[bytes], name: str, errors: str = "strict") -> Iterator[str]:
    """Yield the lines of UTF-8 text with their ends, decoded one by one, so that errors name the line.

    :param blocks: the text.
    :param name: the file, for errors.
    :param errors: how to handle a byte that is not UTF-8, as for :func:`open`.
    :raises MiraklInputError: a byte is not UTF-8, and ``errors`` is ``strict``.
    """
    rest = b""
    line = 0
    for block in itertools.chain(_with_line_feeds(blocks), [b""]):
        lines = (rest + block).split(b"\n") if block else [rest] if rest else []
        rest = lines.pop() if block else b""
        for at, part in enumerate(lines):
            line += 1
            try:
                text = part.decode("utf-8", errors)
            except UnicodeDecodeError as error:
                words = _about(error, b"\n".join(lines[max(at - 50, 0) : at + 200]))
                raise MiraklInputError(f"{name}, line {line}: {words}", [Problem(words, line=line)]) from None
            yield text + "\n" if block else text
        if len(rest) > MAX_ROW_BYTES:
            raise too_long(name, line + 1)


def _with_line_feeds(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks whose lines end as they do today: a spreadsheet on a Mac may still write only carriage returns."""
    returns: bool | None = None
    for block in blocks:
        if returns is None:
            returns = b"\r" in block.rstrip(b"\r") and b"\n" not in block
        yield block.replace(b"\r", b"\n") if returns else block


def _about(error: UnicodeDecodeError, around: bytes) -> str:
    """Detect the encoding from the surrounding lines as well, which is more reliable."""
    at = around.find(error.object)
    return not_utf8(
        error
        if at < 0
        else UnicodeDecodeError("utf-8", around, at + error.start, at + error.end, error.reason)
    )


def too_long(name: str, line: int) -> MiraklInputError:
    """The error about an unterminated row."""
    return MiraklInputError(
        f"{name}: the row that starts on line {line} is longer than {MAX_ROW_BYTES >> 20} MB; "
        "is a line end or a closing quote missing?"
    )


def read_table(
    lines: Iterable[str],
    name: str,
    *,
    delimiter: str | None = None,
    quoting: Quoting = "auto",
    hint: str = "",
    exact: bool = False,
    whole: bool = False,
) -> Table:
    """Read the header; rows are read on demand.

    :param lines: the lines with their ends.
    :param name: the file, for errors.
    :param delimiter: the character between the cells; by default the one of ``, ; tab |`` that splits the first lines
        into equal rows. A line such as ``sep=;`` above the header also sets it.
    :param quoting: ``auto``: a cell in double quotes may contain delimiters and line breaks; ``none``: a quote is a
        character like any other.
    :param hint: advice about quotes that are ordinary characters, for errors.
    :param exact: a row must have as many cells as the heading, and every line that is not blank is a row. For rows
        that move money: a row that was cut is refused, not filled up.
    :param whole: a last row that is short and has no line end is refused, because what follows it may be missing.
        Otherwise it is filled up, and noted in ``cut``.
    :raises MiraklInputError: the header is missing or cannot be read.
    """
    numbered = _Lines(lines)
    above = 0
    first = ""
    for first in numbered:
        if not first.strip(BLANK):
            above += 1
            continue
        stated = first.strip(BLANK + '"')
        if stated[:4].lower() == "sep=" and len(stated) <= 5 and not delimiter:
            delimiter = stated[4:] or "\t"
            above += 1
            first = ""
            continue
        break
    if not first.strip(BLANK):
        return Table(name, [], delimiter or DELIMITERS[0], above + 1)
    heading = [first]
    if quoting == "auto":
        while "".join(heading).count('"') % 2 and len(heading) < _MAX_HEADING_LINES:
            following = next(numbered, None)
            if following is None:
                break
            heading.append(following)
    sample, numbered.failed = _sampled(numbered)
    quotes: _Quotes = csv.QUOTE_NONE if quoting == "none" else csv.QUOTE_MINIMAL
    delimiter = delimiter or _delimiter([*heading, *sample], quotes)
    reader = csv.reader(heading, delimiter=delimiter, strict=True, quoting=quotes)
    try:
        cells = next(reader)
    except csv.Error as error:
        words = f"not CSV: {error}"
        raise MiraklInputError(
            f"{name}, line {above + 1}: {words}", [Problem(words, line=above + 1)]
        ) from None
    table = Table(name, [text_cell(cell.strip(BLANK)) for cell in cells], delimiter, above + 1)
    table.plain = not above and cells == table.header
    numbered.push([*heading[reader.line_num :], *sample])
    numbered.line = above + reader.line_num
    table.rows = _Rows(table, numbered, quotes, hint, exact, whole).read()
    return table


def _sampled(lines: Iterator[str]) -> tuple[list[str], MiraklInputError | None]:
    """The next lines. A line that cannot be decoded raises when it is read, not while detecting the delimiter."""
    sample: list[str] = []
    try:
        sample.extend(itertools.islice(lines, _SAMPLE_LINES))
    except MiraklInputError as error:
        return sample, error
    return sample, None


def _delimiter(lines: Sequence[str], quoting: _Quotes) -> str:
    """The delimiter that splits the lines into rows like the header; of several, the one with the most columns."""
    best = (0, 0, 0)
    found = DELIMITERS[0]
    for sign in DELIMITERS:
        rows: list[list[str]] = []
        # An unreadable row, such as one with a very long cell, does not disprove the rows above it.
        with suppress(csv.Error):
            rows.extend(row for row in csv.reader(lines, delimiter=sign, quoting=quoting) if row)
        columns = len(rows[0]) if rows else 0
        alike = sum(len(row) == columns for row in rows) if columns > 1 else 0
        # A delimiter must split the header; then prefer agreement, then the number of columns.
        if (score := (int(columns > 1), alike, columns)) > best:
            best, found = score, sign
    return found


class _Lines:
    """Lines that can be pushed back, and that are kept while their row is read."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._rest = iter(lines)
        self.line = 0
        self.held: list[str] = []
        self.failed: MiraklInputError | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._rest)
        except StopIteration:
            if self.failed is not None:
                raise self.failed from None
            raise
        if line[:1] == "\ufeff":  # from a joined file
            line = line.lstrip("\ufeff")
        self.held.append(line)
        self.line += 1
        return line

    def push(self, lines: Sequence[str]) -> None:
        """Push lines back."""
        self._rest = itertools.chain(lines, self._rest)
        self.held.clear()


class _Rows:
    """Reads rows, and continues after one that cannot be read."""

    def __init__(
        self, table: Table, lines: _Lines, quoting: _Quotes, hint: str, exact: bool, whole: bool
    ) -> None:
        self._table = table
        self._lines = lines
        self._quoting = quoting
        self._hint = hint
        self._exact = exact
        self._whole = whole
        self._names = frozenset(fold(name) for name in table.header if name)

    def read(self) -> Iterator[Row]:
        table, lines, names = self._table, self._lines, self._names
        width = len(table.header)
        unnamed = [at for at, name in enumerate(table.header) if not name and at > 0]
        held = lines.held
        reader = csv.reader(lines, delimiter=table.delimiter, strict=True, quoting=self._quoting)
        while True:
            held.clear()
            start = lines.line + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells, fault = self._recovered(error, start)
                if fault:
                    yield Row(start, cells, fault)
                    continue
            if not cells:
                table.plain = False
                continue
            cells = self._texts(cells)
            if self._exact:
                yield Row(start, cells, "" if len(cells) == width else _width_fault(cells, width))
                continue
            first = cells[0].strip(BLANK)
            if first.casefold() in names and self._is_heading(cells, start):
                table.repeated_headings += 1
                table.plain = False
            elif not first and not any(cell.strip(BLANK) for cell in cells):
                table.plain = False  # skip a row of empty cells
            elif len(cells) == width and not unnamed:
                yield Row(start, cells)
            else:
                table.plain = False
                yield self._fitted(start, cells, width, unnamed)

    def _texts(self, cells: list[str]) -> list[str]:
        """The cells of the held lines without the formulas of texts."""
        # A quoted formula contains this too, and searching the line costs less than searching its cells.
        held = self._lines.held
        if '="' not in (held[0] if len(held) == 1 else "".join(held)):
            return cells
        texts = list(map(text_cell, cells))
        if texts != cells:
            self._table.plain = False
        return texts

    def _fitted(self, line: int, cells: list[str], width: int, unnamed: list[int]) -> Row:
        """A row of another width: extra empty cells are ignored, missing ones are empty."""
        surplus = next((at for at in range(width, len(cells)) if cells[at].strip(BLANK)), None)
        if surplus is not None or (len(cells) > width and self._cuts_a_number(cells)):
            return Row(line, cells, _width_fault(cells, width))
        filled = next((at for at in unnamed if at < len(cells) and cells[at].strip(BLANK)), None)
        if filled is not None:
            return Row(
                line, cells, f"has the value {cells[filled]!r:.60} in column {filled + 1}, which has no name"
            )
        if len(cells) == 1 and width > 1:
            return Row(
                line,
                cells,
                f"has 1 cell, but the header has {width}; is it truncated, or does it use another separator?",
            )
        if len(cells) < width and not self._lines.held[-1].endswith(("\n", "\r")):
            self._table.cut = line
            if self._whole:
                return Row(
                    line,
                    cells,
                    f"has {len(cells)} cells, but the header has {width}, and the file ends without a line break: it "
                    "may be truncated; if it is complete, add a line break at its end",
                )
        return Row(line, [*cells, *[""] * (width - len(cells))] if len(cells) < width else cells[:width])

    def _cuts_a_number(self, cells: list[str]) -> bool:
        """Whether a decimal comma may have caused the extra cell, with the empty last one beyond the header."""
        return self._table.delimiter == "," and any(
            whole.strip().isdigit() and part.strip().isdigit() and len(part.strip()) <= 2
            for whole, part in itertools.pairwise(cells)
        )

    def _is_heading(self, cells: list[str], line: int) -> bool:
        """Whether a row repeats the header. The same names in another order are an error: rows below would not fit."""
        folded = [fold(cell) for cell in cells]
        if folded == [fold(name) for name in self._table.header]:
            return True
        named = [name for name in folded if name]
        if len(named) > 1 and len(set(named)) == len(named) and set(named) <= self._names:
            words = (
                "is another header, with the columns in another order; join the files by their columns, "
                "or send them one by one"
            )
            raise MiraklInputError(f"{self._table.name}, line {line}: {words}", [Problem(words, line=line)])
        return False

    def _recovered(self, error: csv.Error, start: int) -> tuple[list[str], str]:
        """Handle what the csv module cannot read: a cell beyond its limit, or a quote inside a cell.

        The limit of the csv module is global, so it is not raised for this file: other code may rely on it.
        """
        lines = self._lines
        text = "".join(lines.held)
        if "field larger than field limit" not in str(error):
            name = self._table.name
            words = f"not CSV: {error}; is a closing quote missing?{self._hint}"
            if "unexpected end" in str(error):
                raise MiraklInputError(
                    f"{name}, line {start}: {words}; the rest cannot be read", [Problem(words, line=start)]
                ) from None
            if len(lines.held) > 1:
                words += f" (lines {start} to {start + len(lines.held) - 1})"
            return [text.rstrip("\r\n")], words
        parts = [text]
        size = len(text)
        quotes = 0 if self._quoting == csv.QUOTE_NONE else text.count('"')
        while quotes % 2:
            line = next(lines, None)
            if line is None:
                words = "not CSV: unexpected end of data; is a closing quote missing?"
                raise MiraklInputError(
                    f"{self._table.name}, line {start}: {words}", [Problem(words, line=start)]
                ) from None
            parts.append(line)
            size += len(line)
            quotes += line.count('"')
            if size > MAX_ROW_BYTES:
                raise too_long(self._table.name, start)
        cells = _split(
            "".join(parts).rstrip("\r\n"), self._table.delimiter, quoted=self._quoting != csv.QUOTE_NONE
        )
        return (
            (cells, "") if cells is not None else (["".join(parts)[:1000]], "not CSV: a quote inside a cell")
        )


def _width_fault(cells: Sequence[str], width: int) -> str:
    return f"has {len(cells)} cells, but the header has {width}; is a quote or a separator missing?"


def _split(text: str, delimiter: str, *, quoted: bool) -> list[str] | None:
    """Split one row of any length into its cells; ``None`` if a quote is inside a cell."""
    if not quoted:
        return text.split(delimiter)
    cells: list[str] = []
    at = 0
    while True:
        if text[at : at + 1] != '"':
            end = text.find(delimiter, at)
            cells.append(text[at:] if end < 0 else text[at:end])
            if end < 0:
                return cells
            at = end + 1
            continue
        end = at + 1
        while True:
            end = text.find('"', end)
            if end < 0:
                return None
            if text[end + 1 : end + 2] != '"':
                break
            end += 2
        cells.append(text[at + 1 : end].replace('""', '"'))
        if end + 1 == len(text):
            return cells
        if text[end + 1] != delimiter:
            return None
        at = end + 2


class TableWriter:
    """Writes a table as UTF-8, with the delimiter that it was read with.

    :param file: takes the bytes.
    :param table: the table that was read.
    :param strip: take white space from both ends of cells.
    """

    def __init__(self, file: IO[bytes], table: Table, *, strip: bool) -> None:
        self._file = file
        self._strip = strip
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text, delimiter=table.delimiter, lineterminator="\n")
        self.changed = False
        """Whether white space was taken."""

    def write(self, cells: Sequence[str]) -> None:
        """Write a row."""
        if self._strip:
            stripped = [cell.strip(BLANK) for cell in cells]
            self.changed = self.changed or stripped != list(cells)
            cells = stripped
        self._writer.writerow(cells)
        self._file.write(self._text.getvalue().encode("utf-8", "surrogateescape"))
        self._text.seek(0)
        self._text.truncate()


def pasted_lines(text: str) -> Iterator[str]:
    """The lines of pasted text with their ends."""
    return iter(io.StringIO(text, newline=None))


@contextmanager
def open_table(
    path: StoragePath,
    *,
    encoding: str = AUTO,
    errors: str = "strict",
    delimiter: str | None = None,
    quoting: Quoting = "auto",
    exact: bool = False,
) -> Iterator[Table]:
    """Open a CSV file, also a compressed one.

    :param path: the file.
    :param encoding: ``auto`` or the name of an encoding.
    :param errors: how to handle a byte that is not UTF-8, as for :func:`open`. Files of users are read strictly;
        reports of Mirakl are not rejected for a single byte.
    :param delimiter: as for :func:`read_table`.
    :param quoting: as for :func:`read_table`.
    :param exact: as for :func:`read_table`.
    :raises MiraklInputError: it is not CSV, or its header cannot be read; rows raise while they are read.
    """
    name = path.name
    with path.open("rb") as file:
        head = file.read(4)
        if head == b"PAR1":
            raise MiraklInputError(f"{name} is Parquet, which is not supported here; use CSV or NDJSON")
        file.seek(0)
        blocks = text_blocks(file, name, encoding, empty=True, size=1 << 16)
        lines = decoded_lines(blocks, name, errors)
        table = read_table(lines, name, delimiter=delimiter, quoting=quoting, exact=exact)
        file_is_text = head[:2] != GZIP and not head.startswith(MARKS) and check_encoding(encoding) in PLAIN
        table.plain = table.plain and file_is_text
        yield table
