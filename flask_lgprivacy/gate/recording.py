"""Puts what a processing context did into the trail, and the uses of grants where their client sees
them.
"""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError

from ..database.clock import timestamp
from ..errors import TrailUnavailable
from .context import ProcessingContext


def commit_processing(context: ProcessingContext, status: int | None) -> None:
    """Commit the event of a processing context.

    A stream's uses of grants are in the trail piece by piece and in the client's list when it ends,
    because until then its cursor may hold the database.

    Args:
        context: What was processed.
        status: The HTTP status of the answer, or None.

    Raises:
        TrailUnavailable: Nothing may be released.
    """
    runtime = context.runtime
    if context.log.uses and context.via != "stream":
        record_grant_uses(context)
    now = runtime.utcnow()
    for counted in runtime.refusals.due(now, timestamp):
        runtime.audit.commit(counted)
    codes = context.anonymous_refusal_codes()
    if codes and runtime.refusals.count(context.endpoint, context.method, codes, now):
        return
    runtime.audit.commit(context.event(status=status))


def record_grant_uses(context: ProcessingContext) -> None:
    """Write the uses of grants in a transaction of their own.

    The context's transaction has ended, or may still be undone.

    Raises:
        TrailUnavailable: The database does not take them.
    """
    runtime = context.runtime
    rows = [
        {
            "id": uuid4().hex,
            "grant_id": grant_id,
            "occurred_at": runtime.utcnow(),
            "endpoint": (context.endpoint or "")[:200],
            "category": category,
            "action": action,
            "subjects": len(subjects),
        }
        for (grant_id, category, action), subjects in context.log.drain_grant_uses()
    ]
    if not rows:
        return
    try:
        with runtime.database.engine.begin() as connection:
            connection.execute(insert(runtime.database.tables.grant_use), rows)
    except SQLAlchemyError as error:
        raise TrailUnavailable(
            f"uses of grants, {type(error).__name__}; a job under a grant commits or rolls back "
            "before its block ends"
        ) from None
