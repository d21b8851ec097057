"""What the archive of an export holds as files: each format is a renderer."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from typing import Any, Protocol

from jinja2 import Environment

Table = tuple[list[str], list[list[Any]]]
"""The names of the columns, and each row's values under them."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class ArchiveContent:
    """Everything that is held of one subject, with opened values.

    Attributes:
        tables: By model.
        about: What GDPR Art. 15(1) asks for, as `about.json` shows it.
    """

    tables: Mapping[str, Table]
    about: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<ArchiveContent of {len(self.tables)} tables>"


class ArchiveRenderer(Protocol):
    """Makes files of an archive's content."""

    def render(self, content: ArchiveContent) -> Mapping[str, bytes]:
        """Files by name; names that another renderer gives are refused."""


class JsonRenderer:
    """`data.json` and `about.json`."""

    def render(self, content: ArchiveContent) -> Mapping[str, bytes]:
        """Every table as a list of objects, and what Art. 15(1) asks for."""
        data = {
            name: [dict(zip(header, map(json_value, values), strict=True)) for values in rows]
            for name, (header, rows) in content.tables.items()
        }
        return {"data.json": _json(data), "about.json": _json(content.about)}


class CsvRenderer:
    """One `.csv` for each model."""

    def render(self, content: ArchiveContent) -> Mapping[str, bytes]:
        """Every table with its header; a model without rows gives an empty file."""
        return {f"{name}.csv": _csv(*table) for name, table in content.tables.items()}


class PageRenderer:
    """`index.html`, which a person reads."""

    def render(self, content: ArchiveContent) -> Mapping[str, bytes]:
        """One page with every table and what Art. 15(1) asks for."""
        template = resources.files(__package__).joinpath("archive.html").read_text(encoding="utf-8")
        tables = [
            (name, header, [list(map(_text, values)) for values in rows])
            for name, (header, rows) in content.tables.items()
        ]
        page = Environment(autoescape=True).from_string(template)
        return {"index.html": page.render(tables=tables, about=content.about).encode()}


RENDERERS: tuple[ArchiveRenderer, ...] = (JsonRenderer(), PageRenderer(), CsvRenderer())
"""Those that are built in."""


def _csv(header: list[str], rows: list[list[Any]]) -> bytes:
    buffer = io.StringIO(newline="")
    if rows:
        writer = csv.writer(buffer)
        writer.writerow(header)
        writer.writerows([[_cell(value) for value in values] for values in rows])
    return buffer.getvalue().encode()


def _cell(value: Any) -> str:
    """A value in a table: a spreadsheet must show a text and not run it (OWASP ASVS 1.2.10); no
    number is a formula.
    """
    text = _text(value)
    is_number = isinstance(value, int | float | Decimal)
    return f"'{text}" if text.startswith(_FORMULA) and not is_number else text


def _text(value: Any) -> str:
    if value is None:
        return ""
    plain = json_value(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def json_value(value: Any) -> Any:
    """A value as JSON holds it: bytes in base64, dates and other types as text."""
    if value is None or isinstance(value, str | int | float | bool | list | dict):
        return value
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=2).encode()
