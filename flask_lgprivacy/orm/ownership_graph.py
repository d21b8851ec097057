"""The ownership graph: which models hold which subject's data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ModelInvalid
from ..policy.model import Capacity, Policy
from .columns import subject_column
from .model_info import ModelInfo


@dataclass(frozen=True, slots=True)
class OwnershipGraph:
    """For every kind of subject its own model and what belongs to it."""

    subjects: dict[str, ModelInfo]
    belongings: dict[str, tuple[ModelInfo, ...]]

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
        """Every model that holds data of a kind of subject: belongings first, the subject last."""
        return (*self.belongings.get(kind, ()), self.subjects[kind])


def capacity_of(graph: OwnershipGraph, kind: str, policy: Policy) -> Capacity:
    """In which capacity the data of a kind of subject is held; one for all of its sealed
    categories.
    """
    capacities = {
        policy.categories[group.category].capacity
        for layout in graph.of(kind)
        for group in layout.groups.values()
    }
    if len(capacities) > 1:
        raise ModelInvalid(
            f"subject {kind!r}: its sealed categories mix controller and processor; split the "
            "models",
            clause=policy.commitments["processor-held"].clause,
        )
    return next(iter(capacities), Capacity.CONTROLLER)
