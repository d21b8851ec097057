"""Decisions for one actor under one purpose: the policy's rules, the facts, the vetoes."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef
from ..errors import AccessDenied, PrivacyError
from ..policy.engine import CompiledRules, Decision
from ..policy.model import Action, Condition
from .access_log import AccessLog
from .actor import PUBLIC_ROLE, Actor
from .facts import Evidence, FactResolver, Question
from .runtime import Runtime


class Authorization:
    """Decides for one actor; what a decision rests on is noted for the trail.

    Args:
        runtime: The application's.
        actor: None for an anonymous one.
        purpose: Of the declaration.
        log: Takes the grants that a decision rests on.
        session: Returns the application's session.
    """

    __slots__ = ("_actor", "_facts", "_log", "_purpose", "_runtime", "_session")

    def __init__(
        self,
        runtime: Runtime,
        actor: Actor | None,
        purpose: str,
        log: AccessLog,
        session: Callable[[], Session],
    ) -> None:
        self._runtime = runtime
        self._actor = actor
        self._purpose = purpose
        self._log = log
        self._session = session
        self._facts: FactResolver | None = None

    def __repr__(self) -> str:
        return "<Authorization>"

    def rules(self, category: str, action: Action) -> CompiledRules:
        """The rules that the policy has for the actor's role."""
        role = self._actor.role if self._actor is not None else PUBLIC_ROLE
        return self._runtime.engine.rules_for(role, category, action, self._purpose)

    def refusal(
        self, category: str, action: Action, client: str | None, subject: SubjectRef
    ) -> PrivacyError | None:
        """Why an action on one subject's category is not allowed, or None where it is."""
        for veto in self._runtime.vetoes:
            refusal = veto.refusal(category, action, client, self._session)
            if refusal is not None:
                return refusal
        rules = self.rules(category, action)
        decision, evidence = self.decide(rules, category, client, subject)
        if not decision.allowed:
            return denied(decision)
        self._note(evidence, category, action.value, subject)
        return None

    def refusal_for_oneself(
        self, category: str, action: Action, client: str | None, operation: str
    ) -> AccessDenied | None:
        """The same where no subject's data is opened, so that *self* counts as given: a search by a
        value that is known, a row that is nobody's.

        Args:
            category: Of the policy document.
            action: What is about to happen.
            client: Whose data it is, or for whom the actor acts.
            operation: What the trail calls it.
        """
        rules = self.rules(category, action)
        question = Question(category, self._purpose, client, None)
        facts, evidence = self._resolver().resolve(rules.relevant_conditions, question)
        decision = self._runtime.engine.decide_by(rules, frozenset(facts | {Condition.SELF}))
        if not decision.allowed:
            return denied(decision)
        self._note(evidence, category, operation, None)
        return None

    def decide(
        self, rules: CompiledRules, category: str, client: str | None, subject: SubjectRef
    ) -> tuple[Decision, list[Evidence]]:
        """The decision about one subject, and what it rests on."""
        question = Question(category, self._purpose, client, subject)
        facts, evidence = self._resolver().resolve(rules.relevant_conditions, question)
        return self._runtime.engine.decide_by(rules, frozenset(facts)), evidence

    def _resolver(self) -> FactResolver:
        if self._facts is None:
            self._facts = FactResolver(self._runtime.facts, self._actor, self._session)
        return self._facts

    def _note(
        self, evidence: list[Evidence], category: str, action: str, subject: SubjectRef | None
    ) -> None:
        """Note which grants let something happen; those of agents are shown to their client."""
        for grant in evidence:
            self._log.grants[grant.grant_id] = None
            if grant.is_shown_to_client:
                self._log.record_grant_use(grant.grant_id, category, action, subject)


def denied(decision: Decision) -> AccessDenied:
    """A decision that is none, as the error that says why."""
    missing = ", ".join(decision.missing)
    return AccessDenied(decision.reason, clause=decision.clause, missing=missing)
