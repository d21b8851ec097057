"""Facts that grants, requests for assistance and consents give (LG-20 to LG-22; GDPR Art. 7)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ..database.access import Database
from ..database.identifiers import SubjectRef
from ..gate.actor import Actor
from ..gate.facts import Evidence, Facts, FactSource, NoFacts, Question
from ..orm.labelled_models import LabelledModels
from ..policy.model import GRANTED, Condition, GrantKind, Policy
from .consents import is_covered_by_consent
from .grant_repository import grants_held, has_open_assistance, members
from .grants import Grant

BELIEVED_FOR = dt.timedelta(seconds=1)
"""How long a look at grants is believed: a revocation holds in the next request, and in a long job
after this.
"""


class GrantFacts:
    """*guest-grant*, *support-grant*, *emergency* and *assistance-request*.

    Args:
        policy: The policy document, which names the kinds of grant.
        models: The labelled models, whose columns say who is in which group.
        database: The tables of grants.
        agents: The publisher's short list of support agents.
        utcnow: Returns the time in UTC.
    """

    conditions = GRANTED | {Condition.ASSISTANCE_REQUEST}

    def __init__(
        self,
        policy: Policy,
        models: LabelledModels,
        database: Database,
        agents: frozenset[SubjectRef],
        utcnow: Callable[[], dt.datetime],
    ) -> None:
        self.policy = policy
        self.models = models
        self.database = database
        self.agents = agents
        self.utcnow = utcnow

    def for_actor(self, actor: Actor | None, session: Callable[[], Session]) -> FactSource:
        """The grants of one actor, looked up when a rule first asks for them."""
        if actor is None:
            return NoFacts()
        return ActorGrants(self, actor, session)


class ActorGrants:
    """What one actor was granted, as the tables said a moment ago."""

    __slots__ = (
        "_actor",
        "_assisted",
        "_grants",
        "_looked_at",
        "_members",
        "_provider",
        "_session",
    )

    def __init__(self, provider: GrantFacts, actor: Actor, session: Callable[[], Session]) -> None:
        self._provider = provider
        self._actor = actor
        self._session = session
        self._looked_at: dt.datetime | None = None
        self._grants: list[Grant] = []
        self._assisted: dict[str, bool] = {}
        self._members: dict[tuple[str, str], frozenset[str]] = {}

    def facts(self, conditions: frozenset[Condition], question: Question) -> Facts:
        """Those of some conditions that grants meet for a subject, or for every subject."""
        client = question.client
        if client is None:
            return {}
        holding: dict[Condition, tuple[Evidence, ...]] = {}
        if Condition.ASSISTANCE_REQUEST in conditions and self._is_assisted(client):
            holding[Condition.ASSISTANCE_REQUEST] = ()
        if conditions.isdisjoint(GRANTED):
            return holding
        for grant in self._usable_grants(client, question):
            kind = self._provider.policy.grant_kinds[grant.kind]
            if kind.condition in conditions and self._covers(grant, kind, question.subject):
                evidence = Evidence(grant.id, is_shown_to_client=kind.agents is not None)
                holding[kind.condition] = (*holding.get(kind.condition, ()), evidence)
        return holding

    def _usable_grants(self, client: str, question: Question) -> list[Grant]:
        self._refresh()
        now = self._provider.utcnow()
        return [
            grant
            for grant in self._grants
            if grant.client == client
            and question.category in grant.categories
            and grant.purpose == question.purpose
            and grant.state(now) == "in-force"
            and grant.kind in self._provider.policy.grant_kinds
        ]

    def _covers(self, grant: Grant, kind: GrantKind, subject: SubjectRef | None) -> bool:
        """Whether a grant covers a subject; without one, whether it covers every subject."""
        scope = grant.scope
        if not self._may_hold(grant, kind):
            return False
        if scope.everybody:
            return True
        if subject is None:
            return False
        if subject in scope.subjects:
            return True
        if not scope.groups:
            return False
        subject_kind, subject_id = subject
        memo = (grant.id, subject_kind)
        if memo not in self._members:
            graph = self._provider.models.graph
            self._members[memo] = members(
                self._session(), graph, subject_kind, grant.client, scope.groups
            )
        return subject_id in self._members[memo]

    def _may_hold(self, grant: Grant, kind: GrantKind) -> bool:
        """Whether the grantee has the role, and is on the short list where there is one."""
        if self._actor.role != kind.to:
            return False
        return kind.agents is None or grant.to in self._provider.agents

    def _is_assisted(self, client: str) -> bool:
        self._refresh()
        if client not in self._assisted:
            with self._current_session() as session:
                self._assisted[client] = has_open_assistance(
                    session, self._provider.database.tables, client
                )
        return self._assisted[client]

    def _refresh(self) -> None:
        """Look the actor's grants up, unless that was done just now."""
        now = self._provider.utcnow()
        if self._looked_at is not None and abs(now - self._looked_at) < BELIEVED_FOR:
            return
        with self._current_session() as session:
            tables = self._provider.database.tables
            self._grants = grants_held(session, tables, self._actor.subjects, now)
        self._assisted, self._members = {}, {}
        self._looked_at = now

    @contextmanager
    def _current_session(self) -> Iterator[Session]:
        """The session at the first look; later one of its own.

        An open cursor keeps the data as it was when it began.
        """
        if self._looked_at is None:
            yield self._session()
            return
        engine: Engine = self._provider.database.engine
        with Session(engine) as session:
            yield session


class ConsentFacts:
    """*consent*: unwithdrawn consents of the subject cover the purpose and the category."""

    conditions = frozenset({Condition.CONSENT})

    def __init__(self, policy: Policy, database: Database) -> None:
        self._policy = policy
        self._database = database

    def for_actor(self, actor: Actor | None, session: Callable[[], Session]) -> FactSource:
        """A source whoever acts, nobody too: what it says is about the subject alone."""
        return _ConsentSource(self._policy, self._database, session)


class _ConsentSource:
    def __init__(self, policy: Policy, database: Database, session: Callable[[], Session]) -> None:
        self._policy = policy
        self._database = database
        self._session = session

    def facts(self, conditions: frozenset[Condition], question: Question) -> Facts:
        if question.subject is None:
            return {}
        is_covered = is_covered_by_consent(
            self._session(),
            self._database.tables,
            self._policy,
            question.subject,
            purpose=question.purpose,
            category=question.category,
        )
        return dict.fromkeys(conditions, ()) if is_covered else {}
