"""Sealed columns hold every kind of value, show it only through the gate, and refuse what is not theirs."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from databases import run_sql
from school import CANARY, Backend, Exercise, School, Student, db, make_backend
from sqlalchemy import inspect, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session, defer
from sqlalchemy.orm.exc import StaleDataError

from flask_lgprivacy import find_by
from flask_lgprivacy.errors import (
    KeyLost,
    PrivacyError,
    RequestConflict,
    SealBroken,
    SealedComparison,
    SubjectErased,
    UndeclaredProcessing,
)

VALUES: dict[str, Any] = {
    "first_name": f"{CANARY} Ünïcode\n\u2603",
    "last_name": CANARY,
    "birth_date": date(2018, 2, 28),
    "left_handed": True,
    "height": 123,
    "pressure": 0.5,
    "mark": Decimal("17.25"),
    "seen_at": datetime(2026, 11, 22, 8, 30, tzinfo=UTC),
    "preferences": {"nested": [1, {"a": None}]},
    "picture": bytes(range(256)),
}


def one_of(backend: Backend, school: int = 0, number: int = 0) -> UUID:
    return backend.students[backend.schools[school]][number]


def saved(row: Any) -> UUID:
    """Commit, and forget every row, so that the next read comes from the database."""
    db.session.commit()
    one: UUID = row.id
    db.session.expunge_all()
    return one


def raw(backend: Backend, query: str, **values: object) -> list[Any]:
    return run_sql(backend.folder, "data", query, **values)


def refused_in_trail(backend: Backend) -> list[str]:
    from flask_lgprivacy.audit import read_trail

    return [
        one["code"]
        for event in read_trail(backend.folder / "trail")
        for one in event.get("refused", [])
    ]


def test_every_kind_of_value_comes_back_as_it_was(either: Backend) -> None:
    with either.app.app_context(), either.writing():
        student = Student(school_id=either.schools[0], **VALUES)
        db.session.add(student)
        found = db.session.get(Student, saved(student))
        assert {name: getattr(found, name) for name in VALUES} == VALUES


def test_none_comes_back_as_none(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = Student(school_id=backend.schools[0], first_name=CANARY, last_name=CANARY)
        db.session.add(student)
        assert db.session.get(Student, saved(student)).birth_date is None


def test_a_value_of_another_type_is_refused_without_being_shown(backend: Backend) -> None:
    with pytest.raises(TypeError, match=r"Student\.birth_date takes date, not str") as refused:
        Student(birth_date=CANARY)
    assert CANARY not in str(refused.value)


def test_a_missing_required_field_is_named(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        db.session.add(Student(school_id=backend.schools[0], first_name=CANARY))
        with pytest.raises(PrivacyError, match=r"Student\.last_name: must be set"):
            db.session.commit()


def test_a_changed_field_leaves_the_others(either: Backend) -> None:
    with either.app.app_context(), either.writing():
        student = db.session.get(Student, one_of(either))
        student.first_name = f"{CANARY} new"
        db.session.commit()
        db.session.expunge_all()
        found = db.session.get(Student, one_of(either))
        assert (found.first_name, found.birth_date, found.picture) == (
            f"{CANARY} new",
            date(2017, 3, 9),
            f"{CANARY} picture".encode(),
        )


def test_an_assigned_value_is_seen_before_it_is_written(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = db.session.get(Student, one_of(backend))
        student.first_name = f"{CANARY} draft"
        assert student.first_name == f"{CANARY} draft"


def test_a_row_added_again_after_a_rollback_keeps_its_values(either: Backend) -> None:
    with either.app.app_context(), either.writing():
        student = Student(
            id=uuid4(), school_id=either.schools[0], first_name=CANARY, last_name=CANARY
        )
        db.session.add(student)
        db.session.flush()
        db.session.rollback()
        db.session.add(student)
        one = saved(student)
        either.runtime.keys.forget_all()
    with either.app.app_context(), either.reading():
        assert db.session.get(Student, one).first_name == CANARY


def test_a_rolled_back_client_key_is_used_by_nobody(tmp_path: Path) -> None:
    backend = make_backend(tmp_path / "b", separate_keys=False, filled=False)

    with backend.app.app_context():
        school = School()
        db.session.add(school)
        db.session.commit()
        backend.schools.append(school.id)
        with backend.writing():
            db.session.add(Student(school_id=school.id, first_name=CANARY, last_name=CANARY))
            db.session.flush()
            db.session.rollback()
            student = Student(school_id=school.id, first_name=CANARY, last_name=CANARY)
            db.session.add(student)
            one = saved(student)
        backend.runtime.keys.forget_all()
        with backend.reading():
            assert db.session.get(Student, one).first_name == CANARY


def test_two_writers_do_not_overwrite_each_other(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = db.session.get(Student, one_of(backend))
        assert student.first_name
        with backend.app.app_context():
            other = db.session.get(Student, one_of(backend))
            other.first_name = f"{CANARY} first"
            db.session.commit()
        student.last_name = f"{CANARY} second"
        with pytest.raises(StaleDataError):
            db.session.commit()


def test_a_relationship_that_is_not_flushed_yet_finds_its_subject(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = Student(school_id=backend.schools[0], first_name=CANARY, last_name=CANARY)
        exercise = Exercise(student=student, strokes=[1])
        db.session.add(exercise)
        assert db.session.get(Exercise, saved(exercise)).strokes == [1]


# --- what the database holds ---


def test_the_database_holds_ciphertext(either: Backend) -> None:
    content = b"".join(path.read_bytes() for path in either.folder.glob("*.db*"))
    assert CANARY.encode() not in content
    assert len(raw(either, "select lgprivacy_student_profile from student")) == 4


def test_a_row_prints_no_value(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = db.session.get(Student, one_of(backend))
        student.last_name = CANARY + student.first_name
        shown = f"{student!r} {student.__dict__!r} {vars(student)} {inspect(student).dict}"
        assert CANARY not in shown


@pytest.mark.parametrize("take", [pickle.dumps, copy.deepcopy])
def test_a_row_with_opened_values_cannot_be_carried_away(backend: Backend, take: Any) -> None:
    with backend.app.app_context(), backend.reading():
        student = db.session.get(Student, one_of(backend))
        assert student.first_name
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            take(student)


def test_a_failing_statement_prints_no_value(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = Student(
            id=one_of(backend), school_id=backend.schools[0], first_name=CANARY, last_name=CANARY
        )
        db.session.add(student)
        with pytest.raises(StatementError) as failed:
            db.session.commit()
        assert CANARY not in str(failed.value)


# --- records that were moved, rolled back or damaged ---


def copy_to_another_row(backend: Backend) -> None:
    raw(
        backend, "update student set lgprivacy_student_profile = (select lgprivacy_student_profile from student where id = :source) where id = :one",
        source=one_of(backend, 0, 1).hex, one=one_of(backend).hex,
    )  # fmt: skip


def take_from_another_school(backend: Backend) -> None:
    raw(
        backend, "update student set lgprivacy_student_profile = (select lgprivacy_student_profile from student where id = :source) where id = :one",
        source=one_of(backend, 1, 0).hex, one=one_of(backend).hex,
    )  # fmt: skip


def put_into_another_group(backend: Backend) -> None:
    raw(backend, "update student set lgprivacy_student_profile = lgprivacy_student_picture")


def flip_a_bit(backend: Backend) -> None:
    for one, envelope in raw(backend, "select id, lgprivacy_student_profile from student"):
        changed = envelope[:-1] + bytes([envelope[-1] ^ 1])
        raw(
            backend,
            "update student set lgprivacy_student_profile = :changed where id = :one",
            changed=changed,
            one=one,
        )


def truncate(backend: Backend) -> None:
    raw(
        backend,
        "update student set lgprivacy_student_profile = substr(lgprivacy_student_profile, 1, 20)",
    )


def put_back_an_older_one(backend: Backend) -> None:
    [[older]] = raw(
        backend,
        "select lgprivacy_student_profile from student where id = :one",
        one=one_of(backend).hex,
    )
    with backend.app.app_context(), backend.writing():
        db.session.get(Student, one_of(backend)).first_name = f"{CANARY} newer"
        db.session.commit()
    raw(
        backend,
        "update student set lgprivacy_student_profile = :older where id = :one",
        older=older,
        one=one_of(backend).hex,
    )


def move_row_to_another_school(backend: Backend) -> None:
    raw(
        backend,
        "update student set school_id = :school where id = :one",
        school=backend.schools[0].hex,
        one=one_of(backend, 1, 0).hex,
    )


@pytest.mark.parametrize(
    ("damage", "school"),
    [(copy_to_another_row, 0), (take_from_another_school, 0), (put_into_another_group, 0), (flip_a_bit, 0), (truncate, 0),
     (put_back_an_older_one, 0), (move_row_to_another_school, 1)],
)  # fmt: skip
def test_a_record_that_is_not_the_one_written_here_is_refused(
    either: Backend, damage: Any, school: int
) -> None:
    damage(either)
    with either.app.app_context(), either.reading(0):
        student = db.session.get(Student, one_of(either, school))
        with pytest.raises(SealBroken) as refused:
            _ = student.first_name
    assert CANARY not in str(refused.value)
    assert "seal-broken" in refused_in_trail(either)


def test_a_key_that_vanished_is_an_alarm(backend: Backend) -> None:
    run_sql(backend.folder, "keys", "delete from lgprivacy_subject_key")
    backend.runtime.keys.forget_all()
    with backend.app.app_context(), backend.reading(), pytest.raises(KeyLost):
        _ = db.session.get(Student, one_of(backend)).first_name


def test_a_tombstone_is_an_erasure(backend: Backend) -> None:
    with backend.app.app_context():
        backend.runtime.keys.destroy(db.session(), "student", one_of(backend).hex)
        with backend.reading(), pytest.raises(SubjectErased):
            _ = db.session.get(Student, one_of(backend)).first_name


def test_an_erased_person_is_not_recorded_again_under_the_same_id(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        backend.runtime.keys.destroy(db.session(), "student", one_of(backend).hex)
        db.session.add(
            Student(
                id=one_of(backend),
                school_id=backend.schools[0],
                first_name=CANARY,
                last_name=CANARY,
            )
        )
        with pytest.raises(SubjectErased):
            db.session.commit()


# --- queries ---


def test_a_name_is_found_by_its_blind_index(either: Backend) -> None:
    with either.app.app_context(), either.reading():
        found = db.session.scalars(find_by(Student, last_name=f"{CANARY.upper()} le goffa")).all()
        assert [one.id for one in found] == [one_of(either)]


def test_a_name_is_found_in_ones_own_school_only(backend: Backend) -> None:
    with backend.app.app_context(), backend.reading(1):
        found = db.session.scalars(find_by(Student, last_name=f"{CANARY} Le GoffA")).all()
        assert [one.id for one in found] == [one_of(backend, 1)]


def test_a_changed_name_is_found_by_its_new_value(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        db.session.get(Student, one_of(backend)).last_name = f"{CANARY} Riou"
        db.session.commit()
        assert len(db.session.scalars(find_by(Student, last_name=f"{CANARY} riou")).all()) == 1
        assert not db.session.scalars(find_by(Student, last_name=f"{CANARY} Le GoffA")).all()


@pytest.mark.parametrize(
    "compare",
    [
        lambda: Student.last_name == "x", lambda: Student.last_name != "x", lambda: Student.last_name.in_(["x"]),
        lambda: Student.last_name.like("x%"), lambda: Student.last_name < "x", lambda: select(Student.last_name),
        lambda: select(Student).order_by(Student.last_name), lambda: select(Student).where(Student.last_name.is_(None)),
        lambda: select(Student).filter_by(last_name="x"),
    ],
)  # fmt: skip
def test_a_query_over_a_sealed_column_names_the_lookup(compare: Any) -> None:
    with pytest.raises(SealedComparison, match=r"find_by\(Student, last_name=…\)"):
        compare()


def test_a_lookup_without_an_index_names_the_remedy(backend: Backend) -> None:
    with (
        backend.app.app_context(),
        backend.reading(),
        pytest.raises(SealedComparison, match="index=True"),
    ):
        find_by(Student, first_name="x")


def test_a_lookup_outside_any_processing_is_refused(backend: Backend) -> None:
    with backend.app.app_context(), pytest.raises(UndeclaredProcessing):
        find_by(Student, last_name="x")


# --- the bulk path ---


def test_records_hold_what_rows_hold(either: Backend) -> None:
    with either.app.app_context(), either.reading():
        rows = list(either.privacy.records(Exercise, Exercise.student_id == one_of(either)))
        assert [row["strokes"] for row in rows] == [[[f"{CANARY}-stroke", 1, 2.5]]]


def test_records_of_another_school_are_refused(backend: Backend) -> None:
    with (
        backend.app.app_context(),
        backend.reading(1),
        pytest.raises(PrivacyError, match="does not act for the client"),
    ):
        list(backend.privacy.records(Exercise, Exercise.student_id == one_of(backend)))


def test_the_keys_of_many_rows_come_in_one_query(backend: Backend) -> None:
    from sqlalchemy import event

    backend.runtime.keys.forget_all()
    queries: list[str] = []
    with backend.app.app_context(), backend.reading():
        event.listen(db.engines["keys"], "before_cursor_execute", lambda *a: queries.append(a[2]))
        query = select(Student).where(Student.school_id == backend.schools[0])
        assert len([one.first_name for one in db.session.scalars(query)]) == 2
    assert sum("lgprivacy_subject_key" in one for one in queries) == 1


@pytest.mark.parametrize("does", ["reads", "writes"])
def test_a_part_of_a_row_that_is_loaded_after_somebody_else_wrote_it_is_a_conflict(
    backend: Backend, does: str
) -> None:
    later = inspect(Student).column_attrs["lgprivacy_student_profile"].class_attribute
    with backend.app.app_context(), backend.writing(0):
        row = db.session.scalars(
            select(Student).where(Student.id == one_of(backend)).options(defer(later))
        ).one()
        with Session(db.engine) as other:
            same = other.get(Student, row.id)
            assert same is not None
            same.height = 130
            other.commit()
        with pytest.raises(RequestConflict):
            if does == "reads":
                _ = row.first_name
            else:
                row.first_name = "Zoé"
                db.session.flush()
        db.session.rollback()
        assert (row.height, row.first_name) == (130, f"{CANARY} A0")
    assert "seal-broken" not in refused_in_trail(backend)
