"""Removal of rows: what leads to data subjects, in the order that foreign keys allow, and the mark
that says how far it went.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import String, Table, cast, delete, func, insert, select, update
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef, canonical_id
from ..gate.actor import actor_part
from ..gate.runtime import Runtime
from ..orm.columns import matches_any_id, subject_column
from ..orm.own_statements import OWN_STATEMENT
from .erasure_plan import ErasurePlan, Removal, find_people

ERASED = "erased"
"""Who stands where the name of an erased person stood."""


def owned_tables(
    runtime: Runtime, kind: str, subject_ids: Sequence[Any]
) -> Iterator[tuple[str, Table, Any]]:
    """Every table whose rows have one owner by a key of their own: a name for people, the table,
    and the condition that selects the rows of some subjects.
    """
    texts = [canonical_id(subject_id) for subject_id in subject_ids]
    for layout in runtime.models.graph.of(kind):
        yield layout.name, layout.table, matches_any_id(subject_column(layout), texts)
    yield from _own_tables(runtime, kind, texts)


def _own_tables(
    runtime: Runtime, kind: str, texts: Sequence[str]
) -> Iterator[tuple[str, Table, Any]]:
    """The same of this package's own tables."""
    requests, archives, consents = (
        runtime.database.tables.request,
        runtime.database.tables.archive,
        runtime.database.tables.consent,
    )
    about = select(requests.c.id).where(
        requests.c.subject_kind == kind, requests.c.subject.in_(texts)
    )
    yield "archives", archives, archives.c.request_id.in_(about)
    yield "consents", consents, (consents.c.subject_kind == kind) & consents.c.subject.in_(texts)


def remove_rows(
    runtime: Runtime, session: Session, kind: str, subject_ids: Sequence[Any]
) -> Removal:
    """Erase the rows of some subjects, as the labels of their keys say. The caller commits.

    Raises:
        ErasureBlocked: The database refuses a deletion.
    """
    graph = runtime.models.graph
    texts = [canonical_id(subject_id) for subject_id in subject_ids]
    people = find_people(session, graph, kind, texts)
    plan = ErasurePlan(session, graph, runtime.keys, people)
    asked = {(kind, text) for text in texts}
    with_them = [subject for subject in plan.subjects if subject not in asked]
    for subject in with_them:
        runtime.keys.destroy(session, *subject)
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for subject_kind, subject_id in plan.subjects:
        by_kind[subject_kind].append(subject_id)
    removal = Removal(subjects=tuple(with_them))
    for subject_kind, ids in by_kind.items():
        for name, table, condition in _own_tables(runtime, subject_kind, ids):
            result: Any = session.execute(
                delete(table).where(condition), execution_options=OWN_STATEMENT
            )
            removal.erased[name] += result.rowcount
    removal += plan.carry_out()
    for layout, row_ids in plan.records.items():
        runtime.keys.records.destroy(session, layout.key_kind, row_ids)
    return removal


def pseudonymise_evidence(
    runtime: Runtime, session: Session, kind: str, subject_ids: Sequence[str]
) -> dict[str, int]:
    """Take the names of erased people out of what stays: who was let in, by whom, and what they saw
    is the client's evidence.

    What they still had a grant for ends (GDPR Art. 17(3)(b), (e); LG-21, LG-22). The caller
    commits.

    Returns:
        By table, how many rows were kept without the name.
    """
    tables, now = runtime.database.tables, runtime.utcnow()
    grants, assistance = tables.grant.c, tables.assistance.c
    to_them = (grants.grantee_kind == kind) & grants.grantee_id.in_(subject_ids)
    ended = {"revoked_at": func.coalesce(grants.revoked_at, now), "slot": None}
    counts = {
        "grants": session.execute(
            update(tables.grant).where(to_them).values(grantee_id=ERASED, **ended)
        ).rowcount,  # type: ignore[attr-defined]
        "requests for assistance": session.execute(  # type: ignore[attr-defined]
            update(tables.assistance)
            .where(assistance.agent_kind == kind, assistance.agent.in_(subject_ids))
            .values(agent=ERASED)
        ).rowcount,
    }
    for subject_id in subject_ids:
        is_named = cast(assistance.opened_as, String).contains(f'"{subject_id}"', autoescape=True)
        session.execute(update(tables.assistance).where(is_named).values(opened_as=[]))
    for column in (grants.asked_by, grants.given_by, grants.revoked_by, assistance.opened_by):
        for subject_id in subject_ids:
            theirs = column.endswith(f":{actor_part(subject_id)}", autoescape=True)
            session.execute(update(column.table).where(theirs).values({column: ERASED}))
    return {name: count for name, count in counts.items() if count}


def mark_erasure(
    session: Session,
    runtime: Runtime,
    *,
    subject: SubjectRef | None = None,
    client: str | None = None,
) -> None:
    """Say in the data's own database that the erasure of a subject, or of a client, is done in it.
    The caller commits.

    Where another one may not be done yet, the mark stays, so that the next start looks again; it
    never goes back.
    """
    marked = marked_erasure(session, runtime)
    if not runtime.keys.has_other_erasures(session, marked, subject=subject, client=client):
        set_mark(session, runtime)


def set_mark(session: Session, runtime: Runtime) -> None:
    """Say that every erasure that the key table knows is done in this database. The
    caller commits.
    """
    last, marked = runtime.keys.last_erasure(session), marked_erasure(session, runtime)
    if last is not None and (marked is None or last > marked):
        session.execute(delete(runtime.database.tables.erasure_mark))
        session.execute(
            insert(runtime.database.tables.erasure_mark).values(name="erasures", erased_until=last)
        )


def marked_erasure(session: Session, runtime: Runtime) -> dt.datetime | None:
    """Up to when this database says that erasures are done in it."""
    return session.execute(select(runtime.database.tables.erasure_mark.c.erased_until)).scalar()
