"""What an audit trail has to do."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .events import Event


class Receipt(NamedTuple):
    """Proof that an event stands in a chain on stable storage."""

    chain: str
    sequence: int
    hash: str


class AuditTrail(Protocol):
    """Where events go."""

    def commit(self, event: Event) -> Receipt:
        """Put an event on stable storage; raises `TrailUnavailable`."""
        ...
