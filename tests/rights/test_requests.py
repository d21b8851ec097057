"""Export, rectify, delete: who may ask, what happens, and what proves it."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from databases import SQLITE_ONLY, back_up, restore, run_sql
from school import CANARY, Account, Backend, Exercise, Student, close, db, make_backend
from sqlalchemy import delete, select

from flask_lgprivacy import Actor, LGPrivacy
from flask_lgprivacy.audit import read_trail, verify_trail
from flask_lgprivacy.rights.deadlines import months_after
from flask_lgprivacy.testing import acting_as, assert_refused, captured_trail


def ask(backend: Backend, actor: Actor | None, method: str, path: str, body: Any = None) -> Any:
    with acting_as(backend.app, actor):
        return backend.app.test_client().open(path, method=method, json=body)


def about(backend: Backend, school: int = 0, number: int = 0) -> dict[str, Any]:
    return {
        "subject": {"kind": "student", "id": str(backend.students[backend.schools[school]][number])}
    }


def rows_of_others(backend: Backend) -> list[Any]:
    gone = backend.students[backend.schools[0]][0].hex
    rows = run_sql(
        backend.folder, "data", "select * from student where id != :gone order by id", gone=gone
    )
    return rows + run_sql(
        backend.folder,
        "data",
        "select * from exercise where student_id != :gone order by id",
        gone=gone,
    )


def export(backend: Backend, actor: Actor, body: Any) -> zipfile.ZipFile:
    done = ask(backend, actor, "POST", "/privacy/export", body)
    assert (done.status_code, done.json["state"]) == (202, "completed")
    archive = ask(backend, actor, "GET", done.json["links"]["archive"])
    assert archive.headers["Cache-Control"] == "no-store"
    return zipfile.ZipFile(io.BytesIO(archive.data))


def test_a_school_exports_everything_of_one_student_only(either: Backend) -> None:
    archive = export(either, either.administrator(), about(either))
    data = json.loads(archive.read("data.json"))
    [student], [exercise] = data["Student"], data["Exercise"]
    assert (student["first_name"], student["birth_date"], student["preferences"]) == (
        f"{CANARY} A0",
        "2017-03-09",
        {"colour": f"{CANARY}-blue"},
    )
    assert exercise["strokes"] == [[f"{CANARY}-stroke", 1, 2.5]]
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert f"{CANARY} B0".encode() not in everything
    assert f"{CANARY} A1".encode() not in everything
    page = archive.read("index.html").decode()
    table = list(csv.DictReader(io.StringIO(archive.read("Student.csv").decode())))
    for value in (f"{CANARY} A0", f"{CANARY} Le  GoffA", "2017-03-09"):
        assert value in page
        assert value in table[0].values()


def test_a_tagged_field_is_exported_as_it_is(either: Backend) -> None:
    archive = export(either, either.holder(), {})
    [account] = json.loads(archive.read("data.json"))["Account"]
    assert account["phone"] == "0230000000"
    assert "tagged value" not in archive.read("index.html").decode()


def test_an_archive_says_why_to_whom_how_long_and_which_rights(backend: Backend) -> None:
    archive = export(backend, backend.administrator(), about(backend))
    described = json.loads(archive.read("about.json"))
    assert described["purposes"]["provide-service"]["basis"] == "contract"
    assert [recipient["name"][:3] for recipient in described["recipients"]] == ["OVH"]
    assert (
        described["categories"]["student.profile"]["retention"]["after"]
        == "instruction-of-the-client"
    )
    assert "GDPR Art. 17" in described["rights"].values()
    assert described["contact"]["email"] == "legal@learn-and-go.com"
    page = archive.read("index.html").decode()
    assert "OVH SAS" in page
    assert "GDPR Art. 15" in page


def test_the_manifest_holds_the_sums_of_the_files(backend: Backend) -> None:
    import hashlib

    archive = export(backend, backend.administrator(), about(backend))
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest == {
        name: hashlib.sha256(archive.read(name)).hexdigest()
        for name in archive.namelist()
        if name != "manifest.json"
    }


def test_credentials_are_never_exported(backend: Backend) -> None:
    student = export(backend, backend.administrator(), about(backend))
    account = export(backend, backend.holder(), {})
    assert "password_hash" not in json.loads(student.read("data.json"))["Student"][0]
    [exported] = json.loads(account.read("data.json"))["Account"]
    assert (exported["name"], "password_hash" in exported) == (f"{CANARY} Perrin", False)


def test_a_cell_that_a_spreadsheet_would_run_is_shown(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        student = db.session.get(Student, backend.students[backend.schools[0]][0])
        student.first_name = f"=cmd|'{CANARY}'"
        db.session.commit()
    table = export(backend, backend.administrator(), about(backend)).read("Student.csv").decode()
    assert f"'=cmd|'{CANARY}'" in table


def test_fields_stand_under_their_names_in_whatever_order_they_were_written(
    either: Backend,
) -> None:
    one = either.students[either.schools[0]][0]
    actor = either.teacher()
    with (
        either.app.app_context(),
        either.job("student.activity", actor=actor, actions={"read", "write"}),
    ):
        db.session.add(Exercise(note=f"{CANARY} b", strokes=["b"], student_id=one))
        later = Exercise(strokes=["c"], student_id=one)
        db.session.add(later)
        db.session.commit()
        later.note = f"{CANARY} c"
        db.session.commit()
    archive = export(either, either.administrator(), about(either))
    table = list(csv.DictReader(io.StringIO(archive.read("Exercise.csv").decode())))
    assert list(table[0])[-2:] == ["strokes", "note"]
    assert {row["note"]: row["strokes"] for row in table if row["note"]} == {
        f"{CANARY} b": '["b"]',
        f"{CANARY} c": '["c"]',
    }


def test_an_archive_expires(tmp_path: Path) -> None:
    now = [dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)]
    backend = make_backend(tmp_path / "b", privacy=LGPrivacy(utcnow=lambda: now[0]))
    done = ask(backend, backend.administrator(), "POST", "/privacy/export", about(backend))
    now[0] += dt.timedelta(days=8)
    assert_refused(
        ask(backend, backend.administrator(), "GET", done.json["links"]["archive"]), code="conflict"
    )
    close(backend)


def test_an_archive_is_nobody_elses(backend: Backend) -> None:
    done = ask(backend, backend.administrator(), "POST", "/privacy/export", about(backend))
    for actor in (backend.administrator(1), backend.teacher(), backend.student_actor(0, 1)):
        assert ask(backend, actor, "GET", done.json["links"]["archive"]).status_code in (403, 404)


def test_a_school_rectifies_a_student(either: Backend) -> None:
    body = {**about(either), "changes": {"birth_date": "2016-12-31", "first_name": f"{CANARY} new"}}
    done = ask(either, either.administrator(), "POST", "/privacy/rectify", body)
    assert (done.status_code, done.json["state"]) == (202, "completed")
    with either.app.app_context(), either.reading():
        student = db.session.get(Student, either.students[either.schools[0]][0])
        assert (student.birth_date, student.first_name) == (dt.date(2016, 12, 31), f"{CANARY} new")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "at least one field"),
        ({"shoe_size": 38}, "no field of this name"),
        ({"password_hash": "x"}, "no field of this name"),
        ({"birth_date": f"{CANARY}"}, "birth_date: write a date"),
        ({"height": f"{CANARY}"}, "height"),
        ({"first_name": None}, "first_name"),
    ],
)
def test_a_rectification_that_cannot_be_made_changes_nothing(
    backend: Backend, changes: Any, says: str
) -> None:
    before = rows_of_others(backend)
    response = ask(
        backend,
        backend.administrator(),
        "POST",
        "/privacy/rectify",
        {**about(backend), "changes": changes},
    )
    assert_refused(response, code="request-invalid")
    assert response.status_code == 422
    assert says in response.json["detail"]
    assert CANARY not in response.text
    assert rows_of_others(backend) == before


def test_erasing_one_student_leaves_the_others_byte_for_byte(either: Backend) -> None:
    before = rows_of_others(either)
    done = ask(either, either.administrator(), "POST", "/privacy/delete", about(either))
    assert (done.status_code, done.json["state"]) == (202, "completed")
    assert rows_of_others(either) == before
    certificate = ask(either, either.administrator(), "GET", done.json["links"]["certificate"]).json
    assert (certificate["erased"], certificate["key"], certificate["left"]) == (
        {"Student": 1, "Exercise": 1},
        "destroyed",
        {},
    )
    with either.app.app_context():
        gone = either.students[either.schools[0]][0]
        assert db.session.get(Student, gone) is None
        assert not db.session.scalars(select(Exercise.id).where(Exercise.student_id == gone)).all()


def test_a_person_stays_erased_when_an_old_data_file_is_restored_beside_the_new_keys(
    tmp_path: Path,
) -> None:
    backend = make_backend(tmp_path / "b")
    back_up(backend.folder, "data", "old")
    ask(backend, backend.administrator(), "POST", "/privacy/delete", about(backend))
    close(backend)
    restore(backend.folder, "old", "data")
    restored = make_backend(backend.folder, filled=False)
    restored.schools, restored.students = backend.schools, backend.students
    gone, stays = backend.students[backend.schools[0]]
    with restored.app.app_context(), restored.reading():
        assert db.session.get(Student, stays).first_name == f"{CANARY} B0"
        assert db.session.get(Student, gone) is None
    told = [
        event
        for event in read_trail(restored.folder / "trail")
        if event["event"] == "key-operation"
    ]
    assert [(event["operation"], dict(event["counts"])["subjects"]) for event in told] == [
        ("replay-erasures", 1)
    ]
    close(restored)


@SQLITE_ONLY
def test_the_key_bytes_are_gone_from_the_key_file(backend: Backend) -> None:
    gone = backend.students[backend.schools[0]][0].hex
    [[wrapped]] = run_sql(
        backend.folder,
        "keys",
        "select wrapped from lgprivacy_subject_key where subject = :gone",
        gone=gone,
    )
    assert wrapped in (backend.folder / "keys.db").read_bytes()
    ask(backend, backend.administrator(), "POST", "/privacy/delete", about(backend))
    assert wrapped not in (backend.folder / "keys.db").read_bytes()


def test_a_second_look_that_finds_something_does_not_say_completed(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flask_lgprivacy.orm.own_statements import OWN_STATEMENT
    from flask_lgprivacy.rights import erasure as erase
    from flask_lgprivacy.rights.erasure_plan import Removal
    from flask_lgprivacy.rights.removal import owned_tables

    def forgetful(runtime: Any, session: Any, kind: str, ones: Any) -> Removal:
        tables = [entry for entry in owned_tables(runtime, kind, ones) if entry[0] != "archives"]
        counts = {
            name: session.execute(
                delete(table).where(condition), execution_options=OWN_STATEMENT
            ).rowcount
            for name, table, condition in tables
        }
        return Removal(Counter(counts))

    export(backend, backend.administrator(), about(backend))
    monkeypatch.setattr(erase, "remove_rows", forgetful)
    done = ask(backend, backend.administrator(), "POST", "/privacy/delete", about(backend))
    certificate = ask(
        backend, backend.administrator(), "GET", done.json["links"]["certificate"]
    ).json
    assert (done.json["state"], certificate["left"]) == (
        "completed-with-remainder",
        {"archives": 1},
    )


def test_a_students_own_request_is_only_forwarded(backend: Backend) -> None:
    done = ask(backend, backend.student_actor(), "POST", "/privacy/delete", {})
    assert (done.status_code, done.json["state"], done.json["clause"]) == (
        202,
        "forwarded",
        "LG-28",
    )
    with backend.app.app_context():
        assert db.session.get(Student, backend.students[backend.schools[0]][0]) is not None
    desk = ask(backend, backend.administrator(), "GET", "/privacy/requests").json
    assert [(one["id"], one["state"]) for one in desk] == [(done.json["id"], "forwarded")]
    assert ask(backend, backend.administrator(1), "GET", "/privacy/requests").json == []


@pytest.mark.parametrize("right", ["export", "delete", "rectify"])
@pytest.mark.parametrize(
    "who", ["administrator of another school", "teacher", "other student", "account holder"]
)
def test_nobody_else_may_ask(backend: Backend, right: str, who: str) -> None:
    actor = {
        "administrator of another school": backend.administrator(1), "teacher": backend.teacher(),
        "other student": backend.student_actor(0, 1), "account holder": backend.holder(),
    }[who]  # fmt: skip
    body = (
        {**about(backend), "changes": {"first_name": "x"}} if right == "rectify" else about(backend)
    )
    response = ask(backend, actor, "POST", f"/privacy/{right}", body)
    assert_refused(response, clause="LG-28")
    assert CANARY not in response.text
    assert rows_of_others(backend)


def test_a_student_that_does_not_exist_looks_like_one_of_another_school(backend: Backend) -> None:
    absent = {"subject": {"kind": "student", "id": "00000000-0000-4000-8000-000000000000"}}
    answers = {
        ask(backend, backend.administrator(), "POST", "/privacy/export", body).text
        for body in (about(backend, 1), absent)
    }
    assert len(answers) == 1


def test_an_account_holder_erases_itself(backend: Backend) -> None:
    done = ask(backend, backend.holder(), "POST", "/privacy/delete", {})
    assert (done.json["state"], done.json["clause"]) == ("completed", "LG-27")
    with backend.app.app_context():
        assert db.session.get(Account, backend.account) is None


def test_nobody_is_asked_to_sign_in_first(backend: Backend) -> None:
    assert_refused(
        ask(backend, None, "POST", "/privacy/export", {}), code="authentication-required"
    )


@pytest.mark.parametrize(
    "body",
    [
        [1],
        "x",
        {"subject": "me"},
        {"subject": {"kind": "student"}},
        {"subject": {"kind": 1, "id": 2}},
        {"x": 1},
        {"changes": []},
    ],
)
def test_a_body_that_makes_no_sense_is_422(backend: Backend, body: Any) -> None:
    response = ask(backend, backend.administrator(), "POST", "/privacy/export", body)
    assert response.status_code == 422


@pytest.mark.parametrize(
    ("subject", "status"),
    [({"kind": "robot", "id": "1"}, 422), ({"kind": "student", "id": f"{CANARY}"}, 403)],
)
def test_a_subject_that_makes_no_sense_is_refused(
    backend: Backend, subject: Any, status: int
) -> None:
    response = ask(
        backend, backend.administrator(), "POST", "/privacy/export", {"subject": subject}
    )
    assert response.status_code == status
    assert CANARY not in response.text


def test_a_refused_right_is_in_the_trail_with_its_clause(backend: Backend) -> None:
    body = {"subject": {"kind": "student", "id": str(backend.students[backend.schools[0]][0])}}
    with captured_trail(backend.app) as trail:
        assert ask(backend, backend.teacher(), "POST", "/privacy/delete", body).status_code == 403
    [refused] = trail.events[-1].refused
    assert (refused.code, refused.clause) == ("access-denied", "LG-28")


def test_a_form_of_another_site_changes_nothing(backend: Backend) -> None:
    with acting_as(backend.app, backend.holder()):
        response = backend.app.test_client().post("/privacy/delete", data={"x": "y"})
    assert response.status_code == 422
    with backend.app.app_context():
        assert db.session.get(Account, backend.account) is not None


def test_a_request_of_somebody_else_is_not_found(backend: Backend) -> None:
    done = ask(backend, backend.administrator(), "POST", "/privacy/export", about(backend))
    response = ask(backend, backend.administrator(1), "GET", done.json["links"]["self"])
    assert_refused(response, code="not-found")


def test_a_request_tells_its_history_and_deadline(backend: Backend) -> None:
    done = ask(backend, backend.administrator(), "POST", "/privacy/export", about(backend)).json
    assert [step["state"] for step in done["history"]] == ["received", "in-progress", "completed"]
    assert dt.datetime.fromisoformat(done["due"]) == months_after(
        dt.datetime.fromisoformat(done["received"]), 1
    )


def test_a_request_is_in_the_trail_step_by_step(backend: Backend) -> None:
    done = ask(backend, backend.administrator(), "POST", "/privacy/delete", about(backend)).json
    steps = list(read_trail(backend.folder / "trail", where={"request": done["id"]}))
    assert [(step["state"], step["right"], step["role"]) for step in steps] == [
        ("received", "delete", "administrator"),
        ("completed", "delete", "administrator"),
    ]
    assert verify_trail(backend.folder / "trail").exit_code == 0


def test_a_request_that_fails_stays_as_failed(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flask_lgprivacy.errors import KeyUnavailable
    from flask_lgprivacy.rights import erasure

    def away(*_: Any, **__: Any) -> Any:
        raise KeyUnavailable("the key service is away")

    monkeypatch.setattr(erasure, "erase_subject", away)
    assert (
        ask(backend, backend.administrator(), "POST", "/privacy/delete", about(backend)).status_code
        == 503
    )
    [left] = ask(backend, backend.administrator(), "GET", "/privacy/requests").json
    assert left["state"] == "failed"


@pytest.mark.parametrize(
    ("received", "months", "due"),
    [
        ("2026-01-31", 1, "2026-02-28"), ("2028-01-31", 1, "2028-02-29"), ("2026-12-15", 1, "2027-01-15"),
        ("2026-11-30", 3, "2027-02-28"), ("2026-03-31", 1, "2026-04-30"),
    ],
)  # fmt: skip
def test_a_month_is_a_calendar_month(received: str, months: int, due: str) -> None:
    assert months_after(dt.datetime.fromisoformat(received), months) == dt.datetime.fromisoformat(
        due
    )


def test_a_rectification_that_a_student_asks_for_reaches_the_school_sealed(
    backend: Backend,
) -> None:
    wanted = {"changes": {"first_name": f"{CANARY} wanted"}}
    asked = ask(backend, backend.student_actor(), "POST", "/privacy/rectify", wanted).json
    assert asked["state"] == "forwarded"
    seen = ask(backend, backend.administrator(), "GET", asked["links"]["archive"])
    assert (seen.json, seen.headers["Cache-Control"]) == (wanted, "no-store")
    assert (
        ask(backend, backend.administrator(1), "GET", asked["links"]["archive"]).status_code == 404
    )


@pytest.mark.parametrize("value", [True, {"a": 1}, ["x"], 10**40])
def test_a_tagged_field_takes_only_its_own_type(backend: Backend, value: Any) -> None:
    response = ask(
        backend, backend.holder(), "POST", "/privacy/rectify", {"changes": {"phone": value}}
    )
    assert_refused(response, code="request-invalid")
    assert ask(backend, backend.holder(), "GET", "/privacy/requests").json == []


def test_a_value_that_is_taken_is_a_conflict(backend: Backend) -> None:
    with (
        backend.app.app_context(),
        backend.job("account.identity", actor=Actor("f", role="job"), actions={"write"}),
    ):
        db.session.add(Account(name=CANARY, email=f"{CANARY}-other@ecole.example"))
        db.session.commit()
    body = {"changes": {"email": f"{CANARY}-other@ecole.example"}}
    response = ask(backend, backend.holder(), "POST", "/privacy/rectify", body)
    assert_refused(response, code="conflict")
    assert CANARY not in response.text
    assert [
        one["state"] for one in ask(backend, backend.holder(), "GET", "/privacy/requests").json
    ] == ["failed"]


def test_actors_of_two_tables_with_one_id_do_not_see_each_others_requests(backend: Backend) -> None:
    teacher = Actor(
        "7", role="teacher", client=backend.schools[0], subjects=[("account", backend.account)]
    )
    ask(backend, teacher, "POST", "/privacy/export", {})
    assert (
        ask(
            backend,
            Actor("7", role="student", client=backend.schools[1]),
            "GET",
            "/privacy/requests",
        ).json
        == []
    )


def test_a_teacher_is_told_that_the_role_is_missing(backend: Backend) -> None:
    response = ask(backend, backend.teacher(), "POST", "/privacy/delete", about(backend))
    assert response.json["missing"] == "role administrator"


def test_an_erasure_that_failed_after_the_key_can_be_repeated(backend: Backend) -> None:
    with backend.app.app_context():
        backend.runtime.keys.destroy(
            db.session(), "student", backend.students[backend.schools[0]][0].hex
        )
    done = ask(backend, backend.administrator(), "POST", "/privacy/delete", about(backend)).json
    assert done["state"] == "completed"
    with backend.app.app_context():
        assert db.session.get(Student, backend.students[backend.schools[0]][0]) is None


def test_a_listing_tells_each_history(backend: Backend) -> None:
    ask(backend, backend.administrator(), "POST", "/privacy/export", about(backend))
    [one] = ask(backend, backend.administrator(), "GET", "/privacy/requests").json
    assert len(one["history"]) == 3
    assert one["subject"]["id"] == about(backend)["subject"]["id"]


def test_a_body_that_is_too_deep_is_422(backend: Backend) -> None:
    with acting_as(backend.app, backend.administrator()):
        deep = "[" * 100_000
        response = backend.app.test_client().post(
            "/privacy/export", data=deep, content_type="application/json"
        )
    assert response.status_code == 422


def test_a_request_does_not_commit_what_its_caller_has_not(backend: Backend) -> None:
    from flask_lgprivacy.errors import RequestConflict
    from flask_lgprivacy.policy import Right

    with backend.app.app_context(), backend.writing():
        other = db.session.get(Student, backend.students[backend.schools[0]][1])
        other.first_name = f"{CANARY} pending"
        one = str(backend.students[backend.schools[0]][0])
        db.session.add(Exercise(student=other, strokes=[]))
        with pytest.raises(RequestConflict, match="not committed"):
            backend.privacy.rights.submit(
                Right.EXPORT, backend.administrator(), kind="student", one=one
            )


def test_nobody_tries_out_by_rectifying_which_addresses_are_known(backend: Backend) -> None:
    holder = backend.holder()
    answers = [
        ask(
            backend,
            holder,
            "POST",
            "/privacy/rectify",
            {"changes": {"email": f"guess{number}@ecole.example"}},
        )
        for number in range(10)
    ]
    assert {answer.status_code for answer in answers} == {202}
    refused = ask(
        backend, holder, "POST", "/privacy/rectify", {"changes": {"email": "another@ecole.example"}}
    )
    assert_refused(refused, code="too-many-requests")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "3600"
    plain = ask(backend, holder, "POST", "/privacy/rectify", {"changes": {"phone": "0102030405"}})
    assert plain.status_code == 202
