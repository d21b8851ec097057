"""What all grants have in common: who may give, what may be named, how a step is recorded and told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, NoReturn
from uuid import uuid4

from sqlalchemy import insert, select

from ..audit import Permission
from ..errors import AccessDenied, ConfigurationError, RequestConflict, RequestInvalid, RequestNotFound
from ..models import SubjectName, current_opener, identifier
from ..models.columns import client_column, subject_column, typed
from ..policy import Condition, GrantKind, Policy
from .actor import Actor
from .grants import Assistance, Grant, Scope, allowed_categories, find_assistance, find_grants
from .house import House
from .processing import Processing


class Desk:
    """The checks and records behind every step of a grant."""

    def __init__(self, house: House) -> None:
        self._house = house

    def _kind(self, kind: str) -> GrantKind:
        found = self._house.policy.grant_kinds.get(kind)
        if found is None:
            raise RequestInvalid(f"kind: one of {', '.join(sorted(self._house.policy.grant_kinds))}")
        return found

    def _support(self) -> GrantKind:
        found = next((one for one in self._house.policy.grant_kinds.values() if one.asked_by), None)
        if found is None:
            raise RequestInvalid("kind: the policy document knows no assistance")
        return found

    def _givers(self) -> frozenset[str]:
        return frozenset().union(
            *(kind.given_by for kind in self._house.policy.grant_kinds.values() if not kind.grounds)
        )

    def _giver(self, kind: str, by: Actor) -> str:
        found = self._kind(kind)
        if by.role not in found.given_by or by.client is None:
            self._refuse(f"a {kind} grant is given by {either(found.given_by)} of the client", found, "role")
        return by.client

    def _agent(self, by: Actor, kind: GrantKind) -> SubjectName:
        me = next((one for one in by.subjects if one in self._house.agents), None)
        if by.role != kind.to or me is None:
            self._refuse(
                "only a support agent on the publisher's list asks to be let in", kind, Condition.SUPPORT_GRANT
            )
        if not by.strongly_authenticated:
            self._refuse("staff must sign in with strong authentication", kind, Condition.STRONG_AUTHENTICATION)
        return me

    def _purpose(self, kind: GrantKind, purpose: str | None) -> str:
        possible = allowed_categories(kind, self._house.policy.rules)
        if purpose is None and len(possible) == 1:
            return next(iter(possible))
        if purpose not in possible:
            raise RequestInvalid(f"purpose: one of {', '.join(sorted(possible))}")
        return purpose

    def _check_categories(self, kind: GrantKind, purpose: str, categories: frozenset[str]) -> None:
        possible = allowed_categories(kind, self._house.policy.rules)[purpose]
        if not categories or categories - possible:
            raise RequestInvalid(f"categories: some of {', '.join(sorted(possible))}")

    def _check_scope(self, scope: Scope, client: str) -> None:
        """Every subject that is named has to be the client's own."""
        for kind, one in sorted(scope.subjects):
            self._check_belongs((kind, one), client)
        if scope.groups and not any(
            self._house.graph.scope_column(kind) is not None for kind in self._house.graph.subjects
        ):
            raise RequestInvalid("groups: no model says what its groups are; write subject(…, scope='…')")

    def _check_belongs(self, who: SubjectName, client: str) -> None:
        layout = self._house.graph.subjects.get(who[0])
        if layout is None or layout.client is None:
            raise RequestInvalid(
                f"kind: one of {', '.join(sorted(self._house.graph.subjects))}, whose model names its client"
            )
        key = subject_column(layout)
        try:
            found = (
                self._house.session().execute(select(client_column(layout)).where(key == typed(key, who[1]))).scalar()
            )
        except (TypeError, ValueError):
            found = None
        if found is None or identifier(found) != client:
            raise RequestInvalid(f"id: there is no such {who[0]} in this organisation")

    def _asked(self, request: Assistance, who: SubjectName) -> Grant | None:
        table = self._house.tables.grant.c
        asked = (table.assistance == request.id, table.given_at.is_(None), table.revoked_at.is_(None))
        mine = (table.to_kind == who[0], table.to == who[1])
        return next(iter(find_grants(self._house.session(), self._house.tables, *asked, *mine)), None)

    def _open(self, assistance: str) -> Assistance:
        found = self._assistance(assistance)
        if found.closed_at is not None:
            raise RequestConflict("this request for assistance is closed; open a new one")
        return found

    def _assistance(self, one: str) -> Assistance:
        is_it = self._house.tables.assistance.c.id == one
        found = next(iter(find_assistance(self._house.session(), self._house.tables, is_it)), None)
        if found is None:
            raise RequestNotFound("there is no such request for assistance here")
        return found

    def _grant(self, one: str) -> Grant:
        return find_grants(self._house.session(), self._house.tables, self._house.tables.grant.c.id == one)[0]

    def _record(
        self,
        *,
        by: Actor,
        to: SubjectName,
        categories: frozenset[str],
        scope: Scope,
        number: str | None = None,
        **values: Any,
    ) -> Grant:
        session = self._house.clean_session()
        row = {
            "id": number or uuid4().hex,
            "to_kind": to[0],
            "to": to[1],
            "categories": sorted(categories),
            "scope": scope.as_json(),
            **values,
        }
        session.execute(insert(self._house.tables.grant).values(**row))
        grant = self._grant(row["id"])
        self._tell_of(grant, "given" if grant.given_at else "asked", by)
        session.commit()
        return grant

    def _refuse(self, why: str, kind: GrantKind, missing: str) -> NoReturn:
        denied = AccessDenied(why, clause=kind.clause, missing=missing)
        opener = current_opener.get()
        if isinstance(opener, Processing):
            opener.refuse(denied)
        raise denied

    def _tell_of(self, grant: Grant, step: str, by: Actor) -> None:
        self._tell(
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

    def _tell(
        self,
        kind: str,
        step: str,
        number: str,
        by: Actor,
        *,
        client: str,
        categories: list[str],
        to: SubjectName | None = None,
        until: dt.datetime | None = None,
        ground: str | None = None,
    ) -> None:
        house, opener = self._house, current_opener.get()
        named = house.policy.grant_kinds.get(kind) or self._support()
        house.trail.commit(
            Permission(
                at=house.now(),
                kind=kind,
                step=step,
                id=number,
                to=house.pseudonym_of(to) if to is not None else None,
                client=client,
                purpose=None,
                categories=tuple(categories),
                until=until.isoformat() if until is not None else None,
                ground=ground,
                actor=opener.actor_name if isinstance(opener, Processing) else None,
                role=by.role,
                clause=named.clause,
            )
        )


def check_agents(agents: frozenset[SubjectName], policy: Policy) -> None:
    """Refuse a list of support agents that is not short; raises `ConfigurationError` naming the clause."""
    for kind in policy.grant_kinds.values():
        if kind.agents is not None and len(agents) > kind.agents:
            raise ConfigurationError(
                f"LGPRIVACY_AGENTS names more than {kind.agents} people [{kind.clause}]", clause=kind.clause
            )


def either(roles: Iterable[str]) -> str:
    """Roles as a message names them."""
    return " or ".join(sorted(roles))
