"""Grants: by whom, to whom, over which categories of which people of a client, until when (LG-20 to LG-22)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, select
from sqlalchemy.orm import Session

from ..errors import RequestInvalid
from ..models import Graph, SubjectName, Tables, identifier
from ..models.columns import client_column, named_by, subject_column
from ..policy import GrantKind


@dataclass(frozen=True, slots=True)
class Scope:
    """Which people of a client are meant: everybody, named subjects, or those in named groups (classes)."""

    everybody: bool = False
    subjects: frozenset[SubjectName] = frozenset()
    groups: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        *,
        everybody: bool = False,
        subjects: Iterable[tuple[str, Any]] = (),
        groups: Iterable[Any] = (),
    ) -> Scope:
        """Make a scope.

        Parameters: `subjects` as (kind, id) pairs; `groups` as values of the column that `subject(…, scope=…)` names. Raises
        `RequestInvalid` where nobody, or everybody and somebody, is named.
        """
        named = frozenset((kind, identifier(one)) for kind, one in subjects)
        grouped = frozenset(identifier(group) for group in groups)
        if everybody == bool(named or grouped):
            raise RequestInvalid("scope: either everybody, or at least one subject or group")
        return cls(everybody, named, grouped)

    def as_json(self) -> dict[str, Any]:
        """The scope as it is stored and shown."""
        if self.everybody:
            return {"all": True}
        subjects = [{"kind": kind, "id": one} for kind, one in sorted(self.subjects)]
        return {"subjects": subjects, "groups": sorted(self.groups)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Scope:
        """What `as_json` made."""
        if stored.get("all"):
            return cls(everybody=True)
        named = frozenset((one["kind"], one["id"]) for one in stored["subjects"])
        return cls(subjects=named, groups=frozenset(stored["groups"]))

    def is_within(self, wider: Scope) -> bool:
        """Whether nobody is meant here who is not named in `wider`."""
        if wider.everybody:
            return True
        return not self.everybody and self.subjects <= wider.subjects and self.groups <= wider.groups


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant; asked for by one person and given by another; `assistance` or `ground` and `case` say why."""

    id: str
    kind: str
    client: str
    to: SubjectName
    purpose: str
    categories: frozenset[str]
    scope: Scope
    assistance: str | None
    ground: str | None
    case: str | None
    asked_by: str
    asked_at: dt.datetime
    given_by: str | None
    given_at: dt.datetime | None
    until: dt.datetime | None
    revoked_at: dt.datetime | None
    closed_at: dt.datetime | None = None

    def state(self, now: dt.datetime) -> str:
        """`asked`, `in-force`, `expired`, `revoked`, or `closed` where its request for assistance is."""
        if self.revoked_at is not None:
            return "revoked"
        if self.closed_at is not None:
            return "closed"
        if self.given_at is None or self.until is None:
            return "asked"
        return "in-force" if now < self.until else "expired"


@dataclass(frozen=True, slots=True)
class Assistance:
    """A client's request for assistance; open until the client closes it (LG-21)."""

    id: str
    client: str
    opened_by: str
    agent: SubjectName | None
    reference: str | None
    categories: frozenset[str]
    scope: Scope
    hours: int
    opened_at: dt.datetime
    closed_at: dt.datetime | None
    opened_as: frozenset[SubjectName] = frozenset()


def find_grants(session: Session, tables: Tables, *criteria: ColumnElement[bool]) -> list[Grant]:
    """The grants that meet criteria, newest first."""
    table, asked = tables.grant, tables.assistance
    query = (
        select(table, asked.c.closed_at)
        .outerjoin(asked, asked.c.id == table.c.assistance)
        .where(*criteria)
        .order_by(table.c.asked_at.desc(), table.c.id)
    )
    return [_grant(row) for row in session.execute(query)]


