"""What the blueprints share: who asks, and what was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Blueprint, request
from marshmallow import RAISE, Schema

from ..errors import RequestInvalid
from ..gate import Actor, Declaration, Processing, guard
from ..models import current_opener
from ..schemas import loaded


class BodySchema(Schema):
    """The base of what a body may hold; what it does not know is refused."""

    class Meta:
        unknown = RAISE


def mounted(blueprint: Blueprint, declaration: Declaration) -> Callable[[str, str, Callable[..., Any]], None]:
    """A function that mounts a view under a rule and method of the blueprint, guarded by the declaration."""

    def route(rule: str, method: str, view: Callable[..., Any]) -> None:
        blueprint.add_url_rule(rule, view_func=guard(view, declaration), methods=[method])

    return route


def acting() -> Actor:
    """The actor of the running request; raises `RequestInvalid` where nobody is signed in."""
    opener = current_opener.get()
    actor = opener.actor if isinstance(opener, Processing) else None
    if actor is None:
        raise RequestInvalid("nobody is signed in")
    return actor


def json_object() -> dict[str, Any]:
    """The JSON object that was sent, `{}` for nothing; its content type keeps forms of other sites out (no CSRF)."""
    try:
        body = (request.get_json(silent=True) if request.get_data(cache=True) else {}) if request.is_json else None
    except RecursionError:
        body = None
    if not isinstance(body, dict):
        raise RequestInvalid("send a JSON object with Content-Type application/json")
    return body


def body_of(schema: Schema) -> dict[str, Any]:
    """What a schema makes of the JSON object that was sent."""
    content: dict[str, Any] = loaded(schema, json_object())
    return content


def as_sent(one: str) -> str:
    """A UUID with its dashes, as every other answer shows it."""
    try:
        return str(UUID(hex=one)) if len(one) == 32 else one
    except ValueError:
        return one
