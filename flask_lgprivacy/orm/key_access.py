"""The keys that one processing context holds; every refusal of the key store goes
into the trail.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn
from weakref import WeakSet

from sqlalchemy import select
from sqlalchemy.orm import Session, object_session

from ..crypto.envelope import envelope_key_version
from ..crypto.keys import PUBLISHER, SubjectKey
from ..database.identifiers import SubjectRef, canonical_id
from ..errors import (
    KeyLost,
    KeyUnavailable,
    PrivacyError,
    RequestInvalid,
    SealBroken,
    SubjectErased,
    UndeclaredProcessing,
)
from ..keys.store import KeyStore
from ..keys.transaction import CONTEXTS
from .columns import matches_any_id
from .erasure_locks import refuse_erased
from .labelled_models import LabelledModels
from .model_info import ModelInfo
from .prefetch import subject_ids_in


class SubjectKeyAccess:
    """Keys of subjects and of blind indexes, as one processing context asks for them.

    Args:
        store: The key store.
        models: The application's labelled models.
        session: Returns the application's session.
        refuse: Notes a refusal for the trail and raises it.
    """

    __slots__ = ("__weakref__", "_models", "_refuse", "_session", "_store", "held")

    def __init__(
        self,
        store: KeyStore,
        models: LabelledModels,
        session: Callable[[], Session],
        refuse: Callable[[PrivacyError], NoReturn],
    ) -> None:
        self._store = store
        self._models = models
        self._session = session
        self._refuse = refuse
        self.held: defaultdict[str, dict[str, SubjectKey]] = defaultdict(dict)
        """By kind of subject and identifier."""

    def load(
        self, session: Session | None, subject_kind: str, subject_ids: Iterable[str]
    ) -> dict[str, SubjectKey]:
        """The keys of living subjects, those of `subject_ids` among them."""
        held = self.held[subject_kind]
        missing = [subject_id for subject_id in subject_ids if subject_id not in held]
        if missing:
            try:
                loaded = self._store.load(session or self._session(), subject_kind, missing)
            except KeyUnavailable as unavailable:
                self._refuse(unavailable)
            held.update(loaded)
        return held

    def load_for_writing(
        self, session: Session, subject_kind: str, subject_ids: Iterable[str]
    ) -> dict[str, SubjectKey]:
        """The keys of living subjects as the key table has them now, whatever is cached."""
        requested = list(subject_ids)
        try:
            loaded = self._store.load_for_writing(session, subject_kind, requested)
        except KeyUnavailable as unavailable:
            self._refuse(unavailable)
        held = self.held[subject_kind]
        for subject_id in requested:
            held.pop(subject_id, None)
        held.update(loaded)
        return loaded

    def create(
        self,
        session: Session,
        subject_kind: str,
        clients: dict[str, str | None],
    ) -> dict[str, SubjectKey]:
        """Keys for subjects (identifier to client) that are being recorded."""
        session.info.setdefault(CONTEXTS, WeakSet()).add(self)
        try:
            created = self._store.create(
                session, subject_kind, clients, partial(self._models.key_holder, subject_kind)
            )
        except KeyUnavailable as unavailable:
            self._refuse(unavailable)
        self.held[subject_kind].update(created)
        return created

    def require(self, session: Session | None, subject_kind: str, subject_id: str) -> SubjectKey:
        """The key of one subject; raises `SubjectErased` or `KeyLost`, noted for the trail."""
        held = self.load(session, subject_kind, (subject_id,))
        if subject_id not in held:
            is_erased = self.is_erased(session or self._session(), subject_kind, subject_id)
            self._refuse(SubjectErased() if is_erased else KeyLost())
        return held[subject_id]

    def of_row(self, instance: Any, subject_kind: str, subject_id: str) -> SubjectKey:
        """The key of a row's subject.

        One that the process does not hold is loaded with those of the other rows in its session.
        """
        held = self.held[subject_kind]
        cached = self._store.cached(subject_kind, subject_id)
        if cached is not None:
            held[subject_id] = cached
            return cached
        session = object_session(instance)
        if session is not None:
            neighbours = subject_ids_in(session, self._models.graph.of(subject_kind))
            held = self.load(session, subject_kind, neighbours)
        return held.get(subject_id) or self.require(session, subject_kind, subject_id)

    def of_record(self, instance: Any, layout: ModelInfo, row_id: str) -> SubjectKey:
        """The key of a shared row's records, loaded with those of the other rows in its session."""
        kind = layout.key_kind
        held = self.held[kind]
        if row_id not in held:
            session = object_session(instance)
            neighbours = subject_ids_in(session, [layout]) if session is not None else []
            held = self.load(session, kind, neighbours)
        return held.get(row_id) or self.require(object_session(instance), kind, row_id)

    def new_record_key(self) -> SubjectKey:
        """A key for the records of a shared row that is about to be inserted."""
        return self._store.records.new()

    def keep_records(
        self,
        session: Session,
        layout: ModelInfo,
        records: Mapping[str, tuple[SubjectKey, Collection[SubjectRef]]],
        acting_client: str | None,
    ) -> None:
        """Keep the keys of shared rows, wrapped by the key of whoever holds them.

        Args:
            session: That inserted the rows.
            layout: Of the rows.
            records: By identifier, the key and who owns the row.
            acting_client: For whom the actor acts, where a row is nobody's yet.
        """
        session.info.setdefault(CONTEXTS, WeakSet()).add(self)
        held_by = {
            row_id: (key, self._record_holder(session, layout, owners, acting_client))
            for row_id, (key, owners) in records.items()
        }
        try:
            self._store.records.keep(session, layout.key_kind, held_by)
        except KeyUnavailable as unavailable:
            self._refuse(unavailable)
        self.held[layout.key_kind].update({row_id: key for row_id, (key, _) in records.items()})

    def _record_holder(
        self,
        session: Session,
        layout: ModelInfo,
        owners: Collection[SubjectRef],
        acting_client: str | None,
    ) -> str:
        if not self._models.is_held_for_client(layout):
            return PUBLISHER
        for kind, subject_id in owners:
            key = self.load(session, kind, [subject_id]).get(subject_id)
            if key is not None and key.client:
                return key.client
        if acting_client is None:
            raise RequestInvalid(
                f"{layout.name}: it is sealed for the client of its owners, and nobody with a "
                "client owns the row; set the key that says whose it is, or write the row that "
                "says so, in the same flush"
            )
        return acting_client

    def destroy_records(self, session: Session, kind: str, row_ids: Sequence[str]) -> None:
        """Destroy the keys of shared rows that are deleted, with their transaction or right after
        it.
        """
        self._store.records.destroy_at_commit(session, kind, row_ids)
        for row_id in row_ids:
            self.held[kind].pop(row_id, None)

    def named_by(self, envelope: bytes, subject: SubjectRef, newest: SubjectKey) -> SubjectKey:
        """The key of another version that a record names, while keys are rotated.

        Raises:
            SealBroken: There is no such key.
        """
        version = envelope_key_version(envelope)
        if version is None or version == newest.version:
            raise SealBroken
        key = newest.at(version)
        if key is None:
            self._store.forget(*subject)
            self.forget(*subject)
            key = self.require(None, *subject).at(version)
        if key is None or key.client != newest.client:
            raise SealBroken
        return key

    def index_key(self, session: Session | None, holder: str) -> bytes:
        """The key of a holder's blind indexes."""
        return self._store.index_key(session or self._session(), holder)

    def index_keys(self, session: Session | None, holder: str) -> tuple[bytes, ...]:
        """The keys under which a holder's blind indexes may stand, the newest first."""
        try:
            return self._store.index_keys(session or self._session(), holder)
        except KeyUnavailable as unavailable:
            self._refuse(unavailable)

    def is_erased(
        self,
        session: Session | None,
        subject_kind: str,
        subject_id: str,
        *,
        client: str | None = None,
    ) -> bool:
        """Whether a tombstone stands for a subject, for its holder or for `client`."""
        return self._store.is_erased(
            session or self._session(), subject_kind, subject_id, client=client
        )

    def refuse_erased(
        self,
        session: Session,
        subject_kind: str,
        subject_ids: Sequence[str],
        clients: Iterable[str],
    ) -> None:
        """Look once more whether those whom rows are about still exist; raises `SubjectErased`."""
        try:
            model = self._models.graph.subjects[subject_kind]
            refuse_erased(session, self._store, model, subject_ids, clients)
        except SubjectErased as erased:
            self.held[subject_kind].clear()
            self._refuse(erased)

    def refuse_lost_race(
        self, session: Session, subject_kind: str, subject_ids: Sequence[str]
    ) -> None:
        """The same over another connection, where the session's own has failed."""
        if self._store.any_erased(session, subject_kind, subject_ids):
            self.held[subject_kind].clear()
            self._refuse(SubjectErased())

    def known(self, session: Session, subject_kind: str, subject_ids: Sequence[str]) -> set[str]:
        """Those of some identifiers under which somebody has a key, or had one."""
        return self._store.known(session, subject_kind, subject_ids)

    def is_processor_of(self, subject_kind: str) -> bool:
        """Whether the data of a kind of subject is held for its client."""
        return self._models.is_processor_of(subject_kind)

    def holder_of(self, subject_kind: str, client: str | None) -> str:
        """Whose key wraps those of a client's subjects and blind indexes."""
        return self._models.key_holder(subject_kind, client)

    def is_migrating(self, subject_kind: str) -> bool:
        """Whether a model of a kind of subject is being migrated."""
        return self._models.is_migrating(subject_kind)

    def clients_without_keys(
        self, session: Session | None, subject_kind: str, subject_ids: Iterable[str]
    ) -> dict[str, str | None]:
        """The clients of subjects that were recorded before this package, and have no key yet; none
        where nothing of their kind is being migrated.
        """
        if not self.is_migrating(subject_kind):
            return {}
        given = session or self._session()
        ids = list(subject_ids)
        known = self._store.known(given, subject_kind, ids) if ids else set()
        missing = [one for one in ids if one not in known]
        return self.clients_of(given, subject_kind, missing) if missing else {}

    def clients_of(
        self, session: Session | None, subject_kind: str, subject_ids: Iterable[str]
    ) -> dict[str, str | None]:
        """The clients of those subjects among `subject_ids` that have a row."""
        model = self._models.graph.subjects[subject_kind]
        key, client = model.column(model.key), model.column(model.client or model.key)
        rows = (session or self._session()).execute(
            select(key, client).where(matches_any_id(key, subject_ids))
        )
        has_client = model.client is not None
        return {
            canonical_id(subject_id): (
                canonical_id(client_id) if has_client and client_id is not None else None
            )
            for subject_id, client_id in rows
        }

    def forget_keys(self) -> None:
        """Let go of every key: a rollback may have taken some of them back."""
        self.held.clear()

    def release(self) -> None:
        """Let go of every key and of the context, which ends: the two hold one another."""
        self.held.clear()
        self._session, self._refuse = no_session, _raise

    def forget(self, subject_kind: str, subject_id: str) -> None:
        """Let go of a key that was destroyed."""
        self.held[subject_kind].pop(subject_id, None)

    def __repr__(self) -> str:
        return "<SubjectKeyAccess>"


def no_session() -> NoReturn:
    """Stands where the session of a context was that has ended."""
    raise UndeclaredProcessing(
        "this request or job has ended; nothing is processed under it any more"
    )


def _raise(error: PrivacyError) -> NoReturn:
    raise error
