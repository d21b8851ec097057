"""The keys of subjects as rows of their table: wrapped by their holder's key, and unwrapped."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection

from ..crypto.keys import ClientKey, SubjectKey
from ..errors import KeyLost, SubjectErased
from .client_keys import ClientKeys
from .key_table import KeyTable
from .transaction import TransactionKeys

EpochKey = Callable[[Connection, TransactionKeys, str, int], ClientKey | None]
"""Returns the key of an epoch of a holder, or None where its rows are left out."""


class SubjectKeys:
    """Wraps and unwraps keys of subjects.

    Args:
        table: The key table.
        clients: The keys of their holders.
        randomness: Returns so many random bytes.
    """

    def __init__(
        self, table: KeyTable, clients: ClientKeys, *, randomness: Callable[[int], bytes]
    ) -> None:
        self._table = table
        self.clients = clients
        self._randomness = randomness

    def __repr__(self) -> str:
        return "<SubjectKeys>"

    def wrapped_row(
        self,
        owner: ClientKey,
        material: bytes,
        kind: str,
        subject_id: str,
        client: str | None,
        *,
        version: int,
        made_at: dt.datetime,
    ) -> dict[str, Any]:
        """A row of the key table for a subject's key, wrapped by its holder's."""
        name = bound_name(kind, subject_id, client)
        return {
            "kind": kind,
            "subject": subject_id,
            "version": version,
            "holder": owner.client,
            "client": client,
            "epoch": owner.epoch,
            "wrapped": owner.wrap(
                material, subject=name, version=version, randomness=self._randomness
            ),
            "made_at": made_at,
        }

    def unwrapped(
        self,
        connection: Connection,
        scope: TransactionKeys,
        kind: str,
        rows: Iterable[Any],
        cached: dict[str, SubjectKey],
    ) -> dict[str, SubjectKey]:
        """The keys in rows of the key table, by subject; tombstones and subjects of an erased
        client are left out.

        A rotation may have moved a row to another epoch after it was read: it is read again, once.

        Raises:
            KeyLost: The key of a row's holder is not there.
        """
        keys, moved = self._unwrapped(connection, scope, kind, rows, cached, self._present_epoch)
        if moved:
            rows_now = self._table.subject_rows(connection, kind, moved)
            keys.update(self._unwrapped(connection, scope, kind, rows_now, {}, self._epoch)[0])
        scope.subjects[kind].update(keys)
        return keys

    def _unwrapped(
        self,
        connection: Connection,
        scope: TransactionKeys,
        kind: str,
        rows: Iterable[Any],
        cached: dict[str, SubjectKey],
        epoch_key: EpochKey,
    ) -> tuple[dict[str, SubjectKey], list[str]]:
        """The keys by subject, and the subjects of rows whose holder's key was left out."""
        owners: dict[tuple[str, int], ClientKey | None] = {}
        keys: dict[str, SubjectKey] = {}
        left_out: list[str] = []
        for subject_id, version, holder, client, epoch, wrapped in rows:
            if wrapped is None:
                continue
            name = (holder, epoch)
            if name not in owners:
                owners[name] = epoch_key(connection, scope, holder, epoch)
            owner = owners[name]
            if owner is None:
                left_out.append(subject_id)
                continue
            known = cached.get(subject_id) if cached else None
            key = known.at(version) if known is not None else None
            if key is None:
                bound_to = bound_name(kind, subject_id, client)
                key = owner.unwrap(wrapped, subject=bound_to, version=version, client=client or "")
            older = keys.get(subject_id)
            if older is not None or key.older is not None:
                key = key.after(older)
            keys[subject_id] = key
        return keys, left_out

    def _epoch(
        self, connection: Connection, scope: TransactionKeys, holder: str, epoch: int
    ) -> ClientKey | None:
        """The key of an epoch; None where the client is erased."""
        try:
            return self.clients.of_epoch(connection, holder, epoch, scope)
        except SubjectErased:
            return None

    def _present_epoch(
        self, connection: Connection, scope: TransactionKeys, holder: str, epoch: int
    ) -> ClientKey | None:
        """The same; None also where there is no such epoch, because a rotation went by."""
        try:
            return self._epoch(connection, scope, holder, epoch)
        except KeyLost:
            return None


def bound_name(kind: str, subject_id: str, client: str | None) -> str:
    """What a wrapped subject key is bound to, besides its client's key and its version."""
    return f"{kind}\x00{subject_id}\x00{client or ''}"
