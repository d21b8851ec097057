"""Erasure: rows, then the key, then a second look for what is left (GDPR Art. 17)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..custody.removal import mark_erasure, owned_tables, remove_rows
from ..gate import House, Processing
from ..policy import Action


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
    erased = remove_rows(house, session, kind, [one])
    house.keys.destroy(session, kind, text, client=client)
    mark_erasure(session, house, subject=(kind, text))
    session.commit()
    session.expire_all()
    processing.forget_key(kind, text)
    return erased


def what_is_left(house: House, session: Session, kind: str, one: Any, text: str) -> dict[str, int]:
    """The second look: rows, by model, that still lead to the subject, and `key` where one still opens."""
    left = {}
    for name, table, condition in owned_tables(house, kind, [one]):
        count = session.execute(select(func.count()).select_from(table).where(condition)).scalar_one()
        if count:
            left[name] = int(count)
    if house.keys.is_alive(session, kind, text):
        left["key"] = 1
    return left
