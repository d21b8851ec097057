"""Blind indexes: find by equality without reading. A keyed, truncated hash per client and column."""

from __future__ import annotations

import hmac
import unicodedata

LENGTH = 16
NORMALISER = "nfkc-casefold-spaces-1"
"""Part of the format: a stored index is only comparable under the normaliser that made it."""


def normalise(value: str) -> str:
    """Unicode NFKC, case folded, runs of white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def column_key(index_key: bytes, *, table: str, column: str) -> bytes:
    """The key of one column's index for one client: 32 bytes."""
    return hmac.digest(index_key, f"lgprivacy index\x01{table}\x00{column}\x00{NORMALISER}".encode(), "sha256")


def blind_index(key: bytes, value: str) -> bytes:
    """The index of a value under a `column_key`: 16 bytes."""
    return hmac.digest(key, normalise(value).encode(), "sha256")[:LENGTH]
