"""The model of a policy document: frozen values, named as the GDPR names them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """What may be done to a category."""

    READ = "read"
    WRITE = "write"
    ERASE = "erase"
    DISCLOSE = "disclose"


class Capacity(StrEnum):
    """In which capacity the publisher holds a category (GDPR Art. 4(7), 4(8))."""

    CONTROLLER = "controller"
    PROCESSOR = "processor"


class Basis(StrEnum):
    """Lawful bases (GDPR Art. 6(1))."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal-obligation"
    VITAL_INTERESTS = "vital-interests"
    PUBLIC_INTEREST = "public-interest"
    LEGITIMATE_INTEREST = "legitimate-interest"


class Condition(StrEnum):
    """Facts that a rule may require of the actor, the record and the moment."""

    OWN_CLIENT = "own-client"
    SELF = "self"
    GUEST_GRANT = "guest-grant"
    ASSISTANCE_REQUEST = "assistance-request"
    SUPPORT_GRANT = "support-grant"
    STRONG_AUTHENTICATION = "strong-authentication"
    EMERGENCY = "emergency"
    CONSENT = "consent"
    DIRECT_PAYMENT = "direct-payment"


GRANTED = frozenset({Condition.GUEST_GRANT, Condition.SUPPORT_GRANT, Condition.EMERGENCY})
"""Conditions that a grant meets."""
ANYBODY = "anybody"
"""What a rule writes for its conditions where it has none: everybody of its roles may."""
ABOUT_ONE_SUBJECT = GRANTED | {Condition.CONSENT}
"""Conditions that hold for one data subject and not for another of the same client."""


class Right(StrEnum):
    """The rights that are built in (GDPR Art. 15, 16, 17); an application may bring others."""

    EXPORT = "export"
    DELETE = "delete"
    RECTIFY = "rectify"


class Workflow(StrEnum):
    """The ways in which a grant comes about that are built in; an application may bring others.

    An *invitation* is given by the client of its own accord, *assistance* is asked for and answers
    a request of the client, an *emergency* is given on a ground without the client's word.
    """

    INVITATION = "invitation"
    ASSISTANCE = "assistance"
    EMERGENCY = "emergency"


class EndpointGroup(StrEnum):
    """The HTTP calls that the package mounts besides those of the rights, by what they
    are about.
    """

    REQUESTS = "requests"
    CONSENTS = "consents"
    GRANTS = "grants"
    ASSISTANCE = "assistance"


class RightOutcome(StrEnum):
    """What happens to a request: carried out, or passed on to the controller."""

    EXECUTE = "execute"
    FORWARD = "forward"


class TransferTool(StrEnum):
    """Transfer tools for third countries (GDPR Art. 45, 46(2)(c), 46(2)(b))."""

    ADEQUACY = "adequacy"
    STANDARD_CLAUSES = "standard-clauses"
    BINDING_RULES = "binding-rules"


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of the policy: a stable id and what it says."""

    id: str
    says: str


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom to ask (LG-31)."""

    name: str
    address: str
    email: str
    phone: str
    clause: str


class Identifier(StrEnum):
    """Well-formed identifiers that have no place in free text: with check digits, so that they are
    recognised for certain.
    """

    NIR = "nir"
    IBAN = "iban"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a category is kept: `period` is an ISO 8601 duration counted from the
    event `after`.
    """

    after: str
    period: str
    clause: str


@dataclass(frozen=True, slots=True)
class Category:
    """A category of personal data."""

    id: str
    label: str
    capacity: Capacity
    subjects: frozenset[str]
    bases: frozenset[Basis]
    region: str
    retention: Retention
    exportable: bool
    clause: str
    allows: frozenset[Identifier] = frozenset()


@dataclass(frozen=True, slots=True)
class ConditionInfo:
    """How a condition is explained when it is missing."""

    missing: str
    clause: str


@dataclass(frozen=True, slots=True)
class Role:
    """A role that an actor may have; `side` is client, publisher or public, `needs` are conditions
    that its rules never leave out.
    """

    id: str
    label: str
    side: str
    clause: str
    needs: frozenset[Condition] = frozenset()


@dataclass(frozen=True, slots=True)
class Purpose:
    """A purpose of processing, with the lawful basis it rests on; for consent, the versions of the
    text that still cover it.
    """

    id: str
    label: str
    basis: Basis
    clause: str
    texts: frozenset[str] = frozenset()
    needs: frozenset[Condition] = frozenset()


@dataclass(frozen=True, slots=True)
class GrantKind:
    """A kind of grant: by which workflow it comes about, which condition it meets, to which role,
    who asks for it and who gives it, for how long at most.

    `agents` is how many people may be on the short list that the grantee has to be on, None where
    there is no such list; `grounds` are those on which it is given without the client's word, and
    then the client is told. `beside` are conditions that rules under this grant never leave out.
    """

    id: str
    label: str
    workflow: str
    condition: Condition
    to: str
    asked_by: frozenset[str]
    given_by: frozenset[str]
    hours: int
    agents: int | None
    grounds: frozenset[str]
    clause: str
    beside: frozenset[Condition] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do what to which categories, for which purposes, under which conditions (all of
    them).

    `is_for_anybody` where the document says in so many words that there are none.
    """

    roles: frozenset[str]
    categories: frozenset[str]
    actions: frozenset[Action]
    purposes: frozenset[str]
    conditions: frozenset[Condition]
    clause: str
    is_for_anybody: bool = False


