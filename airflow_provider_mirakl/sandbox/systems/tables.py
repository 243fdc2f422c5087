"""Files as Mirakl accepts them: CSV, XML and XLSX become a header and rows, and back."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

Format = Literal["csv", "xml", "xlsx"]
Row = dict[str, str]

MEDIA_TYPES: dict[str, str] = {
    "csv": "text/csv",
    "xml": "application/xml",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


_BROKEN_BOOK = (
    zipfile.BadZipFile,
    zlib.error,
    ET.ParseError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
)


class UnreadableFileError(ValueError):
    """The file has none of the formats, or is empty."""


@dataclass(frozen=True, slots=True)
class Table:
    """A header and its rows; an absent cell is an empty text."""

    format: Format
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    delimiter: str = ";"

    def with_rows(self, header: Sequence[str], rows: Iterable[Row]) -> Table:
        """Another content in the same format."""
        return Table(self.format, tuple(header), tuple(rows), self.delimiter)

    def dump(self) -> bytes:
        """The file."""
        return {"csv": _write_csv, "xml": _write_xml, "xlsx": _write_xlsx}[self.format](self)


def read(body: bytes) -> Table:
    """Read a file; the format is detected from its first bytes.

    :raises UnreadableFileError: with words for ``reason_status``.
    """
    if not body.strip():
        raise UnreadableFileError("The file is empty.")
    try:
        if body.startswith(b"PK\x03\x04"):
            table = _read_xlsx(body)
        elif body.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
            table = _read_xml(body)
        else:
            table = _read_csv(body)
    except (IndexError, ValueError) as error:
        if isinstance(error, UnreadableFileError):
            raise
        raise UnreadableFileError("The file cannot be read.") from error
    if not table.header:
        raise UnreadableFileError("The file has no header.")
    return table


def _read_csv(body: bytes) -> Table:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError("The file is neither CSV in UTF-8, nor XML, nor XLSX.") from error
    if "\x00" in text:
        raise UnreadableFileError("The file is neither CSV, nor XML, nor XLSX.")
    first = text.partition("\n")[0]
    delimiter = max(";,\t|", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        lines = [line for line in reader if any(line)]
    except csv.Error as error:
        raise UnreadableFileError(f"The file is not valid CSV: {error}.") from error
    header = tuple(name.strip() for name in lines[0]) if lines else ()
    rows = tuple(_row(header, line) for line in lines[1:])
    return Table("csv", header, rows, delimiter)


def _row(header: Sequence[str], cells: Sequence[str]) -> Row:
    return {name: cells[index] if index < len(cells) else "" for index, name in enumerate(header) if name}


def _read_xml(body: bytes) -> Table:
    try:
        root = ET.fromstring(body)  # noqa: S314 - expat itself limits entity expansion
    except (
        ET.ParseError,
        LookupError,
        ValueError,
    ) as error:  # the last two: expat does not know the encoding
        raise UnreadableFileError(f"The file is not valid XML: {error}.") from error
    rows: list[Row] = []
    for element in [*root.iter("product"), *root.iter("offer")]:
        row = {child.tag: child.text or "" for child in element if len(child) == 0}
        for attribute in element.iter("attribute"):
            row[attribute.findtext("code", "")] = attribute.findtext("value", "") or ""
        rows.append(row)
    header = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table("xml", header, tuple({name: row.get(name, "") for name in header} for row in rows))


def _read_xlsx(body: bytes) -> Table:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = archive.namelist()
            shared = (
                _shared_strings(archive.read("xl/sharedStrings.xml"))
                if "xl/sharedStrings.xml" in names
                else []
            )
            sheets = sorted(name for name in names if name.startswith("xl/worksheets/sheet"))
            sheet = ET.fromstring(archive.read(sheets[0]))  # noqa: S314 - as above
    except _BROKEN_BOOK as error:
        raise UnreadableFileError("The file is not a readable XLSX workbook.") from error
    lines = [_cells(row, shared) for row in sheet.iter(f"{_SHEET}row")]
    lines = [line for line in lines if any(line)]
    header = tuple(name.strip() for name in lines[0]) if lines else ()
    return Table("xlsx", header, tuple(_row(header, line) for line in lines[1:]))


def _shared_strings(xml: bytes) -> list[str]:
    root = ET.fromstring(xml)  # noqa: S314 - as above
    return ["".join(text.text or "" for text in item.iter(f"{_SHEET}t")) for item in root.iter(f"{_SHEET}si")]


def _cells(row: ET.Element, shared: Sequence[str]) -> list[str]:
    cells: list[str] = []
    for cell in row.iter(f"{_SHEET}c"):
        letters = "".join(char for char in cell.get("r", "") if char.isalpha())
        column = 0
        for character in letters:
            column = column * 26 + ord(character) - 64
        while letters and len(cells) < column - 1:
            cells.append("")
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            cells.append("".join(text.text or "" for text in cell.iter(f"{_SHEET}t")))
        else:
            value = cell.findtext(f"{_SHEET}v", "")
            cells.append(shared[int(value)] if kind == "s" and value else value)
    return cells


def _write_csv(table: Table) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=table.delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows([row.get(name, "") for name in table.header] for row in table.rows)
    return out.getvalue().encode()


def _write_xml(table: Table) -> bytes:
    products = []
    for row in table.rows:
        attributes = "".join(
            f"<attribute><code>{escape(name)}</code><value>{escape(row.get(name, ''))}</value></attribute>"
            for name in table.header
        )
        products.append(f"<product>{attributes}</product>")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><import><products>{"".join(products)}</products></import>'
    ).encode()


def _xlsx_cell(text: str) -> str:
    return f'<c t="inlineStr"><is><t>{escape(text)}</t></is></c>'


def _write_xlsx(table: Table) -> bytes:
    lines = [table.header, *([row.get(name, "") for name in table.header] for row in table.rows)]
    rows = "".join(f"<row>{''.join(map(_xlsx_cell, line))}</row>" for line in lines)
    main = _SHEET.strip("{}")
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{MEDIA_TYPES["xlsx"]}.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument'
        '.spreadsheetml.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="Data" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{content}')
    return out.getvalue()
