"""The labelled keys of an application's tables, each resolved to the columns that it joins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Table

from .model_info import ModelInfo
from .ownership_labels import Clear, DeleteRow, Keep, KeyLabel, Meaning, OnErasure
from .registry import INFO_KEY, field_name, table_name


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """One labelled key.

    People come to the rows of `about` over the rows of `source`: whoever owns a source row whose
    `source_columns` equal a row's `about_columns` owns that row too, or is shown it.

    Attributes:
        table: Holds the key.
        columns: The key's.
        target: The table to which the key leads.
        label: What it means.
        is_enforced: Whether the database has a foreign key of it.
        when: Columns of `table` that hold these values where the key has this meaning.
    """

    table: Table
    columns: tuple[Column[Any], ...]
    target: Table
    target_columns: tuple[Column[Any], ...]
    label: KeyLabel
    is_enforced: bool
    when: tuple[tuple[Column[Any], Any], ...] = ()

    @property
    def meaning(self) -> Meaning:
        """What the key means."""
        return self.label.meaning

    @property
    def on_erasure(self) -> OnErasure:
        """What becomes of the row that it is about."""
        return self.label.on_erasure

    @property
    def is_turned(self) -> bool:
        """Whether the key's row says whose the other row is."""
        return self.meaning in (Meaning.OWNS, Meaning.SHARES)

    @property
    def gives_ownership(self) -> bool:
        """Whether owners of the source own the row that it is about."""
        return self.meaning in (Meaning.OWNER, Meaning.OWNS)

    @property
    def about(self) -> Table:
        """The table of the rows that people come to over this key."""
        return self.target if self.is_turned else self.table

    @property
    def about_columns(self) -> tuple[Column[Any], ...]:
        """The columns by which they are found."""
        return self.target_columns if self.is_turned else self.columns

    @property
    def source(self) -> Table:
        """The table over which people come."""
        return self.table if self.is_turned else self.target

    @property
    def source_columns(self) -> tuple[Column[Any], ...]:
        """The columns that say which rows."""
        return self.columns if self.is_turned else self.target_columns

    @property
    def name(self) -> str:
        """For messages and certificates: `Message.sender_id`."""
        names = ", ".join(field_name(column) for column in self.columns)
        return f"{table_name(self.table)}.{names}"

    @property
    def own_columns(self) -> tuple[Column[Any], ...]:
        """Those of its columns that no other foreign key of the table needs, or all."""
        others = {
            column
            for constraint in self.table.foreign_key_constraints
            if tuple(constraint.columns) != self.columns
            for column in constraint.columns
        }
        return tuple(column for column in self.columns if column not in others) or self.columns

    @property
    def cleared_fields(self) -> tuple[str, ...]:
        """The fields that become NULL with the person."""
        return () if isinstance(self.on_erasure, DeleteRow) else self.on_erasure.fields


def collect_links(tables: Iterable[Table], layouts: Iterable[ModelInfo]) -> list[Link]:
    """Every labelled key of some tables; a model that belongs to one subject by one key owes that
    key no label.

    Raises:
        LookupError: A label leads to a table or column that is not there; its text says which.
    """
    tables = list(tables)
    layouts = list(layouts)
    owner = KeyLabel(Meaning.OWNER, None, Clear())
    implied = {
        frozenset([layout.column(layout.subject)]): owner
        for layout in layouts
        if not layout.is_subject and layout.subject
    }
    implied |= {key: owner for layout in layouts for key in _keys_to_base(layout)}
    links = []
    for table in tables:
        for constraint in foreign_keys_of(table):
            columns = tuple(constraint.columns)
            targets = tuple(element.column for element in constraint.elements)
            for label in labels_of(constraint) or filter(None, [implied.get(frozenset(columns))]):
                links.append(
                    Link(
                        table,
                        columns,
                        targets[0].table,
                        targets,
                        label,
                        is_enforced=True,
                        when=_conditions(table, label),
                    )
                )
        for column in table.columns:
            for label in column_labels(column):
                if label.leads_to is None and not column.foreign_keys:
                    raise LookupError(
                        f"{table_name(table)}.{field_name(column)} has no foreign key, so its "
                        "label says where it leads: write leads_to='table.column'"
                    )
                if label.leads_to is not None:
                    target = _column_named(label.leads_to, tables, column)
                    links.append(
                        Link(
                            table,
                            (column,),
                            target.table,
                            (target,),
                            label,
                            is_enforced=False,
                            when=_conditions(table, label),
                        )
                    )
    return links


def _keys_to_base(layout: ModelInfo) -> Iterator[frozenset[Column[Any]]]:
    """The columns by which a subclass with a table of its own leads to the row above."""
    if layout.base is not None and layout.own_table is not layout.base.own_table:
        yield frozenset(layout.own_table.primary_key.columns)


def foreign_keys_of(table: Table) -> list[ForeignKeyConstraint]:
    """The foreign keys of a table, in the order of their columns."""
    order = list(table.columns)
    return sorted(
        table.foreign_key_constraints,
        key=lambda constraint: [order.index(column) for column in constraint.columns],
    )


def labels_of(constraint: ForeignKeyConstraint) -> tuple[KeyLabel, ...]:
    """The labels of a foreign key: its own, or those of its one column."""
    own = (constraint.info.get(INFO_KEY) or {}).get("keys", ())
    columns = tuple(constraint.columns)
    if own or len(columns) != 1:
        return tuple(own)
    return tuple(label for label in column_labels(columns[0]) if label.leads_to is None)


def column_labels(column: Column[Any]) -> tuple[KeyLabel, ...]:
    """What a column says that its key means."""
    return tuple((column.info.get(INFO_KEY) or {}).get("keys", ()))


def _column_named(name: str, tables: Iterable[Table], column: Column[Any]) -> Column[Any]:
    """The column that a label names: of the key's own database where it has such a table."""
    table_named, _, wanted = name.rpartition(".")
    named = [table for table in tables if table_named in (table.name, table.key)]
    own = [table for table in named if table.metadata is column.table.metadata]
    place = f"{table_name(column.table)}.{field_name(column)}: leads_to={name!r}"
    candidates = own or named
    if len(candidates) > 1:
        raise LookupError(f"{place} names tables of several databases; name the table otherwise")
    if not candidates or wanted not in candidates[0].columns:
        raise LookupError(f"{place} names no column; write 'table.column'")
    return candidates[0].columns[wanted]


def _conditions(table: Table, label: KeyLabel) -> tuple[tuple[Column[Any], Any], ...]:
    conditions = []
    for name, told in label.when:
        if name not in table.columns:
            raise LookupError(f"{table_name(table)}: when={{{name!r}: …}} names no column of it")
        column = table.columns[name]
        expected = column.type.python_type
        is_member = issubclass(expected, Enum) and told in expected.__members__
        value = expected[told] if is_member else told
        if not isinstance(value, expected):
            raise LookupError(  # noqa: TRY004  the caller says it as a fault of the model
                f"{table_name(table)}: when={{{name!r}: …}} takes {expected.__name__}, not "
                f"{type(value).__name__}"
            )
        conditions.append((column, value))
    return tuple(conditions)


def kept_reason(link: Link) -> str | None:
    """Why a key stays when the row to which it leads is deleted, or None where it does not."""
    return link.on_erasure.reason if isinstance(link.on_erasure, Keep) else None
