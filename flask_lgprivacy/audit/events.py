"""Event types of the trail: frozen, with no slot in which a value, a name or an address could
stand.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args


@dataclass(frozen=True, slots=True)
class Access:
    """One category that was opened, written, erased or disclosed, of how many subjects of which
    client.

    Attributes:
        category: Which category.
        action: `read`, `write`, `erase` or `disclose`.
        client: Whose data it is.
        subjects: Of how many subjects.
        pseudonyms: Of those subjects.
    """

    category: str
    action: str
    client: str | None
    subjects: int
    pseudonyms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal: a stable code, the clause that decided and what was missing.

    Attributes:
        code: The code of the error.
        clause: The clause of the policy document that decided.
        category: Which category, where one was asked for.
        action: Which action.
        missing: What was missing.
    """

    code: str
    clause: str | None
    category: str | None = None
    action: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessingEvent:
    """One request, or one stretch of a job: who, for whom, under which purpose, and what was
    touched or refused.

    Attributes:
        at: When, in UTC (ISO 8601).
        via: A request, a stretch of a stream, or a job.
        stage: `intent` before anything is written or a job begins, `outcome` after.
        endpoint: The endpoint's or job's name.
        method: The HTTP method.
        status: The HTTP status of the answer.
        actor: Who acted, as a pseudonym; None for nobody.
        role: The actor's role.
        client: Whose data it is, or for whom the actor acts.
        purpose: For what, of the policy document.
        basis: The lawful basis of the purpose.
        touched: What was opened, written, erased or disclosed.
        withheld: Categories that were left out of an answer.
        refused: What was refused.
        grants: The ids of the grants that were used.
        event: The name of this type.
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

    Attributes:
        at: When, in UTC (ISO 8601).
        stage: `intent` before the first byte, `outcome` after the answer, or `refused`.
        recipient: Of the policy document, or `undeclared`.
        purpose: For what, of the policy document.
        actor: Who acted, as a pseudonym; None for nobody.
        role: The actor's role.
        categories: Which categories.
        pseudonyms: Of the subjects.
        clause: The clause of the policy document that decided.
        missing: What was missing.
        status: The HTTP status of the answer.
        event: The name of this type.
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

    Attributes:
        at: When, in UTC (ISO 8601).
        request: The id of the request; None where the pseudonym stands.
        right: Which right.
        state: Which state the request reached.
        subject_kind: The kind of subject.
        pseudonym: Of the subject, in `erasing` only.
        actor: Who acted, as a pseudonym; None for nobody.
        role: The role of who asked.
        client: Whose data it is, or for whom the actor acts.
        clause: The clause of the policy document that decided.
        event: The name of this type.
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

    Attributes:
        at: When, in UTC (ISO 8601).
        cut_bytes: Bytes of an unfinished line that were cut off.
        lines_past_head: Lines that stood past the head.
        event: The name of this type.
    """

    at: str
    cut_bytes: int
    lines_past_head: int = 0
    event: Literal["recovery"] = "recovery"


@dataclass(frozen=True, slots=True)
class KeyOperationEvent:
    """What was done to keys or stores: a rotation, a move, a destruction, a migration, a replay;
    with how many of what.

    Attributes:
        at: When, in UTC (ISO 8601).
        operation: What was done.
        stage: `began`, `resumed`, `ended` or `open`.
        client: Whose data it is, or for whom the actor acts.
        counts: How many of what.
        event: The name of this type.
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

    Attributes:
        at: When, in UTC (ISO 8601).
        kind: The kind of grant, `assistance` or `consent`.
        step: `opened`, `asked`, `given`, `revoked`, `closed`, `withdrawn`.
        id: Of the grant, request or consent.
        to: The grantee, as a pseudonym.
        client: Whose data it is, or for whom the actor acts.
        purpose: For what, of the policy document.
        categories: Which categories.
        until: Until when.
        ground: On which ground.
        actor: Who acted, as a pseudonym; None for nobody.
        role: The actor's role.
        clause: The clause of the policy document that decided.
        event: The name of this type.
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

    Attributes:
        at: When, in UTC (ISO 8601).
        since: Since when.
        endpoint: The endpoint's or job's name.
        method: The HTTP method.
        code: The code of the refusals.
        count: How many.
        event: The name of this type.
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
EVENT_TYPES = frozenset(
    str(field.default)
    for event in get_args(Event)
    for field in fields(event)
    if field.name == "event"
)
"""The names of all types of events."""
