"""The second look after an erasure: through the database's own catalogue, whatever models and
labels say.

It searches every table of every bind for what names the person: foreign keys to the person's
table, the identifier in columns of its type, and the values of blind indexes. Rows of tables
without a model that lead to rows which are gone are found too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    String,
    and_,
    cast,
    column,
    exists,
    func,
    or_,
    select,
    table,
)
from sqlalchemy.orm import Session

from ..database.catalogue import CatalogueKey, CatalogueTable, ValueKind, read_catalogue
from ..database.identifiers import SubjectRef, canonical_id
from ..orm.columns import coerce, matches_any_id
from ..orm.model_info import ModelInfo
from ..orm.ownership_graph import OwnershipGraph
from ..orm.ownership_labels import Keep
from ..orm.tagged_value import unwrap
from ..orm.unlabelled import OURS

SHORTEST = 8
"""How long a text is at least that is searched for wherever text stands; a short one is found by
chance.
"""


@dataclass(frozen=True, slots=True)
class Traces:
    """What names somebody besides the identifier.

    Attributes:
        indexes: The values of the row's blind indexes.
        keys: Its values of columns to which keys lead, by the columns' names.
        texts: Those of them that are texts of the primary key which nobody else has.
    """

    indexes: tuple[bytes, ...] = ()
    keys: Mapping[str, Any] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<Traces: {len(self.indexes)} indexes, {len(self.keys)} keys>"


def traces_of(session: Session, graph: OwnershipGraph, subject: SubjectRef) -> Traces:
    """What is to be searched for when somebody is erased; read before the rows go."""
    layout = graph.subjects[subject[0]]
    indexes = [
        layout.table.c[name]
        for name in dict.fromkeys(
            index.column for member in layout.family() for index in member.indexes.values()
        )
    ]
    keys = graph.key_columns[layout.table]
    if not indexes and keys == (layout.identifier,):
        return Traces()
    is_subject = matches_any_id(layout.identifier, [subject[1]])
    query = select(*keys, *indexes).where(is_subject)
    row = session.execute(query, bind_arguments={"clause": layout.table}).first()
    if row is None:
        return Traces()
    values = {key.name: unwrap(value) for key, value in zip(keys, row, strict=False)}
    texts = frozenset(
        key.name
        for key in layout.table.primary_key.columns
        if isinstance(values[key.name], str) and _is_only_one(session, key, values[key.name])
    )
    found = tuple(value for value in row[len(keys) :] if value is not None)
    return Traces(found, values, texts)


def _is_only_one(session: Session, key: Column[Any], value: str) -> bool:
    query = select(func.count()).where(key == value)
    return session.execute(query, bind_arguments={"clause": key.table}).scalar_one() == 1


def search_catalogue(
    engines: Mapping[str | None, Engine], graph: OwnershipGraph, subject: SubjectRef, traces: Traces
) -> dict[str, int]:
    """What the databases still hold of somebody who was erased.

    Args:
        engines: Of every bind.
        graph: The application's.
        subject: Kind and identifier.
        traces: What `traces_of` returned.

    Returns:
        By column, how many rows name the person; by foreign key, how many lead to what is gone.
    """
    searches = _searches(graph, subject, traces)
    reached = set().union(*(graph.reached_from(other) for other in graph.subject_tables))
    peoples = {other.name for other in reached}
    declared = {other.name for other in graph.tables}
    left: Counter[str] = Counter()
    for engine in engines.values():
        with engine.connect() as connection:
            for found in read_catalogue(connection):
                if found.name.startswith(OURS):
                    continue
                named = Counter(dict(_count_leading(connection, found, graph, subject, traces)))
                for search in searches:
                    named.update(dict(search.count(connection, found)))
                if found.name not in declared:
                    keys = [key for key in found.keys if key.target in peoples]
                    named |= Counter(dict(_count_dangling(connection, found, keys)))
                left.update(named)
    return dict(left)


def count_dangling(engines: Mapping[str | None, Engine], graph: OwnershipGraph) -> dict[str, int]:
    """Count rows of tables that nobody declared which lead to people's rows that are not there.

    They lead there by foreign keys of the database, or by columns that are called as such keys.

    Args:
        engines: Of every bind.
        graph: The application's.

    Returns:
        By key, how many rows.
    """
    dangling: dict[str, int] = {}
    for engine in engines.values():
        with engine.connect() as connection:
            catalogue = {
                found.name: found
                for found in read_catalogue(connection)
                if not found.name.startswith(OURS)
            }
            declared = {other.name for other in graph.tables}
            for found in (catalogue[name] for name in sorted(catalogue.keys() - declared)):
                for layout in graph.subjects.values():
                    keys = list(_keys_to_people(found, layout, graph, catalogue))
                    dangling.update(_count_dangling(connection, found, keys))
    return dangling


def _keys_to_people(
    found: CatalogueTable,
    layout: ModelInfo,
    graph: OwnershipGraph,
    catalogue: Mapping[str, CatalogueTable],
) -> Iterator[CatalogueKey]:
    """The keys by which a table leads to a kind of people, or to what is theirs."""
    peoples = {other.name for other in graph.reached_from(layout.table)}
    yield from (key for key in found.keys if key.target in peoples and key.target_columns)
    own = layout.table.name
    if own not in catalogue:
        return
    with_key = {name for key in found.keys for name in key.columns}
    called = {f"{own}_id", f"{layout.kind}_id"} | {
        labelled_key.columns[0].name
        for labelled_key in graph.links
        if labelled_key.target_columns in [(key,) for key in _own_keys(layout)]
    } - {"id"}
    for key in reversed(_own_keys(layout)):
        kind = catalogue[own].columns[key.name]
        for name in sorted(called & found.columns.keys() - with_key):
            if found.columns[name] is kind:
                with_key.add(name)
                yield CatalogueKey((name,), own, (key.name,))


def _count_dangling(
    connection: Connection, found: CatalogueTable, keys: Iterable[CatalogueKey]
) -> Iterator[tuple[str, int]]:
    """By key, the rows of a table that say somebody or something that is not there."""
    rows = table(found.name, *(column(name) for name in found.columns))
    for key in keys:
        target = table(key.target, *(column(name) for name in key.target_columns)).alias()
        pairs = list(zip(key.columns, key.target_columns, strict=True))
        is_there = exists().where(*(target.c[to] == rows.c[name] for name, to in pairs))
        says = [rows.c[name].is_not(None) for name in key.columns]
        query = select(func.count()).select_from(rows).where(*says, ~is_there)
        if count := connection.execute(query).scalar_one():
            yield f"{found.name}.{', '.join(key.columns)}", int(count)


def _count_leading(
    connection: Connection,
    found: CatalogueTable,
    graph: OwnershipGraph,
    subject: SubjectRef,
    traces: Traces,
) -> Iterator[tuple[str, int]]:
    """By foreign key of a table, the rows that lead to the person's row by something else than what
    the searches look for: several columns, or one that is not the person's own key.
    """
    layout = graph.subjects[subject[0]]
    searched = {(key.name,) for key in _own_keys(layout)}
    kept = _kept_columns(graph)
    rows = table(found.name, *(column(name) for name in found.columns))
    for key in found.keys:
        is_told = key.target == layout.table.name and traces.keys.keys() >= set(key.target_columns)
        is_kept = all((found.name, name) in kept for name in key.columns)
        if not is_told or key.target_columns in searched or is_kept:
            continue
        values = [traces.keys[name] for name in key.target_columns]
        leads = [rows.c[name] == is_ for name, is_ in zip(key.columns, values, strict=True)]
        query = select(func.count()).select_from(rows).where(*leads)
        if count := connection.execute(query).scalar_one():
            yield f"{found.name}.{', '.join(key.columns)}", int(count)


def _searches(graph: OwnershipGraph, subject: SubjectRef, traces: Traces) -> list[_Search]:
    """One for the identifier; where that is not the primary key, others for this: for a key of
    several columns, those whose texts name nobody else.
    """
    layout = graph.subjects[subject[0]]
    identifier, *others = _own_keys(layout)
    columns = layout.table.primary_key.columns
    others += [key for key in columns if key.name in traces.texts and key not in others]
    value = coerce(identifier, subject[1])
    return [_Search(graph, subject[0], identifier, value, traces.indexes)] + [
        _Search(graph, subject[0], key, traces.keys[key.name], ())
        for key in others
        if key.name in traces.keys
    ]


def _own_keys(layout: ModelInfo) -> list[Column[Any]]:
    """A person's identifier, and the primary key where that is another column."""
    primary = list(layout.table.primary_key.columns)
    return list(dict.fromkeys([layout.identifier, *(primary if len(primary) == 1 else ())]))


