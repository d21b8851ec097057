"""Guards on SQLAlchemy's sessions and connections: whichever session writes labelled rows, it goes
through the gate.

They hang on SQLAlchemy's own classes, because an application's jobs, tests and migrations open
sessions of their own; for models without labels they do nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from sqlite3 import SQLITE_BUSY
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, ExceptionContext, event, inspect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstanceState, Mapper, ORMExecuteState, Session
from sqlalchemy.sql.selectable import AliasedReturnsRows

from ..database.sqlalchemy_internals import is_flushing, is_of_unit_of_work
from ..errors import RequestConflict, UndeclaredProcessing
from ..keys.transaction import committed, rolled_back, transaction_ended
from .flush_events import (
    after_flush,
    before_flush,
    has_labelled_rows,
    refuse_lost_race,
)
from .own_statements import _TOKEN
from .registry import labelled_tables, model_info_of_table
from .reserved_identifiers import give_back, keep_given
from .row_state import SLOT

_OUTER = "lgprivacy_outer_flush"
_flushing: ContextVar[Session | None] = ContextVar("lgprivacy_flushing", default=None)
_guarded: WeakSet[Engine] = WeakSet()


def guard_sessions() -> None:
    """Listen to every session; once for the process."""
    if event.contains(Session, "before_flush", _begin_flush):
        return
    event.listen(Session, "before_flush", _begin_flush)
    event.listen(Session, "after_flush", _end_flush)
    event.listen(Session, "after_commit", committed)
    event.listen(Session, "after_transaction_end", transaction_ended)
    event.listen(Session, "after_soft_rollback", rolled_back)
    event.listen(Session, "after_soft_rollback", give_back)
    event.listen(Session, "after_commit", keep_given)
    event.listen(Session, "do_orm_execute", _refuse_bulk_statement)
    event.listen(Session, "after_begin", _guard_connection)
    for name in ("bulk_save_objects", "bulk_insert_mappings", "bulk_update_mappings"):
        setattr(Session, name, _without_labelled(getattr(Session, name)))
    Session.merge = _without_drafts(Session.merge)  # type: ignore[method-assign]


def guard_engine(engine: Engine) -> None:
    """Refuse statements on labelled tables that go around the flush, on every connection that an
    engine makes.
    """
    if engine not in _guarded:
        _guarded.add(engine)
        event.listen(engine, "before_execute", _refuse_statement)
        event.listen(engine, "handle_error", _name_lost_race)


def _begin_flush(session: Session, context: Any, instances: Any) -> None:
    session.info[_OUTER] = _flushing.get()
    _flushing.set(session)
    before_flush(session, context, instances)


def _end_flush(session: Session, context: Any) -> None:
    """Where one session flushes in a hook of another's flush, the other goes on."""
    _flushing.set(session.info.pop(_OUTER, None))
    after_flush(session, context)


def _guard_connection(_session: Session, _transaction: Any, connection: Connection) -> None:
    """A session on an engine that was never seen: what it has in hand is guarded, and what the
    engine makes from now on.
    """
    if connection.engine not in _guarded:
        guard_engine(connection.engine)
        event.listen(connection, "before_execute", _refuse_statement)


def _name_lost_race(context: ExceptionContext) -> None:
    """Say what happened where the database refused a labelled row because somebody else was
    quicker: an erasure, or another write.
    """
    session = _flushing.get()
    if session is None or not is_flushing(session):
        return
    if isinstance(context.sqlalchemy_exception, IntegrityError):
        refuse_lost_race(session)
    elif _is_conflict(context.original_exception) and has_labelled_rows(session):
        raise RequestConflict("another transaction writes the same; roll back and try again")


def _is_conflict(error: BaseException | None) -> bool:
    """Whether a driver's error is a deadlock or a serialization failure (SQLSTATE 40P01, 40001), or
    SQLite's lock.
    """
    return (
        getattr(error, "sqlstate", None) in ("40P01", "40001")
        or getattr(error, "sqlite_errorcode", None) == SQLITE_BUSY
    )


def _refuse_statement(
    _connection: Connection, statement: Any, _many: Any, _one: Any, options: Any
) -> None:
    """No INSERT, UPDATE or DELETE of a labelled table, but by a flush or by this package."""
    if not getattr(statement, "is_dml", False) or options.get("lgprivacy_statement") is _TOKEN:
        return
    table = statement.table
    while isinstance(table, AliasedReturnsRows):
        table = table.element
    layout = model_info_of_table(table)
    if layout is not None:
        session = _flushing.get()
        if (
            session is None
            or not is_flushing(session)
            or not is_of_unit_of_work(options, layout.model)
        ):
            raise UndeclaredProcessing(_refusal(layout.name))


def _refuse_bulk_statement(state: ORMExecuteState) -> None:
    """No INSERT, UPDATE or DELETE of a labelled model around the flush, also where a flush is
    running.
    """
    if state.bind_mapper is not None and (state.is_insert or state.is_update or state.is_delete):
        _refuse(state.bind_mapper)


def _without_labelled(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def guarded(self: Session, first: Any, *rest: Any, **options: Any) -> Any:
        rows = [first] if isinstance(first, type | Mapper) else list(first)
        for row in rows:
            mapper = inspect(row if isinstance(row, type | Mapper) else type(row), raiseerr=False)
            if isinstance(mapper, Mapper):
                _refuse(mapper)
        return method(self, first if isinstance(first, type | Mapper) else rows, *rest, **options)

    return guarded


def _without_drafts(merge: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(merge)
    def guarded(self: Session, instance: Any, *rest: Any, **options: Any) -> Any:
        for row in (instance, *_merged_with(instance)):
            if row in self:  # merged into itself
                continue
            draft = getattr(row, "__dict__", {}).get(SLOT)
            if draft is not None and draft.assigned:
                raise UndeclaredProcessing(
                    f"session.merge({type(instance).__name__}) would leave sealed fields of "
                    f"{type(row).__name__} behind; load the "
                    "row and assign them"
                )
        return merge(self, instance, *rest, **options)

    return guarded


def _merged_with(instance: Any) -> Iterator[Any]:
    """The rows that SQLAlchemy merges along with one, by its relationships."""
    state = inspect(instance, raiseerr=False)
    if isinstance(state, InstanceState):
        for row, _, _, _ in state.mapper.cascade_iterator("merge", state):
            yield row


def _refuse(mapper: Mapper[Any]) -> None:
    labelled = labelled_tables(mapper)
    if labelled:
        raise UndeclaredProcessing(_refusal(labelled[0].name))


def _refusal(model: str) -> str:
    return (
        f"{model}: bulk statements go around sealing and the gate; write and delete rows through "
        "the session, "
        "erase people by a request"
    )
