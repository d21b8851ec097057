"""The keys that a processing context holds, and what it may do with rows that have none yet."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn
from weakref import WeakSet

from sqlalchemy import select
from sqlalchemy.orm import Session, object_session

from ..crypto.envelope import envelope_key_version
from ..crypto.keys import SubjectKey
from ..database.identifiers import SubjectRef, canonical_id
from ..errors import (
    ConfigurationError,
    KeyLost,
    KeyUnavailable,
    PrivacyError,
    SealBroken,
    SubjectErased,
)
from ..keys.transaction import CONTEXTS
from ..orm.columns import matches_any_id
from ..orm.erasure_locks import refuse_erased
from ..orm.model_info import ModelInfo, SealedGroup
from ..orm.prefetch import subject_ids_in
from ..policy.model import Action
from .runtime import Runtime

READ = Action.READ.value


class SubjectKeyAccess:
    """The part of a processing that asks the key store; every refusal goes into the trail."""

    __slots__ = ()
    house: Runtime
    _keys: defaultdict[str, dict[str, SubjectKey]]
    """By kind of subject and identifier."""

    @abstractmethod
    def refuse(
        self, error: PrivacyError, *, category: str | None = None, action: str | None = None
    ) -> NoReturn:
        """Note a refusal for the trail and raise it."""

    @abstractmethod
    def session(self) -> Session:
        """The application's session."""

    @abstractmethod
    def authorize(
        self, category: str, action: Action, *, client: str | None, subject: SubjectRef
    ) -> None:
        """Allow an action on one subject's category, or raise."""

    @abstractmethod
    def note(
        self, category: str, action: Action, *, client: str | None, subject: SubjectRef
    ) -> None:
        """Put something that happened into the ledger."""

    def keys(self, session: Session | None, kind: str, ids: Iterable[str]) -> dict[str, SubjectKey]:
        """The keys of living subjects, those of `ids` among them, from this context or the key table."""
        held = self._keys[kind]
        wanted = [one for one in ids if one not in held]
        if wanted:
            held.update(self._loaded(session, kind, wanted))
        return held

    def keys_for_writing(
        self, session: Session, kind: str, ids: Iterable[str]
    ) -> dict[str, SubjectKey]:
        """The keys of living subjects as the key table has them now."""
        asked = list(ids)
        found = self._loaded(session, kind, asked, for_writing=True)
        held = self._keys[kind]
        for one in asked:
            held.pop(one, None)
        held.update(found)
        return found

    def refuse_erased(
        self, session: Session, kind: str, ids: Sequence[str], clients: Iterable[str]
    ) -> None:
        """Look once more whether those whom rows are about are still there; raises `SubjectErased`."""
        try:
            refuse_erased(session, self.house.keys, self.house.graph.subjects[kind], ids, clients)
        except SubjectErased as gone:
            self._keys[kind].clear()
            self.refuse(gone)

    def refuse_lost_race(self, session: Session, kind: str, ids: Sequence[str]) -> None:
        """The same over another connection, where the session's own has failed; raises `SubjectErased`."""
        if self.house.keys.any_erased(session, kind, ids):
            self._keys[kind].clear()
            self.refuse(SubjectErased())

    def erased(self, session: Session, kind: str, one: str) -> bool:
        """Whether a subject was erased."""
        return self.house.keys.is_erased(session, kind, one)

    def _loaded(
        self, session: Session | None, kind: str, ids: Iterable[str], *, for_writing: bool = False
    ) -> dict[str, SubjectKey]:
        try:
            return self.house.keys.load(
                session or self.session(), kind, ids, for_writing=for_writing
            )
        except KeyUnavailable as away:
            self.refuse(away)

    def create_keys(
        self, session: Session, kind: str, subjects: dict[str, str | None], *, held_by_client: bool
    ) -> dict[str, SubjectKey]:
        """Keys for subjects that are being recorded."""
        session.info.setdefault(CONTEXTS, WeakSet()).add(self)
        try:
            made = self.house.keys.create(session, kind, subjects, held_by_client=held_by_client)
        except KeyUnavailable as away:
            self.refuse(away)
        self._keys[kind].update(made)
        return made

    def subject_key(self, session: Session | None, kind: str, one: str) -> SubjectKey:
        """The key of one subject; raises `SubjectErased` or `KeyLost`, noted for the trail."""
        held = self.keys(session, kind, (one,))
        if one not in held:
            erased = self.house.keys.is_erased(session or self.session(), kind, one)
            self.refuse(SubjectErased() if erased else KeyLost())
        return held[one]

    def forget_keys(self) -> None:
        """Let go of every key: a rollback may have taken some of them back."""
        self._keys.clear()

    def forget_key(self, kind: str, one: str) -> None:
        """Let go of a key that was destroyed."""
        self._keys[kind].pop(one, None)

    def index_key(self, session: Session | None, holder: str) -> bytes:
        """The key of a holder's blind indexes."""
        return self.house.keys.index_key(session or self.session(), holder)

    def index_keys(self, session: Session | None, holder: str) -> tuple[bytes, ...]:
        """The keys under which a holder's blind indexes may stand, the newest first."""
        try:
            return self.house.keys.index_keys(session or self.session(), holder)
        except KeyUnavailable as away:
            self.refuse(away)

    def _key_of(self, instance: Any, kind: str, one: str) -> SubjectKey:
        """The key of a row's subject; one that the process does not hold comes with those of the other rows in its session."""
        held = self._keys[kind]
        cached = self.house.keys.cached(kind, one)
        if cached is not None:
            held[one] = cached
            return cached
        session = object_session(instance)
        if session is not None:
            held = self.keys(session, kind, subject_ids_in(session, self.house.graph.of(kind)))
        return held.get(one) or self.subject_key(session, kind, one)

    def _key_named_by(self, envelope: bytes, subject: SubjectRef, held: SubjectKey) -> SubjectKey:
        """The key of another version that a record names, while keys are rotated; raises `SealBroken`."""
        version = envelope_key_version(envelope)
        if version is None or version == held.version:
            raise SealBroken
        key = held.at(version)
        if key is None:
            self.house.keys.forget(*subject)
            self.forget_key(*subject)
            key = self.subject_key(None, *subject).at(version)
        if key is None or key.client != held.client:
            raise SealBroken
        return key

    # --- rows that are being adopted ---

    def open_plain(
        self, layout: ModelInfo, group: SealedGroup, subject: SubjectRef, client: str | None
    ) -> None:
        """Allow, or refuse, that a row is read that was not adopted yet."""
        self.may_adopt(layout)
        if self.house.keys.is_erased(self.session(), *subject, client=client):
            self.refuse(SubjectErased(), category=group.category, action=READ)
        self.authorize(group.category, Action.READ, client=client, subject=subject)
        self.note(group.category, Action.READ, client=client, subject=subject)

    def may_adopt(self, layout: ModelInfo) -> None:
        """Allow, or refuse, that plain text of a model is taken in."""
        if not self.house.adopts(layout.name):
            self.refuse(
                ConfigurationError(
                    f"{layout.name}: this row is still in plain text, which is read only while LGPRIVACY_ADOPTION names the model; "
                    f"run 'flask privacy keys adopt {layout.name}'"
                ),
            )

    def has_adopting(self, kind: str) -> bool:
        """Whether a model of a kind of subject is being adopted, so that subjects may be there without a key."""
        return any(layout.adopting for layout in self.house.graph.of(kind))

    def clients_of(
        self, session: Session | None, kind: str, ids: Iterable[str]
    ) -> dict[str, str | None]:
        """The clients of those subjects among `ids` that have a row."""
        layout = self.house.graph.subjects[kind]
        key, client = layout.column(layout.key), layout.column(layout.client or layout.key)
        found = (session or self.session()).execute(
            select(key, client).where(matches_any_id(key, ids))
        )
        return {
            canonical_id(one): canonical_id(of)
            if layout.client is not None and of is not None
            else None
            for one, of in found
        }
