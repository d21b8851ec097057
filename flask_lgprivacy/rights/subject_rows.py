"""Everything that the rows hold about one subject, opened, as the labels of their keys show it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, select
from sqlalchemy.orm import Session

from ..crypto.keys import SubjectKey
from ..database.identifiers import SubjectRef, canonical_id
from ..errors import SealBroken
from ..gate.context import ProcessingContext
from ..orm.bulk_read import iter_records
from ..orm.columns import columns_by_field, matches_any_id, subject_column
from ..orm.model_info import VERSION_COLUMN, ModelInfo, SealedGroup
from ..orm.registry import model_info_of_table, table_name
from ..orm.row_search import RowKey, RowSearch, selected_by_key
from ..orm.tagged_value import unwrap
from ..policy.model import Action
from .erasure_plan import find_people
from .handler import RightsCase

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ExportedTable:
    """Rows of one table.

    Attributes:
        name: The model's, or the table's.
        labelled: The names of its labelled fields, as declared.
        rows: Values by field.
    """

    name: str
    labelled: tuple[str, ...]
    rows: Rows

    def __repr__(self) -> str:
        return f"<ExportedTable {self.name}: {len(self.rows)} rows>"


def read_subject_rows(
    case: RightsCase, processing: ProcessingContext, categories: Collection[str]
) -> list[ExportedTable]:
    """Read every row to which a subject comes.

    Args:
        case: The request.
        processing: Under which values are opened.
        categories: Those that may be read.

    Returns:
        The subject's own table first; tables without rows among them.
    """
    graph = case.runtime.models.graph
    kind = case.request.subject[0]
    layouts = list(reversed(graph.of(kind)))
    tables = []
    for layout in layouts:
        if layout.is_subject or graph.is_direct(layout.table):
            owned = matches_any_id(subject_column(layout), [case.request.subject[1]])
            rows = iter_records(case.session, layout.model, owned, categories=categories)
            tables.append(ExportedTable(layout.name, layout.family_labelled, list(rows)))
    own = graph.subjects[kind].table
    search = RowSearch(case.session, graph)
    person = find_people(case.session, graph, kind, [case.request.subject[1]])
    found = search.reached_by(person)
    asking = [(case.request.subject, case.request.client)]
    reader = SharedRowReader(case.session, processing, categories, asking)
    read_already = {layout.table for layout in layouts if graph.is_direct(layout.table)}
    read_already |= graph.subclass_tables
    for table in sorted(graph.reached_from(own) - read_already, key=lambda other: other.key):
        if graph.is_direct(table):
            keys = search.direct_keys(table, person)
            read = reader.read_all(table, graph.direct_condition(table, keys))
        else:
            rows_found = [row for row in found.by_table.get(table, {}).values() if row.links]
            if table is own and not rows_found:
                continue
            shown = {row.key: row.shown_fields() for row in rows_found if not row.is_left_out}
            read = (values for _, values in reader.read(table, shown))
        model = model_info_of_table(table)
        labelled = model.family_labelled if model is not None else ()
        tables.append(ExportedTable(table_name(table), labelled, list(read)))
    return _joined(tables)


def _joined(tables: Sequence[ExportedTable]) -> list[ExportedTable]:
    """The same with one entry for each name: a person's own row and those of others whose it is."""
    by_name: dict[str, ExportedTable] = {}
    for table in tables:
        known = by_name.get(table.name)
        rows = table.rows if known is None else known.rows + table.rows
        by_name[table.name] = ExportedTable(table.name, table.labelled, rows)
    return list(by_name.values())


