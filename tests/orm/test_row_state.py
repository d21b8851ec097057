"""What a row holds of its sealed fields is stored, shown and hidden as its columns would be; each case was found by trying."""

from __future__ import annotations

import io
import traceback
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from databases import IS_POSTGRESQL, past_the_gate
from school import CANARY, Backend, Exercise, Student, db
from sqlalchemy import event, select

from flask_lgprivacy.errors import (
    PrivacyError,
    RecordOfAnotherModel,
    RequestInvalid,
    SealBroken,
    SubjectErased,
)
from flask_lgprivacy.orm.bulk_read import iter_records
from flask_lgprivacy.orm.registry import model_info_of
from flask_lgprivacy.rights.archive import build_archive
from flask_lgprivacy.rights.subject_rows import ExportedTable
from flask_lgprivacy.testing import captured_trail


def exercise_of(backend: Backend) -> Any:
    one = backend.students[backend.schools[0]][0]
    return db.session.scalars(select(Exercise).where(Exercise.student_id == one)).one()


def reading_activity(backend: Backend) -> Any:
    return backend.job("student.activity", actor=backend.teacher())


def writing_activity(backend: Backend) -> Any:
    return backend.job(
        "student.activity", actor=backend.teacher(), actions={"read", "write", "erase"}
    )


def beneath_the_test(fault: BaseException) -> str:
    """What an error reporter shows of every frame but the test's own."""
    assert fault.__traceback__ is not None
    shown = traceback.TracebackException(
        type(fault), fault, fault.__traceback__.tb_next, capture_locals=True
    )
    return "".join(shown.format())


def test_a_row_does_not_take_the_place_of_one_that_the_same_flush_deletes(backend: Backend) -> None:
    with backend.app.app_context(), writing_activity(backend):
        old = exercise_of(backend)
        db.session.delete(old)
        db.session.add(Exercise(id=old.id, student_id=old.student_id, strokes=[["new"]]))
        with pytest.raises(RequestInvalid, match="flush the deletion first"):
            db.session.commit()
        db.session.rollback()
        assert exercise_of(backend).strokes == [[f"{CANARY}-stroke", 1, 2.5]]


@pytest.mark.parametrize("owner", [0, 1])
def test_a_row_that_takes_the_place_of_a_deleted_one_has_a_record_of_its_own(
    either: Backend, owner: int
) -> None:
    other = either.students[either.schools[0]][owner]
    with either.app.app_context():
        with writing_activity(either):
            old = exercise_of(either)
            one = old.id
            db.session.delete(old)
            db.session.flush()
            db.session.add(
                Exercise(id=one, student_id=other, strokes=[["new"]], note=f"{CANARY} new")
            )
            db.session.commit()
        db.session.remove()
        with reading_activity(either):
            row = db.session.get(Exercise, one)
            assert (row.student_id, row.strokes, row.note) == (other, [["new"]], f"{CANARY} new")


def test_a_row_that_takes_an_orphans_place_has_a_record_of_its_own(backend: Backend) -> None:
    with backend.app.app_context():
        with writing_activity(backend):
            old = exercise_of(backend)
            one = old.id
            old.student.exercises = [Exercise(id=one, strokes=[["new"]], note=f"{CANARY} new")]
            db.session.commit()
        db.session.remove()
        with reading_activity(backend):
            row = db.session.get(Exercise, one)
            assert (row.strokes, row.note) == ([["new"]], f"{CANARY} new")


def test_an_assignment_after_an_expired_group_is_stored(backend: Backend) -> None:
    one = backend.students[backend.schools[0]][0]
    with backend.app.app_context(), backend.writing():
        row = db.session.get(Student, one)
        row.first_name = f"{CANARY} first"
        db.session.expire(row, ["lgprivacy_student_profile"])
        db.session.flush()
        row.first_name = f"{CANARY} second"
        assert row in db.session.dirty
        db.session.commit()
        db.session.expunge_all()
        assert db.session.get(Student, one).first_name == f"{CANARY} second"


