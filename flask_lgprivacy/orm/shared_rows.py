"""Writes to rows that the labels of their keys give to several people, or over other rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import get_history

from ..database.sqlalchemy_internals import state_of
from ..policy.model import Action
from .context import AccessContext
from .model_info import ModelInfo
from .row_people import key_of
from .row_search import RowPerson


class SharedRowWrites:
    """What one flush does to rows of shared models, authorised on behalf of any of their people.

    Deletions are authorised before the flush, insertions and changes after their statements and
    before anything is committed: only then the database knows whose they are.

    Args:
        session: Whose flush it is.
        context: The processing that writes.
    """

    __slots__ = ("_context", "_session", "_written")

    def __init__(self, session: Session, context: AccessContext) -> None:
        self._session = session
        self._context = context
        self._written: dict[Any, tuple[ModelInfo, frozenset[str]]] = {}

    def note(self, row: Any, layout: ModelInfo) -> None:
        """A row is about to be inserted or changed."""
        _, before = self._written.get(row, (layout, frozenset()))
        self._written[row] = (layout, before | _written_categories(row, layout))

    def delete(self, row: Any, layout: ModelInfo) -> None:
        """A row is about to be deleted."""
        self._authorize([row], layout, layout.categories, Action.ERASE)

    def note_moves(self) -> None:
        """Authorise, for those whose they were, changes of the keys that say whose rows are; whose
        they become needs no permission of theirs.
        """
        for row, (layout, _) in self._written.items():
            if state_of(row).key is not None and has_moved(row, layout):
                self._authorize([row], layout, layout.categories, Action.WRITE)
                self._written[row] = (layout, frozenset())

    def authorize(self) -> Iterator[RowPerson]:
        """Authorise what was written; yields whom it is about."""
        together: defaultdict[tuple[ModelInfo, frozenset[str]], list[Any]] = defaultdict(list)
        for row, written in self._written.items():
            together[written].append(row)
        for (layout, categories), rows in together.items():
            yield from self._authorize(rows, layout, categories, Action.WRITE)
        self._context.people.forget()
        self._written.clear()

    def _authorize(
        self, rows: list[Any], layout: ModelInfo, categories: Iterable[str], action: Action
    ) -> list[RowPerson]:
        keys = [key_of(row) for row in rows]
        people = self._context.people.now(self._session, layout.table, keys)
        for category in sorted(categories):
            for persons in people.values():
                self._context.authorize_for_any(category, action, persons, layout)
        return [person for persons in people.values() for person in persons]


def has_moved(row: Any, layout: ModelInfo) -> bool:
    """Whether a key was changed that says whose a row is."""
    return any(get_history(row, name).has_changes() for name in layout.owner_keys)


def _written_categories(row: Any, layout: ModelInfo) -> frozenset[str]:
    """The categories of a row's tagged fields that are written."""
    if state_of(row).key is None:
        names = [name for name in layout.tagged if row.__dict__.get(name) is not None]
    else:
        names = [name for name in layout.tagged if get_history(row, name).has_changes()]
    return frozenset(layout.tagged[name].category for name in names)
