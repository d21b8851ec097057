"""Keys of the records in shared rows: each row has one, wrapped by the key of whoever holds its
owners' data.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from ..crypto.keys import SubjectKey, new_subject_material
from .key_table import KeyTable
from .key_transactions import KeyTransactions
from .subject_keys import SubjectKeys
from .transaction import AT_COMMIT, TransactionKeys

LEFT_ALONE = dt.timedelta(days=1)
"""A key that is younger may wait for the commit of its row."""


class RecordKeys:
    """Makes, keeps, moves and destroys keys of shared rows; `KeyStore` loads them as it does those
    of subjects.

    Args:
        table: The key table.
        subjects: Wraps keys, and unwraps them.
        transactions: On the key table.
        randomness: Returns so many random bytes.
        utcnow: Returns the time in UTC.
    """

    def __init__(
        self,
        table: KeyTable,
        subjects: SubjectKeys,
        transactions: KeyTransactions,
        *,
        randomness: Callable[[int], bytes],
        utcnow: Callable[[], dt.datetime],
    ) -> None:
        self._table = table
        self._subjects = subjects
        self._transactions = transactions
        self._randomness = randomness
        self._utcnow = utcnow

    def __repr__(self) -> str:
        return "<RecordKeys>"

    def new(self) -> SubjectKey:
        """A key for the records of one row, which is in no table yet."""
        return SubjectKey("", 1, new_subject_material(self._randomness))

    def keep(
        self, session: Session, kind: str, records: Mapping[str, tuple[SubjectKey, str]]
    ) -> None:
        """Keep keys of new rows, in the place of those of rows that were never committed.

        Args:
            session: On the data.
            kind: Of the table (`record_kind`).
            records: By the row's identifier, its key and whose key wraps it.
        """
        self._transactions.forget_all(kind, records)
        with self._transactions.writing(session) as (connection, scope):
            scope.clients.clear()
            self._insert(connection, scope, kind, records)
            scope.subjects[kind].update({row_id: key for row_id, (key, _) in records.items()})

    def destroy(self, session: Session, kind: str, row_ids: Sequence[str]) -> None:
        """Destroy the keys of rows that are gone, or go with the transaction."""
        with self._transactions.writing(session) as (connection, _):
            self._table.delete_subjects(connection, kind, row_ids)
        self._transactions.forget_destroyed(
            session, lambda: self._transactions.forget_all(kind, row_ids)
        )

    def destroy_at_commit(self, session: Session, kind: str, row_ids: Sequence[str]) -> None:
        """The same; where keys have a database of their own, when the rows are gone for good."""
        if self._transactions.share_the_data:
            self.destroy(session, kind, row_ids)
        else:
            session.info.setdefault(AT_COMMIT, []).append(
                lambda: self.destroy(session, kind, row_ids)
            )

    def held_by(self, session: Session, kind: str, holder: str) -> Iterator[list[str]]:
        """The identifiers of rows whose keys a holder's key wraps, in portions."""
        last = ""
        while True:
            with self._transactions.reading(session) as (connection, _):
                row_ids = self._table.subjects_held_by(connection, kind, holder, after=last)
            if not row_ids:
                return
            yield row_ids
            last = row_ids[-1]

    def move(self, session: Session, kind: str, holders: Mapping[str, str]) -> None:
        """Wrap the keys of rows by the keys of other holders, in the session's transaction.

        Args:
            session: On the data.
            kind: Of the table.
            holders: By the row's identifier, whose key wraps its own from now on.
        """
        self._transactions.forget_all(kind, holders)
        with self._transactions.writing(session) as (connection, scope):
            rows = list(self._table.held_subject_rows(connection, kind, list(holders)))
            keys = self._subjects.unwrapped(connection, scope, kind, rows, {})
            moved = {row_id: (key, holders[row_id]) for row_id, key in keys.items()}
            self._insert(connection, scope, kind, moved)

    def remove_orphans(
        self, session: Session, kind: str, present: Callable[[list[str]], set[str]]
    ) -> int:
        """Destroy keys whose rows are gone, and that are older than a day. Commits; returns how
        many.

        Args:
            session: On the data.
            kind: Of the table.
            present: Returns those of some identifiers that have a row.
        """
        last, removed = "", 0
        made_before = self._utcnow() - LEFT_ALONE
        while True:
            with self._transactions.reading(session) as (connection, _):
                row_ids = self._table.subjects_made_before(
                    connection, kind, made_before, after=last
                )
            if not row_ids:
                return removed
            there = present(row_ids)
            gone = [row_id for row_id in row_ids if row_id not in there]
            if gone:
                self.destroy(session, kind, gone)
            session.commit()
            removed += len(gone)
            last = row_ids[-1]

    def _insert(
        self,
        connection: Connection,
        scope: TransactionKeys,
        kind: str,
        records: Mapping[str, tuple[SubjectKey, str]],
    ) -> None:
        """Insert every version of some keys, in the place of what stands there."""
        clients = self._subjects.clients
        owners = {
            holder: clients.current(connection, holder, scope)
            for holder in {holder for _, holder in records.values()}
        }
        now = self._utcnow()
        rows = [
            self._subjects.wrapped_row(
                owners[holder],
                version.material,
                kind,
                row_id,
                None,
                version=version.version,
                made_at=now,
            )
            for row_id, (key, holder) in records.items()
            for version in key.versions()
        ]
        if not self._table.insert_subjects(connection, rows):
            self._table.delete_subjects(connection, kind, list(records))
            self._table.insert_subjects(connection, rows)
