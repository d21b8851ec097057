"""What the erasure of people does to rows: which go, which lose a key or a field, which keep it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Column, Table, delete, null, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef
from ..errors import ErasureBlocked
from ..keys.key_table import CHUNK, chunks
from ..keys.store import KeyStore
from ..orm.columns import (
    coerce,
    columns_by_field,
    matches_any_id,
    python_type,
    stored_forms,
    subject_column,
)
from ..orm.model_info import ModelInfo
from ..orm.own_statements import OWN_STATEMENT
from ..orm.ownership_graph import OwnershipGraph
from ..orm.ownership_labels import DeleteRow, Keep
from ..orm.ownership_links import Link
from ..orm.registry import field_name, model_info_of_table, table_name
from ..orm.row_search import (
    FoundRow,
    FoundRows,
    HeldRowSearch,
    RowKey,
    RowSearch,
    is_meant_by,
    selected_by_key,
)
from .deletion_order import deletion_order, leads_to
from .sealed_clearing import clear_sealed_fields

MOST_NAMED = 30_000
"""How many parameters every database takes in one statement."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What was done, by names for people.

    Attributes:
        erased: Rows that were deleted, by model or table.
        cleared: Rows that lost a value, by field.
        kept: Rows that keep a key, by key, and why.
        subjects: Whose row went with that of somebody who was to be erased.
    """

    erased: Counter[str] = field(default_factory=Counter)
    cleared: Counter[str] = field(default_factory=Counter)
    kept: dict[str, tuple[int, str]] = field(default_factory=dict)
    subjects: tuple[SubjectRef, ...] = ()

    def __add__(self, other: Removal) -> Removal:
        """What was done in two steps."""
        kept = dict(self.kept)
        for name, (count, reason) in other.kept.items():
            kept[name] = (kept.get(name, (0, ""))[0] + count, reason)
        subjects = tuple(dict.fromkeys((*self.subjects, *other.subjects)))
        return Removal(self.erased + other.erased, self.cleared + other.cleared, kept, subjects)


def find_people(
    session: Session, graph: OwnershipGraph, kind: str, ids: Sequence[str]
) -> list[FoundRow]:
    """The rows of some subjects; of one whose row is gone already, what is known of it: its key, in
    whichever spelling other rows may hold it.

    Args:
        session: On the data.
        graph: The application's.
        kind: Of subject.
        ids: Canonical identifiers.
    """
    layout = graph.subjects[kind]
    column = subject_column(layout)
    people = RowSearch(session, graph).start(layout.table, matches_any_id(column, ids))
    present = {person.values[column] for person in people}
    is_text = python_type(column) is str
    for subject_id in ids:
        spellings = [subject_id, *(stored_forms(subject_id) if is_text else ())]
        for key in [coerce(column, spelling) for spelling in spellings]:
            if key not in present:
                values = dict.fromkeys(graph.key_columns[layout.table], None) | {column: key}
                people.append(
                    FoundRow(layout.table, (key,), values, is_owned=True, is_stored=False)
                )
    return people


class ErasurePlan:
    """Plans and carries out the erasure of some people's rows, in the session's transaction.

    Args:
        session: On the data.
        graph: The application's.
        keys: Of records out of which a field is cleared.
        people: Rows of the subjects.
    """

    def __init__(
        self,
        session: Session,
        graph: OwnershipGraph,
        keys: KeyStore,
        people: Sequence[FoundRow],
    ) -> None:
        self._session = session
        self._keys = keys
        self._graph = graph
        self._search = RowSearch(session, graph)
        self._people = FoundRows()
        self._reached = FoundRows()
        self._gone = FoundRows()
        while people:
            people = self._take_in(people)
        self.removal = Removal()

    def carry_out(self) -> Removal:
        """Clear and delete; raises `ErasureBlocked` where the database refuses a deletion."""
        self._clear_fields()
        self._clear_keys()
        tables = self._tables_in_order()
        self._open_circles(tables)
        for table in tables:
            self._delete(table)
        return self.removal

    @property
    def records(self) -> dict[ModelInfo, list[str]]:
        """By model, the rows that go and have a key of their own, besides subjects."""
        return {
            layout: list(
                map(self._search.identifier_of, self._gone.by_table[layout.table].values())
            )
            for layout in self._graph.shared
            if layout.has_keyed_rows and layout.table in self._gone.by_table
        }

    @property
    def subjects(self) -> list[SubjectRef]:
        """Everybody who is erased: the people, and whose row goes with one of them."""
        kinds = self._graph.subject_tables
        subjects = (
            (kinds[found_row.table].kind, self._search.identifier_of(found_row))
            for found_row in self._people
        )
        return list(dict.fromkeys(subjects))

    # --- which rows go ---

    def _take_in(self, people: Sequence[FoundRow]) -> list[FoundRow]:
        """Take in some people; returns whose own row goes with one of theirs."""
        for person in people:
            self._people.add(replace(person, is_owned=True, links=set(), owned_over=set()))
        self._reached = HeldRowSearch(self._session, self._graph).reached_by(self._people)
        self._gone = self._rows_that_go()
        return [
            found_row
            for found_row in self._gone
            if found_row.table in self._graph.subject_tables and found_row not in self._people
        ]

    def _rows_that_go(self) -> FoundRows:
        """The people, what goes with any of them, and what nobody owns any more."""
        gone = FoundRows()
        for person in self._people:
            gone.add(person)
        while True:
            going = _KeysOf(gone)
            lost = [
                found_row
                for found_row in self._reached
                if found_row not in gone and self._goes(found_row, going)
            ]
            lost = lost or self._without_owner(gone, going)
            if not lost:
                return gone
            for found_row in lost:
                gone.add(found_row)

    def _goes(self, found_row: FoundRow, going: _KeysOf) -> bool:
        """Whether a key takes the row along: its label says so, and it leads to what is the
        people's, or goes.
        """
        return any(
            isinstance(labelled_key.on_erasure, DeleteRow)
            and self._counts(labelled_key, found_row, going)
            for labelled_key in found_row.links
        )

    @staticmethod
    def _counts(labelled_key: Link, found_row: FoundRow, going: _KeysOf) -> bool:
        return labelled_key in found_row.owned_over or going.has(labelled_key, found_row)

    def _without_owner(self, gone: FoundRows, going: _KeysOf) -> list[FoundRow]:
        """Rows that the people own, or that belong to rows which go, and that nobody else owns."""
        in_question = [
            found_row
            for found_row in self._reached
            if found_row not in gone and (found_row.is_owned or self._loses_owner(found_row, going))
        ]
        left = self._search.owners_left(in_question, gone)
        return [found_row for found_row in in_question if found_row not in left]

    def _loses_owner(self, found_row: FoundRow, going: _KeysOf) -> bool:
        return any(
            labelled_key.gives_ownership and going.has(labelled_key, found_row)
            for labelled_key in self._graph.about.get(found_row.table, ())
        )

    # --- what is cleared ---

    def _clear_fields(self) -> None:
        """Clear what the keys name over which the people come to rows that stay."""
        cleared: defaultdict[tuple[Table, frozenset[str]], list[RowKey]] = defaultdict(list)
        going = _KeysOf(self._gone)
        for found_row in self._reached:
            if found_row in self._gone:
                continue
            links = [
                labelled_key
                for labelled_key in found_row.links
                if self._counts(labelled_key, found_row, going)
            ]
            names = frozenset(
                name for labelled_key in links for name in labelled_key.cleared_fields
            )
            if names:
                cleared[found_row.table, names].append(found_row.key)
        for (table, names), keys in cleared.items():
            columns = columns_by_field(table)
            stored = [columns[name] for name in sorted(names) if name in columns]
            if stored:
                self._clear(table, stored, keys)
            layout = model_info_of_table(table)
            sealed = names - columns.keys()
            if layout is not None and sealed:
                clear_sealed_fields(self._session, self._keys, layout, keys, sealed)
                for name in sorted(sealed):
                    self.removal.cleared[f"{layout.name}.{name}"] += len(keys)

    def _clear_keys(self) -> None:
        """Clear the keys that lead to rows which go, or count those that stay with a reason."""
        for table, rows in list(self._gone.by_table.items()):
            for labelled_key in self._graph.leading_to.get(table, ()):
                if labelled_key.gives_ownership and self._graph.is_direct(labelled_key.table):
                    continue  # these rows go too
                holders = [
                    found_row
                    for found_row in self._search.holders(labelled_key, rows.values())
                    if found_row not in self._gone
                ]
                if holders and isinstance(labelled_key.on_erasure, Keep):
                    count, _ = self.removal.kept.get(labelled_key.name, (0, ""))
                    reason = labelled_key.on_erasure.reason
                    self.removal.kept[labelled_key.name] = (count + len(holders), reason)
                elif holders:
                    columns = [column for column in labelled_key.own_columns if column.nullable]
                    self._clear(
                        labelled_key.table, columns, [found_row.key for found_row in holders]
                    )

    def _clear(self, table: Table, columns: list[Column[Any]], keys: Sequence[RowKey]) -> None:
        for condition in selected_by_key(table, keys):
            self._execute(
                table, update(table).where(condition).values(dict.fromkeys(columns, null()))
            )
        for column in columns:
            self.removal.cleared[f"{table_name(table)}.{field_name(column)}"] += len(keys)

    # --- what is deleted ---

    def _direct_tables(self) -> list[Table]:
        """Tables of which one condition finds the people's rows."""
        graph = self._graph
        return [
            table
            for table in sorted(graph.direct_tables, key=lambda table: table.key)
            if graph.owner_of_direct(table).target in self._people.by_table
        ]

    def _tables_in_order(self) -> list[Table]:
        """Those from which something goes, each before the tables that its foreign keys lead to;
        circles begin where they can be opened.
        """
        going = [table for table, rows in self._gone.by_table.items() if rows]
        return deletion_order([*self._direct_tables(), *going])

    def _open_circles(self, tables: list[Table]) -> None:
        """Clear the foreign keys among rows that go which lead to a table that goes earlier, or to
        their own.
        """
        earlier: set[Table] = set()
        for table in tables:
            earlier.add(table)
            keys = self._stored_keys(table)
            for constraint in table.foreign_key_constraints:
                target = constraint.elements[0].column.table
                columns = [column for column in constraint.columns if column.nullable][:1]
                if target in earlier and columns:
                    for condition in selected_by_key(table, keys):
                        cleared = update(table).where(condition)
                        self._execute(table, cleared.values(dict.fromkeys(columns, null())))

    def _delete(self, table: Table) -> None:
        keys = self._stored_keys(table)
        conditions = list(selected_by_key(table, keys, at_once=_at_once(table)))
        if table in self._direct_tables():
            direct_keys = self._search.direct_keys(table, self._people)
            for people, values in direct_keys.items():
                conditions += [
                    self._graph.direct_condition(table, {people: chunk}) for chunk in chunks(values)
                ]
        for condition in conditions:
            result = self._execute(table, delete(table).where(condition))
            self.removal.erased[table_name(table)] += result.rowcount

    def _stored_keys(self, table: Table) -> list[RowKey]:
        """The primary keys of a table's rows that go."""
        rows = self._gone.by_table.get(table, {})
        return [key for key, found_row in rows.items() if found_row.is_stored]

    def _execute(self, table: Table, statement: Any) -> Any:
        try:
            return self._session.execute(
                statement, execution_options=OWN_STATEMENT, bind_arguments={"clause": table}
            )
        except IntegrityError as error:
            raise ErasureBlocked(_refusal(table, error)) from None


