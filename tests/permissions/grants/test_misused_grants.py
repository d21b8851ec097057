"""Ways into data past a grant that were found by trying; each is closed."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any
from uuid import uuid4

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
    refused,
)
from school import CANARY, Backend, Student, db

from flask_lgprivacy import Actor, EmergencyNotice, GrantScope, find_by
from flask_lgprivacy.errors import (
    AccessDenied,
    PrivacyError,
    RequestConflict,
    RequestInvalid,
    RequestNotFound,
)
from flask_lgprivacy.orm.bulk_read import iter_records
from flask_lgprivacy.policy import Condition
from flask_lgprivacy.testing import acting_as, captured_trail


def test_a_time_in_another_zone_ends_when_it_says(backend: Backend, clock: Clock) -> None:
    until = (clock.now + dt.timedelta(hours=1)).astimezone(dt.timezone(dt.timedelta(hours=14)))
    grant = give(backend, clock, until=until)
    assert grant.until == until
    assert first_name(backend, backend.guest())
    clock.passes(hours=1)
    assert refused(backend, backend.guest()) == "LG-20"


def test_one_person_in_two_roles_is_still_one_person(backend: Backend) -> None:
    person: dict[str, Any] = {
        "client": backend.schools[0],
        "subjects": [("account", backend.account)],
    }
    teacher, administrator = (
        Actor("7", role=role, **person) for role in ("teacher", "administrator")
    )
    request = assisted(backend, by=teacher, agent=AGENTS[0])
    with pytest.raises(AccessDenied, match="the person who named the agent"):
        backend.privacy.grants.accept(by=administrator, assistance=request.id, to=AGENTS[0])
    assert refused(backend, agent()) == "LG-22"


def test_an_agent_does_not_let_itself_in(backend: Backend) -> None:
    request = assisted(backend)
    backend.privacy.grants.ask(by=agent(), assistance=request.id)
    both = Actor("admin", role="administrator", client=backend.schools[0], subjects=[AGENTS[0]])
    with pytest.raises(AccessDenied):
        backend.privacy.grants.accept(by=both, assistance=request.id, to=AGENTS[0])


def test_a_grant_that_ended_is_not_given_again(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    asked = {"by": backend.administrator(), "assistance": request.id, "to": AGENTS[0]}
    grant = backend.privacy.grants.accept(**asked)
    with pytest.raises(RequestConflict, match="list of grants"):
        backend.privacy.grants.accept(**asked)
    with pytest.raises(RequestConflict, match="list of grants"):
        backend.privacy.grants.ask(by=agent(), assistance=request.id)
    backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
    assert refused(backend, agent()) == "LG-22"


def test_a_grant_that_expired_can_be_given_again(backend: Backend, clock: Clock) -> None:
    request = assisted(backend, agent=AGENTS[0])
    asked = {"by": backend.administrator(), "assistance": request.id, "to": AGENTS[0]}
    backend.privacy.grants.accept(**asked)
    clock.passes(hours=4)
    backend.privacy.grants.accept(**asked)
    assert first_name(backend, agent())


def test_two_administrators_at_once_give_one_grant(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    outcomes: list[str] = []

    def work() -> None:
        with backend.app.app_context():
            try:
                backend.privacy.grants.accept(
                    by=backend.administrator(), assistance=request.id, to=AGENTS[0]
                )
                outcomes.append("given")
            except RequestConflict:
                outcomes.append("conflict")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "conflict", "conflict", "given"]


def test_a_search_under_a_grant_is_a_use_that_the_client_sees(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    grant = backend.privacy.grants.accept(
        by=backend.administrator(), assistance=request.id, to=AGENTS[0]
    )
    with (
        captured_trail(backend.app) as trail,
        backend.job("student.profile", actor=agent(), purpose="assistance"),
    ):
        find_by(Student, of_client=backend.schools[0], last_name=f"{CANARY} nobody")
    assert trail.events[-1].grants == (grant.id,)
    assert [use.action for use in backend.privacy.grants.uses_of([grant])[grant.id]] == ["search"]


def test_what_is_closed_is_shown_as_closed(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    grant = backend.privacy.grants.accept(
        by=backend.administrator(), assistance=request.id, to=AGENTS[0]
    )
    backend.privacy.grants.close(by=backend.teacher(), assistance=request.id)
    assert [
        one.state(backend.runtime.utcnow())
        for one in backend.privacy.grants.visible_to(backend.administrator())
    ] == ["closed"]
    assisted(backend)
    asked = [
        "--actor-role",
        "support",
        "--category",
        "student.profile",
        "--purpose",
        "assistance",
        "--fact",
        "strong-authentication",
    ]
    more = ["--client", str(backend.schools[0]), "--grant", grant.id]
    said = backend.app.test_cli_runner().invoke(args=["privacy", "explain", *asked, *more]).output
    assert said.startswith("no-rule [LG-22]")
    assert "it is closed" in said


def test_staff_without_strong_authentication_sees_no_list(backend: Backend) -> None:
    assisted(backend)
    with acting_as(backend.app, agent(strong=False)):
        client = backend.app.test_client()
        for path in ("/privacy/grants", "/privacy/assistance"):
            assert (client.get(path).status_code, client.get(path).json["clause"]) == (403, "LG-23")


def test_a_form_of_another_site_does_not_ask(backend: Backend) -> None:
    request = assisted(backend)
    with acting_as(backend.app, agent()):
        client = backend.app.test_client()
        foreign = client.post(f"/privacy/assistance/{request.id}/ask", data={"a": "b"})
        assert foreign.status_code == 422
        assert client.post(f"/privacy/assistance/{request.id}/ask", json={}).status_code == 201


@pytest.mark.parametrize("group", ["6eA", "\ud800", "9" * 40])
def test_a_group_that_is_none_spoils_no_grant(backend: Backend, clock: Clock, group: str) -> None:
    with pytest.raises(RequestInvalid, match="groups: "):
        give(backend, clock, GrantScope(groups=frozenset({uuid4().hex, group})))


def test_an_id_is_kept_as_the_data_has_it(backend: Backend, clock: Clock) -> None:
    give(backend, clock, to=("account", f"urn:uuid:{backend.account}"))
    assert first_name(backend, backend.guest())


@pytest.mark.parametrize("client", [uuid4(), "abc", "\ud800", "9" * 40])
def test_an_emergency_of_nobody_is_refused_before_anybody_is_told(
    backend: Backend, told: list[EmergencyNotice], client: Any
) -> None:
    with pytest.raises(RequestInvalid, match="client: there is no such client"):
        emergency(backend, client=client)
    assert told == []


def test_a_case_is_one_line(backend: Backend, told: list[EmergencyNotice]) -> None:
    with pytest.raises(RequestInvalid, match="case: a reference"):
        emergency(backend, case="C-1\n")
    assert told == []


def test_who_declared_an_emergency_may_end_it(backend: Backend) -> None:
    from granting import operator

    grant = emergency(backend)
    assert [one.id for one in backend.privacy.grants.visible_to(operator())] == [grant.id]
    backend.privacy.grants.revoke(by=operator(), grant=grant.id)
    assert refused(backend, agent()) == "LG-21"


def test_an_attempt_on_another_clients_request_is_in_the_trail(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0])
    sent = {
        "kind": "support",
        "assistance": request.id,
        "to": {"kind": "account", "id": str(AGENTS[0][1])},
    }
    with captured_trail(backend.app) as trail, acting_as(backend.app, backend.administrator(1)):
        assert backend.app.test_client().post("/privacy/grants", json=sent).status_code == 404
    assert [one.code for one in trail.events[-1].refused] == ["not-found"]


@pytest.mark.parametrize(
    "sent",
    [
        {"kind": "support", "assistance": "\ud800", "to": {"kind": "account", "id": "x"}},
        {
            "kind": "guest",
            "to": {"kind": "account", "id": "\x00"},
            "categories": ["student.profile"],
            "all": True,
            "until": "2026-11-23T00:00:00Z",
        },
        {"kind": "emergency", "client": "\ud800", "to": {"kind": "account", "id": "x"}},
    ],
)
def test_what_is_no_text_is_422(backend: Backend, sent: Any) -> None:
    with acting_as(backend.app, backend.administrator()):
        answer = backend.app.test_client().post("/privacy/grants", json=sent)
    assert (answer.status_code, "no text" in answer.json["detail"]) == (422, True)


def test_a_stream_under_a_grant_is_recorded_without_a_stall(backend: Backend) -> None:
    from flask import stream_with_context

    request = assisted(backend, agent=AGENTS[0])
    grant = backend.privacy.grants.accept(
        by=backend.administrator(), assistance=request.id, to=AGENTS[0]
    )

    @backend.app.get("/stream")
    @backend.privacy.handles("student.profile", roles={"support"}, purpose="assistance")
    def stream() -> Any:
        @stream_with_context
        def rows() -> Any:
            yield "begin "
            own = Student.school_id == backend.schools[0]
            for row in iter_records(db.session(), Student, own, categories=PROFILE):
                yield row["first_name"]

        return rows()  # type: ignore[call-arg]

    with acting_as(backend.app, agent()):
        assert backend.app.test_client().get("/stream").text.count(CANARY) == 2
    [use] = backend.privacy.grants.uses_of([grant])[grant.id]
    assert (use.endpoint, use.subjects) == ("stream", 2)


def test_a_narrowed_scope_names_only_the_clients_own(backend: Backend) -> None:
    request = assisted(backend, agent=AGENTS[0], scope=EVERYBODY)
    other = GrantScope.of(subjects=[("student", backend.students[backend.schools[1]][0])])
    with pytest.raises(RequestInvalid, match="no such student in this organisation"):
        backend.privacy.grants.accept(
            by=backend.administrator(), assistance=request.id, to=AGENTS[0], scope=other
        )
    with pytest.raises(PrivacyError) as missed:
        backend.privacy.grants.accept(
            by=backend.administrator(1), assistance=request.id, to=AGENTS[0]
        )
    assert isinstance(missed.value, RequestNotFound)


def test_an_agent_asks_again_after_its_time(backend: Backend, clock: Clock) -> None:
    request = assisted(backend)
    for _ in range(2):
        backend.privacy.grants.ask(by=agent(), assistance=request.id)
        with pytest.raises(RequestConflict):
            backend.privacy.grants.ask(by=agent(), assistance=request.id)
        backend.privacy.grants.accept(
            by=backend.administrator(), assistance=request.id, to=AGENTS[0]
        )
        assert first_name(backend, agent())
        clock.passes(hours=4)
        assert refused(backend, agent()) == "LG-22"


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_revocation_is_seen_by_a_reader_whose_cursor_is_older(
    backend: Backend, clock: Clock, journal: str
) -> None:
    """An open cursor keeps a snapshot, or keeps everybody from writing; the grants are looked up beside it."""
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    from flask_lgprivacy.gate.facts import FactResolver, Question

    with backend.app.app_context():
        for engine in db.engines.values():
            if engine.dialect.name == "sqlite":
                with engine.connect() as connection:
                    connection.exec_driver_sql(f"PRAGMA journal_mode={journal}")
        give(backend, clock)
        session = Session(db.engine)
        reading = session.connection().execute(select(Student.id).execution_options(yield_per=1))
        assert reading.fetchone() is not None
        resolver = FactResolver(backend.runtime.facts, backend.guest(), lambda: session)
        asked = frozenset({Condition.GUEST_GRANT})
        question = Question(
            "student.profile",
            "provide-service",
            backend.schools[0].hex,
            ("student", backend.students[backend.schools[0]][0].hex),
        )
        assert resolver.resolve(asked, question)[0] == asked
        [grant] = backend.privacy.grants.visible_to(backend.administrator())
        backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
        clock.passes(seconds=2)
        assert resolver.resolve(asked, question) == (set(), [])
        reading.close()
        session.close()


def test_the_account_that_named_an_agent_does_not_let_the_agent_in_under_another_key(
    backend: Backend, clock: Clock
) -> None:
    me = [("account", backend.account)]
    opener = Actor("teacher-7", role="teacher", client=backend.schools[0], subjects=me)
    giver = Actor("administrator-7", role="administrator", client=backend.schools[0], subjects=me)
    asked = backend.privacy.grants.open_assistance(
        by=opener,
        categories={"student.profile"},
        scope=GrantScope.of(everybody=True),
        hours=1,
        agent=AGENTS[0],
    )
    with pytest.raises(PrivacyError, match="the person who named the agent"):
        backend.privacy.grants.accept(by=giver, assistance=asked.id, to=AGENTS[0])


def test_whoever_was_let_in_does_not_end_the_grant(backend: Backend, clock: Clock) -> None:
    give(backend, clock)
    [grant] = backend.privacy.grants.visible_to(backend.guest())
    with pytest.raises(PrivacyError, match="no such grant"):
        backend.privacy.grants.revoke(by=backend.guest(), grant=grant.id)
