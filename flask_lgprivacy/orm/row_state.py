"""What a row holds of its sealed fields: assignments until the flush, and what was opened under a
living context.
"""

from __future__ import annotations

import operator
import typing
from typing import Any, NoReturn

from sqlalchemy import inspect, select
from sqlalchemy.orm import object_session
from sqlalchemy.orm.attributes import flag_dirty

from ..database.sqlalchemy_internals import state_of
from .model_info import VERSION_COLUMN

SLOT = "_lgprivacy"
"""Where a row's `__dict__` keeps its `PendingFields`; a group's `DecryptedGroup` stands under the
slot and the group's column.
"""
NO_ENVELOPE = b"in plain text"
"""Sentinel for rows that are still in plain text; never equal to a stored envelope."""
CHANGED = "somebody else changed or removed this meanwhile; load it and try again"
"""What is said of a row whose parts were loaded before and after somebody else wrote it."""


class _Hidden:
    """Neither printed nor carried away with its row."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<sealed fields>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a row with opened or unsaved sealed fields cannot be pickled or copied; pass its id "
            "instead"
        )


class DecryptedGroup(_Hidden):
    """The opened fields of one group of one row: shown while their context lives and their envelope
    is the row's.

    A row that is still in plain text has no envelope, so `NO_ENVELOPE` stands for it and what it
    holds is looked at anew each time.
    """

    __slots__ = ("envelope", "life", "values")

    life: object
    envelope: bytes
    values: dict[str, Any]

    def shows(self, life: object, envelope: bytes | None) -> bool:
        """Whether it was opened under a context that lives, and of this very envelope."""
        return self.life is life and self.envelope is envelope

    def assign(self, values: dict[str, Any]) -> None:
        """Read assigned values from now on."""
        self.values = {**self.values, **values}


class PendingFields(_Hidden):
    """Sealed fields that were assigned and not flushed, and those that a flush wrote since the row
    was made.
    """

    __slots__ = ("assigned", "flushed")

    def __init__(self) -> None:
        self.assigned: dict[str, Any] | None = None
        self.flushed: dict[str, Any] | None = None

    @staticmethod
    def of(instance: Any) -> PendingFields:
        """The draft of a row, made where there is none."""
        row = instance.__dict__
        draft = row.get(SLOT)
        if draft is None:
            draft = row[SLOT] = PendingFields()
        return typing.cast(PendingFields, draft)


def assign(instance: Any, opened_at: str, name: str, value: Any) -> None:
    """Take an assignment, to be sealed at the next flush; what was opened of its group is read with
    it from now on.
    """
    row = instance.__dict__
    draft = row.get(SLOT) or PendingFields.of(instance)
    if draft.assigned is None:
        draft.assigned = {}
    if not state_of(instance).modified:
        flag_dirty(instance)
    draft.assigned[name] = value
    opened = row.get(opened_at)
    if opened is not None:
        opened.assign({name: value})


def decrypted_slot(column: str) -> str:
    """The key under which a row's `__dict__` keeps what was opened of the group in a column."""
    return f"{SLOT}:{column}"


def changed_meanwhile(instance: Any, version: int) -> bool:
    """Whether somebody else wrote or removed a row after it was loaded: a part of it that is loaded
    later is of another version.
    """
    session, state = object_session(instance), inspect(instance)
    if session is None or state.identity is None:
        return False
    table = state.mapper.local_table
    query = select(table.c[VERSION_COLUMN]).where(
        *map(operator.eq, table.primary_key.columns, state.identity)
    )
    with session.no_autoflush:
        return session.execute(query).scalar_one_or_none() != version
