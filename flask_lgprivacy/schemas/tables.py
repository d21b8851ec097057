"""Looks through tables, as CSV or TSV, in the encodings and with the first lines that spreadsheets write."""

from __future__ import annotations

import codecs
import csv
import io

from .screen import Found, Screen, shown

TABLES = frozenset({"text/csv", "text/tab-separated-values", "application/csv", "application/vnd.ms-excel"})
HEADER_LINES = 5
"""A spreadsheet writes titles, empty lines or `sep=;` above its header, so the names are looked for in the first lines."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def of_table(screen: Screen, content: bytes, place: str) -> Found | None:
    """The first thing in a table that must not be taken in, by line and column, or None."""
    text = _decoded(content)
    begin = text[:4096]
    delimiter = max(",;\t|", key=begin.count)
    header: list[str] = []
    try:
        for line, row in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), 1):
            if line <= HEADER_LINES:
                for column, cell in enumerate(row):
                    found = screen.of_word(cell, (None, f"{place}line {line}, column {shown(cell, column)}"))
                    if found is not None:
                        return found
                header = row if len([cell for cell in row if cell]) > 1 and not header else header
            for column, cell in enumerate(row):
                name = shown(header[column], column) if column < len(header) else f"[{column}]"
                found = screen.of_text(cell, f"{place}line {line}, column {name}")
                if found is not None:
                    return found
    except csv.Error:
        return Found(f"{place}the table", "cannot be read as CSV", None)
    return None


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    if b"\0" in content[:200]:
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be", errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
