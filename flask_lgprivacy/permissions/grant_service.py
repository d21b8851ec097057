"""How a grant comes about and ends: opened, asked, given, revoked, closed; each step by whom the
policy names, and in the trail.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, insert, or_, select, update
from sqlalchemy.exc import OperationalError

from ..database.identifiers import SubjectRef, canonical_id
from ..errors import ConfigurationError, RequestConflict, RequestInvalid
from ..gate.actor import Actor
from ..gate.runtime import Runtime
from ..policy.model import Condition, Workflow
from .grant_repository import find_assistance, find_grants
from .grant_rules import GrantRules, is_same_person, join_roles, slot_key
from .grants import AssistanceRequest, EmergencyNotice, Grant, GrantScope, GrantUse, Notifier

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")


class GrantService:
    """The grants of one application. Every method commits, and says in the trail what was done."""

    def __init__(
        self, runtime: Runtime, notify: Notifier | None, agents: frozenset[SubjectRef]
    ) -> None:
        self._runtime = runtime
        self._rules = GrantRules(runtime, agents)
        self._notify = notify

    # --- a client lets a guest in (LG-20) ---

    def give(
        self,
        kind: str,
        *,
        by: Actor,
        to: tuple[str, Any],
        categories: Iterable[str],
        scope: GrantScope,
        until: dt.datetime,
        purpose: str | None = None,
    ) -> Grant:
        """Let somebody see categories of people of the giver's client, until a moment.

        Args:
            kind: Of the policy document, one that needs neither a request nor a ground (`guest`).
            by: Who gives.
            to: As (kind, id) of an account of the same client.
            categories: What may be seen.
            scope: Of whom.
            until: With its time zone.
            purpose: Needed where the kind of grant has several.

        Raises:
            AccessDenied: The giver may not give.
            RequestInvalid: Names what is wrong.
        """
        grant_kind, client = self._rules.grant_kind(kind), self._rules.require_giver(kind, by)
        if grant_kind.workflow in (Workflow.ASSISTANCE, Workflow.EMERGENCY):
            raise RequestInvalid(
                f"kind: a {kind} grant needs a request for assistance, or a ground"
            )
        grantee = self._rules.stored_subject(to, client)
        aim = self._rules.choose_purpose(grant_kind, purpose)
        self._rules.check_categories(grant_kind, aim, frozenset(categories))
        scope = self._rules.stored_scope(scope, client)
        if until.tzinfo is None:
            raise RequestInvalid("until: a time with its zone, such as 2026-12-24T18:00:00+01:00")
        now = self._runtime.utcnow()
        try:
            until = until.astimezone(dt.UTC)
        except OverflowError:
            raise RequestInvalid(f"until: after now, and within {grant_kind.hours} hours") from None
        if not now < until <= now + dt.timedelta(hours=grant_kind.hours):
            raise RequestInvalid(f"until: after now, and within {grant_kind.hours} hours")
        return self._rules.record_grant(
            kind=kind,
            client=client,
            to=grantee,
            purpose=aim,
            categories=frozenset(categories),
            scope=scope,
            asked_by=by.key,
            asked_at=now,
            given_by=by.key,
            given_at=now,
            until=until,
            by=by,
        )

    # --- a client asks for assistance, and lets an agent in (LG-21, LG-22) ---

    def open_assistance(
        self,
        *,
        by: Actor,
        categories: Iterable[str],
        scope: GrantScope,
        hours: int,
        agent: tuple[str, Any] | None = None,
        reference: str | None = None,
    ) -> AssistanceRequest:
        """Open a client's request for assistance; it lets nobody in by itself.

        Args:
            by: Who asks for the client.
            categories: What may be seen.
            scope: Of whom.
            hours: Of access at most.
            agent: Where the client names one.
            reference: A ticket's number.

        Raises:
            AccessDenied: The actor may not ask.
            RequestInvalid: Names what is wrong.
        """
        kind = self._rules.assistance_kind()
        client = self._rules.client_of(by)
        if by.role not in kind.asked_by or client is None:
            self._rules.refuse(
                f"a request for assistance is opened by {join_roles(kind.asked_by)} of the client",
                kind,
                "role",
            )
        named_agent = (agent[0], canonical_id(agent[1])) if agent is not None else None
        if named_agent is not None and named_agent not in self._rules.agents:
            raise RequestInvalid(
                "agent: this account is not on the publisher's list of support agents"
            )
        self._rules.check_categories(
            kind, self._rules.choose_purpose(kind, None), frozenset(categories)
        )
        scope = self._rules.stored_scope(scope, client)
        if not 1 <= hours <= kind.hours:
            raise RequestInvalid(f"hours: between 1 and {kind.hours}")
        if reference is not None and not _REFERENCE.fullmatch(reference):
            raise RequestInvalid("reference: a ticket's number, of letters, digits and . _ / -")
        session, table = (
            self._runtime.database.clean_session(),
            self._runtime.database.tables.assistance,
        )
        number, requested_categories = uuid4().hex, sorted(frozenset(categories))
        values = {
            "id": number,
            "client": client,
            "opened_by": by.key,
            "opened_as": [list(account) for account in by.subjects],
            "agent_kind": named_agent[0] if named_agent else None,
            "agent": named_agent[1] if named_agent else None,
            "reference": reference,
            "categories": requested_categories,
            "scope": scope.as_json(),
            "hours": hours,
            "opened_at": self._runtime.utcnow(),
        }
        session.execute(insert(table).values(**values))
        self._rules.tell_of_step(
            "assistance", "opened", number, by, client=client, categories=requested_categories
        )
        session.commit()
        return self._rules.find_request(number)

    def ask(self, *, by: Actor, assistance: str) -> Grant:
        """An agent asks to be let in, for an open request for assistance; the client decides.

        Raises `AccessDenied` for whoever is not on the list of agents, or where the client named
        another one.
        """
        kind = self._rules.assistance_kind()
        agent = self._rules.require_agent(by, kind)
        request = self._rules.open_request(assistance)
        if request.agent is not None and request.agent != agent:
            self._rules.refuse(
                "the client named another agent for this request", kind, Condition.SUPPORT_GRANT
            )
        self._rules.make_room(request, agent)
        return self._rules.record_grant(
            kind=kind.id,
            client=request.client,
            to=agent,
            purpose=self._rules.choose_purpose(kind, None),
            categories=request.categories,
            scope=request.scope,
            assistance=request.id,
            slot=slot_key(request, agent),
            asked_by=by.key,
            asked_at=self._runtime.utcnow(),
            by=by,
        )

    def accept(
        self,
        *,
        by: Actor,
        assistance: str,
        to: tuple[str, Any],
        hours: int | None = None,
        categories: Iterable[str] | None = None,
        scope: GrantScope | None = None,
    ) -> Grant:
        """The client lets an agent in, who asked or whom somebody else of the client named.

        Args:
            by: Who decides.
            assistance: The id of the request for assistance.
            to: The agent, as (kind, id).
            hours: Narrows what was requested.
            categories: Narrow what was requested.
            scope: Narrows what was requested.

        Raises:
            AccessDenied: The same person would ask and give.
            RequestInvalid: Something is wider than the request.
        """
        kind, client = (
            self._rules.assistance_kind(),
            self._rules.require_giver(self._rules.assistance_kind().id, by),
        )
        agent = (to[0], canonical_id(to[1]))
        request = self._rules.open_request(assistance, client)
        if agent not in self._rules.agents:
            self._rules.refuse(
                "the account is not on the publisher's list of support agents",
                kind,
                Condition.SUPPORT_GRANT,
            )
        if request.agent is not None and request.agent != agent:
            raise RequestInvalid("to: the request names another agent")
        pending = self._rules.pending_grant(request, agent)
        asked_by = (
            pending.asked_by
            if pending is not None
            else request.opened_by
            if request.agent
            else None
        )
        if asked_by is None:
            raise RequestInvalid(
                "to: this agent has not asked, and the request names no agent; let the agent ask "
                "first"
            )
        is_opener = pending is None and not request.opened_as.isdisjoint(by.subjects)
        if is_same_person(asked_by, by) or agent in by.subjects or is_opener:
            self._rules.refuse(
                "the person who named the agent cannot also give the grant; a colleague gives it, "
                "or the agent asks for it",
                kind,
                "a second person",
            )
        narrowed = frozenset(categories) if categories is not None else request.categories
        within = self._rules.stored_scope(scope, client) if scope is not None else request.scope
        if not narrowed or narrowed - request.categories or not within.is_within(request.scope):
            raise RequestInvalid("categories, scope: no wider than the request for assistance")
        if hours is not None and not 1 <= hours <= request.hours:
            raise RequestInvalid(f"hours: between 1 and {request.hours}")
        now = self._runtime.utcnow()
        values_given: dict[str, Any] = {
            "given_by": by.key,
            "given_at": now,
            "until": now + dt.timedelta(hours=hours or request.hours),
        }
        if pending is None:
            self._rules.make_room(request, agent)
            return self._rules.record_grant(
                kind=kind.id,
                client=client,
                to=agent,
                purpose=self._rules.choose_purpose(kind, None),
                categories=narrowed,
                scope=within,
                assistance=request.id,
                slot=slot_key(request, agent),
                asked_by=asked_by,
                asked_at=request.opened_at,
                by=by,
                **values_given,
            )
        session, table = self._runtime.database.clean_session(), self._runtime.database.tables.grant
        values = {**values_given, "categories": sorted(narrowed), "scope": within.as_json()}
        is_asked = (
            (table.c.id == pending.id) & table.c.given_at.is_(None) & table.c.revoked_at.is_(None)
        )
        done: Any = session.execute(update(table).where(is_asked).values(**values))
        if done.rowcount != 1:
            session.rollback()
            raise RequestConflict("this was given or revoked meanwhile; look at the list of grants")
        grant = self._rules.find_grant(pending.id)
        self._rules.tell_of_grant(grant, "given", by)
        session.commit()
        return grant

    def close(self, *, by: Actor, assistance: str) -> AssistanceRequest:
        """The client closes its request for assistance; every grant for it ends."""
        kind = self._rules.assistance_kind()
        request = self._rules.find_request(assistance)
        if (
            request.client != self._rules.client_of(by)
            or by.role not in kind.asked_by | kind.given_by
        ):
            self._rules.refuse_as_missing("there is no such request for assistance here")
        session, table = (
            self._runtime.database.clean_session(),
            self._runtime.database.tables.assistance,
        )
        is_open = (table.c.id == request.id) & table.c.closed_at.is_(None)
        session.execute(update(table).where(is_open).values(closed_at=self._runtime.utcnow()))
        self._rules.tell_of_step(
            "assistance",
            "closed",
            request.id,
            by,
            client=request.client,
            categories=sorted(request.categories),
        )
        session.commit()
        return self._rules.find_request(assistance)

    # --- an emergency, of which the client is told (LG-13) ---

    def declare_emergency(
        self,
        *,
        by: Actor,
        client: Any,
        to: tuple[str, Any],
        ground: str,
        case: str,
        categories: Iterable[str],
        scope: GrantScope,
        hours: int,
    ) -> Grant:
        """Let an agent see data of a client without the client's word, on a named ground.

        The client is told first.

        Args:
            by: Who decides, with strong authentication.
            client: Whose data it is.
            to: The agent, as (kind, id).
            ground: Of the policy document.
            case: Its reference.
            categories: What may be seen.
            scope: Of whom.
            hours: Of access at most.

        Raises:
            AccessDenied: The actor may not declare one.
            RequestInvalid: Names what is wrong.
            ConfigurationError: The application has no way to tell a client (`LGPrivacy(notify=…)`).
        """
        kind = next(
            (
                candidate
                for candidate in self._runtime.policy.grant_kinds.values()
                if candidate.workflow == Workflow.EMERGENCY
            ),
            None,
        )
        if kind is None:
            raise RequestInvalid("kind: the policy document knows no emergency")
        if by.role not in kind.given_by:
            self._rules.refuse(
                f"an emergency is declared by {join_roles(kind.given_by)}", kind, "role"
            )
        if not by.strongly_authenticated:
            self._rules.refuse(
                "staff must sign in with strong authentication",
                kind,
                Condition.STRONG_AUTHENTICATION,
            )
        if self._notify is None:
            raise ConfigurationError(
                "an emergency has to be told to the client; set the extension up with "
                "LGPrivacy(notify=…)"
            )
        agent, client_id = (to[0], canonical_id(to[1])), self._rules.stored_client(client)
        if ground not in kind.grounds:
            raise RequestInvalid(f"ground: one of {', '.join(sorted(kind.grounds))}")
        if not _REFERENCE.fullmatch(case):
            raise RequestInvalid("case: a reference, of letters, digits and . _ / -")
        if agent not in self._rules.agents or agent in by.subjects:
            raise RequestInvalid("to: a colleague on the list of support agents")
        aim, requested_categories = self._rules.choose_purpose(kind, None), frozenset(categories)
        self._rules.check_categories(kind, aim, requested_categories)
        scope = self._rules.stored_scope(scope, client_id)
        if not 1 <= hours <= kind.hours:
            raise RequestInvalid(f"hours: between 1 and {kind.hours}")
        now = self._runtime.utcnow()
        until = now + dt.timedelta(hours=hours)
        number = uuid4().hex
        self._notify(EmergencyNotice(client_id, number, ground, case, requested_categories, until))
        return self._rules.record_grant(
            kind=kind.id,
            client=client_id,
            to=agent,
            purpose=aim,
            categories=requested_categories,
            scope=scope,
            ground=ground,
            case_reference=case,
            asked_by=by.key,
            asked_at=now,
            given_by=by.key,
            given_at=now,
            until=until,
            by=by,
            number=number,
        )

    # --- for all of them ---

    def revoke(self, *, by: Actor, grant: str) -> Grant:
        """End a grant of the actor's own client; holds from the next request. Raises
        `RequestNotFound`.
        """
        visible = next(
            (candidate for candidate in self.visible_to(by) if candidate.id == grant), None
        )
        is_theirs = (
            visible is not None
            and self._rules.client_of(by) == visible.client
            and by.role in self._rules.giving_roles()
        )
        if visible is None or not (
            is_theirs or (self._rules.declares_emergencies(by) and visible.given_by == by.key)
        ):
            self._rules.refuse_as_missing("there is no such grant here")
        session, table = self._runtime.database.clean_session(), self._runtime.database.tables.grant
        ended = {"revoked_at": self._runtime.utcnow(), "revoked_by": by.key, "slot": None}
        session.execute(
            update(table).where(table.c.id == grant, table.c.revoked_at.is_(None)).values(**ended)
        )
        grant_now = self._rules.find_grant(grant)
        self._rules.tell_of_grant(grant_now, "revoked", by)
        try:
            session.commit()
        except OperationalError:
            session.rollback()
            self._rules.tell_of_grant(visible, "not-revoked", by)
            raise RequestConflict(
                "the database is busy with a reader, so the grant still stands; try again, and use "
                "SQLite in WAL mode or PostgreSQL"
            ) from None
        return grant_now

    def visible_to(self, actor: Actor) -> list[Grant]:
        """The grants of the actor's client, for whoever gives them; those to the actor, and those
        that the actor gave.
        """
        self._rules.check_strength(actor)
        table = self._runtime.database.tables.grant.c
        criteria: list[ColumnElement[bool]] = [
            (table.grantee_kind == kind) & (table.grantee_id == subject_id)
            for kind, subject_id in actor.subjects
        ]
        if self._rules.client_of(actor) is not None and actor.role in self._rules.giving_roles():
            criteria.append(table.client == actor.client)
        if self._rules.declares_emergencies(actor):
            criteria.append(table.given_by == actor.key)
        if not criteria:
            return []
        return find_grants(
            self._runtime.database.session(), self._runtime.database.tables, or_(*criteria)
        )

    def assistance_visible_to(self, actor: Actor) -> list[AssistanceRequest]:
        """The requests for assistance of the actor's client; for an agent, the open ones that name
        nobody else.
        """
        self._rules.check_strength(actor)
        kind, table = self._rules.assistance_kind(), self._runtime.database.tables.assistance.c
        session, tables = self._runtime.database.session(), self._runtime.database.tables
        if self._rules.client_of(actor) is not None and actor.role in kind.asked_by | kind.given_by:
            return find_assistance(session, tables, table.client == actor.client)
        own_accounts = [item for item in actor.subjects if item in self._rules.agents]
        if actor.role != kind.to or not own_accounts:
            return []
        is_open = find_assistance(session, tables, table.closed_at.is_(None))
        return [item for item in is_open if item.agent is None or item.agent in own_accounts]

    def uses_of(self, grants: Iterable[Grant]) -> dict[str, list[GrantUse]]:
        """By grant, each of its uses, newest first."""
        table = self._runtime.database.tables.grant_use
        ids = [grant.id for grant in grants]
        uses: dict[str, list[GrantUse]] = {grant_id: [] for grant_id in ids}
        for row in self._runtime.database.session().execute(
            select(table)
            .where(table.c.grant_id.in_(ids))
            .order_by(table.c.occurred_at.desc(), table.c.id)
        ):
            uses[row.grant_id].append(
                GrantUse(row.occurred_at, row.endpoint, row.category, row.action, row.subjects)
            )
        return uses
