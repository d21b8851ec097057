"""Which conditions of the policy document hold for one actor, client and data subject, at this moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef
from ..permissions.grant_repository import grants_held, has_open_assistance, members
from ..permissions.grants import Grant
from ..policy.model import GRANTED, Condition, GrantKind
from .actor import Actor
from .client_spelling import acting_client

if TYPE_CHECKING:
    from .runtime import Runtime


BELIEVED_FOR = dt.timedelta(seconds=1)
"""How long what was looked up about grants is believed: a revocation holds in the next request, and in a long job after this."""


class FactResolver:
    """What holds for one actor; grants and requests for assistance are looked up when a rule first asks for them."""

    __slots__ = (
        "_actor",
        "_assisted",
        "_has_client",
        "_held",
        "_house",
        "_looked_at",
        "_members",
        "_session",
    )

    def __init__(self, house: Runtime, actor: Actor | None, session: Callable[[], Session]) -> None:
        self._house = house
        self._actor = actor
        self._session = session
        self._has_client: bool | None = None
        self._looked_at: dt.datetime | None = None
        self._held: list[Grant] = []
        self._assisted: dict[str, bool] = {}
        self._members: dict[tuple[str, str], frozenset[str]] = {}

    def of_client(self, asks: frozenset[Condition], client: str | None) -> set[Condition]:
        """Those of the conditions asked for that hold whoever the subject is."""
        actor = self._actor
        facts: set[Condition] = set()
        if actor is None:
            return facts
        if client is not None and actor.client == client and self._acts_for_its_client():
            facts.add(Condition.OWN_CLIENT)
        if actor.strongly_authenticated:
            facts.add(Condition.STRONG_AUTHENTICATION)
        if (
            client is not None
            and Condition.ASSISTANCE_REQUEST in asks
            and self._is_assisted(client)
        ):
            facts.add(Condition.ASSISTANCE_REQUEST)
        if (
            client is not None
            and Condition.DIRECT_PAYMENT in asks
            and self._house.pays_directly(client) is True
        ):
            facts.add(Condition.DIRECT_PAYMENT)
        return facts

    def of_subject(
        self,
        asks: frozenset[Condition],
        client: str | None,
        subject: SubjectRef,
        category: str,
        purpose: str,
    ) -> tuple[set[Condition], list[Grant]]:
        """Those that hold for one subject, and the grants that met them."""
        facts, used = set(), []
        if Condition.CONSENT in asks and self._house.has_consent(
            self._session(), subject, purpose, category
        ):
            facts.add(Condition.CONSENT)
        if client is not None and not asks.isdisjoint(GRANTED):
            for grant in self._grants(client, category, purpose):
                kind = self._house.policy.grant_kinds[grant.kind]
                if kind.condition in asks and self._covers(grant, kind, subject):
                    facts.add(kind.condition)
                    used.append(grant)
        return facts, used

    def of_everybody(
        self, asks: frozenset[Condition], client: str | None, category: str, purpose: str
    ) -> tuple[set[Condition], list[Grant]]:
        """Those that grants meet for every subject of a client, and these grants."""
        if client is None or asks.isdisjoint(GRANTED):
            return set(), []
        kinds = self._house.policy.grant_kinds
        used = [
            grant
            for grant in self._grants(client, category, purpose)
            if grant.scope.everybody and self._may_hold(grant, kinds[grant.kind])
        ]
        return {kinds[grant.kind].condition for grant in used}, used

    # --- inside ---

    def _acts_for_its_client(self) -> bool:
        if self._has_client is None:
            self._has_client = (
                self._actor is not None
                and acting_client(self._house, self._session(), self._actor) is not None
            )
        return self._has_client

    def _grants(self, client: str, category: str, purpose: str) -> list[Grant]:
        self._look()
        now = self._house.utcnow()
        return [
            grant
            for grant in self._held
            if grant.client == client
            and category in grant.categories
            and grant.purpose == purpose
            and grant.state(now) == "in-force"
            and grant.kind in self._house.policy.grant_kinds
        ]

    def _covers(self, grant: Grant, kind: GrantKind, subject: SubjectRef) -> bool:
        scope = grant.scope
        if not self._may_hold(grant, kind):
            return False
        if scope.everybody or subject in scope.subjects:
            return True
        if not scope.groups:
            return False
        known = (grant.id, subject[0])
        if known not in self._members:
            self._members[known] = members(
                self._session(), self._house.graph, subject[0], grant.client, scope.groups
            )
        return subject[1] in self._members[known]

    def _may_hold(self, grant: Grant, kind: GrantKind) -> bool:
        """Whether the grantee has the role, and is on the short list where there is one."""
        actor = self._actor
        if actor is None or actor.role != kind.to:
            return False
        return kind.agents is None or grant.to in self._house.agents

    def _is_assisted(self, client: str) -> bool:
        self._look()
        if client not in self._assisted:
            with self._as_it_is_now() as session:
                self._assisted[client] = has_open_assistance(session, self._house.tables, client)
        return self._assisted[client]

    @contextmanager
    def _as_it_is_now(self) -> Iterator[Session]:
        """The session at the first look; later one of its own, since an open cursor keeps the data as it was when it began."""
        if self._looked_at is None:
            yield self._session()
            return
        with Session(self._house.engine) as now:
            yield now

    def _look(self) -> None:
        """Look the actor's grants up, where that was not done just now."""
        now = self._house.utcnow()
        if self._looked_at is not None and abs(now - self._looked_at) < BELIEVED_FOR:
            return
        subjects = self._actor.subjects if self._actor is not None else ()
        with self._as_it_is_now() as session:
            self._held = grants_held(session, self._house.tables, subjects, now)
        self._assisted, self._members = {}, {}
        self._looked_at = now


def nobody_pays(_client: str) -> Any:
    """Where the host does not say which clients pay directly, none does."""
    return False
