"""Values of profiles as bytes and back: text, numbers, booleans, dates, bytes and JSON."""

from __future__ import annotations

import base64
import datetime as dt
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from ..errors import ModelInvalid, RequestInvalid

Decoder = Callable[[Any], Any]
_DECODERS: dict[type, Decoder | None] = {
    str: None,
    bool: None,
    int: None,
    float: None,
    dict: None,
    list: None,
    dt.date: dt.date.fromisoformat,
    dt.datetime: dt.datetime.fromisoformat,
    dt.time: dt.time.fromisoformat,
    Decimal: Decimal,
    UUID: UUID,
    bytes: partial(base64.b64decode, validate=True),
}


@dataclass(frozen=True, slots=True)
class ValueType:
    """The Python type of a sealed field, whether it may be None, and how it is decoded."""

    python: type
    optional: bool
    decode: Decoder | None
    taken_as_is: type | None = field(init=False)
    """The type whose every value comes back as what it was."""

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "taken_as_is", self.python if self.python in _ALWAYS_EQUAL else None
        )

    def check(self, value: Any, field: str) -> None:
        """Raise `TypeError`, without the value, where a value is not of this type."""
        if value is None:
            if not self.optional:
                raise TypeError(f"{field} takes {self.python.__name__}, not None")
        elif not _is_of(value, self.python):
            raise TypeError(f"{field} takes {self.python.__name__}, not {type(value).__name__}")
        elif self.python not in _ALWAYS_EQUAL and not comes_back_equal(value, self.decode):
            raise TypeError(f"{field}: {_REMEDIES.get(self.python, _JSON_REMEDY)}")


_ALWAYS_EQUAL = frozenset({str, bool, bytes, dt.date, UUID})
"""Types whose every value comes back as what it was, or cannot be encoded at all."""
_JSON_REMEDY = (
    "holds something that JSON does not give back as it was (a tuple, a set, NaN, bytes, a "
    "Decimal, a time, an enum member, a key that "
    "is no text); assign plain lists, objects, texts, numbers, booleans and None"
)
_REMEDIES: dict[type, str] = {
    int: "takes whole numbers of 64 bits",
    float: "takes finite numbers",
    Decimal: "takes numbers, not NaN",
    dt.datetime: "takes times whose offset from UTC is whole minutes",
    dt.time: "takes a time of day without a time zone; use a datetime for a moment",
}


def comes_back_equal(value: Any, decode: Decoder | None) -> bool:
    """Whether a value is the same after it was written as JSON and read: equal, and for a moment
    with the same offset from UTC.
    """
    try:
        again = orjson.loads(orjson.dumps(value, default=_encode if decode is not None else None))
        again = again if decode is None else decode(again)
        if isinstance(value, dt.datetime):
            local = value.replace(tzinfo=None, fold=0)
            return bool(
                local == again.replace(tzinfo=None) and value.utcoffset() == again.utcoffset()
            )
        return bool(again == value)
    except (TypeError, ValueError, ArithmeticError, RecursionError):
        return False


def _is_of(value: Any, python: type) -> bool:
    """Whether a value comes back as what it is: no datetime as a date, no bool as a number, nothing
    that JSON has not.
    """
    if python is float:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        )
    if isinstance(value, bool):
        return python is bool
    if isinstance(value, dt.datetime):
        return python is dt.datetime
    return isinstance(value, python)


def value_type(annotation: Any, field: str) -> ValueType:
    """The value type that a `Mapped[...]` annotation states; raises `ModelInvalid` for a type that
    cannot be sealed.
    """
    inner = typing.get_args(annotation)[0] if typing.get_args(annotation) else annotation
    options = (
        typing.get_args(inner)
        if isinstance(inner, types.UnionType) or typing.get_origin(inner) is typing.Union
        else ()
    )
    optional = type(None) in options
    bare = [option for option in options if option is not type(None)] or [inner]
    python = typing.get_origin(bare[0]) or bare[0]
    if len(bare) != 1 or python not in _DECODERS:
        raise ModelInvalid(
            f"{field}: cannot be sealed as {inner}; use one of "
            f"{', '.join(sorted(kind.__name__ for kind in _DECODERS))}, each with '| None' where "
            "it may be absent"
        )
    return ValueType(python, optional, _DECODERS[python])


def encode_fields(values: dict[str, Any], model: str) -> bytes:
    """The fields of a group as JSON; raises `RequestInvalid` naming the model where JSON cannot
    hold them.

    Lists and objects are looked at once more: somebody may have changed them since they were
    assigned.
    """
    for value in values.values():
        if isinstance(value, dict | list) and not comes_back_equal(value, None):
            raise RequestInvalid(f"{model}: a field {_JSON_REMEDY}")
    try:
        return orjson.dumps(values, default=_encode)
    except TypeError:
        raise RequestInvalid(
            f"{model}: a field holds something that cannot be sealed as JSON"
        ) from None


def _encode(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError


def from_json(kind: type, value: Any, field: str) -> Any:
    """A JSON value as a Python value of a field; raises `RequestInvalid` naming the field and the
    form it takes.
    """
    if value is None:
        return None
    decode = _DECODERS.get(kind)
    if decode is None:
        return value
    try:
        return decode(value)
    except (
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
    ):  # UUID() asks a number for its letters
        raise RequestInvalid(f"{field}: write a {_FORMS.get(kind, kind.__name__)}") from None


_FORMS: dict[type, str] = {
    dt.date: "date such as 2026-11-22",
    dt.datetime: "time such as 2026-11-22T08:30:00+01:00",
    dt.time: "time such as 08:30:00",
    Decimal: "number in quotes",
    bytes: "base64 text",
}
