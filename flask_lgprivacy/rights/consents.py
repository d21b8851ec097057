"""Consents: recorded, withdrawn, looked up by the gate at every decision that rests on one (GDPR Art. 7)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from ..errors import RequestInvalid
from ..models import Tables, identifier
from ..policy import Basis, Policy


class Consents:
    """The table of consents of one application."""

    def __init__(
        self,
        tables: Tables,
        policy: Policy,
        session: Callable[[], Session],
        utcnow: Callable[[], dt.datetime],
    ) -> None:
        self._table = tables.consent
        self._policy = policy
        self._session = session
        self._utcnow = utcnow

    def give(self, subject: tuple[str, Any], *, purpose: str, text_version: str) -> None:
        """Record that a subject consents to a purpose.

        Parameters: `subject` as (kind, id); `purpose` rests on consent in the policy document; `text_version` names the text
        that the person was shown. The caller commits. Raises `RequestInvalid` for a purpose that does not rest on consent.
        """
        declared = self._policy.purposes.get(purpose)
        if declared is None or declared.basis is not Basis.CONSENT:
            raise RequestInvalid(f"purpose {purpose!r} does not rest on consent")
        self._session().execute(
            insert(self._table).values(
                id=uuid4().hex,
                subject_kind=subject[0],
                subject=identifier(subject[1]),
                purpose=purpose,
                text_version=text_version,
                given_at=self._utcnow(),
            )
        )

    def withdraw(self, subject: tuple[str, Any], *, purpose: str) -> None:
        """Withdraw every consent of a subject to a purpose; holds from the next decision. The caller commits."""
        table = self._table.c
        self._session().execute(
            update(self._table)
            .where(
                table.subject_kind == subject[0],
                table.subject == identifier(subject[1]),
                table.purpose == purpose,
                table.withdrawn_at.is_(None),
            )
            .values(withdrawn_at=self._utcnow())
        )

    def covers(self, session: Session, subject: tuple[str, str], purpose: str) -> bool:
        """Whether an unwithdrawn consent of a subject covers a purpose."""
        table = self._table.c
        found = session.execute(
            select(table.id)
            .where(
                table.subject_kind == subject[0],
                table.subject == subject[1],
                table.purpose == purpose,
                table.withdrawn_at.is_(None),
            )
            .limit(1)
        )
        return found.first() is not None
