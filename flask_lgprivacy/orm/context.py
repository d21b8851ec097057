"""What a column asks: the slot in which the processing context stands while
something is processed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from sqlalchemy.orm import Session

from ..crypto.keys import SubjectKey
from ..database.identifiers import SubjectRef
from ..policy.model import Action
from .key_access import SubjectKeyAccess
from .model_info import ModelInfo, SealedGroup, TaggedColumn
from .reserved_identifiers import Wanted
from .row_people import RowPeople
from .row_search import RowPerson


class AccessContext(Protocol):
    """What a column asks before it shows or takes a value; a processing context is one."""

    lifetime_token: object
    """Another object as soon as this context has ended: what was kept under it is shut then."""
    keys: SubjectKeyAccess
    people: RowPeople
    actor_name: str | None
    """The pseudonym under which the trail names the actor."""

    def open_group(self, instance: Any, group: SealedGroup) -> dict[str, Any]:
        """The opened fields of one group of one row; raises where it is not allowed."""
        ...

    def open_record(
        self,
        group: SealedGroup,
        row_id: str,
        subject: SubjectRef,
        client: str,
        envelope: bytes,
        version: int,
        key: SubjectKey,
    ) -> dict[str, Any]:
        """The same for one record that is not an instance; `client` is "" where there is none."""
        ...

    def open_shared_group(self, instance: Any, group: SealedGroup, name: str) -> dict[str, Any]:
        """A field of a shared row, with those of its group that the same people are shown."""
        ...

    def authorize_plaintext_read(
        self, model: ModelInfo, group: SealedGroup, subject: SubjectRef, client: str | None
    ) -> None:
        """Allow, or refuse, that a row is read that is still in plain text."""
        ...

    def authorize_tagged_read(self, instance: Any, tagged: TaggedColumn) -> None:
        """Allow, or refuse, that a labelled plaintext column of a row is read."""
        ...

    def authorize_tagged_record(
        self, tagged: TaggedColumn, *, subject_id: str, client: str | None
    ) -> None:
        """The same for a record that is not an instance."""
        ...

    def authorize_search(
        self, category: str, *, subject_kind: str, client: str | None, operation: str
    ) -> None:
        """Allow, or refuse, that subjects of a client are searched by a value that is known."""
        ...

    def authorize(
        self, category: str, action: Action, *, client: str | None, subject: SubjectRef
    ) -> None:
        """Allow an action or raise; what was done is told by `record_access`."""
        ...

    def authorize_for_any(
        self, category: str, action: Action, people: Sequence[RowPerson], model: ModelInfo
    ) -> None:
        """Allow an action on behalf of any of a row's people, and note it, or raise."""
        ...

    def reserve_identifiers(self, session: Session, wanted: Iterable[Wanted]) -> None:
        """Give rows that are about to be inserted the identifiers that the database makes."""
        ...

    def record_access(
        self, category: str, action: Action, *, client: str | None, subject: SubjectRef
    ) -> None:
        """Note, for the trail, something that happened."""
        ...

    def should_withhold(self, instance: Any, model: ModelInfo, category: str) -> bool:
        """Whether a category of a row is to be left out of what is shown."""
        ...

    def require_migration_open(self, model: ModelInfo) -> None:
        """Refuse plain text of a model, unless it is being migrated."""
        ...

    def acting_client(self) -> str | None:
        """The client for whom the actor acts."""
        ...

    def intend(self) -> None:
        """Say in the trail, once, what is about to be written or deleted.

        Raises:
            TrailUnavailable: It cannot be said, and then nothing is written.
        """
        ...


current_context: ContextVar[AccessContext | None] = ContextVar("lgprivacy_context", default=None)
