"""What a column asks: the slot in which the processing context stands while something is processed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from sqlalchemy.orm import Session

from ..crypto.keys import SubjectKey
from ..database.identifiers import SubjectRef
from ..policy.model import Action
from .model_info import ModelInfo, SealedGroup, TaggedColumn


class AccessContext(Protocol):
    """What a column asks before it shows or takes a value; the gate's processing context is one."""

    life: object
    """Another object as soon as this opener has ended: what was kept under it is shut then."""

    def open(self, instance: Any, group: SealedGroup) -> dict[str, Any]:
        """The opened fields of one group of one row; raises where it is not allowed."""
        ...

    def look_at(self, instance: Any, tagged: TaggedColumn) -> None:
        """Allow, or refuse, that a labelled plaintext column of a row is read."""
        ...

    def look_at_record(self, tagged: TaggedColumn, *, subject: str, client: str | None) -> None:
        """The same for a record that is not an instance."""
        ...

    def authorize(
        self, category: str, action: Action, *, client: str | None, subject: tuple[str, str]
    ) -> None:
        """Allow an action or raise; what is allowed is noted for the trail by `note`."""
        ...

    def note(
        self, category: str, action: Action, *, client: str | None, subject: tuple[str, str]
    ) -> None:
        """Put something that happened into the ledger."""
        ...

    def keys(self, session: Session | None, kind: str, ids: Iterable[str]) -> dict[str, SubjectKey]:
        """The keys of living subjects, by identifier."""
        ...

    def keys_for_writing(
        self, session: Session, kind: str, ids: Iterable[str]
    ) -> dict[str, SubjectKey]:
        """The keys of living subjects as the key table has them now, whatever is cached."""
        ...

    def refuse_erased(
        self, session: Session, kind: str, ids: Sequence[str], clients: Iterable[str]
    ) -> None:
        """Look once more, after rows were written, whether those whom they are about are still there; raises `SubjectErased`."""
        ...

    def refuse_lost_race(self, session: Session, kind: str, ids: Sequence[str]) -> None:
        """The same over another connection, where the session's own has failed."""
        ...

    def erased(self, session: Session, kind: str, one: str) -> bool:
        """Whether a subject was erased."""
        ...

    def create_keys(
        self, session: Session, kind: str, subjects: dict[str, str | None], *, held_by_client: bool
    ) -> dict[str, SubjectKey]:
        """Keys for subjects (id to client) that are being recorded."""
        ...

    def open_record(
        self,
        group: SealedGroup,
        row: str,
        subject: SubjectRef,
        client: str,
        envelope: bytes,
        version: int,
        key: SubjectKey,
    ) -> dict[str, Any]:
        """The opened fields of one record that is not an instance, as `open` does it; `client` is "" where there is none."""
        ...

    def clients_of(
        self, session: Session | None, kind: str, ids: Iterable[str]
    ) -> dict[str, str | None]:
        """The clients of those subjects among `ids` that have a row."""
        ...

    def open_plain(
        self, layout: ModelInfo, group: SealedGroup, subject: SubjectRef, client: str | None
    ) -> None:
        """Allow, or refuse, that a row is read that was not adopted yet."""
        ...

    def may_adopt(self, layout: ModelInfo) -> None:
        """Allow, or refuse, that plain text of a model is taken in."""
        ...

    def has_adopting(self, kind: str) -> bool:
        """Whether a model of a kind of subject is being adopted."""
        ...

    def subject_key(self, session: Session | None, kind: str, one: str) -> SubjectKey:
        """The key of one subject; raises `SubjectErased` or `KeyLost`."""
        ...

    def index_key(self, session: Session | None, holder: str) -> bytes:
        """The key of a holder's blind indexes."""
        ...

    def index_keys(self, session: Session | None, holder: str) -> tuple[bytes, ...]:
        """The keys under which a holder's blind indexes may stand, the newest first."""
        ...

    def withholds(self, instance: Any, layout: ModelInfo, category: str) -> bool:
        """Whether a category of a row is to be left out of what is shown."""
        ...

    def acts_for(self) -> str | None:
        """The client for whom the actor acts."""
        ...

    def holds_as_processor(self, layout: ModelInfo) -> bool:
        """Whether the subject's data is held for its client, not by the publisher itself."""
        ...

    def look_up(self, category: str, *, kind: str, client: str | None, what: str) -> None:
        """Allow, or refuse, that subjects of a client are searched by a value that the actor already knows."""
        ...

    def intend(self) -> None:
        """Say in the trail, once, what is about to be written or deleted; raises `TrailUnavailable`, and then nothing is."""
        ...

    def expects(self, category: str, action: Action, what: str) -> None:
        """Raise unless the running declaration names the category and action; `what` names the code for the developer."""
        ...


current_context: ContextVar[AccessContext | None] = ContextVar("lgprivacy_opener", default=None)
