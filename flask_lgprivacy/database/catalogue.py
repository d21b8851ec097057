"""What a database itself says of its tables, models or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.types import JSON, LargeBinary, NullType, Numeric, String, TypeEngine, Uuid
from sqlalchemy.types import Integer as IntegerType


class ValueKind(StrEnum):
    """What a column holds, as far as a search for an identifier is concerned."""

    NUMBER = "number"
    TEXT = "text"
    UUID = "uuid"
    DOCUMENT = "document"
    BYTES = "bytes"
    ANYTHING = "anything"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CatalogueKey:
    """A foreign key of the database."""

    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CatalogueTable:
    """A table of the database: its columns with what they hold, and its foreign keys."""

    name: str
    columns: dict[str, ValueKind]
    keys: tuple[CatalogueKey, ...]


def read_catalogue(connection: Connection) -> Iterator[CatalogueTable]:
    """Every table of the database's default schema, in the order of their names."""
    inspector = inspect(connection)
    keys_by_table = inspector.get_multi_foreign_keys()
    columns_by_table: dict[Any, Any] = dict(inspector.get_multi_columns())
    for identity, columns in sorted(columns_by_table.items(), key=lambda entry: entry[0][1]):
        yield CatalogueTable(
            identity[1],
            {column["name"]: kind_of(column["type"]) for column in columns},
            tuple(
                CatalogueKey(
                    tuple(key["constrained_columns"]),
                    key["referred_table"],
                    tuple(key["referred_columns"]),
                )
                for key in keys_by_table.get(identity, ())
            ),
        )


def kind_of(column_type: TypeEngine[Any]) -> ValueKind:
    """What a column of a reflected type holds."""
    for kind, types in (
        (ValueKind.ANYTHING, NullType),
        (ValueKind.DOCUMENT, JSON),
        (ValueKind.UUID, Uuid),
        (ValueKind.TEXT, String),
        (ValueKind.BYTES, LargeBinary),
        (ValueKind.NUMBER, (IntegerType, Numeric)),
    ):
        if isinstance(column_type, types):
            return kind
    return ValueKind.OTHER
