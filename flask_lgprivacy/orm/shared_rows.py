"""Writes to rows that the labels of their keys give to several people, or over other rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import get_history

from ..database.identifiers import canonical_id
from ..database.sqlalchemy_internals import state_of
from ..errors import WriteInvalid
from ..policy.model import Action
from .context import AccessContext
from .model_info import ModelInfo
from .ownership_links import Link
from .registry import model_info_of_table
from .row_people import key_of
from .row_search import RowKey, RowPerson
from .row_state import SLOT
from .shared_records import SharedRecordKeys


class SharedRowWrites:
    """What one flush does to rows of shared models, authorised on behalf of any of their people.

    Deletions, and changes of keys that say whose a row is, are authorised before their statements,
    by whose it was; insertions and other changes after their statements and before anything is
    committed: only then the database knows whose they are.

    Args:
        session: Whose flush it is.
        context: The processing that writes.
        records: The keys of what the rows seal.
    """

    __slots__ = ("_context", "_moved", "_records", "_session", "_written")

    def __init__(self, session: Session, context: AccessContext, records: SharedRecordKeys) -> None:
        self._session = session
        self._context = context
        self._records = records
        self._written: dict[Any, tuple[ModelInfo, frozenset[str]]] = {}  # by the row's state
        self._moved: set[Any] = set()  # states of rows whose owners were asked

    def note(self, row: Any, layout: ModelInfo) -> None:
        """A row is about to be inserted or changed."""
        _, before = self._written.get(state_of(row), (layout, frozenset()))
        self._written[state_of(row)] = (layout, before | _written_categories(row, layout))

    def delete(self, row: Any, layout: ModelInfo) -> None:
        """A row is about to be deleted."""
        self._authorize([row], layout, layout.categories, Action.ERASE)
        self._records.delete(row, layout)

    def note_move(self, row: Any, layout: ModelInfo) -> None:
        """Ask, once, whose a stored row was, where a key that says so is changed; whose it becomes
        needs no permission of theirs.
        """
        state = state_of(row)
        if state.key is None or state in self._moved or not has_moved(row, layout):
            return
        self._moved.add(state)
        self._ask_owners(
            layout, self._context.people.now(self._session, layout.table, [key_of(row)])
        )

    def refuse_late_move(self, row: Any, layout: ModelInfo) -> None:
        """A key that changed after its owners could be asked; raises `WriteInvalid`."""
        state = state_of(row)
        if state.key is not None and state not in self._moved and has_moved(row, layout):
            raise WriteInvalid(
                f"{layout.name}: a hook changed whose the row is when its record was sealed "
                "already; change it before the flush"
            )

    def _ask_owners_of_targets(self) -> None:
        """Ask whoever owned the rows to which keys with `owns` or `shares` were made to lead,
        whatever the rows of this flush say of them.
        """
        leading: defaultdict[Link, list[Any]] = defaultdict(list)
        for state, (layout, _) in self._written.items():
            for labelled_key in self._context.people.turned.get(layout.table, ()):
                if state.key is None or state in self._moved:
                    leading[labelled_key].append(state.obj())
        said_here = {
            (labelled_key.table, key_of(row))
            for labelled_key, rows in leading.items()
            for row in rows
        }
        for labelled_key, rows in leading.items():
            keys = [key_of(row) for row in rows]
            people = self._context.people.of_targets(
                self._session, labelled_key, keys, but_for=said_here
            )
            target = model_info_of_table(labelled_key.about)
            if target is not None:
                asked = {one: persons for one, persons in people.items() if persons}
                self._ask_owners(target, asked)

    def _ask_owners(self, layout: ModelInfo, people: Mapping[RowKey, Sequence[RowPerson]]) -> None:
        """Ask the owners of rows for every category that depends on whose the rows are."""
        for category in sorted(self._context.people.categories_behind(layout)):
            for persons in people.values():
                self._context.authorize_for_any(category, Action.WRITE, owners_of(persons), layout)

    def authorize(self) -> Iterator[RowPerson]:
        """Authorise what was written; yields whom it is about."""
        self._ask_owners_of_targets()
        together: defaultdict[tuple[ModelInfo, frozenset[str]], list[Any]] = defaultdict(list)
        for state, (layout, categories) in self._written.items():
            asked = frozenset() if state in self._moved else categories
            together[layout, asked].append(state.obj())
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
