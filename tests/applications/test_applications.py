"""Three applications as people write them: numbers that the database counts, several models of one kind, tables without a model, messages, Flask-Migrate."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import flask_migrate
import forum
import lending
import pytest
import schoolbook
from databases import IS_POSTGRESQL, uri
from flask import Flask, request
from flask_migrate import Migrate
from ownership import enforce, fresh_database
from school import STORES
from sqlalchemy import event, inspect, text

from flask_lgprivacy import Actor, LGPrivacy
from flask_lgprivacy.testing import make_key_file

pytestmark = pytest.mark.filterwarnings("ignore:'get_engine' is deprecated")
"""Flask-Migrate's template of `env.py` asks Flask-SQLAlchemy in its old way first."""


@dataclass
class Running:
    """One application that runs.

    Attributes:
        app: With its pages.
        db: Its database.
        models: By name.
        privacy: Its extension.
        folder: Of its migrations.
    """

    app: Flask
    db: Any
    models: dict[str, Any]
    privacy: LGPrivacy
    folder: Path

    def ask(self, who: Any, method: str, path: str, body: Any = None) -> Any:
        """An answer over HTTP."""
        headers = {"X-User": str(who[0]), "X-Kind": who[1], **who[2]}
        return self.app.test_client().open(path, method=method, json=body, headers=headers)

    def export(self, who: Any) -> dict[str, list[dict[str, Any]]]:
        """What somebody is shown, over HTTP."""
        done = self.ask(who, "POST", "/privacy/export", {})
        assert (done.status_code, done.json["state"]) == (202, "completed")
        archive = self.ask(who, "GET", done.json["links"]["archive"])
        content = zipfile.ZipFile(io.BytesIO(archive.data)).read("data.json")
        shown: dict[str, list[dict[str, Any]]] = json.loads(content)
        return {name: rows for name, rows in shown.items() if rows}

    def erase(self, who: Any, about: Any = None) -> dict[str, Any]:
        """The certificate of an erasure, over HTTP."""
        body = {} if about is None else {"subject": about}
        done = self.ask(who, "POST", "/privacy/delete", body)
        assert (done.status_code, done.json["state"]) == (202, "completed"), done.json
        certificate = self.ask(who, "GET", done.json["links"]["certificate"]).json
        assert (certificate["left"], certificate["key"]) == ({}, "destroyed")
        return dict(certificate)

    def set_up(self, *rows: Any) -> None:
        """Record people and things."""
        with self.app.app_context():
            job = self.privacy.processing(
                "account.identity",
                "account.credentials",
                actor=Actor("set-up", role="job"),
                purpose="provide-service",
                actions={"write"},
                job="set-up",
            )
            with job:
                for row in rows:
                    self.db.session.add(row)
                    self.db.session.commit()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Of a statement."""
        with self.app.app_context():
            found = self.db.session.execute(text(query)).all()
            self.db.session.commit()
        return sorted(tuple(row) for row in found)


def account(one: int, kind: str = "account") -> tuple[int, str, dict[str, str]]:
    return one, kind, {}


def current_actor() -> Actor | None:
    """Who asks, as headers say in these tests."""
    if "X-User" not in request.headers:
        return None
    one, kind = int(request.headers["X-User"]), request.headers["X-Kind"]
    role = request.headers.get("X-Role", "teacher")
    return Actor(one, role=role, client=request.headers.get("X-School"), subjects=[(kind, one)])


def prepare(module: ModuleType, folder: Path) -> Running:
    """An application, before its tables are there."""
    folder.mkdir()
    db, privacy = fresh_database(), LGPrivacy()
    models, pages = module.build(db, privacy)
    app = Flask(module.__name__, instance_path=str(folder), static_folder=None)
    app.config.update(SQLALCHEMY_DATABASE_URI=uri(folder, "data"), LGPRIVACY_STORES=STORES)
    make_key_file(folder / "lgprivacy.key")
    db.init_app(app)
    app.register_blueprint(pages)
    privacy.actor_loader(current_actor)
    with app.app_context():
        if not IS_POSTGRESQL:
            event.listen(db.engine, "connect", enforce)
        privacy.init_app(app)
    Migrate(app, db, directory=str(folder / "migrations"), render_as_batch=not IS_POSTGRESQL)
    return Running(app, db, models, privacy, folder / "migrations")


def migrated(running: Running) -> Running:
    """The same with its tables, made by one migration."""
    with running.app.app_context():
        flask_migrate.init()
        flask_migrate.migrate(message="first")
        flask_migrate.upgrade()
        running.privacy.initialise()
    return running


@pytest.fixture(autouse=True)
def loggers_stay() -> Iterator[None]:
    """Flask-Migrate's `env.py` configures logging, which disables every logger that is there."""
    root, known = logging.getLogger(), logging.Logger.manager.loggerDict.values()
    before = {one: one.disabled for one in known if isinstance(one, logging.Logger)}
    handlers, level = list(root.handlers), root.level
    yield
    for logger, disabled in before.items():
        logger.disabled = disabled
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[ModuleType], Running]]:
    before = logging.root.manager.disable
    made: list[Running] = []

    def migrated_application(module: ModuleType) -> Running:
        made.append(migrated(prepare(module, tmp_path / module.__name__)))
        return made[-1]

    yield migrated_application
    logging.disable(before)
    for running in made:
        with running.app.app_context():
            running.db.session.remove()
            running.db.engine.dispose()


