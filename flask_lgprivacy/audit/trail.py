"""What an audit trail has to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from .events import Event
from .verifier import Report


class Receipt(NamedTuple):
    """Proof that an event stands in a chain on stable storage."""

    chain: str
    sequence: int
    hash: str


class AuditTrail(Protocol):
    """Where events go, and where commands read them again.

    `audit show`, `audit verify` and `retention replay` use the trail that is configured; one that
    is given to `LGPrivacy(trail=…)` has these three methods.
    """

    def commit(self, event: Event) -> Receipt:
        """Put an event on stable storage.

        Args:
            event: One of the event types; its fields are what is stored.

        Raises:
            TrailUnavailable: It is not stored, so nothing may be released.
        """
        ...

    def read(self, where: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The stored events in order of time, as JSON objects with `chain` and `seq`.

        Args:
            where: Field to the text that it equals; `filter_events` does it for objects.
        """
        ...

    def verify(self) -> Report:
        """Whether what is stored is what was committed."""
        ...
