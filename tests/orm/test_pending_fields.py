"""What is written stays, what is rolled back goes, and what was made in a transaction that failed is used by nobody."""

from __future__ import annotations

import math
import pickle
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from school import CANARY, Account, Backend, Exercise, School, Student, db, make_backend
from sqlalchemy import select

from flask_lgprivacy.errors import (
    AccessDenied,
    PrivacyError,
    RequestInvalid,
    SealBroken,
    SubjectErased,
    UndeclaredProcessing,
)


def first(backend: Backend, school: int = 0) -> Any:
    return db.session.get(Student, backend.students[backend.schools[school]][0])


def new_school(backend: Backend) -> UUID:
    school = School()
    db.session.add(school)
    db.session.commit()
    backend.schools.append(school.id)
    return school.id


def student_of(school: UUID, **fields: Any) -> Student:
    return Student(
        **{"id": uuid4(), "school_id": school, "first_name": CANARY, "last_name": CANARY, **fields}
    )


def reopened(backend: Backend, number: int, one: UUID) -> str:
    backend.runtime.keys.forget_all()
    db.session.expunge_all()
    with backend.reading(number):
        name: str = db.session.get(Student, one).first_name
        return name


def test_a_write_after_a_rollback_is_written(either: Backend) -> None:
    with either.app.app_context(), either.writing():
        student = first(either)
        student.first_name = f"{CANARY} taken back"
        db.session.rollback()
        assert student.first_name == f"{CANARY} A0"
        student.first_name = f"{CANARY} kept"
        db.session.commit()
        assert reopened(either, 0, first(either).id) == f"{CANARY} kept"


