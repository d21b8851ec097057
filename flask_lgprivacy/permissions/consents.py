"""Consents: recorded, withdrawn, looked up by the gate at every decision that rests on one (GDPR Art. 7, 8)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Row, insert, select, update
from sqlalchemy.orm import Session

from ..audit.events import PermissionEvent
from ..database.clock import utc
from ..database.identifiers import SubjectRef, canonical_id
from ..errors import RequestInvalid, SubjectErased
from ..gate.actor import Actor
from ..gate.context import ProcessingContext
from ..gate.runtime import Runtime
from ..orm.context import current_context
from ..orm.erasure_locks import refuse_erased
from ..policy.model import Basis, Purpose

SELF, PARENT = "self", "parent"


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent: to a purpose, for categories, under one version of the text; by the person or by a holder of parental authority."""

    id: str
    subject: tuple[str, str]
    purpose: str
    categories: frozenset[str]
    text_version: str
    how: str
    by: str
    needs_parent: bool
    given_at: dt.datetime
    withdrawn_at: dt.datetime | None


class ConsentService:
    """The consents of one application."""

    def __init__(self, house: Runtime) -> None:
        self._house = house
        self._table = house.tables.consent

    def give(
        self,
        subject: tuple[str, Any],
        *,
        purpose: str,
        text_version: str,
        how: str,
        actor: Actor,
        by: str = SELF,
        categories: Iterable[str] | None = None,
        born: dt.date | None = None,
    ) -> Consent:
        """Record that a subject consents to a purpose.

        Parameters: `subject` as (kind, id); `purpose` rests on consent in the policy document, which knows `text_version`, the text that
        was shown; `how` it was given, as a word (`web-form`, `letter`); `actor` who records it; `by` is `self`, or `parent` for a holder of
        parental authority; `categories`, by default all of the purpose; `born`, for kinds of subject that may be children, is used and
        not stored: without it, or below the age of consent, a parent's consent is needed beside the child's. The caller commits. Raises
        `RequestInvalid` naming what is wrong. Source: GDPR Art. 7(1), 8; French Data Protection Act Art. 45.
        """
        declared = self._purpose(purpose)
        if text_version not in declared.texts:
            known = ", ".join(sorted(declared.texts))
            raise RequestInvalid(
                f"text_version: the policy document has no such text for {purpose!r}; it has {known}"
            )
        if by not in (SELF, PARENT):
            raise RequestInvalid(f"by: {SELF} or {PARENT}")
        if not how.replace("-", "").isalpha() or len(how) > 64:
            raise RequestInvalid("how: a word such as web-form, letter or phone")
        possible = self._categories(purpose)
        named = frozenset(categories) if categories is not None else possible
        if not named or named - possible:
            raise RequestInvalid(f"categories: some of {', '.join(sorted(possible))}")
        consent = Consent(
            id=uuid4().hex,
            subject=(subject[0], canonical_id(subject[1])),
            purpose=purpose,
            categories=named,
            text_version=text_version,
            how=how,
            by=by,
            needs_parent=self._needs_parent(subject[0], born),
            given_at=self._house.utcnow(),
            withdrawn_at=None,
        )
        self._house.session().execute(
            insert(self._table).values(
                id=consent.id,
                subject_kind=consent.subject[0],
                subject=consent.subject[1],
                purpose=purpose,
                categories=sorted(named),
                text_version=text_version,
                how=how,
                by=by,
                given_by=actor.key,
                needs_parent=consent.needs_parent,
                given_at=consent.given_at,
            )
        )
        self._refuse_erased(consent.subject)
        self._tell(consent.subject, purpose, "given", actor, tuple(sorted(named)))
        return consent

    def withdraw(
        self, subject: tuple[str, Any], *, purpose: str, actor: Actor, by: str | None = None
    ) -> int:
        """Withdraw a subject's consents to a purpose; holds from the next request. The caller commits.

        Parameters: `by` names whose consent is withdrawn (`self` or `parent`), by default both. Returns how many were withdrawn.
        """
        declared = self._purpose(purpose)
        who = (subject[0], canonical_id(subject[1]))
        about = [*self._about(who, declared.id), self._table.c.withdrawn_at.is_(None)]
        if by is not None:
            about.append(self._table.c.by == by)
        statement = update(self._table).where(*about).values(withdrawn_at=self._house.utcnow())
        done: Any = self._house.session().execute(statement)
        self._tell(who, purpose, "withdrawn", actor, ())
        return int(done.rowcount)

    def _refuse_erased(self, subject: SubjectRef) -> None:
        layout = self._house.graph.subjects.get(subject[0])
        if layout is not None and self._house.keys.is_erased(self._house.session(), *subject):
            raise SubjectErased
        if layout is not None and self._house.keys.is_alive(self._house.session(), *subject):
            refuse_erased(self._house.session(), self._house.keys, layout, [subject[1]], ())

    def of(self, subject: tuple[str, Any]) -> list[Consent]:
        """Every consent of a subject, withdrawn ones too, newest first."""
        return self._found(self._house.session(), (subject[0], canonical_id(subject[1])), None)

    def covers(
        self, session: Session, subject: tuple[str, str], purpose: str, category: str
    ) -> bool:
        """Whether unwithdrawn consents of a subject cover a purpose and category, under a text that still stands."""
        declared = self._house.policy.purposes.get(purpose)
        if declared is None:
            return False
        standing = [
            one
            for one in self._found(session, subject, purpose)
            if one.withdrawn_at is None
            and one.text_version in declared.texts
            and category in one.categories
        ]
        own = [one for one in standing if one.by == SELF]
        if not own:
            return False
        return (
            any(one.by == PARENT for one in standing)
            or not max(own, key=lambda one: one.given_at).needs_parent
        )

    # --- inside ---

    def _purpose(self, purpose: str) -> Purpose:
        declared = self._house.policy.purposes.get(purpose)
        if declared is None or declared.basis is not Basis.CONSENT:
            resting = sorted(
                one.id for one in self._house.policy.purposes.values() if one.basis is Basis.CONSENT
            )
            raise RequestInvalid(
                f"purpose: does not rest on consent; these do: {', '.join(resting) or 'none'}"
            )
        return declared

    def _categories(self, purpose: str) -> frozenset[str]:
        rules = self._house.policy.rules
        return frozenset().union(*(rule.categories for rule in rules if purpose in rule.purposes))

    def _needs_parent(self, kind: str, born: dt.date | None) -> bool:
        parameters = self._house.policy.commitments["child-consent"].parameters
        kinds, age = parameters.get("subjects", []), parameters.get("age", 18)
        if not isinstance(kinds, list) or kind not in kinds or not isinstance(age, int):
            return False
        return born is None or _years(born, self._house.utcnow().date()) < age

    def _about(self, subject: tuple[str, str], purpose: str | None) -> list[ColumnElement[bool]]:
        table = self._table.c
        about = [table.subject_kind == subject[0], table.subject == subject[1]]
        return about if purpose is None else [*about, table.purpose == purpose]

    def _found(
        self, session: Session, subject: tuple[str, str], purpose: str | None
    ) -> list[Consent]:
        query = (
            select(self._table)
            .where(*self._about(subject, purpose))
            .order_by(self._table.c.given_at.desc())
        )
        return [_consent(row) for row in session.execute(query)]

    def _tell(
        self,
        subject: tuple[str, str],
        purpose: str,
        step: str,
        actor: Actor,
        categories: tuple[str, ...],
    ) -> None:
        house, opener = self._house, current_context.get()
        house.trail.commit(
            PermissionEvent(
                at=house.now(),
                kind="consent",
                step=step,
                id=purpose,
                to=house.pseudonym_of(subject),
                client=actor.client,
                purpose=purpose,
                categories=categories,
                until=None,
                ground=None,
                actor=opener.actor_name if isinstance(opener, ProcessingContext) else None,
                role=actor.role if actor.role in house.policy.roles else None,
                clause=house.policy.purposes[purpose].clause,
            )
        )


def _years(born: dt.date, today: dt.date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _consent(row: Row[Any]) -> Consent:
    return Consent(
        id=row.id,
        subject=(row.subject_kind, row.subject),
        purpose=row.purpose,
        categories=frozenset(row.categories),
        text_version=row.text_version,
        how=row.how,
        by=row.by,
        needs_parent=row.needs_parent,
        given_at=utc(row.given_at),
        withdrawn_at=row.withdrawn_at and utc(row.withdrawn_at),
    )
