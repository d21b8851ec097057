"""Puts events into the audit trail, each with its time and, where somebody acts, with the actor."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..audit.events import Event, KeyOperationEvent, PermissionEvent, RightsRequestEvent
from ..audit.trail import AuditTrail, Receipt
from ..audit.verifier import Report
from ..database.clock import timestamp
from ..database.identifiers import SubjectRef
from ..errors import ConfigurationError
from ..orm.context import current_context


class AuditRecorder:
    """The audit trail of one application.

    Args:
        trail: Where events go; a test puts another one in its place.
        utcnow: Returns the time in UTC.
        pseudonym_of: The pseudonym of a data subject, or None.
    """

    __slots__ = ("_pseudonym_of", "_utcnow", "trail")

    def __init__(
        self,
        trail: AuditTrail,
        utcnow: Callable[[], dt.datetime],
        pseudonym_of: Callable[[SubjectRef], str | None],
    ) -> None:
        self.trail = trail
        self._utcnow = utcnow
        self._pseudonym_of = pseudonym_of

    def commit(self, event: Event) -> Receipt:
        """Put an event on stable storage; raises `TrailUnavailable`."""
        return self.trail.commit(event)

    def read(self, where: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The stored events in order of time; raises `ConfigurationError` where none can be
        read.
        """
        self._require("read", "read(where)")
        return self.trail.read(where)

    def verify(self) -> Report:
        """Verify what is stored; raises `ConfigurationError` where the trail cannot."""
        self._require("verify", "verify()")
        return self.trail.verify()

    def _require(self, method: str, signature: str) -> None:
        if not callable(getattr(self.trail, method, None)):
            raise ConfigurationError(
                "the trail given to LGPrivacy(trail=…) cannot be read here: "
                f"{type(self.trail).__name__} "
                f"has no {signature}; add it (flask_lgprivacy.audit.AuditTrail), or name the "
                "directory of a trail of files"
            )

    def now(self) -> str:
        """The time as the trail writes it: ISO 8601, UTC, milliseconds."""
        return timestamp(self._utcnow())

    def key_operation(
        self,
        operation: str,
        stage: str,
        *,
        client: str | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Record what was done to keys or stores."""
        figures = tuple((counts or {}).items())
        self.commit(KeyOperationEvent(self.now(), operation, stage, client, figures))

    def permission(
        self,
        *,
        kind: str,
        step: str,
        id: str,
        clause: str | None,
        client: str | None,
        role: str | None,
        to: SubjectRef | None = None,
        purpose: str | None = None,
        categories: Iterable[str] = (),
        until: dt.datetime | None = None,
        ground: str | None = None,
    ) -> None:
        """Record one step of a grant, of a request for assistance or of a consent."""
        self.commit(
            PermissionEvent(
                at=self.now(),
                kind=kind,
                step=step,
                id=id,
                to=self._pseudonym_of(to) if to is not None else None,
                client=client,
                purpose=purpose,
                categories=tuple(categories),
                until=until.isoformat() if until is not None else None,
                ground=ground,
                actor=acting_pseudonym(),
                role=role,
                clause=clause,
            )
        )

    def rights_request(
        self,
        *,
        request: str | None,
        right: str,
        state: str,
        subject_kind: str,
        role: str | None,
        client: str | None,
        clause: str | None,
        pseudonym: str | None = None,
        actor: str | None = None,
    ) -> None:
        """Record one step of a request of a data subject or controller."""
        self.commit(
            RightsRequestEvent(
                at=self.now(),
                request=request,
                right=right,
                state=state,
                subject_kind=subject_kind,
                pseudonym=pseudonym,
                actor=actor,
                role=role,
                client=client,
                clause=clause,
            )
        )


def acting_pseudonym() -> str | None:
    """The pseudonym of the actor of the running processing context, or None where none runs."""
    context = current_context.get()
    return context.actor_name if context is not None else None
