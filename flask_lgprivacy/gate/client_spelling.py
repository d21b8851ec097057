"""Whether an actor's client is written as the rows write it: a text is not another text's UUID."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..orm.columns import client_column, python_type, stored_forms
from ..orm.ownership_graph import OwnershipGraph
from .actor import Actor


def acting_client(graph: OwnershipGraph, session: Session, actor: Actor) -> str | None:
    """The client for whom an actor acts, or None.

    Keys and trail know a UUID and each of its texts by one name. Where clients are named by texts,
    "f1d3ff84-4329-…" and "f1d3ff844329…" may be two schools; an actor who is given as one of them
    does not act for rows that say the other.
    """
    others = stored_forms(actor.client_text) if actor.client_text is not None else []
    if others and any(_is_there(session, column, others) for column in _client_texts(graph)):
        return None
    return actor.client


def _client_texts(graph: OwnershipGraph) -> list[Any]:
    """The columns that hold clients as texts."""
    columns = [
        client_column(layout) for layout in graph.subjects.values() if layout.client is not None
    ]
    return [column for column in columns if python_type(column) is str]


def _is_there(session: Session, column: Any, texts: list[str]) -> bool:
    with session.no_autoflush:
        return session.execute(select(column).where(column.in_(texts)).limit(1)).first() is not None
