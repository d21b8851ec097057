"""Who may open what: own client, self, nobody else; and the trail comes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from databases import uri
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from school import CANARY, STORES, Account, Backend, Exercise, Student, db
from sqlalchemy import String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_lgprivacy import Actor, LGPrivacy, sealed, subject
from flask_lgprivacy.audit import read_trail
from flask_lgprivacy.errors import (
    AccessDenied,
    PrivacyError,
    TrailUnavailable,
    UndeclaredProcessing,
)
from flask_lgprivacy.policy import Action, Condition, Right
from flask_lgprivacy.testing import acting_as, assert_refused, make_key_file


def one(backend: Backend, school: int = 0, number: int = 0) -> Any:
    return db.session.get(Student, backend.students[backend.schools[school]][number])


def test_a_teacher_of_another_school_is_denied_at_the_column(backend: Backend) -> None:
    with backend.app.app_context(), backend.reading(1), pytest.raises(AccessDenied) as denied:
        _ = one(backend).first_name
    assert (denied.value.clause, denied.value.missing) == ("LG-03", "own-client")


def test_an_actor_whose_client_is_only_nearly_spelled_opens_nothing(backend: Backend) -> None:
    school = backend.schools[0]
    for client in (
        school.hex.upper(),
        f" {school}",
        f"{school}\n",
        f"urn:uuid:{school}",
        str(school).encode(),
        int(school),
    ):
        actor = Actor("x", role="teacher", client=client)
        with (
            backend.app.app_context(),
            backend.job("student.profile", actor=actor),
            pytest.raises(AccessDenied),
        ):
            _ = one(backend).first_name


@pytest.mark.parametrize("swapped", [False, True])
def test_a_client_whose_text_spells_the_uuid_of_another_is_not_that_client(
    tmp_path: Path, swapped: bool
) -> None:
    class Own(DeclarativeBase):
        pass

    own: Any = SQLAlchemy(model_class=Own, engine_options={"hide_parameters": True})

    class Pupil(own.Model):
        __privacy__ = subject("student", client="school")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        school: Mapped[str] = mapped_column(String(36))
        first_name: Mapped[str] = sealed("student.profile")

    app = Flask("x", instance_path=str(tmp_path))
    app.config.update(SQLALCHEMY_DATABASE_URI=uri(tmp_path, "text"), LGPRIVACY_STORES=STORES)
    make_key_file(tmp_path / "lgprivacy.key")
    own.init_app(app)
    privacy = LGPrivacy(app)
    dashed = str(uuid4())
    school, other = (
        (dashed.replace("-", ""), dashed) if swapped else (dashed, dashed.replace("-", ""))
    )
    head, stranger = (Actor("h", role="administrator", client=text) for text in (school, other))

    def reading(actor: Actor) -> str:
        own.session.expire_all()
        with privacy.processing("student.profile", actor=actor, purpose="provide-service", job="x"):
            return str(own.session.scalars(select(Pupil)).one().first_name)

    with app.app_context():
        privacy.initialise()
        own.create_all()
        with privacy.processing(
            "student.profile", actor=head, purpose="provide-service", actions={"write"}, job="x"
        ):
            own.session.add(Pupil(school=school, first_name=CANARY))
            own.session.commit()
        one = own.session.scalars(select(Pupil.id)).one()
        for actor in (head, Actor("h", role="administrator", client=UUID(school))):
            assert reading(actor) == CANARY
        with pytest.raises(AccessDenied):
            reading(stranger)
        with privacy.processing(
            "student.profile", actor=stranger, purpose="provide-service", job="x"
        ) as processing:
            assert processing.acting_client() is None
        for kind, of in (("student", str(one)), ("client", other), ("client", school)):
            with pytest.raises(AccessDenied):
                privacy.rights.submit(Right.DELETE, stranger, kind=kind, one=of)
        with (
            pytest.raises(AccessDenied),
            privacy.processing(
                "student.profile",
                actor=stranger,
                purpose="provide-service",
                actions={"write"},
                job="x",
            ),
        ):
            own.session.add(Pupil(school=other, first_name=CANARY))
            own.session.flush()
        own.session.rollback()
        assert reading(head) == CANARY
        own.session.remove()
        own.engine.dispose()
    app.extensions["lgprivacy"].runtime.audit.trail.close()


def test_a_belonging_of_another_school_is_denied_too(backend: Backend) -> None:
    with backend.app.app_context(), backend.reading(1), pytest.raises(AccessDenied):
        _ = (
            db.session.scalars(select(Exercise).where(Exercise.student_id == one(backend).id))
            .one()
            .strokes
        )


def test_a_student_reads_only_itself(backend: Backend) -> None:
    me = backend.student_actor()
    with backend.app.app_context(), backend.job("student.profile", actor=me):
        assert one(backend).first_name == f"{CANARY} A0"
        with pytest.raises(AccessDenied):
            _ = one(backend, 0, 1).first_name


def test_a_student_after_itself_does_not_open_the_others(backend: Backend) -> None:
    me = backend.student_actor(0, 1)
    with backend.app.app_context(), backend.job("student.profile", actor=me):
        with pytest.raises(AccessDenied):
            _ = one(backend).first_name
        assert one(backend, 0, 1).first_name
        with pytest.raises(AccessDenied):
            _ = one(backend).first_name


def test_an_account_holder_reads_only_the_own_account(backend: Backend) -> None:
    with backend.app.app_context():
        with backend.job("account.identity", actor=backend.holder()):
            assert db.session.get(Account, backend.account).name == f"{CANARY} Perrin"
        with backend.job("account.identity", actor=backend.teacher()), pytest.raises(AccessDenied):
            _ = db.session.get(Account, backend.account).name


def test_a_tagged_column_asks_the_gate(backend: Backend) -> None:
    with backend.app.app_context():
        account = db.session.get(Account, backend.account)
        with pytest.raises(UndeclaredProcessing, match=r"Account\.phone was read outside"):
            _ = account.phone
        with backend.job("account.identity", actor=backend.holder()):
            assert account.phone == "0230000000"
        with (
            backend.job("account.credentials", actor=backend.holder()),
            pytest.raises(UndeclaredProcessing),
        ):
            _ = account.phone


def test_a_tagged_column_can_be_searched(backend: Backend) -> None:
    with backend.app.app_context():
        assert (
            db.session.scalars(select(Account.id).where(Account.phone == "0230000000")).one()
            == backend.account
        )


@pytest.mark.parametrize("detached", [False, True])
def test_a_sealed_column_is_shut_outside_any_processing(backend: Backend, detached: bool) -> None:
    with backend.app.app_context():
        student = one(backend)
        if detached:
            db.session.expunge(student)
        with pytest.raises(UndeclaredProcessing, match="outside any declared processing"):
            _ = student.first_name


def test_writing_needs_the_action_to_be_declared(backend: Backend) -> None:
    with backend.app.app_context(), backend.reading():
        one(backend).first_name = f"{CANARY} x"
        with pytest.raises(UndeclaredProcessing, match="does not declare the action 'write'"):
            db.session.commit()


def test_writing_for_another_school_is_denied(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing(1):
        db.session.add(Student(school_id=backend.schools[0], first_name=CANARY, last_name=CANARY))
        with pytest.raises(AccessDenied):
            db.session.commit()
        db.session.rollback()
        assert len(db.session.scalars(select(Student.id)).all()) == 4


def test_deleting_a_belonging_needs_the_action_to_be_declared(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        db.session.delete(
            db.session.scalars(select(Exercise).where(Exercise.student_id == one(backend).id)).one()
        )
        with pytest.raises(UndeclaredProcessing, match="'erase'"):
            db.session.commit()


def test_a_subject_is_not_deleted_around_its_rights(backend: Backend) -> None:
    actor = backend.administrator()
    with backend.app.app_context(), backend.job("student.activity", actor=actor, actions={"erase"}):
        db.session.delete(one(backend))
        with pytest.raises(PrivacyError, match="erased by a request"):
            db.session.commit()


def test_a_record_does_not_move_to_another_school(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        one(backend).school_id = backend.schools[1]
        with pytest.raises(PrivacyError, match="stays with its row, subject and client"):
            db.session.commit()


def test_a_refusal_that_the_view_swallows_is_in_the_trail(backend: Backend) -> None:
    @backend.app.get("/swallow")
    @backend.privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def swallow() -> str:
        try:
            return one(backend).first_name
        except PrivacyError:
            return "nothing"

    with acting_as(backend.app, backend.teacher(1)):
        assert backend.app.test_client().get("/swallow").text == "nothing"
    [event] = [
        event
        for event in read_trail(backend.folder / "trail")
        if event.get("endpoint") == "swallow"
    ]
    assert [(refused["code"], refused["clause"]) for refused in event["refused"]] == [
        ("access-denied", "LG-03")
    ]


def test_a_denial_says_clause_with_contact_but_no_name(backend: Backend) -> None:
    @backend.app.get("/other")
    @backend.privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def other() -> str:
        return one(backend).first_name

    with acting_as(backend.app, backend.teacher(1)):
        response = backend.app.test_client().get("/other")
    assert_refused(response, clause="LG-03")
    assert response.json["contact"]["email"] == "legal@learn-and-go.com"
    assert response.mimetype == "application/problem+json"
    assert CANARY not in response.text


def test_a_browser_gets_a_page(backend: Backend) -> None:
    @backend.app.get("/other")
    @backend.privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def other() -> str:
        return one(backend).first_name

    with acting_as(backend.app, backend.teacher(1)):
        response = backend.app.test_client().get(
            "/other", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        )
    assert (response.status_code, response.mimetype) == (403, "text/html")
    assert "LG-03" in response.text
    assert "legal@learn-and-go.com" in response.text


# --- the trail comes first ---


@pytest.fixture
def unwritable(backend: Backend) -> Backend:
    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def view() -> Any:
        return one(backend).first_name

    @backend.app.get("/bare")
    def bare() -> str:
        return "never"

    trail: Path = backend.folder / "trail"
    trail.chmod(0o500)
    return backend


@pytest.mark.parametrize(("path", "school"), [("/names", 0), ("/names", 1), ("/bare", 0)])
def test_without_a_trail_nothing_is_answered_not_even_a_denial(
    unwritable: Backend, path: str, school: int
) -> None:
    with acting_as(unwritable.app, unwritable.teacher(school)):
        response = unwritable.app.test_client().get(path)
    (unwritable.folder / "trail").chmod(0o700)
    assert response.status_code == 503
    assert response.json["code"] == "trail-unavailable"
    assert CANARY not in response.text


def test_when_the_trail_is_back_answers_are_back(unwritable: Backend) -> None:
    with acting_as(unwritable.app, unwritable.teacher()):
        assert unwritable.app.test_client().get("/names").status_code == 503
        (unwritable.folder / "trail").chmod(0o700)
        assert unwritable.app.test_client().get("/names").status_code == 200


def test_a_job_does_not_begin_without_a_trail(unwritable: Backend) -> None:
    with unwritable.app.app_context(), pytest.raises(TrailUnavailable), unwritable.reading():
        pytest.fail("the job began")
    (unwritable.folder / "trail").chmod(0o700)


def test_a_job_is_recorded_before_and_after(backend: Backend) -> None:
    with backend.app.app_context(), backend.reading():
        assert one(backend).first_name
    stages = [
        (event["stage"], len(event["touched"]))
        for event in read_trail(backend.folder / "trail", where={"endpoint": "test"})
    ]
    assert stages[-2:] == [("intent", 0), ("outcome", 1)]


def test_the_trail_names_nobody(backend: Backend) -> None:
    with backend.app.app_context(), backend.reading():
        assert one(backend).first_name
        raw = b"".join(path.read_bytes() for path in (backend.folder / "trail").iterdir())
        assert one(backend).id.hex.encode() not in raw
        assert str(one(backend).id).encode() not in raw
        assert b"teacher-0" not in raw


# --- the law: opened is a subset of what was declared and what is permitted ---


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_only_what_is_declared_and_permitted_opens(backend: Backend, data: st.DataObject) -> None:
    policy = backend.runtime.policy
    role = data.draw(st.sampled_from(sorted(policy.roles)))
    purpose = data.draw(st.sampled_from(sorted(policy.purposes)))
    categories = data.draw(
        st.frozensets(st.sampled_from(["student.profile", "student.activity", "account.identity"]))
    )
    school = data.draw(st.integers(0, 1))
    me = data.draw(st.booleans())
    target = backend.students[backend.schools[0]][0]
    actor = Actor(
        "x", role=role, client=backend.schools[school], subjects=[("student", target)] if me else []
    )
    facts = frozenset(
        ([Condition.OWN_CLIENT] if school == 0 else []) + ([Condition.SELF] if me else [])
    )
    from flask_lgprivacy.gate.declaration import Declaration
    from flask_lgprivacy.gate.job import Job

    declaration = Declaration(categories, frozenset({role}), purpose, frozenset({Action.READ}))
    permitted = backend.runtime.engine.decide(
        role, "student.profile", Action.READ, purpose, facts
    ).allowed
    opened = True
    with backend.app.app_context(), Job(backend.runtime, declaration, actor, "law"):
        db.session.expunge_all()
        try:
            assert db.session.get(Student, target).first_name
        except PrivacyError:
            opened = False
    assert opened == ("student.profile" in categories and permitted)


def test_a_role_that_the_endpoint_does_not_name_is_told_which_it_names(backend: Backend) -> None:
    @backend.app.get("/names")
    @backend.privacy.handles("account.identity", roles={"teacher"}, purpose="provide-service")
    def names() -> str:
        return "ok"

    parent = Actor(
        backend.account,
        role="parent",
        client=backend.schools[0],
        subjects=[("account", backend.account)],
    )
    with acting_as(backend.app, parent):
        answer = backend.app.test_client().get("/names")
    assert_refused(answer, code="access-denied")
    assert (
        answer.json["missing"],
        "not for role 'parent', but for teacher" in answer.json["detail"],
    ) == (
        "role teacher",
        True,
    )
