"""Who owns a row or is shown it, where the labels of its keys say so: looked up once a context."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Session, object_session

from ..database.sqlalchemy_internals import state_of
from .key_access import no_session
from .labelled_models import LabelledModels
from .model_info import ModelInfo
from .ownership_links import Link
from .row_search import RowKey, RowPerson, RowSearch

MOST_AT_ONCE = 1000
"""How many rows of a session are looked up together."""


class RowPeople:
    """Who owns or is shown rows, as one processing context asks for it.

    Args:
        models: The application's labelled models.
        session: Returns the application's session.
    """

    __slots__ = ("_known", "_models", "_session")

    def __init__(self, models: LabelledModels, session: Callable[[], Session]) -> None:
        self._models = models
        self._session = session
        self._known: dict[tuple[Table, RowKey], tuple[RowPerson, ...]] = {}

    def of(self, instance: Any, layout: ModelInfo) -> tuple[RowPerson, ...]:
        """Who comes to a stored row; looked up with the other rows of its model in its session.

        Nobody comes to one that is not stored, or that was given the identifier of another.
        """
        state = state_of(instance)
        if state.key is None or layout.key in state.committed_state:
            return ()
        key = key_of(instance)
        if (layout.table, key) not in self._known:
            session = object_session(instance) or self._session()
            keys = {key: None}
            for row in session.identity_map.values():
                if len(keys) >= MOST_AT_ONCE:
                    break
                if isinstance(row, layout.model):
                    keys[key_of(row)] = None
            search = RowSearch(session, self._models.graph)
            rows = search.read(layout.table, keys)
            found = search.people_by_keys(layout.table, rows)
            if found is None:
                found = search.people_of(rows)
            self._known.update({(layout.table, one): people for one, people in found.items()})
        return self._known.get((layout.table, key), ())

    def now(
        self, session: Session, table: Table, keys: Iterable[RowKey]
    ) -> dict[RowKey, tuple[RowPerson, ...]]:
        """Who comes to rows of a table as the database has them now, by primary key."""
        search = RowSearch(session, self._models.graph)
        return search.people_of(search.read(table, keys))

    def known_as(
        self, session: Session, layout: ModelInfo, row_ids: Iterable[str]
    ) -> dict[str, tuple[RowPerson, ...]]:
        """Who comes to rows of a model as the database has them now, by the rows' identifiers."""
        search = RowSearch(session, self._models.graph)
        rows = search.known_as(layout.table, row_ids)
        people = search.people_of(rows)
        return {search.identifier_of(found_row): people[found_row.key] for found_row in rows}

    @property
    def turned(self) -> Mapping[Table, Sequence[Link]]:
        """By table, its keys that say whose another row is."""
        return self._models.graph.turned

    def of_targets(
        self,
        session: Session,
        labelled_key: Link,
        keys: Iterable[RowKey],
        *,
        but_for: Collection[tuple[Table, RowKey]],
    ) -> dict[RowKey, tuple[RowPerson, ...]]:
        """Who comes to the rows to which a key of some rows leads, as the database has them now.

        Args:
            session: On the data.
            labelled_key: Says whose the other rows are.
            keys: The primary keys of the rows that have it.
            but_for: Rows that count for nothing.
        """
        search = RowSearch(session, self._models.graph, but_for=but_for)
        return search.people_of(search.led_to(labelled_key, keys))

    def categories_behind(self, layout: ModelInfo) -> frozenset[str]:
        """The categories of a model; where it has none, of all that is reached over its rows."""
        if layout.family_categories:
            return layout.family_categories
        graph = self._models.graph
        reached = graph.reached_from(layout.table)
        return frozenset().union(
            *(model.family_categories for model in graph.models if model.table in reached)
        )

    def forget(self) -> None:
        """Look anew at the next use: a key may lead elsewhere."""
        self._known.clear()

    def release(self) -> None:
        """Let go of the context, which ends: the two hold one another."""
        self._known.clear()
        self._session = no_session

    def __repr__(self) -> str:
        return "<RowPeople>"


def key_of(instance: Any) -> RowKey:
    """The primary key of a stored row, or of one that was just inserted."""
    state = state_of(instance)
    if state.key is not None:
        identity: RowKey = state.key[1]
        return identity
    return tuple(state.mapper.primary_key_from_instance(instance))
