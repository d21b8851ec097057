"""Everything of a client is erased: at once unreadable, then gone, also after a crash and after a restore."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from databases import IS_POSTGRESQL, back_up, restore, run_sql
from school import CANARY, Backend, Exercise, Student, add_school, close, db, make_backend
from sqlalchemy import func, select

from flask_lgprivacy import Actor
from flask_lgprivacy.audit import read_trail
from flask_lgprivacy.errors import ErasuresPending, SubjectErased
from flask_lgprivacy.policy import Right
from flask_lgprivacy.rights import client_erasure
from flask_lgprivacy.testing import acting_as, assert_refused

MANY = int(os.environ.get("LGPRIVACY_TEST_SUBJECTS", "1200"))


def ask(
    backend: Backend, actor: Actor, body: Any, path: str = "/privacy/delete", method: str = "POST"
) -> Any:
    with acting_as(backend.app, actor):
        return backend.app.test_client().open(path, method=method, json=body)


def everything(backend: Backend, school: int = 0) -> dict[str, Any]:
    return {"subject": {"kind": "client", "id": str(backend.schools[school])}}


def rows(backend: Backend, model: type = Student) -> int:
    with backend.app.app_context():
        return db.session.execute(select(func.count()).select_from(model)).scalar_one()


def finished(backend: Backend) -> None:
    assert backend.app.extensions["lgprivacy"].background.wait(60)


def restarted(backend: Backend) -> Backend:
    """The same application in a process that knows nothing yet."""
    close(backend)
    again = make_backend(backend.folder, filled=False)
    again.schools, again.students = backend.schools, backend.students
    return again


def test_erasing_everything_of_a_client_leaves_others_theirs(either: Backend) -> None:
    done = ask(either, either.administrator(), everything(either))
    assert (done.status_code, done.json["state"], done.json["clause"]) == (
        202,
        "in-progress",
        "LG-28",
    )
    finished(either)
    shown = ask(either, either.administrator(), None, done.json["links"]["self"], "GET").json
    assert shown["state"] == "completed"
    certificate = ask(
        either, either.administrator(), None, shown["links"]["certificate"], "GET"
    ).json
    assert (certificate["erased"], certificate["key"], certificate["left"]) == (
        {"Student": 2, "Exercise": 2},
        "destroyed",
        {},
    )
    assert (rows(either), rows(either, Exercise)) == (2, 2)
    with either.app.app_context(), either.reading(1):
        own = select(Student).where(Student.school_id == either.schools[1])
        assert len([row.first_name for row in db.session.scalars(own)]) == 2
    steps = [
        event["state"]
        for event in read_trail(either.folder / "trail", where={"event": "rights-request"})
    ]
    assert steps == ["received", "key-destroyed", "completed"]


@pytest.mark.parametrize(
    "who", ["teacher", "administrator of another school", "student", "support"]
)
def test_nobody_else_erases_a_client(backend: Backend, who: str) -> None:
    actor = {
        "teacher": backend.teacher(),
        "administrator of another school": backend.administrator(1),
        "student": backend.student_actor(),
        "support": Actor("s", role="support"),
    }[who]
    assert_refused(ask(backend, actor, everything(backend)), clause="LG-28")
    assert rows(backend) == 4
    with backend.app.app_context(), backend.reading():
        assert db.session.get(Student, backend.students[backend.schools[0]][0]).first_name


def test_what_leads_to_people_of_the_client_is_found_in_tables_of_nobody(
    backend: Backend,
) -> None:
    mine, other = (backend.students[school][0] for school in backend.schools)
    of_type = "UUID" if IS_POSTGRESQL else "CHAR(32)"
    run_sql(backend.folder, "data", f"CREATE TABLE visit (student_id {of_type}, place TEXT)")
    for one in (mine, other):
        stored = one if IS_POSTGRESQL else one.hex
        run_sql(backend.folder, "data", "INSERT INTO visit VALUES (:one, 'x')", one=stored)
    nobody = UUID(int=5) if IS_POSTGRESQL else UUID(int=5).hex
    run_sql(backend.folder, "data", "INSERT INTO visit VALUES (:one, 'old')", one=nobody)
    done = ask(backend, backend.administrator(), everything(backend))
    finished(backend)
    shown = ask(backend, backend.administrator(), None, done.json["links"]["self"], "GET").json
    certificate = ask(
        backend, backend.administrator(), None, shown["links"]["certificate"], "GET"
    ).json
    assert (shown["state"], certificate["left"]) == (
        "completed-with-remainder",
        {"visit.student_id": 1},
    )


def test_rectification_names_one_person(backend: Backend) -> None:
    body = {**everything(backend), "changes": {"first_name": "x"}}
    answer = ask(backend, backend.administrator(), body, "/privacy/rectify")
    assert (answer.status_code, "names one person" in answer.json["detail"]) == (422, True)


def test_everything_of_a_client_is_fetched_while_it_is_built(backend: Backend) -> None:
    administrator = backend.administrator()
    done = ask(backend, administrator, everything(backend), "/privacy/export")
    assert (done.status_code, done.json["state"]) == (202, "completed")
    answer = ask(backend, administrator, None, done.json["links"]["archive"], "GET")
    assert (answer.status_code, answer.mimetype, answer.is_streamed) == (
        200,
        "application/zip",
        True,
    )
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    for student in backend.students[backend.schools[0]]:
        content = json.loads(archive.read(f"student/{student.hex}/data.json"))
        assert [len(rows) for rows in content.values()] == [1, 1]
        assert content["Student"][0]["first_name"].startswith(CANARY)
    assert "about-student.json" in archive.namelist()
    events = list(read_trail(backend.folder / "trail", where={"event": "processing"}))
    told = [event for event in events if event["endpoint"] == "export of a client"]
    assert {event["stage"] for event in told} == {"intent", "outcome"}
    named = {one for event in told for access in event["touched"] for one in access["pseudonyms"]}
    assert len(named) == 2
    other = ask(backend, backend.administrator(1), None, done.json["links"]["archive"], "GET")
    assert other.status_code == 404


def test_nothing_opens_from_the_moment_of_the_answer(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = backend.app.extensions["lgprivacy"]
    monkeypatch.setattr(state.background, "_job", lambda: None)
    with backend.app.app_context(), backend.reading():
        student = db.session.get(Student, backend.students[backend.schools[0]][0])
        assert student.first_name
    ask(backend, backend.administrator(), everything(backend))
    assert rows(backend) == 4, "the rows are still there"
    with backend.app.app_context():
        student = db.session.get(Student, backend.students[backend.schools[0]][0])
        with backend.reading(), pytest.raises(SubjectErased):
            _ = student.first_name
        with backend.writing(), pytest.raises(SubjectErased):
            db.session.add(
                Student(school_id=backend.schools[0], first_name=CANARY, last_name=CANARY)
            )
            db.session.flush()
        db.session.rollback()


def test_a_removal_that_was_cut_off_is_taken_up_by_the_command(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_erasure, "CHUNK", 1)
    monkeypatch.setattr(backend.app.extensions["lgprivacy"].background, "_job", lambda: None)
    ask(backend, backend.administrator(), everything(backend))
    with backend.app.app_context():
        next(backend.privacy.rights.work())
        db.session.rollback()
    assert rows(backend) == 3
    said = backend.app.test_cli_runner().invoke(args=["privacy", "requests", "work"])
    assert (said.exit_code, said.stdout) == (0, "1 requests, 1 subjects removed\n")
    listed = json.loads(
        backend.app.test_cli_runner().invoke(args=["privacy", "requests", "--json"]).stdout
    )
    assert [one["state"] for one in listed] == ["completed"]
    assert rows(backend) == 2


def test_the_moment_does_not_depend_on_how_many_students_there_are(tmp_path: Path) -> None:
    """One statement destroys the key; seconds are compared only to catch work that grows with the students."""
    backend = make_backend(tmp_path / "b")
    seconds, sizes = [], (100, MANY)
    for size in sizes:
        with backend.app.app_context():
            add_school(backend, size)
            mine = backend.schools[-1]
            backend.runtime.keys.forget_all()
            begun = time.perf_counter()
            assert backend.runtime.keys.destroy_client(db.session(), mine.hex) == 1
            db.session.commit()
            seconds.append(time.perf_counter() - begun)
    print(f"destroying the key of {sizes[1]} students against 100: {seconds[1] / seconds[0]:.2f}")
    assert seconds[1] / seconds[0] < 20


# --- after a restore ---


def test_a_client_stays_erased_when_its_data_is_restored(backend: Backend) -> None:
    back_up(backend.folder, "data", "old")
    ask(backend, backend.administrator(), everything(backend))
    finished(backend)
    close(backend)
    restore(backend.folder, "old", "data")
    again = restarted(backend)
    assert rows(again) == 4
    with again.app.app_context(), again.reading(1):
        assert rows(again) == 2
    told = [
        event for event in read_trail(again.folder / "trail") if event["event"] == "key-operation"
    ]
    assert dict(told[-1]["counts"])["clients"] == 1


@pytest.mark.parametrize("whom", ["student", "client"])
def test_when_the_keys_are_restored_too_nothing_is_served_until_the_trail_is_replayed(
    backend: Backend, whom: str
) -> None:
    gone, stays = backend.students[backend.schools[0]]
    back_up(backend.folder, "keys", "old_keys")
    body = (
        everything(backend)
        if whom == "client"
        else {"subject": {"kind": "student", "id": str(gone)}}
    )
    assert ask(backend, backend.administrator(), body).status_code == 202
    finished(backend)
    close(backend)
    restore(backend.folder, "old_keys", "keys")
    again = restarted(backend)
    with (
        again.app.app_context(),
        pytest.raises(ErasuresPending, match="flask privacy retention replay"),
        again.reading(),
    ):
        pass
    run = again.app.test_cli_runner().invoke
    rehearsed = json.loads(
        run(args=["privacy", "retention", "replay", "--dry-run", "--json"]).stdout
    )
    assert (rehearsed["dry run"], rehearsed["keys"]) == (True, 1)
    done = json.loads(run(args=["privacy", "retention", "replay", "--json"]).stdout)
    assert done["keys"] == 1
    with again.app.app_context(), again.reading(1):
        own = select(Student).where(Student.school_id == again.schools[1])
        assert len([row.first_name for row in db.session.scalars(own)]) == 2
    with again.app.app_context():
        assert not again.runtime.keys.is_alive(db.session(), "student", gone.hex)
        assert again.runtime.keys.is_alive(db.session(), "student", stays.hex) is (
            whom == "student"
        )


def test_when_everything_was_restored_the_command_repeats_it_from_the_trail(tmp_path: Path) -> None:
    backend = make_backend(tmp_path / "b", separate_keys=False)
    gone = backend.students[backend.schools[0]][0]
    back_up(backend.folder, "data", "old")
    ask(backend, backend.administrator(), {"subject": {"kind": "student", "id": str(gone)}})
    close(backend)
    restore(backend.folder, "old", "data")
    again = make_backend(backend.folder, separate_keys=False, filled=False)
    assert rows(again) == 4
    done = again.app.test_cli_runner().invoke(args=["privacy", "retention", "replay", "--json"])
    assert json.loads(done.stdout) == {
        "dry run": False,
        "subjects": 1,
        "clients": 0,
        "keys": 1,
        "rows": 2,
    }
    assert rows(again) == 3
    again_done = again.app.test_cli_runner().invoke(
        args=["privacy", "retention", "replay", "--json"]
    )
    assert json.loads(again_done.stdout)["keys"] == 0


def test_everything_opens_again_once_a_lost_key_table_is_restored(backend: Backend) -> None:
    back_up(backend.folder, "keys", "copy")
    close(backend)
    run_sql(backend.folder, "keys", "delete from lgprivacy_subject_key")
    run_sql(backend.folder, "keys", "delete from lgprivacy_client_key")
    restore(backend.folder, "copy", "keys")
    again = restarted(backend)
    with again.app.app_context(), again.reading():
        own = select(Student).where(Student.school_id == again.schools[0])
        assert len([row.first_name for row in db.session.scalars(own)]) == 2


def test_a_request_for_an_erased_client_says_what_happened(backend: Backend) -> None:
    ask(backend, backend.administrator(), everything(backend))
    finished(backend)
    with backend.app.app_context():
        found = backend.privacy.rights.visible_to(backend.administrator())
    assert [(one.right, one.state, one.steps[1].note) for one in found] == [
        (Right.DELETE, "completed", client_erasure.DESTROYED)
    ]
