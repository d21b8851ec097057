"""Who is asking is a question to one application, and in a test to one thread."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from school import STORES, Backend, Base, db

from flask_lgprivacy import Actor, LGPrivacy
from flask_lgprivacy.testing import acting_as


def add_view(app: Flask, privacy: LGPrivacy) -> None:
    @app.get("/who")
    @privacy.handles(roles={"teacher", "administrator", "public"}, purpose="provide-service")
    def who() -> str:
        actor = app.extensions["lgprivacy"].runtime.load_actor()
        return "nobody" if actor is None else str(actor.role)


def make_app(folder: Path, privacy: LGPrivacy, **loaders: Any) -> Flask:
    app = Flask("two", instance_path=str(folder))
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/data.db", LGPRIVACY_STORES=STORES
    )
    database = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})
    folder.mkdir()
    database.init_app(app)
    privacy.init_app(app, **loaders)
    with app.app_context():
        privacy.initialise()
    add_view(app, privacy)
    return app


@pytest.fixture
def apps(tmp_path: Path) -> Any:
    """Two applications of one extension object: one with a loader of its own, one without."""
    privacy = LGPrivacy()
    privacy.actor_loader(lambda: Actor("shared", role="teacher"))
    own = make_app(tmp_path / "a", privacy, actor_loader=lambda: Actor("own", role="administrator"))
    other = make_app(tmp_path / "b", privacy)
    yield own, other
    for app in (own, other):
        app.extensions["lgprivacy"].runtime.audit.trail.close()
        with app.app_context():
            for engine in app.extensions["sqlalchemy"].engines.values():
                engine.dispose()


def test_one_extension_serves_two_applications_with_loaders_of_their_own(apps: Any) -> None:
    assert [app.test_client().get("/who").text for app in apps] == ["administrator", "teacher"]


def test_acting_as_is_for_the_thread_of_the_test(backend: Backend) -> None:
    add_view(backend.app, backend.privacy)
    others: list[str] = []

    def ask() -> None:
        others.append(backend.app.test_client().get("/who").text)

    with acting_as(backend.app, backend.teacher()):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert backend.app.test_client().get("/who").text == "teacher"
    assert others == ["nobody"]


def test_a_view_that_opens_nothing_begins_no_session(backend: Backend) -> None:
    """Beginning one, and letting it go, costs as much as the gate around the view does."""

    @backend.app.get("/session")
    @backend.privacy.handles(roles={"teacher"}, purpose="provide-service")
    def has_session() -> str:
        return str(db.session.registry.has())

    client = backend.app.test_client()
    with acting_as(backend.app, backend.teacher()):
        client.get("/session")  # the first one learns the actor's name
        assert client.get("/session").text == "False"
