"""Requests as rows: durable before work starts, with every step they took."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, func, insert, or_, select, update
from sqlalchemy.orm import Session

from ..database.tables import Tables
from ..policy.model import Policy
from .deadlines import months_after
from .retry import retry_conflicts

PAGE = 100
"""How many requests a page of a list holds, where nobody asks for fewer."""
CLIENT = "client"
"""The kind of subject under which a request about everything of a client is recorded."""
OPEN = ("received", "in-progress", "forwarded")
"""The states of a request that has not ended."""
COMPLETED = ("completed", "completed-with-remainder")
"""The states of a request that was carried out."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """One step of a request."""

    at: dt.datetime
    state: str
    note: str | None


@dataclass(frozen=True, slots=True)
class RightsRequest:
    """A request of a data subject, or of a controller for one; `outcome` holds counts and names,
    never values.
    """

    id: str
    right: str
    subject: tuple[str, str]
    client: str | None
    requester: str
    requester_role: str
    state: str
    clause: str
    received_at: dt.datetime
    due_at: dt.datetime
    ended_at: dt.datetime | None
    outcome: dict[str, Any] | None
    steps: tuple[StateChange, ...] = ()

    @property
    def is_about_client(self) -> bool:
        """Whether this is about everything of a client, and not about one person."""
        return self.subject[0] == CLIENT


class RequestRepository:
    """The tables of requests."""

    def __init__(self, tables: Tables, policy: Policy, utcnow: Callable[[], dt.datetime]) -> None:
        self._requests = tables.request
        self._steps = tables.request_step
        self._policy = policy
        self._utcnow = utcnow

    def receive(
        self,
        session: Session,
        right: str,
        *,
        subject: tuple[str, str],
        client: str | None,
        requester: str,
        requester_role: str,
        clause: str,
    ) -> RightsRequest:
        """Record a request with its deadline and commit it."""
        now = self._utcnow()
        request = RightsRequest(
            id=uuid4().hex,
            right=right,
            subject=subject,
            client=client,
            requester=requester,
            requester_role=requester_role,
            state="received",
            clause=clause,
            received_at=now,
            due_at=months_after(now, self._policy.deadline.months),
            ended_at=None,
            outcome=None,
        )
        session.execute(
            insert(self._requests).values(
                id=request.id,
                request_type=right,
                subject_kind=subject[0],
                subject=subject[1],
                client=client,
                requester=requester,
                requester_role=requester_role,
                state=request.state,
                clause=clause,
                received_at=now,
                due_at=request.due_at,
            )
        )
        self._add_step(session, request.id, "received", None)
        session.commit()
        return request

    def move(
        self,
        session: Session,
        request: str,
        state: str,
        *,
        note: str | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> None:
        """Take a request to another state; the caller commits."""
        values: dict[str, Any] = {"state": state}
        if outcome is not None:
            values["outcome"] = dict(outcome)
        if state in COMPLETED:
            values["ended_at"] = self._utcnow()
        session.execute(
            update(self._requests).where(self._requests.c.id == request).values(**values)
        )
        self._add_step(session, request, state, note)

    def transition(
        self,
        session: Session,
        request: str,
        state: str,
        *,
        note: str | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> None:
        """Take a request to another state and commit; tried again where somebody else writes."""

        def move() -> None:
            self.move(session, request, state, note=note, outcome=outcome)
            session.commit()

        retry_conflicts(session, move)

    def postpone(self, session: Session, request: str, note: str) -> None:
        """Leave a request in progress and say why; said once, however often it is tried again."""
        stored = self.find(session, request)
        if stored is not None and stored.steps and stored.steps[-1].note != note:
            self.transition(session, request, "in-progress", note=note)

    def note_outcome(self, session: Session, request: str, outcome: dict[str, Any]) -> None:
        """Keep how far a request is; the caller commits."""
        session.execute(
            update(self._requests).where(self._requests.c.id == request).values(outcome=outcome)
        )

    def find(self, session: Session, request: str) -> RightsRequest | None:
        """One request with its steps, or None."""
        row = session.execute(select(self._requests).where(self._requests.c.id == request)).first()
        if row is None:
            return None
        steps = session.execute(
            select(self._steps)
            .where(self._steps.c.request_id == request)
            .order_by(self._steps.c.number)
        )
        return _request(
            row, tuple(StateChange(step.occurred_at, step.state, step.note) for step in steps)
        )

    def find_open(
        self, session: Session, right: str, subject: tuple[str, str], requester: str
    ) -> str | None:
        """The request of a right over a subject that somebody made and that has not ended,
        or None.
        """
        columns = self._requests.c
        query = select(columns.id).where(
            columns.request_type == right,
            columns.subject_kind == subject[0],
            columns.subject == subject[1],
            columns.requester == requester,
            columns.state.in_(OPEN),
        )
        return session.execute(query.limit(1)).scalar()

    def count(
        self, session: Session, right: str, subject: tuple[str, str], *, since: dt.datetime
    ) -> int:
        """How many requests of a right over a subject were made since a moment, whoever made them
        and however they ended.
        """
        columns = self._requests.c
        query = select(func.count()).where(
            columns.request_type == right,
            columns.subject_kind == subject[0],
            columns.subject == subject[1],
            columns.received_at >= since,
        )
        return int(session.execute(query).scalar_one())

    def unfinished(
        self, session: Session, *, before: dt.datetime | None = None
    ) -> list[RightsRequest]:
        """The requests that somebody began to carry out and did not end, oldest first."""
        columns = self._requests.c
        query = (
            select(self._requests)
            .where(columns.state == "in-progress")
            .order_by(columns.received_at, columns.id)
        )
        if before is not None:
            query = query.where(columns.received_at < before)
        return [_request(row) for row in session.execute(query)]

    def every(self, session: Session) -> Iterator[RightsRequest]:
        """All requests, newest first, a page at a time in memory."""
        after: str | None = None
        while page := self.visible(session, requester=None, client=None, after=after):
            yield from page
            after = page[-1].id

    def visible(
        self,
        session: Session,
        *,
        requester: str | None,
        client: str | None,
        kinds: Collection[str] = (),
        after: str | None = None,
        limit: int = PAGE,
    ) -> list[RightsRequest]:
        """A page of the requests that somebody made, or that concern the data of a client, newest
        first; all where both are None.

        Args:
            session: On the data.
            requester: The key of an actor.
            client: A client, for whom requests about these kinds of subject are shown.
            kinds: Kinds of subject that are held for clients.
            after: The id of the last request of the page before; one that is not there begins anew.
            limit: How many at most.
        """
        columns = self._requests.c
        query = select(self._requests).order_by(columns.received_at.desc(), columns.id).limit(limit)
        criteria = [columns.requester == requester] if requester is not None else []
        if client is not None:
            criteria.append((columns.client == client) & columns.subject_kind.in_(kinds))
        if criteria:
            query = query.where(or_(*criteria))
        last = (
            session.execute(select(columns.received_at).where(columns.id == after)).scalar()
            if after
            else None
        )
        if last is not None:
            query = query.where(
                (columns.received_at < last)
                | ((columns.received_at == last) & (columns.id > after))
            )
        rows = session.execute(query).all()
        steps: dict[str, list[StateChange]] = {row.id: [] for row in rows}
        for step in session.execute(
            select(self._steps)
            .where(self._steps.c.request_id.in_(list(steps)))
            .order_by(self._steps.c.number)
        ):
            steps[step.request_id].append(StateChange(step.occurred_at, step.state, step.note))
        return [_request(row, tuple(steps[row.id])) for row in rows]

    def _add_step(self, session: Session, request: str, state: str, note: str | None) -> None:
        number = (
            select(func.count()).select_from(self._steps).where(self._steps.c.request_id == request)
        )
        session.execute(
            insert(self._steps).values(
                request_id=request,
                number=number.scalar_subquery(),
                occurred_at=self._utcnow(),
                state=state,
                note=note,
            )
        )


def _request(row: Row[Any], steps: tuple[StateChange, ...] = ()) -> RightsRequest:
    return RightsRequest(
        id=row.id,
        right=row.request_type,
        subject=(row.subject_kind, row.subject),
        client=row.client,
        requester=row.requester,
        requester_role=row.requester_role,
        state=row.state,
        clause=row.clause,
        received_at=row.received_at,
        due_at=row.due_at,
        ended_at=row.ended_at,
        outcome=row.outcome,
        steps=steps,
    )
