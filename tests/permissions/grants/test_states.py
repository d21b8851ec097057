"""Steps of a grant are in the trail; the gate decides as the document does in every state of a grant."""

from __future__ import annotations

import pytest
from granting import (
    AGENTS,
    EVERYBODY,
    PROFILE,
    Clock,
    agent,
    assisted,
    emergency,
    first_name,
    give,
    leave_no_agent,
    refused,
)
from school import Backend, School, db

from flask_lgprivacy import GrantScope
from flask_lgprivacy.audit import read_trail
from flask_lgprivacy.policy import Action, Condition
from flask_lgprivacy.testing import captured_trail


def test_every_step_of_a_grant_is_in_the_trail(backend: Backend, clock: Clock) -> None:
    with captured_trail(backend.app) as trail:
        grant = give(backend, clock)
        backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
        request = assisted(backend)
        backend.privacy.grants.ask(by=agent(), assistance=request.id)
        backend.privacy.grants.accept(
            by=backend.administrator(), assistance=request.id, to=AGENTS[0]
        )
        backend.privacy.grants.close(by=backend.teacher(), assistance=request.id)
        emergency(backend)
    steps = [(event.kind, event.step, event.clause) for event in trail.events]
    assert steps == [
        ("guest", "given", "LG-20"), ("guest", "revoked", "LG-20"), ("assistance", "opened", "LG-22"), ("support", "asked", "LG-22"),
        ("support", "given", "LG-22"), ("assistance", "closed", "LG-22"), ("emergency", "given", "LG-13"),
    ]  # fmt: skip
    assert str(backend.account) not in repr(trail.events) and backend.account.hex not in repr(
        trail.events
    )


def test_a_grant_of_an_erased_account_ends_without_its_name(backend: Backend, clock: Clock) -> None:
    from flask_lgprivacy.policy import Right

    give(backend, clock)
    done = backend.privacy.rights.submit(
        Right.DELETE, backend.holder(), kind="account", one=str(backend.account)
    )
    [grant] = backend.privacy.grants.visible_to(backend.administrator())
    assert (grant.to[1], grant.state(clock.now)) == ("erased", "revoked")
    assert done.outcome is not None
    assert "evidence of who had access" in done.outcome["kept"]["grants"]


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
    condition = {
        "guest": Condition.GUEST_GRANT,
        "support": Condition.SUPPORT_GRANT,
        "emergency": Condition.EMERGENCY,
    }[role]
    if (
        state == "in-force"
        or (state == "asked" and role != "support")
        or (state == "closed" and role != "support")
    ):
        facts.add(condition)
    if role == "guest":
        facts.add(Condition.OWN_CLIENT)
        facts -= {condition} if state in {"off-the-list"} else set()
        facts |= {condition} if state == "off-the-list" else set()
    if role == "support" and state not in {"none", "closed", "other-client"}:
        facts.add(Condition.ASSISTANCE_REQUEST)
    purpose = "provide-service" if role == "guest" else "assistance"
    expected = backend.runtime.engine.decide(
        actor.role, "student.profile", Action.READ, purpose, frozenset(facts)
    )
    if expected.allowed:
        assert first_name(backend, actor)
    else:
        assert refused(backend, actor) == expected.clause


def _bring_about(backend: Backend, clock: Clock, role: str, state: str) -> None:
    """A grant in a state; where a kind has no such state, the nearest one that it has."""
    if state == "none":
        return
    other = ("student", backend.students[backend.schools[0]][1])
    scope = GrantScope.of(subjects=[other]) if state == "other-student" else EVERYBODY
    categories = {"student.activity"} if state == "other-category" else PROFILE
    school = 1 if state == "other-client" else 0
    grants = backend.privacy.grants
    if role == "guest":
        if state == "other-client":
            return
        grant = give(backend, clock, scope, categories=categories)
    elif role == "emergency":
        grant = emergency(
            backend, client=backend.schools[school], categories=categories, scope=scope
        )
    else:
        request = assisted(backend, by=backend.teacher(school), categories=categories, scope=scope)
        grant = grants.ask(by=agent(), assistance=request.id)
        if state != "asked":
            grant = grants.accept(
                by=backend.administrator(school), assistance=request.id, to=AGENTS[0]
            )
        if state == "closed":
            grants.close(by=backend.administrator(), assistance=request.id)
    if state == "expired":
        clock.passes(days=2)
    if state == "revoked":
        grants.revoke(by=backend.administrator(), grant=grant.id)
    if state == "off-the-list":
        leave_no_agent(backend)


def test_a_direct_payer_is_who_the_host_says(backend: Backend) -> None:
    conditions = {Condition.OWN_CLIENT}
    assert db.session.get(School, backend.schools[0]) is not None
    backend.privacy.direct_payment(lambda client: client == backend.schools[0].hex)
    from flask_lgprivacy.gate.facts import FactResolver, Question

    asks = frozenset({Condition.OWN_CLIENT, Condition.DIRECT_PAYMENT})
    for number, expected in ((0, conditions | {Condition.DIRECT_PAYMENT}), (1, conditions)):
        client = backend.schools[number].hex
        resolver = FactResolver(backend.runtime.facts, backend.administrator(number), db.session)
        question = Question("student.profile", "provide-service", client, None)
        assert resolver.resolve(asks, question) == (expected, [])


def test_the_real_trail_shows_a_grants_uses(backend: Backend, clock: Clock) -> None:
    grant = give(backend, clock)
    first_name(backend, backend.guest())
    events = list(read_trail(backend.folder / "trail", where={"grant": grant.id}))
    assert [event["touched"][0]["category"] for event in events] == ["student.profile"]
