"""Transactions on the key table, wherever it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from ..crypto.cache import KeyCache
from ..crypto.keys import SubjectKey
from .client_keys import ClientKeys
from .key_table import KeyTable
from .transaction import DESTROYED, FRESH, TransactionKeys


class KeyTransactions:
    """Transactions on the key table: the session's own, or one of its own where keys have a
    database of their own.

    Keys reach the process-wide caches only when no rollback can take them back any more.

    Args:
        table: The key table.
        clients: Caches keys of clients.
        caches: Keys of subjects, by kind.
        engine: Of the key table's own database; None where it shares the data's.
    """

    def __init__(
        self,
        table: KeyTable,
        clients: ClientKeys,
        caches: Mapping[str, KeyCache[str, SubjectKey]],
        engine: Callable[[], Engine] | None,
    ) -> None:
        self._table = table
        self._clients = clients
        self._caches = caches
        self._engine = engine

    def __repr__(self) -> str:
        return "<KeyTransactions>"

    @property
    def share_the_data(self) -> bool:
        """Whether keys stand in the data's database, so that one transaction changes both."""
        return self._engine is None

    def engine_of(self, session: Session) -> Engine | Connection:
        """Where the key table stands."""
        return self._engine() if self._engine else session.get_bind(clause=self._table.subjects)

    @contextmanager
    def reading(self, session: Session) -> Iterator[tuple[Connection, TransactionKeys]]:
        """A transaction that makes no keys."""
        scope = TransactionKeys(is_fresh=False)
        if self._engine is not None:
            with self._engine().begin() as connection:
                yield connection, scope
            self._publish(scope)
        elif FRESH in session.info:
            yield self._connection_of(session), session.info[FRESH]
        else:
            yield self._connection_of(session), scope
            self._publish(scope)

    @contextmanager
    def writing(self, session: Session) -> Iterator[tuple[Connection, TransactionKeys]]:
        """One that makes or changes keys: until a session's own ends, it alone has them.

        In a database of their own, a key is on disk before the row that needs it: a crash leaves a
        key without a row, never the reverse.
        """
        if self._engine is not None:
            scope = TransactionKeys(is_fresh=True)
            with self._engine().begin() as connection:
                yield connection, scope
            self._publish(scope)
        else:
            scope = session.info.setdefault(FRESH, TransactionKeys(is_fresh=True))
            yield self._connection_of(session), scope

    def forget_destroyed(self, session: Session, forget: Callable[[], None]) -> None:
        """Forget what was destroyed, now and when the session's transaction ends, whoever cached
        it meanwhile.
        """
        forget()
        session.info.setdefault(DESTROYED, []).append(forget)

    def forget_all(self, kind: str, ids: Iterable[str]) -> None:
        """Read some keys from the table at the next use."""
        self._caches[kind].forget_all(ids)

    def _connection_of(self, session: Session) -> Connection:
        return session.connection(bind_arguments={"clause": self._table.subjects})

    def _publish(self, scope: TransactionKeys) -> None:
        self._clients.keep(scope)
        for kind, keys in scope.subjects.items():
            self._caches[kind].put_all(keys)
