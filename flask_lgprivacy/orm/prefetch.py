"""Whose rows are in a session, so that the keys of many rows come in one query."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from ..database.identifiers import canonical_id
from .model_info import ModelInfo

PER_QUERY = 2000
"""How many rows are looked at in the time that one query takes."""
_WAITED = "lgprivacy_waited"


def subject_ids_in(session: Session, layouts: Iterable[ModelInfo]) -> list[str]:
    """The identifiers of the subjects to whom the rows of some models in a session lead.

    Scanning backs off as the session grows, so that it never takes longer than loading one key
    after another would; calls in between return an empty list.
    """
    rows = session.identity_map
    waited = session.info.get(_WAITED, 0) + 1
    if len(rows) > waited * PER_QUERY:
        session.info[_WAITED] = waited
        return []
    session.info[_WAITED] = 0
    layouts = list(layouts)
    leads: dict[type, str | None] = {}
    subject_ids: dict[str, None] = {}
    for row in rows.values():
        model = type(row)
        if model not in leads:
            leads[model] = next(
                (layout.key_attribute for layout in layouts if issubclass(model, layout.model)),
                None,
            )
        leading = leads[model]
        owner = row.__dict__.get(leading) if leading is not None else None
        if owner is not None:
            subject_ids[canonical_id(owner)] = None
    return list(subject_ids)
