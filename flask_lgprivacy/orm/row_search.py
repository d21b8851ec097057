"""Follows labelled keys through rows: from people to what is theirs or about them, and from rows
back to their people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Column, Table, and_, select, tuple_
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef, canonical_id
from ..keys.key_table import CHUNK, chunks
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
    """

    table: Table
    key: RowKey
    values: dict[Column[Any], Any]
    is_owned: bool
    links: set[Link] = field(default_factory=set)
    owned_over: set[Link] = field(default_factory=set)

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
        return any(link.label.shows == frozenset() for link in self.links)


@dataclass(frozen=True, slots=True)
class RowPerson:
    """Somebody who comes to a row.

    Attributes:
        subject: Kind and identifier.
        is_owner: Whether the row is theirs.
        shows: The fields that they are shown; None for all.
    """

    subject: SubjectRef
    is_owner: bool
    shows: frozenset[str] | None

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

    def __contains__(self, row: FoundRow) -> bool:
        return row.key in self.by_table.get(row.table, {})

    def add(self, row: FoundRow) -> None:
        """Take a row in."""
        self.by_table[row.table][row.key] = row

    def find(self, table: Table, key: RowKey) -> FoundRow | None:
        """The row of a table with a primary key, or None."""
        return self.by_table.get(table, {}).get(key)


