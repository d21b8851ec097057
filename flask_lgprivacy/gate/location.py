"""Where an answer sends a browser: a URL stands in logs and histories, so nothing that was opened has a place in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any
from urllib.parse import unquote, unquote_plus
from uuid import UUID

SHORTEST = 3
SHORTEST_IN_JSON = 6
"""JSON holds settings and kinds beside what is about somebody; shorter texts of it are left out."""


def shows(opened: Iterable[Iterable[Any]], url: str) -> bool:
    """Whether a URL holds, as words of their own, a text or date that was opened.

    Args:
        opened: The values of each record that was opened.
        url: Relative or absolute, with its escapes.
    """
    urls = (unquote(url), unquote_plus(url))
    texts = {text for record in opened for value in record for text in _texts(value, SHORTEST)}
    patterns = [re.compile(rf"(?<!\w){re.escape(text)}(?!\w)") for text in texts if any(text in one for one in urls)]
    return any(pattern.search(one) for pattern in patterns for one in urls)


def _texts(value: Any, shortest: int) -> Iterator[str]:
    """A value as texts that a URL may hold; numbers and UUIDs are left out, because ids and pages are such."""
    if isinstance(value, str):
        if len(value) >= shortest and not _is_uuid(value):
            yield value
    elif isinstance(value, date):
        yield from {value.isoformat(), str(value)}
    elif isinstance(value, Mapping):
        for part in (*value.keys(), *value.values()):
            yield from _texts(part, SHORTEST_IN_JSON)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part, SHORTEST_IN_JSON)


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