def versions(running: Running) -> list[str]:
    return sorted(path.name for path in (running.folder / "versions").glob("*.py"))


@pytest.mark.parametrize("module", [forum, lending, schoolbook], ids=lambda module: module.__name__)
def test_migrations_are_made_once_and_run_both_ways(
    make: Callable[[ModuleType], Running], module: ModuleType
) -> None:
    running = make(module)
    made = versions(running)
    assert len(made) == 1
    assert "flask_lgprivacy" not in (running.folder / "versions" / made[0]).read_text()
    with running.app.app_context():
        flask_migrate.migrate(message="second")
        assert versions(running) == made, "nothing is left to migrate"
        flask_migrate.downgrade(revision="base")
        assert inspect(running.db.engine).get_table_names() == ["alembic_version"]
        flask_migrate.upgrade()
        tables = set(inspect(running.db.engine).get_table_names())
        assert tables - {"alembic_version"} == set(running.db.metadata.tables)


def test_a_forum_works_and_answers_its_people(make: Callable[[ModuleType], Running]) -> None:
    running = make(forum)
    user = running.models["user"]
    running.set_up(*(user(username=name, password_hash="x") for name in ("ann", "bob", "eve")))
    ann, bob, eve = account(1), account(2), account(3)
    assert running.ask(ann, "POST", "/posts", {"body": "hello"}).json == {"id": 1}
    for who, body in ((bob, "welcome"), (ann, "thanks")):
        assert running.ask(who, "POST", "/posts/1/comments", {"body": body}).status_code == 204
    assert (
        running.ask(ann, "POST", "/messages", {"recipient_id": 2, "body": "psst"}).status_code
        == 204
    )
    assert (
        running.ask(bob, "POST", "/messages", {"recipient_id": 3, "body": "other"}).status_code
        == 204
    )
    assert running.ask(ann, "POST", "/follow/2").status_code == 204
    assert running.ask(bob, "POST", "/follow/1").status_code == 204
    assert running.ask(bob, "GET", "/messages").json == ["psst", "other"]
    assert running.ask(ann, "GET", "/messages/1").json == {"body": "psst"}
    assert running.ask(eve, "GET", "/messages/1").status_code == 403
    shown = running.export(ann)
    assert shown["Message"] == [{"id": 1, "sender_id": 1, "recipient_id": 2, "body": "psst"}]
    assert sorted(row["body"] or "" for row in shown["Comment"]) == ["", ""]
    assert [row["body"] for row in shown["Post"]] == ["hello"]
    certificate = running.erase(ann)
    assert certificate["erased"] == {
        "User": 1, "Post": 1, "Comment": 2, "followers": 2, "archives": 1
    }  # fmt: skip
    assert running.rows("SELECT id, sender_id, recipient_id FROM message") == [
        (1, None, 2),
        (2, 2, 3),
    ]
    assert running.ask(bob, "GET", "/messages").json == ["psst", "other"]
    assert running.ask(ann, "GET", "/messages").json == []


