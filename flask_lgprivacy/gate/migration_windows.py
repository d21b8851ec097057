"""Until when rows of a model may be read that are still in plain text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MigrationWindows:
    """The last day of each model's migration.

    Attributes:
        last_days: By model.
        utcnow: Returns the time in UTC.
    """

    last_days: Mapping[str, dt.date]
    utcnow: Callable[[], dt.datetime]

    def is_open(self, model: str) -> bool:
        """Whether plain text of a model may be read today."""
        last_day = self.last_days.get(model)
        return last_day is not None and self.utcnow().date() <= last_day

    def open(self) -> Iterator[tuple[str, int]]:
        """The models that are being migrated, each with how many days are left."""
        today = self.utcnow().date()
        for model, last_day in self.last_days.items():
            if today <= last_day:
                yield model, (last_day - today).days
