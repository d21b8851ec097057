"""Everything of Flask that this package uses and that Flask does not document.

Each has a test (`tests/web/test_flask_internals.py`), so that a new release that changes one fails
there and by name.
"""

from __future__ import annotations

from typing import Any, cast

from flask import Flask, Request, request
from werkzeug.routing import Rule


def running_request() -> Request:
    """The running request itself and not its proxy, which is asked several times in each
    request.
    """
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]


def answers_options(rule: Rule) -> bool:
    """Whether Flask answers OPTIONS of a rule by itself."""
    return bool(getattr(rule, "provide_automatic_options", False))


def is_flasks_own(app: Flask, name: str) -> bool:
    """Whether a method of an application is that of `Flask`, neither overridden nor patched."""
    method: Any = getattr(getattr(app, name), "__func__", None)
    return (
        method is getattr(Flask, name)
        and method.__module__ == Flask.__module__
        and not hasattr(method, "__wrapped__")
    )
