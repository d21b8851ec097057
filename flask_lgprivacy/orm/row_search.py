"""Follows labelled keys through rows: from people to what is theirs or about them, and from rows
back to their people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Column, Select, Table, and_, select, tuple_
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef, canonical_id
from ..keys.key_table import CHUNK, chunks
from .columns import matches_any_id
from .ownership_graph import OwnershipGraph
from .ownership_links import Link
from .tagged_value import unwrap

RowKey = tuple[Any, ...]
"""A row's primary key."""


@dataclass(slots=True, eq=False)
class FoundRow:
    """A row to which somebody comes.

    Attributes:
        table: Where it stands.
        key: Its primary key.
        values: Of the columns that take part in labelled keys.
        is_owned: Whether it is theirs.
        links: The keys over which they come to it; none for a person's own row.
        owned_over: Those of them that come from rows which are theirs.
        is_stored: False of a person of whom the identifier is known, and whose row is gone.
    """

    table: Table
    key: RowKey
    values: dict[Column[Any], Any]
    is_owned: bool
    links: set[Link] = field(default_factory=set)
    owned_over: set[Link] = field(default_factory=set)
    is_stored: bool = True

    def at(self, columns: Sequence[Column[Any]]) -> RowKey | None:
        """Its values of some columns, or None where one is NULL."""
        values = tuple(self.values[column] for column in columns)
        return None if None in values else values

    def shown_fields(self) -> frozenset[str] | None:
        """The fields that every key over which they come shows; None for all."""
        return _shown(self.links)

    @property
    def is_left_out(self) -> bool:
        """Whether a key over which they come shows nothing of the row."""
        return any(labelled_key.label.shows == frozenset() for labelled_key in self.links)


@dataclass(frozen=True, slots=True)
class RowPerson:
    """Somebody who comes to a row.

    Attributes:
        subject: Kind and identifier.
        is_owner: Whether the row is theirs.
        shows: The fields that they are shown; None for all.
        rectifies: The fields that they may have rectified.
    """

    subject: SubjectRef
    is_owner: bool
    shows: frozenset[str] | None
    rectifies: frozenset[str] = frozenset()

    def is_shown(self, name: str) -> bool:
        """Whether they are shown a field."""
        return self.shows is None or name in self.shows


class FoundRows:
    """Rows by table and primary key."""

    def __init__(self) -> None:
        self.by_table: defaultdict[Table, dict[RowKey, FoundRow]] = defaultdict(dict)

    def __iter__(self) -> Iterator[FoundRow]:
        for rows in self.by_table.values():
            yield from rows.values()

    def __contains__(self, found_row: FoundRow) -> bool:
        return found_row.key in self.by_table.get(found_row.table, {})

    def add(self, found_row: FoundRow) -> None:
        """Take a row in."""
        self.by_table[found_row.table][found_row.key] = found_row

    def find(self, table: Table, key: RowKey) -> FoundRow | None:
        """The row of a table with a primary key, or None."""
        return self.by_table.get(table, {}).get(key)