class SharedRowReader:
    """Reads rows of tables that several people own or are shown.

    Args:
        session: On the data.
        processing: Under which values are opened.
        categories: Those that may be read.
        people: For whom, each with their client; reading is authorised for each of them.
    """

    def __init__(
        self,
        session: Session,
        processing: ProcessingContext,
        categories: Collection[str],
        people: Sequence[tuple[SubjectRef, str | None]],
    ) -> None:
        self._session = session
        self._processing = processing
        self._categories = frozenset(categories)
        self._people = people

    def read(
        self, table: Table, shown: Mapping[RowKey, frozenset[str] | None]
    ) -> Iterator[tuple[RowKey, dict[str, Any]]]:
        """Some rows with what is shown of them; NULL stands for what is not.

        Args:
            table: Theirs.
            shown: By primary key, the names of the fields; None for all.

        Returns:
            An iterator of primary keys and values by field.
        """
        primary = list(table.primary_key.columns)
        for condition in selected_by_key(table, list(shown)):
            for row, values in self._values(table, condition, shown):
                key = tuple(row[column] for column in primary)
                fields = shown[key]
                yield (
                    key,
                    {
                        name: value if fields is None or name in fields else None
                        for name, value in values.items()
                    },
                )

    def read_all(self, table: Table, condition: Any) -> Iterator[dict[str, Any]]:
        """Every row that a condition selects, with all of its fields."""
        for _, values in self._values(table, condition, {}):
            yield values

    def _values(
        self, table: Table, condition: Any, shown: Mapping[RowKey, frozenset[str] | None]
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Rows as they are read, each with its fields opened where any of a record is shown."""
        layout = model_info_of_table(table)
        if layout is not None:
            for member in layout.family():
                yield from self._member_values(member, condition, shown)
            return
        columns = columns_by_field(table)
        names = list(columns)
        selected = dict.fromkeys([*columns.values(), *table.primary_key.columns])
        read = self._session.execute(
            select(*selected).where(condition), bind_arguments={"clause": table}
        )
        for plain in read:
            yield plain._mapping, dict(zip(names, map(unwrap, plain), strict=False))

    def _member_values(
        self, layout: ModelInfo, condition: Any, shown: Mapping[RowKey, frozenset[str] | None]
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The same for rows of exactly one class."""
        self._authorize(layout)
        every = layout.columns()
        columns = self._readable(layout, every)
        hidden = [*layout.groups, VERSION_COLUMN, layout.key_attribute]
        hidden += [attribute.key for attribute in layout.plaintext_columns.values()]
        primary = list(layout.table.primary_key.columns)
        needed = [every[name] for name in hidden if name in every]
        selected = dict.fromkeys([*columns.values(), *needed, *primary])
        names = list(columns)
        read = self._session.execute(
            select(*selected).select_from(layout.selectable).where(condition, layout.is_exactly()),
            bind_arguments={"clause": layout.table},
        )
        if not layout.groups:
            for plain in read:
                yield plain._mapping, dict(zip(names, map(unwrap, plain), strict=False))
            return
        rows = read.mappings().all()
        keys = self._keys(layout, rows)
        for row in rows:
            values = {name: unwrap(row[column]) for name, column in columns.items()}
            fields = shown.get(tuple(row[column] for column in primary))
            for group in layout.groups.values():
                values.update(self._opened(group, row, keys, fields))
            yield row, values

    def _authorize(self, layout: ModelInfo) -> None:
        processing = self._processing
        for category in sorted(layout.categories & self._categories):
            for subject, client in self._people:
                processing.authorize(category, Action.READ, client=client, subject=subject)
                processing.record_access(category, Action.READ, client=client, subject=subject)

    def _readable(
        self, layout: ModelInfo, columns: dict[str, Column[Any]]
    ) -> dict[str, Column[Any]]:
        hidden = set(layout.record_columns)
        hidden |= {attribute.key for attribute in layout.plaintext_columns.values()}
        hidden |= {
            name for name, tag in layout.tagged.items() if tag.category not in self._categories
        }
        return {name: column for name, column in columns.items() if name not in hidden}

    def _keys(self, layout: ModelInfo, rows: Sequence[Any]) -> dict[str, SubjectKey]:
        named_by = layout.column(layout.key_attribute)
        ids = dict.fromkeys(canonical_id(row[named_by]) for row in rows)
        keys, session = self._processing.keys, self._session
        loaded = keys.load(session, layout.key_kind, ids)
        return {one: loaded.get(one) or keys.require(session, layout.key_kind, one) for one in ids}

    def _opened(
        self,
        group: SealedGroup,
        row: Any,
        keys: dict[str, SubjectKey],
        shown: frozenset[str] | None,
    ) -> dict[str, Any]:
        """The fields of one record, where any of them is shown."""
        layout, columns = group.layout, group.layout.table.c
        may_read = group.category in self._categories
        if not may_read or (shown is not None and shown.isdisjoint(group.fields)):
            return dict.fromkeys(group.fields) if may_read else {}
        version = row[columns[VERSION_COLUMN]]
        if layout.plaintext_columns and version == 0:
            self._processing.require_migration_open(layout)
            plain = layout.plaintext_columns
            return {
                name: row[layout.column(plain[name].key)] if name in plain else None
                for name in group.fields
            }
        named_by = canonical_id(row[layout.column(layout.key_attribute)])
        row_id, envelope = canonical_id(row[layout.column(layout.key)]), row[columns[group.column]]
        key = keys[named_by]
        try:
            return group.unsealed(key, envelope, row_id, version)
        except SealBroken:
            named = self._processing.keys.named_by(envelope, (layout.key_kind, named_by), key)
            return group.unsealed(named, envelope, row_id, version)
