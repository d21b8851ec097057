"""marshmallow schemas whose fields are derived from labelled columns, so that neither type nor
label is typed twice.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from marshmallow import RAISE, Schema, ValidationError, fields, missing, validate
from sqlalchemy import inspect

from ..errors import DeclarationInvalid, ModelInvalid
from ..orm.columns import field_type
from ..orm.context import current_context
from ..orm.registry import model_info_of, model_info_on
from ..policy.model import Policy
from ..policy.sensitive_terms import SensitiveTerms

LABEL = "lgprivacy"


@dataclass(frozen=True, slots=True)
class Label:
    """What a field says of its value: the category and column it goes to."""

    category: str
    column: str


class LabelledSchema(Schema):
    """The base of schemas that take in and give out labelled values; what it does not know is
    refused.

    On the way out, a category that the running declaration withholds is left out where the actor
    may not read it.
    """

    class Meta:
        unknown = RAISE

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """What marshmallow shows of an object; nothing where the gate withholds it."""
        state = inspect(obj, raiseerr=False)
        layout = (
            model_info_on(state.mapper) if state is not None and hasattr(state, "mapper") else None
        )
        category = None if layout is None else layout.category_of(attr)
        context = current_context.get()
        if (
            layout is not None
            and category is not None
            and context is not None
            and context.should_withhold(obj, layout, category)
        ):
            return missing
        return super().get_attribute(obj, attr, default)


class _Bytes(fields.Field):  # type: ignore[type-arg]  # marshmallow 3 has no generic fields
    def _serialize(self, value: bytes | None, *_: Any, **__: Any) -> str | None:
        return None if value is None else base64.b64encode(value).decode()

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bytes:
        try:
            return base64.b64decode(value, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise ValidationError("Not a valid base64 text.") from None


class _Json(fields.Field):  # type: ignore[type-arg]  # marshmallow 3 has no generic fields
    def __init__(self, python: type, **options: Any) -> None:
        super().__init__(**options)
        self._python = python

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(value, self._python):
            raise ValidationError(f"Not a valid {'object' if self._python is dict else 'list'}.")
        return value


_FIELDS: dict[type, Callable[..., fields.Field[Any]]] = {
    str: fields.String,
    bool: fields.Boolean,
    int: lambda **options: fields.Integer(strict=True, **options),
    float: lambda **options: fields.Float(allow_nan=False, **options),
    dt.date: fields.Date,
    dt.datetime: fields.DateTime,
    dt.time: fields.Time,
    Decimal: lambda **options: fields.Decimal(allow_nan=False, as_string=True, **options),
    UUID: fields.UUID,
    bytes: _Bytes,
    dict: lambda **options: _Json(dict, **options),
    list: lambda **options: _Json(list, **options),
}


def field_of(model: type, name: str, **options: Any) -> fields.Field[Any]:
    """A marshmallow field for a labelled column.

    Its type, whether it may be absent, and its label come from the model.

    Args:
        model: A labelled model.
        name: One of its sealed or tagged columns.
        options: Go to the field.

    Raises:
        ModelInvalid: The column has no label.
    """
    layout = model_info_of(model)
    category = layout.category_of(name)
    if not hasattr(model, name):
        raise ModelInvalid(
            f"{layout.name} has no column {name!r}; with a label it has "
            f"{', '.join(sorted(layout.labelled))}"
        )
    if category is None:
        raise ModelInvalid(
            f"{layout.name}.{name} holds no personal data, so a schema names it with a reason: "
            f"{name}=without_label(fields.…, 'why'); with a category there are "
            f"{', '.join(sorted(layout.labelled))}"
        )
    kind = field_type(layout, name)
    if kind.python is str:
        options.setdefault("validate", validate.Length(min=1, max=10_000))
    options = {"required": not kind.optional, "allow_none": kind.optional, **options}
    options["metadata"] = {
        **options.get("metadata", {}),
        LABEL: Label(category, f"{layout.name}.{name}"),
    }
    if kind.python not in _FIELDS:
        raise ModelInvalid(f"{layout.name}.{name}: no schema field for {kind.python.__name__}")
    return _FIELDS[kind.python](**options)


def schema_of(
    model: type, *names: str, partial: bool = False, **more: fields.Field[Any]
) -> type[LabelledSchema]:
    """A schema of some labelled columns of a model, for `accepts=` and for what is given out.

    Args:
        model: A labelled model.
        names: Of sealed or tagged columns.
        partial: Every field may be left out (a PATCH).
        more: Fields by name, each from `field_of` or `without_label`.

    Raises:
        ModelInvalid: A column has no label.
    """
    chosen = {**{name: field_of(model, name) for name in names}, **more}
    if partial:
        chosen = {name: copy(field) for name, field in chosen.items()}
        for field in chosen.values():
            field.required = False
    schema_class = LabelledSchema.from_dict(chosen, name=f"{model.__name__}Schema")
    assert issubclass(schema_class, LabelledSchema)  # noqa: S101  narrows the type for checkers
    return schema_class


def without_label(field: fields.Field[Any], reason: str) -> fields.Field[Any]:
    """A field that holds no personal data, and why."""
    if not reason.strip():
        raise ModelInvalid("without_label() needs the reason why the field holds no personal data")
    field.metadata = {**field.metadata, LABEL: reason}
    return field


def label_of(field: fields.Field[Any]) -> Label | None:
    """The label that a field carries, or None."""
    label = field.metadata.get(LABEL)
    return label if isinstance(label, Label) else None


def nested_in(field: fields.Field[Any] | None) -> Schema | None:
    """The schema inside a field, also inside a list of them, or None."""
    innermost = _innermost(field)
    return innermost.schema if isinstance(innermost, fields.Nested) else None


def _innermost(field: fields.Field[Any] | None) -> fields.Field[Any] | None:
    while isinstance(field, fields.List):
        field = field.inner
    return field


def check_schema(
    schema_or_class: Any, policy: Policy, categories: frozenset[str], location: str
) -> Schema:
    """The schema of an `accepts=`, checked.

    All fields carry labels, their categories are declared, nothing is sensitive, and nothing
    unknown is taken.

    Args:
        schema_or_class: A schema or its class.
        policy: The policy document.
        categories: Those that the endpoint declares.
        location: Names the endpoint for messages.

    Raises:
        DeclarationInvalid: Names the field and what to do.
    """
    schema = (
        schema_or_class()
        if isinstance(schema_or_class, type) and issubclass(schema_or_class, Schema)
        else schema_or_class
    )
    if not isinstance(schema, Schema):
        raise DeclarationInvalid(
            f"{location}: accepts= takes a marshmallow schema, such as schema_of(Student, "
            "'first_name')"
        )
    terms = SensitiveTerms(policy)
    for path, unknown in _schemas(schema, "", schema.unknown, ()):
        if unknown != RAISE:
            raise DeclarationInvalid(
                f"{location}: {path or 'accepts='}: its schema takes unknown fields; use unknown = "
                "RAISE, as LabelledSchema does"
            )
    for path, field in _fields(schema, "", ()):
        label = field.metadata.get(LABEL)
        column = label.column if isinstance(label, Label) else None
        for name in filter(None, (field.name, field.data_key, field.attribute, column)):
            sensitive = terms.match(name)
            if sensitive is not None:
                raise DeclarationInvalid(
                    f"{location}: {path}: {sensitive.says} [{sensitive.clause}]",
                    clause=sensitive.clause,
                )
        if label is None and nested_in(field) is None:
            raise DeclarationInvalid(
                f"{location}: field {path} of accepts= carries no label; use field_of(Model, "
                "'column'), or without_label(field, reason)"
            )
        if isinstance(label, Label) and label.category not in categories:
            raise DeclarationInvalid(
                f"{location}: field {path} is {label.category!r}, which the endpoint does not "
                "declare; it declares "
                f"{', '.join(sorted(categories)) or 'none'}"
            )
    return schema


def _schemas(
    schema: Schema, path: str, unknown: Any, seen: tuple[type, ...]
) -> Iterator[tuple[str, Any]]:
    """Every schema within one, with what it does with unknown fields; a field's own word overrules
    its schema's.
    """
    yield path, unknown
    for name, field in schema.fields.items():
        inner, innermost = nested_in(field), _innermost(field)
        if inner is not None and type(inner) not in seen:
            told = getattr(innermost, "unknown", None) or inner.unknown
            yield from _schemas(inner, f"{path}.{name}".lstrip("."), told, (*seen, type(inner)))


def _fields(
    schema: Schema, path: str, seen: tuple[type, ...]
) -> Iterator[tuple[str, fields.Field[Any]]]:
    for name, field in schema.fields.items():
        location = f"{path}.{name}".lstrip(".")
        yield location, field
        inner = nested_in(field)
        if inner is not None and type(inner) not in seen:
            yield from _fields(inner, location, (*seen, type(inner)))
