"""What is forgotten before the first request is said in words, where the developer looks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from school import STORES, Backend, Student, db
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_lgprivacy import LGPrivacy, sealed
from flask_lgprivacy.errors import ModelInvalid
from flask_lgprivacy.testing import acting_as, assert_refused


def application(folder: Path) -> tuple[Flask, Any]:
    class Base(DeclarativeBase):
        pass

    database = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})
    app = Flask("own", instance_path=str(folder))
    app.config.update(SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/own.db", LGPRIVACY_STORES=STORES)
    database.init_app(app)
    return app, database


def test_a_forgotten_owner_stops_the_start_also_where_no_other_model_is_labelled(
    tmp_path: Path,
) -> None:
    app, database = application(tmp_path)

    class Pupil(database.Model):
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        first_name: Mapped[str] = sealed("student.profile")

    with pytest.raises(ModelInvalid, match="no __privacy__"):
        LGPrivacy(app)


@pytest.mark.parametrize("testing", [True, False])
def test_forgotten_tables_are_named_with_the_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, testing: bool
) -> None:
    app, _ = application(tmp_path)
    app.testing = testing
    privacy = LGPrivacy(app)

    @app.get("/x")
    @privacy.handles(roles={"public"}, purpose="sign-in")
    def view() -> str:
        return "never"

    answer = app.test_client().get("/x")
    assert_refused(answer, code="configuration")
    said = "run 'flask privacy init', or your migrations"
    assert (said in answer.text, said in caplog.text) == (testing, True)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_forgotten_actor_loader_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_there: bool
) -> None:
    app, database = application(tmp_path)
    privacy = LGPrivacy(app)
    if is_there:
        privacy.actor_loader(lambda: None)
    with app.app_context():
        privacy.initialise()
        database.create_all()

    @app.get("/x")
    @privacy.handles(roles={"public"}, purpose="sign-in")
    def view() -> str:
        return "ok"

    with caplog.at_level(logging.WARNING):
        assert [app.test_client().get("/x").text for _ in range(2)] == ["ok", "ok"]
    assert caplog.text.count("no actor loader is registered") == (0 if is_there else 1)


@pytest.mark.parametrize("testing", [True, False])
def test_a_row_that_is_moved_is_the_developers_mistake(
    backend: Backend, caplog: pytest.LogCaptureFixture, testing: bool
) -> None:
    backend.app.testing = testing

    @backend.app.get("/x")
    @backend.privacy.handles(
        "student.profile", roles={"teacher"}, purpose="provide-service", actions={"write"}
    )
    def view() -> str:
        pupil: Any = db.session.get(Student, backend.students[backend.schools[0]][0])
        pupil.school_id = backend.schools[1]
        db.session.commit()
        return "never"

    with acting_as(backend.app, backend.teacher()):
        answer = backend.app.test_client().get("/x")
    said = "a sealed record stays with its row, subject and client"
    assert_refused(answer, code="write-invalid")
    assert (said in answer.text, said in caplog.text) == (testing, True)


def test_what_is_read_in_a_hook_before_the_view_is_said_to_be_too_early(backend: Backend) -> None:
    backend.app.testing = True

    @backend.app.before_request
    def hook() -> None:
        _ = db.session.get(Student, backend.students[backend.schools[0]][0]).first_name

    @backend.app.get("/x")
    @backend.privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def view() -> str:
        return "never"

    with acting_as(backend.app, backend.teacher()):
        answer = backend.app.test_client().get("/x")
    assert "no view has begun" in answer.text
    assert answer.status_code == 500


def test_a_trail_that_is_not_there_cannot_be_told_of(backend: Backend) -> None:
    result = backend.app.test_cli_runner().invoke(
        args=["privacy", "audit", "verify", str(backend.folder / "elsewhere")]
    )
    assert (result.exit_code, "cannot tell" in result.output) == (3, True)


def test_every_role_that_an_endpoint_is_for_is_named(backend: Backend) -> None:
    @backend.app.get("/x")
    @backend.privacy.handles(roles={"guest"}, purpose="provide-service")
    @backend.privacy.handles(roles={"administrator"}, purpose="provide-service")
    def view() -> str:
        return "never"

    with acting_as(backend.app, backend.teacher()):
        answer = backend.app.test_client().get("/x")
    assert answer.json["missing"] == "role administrator or guest"
