"""What SQLAlchemy tells of a flush, from any session: labelled rows are sealed and authorised
before it, and within it to the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import InstanceState, Mapper, Session, object_session

from ..database.sqlalchemy_internals import is_flushing
from ..errors import WriteInvalid
from .context import current_context
from .flush import FlushSealer
from .model_info import ModelInfo
from .pending_row import has_tagged_change, refuse_moving
from .registry import labelled_tables, model_info_of, model_info_on
from .row_state import SLOT
from .shared_rows import has_moved

RUNNING = "lgprivacy_flush"
"""Where a session keeps the `Flush` that it is in."""
ENDED = "lgprivacy_flush_ended"
"""Set between the last statement of a flush and its end: what is assigned then goes into the next
one.
"""


def before_flush(session: Session, _context: Any, _instances: Any) -> None:
    """Seal and authorise what is about to be written, all at once; no trail, no write."""
    given_up: FlushSealer | None = session.info.pop(RUNNING, None)
    if given_up is not None:
        given_up.undo()
    session.info.pop(ENDED, None)
    deleted = list(_labelled(session.deleted))
    new = list(_labelled(session.new))
    changed = [
        (row, layout)
        for row, layout in _labelled(session.dirty)
        if _has_labelled_change(row, layout)
    ]
    if new or changed or deleted:
        flush = FlushSealer(session, [layout.name for _, layout in (*new, *changed, *deleted)])
        session.info[RUNNING] = flush
        flush.delete(deleted)
        flush.write(new, changed)
        flush.intend()


def after_flush(session: Session, _context: Any) -> None:
    """Everything is written: nothing is assigned within the flush any more, and nobody was erased
    meanwhile.
    """
    flush: FlushSealer | None = session.info.pop(RUNNING, None)
    session.info[ENDED] = True
    if flush is not None:
        flush.look_again()


def has_labelled_rows(session: Session) -> bool:
    """Whether the flush that a session is in writes or deletes labelled rows."""
    return _flush_of(session) is not None


def refuse_lost_race(session: Session) -> None:
    """Raise `SubjectErased` where the database refused a row because somebody whom the flush is
    about was erased meanwhile.
    """
    flush = _flush_of(session)
    if flush is not None:
        flush.refuse_lost_race()


def listen_to_rows(model: type) -> None:
    """Look at each row of a labelled model once more when its turn in a flush comes, and when it is
    written.
    """
    event.listen(model, "before_insert", _before_insert)
    event.listen(model, "before_update", _before_update)
    event.listen(model, "before_delete", _before_delete)
    event.listen(model, "after_insert", _after_write, raw=True)
    event.listen(model, "after_update", _after_write, raw=True)


def assigned_in_flush(row: Any) -> None:
    """Seal once more what somebody's hook assigned in the middle of a flush; raises `WriteInvalid`
    where it would be lost.
    """
    session = object_session(row)
    if session is None or not is_flushing(session) or session.info.get(ENDED):
        return
    flush = _flush_of(session)
    if flush is None or not flush.assigned(row):
        raise WriteInvalid(
            f"{type(row).__name__}: a labelled column was assigned while a flush was writing, when "
            "it is too late for this row; assign "
            "before the flush, or in the row's own before_insert or before_update hook"
        )


def _flush_of(session: Session) -> FlushSealer | None:
    flush: FlushSealer | None = session.info.get(RUNNING)
    return flush


def _running(row: Any, layout: ModelInfo) -> FlushSealer:
    """The flush that a row is written or deleted in; one that another listener's rows brought about
    begins here.
    """
    session = object_session(row)
    assert session is not None  # noqa: S101  a row without a session is in no flush
    flush = _flush_of(session)
    if flush is None:
        flush = session.info[RUNNING] = FlushSealer(session, (layout.name,))
    return flush


def _before_insert(_mapper: Mapper[Any], _connection: Any, row: Any) -> None:
    """A row that came into the flush after `before_flush` was told of it is sealed now."""
    layout = model_info_of(type(row))
    flush = _running(row, layout)
    if not flush.has(row):
        flush.write([(row, layout)], [])
        flush.intend()
    flush.begin(row)


def _before_update(_mapper: Mapper[Any], _connection: Any, row: Any) -> None:
    """The last look when relationships have set their foreign keys; the row's own hooks may assign
    from now on.
    """
    layout = model_info_of(type(row))
    refuse_moving(row, layout)
    flush = (
        _running(row, layout)
        if current_context.get() is not None or _has_labelled_change(row, layout)
        else None
    )
    if flush is None:
        return
    if flush.has(row):
        flush.note_move(row, layout)
        flush.begin(row)
        return
    if _has_labelled_change(row, layout):
        flush.write([], [(row, layout)])
        flush.intend()
        flush.begin(row)
    flush.at(row)


def _before_delete(_mapper: Mapper[Any], _connection: Any, row: Any) -> None:
    """Orphans are deleted without being in the session's list."""
    layout = model_info_of(type(row))
    flush = _running(row, layout)
    if not flush.has(row):
        flush.delete([(row, layout)])
        flush.intend()


def _after_write(_mapper: Mapper[Any], _connection: Any, state: InstanceState[Any]) -> None:
    session = state.session
    flush = None if session is None else _flush_of(session)
    if flush is not None:
        flush.wrote(state)


def _labelled(rows: Iterable[Any]) -> Iterator[tuple[Any, ModelInfo]]:
    """Those rows whose model is labelled, each with its layout; a second model of a labelled table
    is refused.
    """
    layouts: dict[type, ModelInfo | None] = {}
    for row in rows:
        model = type(row)
        if model not in layouts:
            layouts[model] = model_info_on(inspect(model))
            others = labelled_tables(inspect(model)) if layouts[model] is None else []
            if others:
                raise WriteInvalid(
                    f"{model.__name__} is a second model of the table of {others[0].name}; write "
                    f"it as {others[0].name}"
                )
        layout = layouts[model]
        if layout is not None:
            yield row, layout


def _has_labelled_change(row: Any, layout: ModelInfo) -> bool:
    """Whether a changed row changed in what is labelled; a row that moved is caught by
    `before_update`.
    """
    draft = row.__dict__.get(SLOT)
    if draft is not None and draft.assigned is not None:
        return True
    return has_tagged_change(row, layout) or (layout.is_shared and has_moved(row, layout))
