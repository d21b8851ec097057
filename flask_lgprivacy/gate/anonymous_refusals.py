"""Refusals of anonymous requests: the first of each kind in a minute have events, the others are
counted.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Iterator

from ..audit.events import RefusalCountEvent

INTERVAL = dt.timedelta(minutes=1)
EVENTS_OF_THEIR_OWN = 10
"""How many refusals of one kind have an event each in an interval; more would fill the disk."""
RefusalKind = tuple[str | None, str | None, str]
"""Endpoint, method and code."""


class AnonymousRefusals:
    """What one process counts.

    A kill loses the counts of a minute, and of no refusal of somebody who is signed in.
    """

    def __init__(self) -> None:
        self._since: dt.datetime | None = None
        self._counts: dict[RefusalKind, int] = {}
        self._lock = threading.Lock()

    def count(
        self, endpoint: str | None, method: str | None, codes: Iterable[str], now: dt.datetime
    ) -> bool:
        """Count the refusals of one request; False where it has to be told as an event.

        Args:
            endpoint: The endpoint, or None.
            method: The HTTP method, or None.
            codes: The codes of the refusals.
            now: The time in UTC.
        """
        with self._lock:
            self._since = self._since or now
            kinds = {(endpoint, method, code) for code in codes}
            for kind in kinds:
                self._counts[kind] = self._counts.get(kind, 0) + 1
            return all(self._counts[kind] > EVENTS_OF_THEIR_OWN for kind in kinds)

    def due(
        self, now: dt.datetime, timestamp: Callable[[dt.datetime], str]
    ) -> Iterator[RefusalCountEvent]:
        """The counts of an interval that is over; they begin again.

        Args:
            now: The time in UTC.
            timestamp: Gives a moment as the trail writes it.
        """
        if self._since is None or now - self._since < INTERVAL:
            return
        with self._lock:
            since, counts = self._since, self._counts
            self._since, self._counts = None, {}
        if since is not None:
            for (endpoint, method, code), count in counts.items():
                if count > EVENTS_OF_THEIR_OWN:
                    yield RefusalCountEvent(
                        timestamp(now),
                        timestamp(since),
                        endpoint,
                        method,
                        code,
                        count - EVENTS_OF_THEIR_OWN,
                    )
