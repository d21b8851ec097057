"""What an application's gate is made of: policy, keys, trail and clock; made once, shared by all requests."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import Engine, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ..audit.trail import AuditTrail
from ..crypto.cache import KeyCache
from ..crypto.pseudonym_period import school_year
from ..database.clock import timestamp
from ..database.identifiers import SubjectRef
from ..database.tables import Tables
from ..errors import RequestConflict, TrailUnavailable
from ..keys.store import KeyStore
from ..orm.ownership_graph import OwnershipGraph, capacity_of
from ..policy.engine import PolicyEngine
from ..policy.model import Capacity, Policy
from .actor import ActorLoader, no_actor
from .anonymous_refusals import AnonymousRefusals
from .facts import nobody_pays

if TYPE_CHECKING:
    from .context import ProcessingContext


ConsentLookup = Callable[[Session, tuple[str, str], str, str], bool]


def no_consent(_session: Session, _subject: tuple[str, str], _purpose: str, _category: str) -> bool:
    """Where consents are not recorded, there is none."""
    return False


def no_device(_session: Session, _client: str) -> bool:
    """Where no client chose its devices, all profiles are in the cloud space."""
    return False


def nothing() -> None:
    """Where nothing waits for the end of a request or job."""


@dataclass(slots=True, eq=False)
class Runtime:
    """The parts of an application's gate, for the application's lifetime."""

    policy: Policy
    decisions: PolicyEngine
    keys: KeyStore
    trail: AuditTrail
    tables: Tables
    session: Callable[[], Session]
    engine: Engine
    utcnow: Callable[[], dt.datetime]
    build_graph: Callable[[], OwnershipGraph]
    actor_names: KeyCache[tuple[Any, ...], str]
    load_actor: ActorLoader = no_actor
    has_consent: ConsentLookup = no_consent
    is_on_device: Callable[[Session, str], bool] = no_device
    pays_directly: Callable[[str], Any] = nobody_pays
    agents: frozenset[SubjectRef] = frozenset()
    adoption: Mapping[str, dt.date] = field(default_factory=dict)
    settle: Callable[[], None] = nothing
    refusals: AnonymousRefusals = field(default_factory=AnonymousRefusals)
    before_serving: Callable[[], None] | None = None
    _graph: OwnershipGraph | None = None
    _preparing: threading.Lock = field(default_factory=threading.Lock)
    _capacities: dict[str, Capacity] = field(default_factory=dict)

    @property
    def graph(self) -> OwnershipGraph:
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

    def clean_session(self) -> Session:
        """The session, before something is committed on it; raises `RequestConflict` where it holds changes of somebody else."""
        session = self.session()
        if session.new or session.deleted or any(session.is_modified(row) for row in session.dirty):
            raise RequestConflict(
                "the session holds changes that are not committed; commit or roll back, then ask again"
            )
        return session

    def pseudonym_of(self, subject: SubjectRef) -> str | None:
        """Under what name the trail knows a data subject; None where it has no key."""
        key = self.keys.load(self.session(), subject[0], [subject[1]]).get(subject[1])
        return key.pseudonym(school_year(self.utcnow())) if key is not None else None

    def record(self, processing: ProcessingContext, status: int | None) -> None:
        """Put what a processing did into the trail, and uses of grants where their client sees them.

        Raises `TrailUnavailable`, and then nothing may be released. A stream's uses are in the trail piece by piece and in the
        client's list when it ends, because until then its cursor may hold the database.
        """
        if processing.ledger.uses and processing.via != "stream":
            self.record_uses(processing)
        now = self.utcnow()
        for counted in self.refusals.due(now, timestamp):
            self.trail.commit(counted)
        if not self.refusals.takes(processing, now):
            self.trail.commit(processing.event(status=status))

    def record_uses(self, processing: ProcessingContext) -> None:
        """In a transaction of its own: the processing's has ended, or may still be undone. Raises `TrailUnavailable`."""
        rows = [
            {
                "id": uuid4().hex,
                "grant": grant,
                "at": self.utcnow(),
                "endpoint": (processing.endpoint or "")[:200],
                "category": category,
                "action": action,
                "subjects": len(subjects),
            }
            for (grant, category, action), subjects in processing.ledger.take_uses()
        ]
        if not rows:
            return
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(self.tables.grant_use), rows)
        except SQLAlchemyError as fault:
            raise TrailUnavailable(
                f"uses of grants, {type(fault).__name__}; a job under a grant commits or rolls back before its block ends"
            ) from None

    def __repr__(self) -> str:
        return f"<House under {self.policy.name!r}>"

    def __reduce__(self) -> Any:
        raise TypeError("a House cannot be pickled")
