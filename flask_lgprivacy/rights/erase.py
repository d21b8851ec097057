"""Erasure: rows, then the key, then a second look for what is left (GDPR Art. 17)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table, delete, func, select
from sqlalchemy.orm import Session

from ..gate import House, Processing
from ..models import Layout
from ..policy import Action


def owned_tables(house: House, kind: str, one: Any) -> Iterator[tuple[str, Table, Any]]:
    """Every table that holds a subject's data: a name for people, the table, and the condition that selects the rows."""
    order = {table: number for number, table in enumerate(house.graph.subjects[kind].table.metadata.sorted_tables)}
    layouts = sorted(house.graph.of(kind), key=lambda layout: -order.get(layout.table, 0))
    for layout in layouts:
        yield layout.name, layout.table, subject_column(layout) == one
    requests, archives, consents = house.tables.request, house.tables.archive, house.tables.consent
    text = one.hex if hasattr(one, "hex") else str(one)
    about = select(requests.c.id).where(requests.c.subject_kind == kind, requests.c.subject == text)
    yield "archives", archives, archives.c.request.in_(about)
    yield "consents", consents, (consents.c.subject_kind == kind) & (consents.c.subject == text)


def subject_column(layout: Layout) -> Any:
    """The column by which a model's rows lead to their subject."""
    return layout.model.__mapper__.columns[layout.subject]  # type: ignore[attr-defined]


def erase_subject(
    house: House, processing: Processing, session: Session, kind: str, one: Any, *, text: str, client: str | None
) -> dict[str, int]:
    """Erase one subject; may be repeated after a crash, also where the key is destroyed already.

    Parameters: `one` is the primary key, `text` the same as an identifier, `client` the subject's. Every category is authorised first;
    then the rows go, then the key, then the transaction commits. Returns, by model, how many rows were erased.
    """
    for held in sorted(frozenset().union(*(other.categories for other in house.graph.of(kind)))):
        processing.authorize(held, Action.ERASE, client=client, subject=(kind, text))
        processing.note(held, Action.ERASE, client=client, subject=(kind, text))
    erased = {}
    for name, table, condition in owned_tables(house, kind, one):
        erased[name] = session.execute(delete(table).where(condition)).rowcount  # type: ignore[attr-defined]
    house.keys.destroy(session, kind, text)
    session.commit()
    session.expire_all()
    processing.forget_key(kind, text)
    return erased


def what_is_left(house: House, session: Session, kind: str, one: Any, text: str) -> dict[str, int]:
    """The second look: rows, by model, that still lead to the subject, and `key` where one still opens."""
    left = {}
    for name, table, condition in owned_tables(house, kind, one):
        count = session.execute(select(func.count()).select_from(table).where(condition)).scalar_one()
        if count:
            left[name] = int(count)
    if house.keys.is_alive(session, kind, text):
        left["key"] = 1
    return left
