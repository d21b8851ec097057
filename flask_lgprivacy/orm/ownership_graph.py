"""The ownership graph: which tables hold which subject's data, and over which keys people come to
their rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Table, select

from ..database.sqlalchemy_internals import bind_key_of
from ..errors import ModelInvalid
from ..policy.model import Capacity, Policy
from .columns import subject_column
from .model_info import ModelInfo
from .ownership_links import Link


@dataclass(frozen=True)
class OwnershipGraph:
    """For every kind of subject its own model and what belongs to it.

    Attributes:
        subjects: The model of each kind of subject.
        belongings: The models whose rows have one owner of a kind, by a key of their own.
        shared: The labelled models whose owners their keys say.
        links: Every labelled key.
        tables: Every table of the application.
    """

    subjects: dict[str, ModelInfo]
    belongings: dict[str, tuple[ModelInfo, ...]]
    shared: tuple[ModelInfo, ...] = ()
    links: tuple[Link, ...] = ()
    tables: tuple[Table, ...] = ()

    def scope_column(self, kind: str) -> Any:
        """The column by which grants name groups of a kind of subject, or None."""
        scope = self._scope(kind)
        return None if scope is None else scope[0].column(scope[1])

    def leading_to_scope(self, kind: str) -> Any:
        """Where that column is in a table about the subject, the column that leads from there to
        the subject; else None.
        """
        scope = self._scope(kind)
        return None if scope is None or scope[0].is_subject else subject_column(scope[0])

    def _scope(self, kind: str) -> tuple[ModelInfo, str] | None:
        layout = self.subjects.get(kind)
        if layout is None or layout.scope is None:
            return None
        model, _, name = layout.scope.rpartition(".")
        return next(
            (candidate, name)
            for candidate in self.of(kind)
            if candidate.name == (model or layout.name)
        )

    def of(self, kind: str) -> tuple[ModelInfo, ...]:
        """Every model whose rows have one owner of a kind of subject, the subject's own last."""
        return (*self.belongings.get(kind, ()), self.subjects[kind])

    def policy_kind(self, kind: str) -> str:
        """What subjects of a name are in the policy document."""
        layout = self.subjects.get(kind)
        return kind if layout is None else layout.policy_kind

    @cached_property
    def models(self) -> tuple[ModelInfo, ...]:
        """Every labelled model."""
        return (*(layout for kind in self.subjects for layout in self.of(kind)), *self.shared)

    @cached_property
    def subclass_tables(self) -> frozenset[Table]:
        """The tables of subclasses, whose rows are read with those of the model above."""
        return frozenset(
            member.own_table for layout in self.models for member in layout.family()
        ) - {layout.table for layout in self.models}

    @cached_property
    def subject_tables(self) -> dict[Table, ModelInfo]:
        """The models of subjects, by their tables."""
        return {layout.table: layout for layout in self.subjects.values()}

    @cached_property
    def from_source(self) -> dict[Table, list[Link]]:
        """By table, the keys over which its people come to other rows."""
        return _grouped(
            (labelled_key.source, labelled_key)
            for labelled_key in self.links
            if labelled_key.meaning != "refers"
        )

    @cached_property
    def about(self) -> dict[Table, list[Link]]:
        """By table, the keys over which people come to its rows."""
        return _grouped(
            (labelled_key.about, labelled_key)
            for labelled_key in self.links
            if labelled_key.meaning != "refers"
        )

    @cached_property
    def leading_to(self) -> dict[Table, list[Link]]:
        """By table, the keys that lead to its rows."""
        return _grouped((labelled_key.target, labelled_key) for labelled_key in self.links)

    @cached_property
    def turned(self) -> dict[Table, list[Link]]:
        """By table, its keys that say whose another row is."""
        return _grouped(
            (labelled_key.table, labelled_key)
            for labelled_key in self.links
            if labelled_key.is_turned
        )

    @cached_property
    def key_columns(self) -> dict[Table, tuple[Column[Any], ...]]:
        """By table, the columns that take part in a labelled key, and those of its own key."""
        columns: dict[Table, dict[Column[Any], None]] = defaultdict(dict)
        for labelled_key in self.links:
            columns[labelled_key.table].update(
                dict.fromkeys(labelled_key.table.primary_key.columns)
            )
            columns[labelled_key.target].update(
                dict.fromkeys(labelled_key.target.primary_key.columns)
            )
            columns[labelled_key.table].update(dict.fromkeys(labelled_key.columns))
            columns[labelled_key.table].update(
                dict.fromkeys(column for column, _ in labelled_key.when)
            )
            columns[labelled_key.target].update(dict.fromkeys(labelled_key.target_columns))
        for table, identifier in self.identifiers.items():
            columns[table].update(dict.fromkeys([*table.primary_key.columns, identifier]))
        return {table: tuple(columns[table]) for table in columns}

    @cached_property
    def identifiers(self) -> dict[Table, Column[Any]]:
        """By table, the column by which rows are known that have a key of their own."""
        return {layout.table: layout.identifier for layout in self.models if layout.has_keyed_rows}

    def reached_from(self, table: Table) -> set[Table]:
        """The tables to whose rows somebody of a table may come, that table among them."""
        reached, waiting = {table}, [table]
        while waiting:
            for labelled_key in self.from_source.get(waiting.pop(), ()):
                if labelled_key.about not in reached:
                    reached.add(labelled_key.about)
                    waiting.append(labelled_key.about)
        return reached

    def owned_from(self, table: Table) -> set[Table]:
        """The tables whose rows somebody of a table may own, that table among them."""
        owned, waiting = {table}, [table]
        while waiting:
            for labelled_key in self.from_source.get(waiting.pop(), ()):
                if labelled_key.gives_ownership and labelled_key.about not in owned:
                    owned.add(labelled_key.about)
                    waiting.append(labelled_key.about)
        return owned

    def is_direct(self, table: Table) -> bool:
        """Whether one condition finds the rows of some people in a table (`direct_condition`)."""
        return table in self.direct_tables

    @cached_property
    def direct_tables(self) -> frozenset[Table]:
        """Tables whose rows have one owner, by a key of their own or over other such tables, where
        nothing but such rows hangs on them: they need no search.
        """
        direct = {table for table in self.about if self._has_one_way(table)}
        while True:
            left_out = {
                table
                for table in direct
                if not self._starts_at(table, direct)
                or any(
                    labelled_key.table not in direct
                    or labelled_key is not self.about[labelled_key.table][0]
                    for labelled_key in (
                        *self.leading_to.get(table, ()),
                        *self.from_source.get(table, ()),
                    )
                )
            }
            if not left_out:
                return frozenset(direct)
            direct -= left_out

    def direct_condition(self, table: Table, people: Mapping[Table, Sequence[Any]]) -> Any:
        """The condition that selects the rows of some people in a direct table.

        Args:
            table: One of `direct_tables`.
            people: By table of people, the values of the column to which its keys lead.
        """
        labelled_key = self.about[table][0]
        key, target = labelled_key.columns[0], labelled_key.target_columns[0]
        if labelled_key.target in self.subject_tables:
            return key.in_(people.get(labelled_key.target, ()))
        return key.in_(select(target).where(self.direct_condition(labelled_key.target, people)))

    def owner_of_direct(self, table: Table) -> Link:
        """The key over which a direct table is reached from its people's table."""
        labelled_key = self.about[table][0]
        return (
            labelled_key
            if labelled_key.target in self.subject_tables
            else self.owner_of_direct(labelled_key.target)
        )

    def _has_one_way(self, table: Table) -> bool:
        about = self.about[table]
        labelled_key = about[0]
        return (
            len(about) == 1
            and table not in self.subject_tables
            and not any(
                layout.table is table
                for layout in self.shared
                if any(member.groups for member in layout.family())
            )
            and labelled_key.gives_ownership
            and not labelled_key.is_turned
            and labelled_key.label.shows is None
            and not labelled_key.when
            and len(labelled_key.columns) == 1
            and bind_key_of(labelled_key.table) == bind_key_of(labelled_key.target)
        )

    def _starts_at(self, table: Table, direct: set[Table]) -> bool:
        """Whether its key leads to people who belong to nobody else, or to a direct table."""
        target = self.about[table][0].target
        if target not in self.subject_tables:
            return target in direct
        return not any(labelled_key.gives_ownership for labelled_key in self.about.get(target, ()))


def _grouped(pairs: Any) -> dict[Table, list[Link]]:
    grouped: defaultdict[Table, list[Link]] = defaultdict(list)
    for table, labelled_key in pairs:
        grouped[table].append(labelled_key)
    return dict(grouped)


def capacity_of(graph: OwnershipGraph, kind: str, policy: Policy) -> Capacity:
    """In which capacity the data of a kind of subject is held; one for all of its sealed
    categories.
    """
    capacities = {
        policy.categories[group.category].capacity
        for layout in graph.of(kind)
        for member in layout.family()
        for group in member.groups.values()
    }
    if len(capacities) > 1:
        raise ModelInvalid(
            f"subject {kind!r}: its sealed categories mix controller and processor; split the "
            "models",
            clause=policy.commitments["processor-held"].clause,
        )
    return next(iter(capacities), Capacity.CONTROLLER)
