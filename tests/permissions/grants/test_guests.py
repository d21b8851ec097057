"""Guests see what the administrator of their client grants, and nothing else (LG-20)."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import uuid4

import pytest
from granting import PROFILE, Clock, agent, first_name, give, refused
from school import CANARY, Backend, Exercise, Student, db
from sqlalchemy import select, update

from flask_lgprivacy import Actor, GrantScope, find_by
from flask_lgprivacy.errors import AccessDenied, PrivacyError, RequestInvalid, RequestNotFound
from flask_lgprivacy.orm.bulk_read import iter_records
from flask_lgprivacy.testing import acting_as


def test_a_guest_without_a_grant_is_refused(backend: Backend) -> None:
    assert refused(backend, backend.guest()) == "LG-20"


def test_a_guest_sees_what_was_granted_until_it_expires(backend: Backend, clock: Clock) -> None:
    give(backend, clock)
    assert first_name(backend, backend.guest()) == f"{CANARY} A0"
    clock.passes(days=1)
    assert refused(backend, backend.guest()) == "LG-20"


def test_a_revoked_grant_opens_nothing_in_the_next_processing(
    backend: Backend, clock: Clock
) -> None:
    grant = give(backend, clock)
    assert first_name(backend, backend.guest())
    backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
    assert refused(backend, backend.guest()) == "LG-20"


def test_a_long_job_hears_of_a_revocation_within_a_second(backend: Backend, clock: Clock) -> None:
    grant = give(backend, clock)
    with backend.job("student.profile", actor=backend.guest()):
        assert db.session.get(Student, backend.students[backend.schools[0]][0]).first_name
        table = backend.runtime.database.tables.grant
        with backend.runtime.database.engine.begin() as elsewhere:
            elsewhere.execute(
                update(table).where(table.c.id == grant.id).values(revoked_at=clock.now)
            )
        clock.passes(seconds=1)
        with pytest.raises(AccessDenied):
            _ = db.session.get(Student, backend.students[backend.schools[0]][1]).first_name


def test_a_grant_for_one_student_opens_that_one_only(backend: Backend, clock: Clock) -> None:
    mine = backend.students[backend.schools[0]][0]
    give(backend, clock, GrantScope.of(subjects=[("student", mine)]))
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
    give(backend, clock, GrantScope.of(groups=[group]))
    assert first_name(backend, backend.guest(), number=0)
    assert refused(backend, backend.guest(), number=1) == "LG-20"
    with backend.writing():
        db.session.get(Student, mine).class_id = None
        db.session.commit()
    assert refused(backend, backend.guest(), number=0) == "LG-20"


def test_a_grant_does_not_reach_another_school_or_category(backend: Backend, clock: Clock) -> None:
    give(backend, clock)
    assert refused(backend, backend.guest(), school=1) in {"LG-03", "LG-20"}
    with (
        backend.job("student.activity", actor=backend.guest()),
        pytest.raises(AccessDenied) as denied,
    ):
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
    grant = give(backend, clock, GrantScope.of(subjects=[("student", mine)]))
    own = Student.school_id == backend.schools[0]
    with backend.job("student.profile", actor=backend.guest()):
        with pytest.raises(AccessDenied):
            list(iter_records(db.session(), Student, own, categories=PROFILE))
        with pytest.raises(AccessDenied):
            find_by(Student, last_name=f"{CANARY} Le GoffA")
    backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
    give(backend, clock)
    with backend.job("student.profile", actor=backend.guest()):
        assert len(list(iter_records(db.session(), Student, own, categories=PROFILE))) == 2
        assert len(db.session.scalars(find_by(Student, last_name=f"{CANARY} Le GoffA")).all()) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"categories": {"account.identity"}}, "categories: must be one or more of student.activity, student.profile"),
        ({"categories": set()}, "categories"),
        ({"to": ("account", uuid4())}, "no such account in this organisation"),
        ({"to": ("account", "no-uuid")}, "no such account in this organisation"),
        ({"to": ("robot", uuid4())}, "kind: one of"),
        ({"until": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, "until: after now"),
        ({"until": dt.datetime(2099, 1, 1, tzinfo=dt.UTC)}, "until: after now, and within 8784 hours"),
        ({"until": dt.datetime(2026, 11, 23)}, "until: a time with its zone"),
        ({"scope": GrantScope(subjects=frozenset({("student", uuid4().hex)}))}, "no such student in this organisation"),
        ({"purpose": "assistance"}, "purpose: one of provide-service"),
    ],
)  # fmt: skip
def test_a_guest_grant_is_refused_with_what_to_mend(
    backend: Backend, clock: Clock, changes: Any, says: str
) -> None:
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


@pytest.mark.parametrize(("name", "value"), [("hours", 1), ("case", "INC-7"), ("ground", "x")])
def test_a_limit_that_a_kind_of_grant_does_not_take_is_refused(
    backend: Backend, clock: Clock, name: str, value: Any
) -> None:
    asked = {
        "kind": "guest",
        "to": {"kind": "account", "id": str(backend.account)},
        "categories": ["student.profile"],
        "all": True,
        "until": (clock.now + dt.timedelta(days=1)).isoformat(),
        name: value,
    }
    with acting_as(backend.app, backend.administrator()):
        answer = backend.app.test_client().post("/privacy/grants", json=asked)
    assert (answer.status_code, answer.json["detail"].startswith(f"{name}: a guest grant")) == (
        422,
        True,
    )


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_moment_that_no_clock_has_is_refused(backend: Backend, clock: Clock, until: str) -> None:
    with pytest.raises(RequestInvalid, match="until: after now"):
        give(backend, clock, until=dt.datetime.fromisoformat(until))
