"""Column types of the extension's own tables."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import DateTime, Dialect
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[dt.datetime]):
    """A moment in UTC, always with its zone: SQLite gives back times without one.

    In a migration it is rendered as the `DateTime(timezone=True)` that it is in the database, so
    that migrations do not need this package.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(
        self, value: dt.datetime | None, _dialect: Dialect
    ) -> dt.datetime | None:
        """A moment that comes from the database."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=dt.UTC)

    def copy(self, **_: Any) -> UtcDateTime:
        """The same type for a copy of the column."""
        return utc_datetime()

    def __repr__(self) -> str:
        return "DateTime(timezone=True)"


# Alembic writes a type into a migration by its module and repr, so it has to be SQLAlchemy's own.
_RENDERED: type[UtcDateTime] = type(
    "DateTime", (UtcDateTime,), {"__module__": DateTime.__module__, "cache_ok": True}
)


def utc_datetime() -> UtcDateTime:
    """The type of a column that holds a moment in UTC."""
    return _RENDERED()
