"""Erasures are repeated after a restore: from the tombstones in the key table, and from the trail
where keys were restored too.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..crypto.pseudonym_period import school_year
from ..database.identifiers import SubjectRef, canonical_id
from ..errors import ErasuresPending, StoreUnavailable
from ..gate.runtime import Runtime
from ..keys.erased_names import PREFIX
from ..keys.key_table import CHUNK, chunks
from ..orm.columns import client_column, matches_any_id, subject_column
from .removal import marked_erasure, pseudonymise_evidence, remove_rows, set_mark
from .shared_records import hand_over_records


class _Effects:
    """What a replay changes: rows, stores and keys."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def remove(self, session: Session, kind: str, erased: list[Any], present: list[Any]) -> int:
        """Remove what stores and tables hold of subjects; returns how many rows."""
        self._erase_in_stores(kind, erased)
        removal = remove_rows(self._runtime, session, kind, present or list(erased))
        return removal.erased.total()

    def pseudonymise(self, session: Session, kind: str, erased: list[str]) -> None:
        """Leave pseudonyms in the extension's own tables."""
        pseudonymise_evidence(self._runtime, session, kind, erased)

    def destroy_client(self, session: Session, client: str) -> None:
        """Destroy a client's keys."""
        hand_over_records(self._runtime, session, client)
        self._runtime.keys.destroy_client(session, client)
        session.commit()

    def destroy_subjects(self, session: Session, kind: str, subject_ids: list[str]) -> None:
        """Destroy the keys of subjects."""
        for subject_id in subject_ids:
            self._runtime.keys.destroy(session, kind, subject_id)
        session.commit()

    def finish(self, counts: dict[str, int]) -> None:
        """Set the mark and put the figures into the trail."""
        session = self._runtime.database.session()
        set_mark(session, self._runtime)
        session.commit()
        self._runtime.audit.key_operation("replay-erasures", "ended", counts=counts)

    def _erase_in_stores(self, kind: str, subject_ids: Iterable[Any]) -> None:
        for subject in ((kind, canonical_id(subject_id)) for subject_id in subject_ids):
            for _ in self._runtime.stores.erase(subject):
                pass
            for store in self._runtime.stores.remaining(subject):
                raise StoreUnavailable(
                    f"the store {store!r} still holds what was erased; mend it, then run 'flask "
                    "privacy retention replay'"
                )


class _NoEffects(_Effects):
    """A rehearsal changes nothing."""

    def remove(self, *_: Any, **__: Any) -> int:
        """Nothing is removed."""
        return 0

    def pseudonymise(self, *_: Any, **__: Any) -> None:
        """Nothing is changed."""

    def destroy_client(self, *_: Any, **__: Any) -> None:
        """No key is destroyed."""

    def destroy_subjects(self, *_: Any, **__: Any) -> None:
        """No key is destroyed."""

    def finish(self, *_: Any, **__: Any) -> None:
        """Nothing is written."""


