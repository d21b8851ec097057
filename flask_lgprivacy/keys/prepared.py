"""Statements that are compiled once for a dialect and go to the driver as they are.

SQLAlchemy binds and reads value by value, which for the key table, whose columns are texts, numbers
and bytes, takes as long again as the database does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, Executable
from sqlalchemy.types import TypeEngine

from ..database.sqlalchemy_internals import positional_order


class PreparedStatement:
    """One statement for one dialect.

    Where a host moves tables to other schemas (`schema_translate_map`), the statement runs as any
    other.

    Args:
        statement: What is compiled once.
        dialect: For which it is compiled.
        names: The columns of an INSERT.
        types: Those of parameters that the dialect may write in its own way.
    """

    def __init__(
        self,
        statement: Executable,
        dialect: Dialect,
        *,
        names: Sequence[str] | None = None,
        types: Mapping[str, TypeEngine[Any]] | None = None,
    ) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=names)  # type: ignore[attr-defined]
        self._statement = statement
        self._text = str(compiled)
        self._order = positional_order(compiled)
        writing = {
            name: kind.dialect_impl(dialect).bind_processor(dialect)
            for name, kind in (types or {}).items()
        }
        self._writing = {
            name: lru_cache(maxsize=1)(write)
            for name, write in writing.items()
            if write is not None
        }

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Run the statement with one set of values, by name."""
        if _is_translated(connection):
            return connection.execute(self._statement, values)
        return connection.exec_driver_sql(self._text, self._given([values])[0])

    def execute_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run the statement for many rows; returns how many rows of the table it changed."""
        if _is_translated(connection):
            return connection.execute(self._statement, rows).rowcount
        return connection.exec_driver_sql(self._text, self._given(rows)).rowcount

    def _given(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Rows as the driver takes them: in order where it takes parameters by place, else
        by name.
        """
        order, writing = self._order, self._writing
        if order is None:
            return [
                {**row, **{name: write(row[name]) for name, write in writing.items()}}
                for row in rows
            ]
        if not writing:
            return [tuple([row[name] for name in order]) for row in rows]
        places = [(name, writing.get(name)) for name in order]
        return [
            tuple([row[name] if write is None else write(row[name]) for name, write in places])
            for row in rows
        ]


def _is_translated(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("schema_translate_map"))
