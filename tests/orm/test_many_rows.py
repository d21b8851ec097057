"""Many rows in one session: their keys come together, and what was opened follows its row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from databases import IS_POSTGRESQL
from school import CANARY, Backend, Exercise, Student, add_school, close, db, make_backend
from sqlalchemy import event, select

from flask_lgprivacy.crypto.cache import KeyCache
from flask_lgprivacy.errors import UndeclaredProcessing
from flask_lgprivacy.orm import prefetch as residents


@contextmanager
def queries_for_keys(backend: Backend) -> Iterator[list[str]]:
    """The queries for keys of subjects that are made meanwhile."""
    found: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM lgprivacy_subject_key" in statement:
            found.append(statement)

    engine = db.engines["keys"]
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_keys_come_together_whichever_rows_are_read_first(backend: Backend) -> None:
    backend.runtime.keys.forget_all()
    actor = backend.teacher()
    with backend.app.app_context(), backend.job("student.profile", "student.activity", actor=actor):
        students = db.session.scalars(
            select(Student).where(Student.school_id == backend.schools[0])
        ).all()
        exercises = db.session.scalars(
            select(Exercise).where(Exercise.student_id.in_([s.id for s in students]))
        ).all()
        with queries_for_keys(backend) as found:
            assert all(exercise.strokes for exercise in exercises)
            assert all(student.first_name for student in students)
    assert (len(exercises), len(students), len(found)) == (2, 2, 1)


def test_rows_of_a_subclass_are_found_too() -> None:
    class Work:
        def __init__(self, owner: str | None) -> None:
            self.student_id = owner

    class Drill(Work):
        pass

    rows = dict(enumerate([Work("a"), Drill("b"), Work(None), object.__new__(Drill)]))
    session: Any = SimpleNamespace(identity_map=rows, info={})
    layout: Any = SimpleNamespace(model=Work, key_attribute="student_id")
    assert residents.subject_ids_in(session, [layout]) == ["a", "b"]


def test_a_session_of_many_rows_does_not_ask_for_key_after_key(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residents, "PER_QUERY", 50)
    with backend.app.app_context():
        add_school(backend, 180)
        backend.runtime.keys.forget_all()
        with backend.reading(2), queries_for_keys(backend) as found:
            students = db.session.scalars(
                select(Student).where(Student.school_id == backend.schools[2])
            ).all()
            assert len({student.first_name for student in students}) == 180
    assert len(found) == 4, "three rows by themselves, then all that are left"


def test_a_field_that_was_assigned_is_read_beside_those_that_were_opened(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = db.session.get(Student, backend.students[backend.schools[0]][0])
        assert student.first_name == f"{CANARY} A0"
        student.first_name = f"{CANARY} new"
        assert (student.first_name, student.preferences) == (
            f"{CANARY} new",
            {"colour": f"{CANARY}-blue"},
        )
        db.session.rollback()
        assert student.first_name == f"{CANARY} A0"


def test_an_assignment_before_the_first_reading_leaves_the_other_fields(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = db.session.get(Student, backend.students[backend.schools[0]][0])
        student.first_name = f"{CANARY} new"
        assert student.preferences == {"colour": f"{CANARY}-blue"}
        assert student.first_name == f"{CANARY} new"
        db.session.flush()
        assert (student.first_name, student.preferences) == (
            f"{CANARY} new",
            {"colour": f"{CANARY}-blue"},
        )


def test_only_an_assignment_is_read_outside_a_processing(backend: Backend) -> None:
    with backend.app.app_context():
        with backend.writing():
            student = db.session.get(Student, backend.students[backend.schools[0]][0])
            assert student.first_name
            student.first_name = f"{CANARY} new"
        assert student.first_name == f"{CANARY} new"
        with pytest.raises(UndeclaredProcessing):
            _ = student.preferences
        db.session.rollback()


@pytest.mark.parametrize("how", ["refresh", "expire", "expire-one", "populate"])
def test_a_row_that_is_loaded_again_shows_what_is_stored_now(backend: Backend, how: str) -> None:
    one = backend.students[backend.schools[0]][0]
    with backend.app.app_context(), backend.writing():
        student = db.session.get(Student, one)
        assert student.first_name == f"{CANARY} A0"
        with backend.app.app_context():
            other = db.session.get(Student, one)
            other.first_name = f"{CANARY} other"
            db.session.commit()
            db.session.remove()
        assert student.first_name == f"{CANARY} A0"
        if how == "refresh":
            db.session.refresh(student)
        elif how == "populate":
            db.session.scalars(
                select(Student).where(Student.id == one).execution_options(populate_existing=True)
            ).all()
        else:
            db.session.expire(
                student,
                None if how == "expire" else ["lgprivacy_student_profile", "lgprivacy_version"],
            )
        assert student.first_name == f"{CANARY} other"


def test_a_key_whose_time_is_over_goes_when_others_come() -> None:
    now = [0.0]
    cache: KeyCache[str, int] = KeyCache(size=9, seconds=10, clock=lambda: now[0])
    cache.put_all({"a": 1, "b": 2})
    now[0] = 6
    cache.put("a", 3)
    now[0] = 11
    cache.put("c", 4)
    assert (len(cache), cache.get("a"), cache.get("b")) == (2, 3, None)
    assert cache.get_all(["a", "b", "c"]) == {"a": 3, "c": 4}


def test_many_keys_at_once_stay_within_the_size_of_a_cache() -> None:
    cache: KeyCache[int, int] = KeyCache(size=16, seconds=10, clock=lambda: 0.0)
    cache.put_all(dict.fromkeys(range(40), 1))
    assert 0 < len(cache) <= 16
    assert cache.get(39) == 1


def test_keys_are_found_where_a_host_moves_its_tables_to_another_schema(tmp_path: Path) -> None:
    schema = "public" if IS_POSTGRESQL else "main"
    backend = make_backend(
        tmp_path / "moved",
        separate_keys=False,
        SQLALCHEMY_ENGINE_OPTIONS={"execution_options": {"schema_translate_map": {None: schema}}},
    )
    backend.runtime.keys.forget_all()
    asked: list[str] = []
    with backend.app.app_context(), backend.reading():
        event.listen(db.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
        assert (
            db.session.get(Student, backend.students[backend.schools[0]][0]).first_name
            == f"{CANARY} A0"
        )
    assert any(f"FROM {schema}.lgprivacy_subject_key" in one.replace('"', "") for one in asked)
    close(backend)
