"""The statements over the key table: rows of subjects and clients, read in batches, changed one
state at a time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import orjson
from sqlalchemy import (
    Connection,
    CursorResult,
    Dialect,
    Row,
    Select,
    String,
    Table,
    and_,
    any_,
    bindparam,
    delete,
    func,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from ..database.tables import Tables
from .prepared import PreparedStatement

CHUNK = 500
SUBJECT_KEY = ("kind", "subject", "version", "holder", "client", "epoch", "wrapped", "made_at")
"""The columns of a new subject key."""
T = TypeVar("T")


class _Statements(NamedTuple):
    """What is asked of the key table all the time, for one dialect."""

    subjects: PreparedStatement
    held_subjects: PreparedStatement
    new_subjects: PreparedStatement
    clients: PreparedStatement


class KeyTable:
    """What is done to the two tables of wrapped keys; `wrapped` is NULL where a key was
    destroyed.
    """

    def __init__(self, tables: Tables) -> None:
        self.subjects: Table = tables.subject_key
        self.clients: Table = tables.client_key
        self._client_query = _client_query(tables.client_key)
        self._any_subjects = _subject_rows(tables.subject_key).where(
            tables.subject_key.c.subject.in_(bindparam("ids", expanding=True))
        )
        self._prepared: dict[str, _Statements] = {}

    def _for(self, connection: Connection) -> _Statements:
        dialect = connection.dialect
        if dialect.name not in self._prepared:
            rows = _subject_rows(self.subjects)
            held_rows = rows.with_for_update(read=True, key_share=True)
            self._prepared[dialect.name] = _Statements(
                subjects=_prepared_for_ids(self.subjects, rows, dialect),
                held_subjects=_prepared_for_ids(self.subjects, held_rows, dialect),
                new_subjects=_subject_insert(self.subjects, dialect),
                clients=PreparedStatement(self._client_query, dialect),
            )
        return self._prepared[dialect.name]

    # --- subjects ---

    def subject_rows(self, connection: Connection, kind: str, ids: Sequence[str]) -> Iterator[Any]:
        """Rows (subject, version, holder, client, epoch, wrapped) of some subjects, older versions
        of each first.

        A portion is read whole before its rows are given out, so that other statements may run in
        between.
        """
        return self._rows_of(connection, self._for(connection).subjects, kind, ids)

    def held_subject_rows(
        self, connection: Connection, kind: str, ids: Sequence[str]
    ) -> Iterator[Any]:
        """The same rows, of which nobody destroys one until the commit; on SQLite whoever has
        begun to write keeps everybody else from it.
        """
        return self._rows_of(connection, self._for(connection).held_subjects, kind, ids)

    def _rows_of(
        self, connection: Connection, query: PreparedStatement, kind: str, ids: Sequence[str]
    ) -> Iterator[Any]:
        for chunk in chunks(ids):
            if connection.dialect.name == "postgresql":
                yield from query.execute(connection, {"kind": kind, "ids": list(chunk)}).all()
            elif "".join(chunk).isprintable():
                yield from query.execute(
                    connection, {"kind": kind, "ids": orjson.dumps(chunk).decode()}
                ).all()
            else:  # JSON does not carry every text to SQLite and back
                yield from connection.execute(
                    self._any_subjects, {"kind": kind, "ids": list(chunk)}
                ).all()

    def insert_subjects(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> bool:
        """Insert subject keys, skipping conflicts.

        Returns:
            False if another process inserted any of them first.
        """
        insert = self._for(connection).new_subjects
        return sum(insert.execute_many(connection, chunk) for chunk in chunks(rows)) == len(rows)

    @staticmethod
    def _insert(connection: Connection, table: Table) -> Any:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        return dialect.insert(table)

    def subjects_held_by(
        self, connection: Connection, kind: str, holder: str, *, after: str
    ) -> list[str]:
        """The next portion of identifiers whose keys a holder's key wraps."""
        return self._portion(connection, kind, self.subjects.c.holder == holder, after)

    def subjects_made_before(
        self, connection: Connection, kind: str, moment: dt.datetime, *, after: str
    ) -> list[str]:
        """The next portion of identifiers whose keys were made before a moment."""
        return self._portion(connection, kind, self.subjects.c.made_at < moment, after)

    def _portion(self, connection: Connection, kind: str, condition: Any, after: str) -> list[str]:
        columns = self.subjects.c
        query = (
            select(columns.subject)
            .where(
                columns.kind == kind,
                columns.subject > after,
                columns.wrapped.is_not(None),
                condition,
            )
            .distinct()
            .order_by(columns.subject)
            .limit(CHUNK)
        )
        return list(connection.execute(query).scalars())

    def delete_subjects(self, connection: Connection, kind: str, ids: Sequence[str]) -> None:
        """Delete every version of some keys, without a tombstone."""
        columns = self.subjects.c
        for chunk in chunks(ids):
            connection.execute(
                delete(self.subjects).where(columns.kind == kind, columns.subject.in_(list(chunk)))
            )

    def mark_subject_erased(
        self, connection: Connection, kind: str, subject_id: str, holder: str, now: dt.datetime
    ) -> None:
        """Destroy every version of a subject's key and leave a tombstone, also for one that never
        had a key.

        Whoever renews the key meanwhile is waited for, so that the renewed one is destroyed too.
        """
        columns = self.subjects.c
        self.lock_subjects(connection, kind, [subject_id])
        erased: CursorResult[Any] = connection.execute(
            update(self.subjects)
            .where(columns.kind == kind, columns.subject == subject_id)
            .values(wrapped=null(), erased_at=func.coalesce(columns.erased_at, now))
        )
        if not erased.rowcount:
            tombstone = {
                "kind": kind,
                "subject": subject_id,
                "version": 1,
                "holder": holder,
                "epoch": 0,
                "wrapped": None,
            }
            connection.execute(
                self._insert(connection, self.subjects)
                .values(**tombstone, client=None, made_at=now, erased_at=now)
                .on_conflict_do_nothing()
            )

    def rename_tombstone(
        self, connection: Connection, kind: str, subject_id: str, name: str
    ) -> None:
        """Let a tombstone stand under another name, in the place of every version of a key."""
        columns = self.subjects.c
        of_subject = select(columns.holder, columns.made_at, columns.erased_at).where(
            columns.kind == kind, columns.subject == subject_id
        )
        found = connection.execute(of_subject.order_by(columns.version)).first()
        if found is None:
            return
        self.delete_subjects(connection, kind, [subject_id])
        tombstone = {"kind": kind, "subject": name, "version": 1, "epoch": 0, "wrapped": None}
        connection.execute(
            self._insert(connection, self.subjects)
            .values(**tombstone, client=None, **found._mapping)
            .on_conflict_do_nothing()
        )

    def lock_subjects(self, connection: Connection, kind: str, ids: Sequence[str]) -> None:
        """Wait until nobody changes the keys of some subjects, and let nobody do it until the
        commit.
        """
        columns = self.subjects.c
        for chunk in chunks(ids):
            chosen = (columns.kind == kind, columns.subject.in_(list(chunk)))
            if connection.dialect.name == "sqlite":
                connection.execute(update(self.subjects).where(*chosen).values(epoch=columns.epoch))
            else:
                connection.execute(
                    select(columns.version)
                    .where(*chosen)
                    .order_by(columns.subject, columns.version)
                    .with_for_update()
                )

    def active_versions(self, connection: Connection, kind: str, subject_id: str) -> int:
        """How many keys of a subject still open something: neither they nor their client's key are
        destroyed.
        """
        subject, owner = self.subjects.c, self.clients.c
        joined = self.subjects.join(
            self.clients, and_(owner.client == subject.holder, owner.epoch == subject.epoch)
        )
        query = (
            select(func.count())
            .select_from(joined)
            .where(
                subject.kind == kind,
                subject.subject == subject_id,
                subject.wrapped.is_not(None),
                owner.wrapped.is_not(None),
            )
        )
        return int(connection.execute(query).scalar_one())

    # --- clients ---

    def client_rows(self, connection: Connection, client: str) -> list[Row[Any]]:
        """Rows (epoch, service, wrapped) of a client's keys, the newest first."""
        return list(self._for(connection).clients.execute(connection, {"client": client}).all())

    def held_client_rows(self, connection: Connection, client: str) -> list[Row[Any]]:
        """The same rows, which stay as they are until the commit where a write has begun."""
        if connection.dialect.name == "sqlite":  # its one writer keeps everybody else out
            return self.client_rows(connection, client)
        return self.locked_client_rows(connection, client)

    def locked_client_rows(self, connection: Connection, client: str) -> list[Row[Any]]:
        """The same rows, which stay as they are until the commit."""
        self._hold(connection, client)
        return list(
            connection.execute(
                self._client_query.with_for_update(read=True), {"client": client}
            ).all()
        )

    def lock_client(self, connection: Connection, client: str) -> None:
        """Wait until nobody makes keys for a client, and let nobody do it until the commit."""
        self._hold(connection, client)
        connection.execute(self._client_query.with_for_update(), {"client": client})

    def lock_all_clients(self, connection: Connection) -> None:
        """Wait until nobody makes or changes a client's key, and let nobody do it until the
        commit.
        """
        if connection.dialect.name == "sqlite":
            connection.execute(update(self.clients).values(epoch=self.clients.c.epoch))
        else:
            connection.execute(text(f"LOCK TABLE {self.clients.name} IN EXCLUSIVE MODE"))

    def _hold(self, connection: Connection, client: str) -> None:
        """SQLite has no row locks: a write that changes nothing makes this transaction its one
        writer.
        """
        if connection.dialect.name == "sqlite":
            columns = self.clients.c
            connection.execute(
                update(self.clients).where(columns.client == client).values(epoch=columns.epoch)
            )

    def insert_client(self, connection: Connection, values: dict[str, Any]) -> bool:
        """Insert an epoch of a client's key, unless another process was quicker: the first one's
        stays.
        """
        inserted: CursorResult[Any] = connection.execute(
            self._insert(connection, self.clients).values(**values).on_conflict_do_nothing()
        )
        return inserted.rowcount == 1

    def mark_client_erased(self, connection: Connection, client: str, now: dt.datetime) -> int:
        """Destroy every epoch of a client's key; returns how many there were."""
        columns = self.clients.c
        self.lock_client(connection, client)
        erased: CursorResult[Any] = connection.execute(
            update(self.clients)
            .where(columns.client == client, columns.wrapped.is_not(None))
            .values(wrapped=null(), destroyed_at=now)
        )
        if not self.client_rows(connection, client):
            tombstone = {
                "client": client,
                "epoch": 1,
                "service": "none",
                "wrapped": None,
                "destroyed_at": now,
            }
            self.insert_client(connection, {**tombstone, "made_at": now, "wrapped_at": now})
        return erased.rowcount

    def erased_clients(self, connection: Connection) -> list[tuple[str, dt.datetime]]:
        """The clients of whom no key is left, and since when."""
        columns = self.clients.c
        query = select(columns.client, func.max(columns.destroyed_at)).group_by(columns.client)
        rows = connection.execute(query.having(func.count(columns.wrapped) == 0)).all()
        return [(client, moment) for client, moment in rows]

    def has_other_burials(
        self,
        connection: Connection,
        since: dt.datetime | None,
        *,
        subject: tuple[str, str] | None,
        client: str | None,
    ) -> bool:
        """Whether anybody but a subject, or a client and its subjects, was erased since a
        moment.
        """
        columns = self.subjects.c
        query = select(columns.subject).where(columns.erased_at.is_not(None)).limit(1)
        if since is not None:
            query = query.where(columns.erased_at > since)
        if subject is not None:
            query = query.where((columns.kind != subject[0]) | (columns.subject != subject[1]))
        if client is not None:
            query = query.where(columns.holder != client)
        if connection.execute(query).first() is not None:
            return True
        return any(
            other != client and (since is None or moment > since)
            for other, moment in self.erased_clients(connection)
        )

    def last_burial(self, connection: Connection) -> dt.datetime | None:
        """The time of the newest tombstone."""
        erased_at = self.subjects.c.erased_at
        moments = [
            connection.execute(select(func.max(erased_at)).where(erased_at.is_not(None))).scalar()
        ]
        moments += [moment for _, moment in self.erased_clients(connection)]
        return max((moment for moment in moments if moment is not None), default=None)


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Items in portions that fit into one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def active(rows: Iterable[Any]) -> Iterator[Any]:
    """Those rows whose key was not destroyed."""
    return (row for row in rows if row.wrapped is not None)


