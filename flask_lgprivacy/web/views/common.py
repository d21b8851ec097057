"""What the blueprints share: who asks, and what was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Blueprint, request
from marshmallow import RAISE, Schema

from ...errors import RequestInvalid
from ...gate.actor import Actor
from ...gate.context import ProcessingContext
from ...gate.declaration import Declaration
from ...orm.context import current_context
from ...schemas.load import load_body
from ..decorators import guard


class BodySchema(Schema):
    """The base of what a body may hold; what it does not know is refused."""

    class Meta:
        unknown = RAISE


def guarded_routes(
    blueprint: Blueprint, declaration: Declaration
) -> Callable[[str, str, Callable[..., Any]], None]:
    """A function that mounts a view under a rule and method of the blueprint, guarded by the declaration."""

    def route(rule: str, method: str, view: Callable[..., Any]) -> None:
        blueprint.add_url_rule(rule, view_func=guard(view, declaration), methods=[method])

    return route


def require_actor() -> Actor:
    """The actor of the running request; raises `RequestInvalid` where nobody is signed in."""
    opener = current_context.get()
    actor = opener.actor if isinstance(opener, ProcessingContext) else None
    if actor is None:
        raise RequestInvalid("nobody is signed in")
    return actor


def json_object() -> dict[str, Any]:
    """The JSON object that was sent, `{}` for nothing; its content type keeps forms of other sites out (no CSRF)."""
    try:
        body = (
            (request.get_json(silent=True) if request.get_data(cache=True) else {})
            if request.is_json
            else None
        )
    except RecursionError:
        body = None
    if not isinstance(body, dict):
        raise RequestInvalid("send a JSON object with Content-Type application/json")
    return body


def load_json(schema: Schema) -> dict[str, Any]:
    """What a schema makes of the JSON object that was sent."""
    content: dict[str, Any] = load_body(schema, json_object())
    return content


def format_id(one: str) -> str:
    """A UUID with its dashes, as every other answer shows it."""
    try:
        return str(UUID(hex=one)) if len(one) == 32 else one
    except ValueError:
        return one
