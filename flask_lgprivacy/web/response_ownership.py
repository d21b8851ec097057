"""Whose an answer is: one that the declared view did not make for this request may hold what
somebody else opened.
"""

from __future__ import annotations

import os
from typing import Any

from werkzeug.wrappers import Response

from ..errors import DeclarationInvalid, ViewBypassed
from ..gate.context import ProcessingContext

MADE_BY = "_lgprivacy_made_by"
_BOOT = os.urandom(8).hex()
_CACHES = {
    "uncached": "Flask-Caching",
    "make_cache_key": "Flask-Caching",
    "cache_clear": "functools.cache",
    "cache_key": "cachetools",
}
"""Attributes that libraries leave on functions whose results they keep."""


def refuse_answer_without_view(processing: ProcessingContext, answer: Any) -> None:
    """Refuse an answer that came in place of the declared view's; raises `ViewBypassed`.

    Args:
        processing: The request's.
        answer: In any form that Flask takes; one that refuses, or sends somebody elsewhere, passes.
    """
    if not processing.view_ran and status_of(answer) < 300:
        processing.refuse(
            ViewBypassed(
                f"endpoint {processing.endpoint!r} was answered without its declared view (by a "
                "cache, a hook or a decorator), so nobody "
                "knows for whom that was opened; cache what is not personal inside the view instead"
            )
        )


def refuse_response_of_another(processing: ProcessingContext, response: Response) -> None:
    """Refuse a response, as it is about to leave, that was made for another request; raises
    `ViewBypassed`.
    """
    own_mark = f"{_BOOT}:{os.getpid()}:{processing.number}"
    if vars(response).get(MADE_BY) not in (None, own_mark):
        processing.refuse(
            ViewBypassed(
                f"endpoint {processing.endpoint!r} was answered with a response that was made for "
                "another request; do not keep responses "
                "of declared views"
            )
        )
    if processing.log.touched or processing.has_opened:
        setattr(response, MADE_BY, own_mark)


def refuse_cached(view: Any, endpoint: str) -> None:
    """Refuse, at the start, a view whose answers a known library keeps; raises
    `DeclarationInvalid`.
    """
    while view is not None:
        for attribute, library in _CACHES.items():
            if hasattr(view, attribute):
                raise DeclarationInvalid(
                    f"endpoint {endpoint!r}: its answers are kept by {library}, and what was "
                    "opened for one actor would be shown to the "
                    "next; cache what is not personal inside the view instead"
                )
        view = getattr(view, "__wrapped__", None)


def status_of(answer: Any) -> int:
    """The HTTP status of a view's answer, in whichever form it was returned."""
    if isinstance(answer, Response):
        return answer.status_code
    if isinstance(answer, tuple):
        for part in answer[1:]:
            if isinstance(part, int):
                return part
            if isinstance(part, str) and part[:3].isdigit():
                return int(part[:3])
        return status_of(answer[0])
    return 200
