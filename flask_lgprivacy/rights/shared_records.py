"""Records of several owners when the client goes whose key wraps theirs."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from ..crypto.keys import PUBLISHER
from ..gate.runtime import Runtime
from ..orm.row_people import RowPeople
from ..orm.row_search import RowPerson
from ..orm.shared_rows import owners_of


def hand_over_records(runtime: Runtime, session: Session, client: str) -> None:
    """Wrap the keys of shared rows that another client's people own too by that client's key, so
    that these records outlive the key of the one who goes. Commits; may be repeated.

    Args:
        runtime: The application's.
        session: On the data.
        client: Whose key is about to be destroyed.
    """
    models = runtime.models
    people = RowPeople(models, lambda: session)
    for layout in models.graph.shared:
        if not models.is_held_for_client(layout):
            continue
        for row_ids in runtime.keys.records.held_by(session, layout.key_kind, client):
            found = people.known_as(session, layout, row_ids)
            holders = {
                row_id: _other_holder(runtime, session, owners_of(persons), client)
                for row_id, persons in found.items()
            }
            moved = {row_id: holder for row_id, holder in holders.items() if holder is not None}
            if moved:
                runtime.keys.records.move(session, layout.key_kind, moved)
            session.commit()


def _other_holder(
    runtime: Runtime, session: Session, owners: Iterable[RowPerson], client: str
) -> str | None:
    """Who holds a record after a client: that of another owner, the publisher for one without."""
    for owner in owners:
        kind, subject_id = owner.subject
        key = runtime.keys.load(session, kind, [subject_id]).get(subject_id)
        if key is not None and key.client != client:
            return key.client or PUBLISHER
    return None
