"""What the blueprints share: who asks, and what was sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, jsonify, request
from marshmallow import RAISE, Schema

from ...errors import RequestInvalid
from ...gate.actor import Actor
from ...gate.context import ProcessingContext
from ...orm.context import current_context
from ...schemas.load import load_body


class BodySchema(Schema):
    """The base of what a body may hold; what it does not know is refused."""

    class Meta:
        unknown = RAISE


def require_actor() -> Actor:
    """The actor of the running request; raises `RequestInvalid` where nobody is signed in."""
    context = current_context.get()
    actor = context.actor if isinstance(context, ProcessingContext) else None
    if actor is None:
        raise RequestInvalid("sign in first")
    return actor


def json_object() -> dict[str, Any]:
    """The JSON object that was sent, `{}` for nothing; its content type keeps forms of other sites
    out (no CSRF).
    """
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


def format_id(identifier: str) -> str:
    """A UUID with its dashes, as every other answer shows it."""
    try:
        return str(UUID(hex=identifier)) if len(identifier) == 32 else identifier
    except ValueError:
        return identifier


def json_response(content: Any) -> Response:
    """An answer as JSON."""
    response: Response = jsonify(content)
    return response
