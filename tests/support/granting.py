"""Grants as tests ask for them: agents, an operator, a clock that moves, and what an actor reads or is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID, uuid4

import pytest
from school import Backend, Student, db

from flask_lgprivacy import Actor, GrantScope
from flask_lgprivacy.errors import AccessDenied
from flask_lgprivacy.permissions.facts import GrantFacts

AGENTS = [("account", uuid4()), ("account", uuid4())]
PROFILE = {"student.profile"}
EVERYBODY = GrantScope.of(everybody=True)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 22, 8, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def passes(self, **more: float) -> None:
        self.now += dt.timedelta(**more)


def agent(number: int = 0, *, strong: bool = True) -> Actor:
    return Actor(
        AGENTS[number][1], role="support", subjects=[AGENTS[number]], strongly_authenticated=strong
    )


def operator(*, strong: bool = True) -> Actor:
    return Actor(
        "officer",
        role="operator",
        subjects=[("account", UUID(int=9))],
        strongly_authenticated=strong,
    )


def first_name(backend: Backend, actor: Actor, school: int = 0, number: int = 0) -> str:
    """What an actor reads of a student, under the declaration for its role."""
    purpose = "assistance" if actor.role == "support" else "provide-service"
    with backend.job("student.profile", actor=actor, purpose=purpose):
        db.session.expire_all()
        name: str = db.session.get(
            Student, backend.students[backend.schools[school]][number]
        ).first_name
    return name


def refused(backend: Backend, actor: Actor, school: int = 0, number: int = 0) -> str | None:
    with pytest.raises(AccessDenied) as denied:
        first_name(backend, actor, school, number)
    return denied.value.clause


def give(backend: Backend, clock: Clock, scope: GrantScope = EVERYBODY, **changes: Any) -> Any:
    asked: dict[str, Any] = {
        "by": backend.administrator(), "to": ("account", backend.account), "categories": PROFILE, "scope": scope,
        "until": clock.now + dt.timedelta(days=1), **changes,
    }  # fmt: skip
    return backend.privacy.grants.give("guest", **asked)


def assisted(backend: Backend, **changes: Any) -> Any:
    asked: dict[str, Any] = {
        "by": backend.teacher(),
        "categories": PROFILE,
        "scope": EVERYBODY,
        "hours": 4,
        **changes,
    }
    return backend.privacy.grants.open_assistance(**asked)


def emergency(backend: Backend, **changes: Any) -> Any:
    asked: dict[str, Any] = {
        "by": operator(), "client": backend.schools[0], "to": AGENTS[0], "ground": "fraud-and-security", "case": "INC-7",
        "categories": PROFILE, "scope": EVERYBODY, "hours": 2, **changes,
    }  # fmt: skip
    return backend.privacy.grants.declare_emergency(**asked)


def leave_no_agent(backend: Backend) -> None:
    """Take everybody off the publisher's list of support agents."""
    for provider in backend.runtime.facts:
        if isinstance(provider, GrantFacts):
            provider.agents = frozenset()
    backend.privacy.grants._rules.agents = frozenset()
