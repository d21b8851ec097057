"""Identifiers that the database makes, reserved before the insert: keys and records are bound to
them, and one that was given is never given again.

PostgreSQL gives them out of the column's own sequence. SQLite, which takes the number of a deleted
row for the next one, gets them from a counter of this package that only rises.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, func, select, text
from sqlalchemy import Sequence as DatabaseSequence
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session, SessionTransaction

from ..database.sqlalchemy_internals import state_of
from ..errors import RequestInvalid

RESERVED = "lgprivacy_reserved"
"""Where a session keeps what was reserved in its transaction."""
Wanted = tuple[Any, str, Column[Any]]
"""A row, the attribute of its primary key, and its column."""


def can_be_reserved(column: Column[Any]) -> bool:
    """Whether the database makes a column's integers one after the other."""
    default: Any = column.default
    is_made = column.table.autoincrement_column is column or isinstance(default, DatabaseSequence)
    identity = column.identity
    return is_made and (identity is None or not identity.always)


def reserve(session: Session, counters: Table, wanted: Iterable[Wanted]) -> None:
    """Give rows that are about to be inserted their identifiers, in one statement for each table.

    Args:
        session: On the data; the identifiers are taken in its transaction.
        counters: This package's table of counters, which SQLite needs.
        wanted: The rows without one.

    Raises:
        RequestInvalid: The database makes no identifiers for a column.
    """
    by_column: defaultdict[Column[Any], list[tuple[Any, str]]] = defaultdict(list)
    for row, attribute, column in wanted:
        if row.__dict__.get(attribute) is None and state_of(row).key is None:
            by_column[column].append((row, attribute))
    for column, rows in by_column.items():
        connection = session.connection(bind_arguments={"clause": column.table})
        made: Sequence[int]
        if connection.dialect.name == "postgresql":
            made = _from_sequence(connection, column, len(rows))
        else:
            own = session.connection(bind_arguments={"clause": counters})
            made = _from_counter(connection, own, counters, column, len(rows))
        for (row, attribute), identifier in zip(rows, made, strict=True):
            row.__dict__[attribute] = identifier
            session.info.setdefault(RESERVED, []).append((row, attribute, identifier))


def give_back(session: Session, _transaction: SessionTransaction) -> None:
    """Take a reserved identifier out of rows that a rollback kept from being stored, as if it had
    never been given.
    """
    for row, attribute, identifier in session.info.pop(RESERVED, ()):
        if state_of(row).key is None and row.__dict__.get(attribute) == identifier:
            del row.__dict__[attribute]


def keep_given(session: Session) -> None:
    """What was committed stays."""
    session.info.pop(RESERVED, None)


def _from_sequence(connection: Connection, column: Column[Any], count: int) -> list[int]:
    default: Any = column.default
    if isinstance(default, DatabaseSequence):
        name: Any = connection.dialect.identifier_preparer.format_sequence(default)
    else:
        table = connection.dialect.identifier_preparer.format_table(column.table)
        name = connection.execute(
            select(func.pg_get_serial_sequence(table, column.name))
        ).scalar_one()
    if name is None:
        raise RequestInvalid(
            f"{column.table.name}.{column.name}: must be set before the row is written; the "
            "database has no sequence for it"
        )
    statement = text("SELECT nextval(CAST(:name AS regclass)) FROM generate_series(1, :count)")
    return list(connection.execute(statement, {"name": name, "count": count}).scalars())


def _from_counter(
    connection: Connection, own: Connection, counters: Table, column: Column[Any], count: int
) -> list[int]:
    """The counter rises past whatever the table holds, which may have come another way."""
    highest: Any = select(func.coalesce(func.max(column), 0)).scalar_subquery()
    if own is not connection:  # another database: the number itself
        highest = connection.execute(select(highest)).scalar_one()
    insert = sqlite.insert(counters)
    raised = (
        insert.values(name=column.table.name, last=highest + count)
        .on_conflict_do_update(
            index_elements=[counters.c.name],
            set_={"last": func.max(counters.c.last, highest) + count},
        )
        .returning(counters.c.last)
    )
    last = int(own.execute(raised).scalar_one())
    return list(range(last - count + 1, last + 1))
