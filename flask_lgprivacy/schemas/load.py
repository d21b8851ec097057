"""Loads what was sent through a schema; faults name fields, never values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, ValidationError

from ..errors import RequestInvalid
from .paths import path_segment

MOST_FAULTS = 10


def load_body(schema: Schema, content: Any) -> Any:
    """What a schema makes of a JSON value; raises `RequestInvalid` with every fault, by the field's
    path.
    """
    if not isinstance(content, dict) and not schema.many:
        raise RequestInvalid("send a JSON object with Content-Type application/json, or a form")
    try:
        return schema.load(content)
    except ValidationError as error:
        faults = list(_faults(error.messages, ""))
        texts = {
            form
            for leaf in _leaves(content)
            for form in (str(leaf), repr(leaf)[1:-1])
            if len(form) > 1
        }
        said = [
            f"{path}: {_without_values(reason, texts)}" for path, reason in faults[:MOST_FAULTS]
        ]
        more = f" (and {len(faults) - MOST_FAULTS} more)" if len(faults) > MOST_FAULTS else ""
        raise RequestInvalid("; ".join(said) + more) from None


def _faults(messages: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(messages, dict):
        for number, (key, inner) in enumerate(messages.items()):
            if key == "_schema":
                yield from _faults(inner, path)
            elif isinstance(key, int):
                yield from _faults(inner, f"{path}[{key}]")
            else:
                yield from _faults(inner, f"{path}.{path_segment(key, number)}".lstrip("."))
    else:
        yield path or "body", str(messages[0])


def _without_values(reason: str, texts: set[str]) -> str:
    """A message of a validator, unless it repeats what was sent."""
    return "is not valid" if any(text in reason for text in texts) else reason.rstrip(".").lower()


def _leaves(content: Any) -> Iterator[Any]:
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.values()]
        elif isinstance(value, list):
            waiting += value
        elif value is not None and not isinstance(value, bool):
            yield value
