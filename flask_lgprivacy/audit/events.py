"""Event types of the trail: frozen, with no slot in which a value, a name or an address could
stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Access:
    """One category that was opened, written, erased or disclosed, of how many subjects of which
    client.
    """

    category: str
    action: str
    client: str | None
    subjects: int
    pseudonyms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal: a stable code, the clause that decided and what was missing."""

    code: str
    clause: str | None
    category: str | None = None
    action: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessingEvent:
    """One request, or one stretch of a job: who, for whom, under which purpose, and what was
    touched or refused.
    """

    at: str
    via: Literal["request", "stream", "job"]
    stage: Literal["intent", "outcome"]
    endpoint: str | None
    method: str | None
    status: int | None
    actor: str | None
    role: str | None
    client: str | None
    purpose: str | None
    basis: str | None
    touched: tuple[Access, ...]
    withheld: tuple[str, ...]
    refused: tuple[Refusal, ...]
    grants: tuple[str, ...] = ()
    event: Literal["processing"] = "processing"


@dataclass(frozen=True, slots=True)
class DisclosureEvent:
    """What goes to a recipient: the intent before the first byte, the outcome after the answer, or
    a refusal.
    """

    at: str
    stage: Literal["intent", "outcome", "refused"]
    recipient: str
    purpose: str
    actor: str | None
    role: str | None
    categories: tuple[str, ...]
    pseudonyms: tuple[str, ...]
    clause: str | None
    missing: tuple[str, ...]
    status: int | None
    event: Literal["disclosure"] = "disclosure"


@dataclass(frozen=True, slots=True)
class RightsRequestEvent:
    """One step of a request of a data subject or controller.

    A step with the subject's pseudonym, `erasing`, names no request: the request's row names the
    subject, and the two together would say whom the trail speaks of.
    """

    at: str
    request: str | None
    right: str
    state: str
    subject_kind: str
    pseudonym: str | None
    actor: str | None
    role: str | None
    client: str | None
    clause: str | None
    event: Literal["rights-request"] = "rights-request"


@dataclass(frozen=True, slots=True)
class RecoveryEvent:
    """A chain was opened after a crash: an unfinished line was cut off, or lines stand past the
    head that nobody counted.

    A crash between a flush and its head leaves such lines; so does somebody who adds to the file.
    """

    at: str
    cut_bytes: int
    lines_past_head: int = 0
    event: Literal["recovery"] = "recovery"


@dataclass(frozen=True, slots=True)
class KeyOperationEvent:
    """What was done to keys or stores: a rotation, a move, a destruction, a migration, a replay;
    with how many of what.
    """

    at: str
    operation: str
    stage: str
    client: str | None
    counts: tuple[tuple[str, int], ...]
    event: Literal["key-operation"] = "key-operation"


@dataclass(frozen=True, slots=True)
class PermissionEvent:
    """One step of a grant, of a request for assistance or of a consent: opened, asked, given,
    revoked, closed, withdrawn.
    """

    at: str
    kind: str
    step: str
    id: str
    to: str | None
    client: str | None
    purpose: str | None
    categories: tuple[str, ...]
    until: str | None
    ground: str | None
    actor: str | None
    role: str | None
    clause: str | None
    event: Literal["permission"] = "permission"


@dataclass(frozen=True, slots=True)
class RefusalCountEvent:
    """How often nobody in particular was refused at an endpoint since a moment, besides the
    refusals that have events of their own.
    """

    at: str
    since: str
    endpoint: str | None
    method: str | None
    code: str
    count: int
    event: Literal["refusals-counted"] = "refusals-counted"


Event = (
    RefusalCountEvent
    | ProcessingEvent
    | DisclosureEvent
    | RightsRequestEvent
    | KeyOperationEvent
    | PermissionEvent
    | RecoveryEvent
)