def test_a_write_that_was_rolled_back_does_not_come_back(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        exercise = db.session.scalars(
            select(Exercise).where(Exercise.student_id == first(backend).id)
        ).one()
        exercise.strokes = ["taken back"]
        db.session.rollback()
        exercise.made_at = datetime(2026, 11, 22)
        db.session.commit()
        db.session.expire_all()
        assert exercise.strokes == [[f"{CANARY}-stroke", 1, 2.5]]


def test_a_write_after_a_refresh_is_written(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = first(backend)
        student.first_name = f"{CANARY} dropped"
        db.session.refresh(student)
        student.first_name = f"{CANARY} kept"
        db.session.commit()
        assert reopened(backend, 0, student.id) == f"{CANARY} kept"


def test_two_writes_in_one_transaction_are_both_written(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = first(backend)
        student.first_name = f"{CANARY} one"
        db.session.flush()
        student.last_name = f"{CANARY} two"
        student.picture = b"new"
        db.session.commit()
        db.session.expunge_all()
        again = first(backend)
        assert (again.first_name, again.last_name, again.picture) == (
            f"{CANARY} one",
            f"{CANARY} two",
            b"new",
        )


def test_a_new_row_that_was_rolled_back_between_flushes_can_be_added_again(
    backend: Backend,
) -> None:
    with backend.app.app_context(), backend.writing():
        student = student_of(backend.schools[0])
        db.session.add(student)
        db.session.flush()
        student.first_name = f"{CANARY} changed"
        db.session.flush()
        db.session.rollback()
        db.session.add(student)
        db.session.commit()
        assert reopened(backend, 0, student.id) == f"{CANARY} changed"


def test_after_a_failed_first_write_of_a_school_the_next_one_opens(either: Backend) -> None:
    with either.app.app_context():
        school = new_school(either)
        gone = either.students[either.schools[0]][1]
        either.runtime.keys.destroy(db.session(), "student", gone.hex)
        db.session.commit()
        with either.writing(2):
            db.session.add_all([student_of(school), student_of(school, id=gone)])
            with pytest.raises(SubjectErased):
                db.session.commit()
            db.session.rollback()
            student = student_of(school)
            db.session.add(student)
            db.session.commit()
        assert reopened(either, 2, student.id) == CANARY


def test_after_a_savepoint_that_was_rolled_back_the_next_write_opens(either: Backend) -> None:
    with either.app.app_context():
        school = new_school(either)
        with either.writing(2):
            savepoint = db.session.begin_nested()
            db.session.add(student_of(school))
            db.session.flush()
            savepoint.rollback()
            student = student_of(school)
            db.session.add(student)
            db.session.commit()
        assert reopened(either, 2, student.id) == CANARY


def test_after_a_savepoint_and_a_rollback_the_next_transaction_opens(either: Backend) -> None:
    with either.app.app_context():
        school = new_school(either)
        with either.writing(2):
            one = student_of(school)
            db.session.add(one)
            db.session.flush()
            with db.session.begin_nested():
                pass
            db.session.expire(one)
            assert one.first_name == CANARY
            db.session.rollback()
            two = student_of(school)
            db.session.add(two)
            db.session.commit()
        assert reopened(either, 2, two.id) == CANARY


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("birth_date", datetime(2017, 3, 9)),
        ("pressure", math.inf),
        ("pressure", math.nan),
        ("height", True),
        ("left_handed", 1),
    ],
)
def test_a_value_that_would_come_back_as_another_is_refused(
    backend: Backend, field: str, value: Any
) -> None:
    with pytest.raises(TypeError, match=rf"Student\.{field} takes"):
        Student(**{field: value})


def test_a_number_that_json_cannot_hold_is_refused_at_the_assignment(backend: Backend) -> None:
    with pytest.raises(TypeError, match=r"Student\.height: takes whole numbers of 64 bits"):
        Student(height=10**30)


def test_a_text_that_json_cannot_hold_is_refused(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        first(backend).first_name = "\ud800"
        with pytest.raises(RequestInvalid, match="cannot be sealed as JSON"):
            db.session.commit()


# --- rows that must not move, and ids that must not be taken ---


def test_a_belonging_does_not_move_to_another_student_by_its_relationship(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        exercise = db.session.scalars(
            select(Exercise).where(Exercise.student_id == first(backend).id)
        ).one()
        exercise.student = first(backend, 1)
        with pytest.raises(PrivacyError, match="stays with its row, subject and client"):
            db.session.commit()


def test_an_expired_row_does_not_move_either(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = first(backend)
        db.session.expire(student)
        student.school_id = backend.schools[1]
        with pytest.raises(PrivacyError, match="stays with its row, subject and client"):
            db.session.commit()


def test_a_tagged_column_is_not_read_by_moving_its_row(backend: Backend) -> None:
    with backend.app.app_context(), backend.job("account.identity", actor=backend.administrator(1)):
        account = db.session.get(Account, backend.account)
        with db.session.no_autoflush:
            account.school_id = backend.schools[1]
            with pytest.raises((AccessDenied, SealBroken)):
                _ = account.phone


def test_an_identifier_of_another_school_is_not_taken(backend: Backend) -> None:
    with backend.app.app_context():
        one = uuid4()
        with backend.writing(0):
            db.session.add(student_of(backend.schools[0], id=one))
            db.session.flush()
            db.session.rollback()
            db.session.expunge_all()
            db.session.add(student_of(backend.schools[1], id=one))
            with pytest.raises(AccessDenied):
                db.session.commit()
            db.session.rollback()
        with backend.writing(1):
            db.session.add(student_of(backend.schools[1], id=one))
            with pytest.raises(RequestInvalid, match="used for another client"):
                db.session.commit()


def test_a_refused_write_leaves_no_key_behind(backend: Backend) -> None:
    with backend.app.app_context():
        one = uuid4()
        with backend.writing(0):
            db.session.add(student_of(backend.schools[1], id=one))
            with pytest.raises(AccessDenied):
                db.session.commit()
            db.session.rollback()
            db.session.expunge_all()
            db.session.add(student_of(backend.schools[0], id=one))
            db.session.commit()
        assert reopened(backend, 0, one) == CANARY


def test_a_belonging_of_nobody_is_told_so(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        db.session.add(Exercise(student_id=uuid4(), strokes=[]))
        with pytest.raises(RequestInvalid, match=r"Exercise\.student_id: leads to no student"):
            db.session.commit()


def test_a_labelled_row_cannot_be_pickled_even_unopened(backend: Backend) -> None:
    with backend.app.app_context(), pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(db.session.get(Account, backend.account))


# --- what ended is shut ---


def test_records_read_on_after_their_job_ended_are_shut(backend: Backend) -> None:
    with backend.app.app_context():
        with backend.reading():
            rows = backend.privacy.records(
                Exercise, Exercise.student_id.in_(backend.students[backend.schools[0]])
            )
            assert next(rows)
        with pytest.raises(UndeclaredProcessing):
            next(rows)


def test_a_copied_context_is_shut_when_its_job_ended(backend: Backend) -> None:
    from contextvars import copy_context

    with backend.app.app_context():
        with backend.reading():
            student = first(backend)
            assert student.first_name
            kept = copy_context()
        with pytest.raises(UndeclaredProcessing):
            kept.run(lambda: student.first_name)


def test_names_of_another_school_are_not_searched(backend: Backend) -> None:
    from flask_lgprivacy import find_by

    with backend.app.app_context(), backend.reading(0), pytest.raises(AccessDenied) as denied:
        find_by(Student, of_client=backend.schools[1], last_name=CANARY)
    assert denied.value.clause == "LG-03"


def test_a_column_that_is_not_personal_is_written_without_a_declaration(backend: Backend) -> None:
    with backend.app.app_context():
        exercise = db.session.scalars(select(Exercise)).first()
        exercise.made_at = datetime(2026, 11, 22)
        db.session.commit()
        assert exercise.made_at == datetime(2026, 11, 22)


def test_a_draft_survives_the_loading_of_another_column(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = first(backend)
        db.session.commit()
        student.first_name = f"{CANARY} draft"
        assert student.school_id == backend.schools[0]
        db.session.refresh(student, ["school_id"])
        db.session.commit()
        assert reopened(backend, 0, student.id) == f"{CANARY} draft"


def test_a_belonging_of_somebody_who_was_rolled_back_is_refused(tmp_path: Path) -> None:
    backend = make_backend(tmp_path / "b", separate_keys=False)
    with backend.app.app_context(), backend.writing():
        student = student_of(backend.schools[0])
        one = student.id
        db.session.add(student)
        db.session.flush()
        db.session.rollback()
        db.session.expunge_all()
        db.session.add(Exercise(student_id=one, strokes=[1]))
        with pytest.raises(RequestInvalid, match="leads to no student"):
            db.session.commit()


def test_after_a_savepoint_on_the_connection_the_next_write_opens(tmp_path: Path) -> None:
    backend = make_backend(tmp_path / "b", separate_keys=False)
    with backend.app.app_context():
        school = new_school(backend)
        with backend.writing(2):
            savepoint = db.session.connection().begin_nested()
            db.session.add(student_of(school))
            db.session.flush()
            savepoint.rollback()
            db.session.expunge_all()
            student = student_of(school)
            db.session.add(student)
            db.session.commit()
        assert reopened(backend, 2, student.id) == CANARY


def test_a_query_that_replaces_a_row_replaces_its_draft(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing(), db.session.no_autoflush:
        student = first(backend)
        student.first_name = f"{CANARY} dropped"
        db.session.scalars(select(Student).execution_options(populate_existing=True)).all()
        assert student.first_name == f"{CANARY} A0"
        student.last_name = f"{CANARY} kept"
        db.session.commit()
        assert reopened(backend, 0, first(backend).id) == f"{CANARY} A0"


def test_a_flush_that_failed_half_way_can_be_tried_again(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = first(backend)
        student.picture = b"new"
        student.first_name = "\ud800"
        with pytest.raises(RequestInvalid):
            db.session.flush()
        student.first_name = f"{CANARY} mended"
        db.session.commit()
        assert reopened(backend, 0, first(backend).id) == f"{CANARY} mended"


def test_an_erased_key_that_was_cached_meanwhile_is_forgotten(either: Backend) -> None:
    with either.app.app_context():
        one = either.students[either.schools[0]][0].hex
        keys, session = either.runtime.keys, db.session()
        alive = keys.load(session, "student", [one])
        keys.destroy(session, "student", one)
        keys._caches["student"].put(one, alive[one])
        session.commit()
        if either.app.config.get("LGPRIVACY_KEYS_BIND") is None:
            assert not keys.load(session, "student", [one])
        assert not keys.is_alive(session, "student", one)
