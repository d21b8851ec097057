"""Where an answer sends a browser: a URL stands in logs and histories, so nothing that was opened has a place in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response

from ..models.layout import SLOT
from .processing import Processing

SHORTEST = 3


def shows(processing: Processing, url: str) -> bool:
    """Whether a URL holds a text that was opened under a processing and whose row is still in the session."""
    if not processing.ledger.touched:
        return False
    text = unquote_plus(url)
    for row in processing.session().identity_map.values():
        state = row.__dict__.get(SLOT)
        opened = state.values.values() if state is not None and state.life is processing.life else ()
        if any(isinstance(one, str) and len(one) >= SHORTEST and one in text for one in opened):
            return True
    return False


def location_of(answer: Any) -> str:
    """The Location that a view's answer carries, in whichever form it was returned, or ""."""
    if isinstance(answer, Response):
        return answer.headers.get("Location") or ""
    if isinstance(answer, tuple):
        for part in answer[1:]:
            if isinstance(part, Mapping | list | tuple | Headers):
                return Headers(part).get("Location") or ""
        return location_of(answer[0])
    return ""
