"""Identifiers of rows and data subjects, as keys and trail know them."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

SubjectRef = tuple[str, str]
"""A data subject as (kind, identifier)."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def canonical_id(value: Any) -> str:
    """A primary or foreign key value as the text under which keys and trail know it; a UUID's text
    means the UUID.
    """
    if type(value) is UUID:
        return value.int.to_bytes(16).hex()
    text = str(value)
    return text.replace("-", "").lower() if _UUID.fullmatch(text) else text