class RowSearch:
    """Searches in one session's transaction.

    Args:
        session: On the data.
        graph: The application's.
        but_for: Rows over which nobody comes to others.
    """

    def __init__(
        self,
        session: Session,
        graph: OwnershipGraph,
        *,
        but_for: Collection[tuple[Table, RowKey]] = (),
    ) -> None:
        self._session = session
        self._graph = graph
        self._but_for = but_for

    def identifier_of(self, found_row: FoundRow) -> str:
        """By what keys, requests and the trail know a row that has a key of its own."""
        return canonical_id(found_row.values[self._graph.identifiers[found_row.table]])

    def start(self, table: Table, condition: Any) -> list[FoundRow]:
        """The rows of subjects that a condition selects."""
        return list(self._select(table, condition, is_owned=True))

    def reached_by(self, people: Iterable[FoundRow]) -> FoundRows:
        """Every row to which some people come, their own rows among them.

        Tables of which one condition finds all rows are left out (`OwnershipGraph.is_direct`).
        Who only is shown a row is shown what belongs to it, but nothing of another person's.

        Args:
            people: Rows of subjects.
        """
        found = FoundRows()
        waiting: list[FoundRow] = []
        for person in people:
            found.add(person)
            waiting.append(person)
        while waiting:
            table, batch = _take_table(waiting)
            for labelled_key in self._graph.from_source.get(table, ()):
                if not self._graph.is_direct(labelled_key.about):
                    waiting.extend(self._come_over(labelled_key, batch, found))
        return found

    def reached_directly(self, table: Table, people: Iterable[FoundRow]) -> list[FoundRow]:
        """The rows of a direct table, which `reached_by` leaves out."""
        condition = self._graph.direct_condition(table, self.direct_keys(table, people))
        found = list(self._select(table, condition, is_owned=True))
        for found_row in found:
            found_row.links.add(self._graph.about[table][0])
        return found

    def direct_keys(self, table: Table, people: Iterable[FoundRow]) -> dict[Table, list[Any]]:
        """By table of people, the values by which a direct table is reached from theirs."""
        labelled_key = self._graph.owner_of_direct(table)
        rows = [found_row for found_row in people if found_row.table is labelled_key.target]
        keys = [
            key[0]
            for found_row in rows
            if (key := found_row.at(labelled_key.target_columns)) is not None
        ]
        return {labelled_key.target: keys}

    def owners_left(self, rows: Iterable[FoundRow], gone: FoundRows) -> set[FoundRow]:
        """Those rows that somebody owns over rows which are not going.

        Args:
            rows: In question.
            gone: What is going, the people among it.
        """
        known = FoundRows()
        depends: defaultdict[FoundRow, list[FoundRow]] = defaultdict(list)
        owned: list[FoundRow] = []
        waiting = [found_row for found_row in rows if found_row not in gone]
        for found_row in waiting:
            known.add(found_row)
        while waiting:
            table, batch = _take_table(waiting)
            if table in self._graph.subject_tables:
                owned.extend(batch)
                continue
            for labelled_key in self._graph.about.get(table, ()):
                if labelled_key.gives_ownership:
                    for found_row, source in self._sources(labelled_key, batch, known):
                        if source in gone:
                            continue
                        if source not in known:
                            known.add(source)
                            waiting.append(source)
                        depends[source].append(found_row)
        left = set(owned)
        while owned:
            for found_row in depends.pop(owned.pop(), ()):
                if found_row not in left:
                    left.add(found_row)
                    owned.append(found_row)
        return left

    def read(self, table: Table, keys: Iterable[RowKey]) -> list[FoundRow]:
        """Rows of a table by primary key."""
        return [
            found_row
            for condition in selected_by_key(table, keys)
            for found_row in self._select(table, condition, is_owned=False)
        ]

    def known_as(self, table: Table, row_ids: Iterable[str]) -> list[FoundRow]:
        """Rows of a table by what keys know them by."""
        identifier = self._graph.identifiers[table]
        return [
            found_row
            for chunk in chunks(list(row_ids))
            for found_row in self._select(table, matches_any_id(identifier, chunk), is_owned=False)
        ]

    def led_to(self, labelled_key: Link, keys: Iterable[RowKey]) -> list[FoundRow]:
        """The rows to which a key of some rows, named by their primary keys, leads."""
        holders = self.read(labelled_key.table, keys)
        values = {
            value
            for holder in holders
            if is_meant_by(labelled_key, holder)
            and (value := holder.at(labelled_key.columns)) is not None
        }
        return [
            found_row
            for condition in _any_of(labelled_key.target_columns, values)
            for found_row in self._select(labelled_key.target, condition, is_owned=False)
        ]

    def people_of(self, rows: Iterable[FoundRow]) -> dict[RowKey, tuple[RowPerson, ...]]:
        """Who comes to some rows of one table, by the rows' primary keys."""
        asked = list(rows)
        known = FoundRows()
        leads: defaultdict[FoundRow, list[tuple[FoundRow, Link]]] = defaultdict(list)
        waiting = list(asked)
        for found_row in waiting:
            known.add(found_row)
        while waiting:
            table, batch = _take_table(waiting)
            for labelled_key in self._graph.about.get(table, ()):
                for found_row, found in self._sources(labelled_key, batch, known):
                    source = known.find(found.table, found.key) or found
                    if source is found and source not in known:
                        known.add(source)
                        waiting.append(source)
                    leads[source].append((found_row, labelled_key))
        return self._spread(asked, known, leads)

    def people_by_keys(
        self, table: Table, rows: Iterable[FoundRow]
    ) -> dict[RowKey, tuple[RowPerson, ...]] | None:
        """The same from the rows' own keys, where each of them leads to people by their identifier;
        None for other tables. Whether the people are there is for their keys to say.
        """
        links = self._graph.about.get(table, ())
        kinds = self._graph.subject_tables
        if not all(
            labelled_key.target in kinds
            and not labelled_key.is_turned
            and not self._graph.about.get(labelled_key.target)
            and labelled_key.target_columns == (self._graph.identifiers[labelled_key.target],)
            for labelled_key in links
        ):
            return None
        by_row: dict[RowKey, tuple[RowPerson, ...]] = {}
        for found_row in rows:
            people: defaultdict[SubjectRef, list[Link]] = defaultdict(list)
            for labelled_key in links:
                key = found_row.at(labelled_key.columns)
                if key is not None and is_meant_by(labelled_key, found_row):
                    kind = kinds[labelled_key.target].kind
                    people[kind, canonical_id(key[0])].append(labelled_key)
            by_row[found_row.key] = tuple(
                RowPerson(
                    subject,
                    any(labelled_key.gives_ownership for labelled_key in over),
                    _shown(over),
                    _rectified(over),
                )
                for subject, over in sorted(people.items())
            )
        return by_row

    def _spread(
        self,
        asked: list[FoundRow],
        known: FoundRows,
        leads: dict[FoundRow, list[tuple[FoundRow, Link]]],
    ) -> dict[RowKey, tuple[RowPerson, ...]]:
        """Carry people along keys until nobody comes to another row."""
        people: defaultdict[FoundRow, dict[SubjectRef, tuple[bool, set[Link]]]]
        people = defaultdict(dict)
        waiting: list[tuple[FoundRow, SubjectRef]] = []
        for table, layout in self._graph.subject_tables.items():
            for found_row in known.by_table.get(table, {}).values():
                subject = (layout.kind, self.identifier_of(found_row))
                people[found_row][subject] = (True, set())
                waiting.append((found_row, subject))
        while waiting:
            source, subject = waiting.pop()
            is_owner, _ = people[source][subject]
            if not is_owner and source.table in self._graph.subject_tables:
                continue
            for found_row, labelled_key in leads.get(source, ()):
                owns = is_owner and labelled_key.gives_ownership
                was_owner, links = people[found_row].get(subject, (False, set()))
                if subject not in people[found_row] or (owns and not was_owner):
                    waiting.append((found_row, subject))
                people[found_row][subject] = (was_owner or owns, links | {labelled_key})
        return {
            found_row.key: tuple(
                RowPerson(subject, is_owner, _shown(links), _rectified(links))
                for subject, (is_owner, links) in sorted(people[found_row].items())
            )
            for found_row in asked
        }

    def holders(self, labelled_key: Link, targets: Iterable[FoundRow]) -> Iterator[FoundRow]:
        """The rows whose key leads to some rows."""
        keys = {
            key
            for found_row in targets
            if (key := found_row.at(labelled_key.target_columns)) is not None
        }
        for condition in _any_of(labelled_key.columns, keys):
            yield from self._select(
                labelled_key.table,
                and_(condition, *_is_meant(labelled_key, labelled_key.table)),
                is_owned=False,
            )

    # --- inside ---

    def _come_over(
        self, labelled_key: Link, sources: list[FoundRow], found: FoundRows
    ) -> Iterator[FoundRow]:
        """The rows to which people come over a key for the first time, or for the first time as
        owners.
        """
        from_owned: dict[RowKey, bool] = {}
        for source in sources:
            key = (
                source.at(labelled_key.source_columns)
                if is_meant_by(labelled_key, source)
                else None
            )
            if key is None or (not source.is_owned and source.table in self._graph.subject_tables):
                continue
            from_owned[key] = from_owned.get(key, False) or source.is_owned
        meant = _is_meant(labelled_key, labelled_key.about)
        for condition in _any_of(labelled_key.about_columns, from_owned):
            statement = and_(condition, *meant)
            for found_row in self._read(
                labelled_key.about, self._query_reached(labelled_key.about, statement)
            ):
                source_is_owned = _same_key(from_owned, found_row.at(labelled_key.about_columns))
                is_owned = labelled_key.gives_ownership and source_is_owned
                known = found.find(found_row.table, found_row.key)
                is_new = known is None or (is_owned and not known.is_owned)
                if known is None:
                    found.add(found_row)
                    known = found_row
                elif known.is_owned and not known.links:
                    continue  # a person's own row
                known.is_owned = known.is_owned or is_owned
                known.links.add(labelled_key)
                if source_is_owned:
                    known.owned_over.add(labelled_key)
                if is_new:
                    yield known

    def _sources(
        self, labelled_key: Link, rows: list[FoundRow], known: FoundRows
    ) -> Iterator[tuple[FoundRow, FoundRow]]:
        """Rows of a table, each with a row over which people come to it."""
        by_key: defaultdict[RowKey, list[FoundRow]] = defaultdict(list)
        for found_row in rows:
            key = (
                found_row.at(labelled_key.about_columns)
                if is_meant_by(labelled_key, found_row)
                else None
            )
            if key is not None:
                by_key[key].append(found_row)
        meant = _is_meant(labelled_key, labelled_key.source)
        for condition in _any_of(labelled_key.source_columns, by_key):
            for read in self._select(labelled_key.source, and_(condition, *meant), is_owned=False):
                if (read.table, read.key) in self._but_for:
                    continue
                source = known.find(read.table, read.key) or read
                for found_row in _same_key(by_key, read.at(labelled_key.source_columns)):
                    yield found_row, source

    def _query(self, table: Table, condition: Any) -> Select[Any]:
        return select(*self._graph.key_columns[table]).where(condition)

    def _query_reached(self, table: Table, condition: Any) -> Select[Any]:
        return self._query(table, condition)

    def _select(self, table: Table, condition: Any, *, is_owned: bool) -> Iterator[FoundRow]:
        for found_row in self._read(table, self._query(table, condition)):
            found_row.is_owned = is_owned
            yield found_row

    def _read(self, table: Table, query: Select[Any]) -> Iterator[FoundRow]:
        columns = self._graph.key_columns[table]
        primary = [columns.index(column) for column in table.primary_key.columns]
        for read in self._session.execute(query, bind_arguments={"clause": table}).all():
            values = [unwrap(value) for value in read]
            yield FoundRow(
                table,
                tuple(values[number] for number in primary),
                dict(zip(columns, values, strict=True)),
                is_owned=False,
            )


