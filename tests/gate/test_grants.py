"""Grants: who gives them, what they open, how they end; each refusal with its clause (LG-20 to LG-23)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from school import CANARY, Backend, Exercise, School, Student, close, db, make_backend
from sqlalchemy import select, update

from flask_lgprivacy import Actor, LGPrivacy, Notice, Scope, find_by
from flask_lgprivacy.audit import read_trail
from flask_lgprivacy.errors import (
    AccessDenied,
    ConfigurationError,
    PrivacyError,
    RequestConflict,
    RequestInvalid,
    RequestNotFound,
)
from flask_lgprivacy.models import records
from flask_lgprivacy.policy import Action, Condition
from flask_lgprivacy.testing import captured_trail

AGENTS = [("account", uuid4()), ("account", uuid4())]
PROFILE = {"student.profile"}
EVERYBODY = Scope.of(everybody=True)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 22, 8, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def passes(self, **more: float) -> None:
        self.now += dt.timedelta(**more)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[Notice]:
    return []


@pytest.fixture
def backend(tmp_path: Path, clock: Clock, told: list[Notice]) -> Iterator[Backend]:
    made = make_backend(tmp_path / "b", privacy=LGPrivacy(utcnow=clock, notify=told.append), LGPRIVACY_AGENTS=AGENTS)
    with made.app.app_context():
        yield made
    close(made)


def agent(number: int = 0, *, strong: bool = True) -> Actor:
    return Actor(AGENTS[number][1], role="support", subjects=[AGENTS[number]], strongly_authenticated=strong)


def operator(*, strong: bool = True) -> Actor:
    return Actor("officer", role="operator", subjects=[("account", UUID(int=9))], strongly_authenticated=strong)


def first_name(backend: Backend, actor: Actor, school: int = 0, number: int = 0) -> str:
    """What an actor reads of a student, under the declaration for its role."""
    purpose = "assistance" if actor.role == "support" else "provide-service"
    with backend.job("student.profile", actor=actor, purpose=purpose):
        db.session.expire_all()
        name: str = db.session.get(Student, backend.students[backend.schools[school]][number]).first_name
    return name


def refused(backend: Backend, actor: Actor, school: int = 0, number: int = 0) -> str | None:
    with pytest.raises(AccessDenied) as denied:
        first_name(backend, actor, school, number)
    return denied.value.clause


def give(backend: Backend, clock: Clock, scope: Scope = EVERYBODY, **changes: Any) -> Any:
    asked: dict[str, Any] = {
        "by": backend.administrator(), "to": ("account", backend.account), "categories": PROFILE, "scope": scope,
        "until": clock.now + dt.timedelta(days=1), **changes,
    }  # fmt: skip
    return backend.privacy.grants.give("guest", **asked)


def assisted(backend: Backend, **changes: Any) -> Any:
    asked: dict[str, Any] = {"by": backend.teacher(), "categories": PROFILE, "scope": EVERYBODY, "hours": 4, **changes}
    return backend.privacy.grants.open_assistance(**asked)


# --- guests ---


def test_a_guest_without_a_grant_is_refused(backend: Backend) -> None:
    assert refused(backend, backend.guest()) == "LG-20"


def test_a_guest_sees_what_was_granted_until_it_expires(backend: Backend, clock: Clock) -> None:
    give(backend, clock)
    assert first_name(backend, backend.guest()) == f"{CANARY} A0"
    clock.passes(days=1)
    assert refused(backend, backend.guest()) == "LG-20"


def test_a_revoked_grant_opens_nothing_in_the_next_processing(backend: Backend, clock: Clock) -> None:
    grant = give(backend, clock)
    assert first_name(backend, backend.guest())
    backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
    assert refused(backend, backend.guest()) == "LG-20"


def test_a_long_job_hears_of_a_revocation_within_a_second(backend: Backend, clock: Clock) -> None:
    grant = give(backend, clock)
    with backend.job("student.profile", actor=backend.guest()):
        assert db.session.get(Student, backend.students[backend.schools[0]][0]).first_name
        table = backend.house.tables.grant
        with backend.house.engine.begin() as elsewhere:
            elsewhere.execute(update(table).where(table.c.id == grant.id).values(revoked_at=clock.now))
        clock.passes(seconds=1)
        with pytest.raises(AccessDenied):
            _ = db.session.get(Student, backend.students[backend.schools[0]][1]).first_name


def test_a_grant_for_one_student_opens_that_one_only(backend: Backend, clock: Clock) -> None:
    mine = backend.students[backend.schools[0]][0]
    give(backend, clock, Scope.of(subjects=[("student", mine)]))
    assert first_name(backend, backend.guest(), number=0)
    assert refused(backend, backend.guest(), number=1) == "LG-20"
    with backend.job("student.profile", actor=backend.guest()):
        assert db.session.get(Student, mine).first_name
        with pytest.raises(AccessDenied):
            _ = db.session.get(Student, backend.students[backend.schools[0]][1]).first_name


def test_a_grant_for_a_class_follows_who_is_in_it(backend: Backend, clock: Clock) -> None:
    group, mine = uuid4(), backend.students[backend.schools[0]][0]
    with backend.writing():
        db.session.get(Student, mine).class_id = group
        db.session.commit()
    give(backend, clock, Scope.of(groups=[group]))
    assert first_name(backend, backend.guest(), number=0)
    assert refused(backend, backend.guest(), number=1) == "LG-20"
    with backend.writing():
        db.session.get(Student, mine).class_id = None
        db.session.commit()
    assert refused(backend, backend.guest(), number=0) == "LG-20"


def test_a_grant_does_not_reach_another_school_or_category(backend: Backend, clock: Clock) -> None:
    give(backend, clock)
    assert refused(backend, backend.guest(), school=1) in {"LG-03", "LG-20"}
    with backend.job("student.activity", actor=backend.guest()), pytest.raises(AccessDenied) as denied:
        _ = db.session.scalars(select(Exercise)).first().strokes
    assert denied.value.clause == "LG-20"


def test_a_grant_is_no_grant_to_write(backend: Backend, clock: Clock) -> None:
    give(backend, clock)
    with pytest.raises(PrivacyError) as denied:
        backend.job("student.profile", actor=backend.guest(), actions={"read", "write"})
    assert denied.value.clause == "LG-06"


def test_somebody_elses_grant_is_no_ones(backend: Backend, clock: Clock) -> None:
    give(backend, clock)
    other = Actor(uuid4(), role="guest", client=backend.schools[0], subjects=[("account", uuid4())])
    assert refused(backend, other) == "LG-20"


def test_records_and_lookup_follow_the_grant(backend: Backend, clock: Clock) -> None:
    mine = backend.students[backend.schools[0]][0]
    grant = give(backend, clock, Scope.of(subjects=[("student", mine)]))
    own = Student.school_id == backend.schools[0]
    with backend.job("student.profile", actor=backend.guest()):
        with pytest.raises(AccessDenied):
            list(records(db.session(), Student, own, categories=PROFILE))
        with pytest.raises(AccessDenied):
            find_by(Student, last_name=f"{CANARY} Le GoffA")
    backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
    give(backend, clock)
    with backend.job("student.profile", actor=backend.guest()):
        assert len(list(records(db.session(), Student, own, categories=PROFILE))) == 2
        assert len(db.session.scalars(find_by(Student, last_name=f"{CANARY} Le GoffA")).all()) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"categories": {"account.identity"}}, "categories: some of student.activity, student.profile"),
        ({"categories": set()}, "categories"),
        ({"to": ("account", uuid4())}, "no such account in this organisation"),
        ({"to": ("account", "no-uuid")}, "no such account in this organisation"),
        ({"to": ("robot", uuid4())}, "kind: one of"),
        ({"until": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, "until: after now"),
        ({"until": dt.datetime(2099, 1, 1, tzinfo=dt.UTC)}, "until: after now, and within 8784 hours"),
        ({"until": dt.datetime(2026, 11, 23)}, "until: a time with its zone"),
        ({"scope": Scope(subjects=frozenset({("student", uuid4().hex)}))}, "no such student in this organisation"),
        ({"purpose": "assistance"}, "purpose: one of provide-service"),
    ],
)  # fmt: skip
def test_a_guest_grant_is_refused_with_what_to_mend(backend: Backend, clock: Clock, changes: Any, says: str) -> None:
    with pytest.raises(RequestInvalid, match=says):
        give(backend, clock, **changes)
    assert backend.privacy.grants.visible_to(backend.administrator()) == []


def test_only_the_administrator_of_the_client_gives(backend: Backend, clock: Clock) -> None:
    with pytest.raises(AccessDenied) as denied:
        give(backend, clock, by=backend.teacher())
    assert denied.value.clause == "LG-20"
    with pytest.raises(RequestInvalid, match="no such account in this organisation"):
        give(backend, clock, by=backend.administrator(1))


def test_only_the_client_revokes(backend: Backend, clock: Clock) -> None:
    grant = give(backend, clock)
    for stranger in (backend.administrator(1), backend.teacher(), agent()):
        with pytest.raises(RequestNotFound):
            backend.privacy.grants.revoke(by=stranger, grant=grant.id)
    assert first_name(backend, backend.guest())


# --- support ---


def test_an_open_request_alone_lets_nobody_in(backend: Backend) -> None:
    assert refused(backend, agent()) == "LG-21"
    assisted(backend)
    assert refused(backend, agent()) == "LG-22"


def test_an_agent_whom_a_colleague_named_is_let_in_for_hours(backend: Backend, clock: Clock) -> None:
    request = assisted(backend, agent=AGENTS[0])
    grant = backend.privacy.grants.accept(by=backend.administrator(), assistance=request.id, to=AGENTS[0])
    assert first_name(backend, agent()) == f"{CANARY} A0"
    assert refused(backend, agent(1)) == "LG-22"
    assert refused(backend, agent(strong=False)) == "LG-23"
    assert refused(backend, agent(), school=1) == "LG-21"
    clock.passes(hours=4)
    assert refused(backend, agent()) == "LG-22"
    assert grant.until is not None and (grant.until - dt.timedelta(hours=4)) == grant.given_at


def test_an_agent_asks_and_the_only_administrator_accepts(backend: Backend) -> None:
    request = assisted(backend, by=backend.administrator())
    asked = backend.privacy.grants.ask(by=agent(), assistance=request.id)
    assert refused(backend, agent()) == "LG-22"
    given = backend.privacy.grants.accept(by=backend.administrator(), assistance=request.id, to=AGENTS[0], hours=1)
    assert (given.id, given.asked_by) == (asked.id, agent().key)
    assert first_name(backend, agent())
    with pytest.raises(RequestConflict):
        backend.privacy.grants.ask(
            by=agent(), assistance=backend.privacy.grants.close(by=backend.teacher(), assistance=request.id).id
        )


def test_whoever_named_the_agent_does_not_let_the_agent_in(backend: Backend) -> None:
    request = assisted(backend, by=backend.administrator(), agent=AGENTS[0])
    with pytest.raises(AccessDenied, match="whoever named the agent") as denied:
        backend.privacy.grants.accept(by=backend.administrator(), assistance=request.id, to=AGENTS[0])
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
        ({"to": ("account", UUID(int=3))}, "nobody on the publisher's list"),
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
    request = assisted(backend, agent=AGENTS[0], scope=Scope.of(subjects=[mine]))
    with pytest.raises(RequestInvalid, match="no wider"):
        backend.privacy.grants.accept(by=backend.administrator(), assistance=request.id, to=AGENTS[0], scope=EVERYBODY)
    backend.privacy.grants.accept(by=backend.administrator(), assistance=request.id, to=AGENTS[0])
    assert first_name(backend, agent(), number=0)
    assert refused(backend, agent(), number=1) == "LG-22"


def test_another_school_neither_accepts_nor_closes(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    for act in (
        lambda: backend.privacy.grants.accept(by=backend.administrator(1), assistance=request.id, to=AGENTS[0]),
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
def test_only_a_listed_and_strongly_authenticated_agent_asks(backend: Backend, who: Actor, says: str) -> None:
    request = assisted(backend)
    with pytest.raises(AccessDenied, match=says):
        backend.privacy.grants.ask(by=who, assistance=request.id)


def test_an_agent_who_left_the_list_is_out(tmp_path: Path, clock: Clock) -> None:
    first = make_backend(tmp_path / "b", privacy=LGPrivacy(utcnow=clock), LGPRIVACY_AGENTS=AGENTS)
    with first.app.app_context():
        request = assisted(first, agent=AGENTS[0])
        first.privacy.grants.accept(by=first.administrator(), assistance=request.id, to=AGENTS[0])
        assert first_name(first, agent())
        first.house.agents = frozenset()
        assert refused(first, agent()) == "LG-22"


def test_the_list_of_agents_is_short(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="more than 10 people"):
        make_backend(tmp_path / "b", LGPRIVACY_AGENTS=[("account", uuid4()) for _ in range(11)])
    with pytest.raises(ConfigurationError, match="list of .kind, id. pairs"):
        make_backend(tmp_path / "c", LGPRIVACY_AGENTS=["support"])


def test_every_use_is_in_the_trail_and_in_the_clients_list(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    grant = backend.privacy.grants.accept(by=backend.administrator(), assistance=request.id, to=AGENTS[0])
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
    backend.house.tables.grant_use.drop(backend.house.engine)
    with pytest.raises(PrivacyError, match="uses of grants"):
        first_name(backend, agent())


# --- emergency ---


def emergency(backend: Backend, **changes: Any) -> Any:
    asked: dict[str, Any] = {
        "by": operator(), "client": backend.schools[0], "to": AGENTS[0], "ground": "fraud-and-security", "case": "INC-7",
        "categories": PROFILE, "scope": EVERYBODY, "hours": 2, **changes,
    }  # fmt: skip
    return backend.privacy.grants.declare_emergency(**asked)


def test_in_an_emergency_the_client_is_told_before_anything_opens(
    backend: Backend, told: list[Notice], clock: Clock
) -> None:
    grant = emergency(backend)
    assert [(notice.client, notice.grant, notice.case) for notice in told] == [
        (backend.schools[0].hex, grant.id, "INC-7")
    ]
    assert first_name(backend, agent())
    assert [one.ground for one in backend.privacy.grants.visible_to(backend.administrator())] == ["fraud-and-security"]
    clock.passes(hours=2)
    assert refused(backend, agent()) == "LG-21"


def test_a_client_ends_an_emergency(backend: Backend) -> None:
    grant = emergency(backend)
    backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
    assert refused(backend, agent()) == "LG-21"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"by": operator(strong=False)}, "strong authentication"),
        ({"by": agent()}, "declared by operator"),
        ({"ground": "curiosity"}, "ground: one of fraud-and-security"),
        ({"ground": "transfer-of-business"}, "ground: one of fraud-and-security"),
        ({"case": ""}, "case: a reference"),
        ({"case": "the case of Jane Doe"}, "case: a reference"),
        ({"to": ("account", UUID(int=9))}, "a colleague on the list"),
        ({"hours": 5}, "hours: between 1 and 4"),
        ({"categories": {"student.credentials"}}, "categories: some of"),
    ],
)  # fmt: skip
def test_an_emergency_is_refused_and_nobody_is_told(
    backend: Backend, told: list[Notice], changes: Any, says: str
) -> None:
    with pytest.raises(PrivacyError, match=says):
        emergency(backend, **changes)
    assert told == []
    assert refused(backend, agent()) == "LG-21"


def test_an_emergency_that_cannot_be_told_is_none(tmp_path: Path, clock: Clock) -> None:
    silent = make_backend(tmp_path / "b", privacy=LGPrivacy(utcnow=clock), LGPRIVACY_AGENTS=AGENTS)
    with silent.app.app_context(), pytest.raises(ConfigurationError, match="LGPrivacy.notify=…."):
        emergency(silent)


def test_a_notice_that_fails_opens_nothing(tmp_path: Path, clock: Clock) -> None:
    def fails(_: Notice) -> None:
        raise OSError("the mail server is away")

    made = make_backend(tmp_path / "b", privacy=LGPrivacy(utcnow=clock, notify=fails), LGPRIVACY_AGENTS=AGENTS)
    with made.app.app_context():
        with pytest.raises(OSError, match="away"):
            emergency(made)
        assert refused(made, agent()) == "LG-21"


# --- the trail, erasure, the whole table ---


def test_every_step_of_a_grant_is_in_the_trail(backend: Backend, clock: Clock) -> None:
    with captured_trail(backend.app) as trail:
        grant = give(backend, clock)
        backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
        request = assisted(backend)
        backend.privacy.grants.ask(by=agent(), assistance=request.id)
        backend.privacy.grants.accept(by=backend.administrator(), assistance=request.id, to=AGENTS[0])
        backend.privacy.grants.close(by=backend.teacher(), assistance=request.id)
        emergency(backend)
    steps = [(event.kind, event.step, event.clause) for event in trail.events]
    assert steps == [
        ("guest", "given", "LG-20"), ("guest", "revoked", "LG-20"), ("assistance", "opened", "LG-22"), ("support", "asked", "LG-22"),
        ("support", "given", "LG-22"), ("assistance", "closed", "LG-22"), ("emergency", "given", "LG-13"),
    ]  # fmt: skip
    assert str(backend.account) not in repr(trail.events) and backend.account.hex not in repr(trail.events)


def test_a_grant_goes_with_the_account_it_was_given_to(backend: Backend, clock: Clock) -> None:
    from flask_lgprivacy.policy import Right

    give(backend, clock)
    backend.privacy.rights.submit(Right.DELETE, backend.holder(), kind="account", one=str(backend.account))
    assert backend.privacy.grants.visible_to(backend.administrator()) == []


STATES = (
    "none",
    "asked",
    "in-force",
    "expired",
    "revoked",
    "closed",
    "other-client",
    "off-the-list",
    "other-category",
    "other-student",
)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("role", ["guest", "support", "emergency"])
@pytest.mark.parametrize("strong", [False, True])
def test_the_gate_decides_as_the_document_does_in_every_state_of_a_grant(
    backend: Backend, clock: Clock, role: str, state: str, strong: bool
) -> None:
    """The stored grant, through the gate, against the pure decision under the one fact that the state stands for."""
    actor = backend.guest() if role == "guest" else agent(strong=strong)
    _bring_about(backend, clock, role, state)
    facts = {Condition.STRONG_AUTHENTICATION} if role != "guest" and strong else set()
    condition = {"guest": Condition.GUEST_GRANT, "support": Condition.SUPPORT_GRANT, "emergency": Condition.EMERGENCY}[
        role
    ]
    if state == "in-force" or (state == "asked" and role != "support") or (state == "closed" and role != "support"):
        facts.add(condition)
    if role == "guest":
        facts.add(Condition.OWN_CLIENT)
        facts -= {condition} if state in {"off-the-list"} else set()
        facts |= {condition} if state == "off-the-list" else set()
    if role == "support" and state not in {"none", "closed", "other-client"}:
        facts.add(Condition.ASSISTANCE_REQUEST)
    purpose = "provide-service" if role == "guest" else "assistance"
    expected = backend.house.decisions.decide(actor.role, "student.profile", Action.READ, purpose, frozenset(facts))
    if expected.allowed:
        assert first_name(backend, actor)
    else:
        assert refused(backend, actor) == expected.clause


def _bring_about(backend: Backend, clock: Clock, role: str, state: str) -> None:
    """A grant in a state; where a kind has no such state, the nearest one that it has."""
    if state == "none":
        return
    other = ("student", backend.students[backend.schools[0]][1])
    scope = Scope.of(subjects=[other]) if state == "other-student" else EVERYBODY
    categories = {"student.activity"} if state == "other-category" else PROFILE
    school = 1 if state == "other-client" else 0
    grants = backend.privacy.grants
    if role == "guest":
        if state == "other-client":
            return
        grant = give(backend, clock, scope, categories=categories)
    elif role == "emergency":
        grant = emergency(backend, client=backend.schools[school], categories=categories, scope=scope)
    else:
        request = assisted(backend, by=backend.teacher(school), categories=categories, scope=scope)
        grant = grants.ask(by=agent(), assistance=request.id)
        if state != "asked":
            grant = grants.accept(by=backend.administrator(school), assistance=request.id, to=AGENTS[0])
        if state == "closed":
            grants.close(by=backend.administrator(), assistance=request.id)
    if state == "expired":
        clock.passes(days=2)
    if state == "revoked":
        grants.revoke(by=backend.administrator(), grant=grant.id)
    if state == "off-the-list":
        backend.house.agents = frozenset()


def test_a_direct_payer_is_who_the_host_says(backend: Backend) -> None:
    conditions = {Condition.OWN_CLIENT}
    assert db.session.get(School, backend.schools[0]) is not None
    backend.privacy.direct_payment(lambda client: client == backend.schools[0].hex)
    from flask_lgprivacy.gate.conditions import Conditions

    asks = frozenset({Condition.OWN_CLIENT, Condition.DIRECT_PAYMENT})
    for number, expected in ((0, conditions | {Condition.DIRECT_PAYMENT}), (1, conditions)):
        held = Conditions(backend.house, backend.administrator(number), db.session)
        assert held.of_client(asks, backend.schools[number].hex) == expected


def test_the_real_trail_shows_a_grants_uses(backend: Backend, clock: Clock) -> None:
    grant = give(backend, clock)
    first_name(backend, backend.guest())
    events = list(read_trail(backend.folder / "trail", where={"grant": grant.id}))
    assert [event["touched"][0]["category"] for event in events] == ["student.profile"]
