"""Looks through tables, as CSV or TSV, in the encodings and with the first lines that spreadsheets
write.
"""

from __future__ import annotations

import codecs
import csv
import io
from itertools import islice

from .scanner import ScreeningFinding, SensitiveDataScanner

TABLE_TYPES = frozenset(
    {"text/csv", "text/tab-separated-values", "application/csv", "application/vnd.ms-excel"}
)
HEADER_LINES = 5
"""A spreadsheet writes titles, empty lines or `sep=;` above its header, so that is looked for in
the first lines.
"""
LONGEST_HEADER = 80
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def scan_table(screen: SensitiveDataScanner, content: bytes, place: str) -> ScreeningFinding | None:
    """The first thing in a table that must not be taken in, by line and column, or None; no cell is
    repeated.
    """
    text = _decoded(content)
    begin = text[:4096]
    delimiter = max(",;\t|", key=begin.count)
    try:
        first = list(islice(csv.reader(io.StringIO(text), delimiter=delimiter), HEADER_LINES))
        line = next((number for number, row in enumerate(first, 1) if _is_header(row, first)), None)
        for column, cell in enumerate(first[line - 1] if line is not None else (), 1):
            finding = screen.of_word(cell, (None, f"{place}line {line}, column {column}"))
            if finding is not None:
                return finding
        if not screen.is_suspect_text(text.replace("\n", "\n,")):
            return None
        for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), 1):
            for column, cell in enumerate(row, 1):
                finding = screen.of_text(cell, f"{place}line {number}, column {column}")
                if finding is not None:
                    return finding
    except csv.Error:
        return ScreeningFinding(f"{place}the table", "cannot be read as CSV", None)
    return None


def _is_header(row: list[str], first: list[list[str]]) -> bool:
    """Whether a line is the header: as wide as the others, and made of names."""
    cells = [cell.strip() for cell in row if cell.strip()]
    is_wide = len(cells) > 1 or max(map(len, first)) == 1
    return is_wide and all(
        len(cell) <= LONGEST_HEADER
        and not cell.lower().startswith("sep=")
        and any(map(str.isalpha, cell))
        for cell in cells
    )


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    if b"\0" in content[:200]:
        return content.decode(
            "utf-16-le" if content[1:2] == b"\0" else "utf-16-be", errors="replace"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
