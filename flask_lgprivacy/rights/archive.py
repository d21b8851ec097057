"""The archive that answers a request for access: data as JSON and CSV, a readable page, and what Art. 15(1) asks for."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment

from ..gate import House
from ..models import Layout

Rows = list[dict[str, Any]]
RIGHTS = {
    "access": "GDPR Art. 15",
    "rectification": "GDPR Art. 16",
    "erasure": "GDPR Art. 17",
    "restriction": "GDPR Art. 18",
    "objection": "GDPR Art. 21",
    "complaint to a supervisory authority (in France the CNIL)": "GDPR Art. 77",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def build_archive(house: House, kind: str, found: Sequence[tuple[Layout, Rows]], *, made_at: str) -> bytes:
    """A ZIP of everything held about one subject.

    Parameters: `found` holds, for every model, its rows with opened values; `made_at` is ISO 8601 text. Returns the bytes.
    Files: `data.json`, one CSV for each model, `index.html`, `about.json` and `manifest.json` with SHA-256 sums.
    """
    about = describe_processing(house, kind, made_at=made_at)
    data = {
        layout.name: [{name: _plain(value) for name, value in row.items()} for row in rows] for layout, rows in found
    }
    files = {
        "data.json": _json(data),
        "about.json": _json(about),
        "index.html": _page(found, about).encode(),
        **{f"{layout.name}.csv": _csv(rows) for layout, rows in found},
    }
    files["manifest.json"] = _json({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def describe_processing(house: House, kind: str, *, made_at: str) -> dict[str, Any]:
    """Purposes, recipients, retention, rights and contact for one kind of subject (GDPR Art. 15(1)(a) to (h))."""
    policy = house.policy
    held = frozenset().union(*(layout.categories for layout in house.graph.of(kind)))
    rules = [rule for rule in policy.rules if rule.categories & held]
    purposes = sorted({purpose for rule in rules for purpose in rule.purposes})
    return {
        "made_at": made_at,
        "policy": {"name": policy.name, "version": policy.version, "source": policy.source},
        "held_as": "processor for the client" if house.is_processor_of(kind) else "controller",
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
            for name in sorted(held)
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
                "categories": sorted(recipient.categories & held),
                "transfer": recipient.transfer.tool.value if recipient.transfer else None,
            }
            for recipient in policy.recipients.values()
            if recipient.categories & held
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


def _page(found: Sequence[tuple[Layout, Rows]], about: Mapping[str, Any]) -> str:
    template = resources.files(__package__).joinpath("archive.html").read_text(encoding="utf-8")
    tables = [
        (
            layout.name,
            list(rows[0]) if rows else [],
            [[_text(value) for value in row.values()] for row in rows],
        )
        for layout, rows in found
    ]
    return Environment(autoescape=True).from_string(template).render(tables=tables, about=about)


def _csv(rows: Rows) -> bytes:
    buffer = io.StringIO(newline="")
    if rows:
        writer = csv.writer(buffer)
        writer.writerow(rows[0])
        writer.writerows([[_without_formula(_text(value)) for value in row.values()] for row in rows])
    return buffer.getvalue().encode()


def _without_formula(text: str) -> str:
    """A spreadsheet must show the text and not run it (OWASP ASVS 1.2.10)."""
    return f"'{text}" if text.startswith(_FORMULA) else text


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
