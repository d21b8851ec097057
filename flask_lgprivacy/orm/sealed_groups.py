"""The records of a model: which sealed fields are sealed together, and of which types they are."""

from __future__ import annotations

import operator
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from inspect import get_annotations as inspect_annotations
from types import SimpleNamespace
from typing import Any, cast

from ..errors import ModelInvalid
from .codec import ValueType, value_type
from .field_index import FieldIndex, check_guessable
from .fields import SealedField
from .model_info import VERSION_COLUMN, AssociatedDataPrefixes, ModelInfo, SealedGroup
from .row_state import decrypted_slot


def add_groups(layout: ModelInfo, sealed_fields: Sequence[SealedField]) -> None:
    """Add the groups of a model's sealed fields, and their blind indexes; raises `ModelInvalid`."""
    for sealed_field in sealed_fields:
        sealed_field.type = value_type(
            _annotation(layout.model, sealed_field.name), sealed_field.qualified
        )
        if sealed_field.blind is not None:
            check_guessable(
                sealed_field.qualified,
                sealed_field.name,
                sealed_field.type.python,
                sealed_field.blind,
            )
            layout.indexes[sealed_field.name] = FieldIndex(
                cast(str, sealed_field.index_column), sealed_field.blind
            )
    for column in dict.fromkeys(sealed_field.column for sealed_field in sealed_fields):
        fields = {
            sealed_field.name: cast(ValueType, sealed_field.type)
            for sealed_field in sealed_fields
            if sealed_field.column == column
        }
        first = next(
            sealed_field for sealed_field in sealed_fields if sealed_field.column == column
        )
        if any(
            sealed_field.category != first.category
            for sealed_field in sealed_fields
            if sealed_field.column == column
        ):
            raise ModelInvalid(
                f"{first.qualified}: a group holds one category; give the others a group of their "
                "own"
            )
        needs = (
            layout.key_attribute,
            layout.key,
            layout.client or layout.key_attribute,
            column,
            VERSION_COLUMN,
        )
        layout.groups[column] = SealedGroup(
            layout,
            column,
            first.category,
            fields,
            tuple(name for name, kind in fields.items() if not kind.optional),
            tuple((name, kind.decode) for name, kind in fields.items() if kind.decode is not None),
            needs,
            operator.itemgetter(*needs),
            decrypted_slot(column),
            AssociatedDataPrefixes(layout.table.name, first.group),
            _former_names(layout.name, fields, sealed_fields),
        )


def _former_names(
    model: str, fields: Mapping[str, ValueType], sealed_fields: Iterable[SealedField]
) -> dict[str, str]:
    """The names of a group's fields by what they were called; raises `ModelInvalid` where that is
    the name of a field of today.
    """
    names = {sealed_field.name for sealed_field in sealed_fields}
    former: dict[str, str] = {}
    for sealed_field in sealed_fields:
        was = sealed_field.was
        if was is None or sealed_field.name not in fields:
            continue
        if was in names or was in former:
            raise ModelInvalid(
                f"{model}.{sealed_field.name}: was={was!r} is the name of another field, or of "
                "what another one was; a field has one former name of its own"
            )
        former[was] = sealed_field.name
    return former


def _annotation(model: type, name: str) -> Any:
    for base in model.__mro__:
        annotations = inspect_annotations(base)
        if name in annotations:
            raw = SimpleNamespace(__annotations__={name: annotations[name]})
            module = vars(sys.modules[base.__module__])
            try:
                return typing.get_type_hints(raw, globalns=module, localns=dict(vars(base)))[name]
            except NameError as error:
                raise ModelInvalid(
                    f"{model.__name__}.{name}: the annotation names {error.name!r}, which its "
                    "module does not import at run time"
                ) from None
    raise ModelInvalid(
        f"{model.__name__}.{name}: sealed() needs an annotation, such as Mapped[str]"
    )
