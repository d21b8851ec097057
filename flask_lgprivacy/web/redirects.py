"""Where an answer sends a browser: a URL stands in logs and histories, so nothing that was opened
has a place in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote, unquote_plus
from uuid import UUID

SHORTEST = 3
SHORTEST_UNSPACED = 2
"""In scripts that write words without spaces between them (Chinese, Japanese, Thai, …) a name may
have two signs.
"""
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
SHORTEST_IN_JSON = 6
"""JSON holds settings and kinds beside what is about somebody; shorter texts of it are left out."""


def reveals_opened_value(opened: Iterable[Iterable[Any]], url: str) -> bool:
    """Whether a URL holds, as words of their own, a text or date that was opened.

    Args:
        opened: The values of each record that was opened.
        url: Relative or absolute, with its escapes.
    """
    urls = (normalize("NFC", unquote(url)), normalize("NFC", unquote_plus(url)))
    texts = {
        normalize("NFC", text)
        for record in opened
        for value in record
        for text in _texts(value, SHORTEST)
    }
    return any(_stands_in(text, place) for text in texts for place in urls if text in place)


def _stands_in(text: str, url: str) -> bool:
    """Whether a text that a URL holds is a word of it, where its script has words."""
    return (
        _UNSPACED.search(text) is not None
        or re.search(rf"(?<!\w){re.escape(text)}(?!\w)", url) is not None
    )


def _texts(value: Any, shortest: int) -> Iterator[str]:
    """A value as texts that a URL may hold; numbers and UUIDs are left out, because ids and pages
    are such.
    """
    if isinstance(value, str):
        is_long_enough = len(value) >= (SHORTEST_UNSPACED if _UNSPACED.search(value) else shortest)
        if is_long_enough and not _is_uuid(value):
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