class ErasureReplay:
    """Repeats erasures in the data of one application.

    Args:
        runtime: The application's.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._effects = _Effects(runtime)
        self._table = runtime.keys.table
        self._destroyed_clients: set[str | None] = set()
        self._seen: set[SubjectRef] = set()
        self.counts: dict[str, int] = {"subjects": 0, "clients": 0, "keys": 0, "rows": 0}

    @classmethod
    def rehearsal(cls, runtime: Runtime) -> ErasureReplay:
        """A replay that only counts what it would erase again."""
        replay = cls(runtime)
        replay._effects = _NoEffects(runtime)
        return replay

    def before_serving(self) -> None:
        """Repeat what the tombstones know and the data does not; raises `ErasuresPending` where the
        keys are older than the data.
        """
        session = self._runtime.database.session()
        marked = marked_erasure(
            session, self._runtime
        )  # first: an erasure elsewhere may end between the two looks
        erased = self._runtime.keys.last_erasure(session)
        if marked is not None and (erased is None or erased < marked):
            raise ErasuresPending
        if erased is not None and (marked is None or marked < erased):
            self.from_tombstones(since=marked)
            self.close()

    def from_tombstones(self, *, since: dt.datetime | None = None) -> None:
        """Delete the rows of everybody for whom a tombstone stands, or stands since a moment, and
        of every erased client.
        """
        session = self._runtime.database.session()
        for client in self._runtime.keys.erased_clients(session):
            self._remove_client(session, client)
        subjects = self._table.subjects.c
        for kind in self._runtime.models.graph.subjects:
            query = (
                select(subjects.subject)
                .where(subjects.kind == kind, subjects.erased_at.is_not(None))
                .distinct()
            )
            if since is not None:
                query = query.where(subjects.erased_at > since)
            with self._runtime.keys.connected(session) as connection:
                erased = list(connection.execute(query).scalars())
            self._remove(session, kind, self._identifiers(session, kind, erased))

    def from_trail(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Erase again the subjects that the trail records as erased and whose keys are present.

        So it is after a restore of the key table.
        """
        session = self._runtime.database.session()
        clients: set[str] = set()
        pseudonyms_by_holder: dict[tuple[str, str | None, int], set[str]] = defaultdict(set)
        for event in events:
            if event.get("event") != "rights-request" or event.get("right") != "delete":
                continue
            if not str(event.get("state", "")).startswith(
                ("completed", "key-destroyed", "erasing")
            ):
                continue
            client = event.get("client")
            if event.get("subject_kind") == "client" and client:
                clients.add(str(client))
            elif event.get("pseudonym"):
                year = school_year(dt.datetime.fromisoformat(str(event["at"])))
                pseudonyms_by_holder[str(event["subject_kind"]), client, year].add(
                    str(event["pseudonym"])
                )
        for client in sorted(clients):
            self._destroy_client_again(session, client)
        for (kind, client, year), pseudonyms in pseudonyms_by_holder.items():
            self._destroy_subjects_again(session, kind, client, year, pseudonyms)

    def close(self) -> dict[str, int]:
        """Set the mark and put what was done into the trail; returns the figures."""
        self._effects.finish(self.counts)
        return self.counts

    # --- inside ---

    def _identifiers(self, session: Session, kind: str, erased: list[str]) -> list[str]:
        """The identifiers behind tombstones; of those that stand under another name, where a row of
        the data has it.
        """
        names = {name for name in erased if name.startswith(PREFIX)}
        if not names:
            return erased
        column = subject_column(self._runtime.models.graph.subjects[kind])
        present = [canonical_id(one) for one in session.execute(select(column)).scalars()]
        known = self._runtime.keys.erased_names.of(session, kind, present)
        found = [subject_id for subject_id, name in known.items() if name in names]
        return [*(name for name in erased if name not in names), *found]

    def _remove(self, session: Session, kind: str, erased: list[str]) -> None:
        column = subject_column(self._runtime.models.graph.subjects[kind])
        for chunk in chunks(erased):
            present_ids = list(
                session.execute(select(column).where(matches_any_id(column, chunk))).scalars()
            )
            self._count(kind, present_ids)
            self.counts["rows"] += self._effects.remove(session, kind, list(chunk), present_ids)
            self._effects.pseudonymise(session, kind, list(chunk))
            session.commit()

    def _remove_client(self, session: Session, client: str) -> None:
        was = len(self._seen)
        for kind, layout in self._runtime.models.graph.subjects.items():
            if layout.client is None or not self._runtime.models.is_processor_of(kind):
                continue
            column = subject_column(layout)
            is_clients = matches_any_id(client_column(layout), [client])
            last: Any = None
            while True:
                query = (
                    select(column)
                    .where(is_clients, *([column > last] if last is not None else []))
                    .order_by(column)
                )
                subject_ids = list(session.execute(query.limit(CHUNK)).scalars())
                if not subject_ids:
                    break
                last = subject_ids[-1]
                self._count(kind, subject_ids)
                self.counts["rows"] += self._effects.remove(session, kind, subject_ids, subject_ids)
                session.commit()
        self.counts["clients"] += len(self._seen) > was

    def _count(self, kind: str, subject_ids: list[Any]) -> None:
        """Count each subject once, also in a rehearsal, where nobody goes."""
        self._seen.update((kind, canonical_id(subject_id)) for subject_id in subject_ids)
        self.counts["subjects"] = len(self._seen)

    def _destroy_client_again(self, session: Session, client: str) -> None:
        if client in self._runtime.keys.erased_clients(session):
            return
        self.counts["keys"] += 1
        self._destroyed_clients.add(client)
        self._effects.destroy_client(session, client)
        self._remove_client(session, client)

    def _destroy_subjects_again(
        self, session: Session, kind: str, client: str | None, year: int, pseudonyms: set[str]
    ) -> None:
        """Destroy the living keys of a client's subjects whose pseudonym of a year is among those
        of the erased.
        """
        if kind not in self._runtime.models.graph.subjects:
            return
        subjects = self._table.subjects.c
        query = (
            select(subjects.subject)
            .where(
                subjects.kind == kind,
                subjects.client.is_(None) if client is None else subjects.client == client,
            )
            .where(subjects.wrapped.is_not(None))
            .distinct()
        )
        with self._runtime.keys.connected(session) as connection:
            alive = list(connection.execute(query).scalars())
        subject_ids = [
            subject_id
            for chunk in chunks(alive)
            for subject_id, key in self._runtime.keys.load(session, kind, chunk).items()
            if key.pseudonym(year) in pseudonyms and client not in self._destroyed_clients
        ]
        self.counts["keys"] += len(subject_ids)
        self._effects.destroy_subjects(session, kind, subject_ids)
        self._remove(session, kind, subject_ids)
