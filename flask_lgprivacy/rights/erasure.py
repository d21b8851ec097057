"""Erasure: the key and the rows, then a second look for what is left (GDPR Art. 17)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef
from ..gate.context import ProcessingContext
from ..gate.runtime import Runtime
from ..inbox import inbox_entries_about, remove_from_inbox
from ..orm.columns import matches_any_id, subject_column
from ..orm.erasure_locks import wait_for_writers
from ..policy.model import Action
from .removal import mark_erasure, owned_tables, pseudonymise_evidence, remove_rows


def authorize_erasure(
    runtime: Runtime, processing: ProcessingContext, subject: SubjectRef, client: str | None
) -> None:
    """Authorise the erasure of every category that is held of a subject, and note it."""
    for category in sorted(
        frozenset().union(*(layout.categories for layout in runtime.models.graph.of(subject[0])))
    ):
        processing.authorize(category, Action.ERASE, client=client, subject=subject)
        processing.record_access(category, Action.ERASE, client=client, subject=subject)


Record = Callable[[dict[str, int], dict[str, int]], None]
"""Takes how many rows were erased, by model, and kept without the name, by table, in the
transaction that erases them.
"""


def erase_subject(
    runtime: Runtime, session: Session, subject: SubjectRef, client: str | None, record: Record
) -> None:
    """Erase one subject and commit; may be repeated after a crash, also where the key is destroyed
    already.

    Whoever writes about the subject meanwhile is waited for, or sees that the key is gone
    (`orm/erasure_locks.py`).

    Args:
        runtime: The application's.
        session: Without changes; a transaction of its own begins.
        subject: Kind and identifier.
        client: The subject's.
        record: Keeps the counts with the request.
    """
    kind, subject_id = subject
    session.commit()
    if not runtime.keys.shares_the_data:
        runtime.keys.destroy(session, kind, subject_id, client=client)
    wait_for_writers(session, runtime.models.graph.subjects[kind], subject_id)
    if runtime.keys.shares_the_data:
        runtime.keys.lock(
            session, kind, subject_id
        )  # after the row, as a writer's foreign key does it
    sifted = remove_from_inbox(runtime, session, subject, client)
    column = subject_column(runtime.models.graph.subjects[kind])
    rows = list(
        session.execute(select(column).where(matches_any_id(column, [subject_id]))).scalars()
    ) or [subject_id]
    erased = remove_rows(runtime, session, kind, rows)
    erased["inbox"] = erased.get("inbox", 0) + sifted
    kept = pseudonymise_evidence(runtime, session, kind, [subject_id])
    if runtime.keys.shares_the_data:
        runtime.keys.destroy(session, kind, subject_id, client=client)
    mark_erasure(session, runtime, subject=subject)
    record(erased, kept)
    session.commit()
    session.expire_all()


def find_remaining(
    runtime: Runtime, session: Session, subject: SubjectRef, client: str | None
) -> dict[str, int]:
    """The second look: rows, by model, that still lead to the subject, and `key` where one still
    opens.
    """
    kind, subject_id = subject
    left = {}
    for name, table, condition in owned_tables(runtime, kind, [subject_id]):
        count = session.execute(
            select(func.count()).select_from(table).where(condition)
        ).scalar_one()
        if count:
            left[name] = int(count)
    if waiting := inbox_entries_about(runtime, session, subject, client):
        left["inbox"] = len(waiting)
    if runtime.keys.is_alive(session, kind, subject_id):
        left["key"] = 1
    session.commit()
    if not runtime.keys.empty_log(session):
        left["write-ahead log"] = 1
    return left
