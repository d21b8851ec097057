"""What one application's gate is made of: policy, keys, trail and clock; made once, shared by all requests."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from ..audit import Trail
from ..models import Graph, KeyStore, Tables, capacity_of
from ..policy import Capacity, Decisions, Policy
from ..vault import KeyCache
from .actor import ActorLoader, nobody

if TYPE_CHECKING:
    from .processing import Processing

ConsentLookup = Callable[[Session, tuple[str, str], str], bool]


def no_consent(_session: Session, _subject: tuple[str, str], _purpose: str) -> bool:
    """Where consents are not recorded, there is none."""
    return False


def no_device(_session: Session, _client: str) -> bool:
    """Where no client chose its devices, all profiles are in the cloud space."""
    return False


@dataclass(slots=True, eq=False)
class House:
    """The parts of an application's gate, for the application's lifetime."""

    policy: Policy
    decisions: Decisions
    keys: KeyStore
    trail: Trail
    tables: Tables
    session: Callable[[], Session]
    utcnow: Callable[[], dt.datetime]
    build_graph: Callable[[], Graph]
    actor_names: KeyCache[tuple[Any, ...], str]
    load_actor: ActorLoader = nobody
    has_consent: ConsentLookup = no_consent
    is_on_device: Callable[[Session, str], bool] = no_device
    adoption: Mapping[str, dt.date] = field(default_factory=dict)
    before_serving: Callable[[], None] | None = None
    _graph: Graph | None = None
    _preparing: threading.Lock = field(default_factory=threading.Lock)
    _capacities: dict[str, Capacity] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The ownership graph, checked at first use; raises `ModelInvalid`."""
        if self._graph is None:
            self._graph = self.build_graph()
        return self._graph

    def device_categories(self) -> frozenset[str]:
        """The categories of which the server keeps nothing for a client that keeps its profiles on devices."""
        named = self.policy.commitments["device-storage"].parameters.get("categories", ())
        return frozenset(named) if isinstance(named, list) else frozenset()

    def adopts(self, model: str) -> bool:
        """Whether rows of a model that are still in plain text may be read today."""
        until = self.adoption.get(model)
        return until is not None and self.utcnow().date() <= until

    def prepare(self) -> None:
        """Do once what must be done before anything is processed; raises `PrivacyError`, and is tried again, where it cannot."""
        with self._preparing:
            if self.before_serving is not None:
                self.before_serving()
                self.before_serving = None

    def models_changed(self) -> None:
        """Check the models again at the next use."""
        self._graph = None
        self._capacities = {}

    def is_processor_of(self, kind: str) -> bool:
        """Whether the data of a kind of subject is held as processor."""
        if kind not in self._capacities:
            self._capacities[kind] = capacity_of(self.graph, kind, self.policy)
        return self._capacities[kind] is Capacity.PROCESSOR

    def now(self) -> str:
        """The time as ISO 8601 UTC text with milliseconds."""
        return timestamp(self.utcnow())

    def record(self, processing: Processing, status: int | None) -> None:
        """Put what a processing did into the trail; raises `TrailUnavailable`."""
        self.trail.commit(processing.event(status=status))

    def __repr__(self) -> str:
        return f"<House under {self.policy.name!r}>"

    def __reduce__(self) -> Any:
        raise TypeError("a House cannot be pickled")


def timestamp(moment: dt.datetime) -> str:
    """A moment in UTC as ISO 8601 text with milliseconds."""
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"
