"""Rotation: root keys, client keys and subject keys are renewed online, in batches that a killed
run takes up again.

What was done stands in the rows themselves (epoch, version, times), so that there is no other state
to lose. Old keys are destroyed only when nothing stands under them any more.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, null, select, tuple_, update
from sqlalchemy.orm import Session

from ..crypto.keys import (
    ClientKey,
    SubjectKey,
    new_client_material,
    renewed_client_material,
    renewed_subject_material,
    unwrap_client_key,
    unwrap_client_material,
    wrap_client_material,
)
from ..database.tables import Tables
from ..errors import ConfigurationError, SealBroken
from ..keys.key_table import CHUNK, KeyTable, active
from ..keys.store import KeyStore
from ..keys.subject_keys import bound_name


class MaintenanceRuns:
    """When a rotation began, so that one that was killed is taken up and one that ended begins
    anew.
    """

    def __init__(self, tables: Tables, keys: KeyStore) -> None:
        self._rotations = tables.rotation
        self._keys = keys

    def begin(self, session: Session, operation: str) -> tuple[dt.datetime, bool]:
        """When the open run of `operation` began, opening one where there is none, and whether it
        was taken up.
        """
        columns = self._rotations.c
        now = self._keys.utcnow()
        with self._keys.connected(session) as connection:
            run = connection.execute(
                select(self._rotations).where(columns.operation == operation)
            ).first()
            if run is not None and run.ended_at is None:
                began = run.began_at
                return began, True
            if run is not None:
                connection.execute(delete(self._rotations).where(columns.operation == operation))
            connection.execute(self._rotations.insert().values(operation=operation, began_at=now))
        session.commit()
        return now, False

    def end(self, session: Session, operation: str) -> None:
        """Close the run of `operation`."""
        with self._keys.connected(session) as connection:
            connection.execute(
                update(self._rotations)
                .where(self._rotations.c.operation == operation)
                .values(ended_at=self._keys.utcnow())
            )
        session.commit()


class Rotation:
    """The rotations of one application; every method yields, batch by batch, how many rows it has
    done.
    """

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._table: KeyTable = keys.table

    # --- root keys: client keys are wrapped anew ---

    def count_client_keys(self, session: Session, *, before: dt.datetime) -> int:
        """How many living client keys were wrapped before a moment."""
        with self._keys.connected(session) as connection:
            return int(
                connection.execute(
                    select(func.count())
                    .select_from(self._table.clients)
                    .where(*self._wrapped(before))
                ).scalar_one()
            )

    def rewrap_client_keys(
        self, session: Session, *, before: dt.datetime, service: str | None = None
    ) -> Iterator[int]:
        """Wrap every client key anew that was wrapped before a moment, by its own key service; a
        provider's newest root wraps.
        """
        clients = self._table.clients.c
        query = select(clients.client, clients.epoch, clients.service, clients.wrapped).limit(CHUNK)
        while True:
            with self._keys.connected(session) as connection:
                rows = connection.execute(
                    query.where(*self._wrapped(before)).order_by(clients.client)
                ).all()
                for row in rows:
                    self._rewrap_client_key(connection, row, service or row.service)
            session.commit()
            if not rows:
                return
            yield len(rows)

    def move_client(self, session: Session, client: str, service: str) -> int:
        """Wrap a client's living keys by another key service: its own, or the publisher's again.
        Returns how many.
        """
        clients = self._table.clients.c
        query = select(clients.client, clients.epoch, clients.service, clients.wrapped)
        with self._keys.connected(session) as connection:
            rows = connection.execute(
                query.where(clients.client == client, clients.wrapped.is_not(None))
            ).all()
            for row in rows:
                self._rewrap_client_key(connection, row, service)
        session.commit()
        self._keys.forget_client(client)
        return len(rows)

    def _rewrap_client_key(self, connection: Connection, row: Any, service: str) -> None:
        clients = self._table.clients
        services = self._keys.clients.services
        material = unwrap_client_material(
            services.named(row.service), row.client, row.epoch, row.wrapped
        )
        wrapped = wrap_client_material(services.named(service), row.client, row.epoch, material)
        connection.execute(
            update(clients)
            .where(
                clients.c.client == row.client,
                clients.c.epoch == row.epoch,
                clients.c.wrapped == row.wrapped,
            )
            .values(service=service, wrapped=wrapped, wrapped_at=self._keys.utcnow())
        )

    def _wrapped(self, before: dt.datetime) -> tuple[Any, ...]:
        clients = self._table.clients.c
        return clients.wrapped.is_not(None), clients.wrapped_at < before

    # --- client keys: a new epoch, subject keys wrapped anew, the old epoch destroyed ---

    def clients_to_renew(self, session: Session, *, before: dt.datetime) -> list[str]:
        """The clients whose newest key was made before a moment, or that still have an older
        one.
        """
        clients = self._table.clients.c
        query = (
            select(clients.client)
            .where(clients.wrapped.is_not(None))
            .group_by(clients.client)
            .having((func.max(clients.made_at) < before) | (func.count() > 1))
            .order_by(clients.client)
        )
        with self._keys.connected(session) as connection:
            return list(connection.execute(query).scalars())

    def count_subject_keys(self, session: Session, client: str) -> int:
        """How many living subject keys a client's keys wrap."""
        subjects = self._table.subjects.c
        query = (
            select(func.count())
            .select_from(self._table.subjects)
            .where(subjects.holder == client, subjects.wrapped.is_not(None))
        )
        with self._keys.connected(session) as connection:
            return int(connection.execute(query).scalar_one())

    def renew_client(self, session: Session, client: str, *, before: dt.datetime) -> Iterator[int]:
        """Give a client a new key, wrap its subjects' keys under it and destroy the old one."""
        epoch = self.new_epoch(session, client, before=before)
        while epoch is not None:
            done = self._rewrap_subject_keys(session, client, epoch)
            if done:
                yield done
            elif self._destroy_older_epochs(session, client, epoch):
                return

    def new_epoch(self, session: Session, client: str, *, before: dt.datetime) -> int | None:
        """Make a client's next key, unless it was made since a moment; the key of its blind indexes
        stays.

        Returns the newest epoch, or None for a client without a living key.
        """
        randomness = self._keys.randomness
        return self._next_epoch(
            session, client, before, lambda key: renewed_client_material(key, randomness)
        )

    def new_epoch_with_index_key(
        self, session: Session, client: str, *, before: dt.datetime
    ) -> int | None:
        """The same, and the key of its blind indexes is renewed too."""
        randomness = self._keys.randomness
        return self._next_epoch(session, client, before, lambda _: new_client_material(randomness))

    def _next_epoch(
        self,
        session: Session,
        client: str,
        before: dt.datetime,
        renewed: Callable[[ClientKey], bytes],
    ) -> int | None:
        clients = self._table.clients.c
        with self._keys.connected(session) as connection:
            self._table.lock_client(connection, client)
            rows = self._table.client_rows(connection, client)
            newest = next(active(rows), None)
            if newest is None:
                return None
            is_older = select(clients.made_at < before).where(
                clients.client == client, clients.epoch == newest.epoch
            )
            epoch = int(newest.epoch)
            if connection.execute(is_older).scalar_one():
                key = unwrap_client_key(
                    self._keys.clients.services.named(newest.service), client, epoch, newest.wrapped
                )
                epoch = int(rows[0].epoch) + 1
                self._keys.clients.insert_epoch(
                    connection, client, epoch, newest.service, renewed(key)
                )
        session.commit()
        return epoch

    def _rewrap_subject_keys(self, session: Session, client: str, epoch: int) -> int:
        subjects = self._table.subjects.c
        with self._keys.connected(session) as connection:
            rows = connection.execute(
                select(self._table.subjects)
                .where(
                    subjects.holder == client, subjects.epoch < epoch, subjects.wrapped.is_not(None)
                )
                .limit(CHUNK)
            ).all()
            owners = {
                old_epoch: self._keys.clients.of_epoch(connection, client, old_epoch)
                for old_epoch in {row.epoch for row in rows}
            }
            newest = self._keys.clients.of_epoch(connection, client, epoch) if rows else None
            changed = []
            for row in rows:
                assert newest is not None  # noqa: S101  rows, so there is a key
                name = bound_name(row.kind, row.subject, row.client)
                key = self._opened(owners[row.epoch], row, name)
                wrapped = newest.wrap(
                    key.key + key.secret,
                    subject=name,
                    version=row.version,
                    randomness=self._keys.randomness,
                )
                changed.append(
                    {
                        "_kind": row.kind,
                        "_subject": row.subject,
                        "_version": row.version,
                        "_old": row.wrapped,
                        "_epoch": epoch,
                        "_new": wrapped,
                    }
                )
            if changed:
                connection.execute(self._replace_wrapped(), changed)
        session.commit()
        return len(changed)

    @staticmethod
    def _opened(owner: ClientKey, row: Any, name: str) -> SubjectKey:
        try:
            return owner.unwrap(
                row.wrapped, subject=name, version=row.version, client=row.client or ""
            )
        except SealBroken:
            raise ConfigurationError(
                f"the wrapped key of subject {row.subject} is damaged; restore its row of "
                "lgprivacy_subject_key from the "
                "backup of the key table, or have the subject erased; then run this again"
            ) from None

    def _replace_wrapped(self) -> Any:
        subjects = self._table.subjects.c
        return (
            update(self._table.subjects)
            .where(
                subjects.kind == bindparam("_kind"),
                subjects.subject == bindparam("_subject"),
                subjects.version == bindparam("_version"),
                subjects.wrapped == bindparam("_old"),
            )
            .values(epoch=bindparam("_epoch"), wrapped=bindparam("_new"))
        )

    def _destroy_older_epochs(self, session: Session, client: str, epoch: int) -> bool:
        """Destroy what came before an epoch, unless a key was wrapped under it meanwhile; whoever
        makes keys waits for this.
        """
        subjects, clients = self._table.subjects.c, self._table.clients.c
        with self._keys.connected(session) as connection:
            self._table.lock_client(connection, client)
            left = connection.execute(
                select(subjects.subject)
                .where(
                    subjects.holder == client, subjects.epoch < epoch, subjects.wrapped.is_not(None)
                )
                .limit(1)
            ).first()
            if left is None:
                connection.execute(
                    update(self._table.clients)
                    .where(
                        clients.client == client,
                        clients.epoch < epoch,
                        clients.wrapped.is_not(None),
                    )
                    .values(wrapped=null(), destroyed_at=self._keys.utcnow())
                )
        session.commit()
        self._keys.forget_client(client)
        return left is None

    # --- subject keys: a new version beside the old one, until every record stands under it ---

    def count_subjects(self, session: Session, *, before: dt.datetime) -> int:
        """How many living subjects have no key that was made since a moment."""
        with self._keys.connected(session) as connection:
            return int(
                connection.execute(
                    select(func.count()).select_from(self._oldest(before).subquery())
                ).scalar_one()
            )

    def renew_subjects(self, session: Session, *, before: dt.datetime) -> Iterator[int]:
        """Give every living subject a new key beside the one it has; its records are resealed after
        that.
        """
        subjects = self._table.subjects.c
        oldest, last = (
            self._oldest(before).order_by(subjects.kind, subjects.subject).limit(CHUNK),
            ("", ""),
        )
        while True:
            with self._keys.connected(session) as connection:
                rows = connection.execute(
                    oldest.where(tuple_(subjects.kind, subjects.subject) > last)
                ).all()
                owners = {
                    row.holder: self._keys.clients.current(connection, row.holder) for row in rows
                }
                newest_keys = self._newest_keys(connection, rows)
                self._table.insert_subjects(
                    connection,
                    [
                        self._renewed(connection, kind, key, owners[key.holder])
                        for kind, key in newest_keys
                    ],
                )
            session.commit()
            if not rows:
                return
            last = (rows[-1].kind, rows[-1].subject)
            yield len(rows)

    def _newest_keys(self, connection: Connection, rows: Sequence[Any]) -> list[tuple[str, Any]]:
        """The newest living key of each subject, held until the commit; who was erased meanwhile
        has none.
        """
        newest: dict[tuple[str, str], Any] = {}
        for kind in {row.kind for row in rows}:
            ids = [row.subject for row in rows if row.kind == kind]
            self._table.lock_subjects(connection, kind, ids)
            for key in self._table.subject_rows(connection, kind, ids):
                newest[kind, key.subject] = key
        return [(kind, key) for (kind, _), key in newest.items() if key.wrapped is not None]

    def _renewed(
        self, connection: Connection, kind: str, row: Any, owner: ClientKey
    ) -> dict[str, Any]:
        """The row of the next version of a subject's key."""
        name = bound_name(kind, row.subject, row.client)
        wrapping = self._keys.clients.of_epoch(connection, row.holder, row.epoch)
        key = self._opened(wrapping, row, name)
        material = renewed_subject_material(key, self._keys.randomness)
        return self._keys.subjects.wrapped_row(
            owner,
            material,
            kind,
            row.subject,
            row.client,
            version=row.version + 1,
            made_at=self._keys.utcnow(),
        )

    def _oldest(self, before: dt.datetime) -> Any:
        subjects = self._table.subjects.c
        return (
            select(
                subjects.kind,
                subjects.subject,
                subjects.holder,
                subjects.client,
                func.max(subjects.version).label("version"),
            )
            .where(
                subjects.wrapped.is_not(None),
                subjects.erased_at.is_(None),
                self._has_active_holder(),
            )
            .group_by(subjects.kind, subjects.subject, subjects.holder, subjects.client)
            .having(func.max(subjects.made_at) < before)
        )

    def _has_active_holder(self) -> Any:
        """Subjects of an erased client have no key to renew; only their rows still wait to be
        removed.
        """
        clients = self._table.clients.c
        active_epoch = select(clients.epoch).where(
            clients.client == self._table.subjects.c.holder, clients.wrapped.is_not(None)
        )
        return active_epoch.exists()

    def destroy_older_versions(self, session: Session, *, made_before: dt.datetime) -> int:
        """Destroy the keys that a newer one, made before a moment, replaced; the caller has seen
        that nothing needs them.
        """
        subjects, newer = self._table.subjects, self._table.subjects.alias("newer")
        query = delete(subjects).where(
            subjects.c.wrapped.is_not(None),
            select(newer.c.version)
            .where(
                and_(newer.c.kind == subjects.c.kind, newer.c.subject == subjects.c.subject),
                newer.c.version > subjects.c.version,
                newer.c.made_at < made_before,
                newer.c.wrapped.is_not(None),
            )
            .exists(),
        )
        with self._keys.connected(session) as connection:
            done = connection.execute(query).rowcount
        session.commit()
        self._keys.forget_all()
        return int(done)
