"""Rewrites all records of one model, until none is left as it was, and keeps their new layout."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import ConfigurationError
from ..gate.runtime import Runtime
from ..orm.model_info import ModelInfo
from ..orm.record_layouts import reshaped, unread_fields
from .layout_catalogue import LayoutCatalogue, sealed_members
from .progress import Progress
from .reshaping import Reshaping

PASSES = 5
"""How often all rows are gone through while others write them."""


class ModelReshaping:
    """One model whose records are rewritten as it says today.

    Args:
        runtime: The application's.
        model: Its name.
        dropped: Fields that are taken out of its records.

    Raises:
        ConfigurationError: There is no such model, or no such field in its records.
    """

    def __init__(self, runtime: Runtime, model: str, dropped: Collection[str]) -> None:
        self._runtime = runtime
        self._session = runtime.database.session()
        self._dropped = dropped
        self._layout = _sealed_model(runtime, model)
        self._catalogue = LayoutCatalogue(runtime)
        table = self._layout.table.name
        self._stored = self._catalogue.stored(self._session, table)
        self._unread = unread_fields(self._catalogue.model(table), self._stored)
        for name in dropped:
            if name not in self._unread:
                known = ", ".join(self._unread) or "none"
                raise ConfigurationError(
                    f"--drop {name}: a field that is dropped stands in stored records of "
                    f"{model} and in the model no more (such are: {known})"
                )

    def plan(self) -> dict[str, int]:
        """How many rows would be rewritten, and how many lack what the model requires; changes
        nothing.
        """
        counts = {"rows": 0, "rows to rewrite": 0, "rows that lack a required field": 0}
        for member in sealed_members(self._layout):
            reshaping = self._of_class(member)
            for seen, changed in reshaping.rehearse(self._session):
                counts["rows"] += seen
                counts["rows to rewrite"] += changed
            lacking = max(reshaping.incomplete.values(), default=0)
            counts["rows that lack a required field"] += lacking
        self._session.rollback()
        return counts

    def run(self, counts: dict[str, int], progress: Progress) -> None:
        """Rewrite them, and keep the layout; raises `ConfigurationError` where rows lack what the
        model requires, do not open, or are still written as they were.
        """
        counts["rows rewritten"] = 0
        for _ in range(PASSES):
            if not self._pass(counts, progress):
                break
        else:
            raise ConfigurationError(
                f"rows of {self._layout.name} are still written as they were; stop processes that "
                "run the version from before, then run this again"
            )
        table = self._layout.table.name
        left = [name for name in self._unread if name not in self._dropped]
        layouts = reshaped(self._catalogue.model(table), self._stored, left)
        self._catalogue.write(self._session, table, layouts)
        self._session.commit()

    # --- inside ---

    def _pass(self, counts: dict[str, int], progress: Progress) -> int:
        """Go through all rows once; returns how many were rewritten."""
        rewritten, broken = 0, 0
        incomplete: dict[str, int] = {}
        for member in sealed_members(self._layout):
            reshaping = self._of_class(member)
            total = reshaping.count(self._session)
            with progress(f"rows of {member.name}", total) as advance:
                for seen, changed in reshaping.run(self._session):
                    rewritten += changed
                    advance(seen)
            broken += reshaping.broken
            incomplete |= reshaping.incomplete
        counts["rows rewritten"] += rewritten
        self._refuse_incomplete(incomplete)
        if broken:
            raise ConfigurationError(
                f"{broken} records of {self._layout.name} do not open and were left as they are; "
                "restore these rows, then run this again"
            )
        return rewritten

    def _refuse_incomplete(self, incomplete: dict[str, int]) -> None:
        if incomplete:
            raise ConfigurationError(
                f"{self._layout.name}: the model requires {', '.join(sorted(incomplete))}, and "
                f"{max(incomplete.values())} rows have none; let it be None, fill it in a job, "
                "then run this again"
            )

    def _of_class(self, member: ModelInfo) -> Reshaping:
        return Reshaping(self._runtime, self._session, member, self._stored, self._dropped)


def _sealed_model(runtime: Runtime, name: str) -> ModelInfo:
    sealed = [one for one in runtime.models.graph.models if sealed_members(one)]
    named = next((one for one in sealed if one.name == name), None)
    if named is None:
        known = ", ".join(sorted(one.name for one in sealed)) or "none"
        raise ConfigurationError(f"{name}: no model with sealed fields; there are: {known}")
    return named