class HeldRowSearch(RowSearch):
    """A search that keeps the rows that it reaches as they are until the transaction ends."""

    def _query_reached(self, table: Table, condition: Any) -> Select[Any]:
        return self._query(table, condition).with_for_update()


def _shown(links: Iterable[Link]) -> frozenset[str] | None:
    """The fields that every one of some keys shows; None for all."""
    shown: frozenset[str] | None = None
    for labelled_key in links:
        fields = labelled_key.label.shows
        if fields is not None:
            shown = fields if shown is None else shown & fields
    return shown


def _rectified(links: Iterable[Link]) -> frozenset[str]:
    """The fields that any of some keys lets its person have rectified."""
    return frozenset().union(*(labelled_key.label.rectifies for labelled_key in links))


def selected_by_key(table: Table, keys: Iterable[RowKey], *, at_once: int = CHUNK) -> Iterator[Any]:
    """Conditions that select rows by primary key, one for each portion."""
    return _any_of(list(table.primary_key.columns), keys, at_once=at_once)


def _any_of(
    columns: Sequence[Column[Any]], keys: Iterable[RowKey], *, at_once: int = CHUNK
) -> Iterator[Any]:
    """Conditions that some columns hold any of some keys, one for each portion."""
    for chunk in chunks(list(keys), at_once):
        if len(columns) == 1:
            yield columns[0].in_([key[0] for key in chunk])
        else:
            yield tuple_(*columns).in_(list(chunk))


