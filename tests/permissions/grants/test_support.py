"""Support agents are let in by the client, for a request for assistance, for hours (LG-21 to LG-23)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from granting import AGENTS, EVERYBODY, Clock, agent, assisted, first_name, leave_no_agent, refused
from school import CANARY, Backend, make_backend

from flask_lgprivacy import Actor, GrantScope, LGPrivacy
from flask_lgprivacy.errors import (
    AccessDenied,
    ConfigurationError,
    PrivacyError,
    RequestConflict,
    RequestInvalid,
    RequestNotFound,
)
from flask_lgprivacy.testing import captured_trail


def test_an_open_request_alone_lets_nobody_in(backend: Backend) -> None:
    assert refused(backend, agent()) == "LG-21"
    assisted(backend)
    assert refused(backend, agent()) == "LG-22"


def test_an_agent_whom_a_colleague_named_is_let_in_for_hours(
    backend: Backend, clock: Clock
) -> None:
    request = assisted(backend, agent=AGENTS[0])
    grant = backend.privacy.grants.accept(
        by=backend.administrator(), assistance=request.id, to=AGENTS[0]
    )
    assert first_name(backend, agent()) == f"{CANARY} A0"
    assert refused(backend, agent(1)) == "LG-22"
    assert refused(backend, agent(strong=False)) == "LG-23"
    assert refused(backend, agent(), school=1) == "LG-21"
    clock.passes(hours=4)
    assert refused(backend, agent()) == "LG-22"
    assert grant.until is not None and (grant.until - dt.timedelta(hours=4)) == grant.given_at


def test_the_only_administrator_accepts_what_an_agent_asks(backend: Backend) -> None:
    request = assisted(backend, by=backend.administrator())
    asked = backend.privacy.grants.ask(by=agent(), assistance=request.id)
    assert refused(backend, agent()) == "LG-22"
    given = backend.privacy.grants.accept(
        by=backend.administrator(), assistance=request.id, to=AGENTS[0], hours=1
    )
    assert (given.id, given.asked_by) == (asked.id, agent().key)
    assert first_name(backend, agent())
    with pytest.raises(RequestConflict):
        backend.privacy.grants.ask(
            by=agent(),
            assistance=backend.privacy.grants.close(by=backend.teacher(), assistance=request.id).id,
        )


def test_whoever_named_the_agent_does_not_let_the_agent_in(backend: Backend) -> None:
    request = assisted(backend, by=backend.administrator(), agent=AGENTS[0])
    with pytest.raises(AccessDenied, match="the person who named the agent") as denied:
        backend.privacy.grants.accept(
            by=backend.administrator(), assistance=request.id, to=AGENTS[0]
        )
    assert (denied.value.clause, denied.value.missing) == ("LG-22", "a second person")
    assert refused(backend, agent()) == "LG-22"


def test_a_closed_request_ends_its_grants(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    backend.privacy.grants.accept(by=backend.administrator(), assistance=request.id, to=AGENTS[0])
    backend.privacy.grants.close(by=backend.administrator(), assistance=request.id)
    assert refused(backend, agent()) == "LG-21"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"to": ("account", UUID(int=3))}, "not on the publisher's list"),
        ({"to": AGENTS[1]}, "the request names another agent"),
        ({"hours": 5}, "hours: between 1 and 4"),
        ({"categories": {"student.profile", "student.activity"}}, "no wider than the request"),
        ({"categories": set()}, "no wider than the request"),
    ],
)  # fmt: skip
def test_acceptance_is_no_wider_than_the_request(backend: Backend, changes: Any, says: str) -> None:
    request = assisted(backend, agent=AGENTS[0])
    asked = {"by": backend.administrator(), "assistance": request.id, "to": AGENTS[0], **changes}
    with pytest.raises(PrivacyError, match=says):
        backend.privacy.grants.accept(**asked)
    assert refused(backend, agent()) == "LG-22"


def test_a_narrow_request_is_not_widened_to_everybody(backend: Backend) -> None:
    mine = ("student", backend.students[backend.schools[0]][0])
    request = assisted(backend, agent=AGENTS[0], scope=GrantScope.of(subjects=[mine]))
    with pytest.raises(RequestInvalid, match="no wider"):
        backend.privacy.grants.accept(
            by=backend.administrator(), assistance=request.id, to=AGENTS[0], scope=EVERYBODY
        )
    backend.privacy.grants.accept(by=backend.administrator(), assistance=request.id, to=AGENTS[0])
    assert first_name(backend, agent(), number=0)
    assert refused(backend, agent(), number=1) == "LG-22"


def test_another_school_neither_accepts_nor_closes(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    for act in (
        lambda: backend.privacy.grants.accept(
            by=backend.administrator(1), assistance=request.id, to=AGENTS[0]
        ),
        lambda: backend.privacy.grants.close(by=backend.administrator(1), assistance=request.id),
        lambda: backend.privacy.grants.close(by=agent(), assistance=request.id),
    ):
        with pytest.raises(RequestNotFound):
            act()


@pytest.mark.parametrize(
    ("who", "says"),
    [
        (Actor(UUID(int=5), role="support", subjects=[("account", UUID(int=5))], strongly_authenticated=True), "on the publisher's list"),
        (agent(strong=False), "strong authentication"),
        (Actor(AGENTS[0][1], role="teacher", client=UUID(int=1), subjects=[AGENTS[0]], strongly_authenticated=True), "on the publisher's list"),
    ],
)  # fmt: skip
def test_only_a_listed_and_strongly_authenticated_agent_asks(
    backend: Backend, who: Actor, says: str
) -> None:
    request = assisted(backend)
    with pytest.raises(AccessDenied, match=says):
        backend.privacy.grants.ask(by=who, assistance=request.id)


def test_an_agent_who_left_the_list_is_out(tmp_path: Path, clock: Clock) -> None:
    first = make_backend(tmp_path / "b", privacy=LGPrivacy(utcnow=clock), LGPRIVACY_AGENTS=AGENTS)
    with first.app.app_context():
        request = assisted(first, agent=AGENTS[0])
        first.privacy.grants.accept(by=first.administrator(), assistance=request.id, to=AGENTS[0])
        assert first_name(first, agent())
        leave_no_agent(first)
        assert refused(first, agent()) == "LG-22"


def test_the_list_of_agents_is_short(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="more than 10 people"):
        make_backend(tmp_path / "b", LGPRIVACY_AGENTS=[("account", uuid4()) for _ in range(11)])
    with pytest.raises(ConfigurationError, match="list of .kind, id. pairs"):
        make_backend(tmp_path / "c", LGPRIVACY_AGENTS=["support"])


def test_every_use_is_in_the_trail_and_in_the_clients_list(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    grant = backend.privacy.grants.accept(
        by=backend.administrator(), assistance=request.id, to=AGENTS[0]
    )
    with captured_trail(backend.app) as trail:
        first_name(backend, agent())
    assert [event.grants for event in trail.events] == [(), (grant.id,)]
    uses = backend.privacy.grants.uses_of([grant])[grant.id]
    assert [(use.category, use.action, use.subjects, use.endpoint) for use in uses] == [
        ("student.profile", "read", 1, "test")
    ]


def test_a_use_that_cannot_be_recorded_is_not_released(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    backend.privacy.grants.accept(by=backend.administrator(), assistance=request.id, to=AGENTS[0])
    backend.runtime.database.tables.grant_use.drop(backend.runtime.database.engine)
    with pytest.raises(PrivacyError, match="uses of grants"):
        first_name(backend, agent())
