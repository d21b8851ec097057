"""Where an answer sends a browser: a URL stands in logs and histories, so nothing that was opened has a place in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from urllib.parse import unquote_plus

from sqlalchemy import inspect
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response

from ..models import identifier
from ..models.registration import layout_on
from ..models.rowstate import Opened
from ..models.tagged import opened
from .keyring import READ
from .processing import Processing

SHORTEST = 3
SHORTEST_INSIDE_A_WORD = 6
"""A shorter text is looked for as a word of its own: "Ana" is not in "analysis"."""


def shows(processing: Processing, url: str) -> bool:
    """Whether a URL holds a text or date that was opened under a processing and whose row is still in the session."""
    if not processing.ledger.touched:
        return False
    text = unquote_plus(url)
    rows = list(processing.session().identity_map.values())
    return any(_stands_in(one, text) for row in rows for value in _read_from(processing, row) for one in _texts(value))


def _read_from(processing: Processing, row: Any) -> Iterator[Any]:
    """What was opened of a row: sealed fields as they were and as they are, and the tagged columns that were looked at."""
    held = row.__dict__
    for group in held.values():
        if type(group) is Opened and group.life is processing.life:
            yield from group.before.values()
            yield from group.values.values()
    layout = layout_on(inspect(row).mapper)
    if layout is None or not layout.tagged or held.get(layout.subject) is None:
        return
    subject = identifier(held[layout.subject])
    for name, tag in layout.tagged.items():
        if any(
            category == tag.category and action == READ and kind == layout.kind and subject in subjects
            for (category, action, _, kind), subjects in processing.ledger.touched.items()
        ):
            yield opened(held.get(name))


def _texts(value: Any) -> Iterator[str]:
    """A value as texts that a URL may hold; numbers are left out, because ids and pages are numbers too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, date):
        yield value.isoformat()
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _stands_in(one: str, text: str) -> bool:
    if len(one) >= SHORTEST_INSIDE_A_WORD:
        return one in text
    return len(one) >= SHORTEST and re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text) is not None


def location_of(answer: Any) -> str:
    """The Location that a view's answer carries, in whichever form it was returned, or ""."""
    if isinstance(answer, Response):
        return _location_in(answer.headers)
    if isinstance(answer, tuple):
        for part in answer[1:]:
            if isinstance(part, Mapping | list | tuple | Headers):
                return _location_in(Headers(part))
        return location_of(answer[0])
    return ""


def _location_in(headers: Headers) -> str:
    """The Location among headers; a look-up of one that is absent would raise and catch an exception."""
    return next((value for name, value in headers if name.lower() == "location"), "")
