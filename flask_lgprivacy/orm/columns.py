"""The columns by which rows lead to subject and client, and identifiers as values of a column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Table, UniqueConstraint, func, or_
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from .codec import ValueType
from .model_info import ModelInfo
from .registry import field_name

GENERIC_DIALECT = DefaultDialect()
"""For asking an application's own column types what they make of a value."""
_HEX = re.compile(r"^[0-9a-f]{32}$")
_SOME_UUID = UUID(int=1)


def subject_column(layout: ModelInfo) -> Any:
    """The column by which a model's rows lead to their subject."""
    return layout.column(layout.subject)


def client_column(layout: ModelInfo) -> Any:
    """The column of a subject's model that holds its client."""
    return layout.column(layout.client or "")


def unique_columns(table: Table) -> list[list[Column[Any]]]:
    """The columns of which the database lets no two rows of a table hold the same values."""
    constraints = [one for one in table.constraints if isinstance(one, UniqueConstraint)]
    indexes = [index for index in table.indexes if index.unique]
    return [
        list(table.primary_key.columns),
        *([column] for column in table.columns if column.unique),
        *(list(one.columns) for one in constraints),
        *(list(index.columns) for index in indexes),
    ]


def columns_by_field(table: Table) -> dict[str, Column[Any]]:
    """The columns of a table by the names that they have for people."""
    return {field_name(column): column for column in table.columns}


def coerce(column: Any, text: str) -> Any:
    """What somebody wrote as a value of a column; raises `ValueError` or `TypeError` where it is
    none.
    """
    kind = python_type(column)
    return UUID(text) if kind is UUID else kind(text)


def python_type(column: Any) -> type[Any]:
    """The type of a column's values in Python, where an application's own type stands before the
    database's too.
    """
    return _python_type(column.type)


@lru_cache(maxsize=1024)
def _python_type(kind: TypeEngine[Any]) -> type[Any]:
    says_itself = type(kind).python_type is not TypeDecorator.python_type
    if not isinstance(kind, TypeDecorator) or says_itself:
        return kind.python_type
    try:
        bound = kind.process_bind_param(_SOME_UUID, GENERIC_DIALECT)
        returned = kind.process_result_value(bound, GENERIC_DIALECT)
    except (TypeError, ValueError, AttributeError, NotImplementedError):
        returned = None  # it takes no UUID
    return UUID if isinstance(returned, UUID) else kind.impl_instance.python_type


def matches_any_id(column: Any, identifiers: Iterable[str]) -> Any:
    """The condition that a column holds one of some identifiers; in a text column a UUID is found
    in whichever spelling it stands.

    Raises:
        ValueError, TypeError: An identifier is no value of the column's type.
    """
    values = [coerce(column, text) for text in identifiers]
    folded = [text for text in values if isinstance(text, str) and _HEX.match(text)]
    if not folded:
        return column.in_(values)
    usual = [
        spelled for text in folded for spelled in (str(UUID(hex=text)), str(UUID(hex=text)).upper())
    ]
    return or_(column.in_([*values, *usual]), func.lower(func.replace(column, "-", "")).in_(folded))


def stored_forms(text: str) -> list[str]:
    """How else a UUID is written that a text spells, with dashes or without; none where it spells
    no UUID.

    Upper and lower case with dashes count as one spelling.
    """
    if _HEX.match(text):
        return [str(UUID(hex=text)), str(UUID(hex=text)).upper()]
    plain = text.replace("-", "").lower()
    return [plain] if _HEX.match(plain) and text.lower() == str(UUID(hex=plain)) else []


def field_type(layout: ModelInfo, name: str) -> ValueType:
    """The type of a labelled field, sealed or tagged."""
    for group in layout.groups.values():
        if name in group.fields:
            return group.fields[name]
    column = layout.column(name)
    return ValueType(python_type(column), bool(column.nullable), None)
