"""The archive that answers a request for access: data as JSON and CSV, a readable page, and what
Art. 15(1) asks for.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib import resources
from typing import Any

from jinja2 import Environment

from ..gate.runtime import Runtime
from ..orm.model_info import ModelInfo

Rows = list[dict[str, Any]]
Table = tuple[list[str], list[list[Any]]]
RIGHTS = {
    "access": "GDPR Art. 15",
    "rectification": "GDPR Art. 16",
    "erasure": "GDPR Art. 17",
    "restriction": "GDPR Art. 18",
    "objection": "GDPR Art. 21",
    "complaint to a supervisory authority (in France the CNIL)": "GDPR Art. 77",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def build_archive(
    runtime: Runtime, kind: str, rows_by_model: Sequence[tuple[ModelInfo, Rows]], *, made_at: str
) -> bytes:
    """A ZIP of everything held about one subject.

    Files: `data.json`, one CSV for each model, `index.html`, `about.json` and `manifest.json` with
    SHA-256 sums.

    Args:
        runtime: The application's.
        kind: Of subject.
        rows_by_model: For every model, its rows with opened values.
        made_at: ISO 8601 text.

    Returns:
        The bytes.
    """
    about = describe_processing(runtime, kind, made_at=made_at)
    tables = {layout.name: _table(layout, rows) for layout, rows in rows_by_model}
    data = {
        name: [dict(zip(header, map(_plain, values), strict=True)) for values in rows]
        for name, (header, rows) in tables.items()
    }
    files = {
        "data.json": _json(data),
        "about.json": _json(about),
        "index.html": _page(tables, about).encode(),
        **{f"{name}.csv": _csv(*table) for name, table in tables.items()},
    }
    files["manifest.json"] = _json(
        {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def describe_processing(runtime: Runtime, kind: str, *, made_at: str) -> dict[str, Any]:
    """Purposes, recipients, retention, rights and contact for one kind of subject (GDPR Art.
    15(1)(a) to (h)).
    """
    policy = runtime.policy
    held_categories = frozenset().union(
        *(layout.categories for layout in runtime.models.graph.of(kind))
    )
    rules = [rule for rule in policy.rules if rule.categories & held_categories]
    purposes = sorted({purpose for rule in rules for purpose in rule.purposes})
    return {
        "made_at": made_at,
        "policy": {"name": policy.name, "version": policy.version, "source": policy.source},
        "held_as": "processor for the client"
        if runtime.models.is_processor_of(kind)
        else "controller",
        "categories": {
            name: {
                "label": policy.categories[name].label,
                "retention": {
                    "after": policy.categories[name].retention.after,
                    "period": policy.categories[name].retention.period,
                },
                "region": policy.categories[name].region,
                "clause": policy.categories[name].clause,
            }
            for name in sorted(held_categories)
        },
        "purposes": {
            name: {"label": policy.purposes[name].label, "basis": policy.purposes[name].basis.value}
            for name in purposes
        },
        "recipients": [
            {
                "name": recipient.name,
                "country": recipient.country,
                "purposes": sorted(recipient.purposes),
                "categories": sorted(recipient.categories & held_categories),
                "transfer": recipient.transfer.tool.value if recipient.transfer else None,
            }
            for recipient in policy.recipients.values()
            if recipient.categories & held_categories
        ],
        "source": "entered by the client or the person; nothing is bought or inferred",
        "automated_decisions": "none",
        "rights": RIGHTS,
        "contact": {
            "name": policy.contact.name,
            "address": policy.contact.address,
            "email": policy.contact.email,
            "phone": policy.contact.phone,
        },
    }


def _table(layout: ModelInfo, rows: Rows) -> Table:
    """The names of a model's columns and each row's values under them: its fields as declared,
    after whatever else the rows hold.

    A record holds its fields in the order in which they were written, and may hold one that the
    model has no more.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    header = [name for name in names if name not in layout.field_categories]
    header += [name for name in layout.labelled if name in names]
    return header, [[row.get(name) for name in header] for row in rows]


def _page(tables: Mapping[str, Table], about: Mapping[str, Any]) -> str:
    template = resources.files(__package__).joinpath("archive.html").read_text(encoding="utf-8")
    shown = [
        (name, header, [list(map(_text, values)) for values in rows])
        for name, (header, rows) in tables.items()
    ]
    return Environment(autoescape=True).from_string(template).render(tables=shown, about=about)


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
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool | list | dict):
        return value
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=2).encode()