@pytest.fixture
def left_handed_by_hook() -> Iterator[None]:
    def hook(_mapper: Any, _connection: Any, row: Any) -> None:
        row.left_handed = True

    event.listen(Student, "before_update", hook)
    yield
    event.remove(Student, "before_update", hook)


@pytest.mark.usefixtures("left_handed_by_hook")
def test_an_assignment_after_one_by_a_hook_is_stored(backend: Backend) -> None:
    one = backend.students[backend.schools[0]][0]
    with backend.app.app_context(), backend.writing():
        row = db.session.get(Student, one)
        row.first_name = f"{CANARY} first"
        db.session.flush()
        row.first_name = f"{CANARY} second"
        assert row in db.session.dirty
        db.session.commit()
        db.session.expunge_all()
        assert db.session.get(Student, one).first_name == f"{CANARY} second"


def test_a_field_that_was_never_assigned_is_none_before_its_row_is_stored(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        assert Student(school_id=backend.schools[0], first_name=CANARY).birth_date is None


def written_by_another_model(backend: Backend, fields: dict[str, Any]) -> UUID:
    """Put a record into an exercise as a version of the model with other fields would have written it."""
    group = model_info_of(Exercise).groups["lgprivacy_student_activity"]
    table = Exercise.__table__
    one = backend.students[backend.schools[0]][0].hex
    found = db.session.execute(select(table).where(table.c.student_id == UUID(one))).first()
    assert found is not None
    key = backend.runtime.keys.load(db.session(), "student", [one])[one]
    made = key.seal(
        orjson.dumps(fields), group.prefixes[key.client], found.id.hex, found.lgprivacy_version
    )
    with db.engine.begin() as connection:
        past_the_gate(connection).execute(
            table.update().where(table.c.id == found.id).values({group.column: made})
        )
    db.session.remove()
    made_for: UUID = found.id
    return made_for


def test_a_record_of_an_older_model_opens_with_the_fields_of_this_one(backend: Backend) -> None:
    with backend.app.app_context():
        one = written_by_another_model(backend, {"strokes": [["old"]]})
        with reading_activity(backend):
            row = db.session.get(Exercise, one)
            assert (row.note, row.strokes) == (None, [["old"]])


def test_a_record_with_a_field_under_a_name_that_nobody_knows_is_refused(backend: Backend) -> None:
    with backend.app.app_context():
        one = written_by_another_model(
            backend, {"strokes": [["old"]], "remark": f"{CANARY} renamed field"}
        )
        with reading_activity(backend):
            row = db.session.get(Exercise, one)
            with pytest.raises(RecordOfAnotherModel, match="a record of Exercise .* lacks note"):
                _ = row.strokes


def test_a_field_that_the_model_has_no_more_makes_up_for_none_that_is_required(
    backend: Backend,
) -> None:
    with backend.app.app_context():
        one = written_by_another_model(
            backend, {"remark": f"{CANARY} renamed field", "note": f"{CANARY} note"}
        )
        with writing_activity(backend):
            row = db.session.get(Exercise, one)
            row.note = f"{CANARY} newer"
            with pytest.raises(RequestInvalid, match="strokes: must be set"):
                db.session.commit()
            db.session.rollback()


def test_who_is_erased_while_a_key_is_made_gets_none(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, one = backend.runtime.keys.table, uuid4()
    insert = table.insert_subjects

    def erased_meanwhile(connection: Any, rows: Any) -> bool:
        table.mark_subject_erased(
            connection, "student", one.hex, "publisher", backend.runtime.utcnow()
        )
        return bool(insert(connection, rows))

    monkeypatch.setattr(table, "insert_subjects", erased_meanwhile)
    with backend.app.app_context(), backend.writing():
        db.session.add(
            Student(id=one, school_id=backend.schools[0], first_name=CANARY, last_name=CANARY)
        )
        with pytest.raises(SubjectErased):
            db.session.commit()
        db.session.rollback()
        assert db.session.get(Student, one) is None


def test_an_archive_holds_a_field_that_the_model_has_no_more(backend: Backend) -> None:
    with backend.app.app_context():
        written_by_another_model(
            backend, {"strokes": [["old"]], "note": None, "remark": f"{CANARY} removed field"}
        )
        one = backend.students[backend.schools[0]][0]
        with writing_activity(backend):
            db.session.add(Exercise(student_id=one, strokes=[["new"]], note=f"{CANARY} note"))
            db.session.commit()
        with reading_activity(backend):
            rows = list(iter_records(db.session(), Exercise, Exercise.student_id == one))
    for found in (rows, rows[::-1]):
        content = build_archive(
            backend.runtime,
            "student",
            [ExportedTable("Exercise", model_info_of(Exercise).labelled, found)],
            made_at="2026",
        )
        archive = zipfile.ZipFile(io.BytesIO(content))
        for name in ("Exercise.csv", "data.json", "index.html"):
            assert all(
                text in archive.read(name).decode() for text in ("removed field", f"{CANARY} note")
            )


def test_what_was_assigned_is_in_no_traceback_of_a_refused_reading(backend: Backend) -> None:
    with backend.app.app_context():
        row = db.session.get(Student, backend.students[backend.schools[0]][0])
        with backend.job("student.profile", actor=backend.teacher(), actions={"write"}):
            row.first_name = f"{CANARY} planted"
            with pytest.raises(PrivacyError) as undeclared:
                _ = row.last_name
        with pytest.raises(PrivacyError) as ended:
            _ = row.last_name
    assert f"{CANARY} planted" not in beneath_the_test(undeclared.value) + beneath_the_test(
        ended.value
    )


@pytest.mark.parametrize("fields", [{"last_name": "\ud800"}, {"last_name": None}])
def test_what_was_to_be_written_is_in_no_traceback_of_a_refused_flush(
    backend: Backend, fields: Any
) -> None:
    with backend.app.app_context(), backend.writing():
        row = Student(school_id=backend.schools[0], first_name=f"{CANARY} planted")
        for name, value in fields.items():
            if value is not None:
                setattr(row, name, value)
        db.session.add(row)
        with pytest.raises(RequestInvalid) as refused:
            db.session.flush()
    assert f"{CANARY} planted" not in beneath_the_test(refused.value)


@pytest.mark.parametrize("one", ["x\0y", "line\nfeed", 'quo"te', "back\\slash", "émoji🙂"])
def test_any_identifier_that_a_database_takes_keeps_its_key(either: Backend, one: str) -> None:
    if "\0" in one and IS_POSTGRESQL:
        pytest.skip("PostgreSQL holds no text with a NUL")
    keys, client = either.runtime.keys, either.schools[0].hex
    holder_of = partial(either.runtime.models.key_holder, "student")
    with either.app.app_context():
        first = keys.create(db.session(), "student", {one: client}, holder_of)
        db.session.commit()
        keys.forget_all()
        again = keys.create(db.session(), "student", {one: client}, holder_of)
        db.session.commit()
        assert again[one].key == first[one].key
        keys.destroy(db.session(), "student", one, client=client)
        db.session.commit()
        assert keys.is_erased(db.session(), "student", one)
        with pytest.raises(SubjectErased):
            keys.create(db.session(), "student", {one: client}, holder_of)
        db.session.rollback()


@pytest.mark.parametrize("version", [-1, 2, 0])
def test_a_row_version_that_somebody_changed_is_a_broken_seal(
    either: Backend, version: int
) -> None:
    one = either.students[either.schools[0]][0]
    with either.app.app_context():
        with db.engine.begin() as connection:
            table = Student.__table__
            past_the_gate(connection).execute(
                table.update().where(table.c.id == one).values(lgprivacy_version=version)
            )
        with captured_trail(either.app) as trail, either.reading():
            with pytest.raises(SealBroken):
                _ = db.session.get(Student, one).first_name
            with pytest.raises(SealBroken):
                list(
                    iter_records(
                        db.session(), Student, Student.id == one, categories={"student.profile"}
                    )
                )
    assert [refused.code for refused in trail.events[-1].refused] == ["seal-broken"]
