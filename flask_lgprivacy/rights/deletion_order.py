"""In which order rows of several tables are deleted, so that no foreign key holds them back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Table


def deletion_order(tables: Iterable[Table]) -> list[Table]:
    """Some tables, each before those that its foreign keys lead to; circles begin where they can be
    opened.
    """
    waiting = dict.fromkeys(tables)
    ordered: list[Table] = []
    while waiting:
        free = [
            table
            for table in waiting
            if not any(table in leads_to(other) - {other} for other in waiting)
        ]
        for table in free or [_beginning_of_circle(list(waiting))]:
            ordered.append(table)
            del waiting[table]
    return ordered


def leads_to(table: Table) -> set[Table]:
    """The tables to which the foreign keys of one lead."""
    return {
        element.column.table
        for constraint in table.foreign_key_constraints
        for element in constraint.elements
    }


def _beginning_of_circle(tables: Sequence[Table]) -> Table:
    """The table of a circle from which rows can go first, where every table is led to: nothing
    outside its circle leads there, and the keys within are cleared before.
    """
    reached = {table: _reached_from(table, set(tables)) for table in tables}
    outermost = [
        table
        for table in tables
        if all(other in reached[table] for other in tables if table in reached[other])
    ]
    can_be_opened = [
        table for table in outermost if not any(_must_lead_to(other, table) for other in tables)
    ]
    return (can_be_opened or outermost)[0]


def _reached_from(table: Table, among: set[Table]) -> set[Table]:
    """The tables to which the foreign keys of one lead, over any number of others."""
    reached: set[Table] = set()
    waiting = [table]
    while waiting:
        following = (leads_to(waiting.pop()) & among) - reached
        reached |= following
        waiting.extend(following)
    return reached


def _must_lead_to(table: Table, target: Table) -> bool:
    """Whether a row of a table cannot be without a row of another one."""
    return table is not target and any(
        constraint.elements[0].column.table is target
        and not any(column.nullable for column in constraint.columns)
        for constraint in table.foreign_key_constraints
    )
