"""The rules that all grants share: who may give, what may be named, how a step is recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, NoReturn
from uuid import uuid4

from sqlalchemy import Select, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError

from ..database.identifiers import SubjectRef, canonical_id
from ..errors import (
    AccessDenied,
    ConfigurationError,
    PrivacyError,
    RequestConflict,
    RequestInvalid,
    RequestNotFound,
)
from ..gate.actor import Actor
from ..gate.client_spelling import acting_client
from ..gate.context import ProcessingContext
from ..gate.runtime import Runtime
from ..orm.columns import client_column, coerce, matches_any_id, subject_column
from ..orm.context import current_context
from ..policy.model import Condition, GrantKind, Policy, Workflow
from .grant_repository import find_assistance, find_grants
from .grants import AssistanceRequest, Grant, GrantScope


class GrantRules:
    """The checks and records behind every step of a grant."""

    def __init__(self, runtime: Runtime, agents: frozenset[SubjectRef]) -> None:
        self._runtime = runtime
        self.agents = agents

    def grant_kind(self, kind: str) -> GrantKind:
        grant_kind = self._runtime.policy.grant_kinds.get(kind)
        if grant_kind is None:
            raise RequestInvalid(
                f"kind: one of {', '.join(sorted(self._runtime.policy.grant_kinds))}"
            )
        return grant_kind

    def assistance_kind(self) -> GrantKind:
        grant_kind = next(
            (
                candidate
                for candidate in self._runtime.policy.grant_kinds.values()
                if candidate.workflow == Workflow.ASSISTANCE
            ),
            None,
        )
        if grant_kind is None:
            raise RequestInvalid("kind: the policy document knows no assistance")
        return grant_kind

    def giving_roles(self) -> frozenset[str]:
        return frozenset().union(
            *(
                kind.given_by
                for kind in self._runtime.policy.grant_kinds.values()
                if kind.workflow != Workflow.EMERGENCY
            )
        )

    def require_giver(self, kind: str, by: Actor) -> str:
        grant_kind = self.grant_kind(kind)
        client = self.client_of(by)
        if by.role not in grant_kind.given_by or client is None:
            self.refuse(
                f"a {kind} grant is given by {join_roles(grant_kind.given_by)} of the client",
                grant_kind,
                "role",
            )
        return client

    def require_agent(self, by: Actor, kind: GrantKind) -> SubjectRef:
        agent = next((account for account in by.subjects if account in self.agents), None)
        if by.role != kind.to or agent is None:
            self.refuse(
                "only a support agent on the publisher's list asks to be let in",
                kind,
                Condition.SUPPORT_GRANT,
            )
        if not by.strongly_authenticated:
            self.refuse(
                "staff must sign in with strong authentication",
                kind,
                Condition.STRONG_AUTHENTICATION,
            )
        return agent

    def choose_purpose(self, kind: GrantKind, purpose: str | None) -> str:
        possible = allowed_categories(kind, self._runtime.policy.rules)
        if purpose is None and len(possible) == 1:
            return next(iter(possible))
        if purpose not in possible:
            raise RequestInvalid(f"purpose: one of {', '.join(sorted(possible))}")
        return purpose

    def check_categories(self, kind: GrantKind, purpose: str, categories: frozenset[str]) -> None:
        possible = allowed_categories(kind, self._runtime.policy.rules)[purpose]
        if not categories or categories - possible:
            raise RequestInvalid(
                f"categories: must be one or more of {', '.join(sorted(possible))}"
            )

    def stored_scope(self, scope: GrantScope, client: str) -> GrantScope:
        """A scope with its names as the data has them; every subject has to be the client's own,
        and every group a group.
        """
        subjects = frozenset(self.stored_subject(subject, client) for subject in scope.subjects)
        columns = [
            self._runtime.models.graph.scope_column(kind)
            for kind in self._runtime.models.graph.subjects
        ]
        group_columns = [column for column in columns if column is not None]
        if scope.groups and not group_columns:
            raise RequestInvalid(
                "groups: no model says what its groups are; write subject(…, scope='…')"
            )
        groups = frozenset(
            _coerce_to_columns(group_columns, group, "groups: a value is not the id of a group")
            for group in scope.groups
        )
        return GrantScope(scope.everybody, subjects, groups)

    def stored_subject(self, subject: tuple[str, Any], client: str) -> SubjectRef:
        """A subject's name as the data has it; raises `RequestInvalid` where it is not the client's
        own.
        """
        layout = self._runtime.models.graph.subjects.get(subject[0])
        if layout is None or layout.client is None:
            kinds = ", ".join(sorted(self._runtime.models.graph.subjects))
            raise RequestInvalid(f"kind: one of {kinds}, whose model names its client")
        key = subject_column(layout)
        absent = f"id: there is no such {subject[0]} in this organisation"
        subject_id = _coerce_to_columns([key], canonical_id(subject[1]), absent)
        stored_client = self.first_value(
            select(client_column(layout)).where(key == coerce(key, subject_id))
        )
        if stored_client is None or canonical_id(stored_client) != client:
            raise RequestInvalid(absent)
        return subject[0], subject_id

    def first_value(self, query: Select[Any]) -> Any:
        """The first value of a query; None also where the database cannot hold what is
        looked for.
        """
        session = self._runtime.database.clean_session()
        try:
            return session.execute(query.limit(1)).scalar()
        except (OverflowError, UnicodeError, DataError):
            session.rollback()
            return None

    def stored_client(self, client: Any) -> str:
        """A client's name as the data has it; raises `RequestInvalid` where nobody of it is
        there.
        """
        absent = "client: there is no such client"
        columns = [
            client_column(layout)
            for layout in self._runtime.models.graph.subjects.values()
            if layout.client is not None
        ]
        name = _coerce_to_columns(columns, canonical_id(client), absent)
        for column in columns:
            if self.first_value(select(column).where(matches_any_id(column, [name]))) is not None:
                return name
        raise RequestInvalid(absent)

    def check_strength(self, actor: Actor) -> None:
        """Staff see nothing of grants without strong authentication (LG-23)."""
        role = self._runtime.policy.roles.get(actor.role)
        if role is not None and role.side == "publisher" and not actor.strongly_authenticated:
            text = self._runtime.policy.conditions[Condition.STRONG_AUTHENTICATION]
            self.deny(
                AccessDenied(
                    text.missing, clause=text.clause, missing=Condition.STRONG_AUTHENTICATION
                )
            )

    def client_of(self, actor: Actor) -> str | None:
        return acting_client(self._runtime.models.graph, self._runtime.database.session(), actor)

    def declares_emergencies(self, actor: Actor) -> bool:
        return any(
            kind.workflow == Workflow.EMERGENCY and actor.role in kind.given_by
            for kind in self._runtime.policy.grant_kinds.values()
        )

    def make_room(self, request: AssistanceRequest, agent: SubjectRef) -> None:
        """One grant for a request and agent at a time: one that has expired gives up its place."""
        table = self._runtime.database.tables.grant
        place, now = slot_key(request, agent), self._runtime.utcnow()
        grants = find_grants(
            self._runtime.database.session(), self._runtime.database.tables, table.c.slot == place
        )
        if grants and grants[0].state(now) != "expired":
            raise RequestConflict(
                "there is one for this request and agent; it is in the list of grants"
            )
        if grants:
            self._runtime.database.clean_session().execute(
                update(table).where(table.c.id == grants[0].id).values(slot=None)
            )

    def pending_grant(self, request: AssistanceRequest, agent: SubjectRef) -> Grant | None:
        table = self._runtime.database.tables.grant.c
        is_pending = (
            table.assistance == request.id,
            table.given_at.is_(None),
            table.revoked_at.is_(None),
        )
        is_to_agent = (table.grantee_kind == agent[0], table.grantee_id == agent[1])
        return next(
            iter(
                find_grants(
                    self._runtime.database.session(),
                    self._runtime.database.tables,
                    *is_pending,
                    *is_to_agent,
                )
            ),
            None,
        )

    def open_request(self, assistance: str, client: str | None = None) -> AssistanceRequest:
        request = self.find_request(assistance)
        if client is not None and request.client != client:
            self.refuse_as_missing("there is no such request for assistance here")
        if request.closed_at is not None:
            raise RequestConflict("this request for assistance is closed; open a new one")
        return request

    def find_request(self, request_id: str) -> AssistanceRequest:
        is_it = self._runtime.database.tables.assistance.c.id == request_id
        request = next(
            iter(
                find_assistance(
                    self._runtime.database.session(), self._runtime.database.tables, is_it
                )
            ),
            None,
        )
        if request is None:
            self.refuse_as_missing("there is no such request for assistance here")
        return request

    def find_grant(self, grant_id: str) -> Grant:
        return find_grants(
            self._runtime.database.session(),
            self._runtime.database.tables,
            self._runtime.database.tables.grant.c.id == grant_id,
        )[0]

    def record_grant(
        self,
        *,
        by: Actor,
        to: SubjectRef,
        categories: frozenset[str],
        scope: GrantScope,
        number: str | None = None,
        **values: Any,
    ) -> Grant:
        session = self._runtime.database.clean_session()
        row = {
            "id": number or uuid4().hex,
            "grantee_kind": to[0],
            "grantee_id": to[1],
            "categories": sorted(categories),
            "scope": scope.as_json(),
            **values,
        }
        try:
            session.execute(insert(self._runtime.database.tables.grant).values(**row))
        except IntegrityError:
            session.rollback()
            raise RequestConflict(
                "somebody else asked or gave the same at this moment; look at the list of grants"
            ) from None
        grant = self.find_grant(row["id"])
        self.tell_of_grant(grant, "given" if grant.given_at else "asked", by)
        session.commit()
        return grant

    def refuse(self, reason: str, kind: GrantKind, missing: str) -> NoReturn:
        self.deny(AccessDenied(reason, clause=kind.clause, missing=missing))

    def refuse_as_missing(self, reason: str) -> NoReturn:
        """There is no such thing, or not for this actor; the trail hears of the attempt."""
        self.deny(RequestNotFound(reason))

    def deny(self, refusal: PrivacyError) -> NoReturn:
        context = current_context.get()
        if isinstance(context, ProcessingContext):
            context.refuse(refusal)
        raise refusal

    def tell_of_grant(self, grant: Grant, step: str, by: Actor) -> None:
        self.tell_of_step(
            grant.kind,
            step,
            grant.id,
            by,
            client=grant.client,
            categories=sorted(grant.categories),
            to=grant.to,
            until=grant.until,
            ground=grant.ground,
        )

    def tell_of_step(
        self,
        kind: str,
        step: str,
        number: str,
        by: Actor,
        *,
        client: str,
        categories: list[str],
        to: SubjectRef | None = None,
        until: dt.datetime | None = None,
        ground: str | None = None,
    ) -> None:
        policy = self._runtime.policy
        clause = (policy.grant_kinds.get(kind) or self.assistance_kind()).clause
        self._runtime.audit.permission(
            kind=kind,
            step=step,
            id=number,
            to=to,
            client=client,
            categories=categories,
            until=until,
            ground=ground,
            role=by.role,
            clause=clause,
        )


def check_agents(agents: frozenset[SubjectRef], policy: Policy) -> None:
    """Refuse a list of support agents that is not short; raises `ConfigurationError` naming the
    clause.
    """
    for kind in policy.grant_kinds.values():
        if kind.agents is not None and len(agents) > kind.agents:
            raise ConfigurationError(
                f"LGPRIVACY_AGENTS names more than {kind.agents} people [{kind.clause}]",
                clause=kind.clause,
            )


def slot_key(request: AssistanceRequest, agent: SubjectRef) -> str:
    """What is held by one grant at a time: an agent's place at a request for assistance."""
    return f"{request.id}:{agent[0]}:{agent[1]}"


def is_same_person(key: str, actor: Actor) -> bool:
    """Whether an actor's key names somebody, in whichever role."""
    return key.partition(":")[2] == actor.key.partition(":")[2]


def _coerce_to_columns(columns: Iterable[Any], text: str, absent: str) -> str:
    """Coerce an identifier to the first column type that accepts it; return its stored form.

    Raises:
        RequestInvalid: No column accepts it.
    """
    for column in columns:
        try:
            text.encode()
            return canonical_id(coerce(column, text))
        except (TypeError, ValueError):
            continue
    raise RequestInvalid(absent)


def join_roles(roles: Iterable[str]) -> str:
    """Roles as a message names them."""
    return " or ".join(sorted(roles))


def allowed_categories(kind: GrantKind, rules: Iterable[Any]) -> dict[str, frozenset[str]]:
    """By purpose, the categories that a kind of grant can open: those of rules that ask for its
    condition.
    """
    by_purpose: dict[str, set[str]] = {}
    for rule in rules:
        if kind.condition in rule.conditions and kind.to in rule.roles:
            for purpose in rule.purposes:
                by_purpose.setdefault(purpose, set()).update(rule.categories)
    return {purpose: frozenset(categories) for purpose, categories in by_purpose.items()}
