"""The schema of a policy document as JSON Schema (draft 2020-12), for editors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema, fields, validate

from . import schema as shapes
from .model import Condition, EndpointGroup

DRAFT = "https://json-schema.org/draft/2020-12/schema"
WORDS: dict[str, Iterable[str]] = {"conditions": Condition, "endpoints": EndpointGroup}
"""Tables whose keys are words that the code knows."""
TEXT: dict[str, Any] = {"type": "string"}


def policy_json_schema() -> dict[str, Any]:
    """The JSON Schema of a whole document.

    It says what an editor can check key by key; what holds between entries is checked when the
    document is loaded.
    """
    return {
        "$schema": DRAFT,
        "title": "Policy document of flask_lgprivacy",
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in shapes.SECTIONS if name not in shapes.MAY_BE_ABSENT],
        "properties": {
            name: {**_section(name), "description": description}
            for name, description in shapes.SECTIONS.items()
        },
    }


def _section(name: str) -> dict[str, Any]:
    if name in shapes.TABLES:
        entry = _entry(shapes.TABLES[name](), key="id" if name in shapes.KEYED_BY_ID else None)
        names = {"enum": sorted(WORDS[name])} if name in WORDS else _names()
        return {"type": "object", "propertyNames": names, "additionalProperties": entry}
    if name in shapes.LISTS:
        return {"type": "array", "items": _entry(shapes.LISTS[name]())}
    if name in shapes.SINGLES:
        return _entry(shapes.SINGLES[name]())
    values = {"type": "array", "items": TEXT, "minItems": 1} if name == "regions" else TEXT
    return {"type": "object", "additionalProperties": values}


def _names() -> dict[str, Any]:
    return {"pattern": shapes.IDENTIFIER.regex.pattern}


def _entry(schema: Schema, *, key: str | None = None) -> dict[str, Any]:
    keys = {name: field for name, field in schema.fields.items() if name != key}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, field in keys.items() if field.required],
        "properties": {name: _value(field) for name, field in keys.items()},
    }


def _value(field: Any) -> dict[str, Any]:
    described = {"description": field.metadata["description"]} if field.metadata else {}
    return {**_type(field), **_limits(field), **described}


def _type(field: Any) -> dict[str, Any]:
    if isinstance(field, fields.List):
        return {"type": "array", "items": _value(field.inner), "uniqueItems": True}
    if isinstance(field, fields.Nested):
        return _entry(field.schema)
    if isinstance(field, fields.Enum):
        return {"enum": [word.value for word in field.enum]}
    if isinstance(field, fields.Email):
        return {"type": "string", "format": "email"}
    types: tuple[tuple[type, dict[str, Any]], ...] = (
        (fields.Int, {"type": "integer"}),
        (fields.Dict, {"type": "object"}),
        (shapes.TrueOrFalse, {"type": "boolean"}),
        (shapes.TomlDate, {"type": "string", "format": "date"}),
        (fields.Str, TEXT),
    )
    return next(found for kind, found in types if isinstance(field, kind))


def _limits(field: Any) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    is_list = isinstance(field, fields.List)
    for rule in field.validators:
        if isinstance(rule, validate.Regexp) and not isinstance(field, fields.Email):
            limits["pattern"] = rule.regex.pattern
        elif isinstance(rule, validate.OneOf):
            limits["enum"] = [str(choice) for choice in rule.choices]
        elif isinstance(rule, validate.Range):
            limits |= {"minimum": rule.min, "maximum": rule.max}
        elif isinstance(rule, validate.Length) and rule.min:
            limits["minItems" if is_list else "minLength"] = rule.min
    return limits
