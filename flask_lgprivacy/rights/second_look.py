"""The second look after an erasure: through the database's own catalogue, whatever models and
labels say.

It searches every table of every bind for what names the person: foreign keys to the person's
table, the identifier in columns of its type, and the values of blind indexes. Rows of tables
without a model that lead to rows which are gone are found too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
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
from ..database.identifiers import SubjectRef
from ..orm.columns import coerce, matches_any_id, subject_column
from ..orm.model_info import ModelInfo
from ..orm.ownership_graph import OwnershipGraph
from ..orm.ownership_labels import Keep
from ..orm.unlabelled import OURS

SHORTEST = 8
"""How long a text is at least that is searched for wherever text stands; a short one is found by
chance.
"""


@dataclass(frozen=True, slots=True)
class Traces:
    """What names somebody besides the identifier: the values of the row's blind indexes."""

    indexes: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"<Traces: {len(self.indexes)} indexes>"


def traces_of(session: Session, graph: OwnershipGraph, subject: SubjectRef) -> Traces:
    """What is to be searched for when somebody is erased; read before the rows go."""
    layout = graph.subjects[subject[0]]
    columns = [
        layout.table.c[name]
        for name in dict.fromkeys(
            index.column for member in layout.family() for index in member.indexes.values()
        )
    ]
    if not columns:
        return Traces()
    is_subject = matches_any_id(subject_column(layout), [subject[1]])
    query = select(*columns).where(is_subject)
    rows = session.execute(query, bind_arguments={"clause": layout.table}).all()
    return Traces(tuple(value for row in rows for value in row if value is not None))


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
    search = _Search(graph, subject, traces)
    left: dict[str, int] = {}
    for engine in engines.values():
        with engine.connect() as connection:
            for found in read_catalogue(connection):
                if not found.name.startswith(OURS):
                    left.update(search.count(connection, found))
    return left


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
    own, column_name = layout.table.name, subject_column(layout).name
    if own not in catalogue:
        return
    with_key = {name for key in found.keys for name in key.columns}
    called = {f"{own}_id", f"{layout.kind}_id"} | {
        member.name
        for labelled_key in graph.links
        if labelled_key.target is layout.table and len(labelled_key.columns) == 1
        for member in labelled_key.columns
        if member.name != "id"
    }
    kind = catalogue[own].columns[column_name]
    for name in sorted(called & found.columns.keys() - with_key):
        if found.columns[name] is kind:
            yield CatalogueKey((name,), own, (column_name,))


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


class _Search:
    def __init__(self, graph: OwnershipGraph, subject: SubjectRef, traces: Traces) -> None:
        layout = graph.subjects[subject[0]]
        self._table = layout.table.name
        self._key = subject_column(layout)
        self._value = coerce(self._key, subject[1])
        self._forms = _spellings(subject[1])
        self._indexes = list(traces.indexes)
        reached = set().union(*(graph.reached_from(other) for other in graph.subject_tables))
        self._peoples = {other.name for other in reached}
        self._declared = {other.name for other in graph.tables}
        self._kept = {
            (labelled_key.table.name, member.name)
            for labelled_key in graph.links
            if isinstance(labelled_key.on_erasure, Keep)
            for member in labelled_key.columns
        }
        self._index_columns = {
            (model.table.name, index.column)
            for model in graph.models
            for member in model.family()
            for index in member.indexes.values()
        }
        leading = [
            labelled_key for labelled_key in graph.links if labelled_key.target is layout.table
        ]
        self._links = [labelled_key for labelled_key in leading if len(labelled_key.columns) == 1]
        self._names = {
            member.name for labelled_key in leading for member in labelled_key.columns
        } - {"id"}
        self._names |= {f"{self._table}_id", f"{subject[0]}_id"}

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
        if found.name not in self._declared:
            yield from self._dangling(connection, found)

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
            key.columns == (name,) and key.target == self._table for key in found.keys
        )

    def _dangling(self, connection: Connection, found: CatalogueTable) -> Iterator[tuple[str, int]]:
        """Rows of a table that nobody declared which lead to people's rows that are gone."""
        keys = [key for key in found.keys if key.target in self._peoples and key.target_columns]
        yield from _count_dangling(connection, found, keys)


def _spellings(identifier: str) -> Sequence[str]:
    """How an identifier may be written: a UUID with and without dashes, in either case."""
    try:
        number = UUID(hex=identifier)
    except ValueError:
        return [identifier]
    return [number.hex, number.hex.upper(), str(number), str(number).upper()]