@dataclass(frozen=True, slots=True)
class Prohibition:
    """What nobody may do; a matcher left empty matches everything, an exception takes out of the
    match.
    """

    id: str
    says: str
    clause: str
    roles: frozenset[str]
    categories: frozenset[str]
    actions: frozenset[Action]
    purposes: frozenset[str]
    recipient_kinds: frozenset[str]
    except_roles: frozenset[str]
    except_purposes: frozenset[str]
    except_recipient_kinds: frozenset[str]
    terms: tuple[str, ...]
    whole_terms: tuple[str, ...] = ()
    except_terms: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    vocabulary: str | None = None

    @property
    def has_terms(self) -> bool:
        """Whether names stand for what is prohibited."""
        return bool(self.terms or self.whole_terms or self.parts or self.vocabulary)


@dataclass(frozen=True, slots=True)
class RecipientKind:
    """A kind of recipient and whether an agreement must bind it."""

    id: str
    label: str
    agreement_required: bool
    clause: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """The contract that binds a recipient (GDPR Art. 28(3))."""

    reference: str
    since: dt.date


@dataclass(frozen=True, slots=True)
class Transfer:
    """A third-country transfer with its tool and the days on which it is in force."""

    tool: TransferTool
    reference: str
    since: dt.date
    until: dt.date | None

    def in_force(self, on: dt.date) -> bool:
        """Whether the tool covers the day `on`."""
        return self.since <= on and (self.until is None or on <= self.until)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody outside who may receive the named categories for the named purposes, and nothing
    else.
    """

    id: str
    name: str
    kind: str
    country: str
    hosts: frozenset[str]
    categories: frozenset[str]
    purposes: frozenset[str]
    agreement: Agreement | None
    transfer: Transfer | None
    clause: str


@dataclass(frozen=True, slots=True)
class Ground:
    """An exceptional ground of disclosure; each use needs the named details."""

    id: str
    label: str
    requires: frozenset[str]
    clause: str


@dataclass(frozen=True, slots=True)
class EndpointPurpose:
    """For what purpose a group of the package's own HTTP calls processes."""

    purpose: str
    clause: str


@dataclass(frozen=True, slots=True)
class RightRule:
    """Which roles may ask for which rights over whom, and what happens then."""

    rights: frozenset[str]
    subject: str
    roles: frozenset[str]
    condition: Condition
    outcome: RightOutcome
    purpose: str
    clause: str


@dataclass(frozen=True, slots=True)
class Deadline:
    """Months to answer a request, and months by which it may be extended (GDPR Art. 12(3))."""

    months: int
    extension_months: int
    archive_days: int
    clause: str


@dataclass(frozen=True, slots=True)
class Commitment:
    """A clause that rooms other than the gate carry out, with its parameters."""

    says: str
    clause: str
    parameters: Mapping[str, int | str | list[str]] = field(default_factory=dict)


COMMITMENTS = frozenset(
    {
        "declared-processing",
        "declared-stores",
        "device-storage",
        "undeclared-recipients",
        "transfer-tools",
        "processor-held",
        "integrity",
        "erasure",
        "strong-authentication",
        "statistics",
        "minimisation",
        "child-consent",
    }
)
"""Commitments that the code carries out, so every policy document states their clause."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the code can do, so that no policy document promises more.

    Attributes:
        rights: The names of the rights that have a handler.
        workflows: The names of the workflows by which grants come about.
    """

    rights: frozenset[str] = frozenset(Right)
    workflows: frozenset[str] = frozenset(Workflow)


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy document."""

    name: str
    version: str
    publisher: str
    source: str
    contact: Contact
    clauses: Mapping[str, Clause]
    regions: Mapping[str, frozenset[str]]
    subjects: Mapping[str, str]
    categories: Mapping[str, Category]
    conditions: Mapping[Condition, ConditionInfo]
    roles: Mapping[str, Role]
    purposes: Mapping[str, Purpose]
    rules: tuple[Rule, ...]
    prohibitions: tuple[Prohibition, ...]
    recipient_kinds: Mapping[str, RecipientKind]
    recipients: Mapping[str, Recipient]
    grounds: Mapping[str, Ground]
    grant_kinds: Mapping[str, GrantKind]
    rights: tuple[RightRule, ...]
    endpoints: Mapping[EndpointGroup, EndpointPurpose]
    deadline: Deadline
    commitments: Mapping[str, Commitment]

    @property
    def transfer_region(self) -> frozenset[str]:
        """The countries to which no transfer tool is needed; none where the document names no
        region for it.
        """
        region = self.commitments["transfer-tools"].parameters.get("region")
        return self.regions.get(region, frozenset()) if isinstance(region, str) else frozenset()

    def clause_of(self, commitment: str | None) -> str | None:
        """The clause of a commitment, or None where there is none."""
        declared = self.commitments.get(commitment) if commitment else None
        return declared.clause if declared else None
