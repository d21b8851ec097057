"""Consents: recorded, withdrawn, looked up by the gate at every decision that rests on one (GDPR
Art. 7, 8).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Row, Table, insert, select, update
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef, canonical_id
from ..database.tables import Tables
from ..errors import RequestInvalid, SubjectErased
from ..gate.actor import Actor
from ..gate.runtime import Runtime
from ..orm.erasure_locks import refuse_erased
from ..policy.model import Basis, Policy, Purpose

SELF, PARENT = "self", "parent"


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent: to a purpose, for categories, under one version of the text; by the person or by
    a holder of parental authority.
    """

    id: str
    subject: tuple[str, str]
    purpose: str
    categories: frozenset[str]
    text_version: str
    collected_via: str
    by: str
    needs_parent: bool
    given_at: dt.datetime
    withdrawn_at: dt.datetime | None


class ConsentService:
    """The consents of one application."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._table = runtime.database.tables.consent

    def give(
        self,
        subject: tuple[str, Any],
        *,
        purpose: str,
        text_version: str,
        collected_via: str,
        actor: Actor,
        by: str = SELF,
        categories: Iterable[str] | None = None,
        birth_date: dt.date | None = None,
    ) -> Consent:
        """Record that a subject consents to a purpose. The caller commits.

        Args:
            subject: As (kind, id).
            purpose: Rests on consent in the policy document.
            text_version: The text that was shown; the policy document knows it.
            collected_via: How it was given, as a word (`web-form`, `letter`).
            actor: Who records it.
            by: `self`, or `parent` for a holder of parental authority.
            categories: By default all of the purpose.
            birth_date: For kinds of subject that may be children; used and not stored: without it,
                or below the age of consent, a parent's consent is needed beside the child's.

        Raises:
            RequestInvalid: Names what is wrong.

        Source: GDPR Art. 7(1), 8; French Data Protection Act Art. 45.
        """
        declared = self._purpose(purpose)
        if text_version not in declared.texts:
            known_texts = ", ".join(sorted(declared.texts))
            raise RequestInvalid(
                f"text_version: the policy document has no such text for {purpose!r}; it has "
                f"{known_texts}"
            )
        if by not in (SELF, PARENT):
            raise RequestInvalid(f"by: {SELF} or {PARENT}")
        if not collected_via.replace("-", "").isalpha() or len(collected_via) > 64:
            raise RequestInvalid("collected_via: a word such as web-form, letter or phone")
        possible = self._categories(purpose)
        consented = frozenset(categories) if categories is not None else possible
        if not consented or consented - possible:
            raise RequestInvalid(
                f"categories: must be one or more of {', '.join(sorted(possible))}"
            )
        consent = Consent(
            id=uuid4().hex,
            subject=(subject[0], canonical_id(subject[1])),
            purpose=purpose,
            categories=consented,
            text_version=text_version,
            collected_via=collected_via,
            by=by,
            needs_parent=self._needs_parent(subject[0], birth_date),
            given_at=self._runtime.utcnow(),
            withdrawn_at=None,
        )
        self._runtime.database.session().execute(
            insert(self._table).values(
                id=consent.id,
                subject_kind=consent.subject[0],
                subject=consent.subject[1],
                purpose=purpose,
                categories=sorted(consented),
                text_version=text_version,
                collected_via=collected_via,
                given_by_whom=by,
                given_by=actor.key,
                needs_parent=consent.needs_parent,
                given_at=consent.given_at,
            )
        )
        self._refuse_erased(consent.subject)
        self._tell(consent.subject, purpose, "given", actor, tuple(sorted(consented)))
        return consent

    def withdraw(
        self, subject: tuple[str, Any], *, purpose: str, actor: Actor, by: str | None = None
    ) -> int:
        """Withdraw a subject's consents to a purpose; holds from the next request. The caller
        commits.

        Args:
            subject: As (kind, id).
            purpose: Rests on consent in the policy document.
            actor: Who records it.
            by: Whose consent is withdrawn (`self` or `parent`); by default both.

        Returns:
            How many were withdrawn.
        """
        declared = self._purpose(purpose)
        subject_ref = (subject[0], canonical_id(subject[1]))
        about = [
            *_about(self._table, subject_ref, declared.id),
            self._table.c.withdrawn_at.is_(None),
        ]
        if by is not None:
            about.append(self._table.c.given_by_whom == by)
        statement = update(self._table).where(*about).values(withdrawn_at=self._runtime.utcnow())
        done: Any = self._runtime.database.session().execute(statement)
        self._tell(subject_ref, purpose, "withdrawn", actor, ())
        return int(done.rowcount)

    def _refuse_erased(self, subject: SubjectRef) -> None:
        layout = self._runtime.models.graph.subjects.get(subject[0])
        if layout is not None and self._runtime.keys.is_erased(
            self._runtime.database.session(), *subject
        ):
            raise SubjectErased
        if layout is not None and self._runtime.keys.is_alive(
            self._runtime.database.session(), *subject
        ):
            refuse_erased(
                self._runtime.database.session(), self._runtime.keys, layout, [subject[1]], ()
            )

    def of(self, subject: tuple[str, Any]) -> list[Consent]:
        """Every consent of a subject, withdrawn ones too, newest first."""
        session = self._runtime.database.session()
        return find_consents(session, self._table, (subject[0], canonical_id(subject[1])))

    def covers(self, session: Session, subject: SubjectRef, purpose: str, category: str) -> bool:
        """Whether unwithdrawn consents of a subject cover a purpose and category."""
        runtime = self._runtime
        return is_covered_by_consent(
            session,
            runtime.database.tables,
            runtime.policy,
            subject,
            purpose=purpose,
            category=category,
        )

    # --- inside ---

    def _purpose(self, purpose: str) -> Purpose:
        declared = self._runtime.policy.purposes.get(purpose)
        if declared is None or declared.basis is not Basis.CONSENT:
            resting = sorted(
                candidate.id
                for candidate in self._runtime.policy.purposes.values()
                if candidate.basis is Basis.CONSENT
            )
            raise RequestInvalid(
                f"purpose: does not rest on consent; these do: {', '.join(resting) or 'none'}"
            )
        return declared

    def _categories(self, purpose: str) -> frozenset[str]:
        rules = self._runtime.policy.rules
        return frozenset().union(*(rule.categories for rule in rules if purpose in rule.purposes))

    def _needs_parent(self, kind: str, birth_date: dt.date | None) -> bool:
        parameters = self._runtime.policy.commitments["child-consent"].parameters
        kinds, age = parameters.get("subjects", []), parameters.get("age", 18)
        kind = self._runtime.models.policy_kind(kind)
        if not isinstance(kinds, list) or kind not in kinds or not isinstance(age, int):
            return False
        return birth_date is None or _years(birth_date, self._runtime.utcnow().date()) < age

    def _tell(
        self,
        subject: SubjectRef,
        purpose: str,
        step: str,
        actor: Actor,
        categories: tuple[str, ...],
    ) -> None:
        policy = self._runtime.policy
        self._runtime.audit.permission(
            kind="consent",
            step=step,
            id=purpose,
            to=subject,
            client=actor.client,
            purpose=purpose,
            categories=categories,
            role=actor.role if actor.role in policy.roles else None,
            clause=policy.purposes[purpose].clause,
        )


def is_covered_by_consent(
    session: Session,
    tables: Tables,
    policy: Policy,
    subject: SubjectRef,
    *,
    purpose: str,
    category: str,
) -> bool:
    """Whether unwithdrawn consents of a subject cover a purpose and category.

    Only consents under a text that the policy document still names count; where the newest of the
    person's own needs a parent's beside it, there has to be one (GDPR Art. 7, 8).
    """
    declared = policy.purposes.get(purpose)
    if declared is None:
        return False
    standing = [
        consent
        for consent in find_consents(session, tables.consent, subject, purpose)
        if consent.withdrawn_at is None
        and consent.text_version in declared.texts
        and category in consent.categories
    ]
    own_consents = [consent for consent in standing if consent.by == SELF]
    if not own_consents:
        return False
    newest = max(own_consents, key=lambda consent: consent.given_at)
    return not newest.needs_parent or any(consent.by == PARENT for consent in standing)


def find_consents(
    session: Session, table: Table, subject: SubjectRef, purpose: str | None = None
) -> list[Consent]:
    """The consents of a subject, to one purpose or to all, newest first."""
    query = select(table).where(*_about(table, subject, purpose)).order_by(table.c.given_at.desc())
    return [_consent(row) for row in session.execute(query)]


def _about(table: Table, subject: SubjectRef, purpose: str | None) -> list[ColumnElement[bool]]:
    about = [table.c.subject_kind == subject[0], table.c.subject == subject[1]]
    return about if purpose is None else [*about, table.c.purpose == purpose]


def _years(birth_date: dt.date, today: dt.date) -> int:
    return (
        today.year
        - birth_date.year
        - ((today.month, today.day) < (birth_date.month, birth_date.day))
    )


def _consent(row: Row[Any]) -> Consent:
    return Consent(
        id=row.id,
        subject=(row.subject_kind, row.subject),
        purpose=row.purpose,
        categories=frozenset(row.categories),
        text_version=row.text_version,
        collected_via=row.collected_via,
        by=row.given_by_whom,
        needs_parent=row.needs_parent,
        given_at=row.given_at,
        withdrawn_at=row.withdrawn_at,
    )
