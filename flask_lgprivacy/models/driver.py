"""Statements that are compiled once for a dialect and go to the driver as they are.

SQLAlchemy binds and reads value by value, which for the key table, whose columns are texts, numbers and bytes, takes as long again
as the database does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect
from sqlalchemy.sql.elements import ClauseElement

Write = Callable[[Any], Any]


class Prepared:
    """One statement for one dialect.

    Parameters: `names` are the columns of an INSERT; `written` says of a parameter how the dialect writes it, where the driver does
    not take it as it is.
    """

    def __init__(
        self,
        statement: ClauseElement,
        dialect: Dialect,
        *,
        names: Sequence[str] | None = None,
        written: Mapping[str, Write] | None = None,
    ) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=names)
        self._text = str(compiled)
        self._order: list[str] | None = compiled.positiontup
        self._written = dict(written or {})

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Run the statement with one set of values, by name."""
        return connection.exec_driver_sql(self._text, self._given([values])[0])

    def execute_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run the statement for many rows; returns how many rows of the table it changed."""
        return connection.exec_driver_sql(self._text, self._given(rows)).rowcount

    def _given(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Rows as the driver takes them: in order where it takes parameters by place, else by name."""
        order = self._order
        if order is None:
            return [{**row, **{name: write(row[name]) for name, write in self._written.items()}} for row in rows]
        if not self._written:
            return [tuple([row[name] for name in order]) for row in rows]
        places = [(name, self._written.get(name)) for name in order]
        return [tuple([row[name] if write is None else write(row[name]) for name, write in places]) for row in rows]
