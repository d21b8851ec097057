"""Requests of people who are erased, when their identifier may be personal data."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef
from ..gate.actor import Actor, actor_part
from ..gate.runtime import Runtime
from .requests import RightsRequest


def forget_names(runtime: Runtime, session: Session, request: RightsRequest) -> None:
    """Take the identifiers of whom a request erased out of every request about them or by them,
    where they may be personal data. The caller commits.

    Args:
        runtime: The application's.
        session: On the data.
        request: Of an erasure that is done.
    """
    others = (request.outcome or {}).get("with_them", ())
    for subject in [request.subject, *((kind, one) for kind, one in others)]:
        name = runtime.keys.erased_names.of(session, subject[0], [subject[1]]).get(subject[1])
        if name is not None:
            _forget(runtime, session, subject, name)


def keys_of_requester(runtime: Runtime, session: Session, actor: Actor) -> set[str]:
    """Under which keys an actor's requests stand: that of the actor, and of one who was erased."""
    keys = {actor.key}
    for kind, subject_id in actor.subjects:
        name = runtime.keys.erased_names.of(session, kind, [subject_id]).get(subject_id)
        if name is not None and subject_id == actor.id:
            keys.add(_renamed(actor.key, subject_id, name))
    return keys


def _forget(runtime: Runtime, session: Session, subject: SubjectRef, name: str) -> None:
    kind, subject_id = subject
    table = runtime.database.tables.request
    columns = table.c
    is_about_them = (columns.subject_kind == kind) & (columns.subject == subject_id)
    session.execute(update(table).where(is_about_them).values(subject=name))
    by_them = columns.requester.endswith(f":{actor_part(subject_id)}", autoescape=True)
    if _is_somebody_else(runtime, session, subject):
        by_them &= columns.subject == name
    for requester in session.execute(select(columns.requester).where(by_them).distinct()).scalars():
        renamed = _renamed(requester, subject_id, name)
        session.execute(
            update(table).where(columns.requester == requester).values(requester=renamed)
        )


def _is_somebody_else(runtime: Runtime, session: Session, subject: SubjectRef) -> bool:
    """Whether the identifier is that of somebody of another kind, too, whose requests stay."""
    kind, subject_id = subject
    return any(
        runtime.keys.load(session, other, [subject_id])
        for other in runtime.models.graph.subjects
        if other != kind
    )


def _renamed(requester: str, subject_id: str, name: str) -> str:
    return requester.removesuffix(actor_part(subject_id)) + name
