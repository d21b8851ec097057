"""The key store: keys of many subjects in one query, made in batches, unwrapped once and kept
within bounds, destroyed.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, inspect, select
from sqlalchemy.orm import Session

from ..crypto.cache import KeyCache
from ..crypto.keys import PUBLISHER, ClientKey, SubjectKey, new_subject_material
from ..crypto.providers.pool import KeyProviders
from ..database.identifiers import SubjectRef
from ..database.tables import Tables
from ..errors import RequestInvalid, SubjectErased
from .client_keys import ClientKeys
from .erased_names import KEY_KIND, KEY_NAME, ErasedNames
from .key_table import KeyTable, active, chunks
from .key_transactions import KeyTransactions
from .record_keys import RecordKeys
from .subject_keys import SubjectKeys
from .transaction import EpochName, TransactionKeys


class KeyStore:
    """Keys of clients and subjects in their table.

    Args:
        tables: The extension's.
        services: Hold the root keys.
        engine: Of the key table's own database; None where it shares the data's.
        cache_size: Unwrapped keys of each kind of subject that a process holds at most.
        cache_seconds: How long a process holds them.
        randomness: Returns so many random bytes.
        utcnow: Returns the time in UTC.
    """

    def __init__(
        self,
        tables: Tables,
        services: KeyProviders,
        *,
        engine: Callable[[], Engine] | None,
        cache_size: int,
        cache_seconds: float,
        randomness: Callable[[int], bytes],
        utcnow: Callable[[], dt.datetime],
    ) -> None:
        self.table = KeyTable(tables)
        self.randomness = randomness
        self.utcnow = utcnow
        self.cache_seconds = cache_seconds
        cache: KeyCache[EpochName, ClientKey] = KeyCache(
            size=cache_size, seconds=cache_seconds, clock=time.monotonic
        )
        self.clients = ClientKeys(self.table, services, cache, randomness=randomness, utcnow=utcnow)
        self.subjects = SubjectKeys(self.table, self.clients, randomness=randomness)
        self._caches: defaultdict[str, KeyCache[str, SubjectKey]] = defaultdict(
            lambda: KeyCache(size=cache_size, seconds=cache_seconds, clock=time.monotonic)
        )
        self._transactions = KeyTransactions(self.table, self.clients, self._caches, engine)
        self.erased_names = ErasedNames(self.load, self._names_key)
        self.records = RecordKeys(
            self.table, self.subjects, self._transactions, randomness=randomness, utcnow=utcnow
        )

    def __repr__(self) -> str:
        return "<KeyStore>"

    # --- keys of subjects ---

    def cached(self, kind: str, subject_id: str) -> SubjectKey | None:
        """The key of a subject, where this process holds it."""
        return self._caches[kind].get(subject_id)

    def load(self, session: Session, kind: str, ids: Iterable[str]) -> dict[str, SubjectKey]:
        """The keys of living subjects; who is absent has a tombstone or no key (see `is_erased`).

        Args:
            session: On the data.
            kind: Of subject.
            ids: Identifiers of subjects.
        """
        requested = list(ids)
        cached = self._caches[kind].get_all(requested)
        missing = [subject_id for subject_id in requested if subject_id not in cached]
        if not missing:
            return cached
        return {**cached, **self._read(session, kind, missing, {})}

    def load_for_writing(
        self, session: Session, kind: str, ids: Iterable[str]
    ) -> dict[str, SubjectKey]:
        """The same as the table has them now, whatever is cached, so that nothing is sealed under
        a key that was destroyed or renewed meanwhile.
        """
        requested = list(ids)
        if not requested:
            return {}
        return self._read(session, kind, requested, self._caches[kind].get_all(requested))

    def _read(
        self, session: Session, kind: str, ids: list[str], cached: dict[str, SubjectKey]
    ) -> dict[str, SubjectKey]:
        with self._transactions.reading(session) as (connection, scope):
            rows = self.table.subject_rows(connection, kind, ids)
            return self.subjects.unwrapped(connection, scope, kind, rows, cached)

    @property
    def shares_the_data(self) -> bool:
        """Whether keys stand in the data's database, so that one transaction changes both."""
        return self._transactions.share_the_data

    def are_alive(
        self, session: Session, kind: str, ids: Sequence[str], holders: Iterable[str]
    ) -> bool:
        """Whether the table has a key of each of some subjects, and of each of some clients.

        Where keys share the data's transaction, they stay until it ends: whoever destroys one
        waits.
        """
        with self._transactions.reading(session) as (connection, _):
            table = self.table
            if self.shares_the_data:
                subject_rows, client_rows = table.held_subject_rows, table.held_client_rows
            else:
                subject_rows, client_rows = table.subject_rows, table.client_rows
            rows = list(subject_rows(connection, kind, ids))
            alive = {row.subject for row in rows if row.wrapped is not None}
            if not alive.issuperset(ids):
                return False
            holder_ids = {*holders, *(row.holder for row in rows)}
            return all(
                any(active(client_rows(connection, holder))) for holder in sorted(holder_ids)
            )

    def any_erased(self, session: Session, kind: str, ids: Sequence[str]) -> bool:
        """Whether a tombstone stands for any of some subjects, as a connection of its own
        sees it.
        """
        engine = self._transactions.engine_of(session)
        if not isinstance(engine, Engine):
            return False
        names = self.erased_names.of(session, kind, ids)
        asked = [*ids, *names.values()]
        with engine.connect() as connection:
            return any(
                row.wrapped is None for row in self.table.subject_rows(connection, kind, asked)
            )

    def known(self, session: Session, kind: str, ids: Sequence[str]) -> set[str]:
        """Those of some identifiers that the table has, with a key or a tombstone."""
        with self._transactions.reading(session) as (connection, _):
            return {row.subject for row in self.table.subject_rows(connection, kind, ids)}

    def is_alive(self, session: Session, kind: str, subject_id: str) -> bool:
        """Whether the table, not a cache, still has a key that opens a subject's records."""
        with self._transactions.reading(session) as (connection, _):
            return self.table.active_versions(connection, kind, subject_id) > 0

    def is_erased(
        self, session: Session, kind: str, subject_id: str, *, client: str | None = None
    ) -> bool:
        """Whether a tombstone stands for a subject, for its holder or for `client`."""
        names = self.erased_names.of(session, kind, [subject_id])
        with self._transactions.reading(session) as (connection, _):
            asked = [subject_id, *names.values()]
            rows = list(self.table.subject_rows(connection, kind, asked))
            if any(row.wrapped is None for row in rows):
                return True
            holders = {row.holder for row in rows} | ({client} if client is not None else set())
            epochs_by_holder = [self.table.client_rows(connection, holder) for holder in holders]
            return any(epochs and not any(active(epochs)) for epochs in epochs_by_holder)

    def create(
        self,
        session: Session,
        kind: str,
        subjects: dict[str, str | None],
        holder_of: Callable[[str | None], str],
    ) -> dict[str, SubjectKey]:
        """Make keys for subjects that have none.

        Args:
            session: On the data.
            kind: Of subject.
            subjects: Identifier to client.
            holder_of: Returns whose key wraps those of a client's subjects.

        Raises:
            SubjectErased: A tombstone stands for one of them.
        """
        keys: dict[str, SubjectKey] = {}
        self._caches[kind].forget_all(subjects)
        names = self.erased_names.of(session, kind, subjects)
        with self._transactions.writing(session) as (connection, scope):
            scope.clients.clear()
            asked = [*subjects, *names.values()]
            existing = list(self.table.subject_rows(connection, kind, asked))
            if any(row.wrapped is None for row in existing):
                raise SubjectErased
            keys.update(self.subjects.unwrapped(connection, scope, kind, existing, {}))
            for chunk in chunks([subject_id for subject_id in subjects if subject_id not in keys]):
                clients = {subject_id: subjects[subject_id] for subject_id in chunk}
                keys.update(self._created(connection, scope, kind, clients, holder_of))
        return keys

    def _created(
        self,
        connection: Connection,
        scope: TransactionKeys,
        kind: str,
        subjects: dict[str, str | None],
        holder_of: Callable[[str | None], str],
    ) -> dict[str, SubjectKey]:
        """New keys for subjects that have none; where another process inserted one first,
        that key.
        """
        if PUBLISHER in subjects.values():
            raise RequestInvalid(
                f"{PUBLISHER!r} names the publisher's own key; give this client another identifier"
            )
        owners = {
            client: self.clients.current(connection, holder_of(client), scope)
            for client in set(subjects.values())
        }
        keys, rows, now = {}, [], self.utcnow()
        for subject_id, client in subjects.items():
            material = new_subject_material(self.randomness)
            keys[subject_id] = SubjectKey(client or "", 1, material)
            rows.append(
                self.subjects.wrapped_row(
                    owners[client], material, kind, subject_id, client, version=1, made_at=now
                )
            )
        if not self.table.insert_subjects(connection, rows):
            existing = list(self.table.subject_rows(connection, kind, list(subjects)))
            if any(row.wrapped is None for row in existing):
                raise SubjectErased
            keys.update(self.subjects.unwrapped(connection, scope, kind, existing, {}))
        return keys

    def lock(self, session: Session, kind: str, subject_id: str) -> None:
        """Wait for whoever writes under a subject's key in the data's transaction, and let nobody
        begin to until this one ends.
        """
        with self._transactions.reading(session) as (connection, _):
            self.table.lock_subjects(connection, kind, [subject_id])

    def destroy(
        self, session: Session, kind: str, subject_id: str, *, client: str | None = None
    ) -> None:
        """Destroy a subject's keys and leave a tombstone; what was sealed under them opens for
        nobody.
        """
        name = self.erased_names.given(session, kind, subject_id)
        with self._transactions.reading(session) as (connection, _):
            self.table.mark_subject_erased(
                connection, kind, subject_id, client or PUBLISHER, self.utcnow()
            )
            if name != subject_id:
                self.table.rename_tombstone(connection, kind, subject_id, name)
        self._transactions.forget_destroyed(session, lambda: self.forget(kind, subject_id))

    def _names_key(self, session: Session) -> SubjectKey:
        """The key behind the names of erased people."""
        created = self.create(session, KEY_KIND, {KEY_NAME: None}, lambda _: PUBLISHER)
        return created[KEY_NAME]

    def forget(self, kind: str, subject_id: str) -> None:
        """Read a subject's keys from the table at the next use."""
        self._caches[kind].forget(subject_id)

    # --- keys of clients ---

    def forget_client(self, client: str) -> None:
        """Read a client's keys, and those of its subjects, from the table at the next use."""
        self.clients.forget(client)
        for cache in list(self._caches.values()):
            cache.forget_where(lambda _, key: key.client == client)

    def destroy_client(self, session: Session, client: str) -> int:
        """Destroy a client's keys, however many subjects it has; returns how many epochs there
        were.

        Raises `RequestInvalid` for the publisher, whose key is not a client's.
        """
        if client == PUBLISHER:
            raise RequestInvalid(
                "the publisher's own key does not belong to a client; a request cannot erase it"
            )
        with self._transactions.reading(session) as (connection, _):
            erased = self.table.mark_client_erased(connection, client, self.utcnow())
        self._transactions.forget_destroyed(session, lambda: self.forget_client(client))
        return erased

    def index_key(self, session: Session, holder: str) -> bytes:
        """The key of a holder's blind indexes."""
        client_key = self.clients.cached(holder)
        if client_key is not None:
            return client_key.index_key
        with self._transactions.writing(session) as (connection, scope):
            return self.clients.current(connection, holder, scope).index_key

    def index_keys(self, session: Session, holder: str) -> tuple[bytes, ...]:
        """The keys under which a holder's blind indexes may stand, the newest first; several while
        they are rotated.

        None for a holder that has no key, of which there is nothing to find: asking makes no key.
        """
        with self._transactions.reading(session) as (connection, scope):
            rows = self.table.client_rows(connection, holder)
            if rows and not any(active(rows)):
                raise SubjectErased
            keys = [
                self.clients.of_epoch(connection, holder, row.epoch, scope).index_key
                for row in active(rows)
            ]
        return tuple(dict.fromkeys(keys))

    def publisher_secret(self, session: Session) -> bytes:
        """The publisher's secret for naming actors who are no data subjects; committed before its
        first use.
        """
        if self.clients.cached(PUBLISHER) is None:
            engine = self._transactions.engine_of(session)
            if isinstance(engine, Engine):
                with engine.begin() as connection:
                    if not self.table.client_rows(connection, PUBLISHER):
                        self.clients.make(connection, PUBLISHER)
                with engine.connect() as connection:
                    return self.clients.of_epoch(connection, PUBLISHER, None).index_key
        return self.index_key(session, PUBLISHER)

    def erased_clients(self, session: Session) -> list[str]:
        """The clients whose every key was destroyed."""
        with self._transactions.reading(session) as (connection, _):
            return [client for client, _ in self.table.erased_clients(connection)]

    def has_other_erasures(
        self,
        session: Session,
        since: dt.datetime | None,
        *,
        subject: SubjectRef | None = None,
        client: str | None = None,
    ) -> bool:
        """Whether anybody but this subject, or this client and its subjects, was erased since a
        moment.
        """
        if subject is not None:
            kind, subject_id = subject
            subject = kind, self.erased_names.given(session, kind, subject_id)
        with self._transactions.reading(session) as (connection, _):
            return self.table.has_other_burials(connection, since, subject=subject, client=client)

    def last_erasure(self, session: Session) -> dt.datetime | None:
        """When the last key of a subject or client was destroyed, as the key table says."""
        with self._transactions.reading(session) as (connection, _):
            return self.table.last_burial(connection)

    def has_keys(self, engine: Engine) -> bool:
        """Whether there are wrapped client keys, which only the root key that wrapped them
        opens.
        """
        if not inspect(engine).has_table(self.table.clients.name):
            return False
        with engine.connect() as connection:
            return (
                connection.execute(select(self.table.clients.c.client).limit(1)).first() is not None
            )

    # --- caches and transactions ---

    def forget_all(self) -> None:
        """Let go of every unwrapped key; the next use reads the key table."""
        for cache in list(self._caches.values()):
            cache.clear()
        self.clients.forget_all()

    def empty_log(self, session: Session) -> bool:
        """Empty SQLite's write-ahead log of the key table, where a destroyed key would stay; call
        it after the commit.

        Returns whether it is empty; where somebody reads for longer than the database waits, it is
        not.
        """
        engine = self._transactions.engine_of(session)
        if not isinstance(engine, Engine) or engine.dialect.name != "sqlite":
            return True
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
            return not alone.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()

    @contextmanager
    def connected(self, session: Session) -> Iterator[Connection]:
        """A connection to the key table: the session's own transaction, or one of its own,
        committed at the end.
        """
        with self._transactions.writing(session) as (connection, _):
            yield connection