def _subject_insert(table: Table, dialect: Dialect) -> PreparedStatement:
    """The INSERT of new subject keys; conflicts are skipped."""
    insert: Any = (postgresql if dialect.name == "postgresql" else sqlite).insert(table)
    return PreparedStatement(
        insert.on_conflict_do_nothing(),
        dialect,
        names=SUBJECT_KEY,
        types={"made_at": table.c.made_at.type},
    )


def _subject_rows(table: Table) -> Select[*tuple[Any, ...]]:
    columns = table.c
    return (
        select(
            columns.subject,
            columns.version,
            columns.holder,
            columns.client,
            columns.epoch,
            columns.wrapped,
        )
        .where(columns.kind == bindparam("kind"))
        .order_by(columns.subject, columns.version)
    )


def _prepared_for_ids(
    table: Table, query: Select[*tuple[Any, ...]], dialect: Dialect
) -> PreparedStatement:
    """A query for many subjects, whose identifiers are one parameter: of SQLite a JSON text, of
    PostgreSQL an array.
    """
    columns = table.c
    if dialect.name == "postgresql":
        is_requested = columns.subject == any_(bindparam("ids", type_=postgresql.ARRAY(String)))
        return PreparedStatement(query.where(is_requested), dialect)
    listed = func.json_each(bindparam("ids", type_=String)).table_valued("value")
    return PreparedStatement(query.where(columns.subject.in_(select(listed.c.value))), dialect)


def _client_query(table: Table) -> Select[*tuple[Any, ...]]:
    columns = table.c
    return (
        select(columns.epoch, columns.service, columns.wrapped)
        .where(columns.client == bindparam("client"))
        .order_by(columns.epoch.desc())
    )
