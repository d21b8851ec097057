"""Writes to rows that the labels of their keys give to several people, or over other rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import get_history

from ..database.identifiers import canonical_id
from ..database.sqlalchemy_internals import state_of
from ..policy.model import Action
from .context import AccessContext
from .model_info import ModelInfo
from .ownership_links import Link
from .pending_row import parent_value
from .registry import model_info_of_table
from .row_people import key_of
from .row_search import RowKey, RowPerson
from .row_state import SLOT
from .shared_records import SharedRecordKeys


class SharedRowWrites:
    """What one flush does to rows of shared models, authorised on behalf of any of their people.

    Deletions are authorised before the flush, insertions and changes after their statements and
    before anything is committed: only then the database knows whose they are.

    Args:
        session: Whose flush it is.
        context: The processing that writes.
        records: The keys of what the rows seal.
    """

    __slots__ = ("_context", "_records", "_session", "_written")

    def __init__(self, session: Session, context: AccessContext, records: SharedRecordKeys) -> None:
        self._session = session
        self._context = context
        self._records = records
        self._written: dict[Any, tuple[ModelInfo, frozenset[str]]] = {}  # by the row's state

    def note(self, row: Any, layout: ModelInfo) -> None:
        """A row is about to be inserted or changed."""
        _, before = self._written.get(state_of(row), (layout, frozenset()))
        self._written[state_of(row)] = (layout, before | _written_categories(row, layout))

    def delete(self, row: Any, layout: ModelInfo) -> None:
        """A row is about to be deleted."""
        self._authorize([row], layout, layout.categories, Action.ERASE)
        self._records.delete(row, layout)

    def note_moves(self) -> None:
        """Authorise, before the flush, changes of keys that say whose rows are.

        For a row's own keys the owners are asked whose it was; whose it becomes needs no permission
        of theirs. For a row that says whose another row is, the owners of that one are asked.
        """
        for state, (layout, _) in list(self._written.items()):
            row, is_stored = state.obj(), state.key is not None
            has_keys_changed = not is_stored or has_moved(row, layout)
            if is_stored and has_moved(row, layout):
                people = self._context.people.now(self._session, layout.table, [key_of(row)])
                self._ask_owners(layout, people)
                self._written[state] = (layout, frozenset())
            for labelled_key in self._turned(layout) if has_keys_changed else ():
                self._ask_owners_of_target(row, labelled_key)

    def _turned(self, layout: ModelInfo) -> list[Link]:
        return [
            labelled_key
            for labelled_key in self._context.people.links
            if labelled_key.is_turned and labelled_key.table is layout.table
        ]

    def _ask_owners_of_target(self, row: Any, labelled_key: Link) -> None:
        """Ask whoever owns the rows to which a key with `owns` or `shares` is made to lead."""
        mapper = inspect(type(row))
        names = [mapper.get_property_by_column(column).key for column in labelled_key.columns]
        values = tuple(_value_of(row, name) for name in names)
        if None in values:
            return  # it leads nowhere
        people = self._context.people.of_target(self._session, labelled_key, values)
        target = model_info_of_table(labelled_key.about)
        if target is not None and any(people.values()):
            self._ask_owners(target, people)

    def _ask_owners(self, layout: ModelInfo, people: Mapping[RowKey, Sequence[RowPerson]]) -> None:
        """Ask the owners of rows for every category that depends on whose the rows are."""
        for category in sorted(self._context.people.categories_behind(layout)):
            for persons in people.values():
                self._context.authorize_for_any(category, Action.WRITE, owners_of(persons), layout)

    def authorize(self) -> Iterator[RowPerson]:
        """Authorise what was written; yields whom it is about."""
        together: defaultdict[tuple[ModelInfo, frozenset[str]], list[Any]] = defaultdict(list)
        for state, written in self._written.items():
            together[written].append(state.obj())
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
                self._context.authorize_for_any(category, action, owners_of(persons), layout)
        if action is Action.WRITE and layout.groups:
            owners = {
                canonical_id(getattr(row, layout.key)): [
                    person.subject for person in owners_of(people.get(row_key, ()))
                ]
                for row, row_key in zip(rows, keys, strict=True)
            }
            self._records.keep(layout, owners)
        return [person for persons in people.values() for person in persons]


def _value_of(row: Any, name: str) -> Any:
    """The value that a key of a row will have when the row is written."""
    value = row.__dict__.get(name)
    return parent_value(row, name) if value is None else value


def owners_of(people: Sequence[RowPerson]) -> list[RowPerson]:
    """The owners of a row; of one without owners, whom it concerns and who are shown something."""
    owners = [person for person in people if person.is_owner]
    return owners or [person for person in people if person.shows != frozenset()]


def has_moved(row: Any, layout: ModelInfo) -> bool:
    """Whether a key was changed that says whose a row is."""
    return any(get_history(row, name).has_changes() for name in layout.owner_keys)


def _written_categories(row: Any, layout: ModelInfo) -> frozenset[str]:
    """The categories of a row's labelled fields that are written."""
    if state_of(row).key is None:
        names = [name for name in layout.tagged if row.__dict__.get(name) is not None]
    else:
        names = [name for name in layout.tagged if get_history(row, name).has_changes()]
    draft = row.__dict__.get(SLOT)
    if draft is not None and draft.assigned:
        names += draft.assigned
    return frozenset(layout.field_categories[name] for name in names)
