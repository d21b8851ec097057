"""The ways in which a grant comes about; the policy document names one for each kind of grant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Protocol

from ..errors import RequestInvalid
from ..gate.actor import Actor
from ..policy.model import GrantKind, Workflow
from .grant_service import GrantService
from .grants import Grant, GrantScope


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantProposal:
    """What somebody who gives a grant said; what was left out is None.

    Attributes:
        by: Who gives.
        kind: Which kind of grant.
        to: The grantee, as (kind, id).
        categories: What may be seen.
        scope: Of whom.
        purpose: For what.
        until: The moment at which it ends, with its time zone.
        hours: For how long.
        assistance: The id of the request for assistance.
        client: Whose data it is, where somebody else than the client gives.
        ground: On which it is given without the client's word.
        case: The reference of that ground's case.
    """

    by: Actor
    kind: GrantKind
    to: tuple[str, str]
    categories: Iterable[str] | None = None
    scope: GrantScope | None = None
    purpose: str | None = None
    until: dt.datetime | None = None
    hours: int | None = None
    assistance: str | None = None
    client: str | None = None
    ground: str | None = None
    case: str | None = None

    def refuse_unused(self, takes: Iterable[str]) -> None:
        """Raise `RequestInvalid` for what was said and is not taken."""
        for field in fields(self):
            said = field.name not in {"by", "kind", "to", *takes}
            if said and getattr(self, field.name) is not None:
                raise RequestInvalid(
                    f"{field.name}: a {self.kind.id} grant does not take it, but "
                    f"{', '.join(sorted(takes))}"
                )

    def require(self, name: str) -> Any:
        """What was said under a name; raises `RequestInvalid` where it was left out."""
        value = getattr(self, name)
        if value is None:
            remedy = "; name all, subjects or groups" if name == "scope" else ""
            raise RequestInvalid(f"{name}: is missing{remedy}")
        return value


class GrantWorkflow(Protocol):
    """How a kind of grant comes about.

    Attributes:
        name: As the policy document writes it.
        takes: What a proposal may say besides kind and grantee; anything else is refused, so that
            nobody takes a limit for one that holds.
    """

    name: str
    takes: frozenset[str]

    def give(self, grants: GrantService, proposal: GrantProposal) -> Grant:
        """Give a grant.

        Raises:
            AccessDenied: The actor may not give it.
            RequestInvalid: Names what is wrong with the proposal.
        """


class InvitationWorkflow:
    """`invitation`: the client lets somebody in of its own accord (LG-20)."""

    name = Workflow.INVITATION.value
    takes = frozenset({"categories", "scope", "purpose", "until"})

    def give(self, grants: GrantService, proposal: GrantProposal) -> Grant:
        """Give it until the moment that the proposal names."""
        return grants.give(
            proposal.kind.id,
            by=proposal.by,
            to=proposal.to,
            categories=proposal.require("categories"),
            scope=proposal.require("scope"),
            until=proposal.require("until"),
            purpose=proposal.purpose,
        )


class AssistanceWorkflow:
    """`assistance`: the client lets in an agent for its own request for assistance
    (LG-21, LG-22).
    """

    name = Workflow.ASSISTANCE.value
    takes = frozenset({"assistance", "categories", "scope", "hours"})

    def give(self, grants: GrantService, proposal: GrantProposal) -> Grant:
        """Give what the request says, or less where the proposal narrows it."""
        return grants.accept(
            by=proposal.by,
            assistance=proposal.require("assistance"),
            to=proposal.to,
            hours=proposal.hours,
            categories=proposal.categories,
            scope=proposal.scope,
        )


class EmergencyWorkflow:
    """`emergency`: the publisher lets an agent in on a ground, and tells the client (LG-13)."""

    name = Workflow.EMERGENCY.value
    takes = frozenset({"client", "ground", "case", "categories", "scope", "hours"})

    def give(self, grants: GrantService, proposal: GrantProposal) -> Grant:
        """Tell the client, then give it."""
        return grants.declare_emergency(
            by=proposal.by,
            client=proposal.require("client"),
            to=proposal.to,
            ground=proposal.require("ground"),
            case=proposal.require("case"),
            categories=proposal.require("categories"),
            scope=proposal.require("scope"),
            hours=proposal.require("hours"),
        )


WORKFLOWS: tuple[GrantWorkflow, ...] = (
    InvitationWorkflow(),
    AssistanceWorkflow(),
    EmergencyWorkflow(),
)
"""Those that are built in."""
