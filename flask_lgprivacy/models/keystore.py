"""The key table: keys of many subjects in one query, made in batches, destroyed one by one."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, bindparam, insert, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, SessionTransaction

from ..errors import KeyLost, SubjectErased
from ..vault import (
    PUBLISHER,
    ClientKey,
    KeyCache,
    KeyProvider,
    SubjectKey,
    new_client_material,
    new_subject_material,
    unwrap_client_key,
    wrap_client_material,
)
from .opening import SubjectName
from .tables import Tables

CHUNK = 500
FRESH = "lgprivacy_fresh_keys"
"""Where a session keeps the keys of a transaction that made some: until it commits, no other transaction may use them."""

OPENERS = "lgprivacy_openers"
"""The processings that made keys in a session, so that a rollback reaches what they hold."""
DESTROYED = "lgprivacy_destroyed"
"""Subjects whose key a session destroyed: forgotten once more when its transaction ends, whoever cached them meanwhile."""


class _Scope:
    """Client and subject keys seen in one transaction."""

    __slots__ = ("clients", "subjects")

    def __init__(self) -> None:
        self.clients: dict[tuple[str, int | None], ClientKey] = {}
        self.subjects: dict[SubjectName, SubjectKey] = {}

    def clear(self) -> None:
        """Forget what a rollback took back."""
        self.clients.clear()
        self.subjects.clear()

    def __repr__(self) -> str:
        return "<keys of a transaction>"


class KeyStore:
    """Keys of clients and subjects in their table.

    Parameters: `provider` holds the root key; `engine` of the key table's own database, or None where it shares the
    data's; `cache_size` and `cache_seconds` bound how many unwrapped keys a process holds, and how long; `randomness`
    and `utcnow` are the world's.
    """

    def __init__(
        self,
        tables: Tables,
        provider: KeyProvider,
        *,
        engine: Callable[[], Engine] | None,
        cache_size: int,
        cache_seconds: float,
        randomness: Callable[[int], bytes],
        utcnow: Callable[[], dt.datetime],
    ) -> None:
        self._subjects: Table = tables.subject_key
        self._clients: Table = tables.client_key
        self._select_subjects = _select_subjects(tables.subject_key)
        self._select_client = _select_client(tables.client_key)
        self._provider = provider
        self._engine = engine
        self._randomness = randomness
        self._utcnow = utcnow
        self._client_cache: KeyCache[str, ClientKey] = KeyCache(
            size=cache_size, seconds=cache_seconds, clock=time.monotonic
        )
        self._cache: KeyCache[SubjectName, SubjectKey] = KeyCache(
            size=cache_size, seconds=cache_seconds, clock=time.monotonic
        )

    def __repr__(self) -> str:
        return "<KeyStore>"

    def load(self, session: Session, kind: str, ids: Iterable[str]) -> dict[SubjectName, SubjectKey]:
        """The keys of living subjects among `ids`; who is absent has a tombstone or no key (see `is_erased`)."""
        found, missing = self._cache.get_all((kind, one) for one in ids)
        if missing:
            with self._transaction(session) as (connection, scope):
                rows = self._rows(connection, kind, [one for _, one in missing])
                found.update(self._unwrapped(connection, scope, kind, rows))
        return found

    def is_alive(self, session: Session, kind: str, one: str) -> bool:
        """Whether the table, not a cache, still has a key that opens a subject's records."""
        with self._transaction(session) as (connection, _):
            return any(row.wrapped is not None for row in self._rows(connection, kind, [one]))

    def is_erased(self, session: Session, kind: str, one: str) -> bool:
        """Whether a tombstone stands for a subject."""
        with self._transaction(session) as (connection, _):
            return any(row.wrapped is None for row in self._rows(connection, kind, [one]))

    def create(
        self, session: Session, kind: str, subjects: dict[str, str | None], *, held_by_client: bool
    ) -> dict[SubjectName, SubjectKey]:
        """Make keys for subjects (id to client) that have none; raises `SubjectErased` for one with a tombstone."""
        for one in subjects:
            self._cache.forget((kind, one))
        with self._transaction(session, writing=True) as (connection, scope):
            scope.clients.clear()
            existing = self._rows(connection, kind, list(subjects))
            if any(row.wrapped is None for row in existing):
                raise SubjectErased
            made = self._unwrapped(connection, scope, kind, existing)
            new_rows = []
            for one, client in subjects.items():
                if (kind, one) not in made:
                    holder = client if held_by_client and client else PUBLISHER
                    new_rows.append(self._new_row(self._client_key(connection, scope, holder), made, kind, one, client))
            for chunk in _chunks(new_rows):
                connection.execute(insert(self._subjects), list(chunk))
        return made

    def destroy(self, session: Session, kind: str, one: str) -> None:
        """Destroy a subject's keys and leave a tombstone; what was sealed under them opens for nobody."""
        self._cache.forget((kind, one))
        with self._transaction(session) as (connection, _):
            connection.execute(
                update(self._subjects)
                .where(self._subjects.c.kind == kind, self._subjects.c.subject == one)
                .values(wrapped=None, erased_at=self._utcnow())
            )
        self._cache.forget((kind, one))
        session.info.setdefault(DESTROYED, []).append((self._cache, (kind, one)))

    def index_key(self, session: Session, holder: str) -> bytes:
        """The key of a holder's blind indexes."""
        known = self._client_cache.get(holder)
        if known is not None:
            return known.index_key
        with self._transaction(session, writing=True) as (connection, scope):
            return self._client_key(connection, scope, holder).index_key

    def has_keys(self, engine: Engine) -> bool:
        """Whether there are wrapped client keys, which only the root key that wrapped them opens."""
        if not inspect(engine).has_table(self._clients.name):
            return False
        with engine.connect() as connection:
            return connection.execute(select(self._clients.c.client).limit(1)).first() is not None

    def publisher_secret(self, session: Session) -> bytes:
        """The publisher's secret for naming actors who are no data subjects; committed before its first use."""
        if self._client_cache.get(PUBLISHER) is None:
            engine = self._engine() if self._engine else session.get_bind(clause=self._subjects)
            if isinstance(engine, Engine):
                with engine.begin() as connection:
                    if self._client_row(connection, PUBLISHER, None) is None:
                        self._insert_client(connection, PUBLISHER)
        return self.index_key(session, PUBLISHER)

    def forget_all(self) -> None:
        """Let go of every unwrapped key; the next use reads the key table."""
        self._cache.clear()
        self._client_cache.clear()

    def transaction_ended(self, session: Session, transaction: SessionTransaction) -> None:
        """Let go of the keys that a session's outermost transaction made."""
        if transaction.parent is None:
            session.info.pop(FRESH, None)
            for cache, name in session.info.pop(DESTROYED, ()):
                cache.forget(name)

    def rolled_back(self, session: Session, _transaction: SessionTransaction) -> None:
        """Forget keys that a rollback, be it to a savepoint, may have taken back; the table is read again."""
        scope = session.info.get(FRESH)
        if scope is not None:
            scope.clear()
        for opener in session.info.get(OPENERS, ()):
            opener.forget_keys()

    # --- inside ---

    @contextmanager
    def _transaction(self, session: Session, *, writing: bool = False) -> Iterator[tuple[Connection, _Scope]]:
        """The session's own transaction, or one of its own where keys have a database of their own.

        There a key is on disk before the row that needs it: a crash leaves a key without a row, never the reverse. Keys reach the
        process-wide caches only when no rollback can take them back any more.
        """
        if self._engine is not None:
            scope = _Scope()
            with self._engine().begin() as connection:
                yield connection, scope
            self._publish(scope)
            return
        shared = session.info.setdefault(FRESH, _Scope()) if writing else session.info.get(FRESH)
        scope = shared or _Scope()
        yield session.connection(bind_arguments={"clause": self._subjects}), scope
        if shared is None:
            self._publish(scope)

    def _publish(self, scope: _Scope) -> None:
        self._client_cache.put_all((holder, key) for (holder, epoch), key in scope.clients.items() if epoch is None)
        self._cache.put_all(scope.subjects.items())

    def _client_key(self, connection: Connection, scope: _Scope, holder: str, epoch: int | None = None) -> ClientKey:
        """The key of a client, or of the publisher; made at first need."""
        known = scope.clients.get((holder, epoch)) or self._client_cache.get(holder)
        if known is not None and epoch in (None, known.epoch):
            return known
        row = self._client_row(connection, holder, epoch)
        if row is None and epoch is None:
            self._insert_client(connection, holder)
            row = self._client_row(connection, holder, None)
        if row is None:
            raise KeyLost
        if row.wrapped is None:
            raise SubjectErased
        key = unwrap_client_key(self._provider, holder, row.epoch, row.wrapped)
        scope.clients[holder, epoch] = key
        return key

    def _rows(self, connection: Connection, kind: str, ids: Sequence[str]) -> list[Any]:
        rows: list[Any] = []
        for chunk in _chunks(ids):
            rows += connection.execute(self._select_subjects, {"kind": kind, "ids": list(chunk)}).all()
        return rows

    def _unwrapped(
        self, connection: Connection, scope: _Scope, kind: str, rows: Iterable[Any]
    ) -> dict[SubjectName, SubjectKey]:
        """The keys in rows of the key table, by subject; tombstones are left out."""
        holders: dict[tuple[str, int], ClientKey] = {}
        keys: dict[SubjectName, SubjectKey] = {}
        for one, version, holder, client, epoch, wrapped in rows:
            if wrapped is None:
                continue
            owner = holders.get((holder, epoch))
            if owner is None:
                owner = holders[holder, epoch] = self._client_key(connection, scope, holder, epoch)
            keys[kind, one] = owner.unwrap(
                wrapped, subject=_bound_name(kind, one, client), version=version, client=client or ""
            )
        scope.subjects.update(keys)
        return keys

    def _new_row(
        self, owner: ClientKey, made: dict[SubjectName, SubjectKey], kind: str, one: str, client: str | None
    ) -> dict[str, Any]:
        material = new_subject_material(self._randomness)
        made[kind, one] = SubjectKey(client or "", 1, material)
        name = _bound_name(kind, one, client)
        wrapped = owner.wrap(material, subject=name, version=1, randomness=self._randomness)
        return {
            "kind": kind,
            "subject": one,
            "version": 1,
            "holder": owner.client,
            "client": client,
            "epoch": owner.epoch,
            "wrapped": wrapped,
        }

    def _client_row(self, connection: Connection, holder: str, epoch: int | None) -> Any:
        rows = connection.execute(self._select_client, {"client": holder}).all()
        return next((row for row in rows if epoch in (None, row.epoch)), None)

    def _insert_client(self, connection: Connection, holder: str) -> None:
        """Two processes may do this at once; the first one's key stays."""
        wrapped = wrap_client_material(self._provider, holder, 1, new_client_material(self._randomness))
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(
            dialect.insert(self._clients).values(client=holder, epoch=1, wrapped=wrapped).on_conflict_do_nothing()
        )


def _select_subjects(table: Table) -> Select[*tuple[Any, ...]]:
    columns = table.c
    return (
        select(columns.subject, columns.version, columns.holder, columns.client, columns.epoch, columns.wrapped)
        .where(columns.kind == bindparam("kind"), columns.subject.in_(bindparam("ids", expanding=True)))
        .order_by(columns.version)
    )


def _select_client(table: Table) -> Select[*tuple[Any, ...]]:
    columns = table.c
    return (
        select(columns.epoch, columns.wrapped)
        .where(columns.client == bindparam("client"))
        .order_by(columns.epoch.desc())
    )


def _bound_name(kind: str, one: str, client: str | None) -> str:
    return f"{kind}\x00{one}\x00{client or ''}"


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