def _kept_columns(graph: OwnershipGraph) -> set[tuple[str, str]]:
    """The columns of keys that stay with a reason, by table."""
    return {
        (labelled_key.table.name, member.name)
        for labelled_key in graph.links
        if isinstance(labelled_key.on_erasure, Keep)
        for member in labelled_key.columns
    }


class _Search:
    """Searches for one value that names a person.

    Args:
        graph: The application's.
        kind: Of subject.
        key: The column of the person's table that holds the value.
        value: As that column holds it.
        indexes: Values of blind indexes, which name the person too.
    """

    def __init__(
        self,
        graph: OwnershipGraph,
        kind: str,
        key: Column[Any],
        value: Any,
        indexes: Iterable[bytes],
    ) -> None:
        layout = graph.subjects[kind]
        self._table = layout.table.name
        self._key = key
        self._value = value
        self._forms = _spellings(canonical_id(value))
        self._indexes = list(indexes)
        self._declared = {other.name for other in graph.tables}
        self._kept = _kept_columns(graph)
        self._index_columns = {
            (model.table.name, index.column)
            for model in graph.models
            for member in model.family()
            for index in member.indexes.values()
        }
        self._links = [
            labelled_key for labelled_key in graph.links if labelled_key.target_columns == (key,)
        ]
        self._names = {labelled_key.columns[0].name for labelled_key in self._links} - {"id"}
        self._names |= {f"{self._table}_id", f"{kind}_id"}

    def count(self, connection: Connection, found: CatalogueTable) -> Iterator[tuple[str, int]]:
        """By column or key of a table, how many rows are left."""
        rows = table(found.name, *(column(name) for name in found.columns))
        conditions = {
            name: condition
            for name, kind in found.columns.items()
            if (found.name, name) not in self._kept
            and (condition := self._condition(found, name, kind, connection)) is not None
        }
        if conditions:
            query = select(
                *(func.count().filter(condition) for condition in conditions.values())
            ).select_from(rows)
            counts = connection.execute(query.where(or_(*conditions.values()))).one()
            for name, count in zip(conditions, counts, strict=True):
                if count:
                    yield f"{found.name}.{name}", int(count)

    def _condition(
        self, found: CatalogueTable, name: str, kind: ValueKind, connection: Connection
    ) -> ColumnElement[bool] | None:
        """That a column of a table names the person, or None where it cannot."""
        place: Any = column(name)
        if kind is ValueKind.BYTES:
            values = [] if (found.name, name) in self._index_columns else list(self._indexes)
            if isinstance(self._value, UUID):
                values.append(self._value.bytes)
            return cast(place, LargeBinary).in_(values) if values else None
        if isinstance(self._value, int):
            return self._leads(found, name, kind, place)
        if kind is ValueKind.UUID and isinstance(self._value, UUID):
            is_native = connection.dialect.name == "postgresql"
            is_named: ColumnElement[bool] = place.in_([self._value] if is_native else self._forms)
            return is_named
        leads = self._leads_to_person(found, name)
        if not leads and len(self._forms[0]) < SHORTEST:
            return None
        if kind is ValueKind.DOCUMENT:
            told = cast(place, String)
            return or_(*(told.contains(form, autoescape=True) for form in self._forms))
        if kind in (ValueKind.TEXT, ValueKind.ANYTHING, ValueKind.UUID):
            return cast(place, String).in_(self._forms)
        return None

    def _leads(
        self, found: CatalogueTable, name: str, kind: ValueKind, place: Any
    ) -> ColumnElement[bool] | None:
        """A number names the person only where its column leads to the person's table, by a foreign
        key or by its name.
        """
        if kind not in (ValueKind.NUMBER, ValueKind.ANYTHING):
            return None
        if self._leads_to_person(found, name):
            condition: ColumnElement[bool] = place == self._value
            return condition
        if found.name in self._declared:
            own = [
                and_(
                    place == self._value,
                    *(column(other.name) == is_ for other, is_ in labelled_key.when),
                )
                for labelled_key in self._links
                if (labelled_key.table.name, labelled_key.columns[0].name) == (found.name, name)
            ]
            return or_(*own) if own else None
        leads_elsewhere = any(
            name in key.columns and key.target != self._table for key in found.keys
        )
        return place == self._value if name in self._names and not leads_elsewhere else None

    def _leads_to_person(self, found: CatalogueTable, name: str) -> bool:
        own_key = found.name == self._table and name == self._key.name
        return own_key or any(
            key.columns == (name,)
            and key.target == self._table
            and key.target_columns == (self._key.name,)
            for key in found.keys
        )


def _spellings(identifier: str) -> Sequence[str]:
    """How an identifier may be written: a UUID with and without dashes, in either case."""
    try:
        number = UUID(hex=identifier)
    except ValueError:
        return [identifier]
    return [number.hex, number.hex.upper(), str(number), str(number).upper()]