def find_assistance(session: Session, tables: Tables, *criteria: ColumnElement[bool]) -> list[Assistance]:
    """The requests for assistance that meet criteria, newest first."""
    table = tables.assistance
    query = select(table).where(*criteria).order_by(table.c.opened_at.desc(), table.c.id)
    return [_assistance(row) for row in session.execute(query)]


def grants_held(session: Session, tables: Tables, subjects: Iterable[SubjectName], now: dt.datetime) -> list[Grant]:
    """The grants in force to somebody; one for a request for assistance only while that is open."""
    table, asked = tables.grant.c, tables.assistance
    mine = set(subjects)
    if not mine:
        return []
    found = find_grants(
        session,
        tables,
        table.to.in_([one for _, one in mine]),
        table.given_at.is_not(None),
        table.revoked_at.is_(None),
        table.until > now,
        asked.c.closed_at.is_(None),
    )
    return [grant for grant in found if grant.to in mine]


def has_open_assistance(session: Session, tables: Tables, client: str) -> bool:
    """Whether a client has an open request for assistance."""
    asked = tables.assistance.c
    query = select(asked.id).where(asked.client == client, asked.closed_at.is_(None)).limit(1)
    return session.execute(query).first() is not None


def members(session: Session, graph: Graph, kind: str, client: str, groups: Iterable[str]) -> frozenset[str]:
    """The subjects of a kind and client that are in any of some groups, by the column that `scope=` names."""
    query = _in_groups(graph, kind, client, list(groups))
    return frozenset() if query is None else frozenset(identifier(one) for one in session.execute(query).scalars())


def _in_groups(graph: Graph, kind: str, client: str, groups: list[str]) -> Select[Any] | None:
    layout = graph.subjects.get(kind)
    column = graph.scope_column(kind)
    if layout is None or layout.client is None or column is None or not groups:
        return None
    try:
        in_groups = named_by(column, groups)
    except (TypeError, ValueError):
        return None
    key, of_client = subject_column(layout), client_column(layout)
    query = select(key).where(named_by(of_client, [client]), in_groups)
    leading = graph.leading_to_scope(kind)
    return query if leading is None else query.where(leading == key)


def allowed_categories(kind: GrantKind, rules: Iterable[Any]) -> dict[str, frozenset[str]]:
    """By purpose, the categories that a kind of grant can open: those of rules that ask for its condition."""
    found: dict[str, set[str]] = {}
    for rule in rules:
        if kind.condition in rule.conditions and kind.to in rule.roles:
            for purpose in rule.purposes:
                found.setdefault(purpose, set()).update(rule.categories)
    return {purpose: frozenset(categories) for purpose, categories in found.items()}


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        id=row.id,
        kind=row.kind,
        client=row.client,
        to=(row.to_kind, row.to),
        purpose=row.purpose,
        categories=frozenset(row.categories),
        scope=Scope.from_json(row.scope),
        assistance=row.assistance,
        ground=row.ground,
        case=row.case,
        asked_by=row.asked_by,
        asked_at=utc(row.asked_at),
        given_by=row.given_by,
        given_at=row.given_at and utc(row.given_at),
        until=row.until and utc(row.until),
        revoked_at=row.revoked_at and utc(row.revoked_at),
        closed_at=row.closed_at and utc(row.closed_at),
    )


def _assistance(row: Row[Any]) -> Assistance:
    return Assistance(
        id=row.id,
        client=row.client,
        opened_by=row.opened_by,
        agent=(row.agent_kind, row.agent) if row.agent else None,
        reference=row.reference,
        categories=frozenset(row.categories),
        scope=Scope.from_json(row.scope),
        hours=row.hours,
        opened_at=utc(row.opened_at),
        closed_at=row.closed_at and utc(row.closed_at),
        opened_as=frozenset((kind, one) for kind, one in row.opened_as),
    )


def utc(moment: dt.datetime) -> dt.datetime:
    """SQLite gives back times without their zone; all of ours are UTC."""
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
