"""The keys of clients in their table: created at first use, unwrapped once for all threads that
ask.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from sqlalchemy import Connection

from ..crypto.cache import KeyCache
from ..crypto.keys import ClientKey, new_client_material, unwrap_client_key, wrap_client_material
from ..crypto.providers.pool import KeyProviders
from ..crypto.single_flight import SingleFlight
from ..errors import KeyLost, SubjectErased
from .key_table import KeyTable, active
from .transaction import EpochName, TransactionKeys


class ClientKeys:
    """The keys of clients (key encryption keys); each wraps the keys of its subjects.

    Args:
        table: The key table.
        services: Hold the root keys.
        cache: Bounds what a process holds.
        randomness: Returns so many random bytes.
        utcnow: Returns the time in UTC.
    """

    def __init__(
        self,
        table: KeyTable,
        services: KeyProviders,
        cache: KeyCache[EpochName, ClientKey],
        *,
        randomness: Callable[[int], bytes],
        utcnow: Callable[[], dt.datetime],
    ) -> None:
        self.services = services
        self._table = table
        self._cache = cache
        self._randomness = randomness
        self._utcnow = utcnow
        self._unwrapping: SingleFlight[EpochName, ClientKey] = SingleFlight()

    def __repr__(self) -> str:
        return "<ClientKeys>"

    def current(
        self, connection: Connection, holder: str, scope: TransactionKeys | None = None
    ) -> ClientKey:
        """The newest epoch of a client, as the table says it now, made at first need; it stays
        until the commit.
        """
        rows = self._table.locked_client_rows(connection, holder)
        if not rows:
            self.make(connection, holder)
            rows = self._table.locked_client_rows(connection, holder)
        if rows[0].wrapped is None:
            raise SubjectErased
        return self.of_epoch(
            connection, holder, rows[0].epoch, scope or TransactionKeys(is_fresh=True)
        )

    def of_epoch(
        self,
        connection: Connection,
        holder: str,
        epoch: int | None,
        scope: TransactionKeys | None = None,
    ) -> ClientKey:
        """One epoch of a client's key that stands in the table, or the newest; raises `KeyLost`,
        `SubjectErased` or `KeyUnavailable`.

        It is cached where no rollback can take it back: outside a `scope` that may have made it.
        """
        name = (holder, epoch)
        cached = (scope.clients.get(name) if scope is not None else None) or self._cache.get(name)
        if cached is not None:
            return cached
        if scope is not None and scope.is_fresh:
            key = self._unwrapped(connection, holder, epoch)
        else:
            key = self._unwrapping.run(name, lambda: self._unwrapped(connection, holder, epoch))
            self._cache.put(name, key)
        if scope is not None:
            scope.clients[name] = key
        return key

    def make(self, connection: Connection, holder: str) -> None:
        """Make a client's first key."""
        self.insert_epoch(
            connection, holder, 1, self.services.default, new_client_material(self._randomness)
        )

    def insert_epoch(
        self, connection: Connection, holder: str, epoch: int, service: str, material: bytes
    ) -> bool:
        """Insert an epoch of a client's key, wrapped by a key service; False where it is there
        already.
        """
        wrapped = wrap_client_material(self.services.named(service), holder, epoch, material)
        now = self._utcnow()
        values = {"client": holder, "epoch": epoch, "service": service, "wrapped": wrapped}
        return self._table.insert_client(connection, {**values, "made_at": now, "wrapped_at": now})

    def cached(self, holder: str) -> ClientKey | None:
        """The newest key of a client, where this process holds it as such."""
        return self._cache.get((holder, None))

    def keep(self, scope: TransactionKeys) -> None:
        """Cache what a transaction saw that has ended well."""
        self._cache.put_all(scope.clients)

    def forget(self, client: str) -> None:
        """Read a client's keys from the table at the next use."""
        self._cache.forget_where(lambda name, _: name[0] == client)

    def forget_all(self) -> None:
        """Read every client's keys from the table at the next use."""
        self._cache.clear()

    def _unwrapped(self, connection: Connection, holder: str, epoch: int | None) -> ClientKey:
        rows = self._table.client_rows(connection, holder)
        if rows and not any(active(rows)):
            raise SubjectErased
        row = next((row for row in active(rows) if epoch in (None, row.epoch)), None)
        if row is None:
            raise KeyLost
        return unwrap_client_key(self.services.named(row.service), holder, row.epoch, row.wrapped)