def _take_table(waiting: list[FoundRow]) -> tuple[Table, list[FoundRow]]:
    """Take the rows of one table out of those that wait."""
    table = waiting[0].table
    batch = [found_row for found_row in waiting if found_row.table is table]
    waiting[:] = [found_row for found_row in waiting if found_row.table is not table]
    return table, batch


V = TypeVar("V")


def _same_key(values: Mapping[RowKey, V], key: RowKey | None) -> V:
    """What is kept under a key that the database found equal, by its own rules of case."""
    exact = key or ()
    if exact in values:
        return values[exact]
    folded = {_folded(other): value for other, value in values.items()}
    return folded[_folded(exact)]


def _folded(key: RowKey) -> RowKey:
    return tuple(part.casefold().strip() if isinstance(part, str) else part for part in key)


def _is_meant(labelled_key: Link, table: Table) -> list[Any]:
    """The conditions under which a key of a table has the meaning of a link."""
    return [column == value for column, value in labelled_key.when if table is labelled_key.table]


def is_meant_by(labelled_key: Link, found_row: FoundRow) -> bool:
    """Whether a row's key has the meaning of a link; always where the key is another row's."""
    return found_row.table is not labelled_key.table or all(
        found_row.values[column] == value for column, value in labelled_key.when
    )
