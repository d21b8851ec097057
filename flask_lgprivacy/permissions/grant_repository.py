"""The tables of grants and requests for assistance."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, select
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef, canonical_id
from ..database.tables import Tables
from ..orm.columns import client_column, matches_any_id, subject_column
from ..orm.ownership_graph import OwnershipGraph
from .grants import AssistanceRequest, Grant, GrantScope


def find_grants(session: Session, tables: Tables, *criteria: ColumnElement[bool]) -> list[Grant]:
    """The grants that meet criteria, newest first."""
    table, assistance = tables.grant, tables.assistance
    query = (
        select(table, assistance.c.closed_at)
        .outerjoin(assistance, assistance.c.id == table.c.assistance)
        .where(*criteria)
        .order_by(table.c.asked_at.desc(), table.c.id)
    )
    return [_grant(row) for row in session.execute(query)]


def find_assistance(
    session: Session, tables: Tables, *criteria: ColumnElement[bool]
) -> list[AssistanceRequest]:
    """The requests for assistance that meet criteria, newest first."""
    table = tables.assistance
    query = select(table).where(*criteria).order_by(table.c.opened_at.desc(), table.c.id)
    return [_assistance(row) for row in session.execute(query)]


def grants_held(
    session: Session, tables: Tables, subjects: Iterable[SubjectRef], now: dt.datetime
) -> list[Grant]:
    """The grants in force to somebody; one for a request for assistance only while that is open."""
    table, assistance = tables.grant.c, tables.assistance
    own_subjects = set(subjects)
    if not own_subjects:
        return []
    grants = find_grants(
        session,
        tables,
        table.grantee_id.in_([subject_id for _, subject_id in own_subjects]),
        table.given_at.is_not(None),
        table.revoked_at.is_(None),
        table.until > now,
        assistance.c.closed_at.is_(None),
    )
    return [grant for grant in grants if grant.to in own_subjects]


def has_open_assistance(session: Session, tables: Tables, client: str) -> bool:
    """Whether a client has an open request for assistance."""
    assistance = tables.assistance.c
    query = (
        select(assistance.id)
        .where(assistance.client == client, assistance.closed_at.is_(None))
        .limit(1)
    )
    return session.execute(query).first() is not None


def members(
    session: Session, graph: OwnershipGraph, kind: str, client: str, groups: Iterable[str]
) -> frozenset[str]:
    """The subjects of a kind and client that are in any of some groups, by the column that `scope=`
    names.
    """
    query = _in_groups(graph, kind, client, list(groups))
    return (
        frozenset()
        if query is None
        else frozenset(canonical_id(subject_id) for subject_id in session.execute(query).scalars())
    )


def _in_groups(
    graph: OwnershipGraph, kind: str, client: str, groups: list[str]
) -> Select[Any] | None:
    layout = graph.subjects.get(kind)
    column = graph.scope_column(kind)
    if layout is None or layout.client is None or column is None or not groups:
        return None
    try:
        in_groups = matches_any_id(column, groups)
    except (TypeError, ValueError):
        return None
    key, of_client = subject_column(layout), client_column(layout)
    query = select(key).where(matches_any_id(of_client, [client]), in_groups)
    leading = graph.leading_to_scope(kind)
    return query if leading is None else query.where(leading == key)


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        id=row.id,
        kind=row.kind,
        client=row.client,
        to=(row.grantee_kind, row.grantee_id),
        purpose=row.purpose,
        categories=frozenset(row.categories),
        scope=GrantScope.from_json(row.scope),
        assistance=row.assistance,
        ground=row.ground,
        case=row.case_reference,
        asked_by=row.asked_by,
        asked_at=row.asked_at,
        given_by=row.given_by,
        given_at=row.given_at,
        until=row.until,
        revoked_at=row.revoked_at,
        closed_at=row.closed_at,
    )


def _assistance(row: Row[Any]) -> AssistanceRequest:
    return AssistanceRequest(
        id=row.id,
        client=row.client,
        opened_by=row.opened_by,
        agent=(row.agent_kind, row.agent) if row.agent else None,
        reference=row.reference,
        categories=frozenset(row.categories),
        scope=GrantScope.from_json(row.scope),
        hours=row.hours,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        opened_as=frozenset((kind, subject_id) for kind, subject_id in row.opened_as),
    )
