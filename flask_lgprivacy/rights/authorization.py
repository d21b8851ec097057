"""Who may ask for which right over whom, and who sees which requests."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from ..database.identifiers import canonical_id
from ..errors import AccessDenied, RequestInvalid
from ..gate.actor import Actor
from ..gate.client_spelling import acting_client
from ..gate.runtime import Runtime
from ..orm.columns import coerce, matches_any_id, subject_column
from ..policy.model import Condition, RightRule
from .client_erasure import client_kinds
from .erased_requests import keys_of_requester
from .requests import CLIENT, RightsRequest


class RightsAuthorization:
    """Decides by the `[[rights]]` of the policy document."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def find_subject(self, session: Session, kind: str, subject_id: str) -> tuple[Any, str | None]:
        """The primary key and client of a subject; nobody learns here whether it exists.

        Raises:
            AccessDenied: It does not exist.
            RequestInvalid: No subject is of this kind.
        """
        layout = self._runtime.models.graph.subjects.get(kind)
        absent = AccessDenied(
            "no such data subject, or not one that you may ask about", missing="own-client or self"
        )
        absent.clause = self._clause_of(kind)
        if layout is None:
            kinds = ", ".join(sorted(self._runtime.models.graph.subjects))
            raise RequestInvalid(f"subject: its kind is one of {kinds}")
        column = subject_column(layout)
        try:
            coerce(column, subject_id)
            is_asked = matches_any_id(column, [canonical_id(subject_id)])
        except (TypeError, ValueError):
            raise absent from None
        client = layout.column(layout.client) if layout.client else column
        try:
            row = session.execute(select(column, client).where(is_asked)).first()
        except (OverflowError, UnicodeError, DataError):
            session.rollback()
            raise absent from None
        if row is None:
            raise absent
        return row[0], canonical_id(row[1]) if layout.client and row[1] is not None else None

    def authorize(
        self, right: str, actor: Actor, kind: str, subject: tuple[Any, str | None]
    ) -> RightRule:
        """The rule by which an actor may ask for a right over a subject.

        Args:
            right: Its name.
            actor: Who asks.
            kind: Of subject.
            subject: Its primary key and client.

        Raises:
            AccessDenied: No rule says so.
        """
        policy_kind = self._runtime.models.policy_kind(kind)
        facts = set()
        if subject[1] is not None and subject[1] == self._client_of(actor):
            facts.add(Condition.OWN_CLIENT)
        if (kind, canonical_id(subject[0])) in actor.subjects:
            facts.add(Condition.SELF)
        rules = [
            rule
            for rule in self._runtime.policy.rights
            if right in rule.rights and rule.subject == policy_kind and rule.condition in facts
        ]
        for rule in rules:
            if actor.role in rule.roles:
                return rule
        roles = sorted(frozenset().union(*(rule.roles for rule in rules)))
        raise AccessDenied(
            "no such data subject, or not one that you may ask about",
            clause=self._clause_of(kind),
            missing=f"role {' or '.join(roles)}" if roles else "own-client or self",
        )

    def answered_client(self, actor: Actor) -> str | None:
        """The client whose requests an actor answers, or None."""
        answers = any(
            actor.role in rule.roles and rule.condition is Condition.OWN_CLIENT
            for rule in self._runtime.policy.rights
        )
        return self._client_of(actor) if answers else None

    def may_see(self, actor: Actor, request: RightsRequest) -> bool:
        """Whether an actor made a request, or answers it for its client."""
        client = self.answered_client(actor)
        session = self._runtime.database.session()
        return request.requester in keys_of_requester(self._runtime, session, actor) or (
            client is not None
            and request.client == client
            and request.subject[0] in self.kinds_held_for_clients()
        )

    def kinds_held_for_clients(self) -> frozenset[str]:
        """The kinds of subject whose requests their client answers; of the others the publisher is
        controller.
        """
        return frozenset({CLIENT, *(kind for kind, _ in client_kinds(self._runtime))})

    def _client_of(self, actor: Actor) -> str | None:
        return acting_client(self._runtime.models.graph, self._runtime.database.session(), actor)

    def _clause_of(self, kind: str) -> str | None:
        of_kind = self._runtime.models.policy_kind(kind)
        rights = self._runtime.policy.rights
        return next((rule.clause for rule in rights if rule.subject == of_kind), None)
