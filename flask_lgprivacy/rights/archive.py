"""The archive that answers a request for access: data as JSON and CSV, a readable page, and what
Art. 15(1) asks for.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import ConfigurationError
from ..gate.runtime import Runtime
from .archive_renderers import RENDERERS, ArchiveContent, ArchiveRenderer, Table
from .handler import held_categories
from .subject_rows import ExportedTable

MANIFEST = "manifest.json"
_PART = re.compile(r"[^\x00-\x1f\x7f\\/:]+")
RIGHTS = {
    "access": "GDPR Art. 15",
    "rectification": "GDPR Art. 16",
    "erasure": "GDPR Art. 17",
    "restriction": "GDPR Art. 18",
    "objection": "GDPR Art. 21",
    "complaint to a supervisory authority (in France the CNIL)": "GDPR Art. 77",
}


def build_archive(
    runtime: Runtime,
    kind: str,
    exported: Sequence[ExportedTable],
    *,
    made_at: str,
    stored_files: Mapping[str, bytes] | None = None,
    renderers: Iterable[ArchiveRenderer] = (),
) -> bytes:
    """A ZIP of everything held about one subject.

    Files: `data.json`, one CSV for each model, `index.html`, `about.json` and `manifest.json` with
    SHA-256 sums.

    Args:
        runtime: The application's.
        kind: Of subject.
        exported: The rows of every table, with opened values.
        made_at: ISO 8601 text.
        stored_files: What stores outside the database hold, by path.
        renderers: Besides those that are built in.

    Returns:
        The bytes.

    Raises:
        ConfigurationError: Two files have one name.
    """
    content = ArchiveContent(
        tables={table.name: _rendered(table) for table in exported},
        about=describe_processing(runtime, kind, made_at=made_at),
    )
    files: dict[str, bytes] = dict(stored_files or {})
    for renderer in (*RENDERERS, *renderers):
        for name, rendered in renderer.render(content).items():
            if archive_path(name) in files:
                raise ConfigurationError(
                    f"two files of an archive are called {name!r}; let the renderer name it "
                    "otherwise"
                )
            files[name] = rendered
    sums = {name: hashlib.sha256(file).hexdigest() for name, file in files.items()}
    files[MANIFEST] = json.dumps(sums, indent=2).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.writestr(name, file)
    return buffer.getvalue()


def archive_path(name: str) -> str:
    """A file's name in an archive, checked, so that whoever unpacks it stays in the folder.

    Raises:
        ConfigurationError: It is not one of plain folders and a file, joined by `/`.
    """
    if name == MANIFEST or not all(
        _PART.fullmatch(part) and part not in (".", "..") for part in name.split("/")
    ):
        raise ConfigurationError(
            "a file of an archive is named outside its folder, or by signs that no file name has; "
            "use relative names such as drawings/house.svg"
        )
    return name


def describe_processing(runtime: Runtime, kind: str, *, made_at: str) -> dict[str, Any]:
    """Purposes, recipients, retention, rights and contact for one kind of subject (GDPR Art.
    15(1)(a) to (h)).
    """
    policy = runtime.policy
    held = held_categories(runtime, kind)
    rules = [rule for rule in policy.rules if rule.categories & held]
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


def _rendered(table: ExportedTable) -> Table:
    """The names of a table's columns and each row's values under them: its fields as declared,
    after whatever else the rows hold.

    A record holds its fields in the order in which they were written, and may hold one that the
    model has no more.
    """
    names = dict.fromkeys(name for row in table.rows for name in row)
    header = [name for name in names if name not in table.labelled]
    header += [name for name in table.labelled if name in names]
    return header, [[row.get(name) for name in header] for row in table.rows]
