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
    house: Runtime, processing: ProcessingContext, subject: SubjectRef, client: str | None
) -> None:
    """Authorise the erasure of every category that is held of a subject, and note it."""
    for held in sorted(
        frozenset().union(*(layout.categories for layout in house.graph.of(subject[0])))
    ):
        processing.authorize(held, Action.ERASE, client=client, subject=subject)
        processing.note(held, Action.ERASE, client=client, subject=subject)


Record = Callable[[dict[str, int], dict[str, int]], None]
"""Takes how many rows were erased, by model, and kept without the name, by table, in the transaction that erases them."""


def erase_subject(
    house: Runtime, session: Session, subject: SubjectRef, client: str | None, record: Record
) -> None:
    """Erase one subject and commit; may be repeated after a crash, also where the key is destroyed already.

    Whoever writes about the subject meanwhile is waited for, or sees that the key is gone (`models/holding.py`).

    Args:
        house: The application's.
        session: Without changes; a transaction of its own begins.
        subject: Kind and identifier.
        client: The subject's.
        record: Keeps the counts with the request.
    """
    kind, one = subject
    session.commit()
    if not house.keys.shares_the_data:
        house.keys.destroy(session, kind, one, client=client)
    wait_for_writers(session, house.graph.subjects[kind], one)
    if house.keys.shares_the_data:
        house.keys.lock(session, kind, one)  # after the row, as a writer's foreign key does it
    sifted = remove_from_inbox(house, session, subject, client)
    column = subject_column(house.graph.subjects[kind])
    rows = list(session.execute(select(column).where(matches_any_id(column, [one]))).scalars()) or [
        one
    ]
    erased = remove_rows(house, session, kind, rows)
    erased["inbox"] = erased.get("inbox", 0) + sifted
    kept = pseudonymise_evidence(house, session, kind, [one])
    if house.keys.shares_the_data:
        house.keys.destroy(session, kind, one, client=client)
    mark_erasure(session, house, subject=subject)
    record(erased, kept)
    session.commit()
    session.expire_all()


def find_remaining(
    house: Runtime, session: Session, subject: SubjectRef, client: str | None
) -> dict[str, int]:
    """The second look: rows, by model, that still lead to the subject, and `key` where one still opens."""
    kind, one = subject
    left = {}
    for name, table, condition in owned_tables(house, kind, [one]):
        count = session.execute(
            select(func.count()).select_from(table).where(condition)
        ).scalar_one()
        if count:
            left[name] = int(count)
    if waiting := inbox_entries_about(house, session, subject, client):
        left["inbox"] = len(waiting)
    if house.keys.is_alive(session, kind, one):
        left["key"] = 1
    session.commit()
    if not house.keys.empty_log(session):
        left["write-ahead log"] = 1
    return left