class _KeysOf:
    """Finds out whether a row's key leads to one of some rows."""

    def __init__(self, rows: FoundRows) -> None:
        self._rows = rows
        self._keys: dict[Link, set[RowKey]] = {}

    def has(self, labelled_key: Link, found_row: FoundRow) -> bool:
        """Whether the row is about one of them, over a key."""
        if labelled_key not in self._keys:
            sources = self._rows.by_table.get(labelled_key.source, {}).values()
            meant = (source for source in sources if is_meant_by(labelled_key, source))
            keys = (source.at(labelled_key.source_columns) for source in meant)
            self._keys[labelled_key] = {key for key in keys if key is not None}
        if not is_meant_by(labelled_key, found_row):
            return False
        return found_row.at(labelled_key.about_columns) in self._keys[labelled_key]


def _at_once(table: Table) -> int:
    """How many rows one statement deletes: where rows lead to rows of their own table, as many as
    a statement can name, because the order within one does not matter.
    """
    return MOST_NAMED if table in leads_to(table) else CHUNK


def _refusal(table: Table, error: IntegrityError) -> str:
    """Names the table and, where the driver tells it, what refers to it; never a value."""
    diagnosis = getattr(error.orig, "diag", None)
    constraint = getattr(diagnosis, "constraint_name", None)
    holder = getattr(diagnosis, "table_name", None)
    told = f" ({constraint} of {holder})" if constraint and holder else ""
    return (
        f"rows of {table_name(table)} cannot be deleted or cleared, because a constraint of the "
        f"database holds them{told}; label the foreign key that leads to them (owner, concerns or "
        "refers, without keep), then ask again"
    )
