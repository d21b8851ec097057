"""What an application's own tests import: act as a role, capture the trail, assert that something
was refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import orjson
from flask import Flask

from .audit.events import Event
from .audit.reader import filter_events
from .audit.trail import Receipt
from .audit.verifier import Report
from .crypto.providers.local_file import LocalKeyFile
from .errors import PrivacyError
from .gate.actor import Actor, ActorLoader
from .gate.host_hooks import HostHooks
from .policy.explain import Explanation, MatrixCell, explain_decision, matrix
from .policy.model import Action, Condition
from .state import NAME, PrivacyState
from .web.endpoints import endpoints_of


class InMemoryAuditTrail:
    """A trail in memory; `events` holds what was committed, in order. `fails` makes every commit
    raise it.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fails: PrivacyError | None = None

    def commit(self, event: Event) -> Receipt:
        """Keep an event."""
        if self.fails is not None:
            raise self.fails
        self.events.append(event)
        return Receipt("memory", len(self.events), "")

    def read(self, where: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The events as JSON objects, as a trail of files stores them."""
        stored = (
            {"chain": "memory", "seq": number, **orjson.loads(orjson.dumps(event))}
            for number, event in enumerate(self.events, 1)
        )
        return filter_events(stored, where)

    def verify(self) -> Report:
        """Nothing in memory can be changed from outside, so all is well."""
        return Report(chains=1, lines=len(self.events))


@contextmanager
def acting_as(app: Flask, actor: Actor | None) -> Iterator[None]:
    """Within this, every request to `app` is made by `actor`, or by nobody for None."""
    hooks = _state(app).hooks
    before = hooks.actor_loader
    if not isinstance(before, _ActingLoader):
        hooks.actor_loader = before = _ActingLoader(before or _shared_loader(hooks))
    token = before.actors.set((actor,))
    try:
        yield
    finally:
        before.actors.reset(token)


def _shared_loader(hooks: HostHooks) -> ActorLoader:
    shared = HostHooks(hooks.shared)
    return shared.load_actor


class _ActingLoader:
    """An actor loader that a test overrides for its own thread; others ask the application's."""

    def __init__(self, load: ActorLoader) -> None:
        self._load = load
        self.actors: ContextVar[tuple[Actor | None] | None] = ContextVar("acting", default=None)

    def __call__(self) -> Actor | None:
        acting = self.actors.get()
        return self._load() if acting is None else acting[0]


@contextmanager
def captured_trail(app: Flask) -> Iterator[InMemoryAuditTrail]:
    """Within this, events of `app` go to the memory that is returned."""
    runtime = _state(app).runtime
    before = runtime.audit.trail
    trail = InMemoryAuditTrail()
    runtime.audit.trail = trail
    try:
        yield trail
    finally:
        runtime.audit.trail = before


def assert_refused(response: Any, *, clause: str | None = None, code: str | None = None) -> None:
    """Assert that a response of Flask's test client is a refusal, by a clause or with a code where
    one is given.
    """
    problem = response.get_json(silent=True) or {}
    assert response.status_code >= 400, f"expected a refusal, got {response.status_code}"
    assert "code" in problem, f"expected problem details, got {response.mimetype}"
    if clause is not None:
        assert problem.get("clause") == clause, (
            f"expected clause {clause}, got {problem.get('clause')}"
        )
    if code is not None:
        assert problem["code"] == code, f"expected code {code}, got {problem['code']}"


def assert_every_route_is_declared(app: Flask) -> None:
    """Assert that every endpoint of `app` is declared or exempt, and name those that are not."""
    missing = undeclared_endpoints(app)
    assert not missing, f"these declare no processing: {', '.join(missing)}"


def policy_matrix(app: Flask) -> list[MatrixCell]:
    """The whole table of the policy document of `app`, as `flask privacy policy --matrix` prints
    it.
    """
    return list(matrix(_state(app).runtime.engine))


def explain(
    app: Flask,
    *,
    role: str,
    category: str,
    purpose: str,
    action: str = "read",
    facts: Iterable[str] = (),
) -> Explanation:
    """A decision with everything that was considered, as `flask privacy explain` prints it; `facts`
    are conditions that hold.
    """
    holding = frozenset(Condition(fact) for fact in facts)
    return explain_decision(
        _state(app).runtime.engine, role, category, Action(action), purpose, holding
    )


def undeclared_endpoints(app: Flask) -> list[str]:
    """The endpoints of `app`, with their methods, that are neither declared nor exempt; assert that
    it is empty.
    """
    return [
        f"{entry.endpoint} {entry.method}"
        for entry in endpoints_of(app).entries()
        if entry.stated is None
    ]


def make_key_file(path: Path) -> Path:
    """A key file for tests; returns its path."""
    LocalKeyFile.create(path)
    return path


def _state(app: Flask) -> PrivacyState:
    state: PrivacyState = app.extensions[NAME]
    return state
