"""Statements and methods that would go around sealing are refused, with what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, ORMExecuteState, Session

from ..errors import UndeclaredProcessing
from .layout import layout_on
from .rowstate import SLOT

MARK = "__lgprivacy_guarded__"


def refuse_bulk_statement(state: ORMExecuteState) -> None:
    """The session's `do_orm_execute` listener: no INSERT, UPDATE or DELETE of a labelled model around the flush."""
    if not (state.is_insert or state.is_update or state.is_delete):
        return
    mapper = state.bind_mapper
    if mapper is not None and layout_on(mapper) is not None:
        _refuse(mapper)


def refuse_unsealed_methods(session_class: type[Session]) -> None:
    """Guard the methods of an application's own session class that write around the flush, or leave sealed fields behind."""
    if MARK in vars(session_class):
        return
    setattr(session_class, MARK, True)
    for name in ("bulk_save_objects", "bulk_insert_mappings", "bulk_update_mappings"):
        setattr(session_class, name, _guarded(getattr(session_class, name)))
    merge = session_class.merge

    def guarded_merge(self: Session, instance: Any, **options: Any) -> Any:
        draft = instance.__dict__.get(SLOT)
        if draft is not None and draft.assigned:
            raise UndeclaredProcessing(
                f"session.merge({type(instance).__name__}) would leave its sealed fields behind; load the row and assign them"
            )
        return merge(self, instance, **options)

    session_class.merge = guarded_merge  # type: ignore[method-assign]


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: Session, first: Any, *rest: Any, **options: Any) -> Any:
        rows = list(first) if isinstance(first, list | tuple) else [first]
        for row in rows:
            mapper = inspect(row if isinstance(row, type | Mapper) else type(row), raiseerr=False)
            if isinstance(mapper, Mapper) and layout_on(mapper) is not None:
                _refuse(mapper)
        return method(self, first, *rest, **options)

    return guarded


def _refuse(mapper: Mapper[Any]) -> NoReturn:
    raise UndeclaredProcessing(
        f"{mapper.class_.__name__}: bulk statements go around sealing and the gate; write and delete rows through the session, "
        "erase people by a request"
    )
