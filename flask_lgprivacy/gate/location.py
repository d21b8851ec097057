"""Where an answer sends a browser: a URL stands in logs and histories, so nothing that was opened has a place in it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any
from urllib.parse import unquote_plus

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response

from ..models.rowstate import Opened
from .processing import Processing

SHORTEST = 3


def shows(processing: Processing, url: str) -> bool:
    """Whether a URL holds a text that was opened under a processing and whose row is still in the session."""
    if not processing.ledger.touched:
        return False
    text = unquote_plus(url)
    for row in processing.session().identity_map.values():
        opened = [held for held in row.__dict__.values() if type(held) is Opened and held.life is processing.life]
        for one in chain.from_iterable((*held.before.values(), *held.values.values()) for held in opened):
            if isinstance(one, str) and len(one) >= SHORTEST and one in text:
                return True
    return False


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
