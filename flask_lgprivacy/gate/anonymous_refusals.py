"""Refusals of nobody in particular: the first of each kind in a minute have events, the others are counted, so that they fill no disk."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..audit.events import RefusalCountEvent

if TYPE_CHECKING:
    from .context import ProcessingContext


INTERVAL = dt.timedelta(minutes=1)
EVENTS_OF_THEIR_OWN = 10
"""How many refusals of one kind are told one by one in an interval."""
Kind = tuple[str | None, str | None, str]
"""Endpoint, method and code."""


class AnonymousRefusals:
    """What one process counts; a kill loses the counts of a minute, and of no refusal of somebody who is signed in."""

    def __init__(self) -> None:
        self._since: dt.datetime | None = None
        self._counts: dict[Kind, int] = {}
        self._lock = threading.Lock()

    def takes(self, processing: ProcessingContext, now: dt.datetime) -> bool:
        """Count what a request of nobody was refused; False where it has to be told as an event."""
        ledger = processing.ledger
        if (
            processing.actor is not None
            or processing.via != "request"
            or ledger.touched
            or not ledger.refused
        ):
            return False
        with self._lock:
            self._since = self._since or now
            kinds = {
                (processing.endpoint, processing.method, refused.code) for refused in ledger.refused
            }
            for kind in kinds:
                self._counts[kind] = self._counts.get(kind, 0) + 1
            return all(self._counts[kind] > EVENTS_OF_THEIR_OWN for kind in kinds)

    def due(
        self, now: dt.datetime, written: Callable[[dt.datetime], str]
    ) -> Iterator[RefusalCountEvent]:
        """The counts of an interval that is over; they begin anew. `written` gives a moment as the trail writes it."""
        if self._since is None or now - self._since < INTERVAL:
            return
        with self._lock:
            begun, counts = self._since, self._counts
            self._since, self._counts = None, {}
        if begun is not None:
            for (endpoint, method, code), count in counts.items():
                if count > EVENTS_OF_THEIR_OWN:
                    yield RefusalCountEvent(
                        written(now),
                        written(begun),
                        endpoint,
                        method,
                        code,
                        count - EVENTS_OF_THEIR_OWN,
                    )