class RowSearch:
    """Searches in one session's transaction.

    Args:
        session: On the data.
        graph: The application's.
    """

    def __init__(self, session: Session, graph: OwnershipGraph) -> None:
        self._session = session
        self._graph = graph

    def start(self, table: Table, condition: Any) -> list[FoundRow]:
        """The rows of subjects that a condition selects."""
        return list(self._select(table, condition, is_owned=True))

    def reached_by(self, people: Iterable[FoundRow], *, holding: bool = False) -> FoundRows:
        """Every row to which some people come, their own rows among them.

        Tables of which one condition finds all rows are left out (`OwnershipGraph.is_direct`).
        Who only is shown a row is shown what belongs to it, but nothing of another person's.

        Args:
            people: Rows of subjects.
            holding: Keep the rows as they are until the transaction ends.
        """
        found = FoundRows()
        waiting: list[FoundRow] = []
        for person in people:
            found.add(person)
            waiting.append(person)
        while waiting:
            table, batch = _take_table(waiting)
            for link in self._graph.from_source.get(table, ()):
                if not self._graph.is_direct(link.about):
                    waiting.extend(self._come_over(link, batch, found, holding=holding))
        return found

    def reached_directly(self, table: Table, people: Iterable[FoundRow]) -> list[FoundRow]:
        """The rows of a direct table, which `reached_by` leaves out."""
        condition = self._graph.direct_condition(table, self.direct_keys(table, people))
        found = list(self._select(table, condition, is_owned=True))
        for row in found:
            row.links.add(self._graph.about[table][0])
        return found

    def direct_keys(self, table: Table, people: Iterable[FoundRow]) -> dict[Table, list[Any]]:
        """By table of people, the values by which a direct table is reached from theirs."""
        link = self._graph.owner_of_direct(table)
        rows = [row for row in people if row.table is link.target]
        keys = [key[0] for row in rows if (key := row.at(link.target_columns)) is not None]
        return {link.target: keys}

    def owners_left(self, rows: Iterable[FoundRow], gone: FoundRows) -> set[FoundRow]:
        """Those rows that somebody owns over rows which are not going.

        Args:
            rows: In question.
            gone: What is going, the people among it.
        """
        known = FoundRows()
        depends: defaultdict[FoundRow, list[FoundRow]] = defaultdict(list)
        owned: list[FoundRow] = []
        waiting = [row for row in rows if row not in gone]
        for row in waiting:
            known.add(row)
        while waiting:
            table, batch = _take_table(waiting)
            if table in self._graph.subject_tables:
                owned.extend(batch)
                continue
            for link in self._graph.about.get(table, ()):
                if link.gives_ownership:
                    for row, source in self._sources(link, batch, known):
                        if source in gone:
                            continue
                        if source not in known:
                            known.add(source)
                            waiting.append(source)
                        depends[source].append(row)
        left = set(owned)
        while owned:
            for row in depends.pop(owned.pop(), ()):
                if row not in left:
                    left.add(row)
                    owned.append(row)
        return left

    def read(self, table: Table, keys: Iterable[RowKey]) -> list[FoundRow]:
        """Rows of a table by primary key."""
        return [
            row
            for condition in selected_by_key(table, keys)
            for row in self._select(table, condition, is_owned=False)
        ]

    def led_to(self, link: Link, values: RowKey) -> list[FoundRow]:
        """The rows to which a key with some values leads."""
        return [
            row
            for condition in _any_of(link.target_columns, [values])
            for row in self._select(link.target, condition, is_owned=False)
        ]

    def people_of(self, rows: Iterable[FoundRow]) -> dict[RowKey, tuple[RowPerson, ...]]:
        """Who comes to some rows of one table, by the rows' primary keys."""
        asked = list(rows)
        known = FoundRows()
        leads: defaultdict[FoundRow, list[tuple[FoundRow, Link]]] = defaultdict(list)
        waiting = list(asked)
        for row in waiting:
            known.add(row)
        while waiting:
            table, batch = _take_table(waiting)
            for link in self._graph.about.get(table, ()):
                for row, found in self._sources(link, batch, known):
                    source = known.find(found.table, found.key) or found
                    if source is found and source not in known:
                        known.add(source)
                        waiting.append(source)
                    leads[source].append((row, link))
        return self._spread(asked, known, leads)

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
            for row in known.by_table.get(table, {}).values():
                subject = (layout.kind, canonical_id(row.key[0]))
                people[row][subject] = (True, set())
                waiting.append((row, subject))
        while waiting:
            source, subject = waiting.pop()
            is_owner, _ = people[source][subject]
            if not is_owner and source.table in self._graph.subject_tables:
                continue
            for row, link in leads.get(source, ()):
                owns = is_owner and link.gives_ownership
                was_owner, links = people[row].get(subject, (False, set()))
                if subject not in people[row] or (owns and not was_owner):
                    waiting.append((row, subject))
                people[row][subject] = (was_owner or owns, links | {link})
        return {
            row.key: tuple(
                RowPerson(subject, is_owner, _shown(links))
                for subject, (is_owner, links) in sorted(people[row].items())
            )
            for row in asked
        }

    def holders(self, link: Link, targets: Iterable[FoundRow]) -> Iterator[FoundRow]:
        """The rows whose key leads to some rows."""
        keys = {key for row in targets if (key := row.at(link.target_columns)) is not None}
        for condition in _any_of(link.columns, keys):
            yield from self._select(
                link.table, and_(condition, *_is_meant(link, link.table)), is_owned=False
            )

    # --- inside ---

    def _come_over(
        self, link: Link, sources: list[FoundRow], found: FoundRows, *, holding: bool
    ) -> Iterator[FoundRow]:
        """The rows to which people come over a key for the first time, or for the first time as
        owners.
        """
        from_owned: dict[RowKey, bool] = {}
        for source in sources:
            key = source.at(link.source_columns) if is_meant_by(link, source) else None
            if key is None or (not source.is_owned and source.table in self._graph.subject_tables):
                continue
            from_owned[key] = from_owned.get(key, False) or source.is_owned
        meant = _is_meant(link, link.about)
        for condition in _any_of(link.about_columns, from_owned):
            statement = and_(condition, *meant)
            for row in self._select(link.about, statement, is_owned=False, holding=holding):
                source_is_owned = _same_key(from_owned, row.at(link.about_columns))
                is_owned = link.gives_ownership and source_is_owned
                known = found.find(row.table, row.key)
                is_new = known is None or (is_owned and not known.is_owned)
                if known is None:
                    found.add(row)
                    known = row
                elif known.is_owned and not known.links:
                    continue  # a person's own row
                known.is_owned = known.is_owned or is_owned
                known.links.add(link)
                if source_is_owned:
                    known.owned_over.add(link)
                if is_new:
                    yield known

    def _sources(
        self, link: Link, rows: list[FoundRow], known: FoundRows
    ) -> Iterator[tuple[FoundRow, FoundRow]]:
        """Rows of a table, each with a row over which people come to it."""
        by_key: defaultdict[RowKey, list[FoundRow]] = defaultdict(list)
        for row in rows:
            key = row.at(link.about_columns) if is_meant_by(link, row) else None
            if key is not None:
                by_key[key].append(row)
        meant = _is_meant(link, link.source)
        for condition in _any_of(link.source_columns, by_key):
            for read in self._select(link.source, and_(condition, *meant), is_owned=False):
                source = known.find(read.table, read.key) or read
                for row in _same_key(by_key, read.at(link.source_columns)):
                    yield row, source

    def _select(
        self, table: Table, condition: Any, *, is_owned: bool, holding: bool = False
    ) -> Iterator[FoundRow]:
        columns = self._graph.key_columns[table]
        query = select(*columns).where(condition)
        if holding:
            query = query.with_for_update()
        primary = [columns.index(column) for column in table.primary_key.columns]
        for read in self._session.execute(query, bind_arguments={"clause": table}).all():
            values = [unwrap(value) for value in read]
            yield FoundRow(
                table,
                tuple(values[number] for number in primary),
                dict(zip(columns, values, strict=True)),
                is_owned,
            )


def _shown(links: Iterable[Link]) -> frozenset[str] | None:
    """The fields that every one of some keys shows; None for all."""
    shown: frozenset[str] | None = None
    for link in links:
        fields = link.label.shows
        if fields is not None:
            shown = fields if shown is None else shown & fields
    return shown


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
    batch = [row for row in waiting if row.table is table]
    waiting[:] = [row for row in waiting if row.table is not table]
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


def _is_meant(link: Link, table: Table) -> list[Any]:
    """The conditions under which a key of a table has the meaning of a link."""
    return [column == value for column, value in link.when if table is link.table]


def is_meant_by(link: Link, row: FoundRow) -> bool:
    """Whether a row's key has the meaning of a link; always where the key is another row's."""
    return row.table is not link.table or all(
        row.values[column] == value for column, value in link.when
    )
