"""Grants and requests for assistance: by whom, to whom, over which categories of which people of a
client, until when (LG-20 to LG-22).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..database.identifiers import SubjectRef, canonical_id
from ..errors import RequestInvalid


@dataclass(frozen=True, slots=True)
class GrantScope:
    """Which people of a client are meant: everybody, named subjects, or those in named groups
    (classes).
    """

    everybody: bool = False
    subjects: frozenset[SubjectRef] = frozenset()
    groups: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        *,
        everybody: bool = False,
        subjects: Iterable[tuple[str, Any]] = (),
        groups: Iterable[Any] = (),
    ) -> GrantScope:
        """Make a scope.

        Args:
            everybody: Everybody of the client.
            subjects: As (kind, id) pairs.
            groups: Values of the column that `subject(…, scope=…)` names.

        Raises:
            RequestInvalid: Nobody is named, or everybody and somebody.
        """
        refs = frozenset((kind, canonical_id(subject_id)) for kind, subject_id in subjects)
        grouped = frozenset(canonical_id(group) for group in groups)
        if everybody == bool(refs or grouped):
            raise RequestInvalid(
                "scope: name either everybody (all), or at least one subject or group"
            )
        return cls(everybody, refs, grouped)

    def as_json(self) -> dict[str, Any]:
        """The scope as it is stored and shown."""
        if self.everybody:
            return {"all": True}
        subjects = [{"kind": kind, "id": subject_id} for kind, subject_id in sorted(self.subjects)]
        return {"subjects": subjects, "groups": sorted(self.groups)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> GrantScope:
        """What `as_json` made."""
        if stored.get("all"):
            return cls(everybody=True)
        refs = frozenset((entry["kind"], entry["id"]) for entry in stored["subjects"])
        return cls(subjects=refs, groups=frozenset(stored["groups"]))

    def is_within(self, wider: GrantScope) -> bool:
        """Whether nobody is meant here who is not named in `wider`."""
        if wider.everybody:
            return True
        return (
            not self.everybody and self.subjects <= wider.subjects and self.groups <= wider.groups
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant; asked for by one person and given by another; `assistance` or `ground` and `case`
    say why.
    """

    id: str
    kind: str
    client: str
    to: SubjectRef
    purpose: str
    categories: frozenset[str]
    scope: GrantScope
    assistance: str | None
    ground: str | None
    case: str | None
    asked_by: str
    asked_at: dt.datetime
    given_by: str | None
    given_at: dt.datetime | None
    until: dt.datetime | None
    revoked_at: dt.datetime | None
    closed_at: dt.datetime | None = None

    def state(self, now: dt.datetime) -> str:
        """`asked`, `in-force`, `expired`, `revoked`, or `closed` where its request for assistance
        is.
        """
        if self.revoked_at is not None:
            return "revoked"
        if self.closed_at is not None:
            return "closed"
        if self.given_at is None or self.until is None:
            return "asked"
        return "in-force" if now < self.until else "expired"


@dataclass(frozen=True, slots=True)
class AssistanceRequest:
    """A client's request for assistance; open until the client closes it (LG-21)."""

    id: str
    client: str
    opened_by: str
    agent: SubjectRef | None
    reference: str | None
    categories: frozenset[str]
    scope: GrantScope
    hours: int
    opened_at: dt.datetime
    closed_at: dt.datetime | None
    opened_as: frozenset[SubjectRef] = frozenset()


@dataclass(frozen=True, slots=True)
class EmergencyNotice:
    """What a client is told of an emergency, before anything may be opened under it."""

    client: str
    grant: str
    ground: str
    case: str
    categories: frozenset[str]
    until: dt.datetime


@dataclass(frozen=True, slots=True)
class GrantUse:
    """One use of a grant, as its client sees it."""

    at: dt.datetime
    endpoint: str | None
    category: str
    action: str
    subjects: int


Notifier = Callable[[EmergencyNotice], None]
