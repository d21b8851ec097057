"""Erasure: the key and the rows, then a second look for what is left (GDPR Art. 17)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..custody.ingest import sift, waiting_about
from ..custody.removal import mark_erasure, owned_tables, remove_rows, replace_names
from ..gate import House, Processing
from ..models import SubjectName
from ..models.columns import named_by, subject_column
from ..models.holding import wait_for_writers
from ..policy import Action


def authorize_erasure(house: House, processing: Processing, subject: SubjectName, client: str | None) -> None:
    """Authorise the erasure of every category that is held of a subject, and note it."""
    for held in sorted(frozenset().union(*(layout.categories for layout in house.graph.of(subject[0])))):
        processing.authorize(held, Action.ERASE, client=client, subject=subject)
        processing.note(held, Action.ERASE, client=client, subject=subject)


Record = Callable[[dict[str, int], dict[str, int]], None]
"""Takes how many rows were erased, by model, and kept without the name, by table, in the transaction that erases them."""


def erase_subject(house: House, session: Session, subject: SubjectName, client: str | None, record: Record) -> None:
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
    sifted = sift(house, session, subject, client)
    column = subject_column(house.graph.subjects[kind])
    rows = list(session.execute(select(column).where(named_by(column, [one]))).scalars()) or [one]
    erased = remove_rows(house, session, kind, rows)
    erased["inbox"] = erased.get("inbox", 0) + sifted
    kept = replace_names(house, session, kind, [one])
    if house.keys.shares_the_data:
        house.keys.destroy(session, kind, one, client=client)
    mark_erasure(session, house, subject=subject)
    record(erased, kept)
    session.commit()
    session.expire_all()


def what_is_left(house: House, session: Session, subject: SubjectName, client: str | None) -> dict[str, int]:
    """The second look: rows, by model, that still lead to the subject, and `key` where one still opens."""
    kind, one = subject
    left = {}
    for name, table, condition in owned_tables(house, kind, [one]):
        count = session.execute(select(func.count()).select_from(table).where(condition)).scalar_one()
        if count:
            left[name] = int(count)
    if waiting := waiting_about(house, session, subject, client):
        left["inbox"] = len(waiting)
    if house.keys.is_alive(session, kind, one):
        left["key"] = 1
    session.commit()
    if not house.keys.empty_log(session):
        left["write-ahead log"] = 1
    return left
