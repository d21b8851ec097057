"""Who writes about somebody who is erased at that moment is told so, and nothing is written."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from school import CANARY, Backend, Contact, Exercise, Student, db
from sqlalchemy import event, select

from flask_lgprivacy.errors import RequestConflict, SubjectErased
from flask_lgprivacy.policy import Right
from flask_lgprivacy.testing import acting_as, assert_refused


def erased(backend: Backend, kind: str, one: Any) -> Any:
    """The request of an erasure that another thread carried out."""
    said: list[Any] = []

    def erase() -> None:
        with backend.app.app_context():
            rights = backend.privacy.rights
            request = rights.submit(Right.DELETE, backend.administrator(), kind=kind, one=str(one))
            for _ in rights.work():
                pass
            said.append(rights.find(backend.administrator(), request.id))

    thread = threading.Thread(target=erase)
    thread.start()
    thread.join()
    return said[0]


def between(backend: Backend, kind: str, one: Any, said: list[Any]) -> Any:
    """A listener that erases somebody after the rows of a flush were sealed and before they are written."""

    def listener(*_: Any) -> None:
        if not said:
            said.append(None)
            said[0] = erased(backend, kind, one)

    return listener


@pytest.mark.parametrize("kind", ["student", "client"])
@pytest.mark.parametrize("adds", [True, False], ids=["a new row", "a change"])
def test_a_row_that_is_written_while_its_person_is_erased_is_refused(
    either: Backend, kind: str, adds: bool
) -> None:
    school, one = either.schools[0], either.students[either.schools[0]][0]
    said: list[Any] = []
    listener = between(either, kind, school if kind == "client" else one, said)

    @either.app.post("/write")
    @either.privacy.handles(
        "student.profile",
        "student.activity",
        roles={"teacher"},
        purpose="provide-service",
        actions={"read", "write"},
    )
    def write() -> str:
        if adds:
            db.session.add(Exercise(student_id=one, strokes=[["late"]]))
        else:
            db.session.get(Student, one).first_name = f"{CANARY} late"
        event.listen(db.session, "before_flush", listener)
        try:
            db.session.commit()
        finally:
            event.remove(db.session, "before_flush", listener)
        return "written"

    with acting_as(either.app, either.teacher()):
        answer = either.app.test_client().post("/write")
    assert answer.status_code in (409, 410)
    assert_refused(answer, code="subject-erased" if adds else answer.json["code"])
    assert (said[0].state, said[0].outcome["left"]) == ("completed", {})
    with either.app.app_context():
        assert db.session.scalars(select(Exercise.id).where(Exercise.student_id == one)).all() == []
        assert db.session.get(Student, one) is None


def test_a_new_pupil_of_a_school_that_is_erased_meanwhile_is_refused(either: Backend) -> None:
    school = either.schools[0]
    said: list[Any] = []
    listener = between(either, "client", school, said)
    if either.runtime.keys.shares_the_data:
        pytest.skip(
            "the school's key row is locked from the sealing on, so the erasure waits for the writer"
        )
    with (
        either.app.app_context(),
        either.job("student.profile", actor=either.teacher(), actions={"write"}),
    ):
        db.session.add(Student(school_id=school, first_name="A", last_name="B"))
        event.listen(db.session, "before_flush", listener)
        try:
            with pytest.raises(SubjectErased):
                db.session.commit()
        finally:
            event.remove(db.session, "before_flush", listener)
        db.session.rollback()
        assert db.session.scalars(select(Student.id).where(Student.school_id == school)).all() == []
    assert said[0].outcome["left"] == {}


def test_an_export_that_ends_after_the_erasure_leaves_no_archive(
    either: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flask_lgprivacy.rights import export

    one = either.students[either.schools[0]][0]
    build = export.build_archive  # type: ignore[attr-defined]

    def slowly(*given: Any, **named: Any) -> bytes:
        content = build(*given, **named)
        monkeypatch.setattr(export, "build_archive", build)
        assert erased(either, "student", one).state == "completed"
        return content

    monkeypatch.setattr(export, "build_archive", slowly)
    with either.app.app_context():
        with pytest.raises(SubjectErased):
            either.privacy.rights.submit(
                Right.EXPORT, either.administrator(), kind="student", one=str(one)
            )
        assert db.session.execute(select(either.runtime.database.tables.archive)).all() == []


def test_a_consent_is_not_recorded_of_somebody_who_was_erased(backend: Backend) -> None:
    with backend.app.app_context():
        with backend.job(
            "commercial.contact",
            actor=backend.holder(),
            actions={"write"},
            purpose="exercise-rights",
        ):
            db.session.add(Contact(id=backend.contact, email=f"{CANARY}@ecole.example"))
            db.session.commit()
        backend.privacy.rights.submit(
            Right.DELETE, backend.holder(), kind="contact", one=str(backend.contact)
        )
        with pytest.raises(SubjectErased):
            backend.privacy.consents.give(
                ("contact", backend.contact),
                purpose="product-updates",
                text_version="2026-11",
                collected_via="letter",
                actor=backend.holder(),
            )


def test_rectifications_at_once_end_or_are_a_conflict(backend: Backend) -> None:
    one, ended = backend.students[backend.schools[0]][0], []

    def rectify(number: int) -> None:
        for turn in range(5):
            with backend.app.app_context():
                try:
                    done = backend.privacy.rights.submit(
                        Right.RECTIFY,
                        backend.administrator(),
                        kind="student",
                        one=str(one),
                        changes={"first_name": f"{number}-{turn}"},
                    )
                    ended.append(done.state)
                except RequestConflict as conflict:
                    ended.append(conflict.code)

    threads = [threading.Thread(target=rectify, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 20
    assert set(ended) <= {"completed", "conflict"}
    assert ended.count("completed") >= 15
