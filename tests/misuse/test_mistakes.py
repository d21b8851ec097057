"""One test for each mistake that the design and the notes list; what is tested beside its subject is named there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from databases import SQLITE_ONLY
from school import CANARY, Account, Backend, Student, db, make_backend
from sqlalchemy import delete, insert, select, text, update

from flask_lgprivacy.errors import DeclarationInvalid, DisclosureRefused, UndeclaredProcessing
from flask_lgprivacy.testing import acting_as, assert_refused


def first(backend: Backend) -> Any:
    return db.session.get(Student, backend.students[backend.schools[0]][0])


def test_forgetting_the_declaration_is_named_by_check(backend: Backend) -> None:
    @backend.app.get("/forgotten")
    def forgotten() -> str:
        return "never"

    result = backend.app.test_cli_runner().invoke(args=["privacy", "check"])
    assert result.exit_code == 1
    assert "endpoint forgotten (GET /forgotten) declares no processing" in result.output


def test_nothing_forgotten_passes_the_check(backend: Backend) -> None:
    result = backend.app.test_cli_runner().invoke(args=["privacy", "check"])
    assert (result.exit_code, "0 faults" in result.output) == (0, True)


@pytest.mark.parametrize(("testing", "shown"), [(False, False), (True, True)])
def test_reading_an_undeclared_category_is_500_opaque_in_production(
    backend: Backend, testing: bool, shown: bool
) -> None:
    backend.app.testing = testing

    @backend.app.get("/undeclared")
    @backend.privacy.handles("student.activity", roles={"teacher"}, purpose="provide-service")
    def undeclared() -> str:
        return first(backend).first_name

    with acting_as(backend.app, backend.teacher()):
        response = backend.app.test_client().get("/undeclared")
    assert_refused(response, code="undeclared-processing")
    assert response.status_code == 500
    assert ("does not declare 'student.profile'" in response.json["detail"]) is shown


def test_forgetting_to_filter_by_school_is_denied(backend: Backend) -> None:
    @backend.app.get("/unfiltered")
    @backend.privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def unfiltered() -> Any:
        return [student.first_name for student in db.session.scalars(db.select(Student))]

    with acting_as(backend.app, backend.teacher()):
        response = backend.app.test_client().get("/unfiltered")
    assert_refused(response, clause="LG-03")
    assert CANARY not in response.text


def test_raw_sql_gets_ciphertext(backend: Backend) -> None:
    with backend.app.app_context(), backend.reading():
        rows = db.session.execute(text("select * from student")).all()
    assert rows
    assert CANARY not in repr(rows)


@SQLITE_ONLY
def test_a_backup_is_ciphertext(backend: Backend, tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(backend.folder / "data.db")) as source,
        closing(sqlite3.connect(tmp_path / "backup.sqlite")) as target,
    ):
        source.backup(target)
    source.close()
    target.close()
    assert CANARY.encode() not in (tmp_path / "backup.sqlite").read_bytes()


def _statements(backend: Backend) -> dict[str, Any]:
    session, one = db.session, backend.students[backend.schools[0]][0]
    return {
        "insert": lambda: session.execute(
            insert(Student), [{"id": uuid4(), "school_id": backend.schools[0]}]
        ),
        "update": lambda: session.execute(update(Account).values(phone="1")),
        "delete": lambda: session.execute(delete(Student).where(Student.id == one)),
        "query delete": lambda: session.query(Student).delete(),
        "bulk save": lambda: session.bulk_save_objects(
            [Student(school_id=backend.schools[0], first_name=CANARY, last_name=CANARY)]
        ),
        "bulk insert": lambda: session.bulk_insert_mappings(Student, [{"id": uuid4()}]),
        "bulk update": lambda: session.bulk_update_mappings(
            Account, [{"id": backend.account, "phone": "1"}]
        ),
        "merge": lambda: session.merge(
            Student(id=one, school_id=backend.schools[0], first_name=CANARY, last_name=CANARY)
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        "insert",
        "update",
        "delete",
        "query delete",
        "bulk save",
        "bulk insert",
        "bulk update",
        "merge",
    ],
)
def test_a_bulk_statement_cannot_go_around_the_gate(backend: Backend, name: str) -> None:
    with backend.app.app_context(), backend.writing():
        with pytest.raises(UndeclaredProcessing, match="load the row|bulk statements"):
            _statements(backend)[name]()
        db.session.rollback()
        assert len(db.session.scalars(select(Student.id)).all()) == 4


def test_a_job_without_a_context_writes_nothing(backend: Backend) -> None:
    with backend.app.app_context():
        db.session.add(Student(school_id=backend.schools[0], first_name=CANARY, last_name=CANARY))
        with pytest.raises(UndeclaredProcessing, match="outside any declared processing"):
            db.session.commit()


def test_a_refused_disclosure_is_no_os_error() -> None:
    assert not issubclass(DisclosureRefused, OSError)


def test_an_error_of_another_extension_shows_no_value(backend: Backend) -> None:
    @backend.app.get("/crash")
    @backend.privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def crash() -> str:
        student = first(backend)
        assert student.first_name
        raise RuntimeError(f"something about {student!r}")

    backend.app.config["PROPAGATE_EXCEPTIONS"] = False
    with acting_as(backend.app, backend.teacher()):
        response = backend.app.test_client().get("/crash")
    assert response.status_code == 500
    assert CANARY not in response.text


def test_a_declared_action_that_is_not_used_is_no_harm(backend: Backend) -> None:
    with backend.app.app_context(), backend.writing():
        assert first(backend).first_name


def test_another_publisher_replaces_the_document(tmp_path: Path) -> None:
    from flask_lgprivacy.policy import SHIPPED

    own = tmp_path / "own.toml"
    text_of = SHIPPED.read_text(encoding="utf-8")
    own.write_text(
        text_of.replace("LG-", "XY-").replace("legal@learn-and-go.com", "privacy@other.example"),
        encoding="utf-8",
    )
    backend = make_backend(tmp_path / "b", LGPRIVACY_POLICY=own)

    @backend.app.get("/bare")
    def bare() -> str:
        return "never"

    response = backend.app.test_client().get("/bare")
    assert (response.json["clause"], response.json["contact"]["email"]) == (
        "XY-02",
        "privacy@other.example",
    )
    with (
        backend.app.app_context(),
        backend.reading(1),
        pytest.raises(Exception, match="does not act") as denied,
    ):
        _ = first(backend).first_name
    assert denied.value.clause == "XY-03"  # type: ignore[attr-defined]


def test_whoever_forgot_the_actions_is_told_which_there_are(backend: Backend) -> None:
    declared = backend.privacy.handles(
        "visitor.message", roles={"public"}, purpose="answer-enquiry"
    )
    with pytest.raises(DeclarationInvalid, match=r"did you mean actions=\{'write'\}"):
        backend.app.add_url_rule("/comments", view_func=declared(lambda: "x"))