def test_a_library_works_and_answers_its_people(make: Callable[[ModuleType], Running]) -> None:
    running = make(lending)
    models = running.models
    running.set_up(
        models["reader"](name="rosa", email="rosa@example.org"),
        models["reader"](name="rolf", email="rolf@example.org"),
        models["librarian"](name="lea"),
        models["book"](title="Emil", bought_by=1),
    )
    rosa, rolf, lea = account(1), account(2), account(1, "librarian")
    for who in (rosa, rolf):
        loan = {"book_id": 1, "handed_out_by": 1, "note": f"of {who[0]}"}
        assert running.ask(who, "POST", "/loans", loan).status_code == 204
        review = {"book_id": 1, "stars": 5, "words": f"good, says {who[0]}"}
        assert running.ask(who, "POST", "/reviews", review).status_code == 204
    running.rows("INSERT INTO reading_list VALUES (1, 1, 1), (2, 1, 1) RETURNING reader_id")
    assert running.ask(rosa, "GET", "/loans").json == ["of 1"]
    shown = running.export(rosa)
    assert [row["words"] for row in shown["Review"]] == ["good, says 1"]
    assert [row["note"] for row in shown["Loan"]] == ["of 1"]
    assert running.export(lea) == {"Librarian": [{"id": 1, "name": "lea"}]}
    assert running.erase(lea)["cleared"] == {"Loan.handed_out_by": 2, "Book.bought_by": 1}
    assert running.erase(rosa)["erased"] == {
        "Reader": 1, "Loan": 1, "Review": 1, "reading_list": 1, "archives": 1
    }  # fmt: skip
    assert running.ask(rolf, "GET", "/loans").json == ["of 2"]
    assert running.rows("SELECT reader_id, handed_out_by FROM loan") == [(2, None)]
    assert running.rows("SELECT reader_id FROM reading_list") == [(2,)]


def test_a_register_works_and_answers_its_people(make: Callable[[ModuleType], Running]) -> None:
    running = make(schoolbook)
    models = running.models
    running.set_up(
        models["school"](town="here"),
        models["teacher"](login="t", name="theo", room="12"),
        models["parent"](login="p", name="paula", mobile="555"),
        models["course"](title="writing", teacher_id=1),
    )
    theo, paula = (1, "account", {"X-School": "1"}), account(2)
    with running.app.app_context():
        job = running.privacy.processing(
            "student.profile",
            actor=Actor(1, role="teacher", client=1),
            purpose="provide-service",
            actions={"write"},
            job="roster",
        )
        with job:
            running.db.session.add_all(
                models["pupil"](school_id=1, first_name=name) for name in ("mia", "max")
            )
            running.db.session.flush()
            running.db.session.add_all(
                models["enrolment"](pupil_id=one, course_id=1, since=2026) for one in (1, 2)
            )
            running.db.session.commit()
    running.rows("INSERT INTO guardians VALUES (1, 2), (2, 2) RETURNING pupil_id")
    letter = {"reader_id": 2, "words": "come and see"}
    assert running.ask(theo, "POST", "/letters", letter).status_code == 204
    story = {"first_id": 1, "second_id": 2, "words": "once"}
    assert running.ask(theo, "POST", "/stories", story).status_code == 204
    assert running.ask(paula, "GET", "/letters").json == ["come and see"]
    assert running.ask(theo, "GET", "/stories").json == ["once"]
    other = (1, "account", {"X-School": "2"})
    assert running.ask(other, "GET", "/stories").status_code == 403
    shown = running.export(paula)
    assert [(row["name"], row["mobile"]) for row in shown["Account"]] == [("paula", "555")]
    assert running.erase(theo)["cleared"] == {"Letter.sender_id": 1, "Course.teacher_id": 1}
    assert running.ask(paula, "GET", "/letters").json == ["come and see"]
    administrator = (9, "account", {"X-School": "1", "X-Role": "administrator"})
    erased = running.erase(administrator, {"kind": "student", "id": "1"})
    assert (erased["erased"], erased["cleared"]) == (
        {"Pupil": 1, "Enrolment": 1, "guardians": 1},
        {"Story.first_id": 1},
    )
    teacher = (7, "account", {"X-School": "1"})
    assert running.ask(teacher, "GET", "/stories").json == ["once"]
    assert running.erase(paula)["erased"]["guardians"] == 1
    assert running.rows("SELECT count(*) FROM letter") == [(0,)]
