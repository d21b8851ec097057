"""People whose primary key is an e-mail address: after their erasure it stands in no table any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import back_up, restore, uri
from ownership import Application, fresh_database, start
from school import HERE, STORES
from sqlalchemy import ForeignKey, String, text
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import Actor, belongs_to, sealed, subject, tagged
from flask_lgprivacy.errors import SubjectErased
from flask_lgprivacy.maintenance.runner import MaintenanceRunner
from flask_lgprivacy.policy import Right

ANN, BEN = "ann.natural@home.example", "ben.natural@home.example"


def application_of(folder: Path, *, separate_keys: bool) -> Application:
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        email: Mapped[str] = mapped_column(String(60), primary_key=True)
        name: Mapped[str] = sealed("account.identity")

    class Post(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        title: Mapped[str] = mapped_column(String(40), primary_key=True)
        author: Mapped[str] = mapped_column(ForeignKey("member.email"))
        words: Mapped[str] = tagged("account.identity", String(40))

    db.made = {"member": Member, "post": Post}
    config: dict[str, Any] = {}
    if separate_keys:
        config = {
            "SQLALCHEMY_BINDS": {"keys": uri(folder, "keys")},
            "LGPRIVACY_KEYS_BIND": "keys",
            "LGPRIVACY_STORES": {**STORES, "database:keys": HERE},
        }
    return start(db, folder, **config)


def record(application: Application, *addresses: str) -> None:
    made, session = application.db.made, application.db.session
    with application.writing():
        for address in addresses:
            session.add(made["member"](email=address, name="somebody"))
            session.flush()
            session.add(made["post"](title=f"post of {address[0]}", author=address, words="w"))
        session.commit()
    session.expunge_all()


@pytest.fixture(params=["beside", "apart"])
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Application]:
    made = application_of(tmp_path / "application", separate_keys=request.param == "apart")
    with made.app.app_context():
        record(made, ANN, BEN)
        yield made


def everything_stored(application: Application) -> str:
    """Every value of every table of every database, and the trail."""
    found = []
    for engine in {application.db.engine, *application.db.engines.values()}:
        with engine.connect() as connection:
            for table in application.db.metadatas.values():
                for name in table.tables:
                    if engine.dialect.has_table(connection, name):
                        rows = connection.execute(text(f'SELECT * FROM "{name}"')).all()
                        found.append(f"{name}: {rows}")
    trail = application.folder / "trail"
    found += [path.read_text() for path in trail.rglob("*") if path.suffix == ".jsonl"]
    return "\n".join(found)


def test_an_erased_address_stands_nowhere(application: Application) -> None:
    application.export("account", ANN)
    done = application.erase("account", ANN)
    assert (done.state, done.outcome["left"], done.outcome["erased"]["Post"]) == (
        "completed",
        {},
        1,
    )
    stored = everything_stored(application)
    assert "ann.natural" not in stored
    assert "ben.natural" in stored


def test_who_was_erased_may_still_fetch_the_certificate(application: Application) -> None:
    done = application.erase("account", ANN)
    rights = application.privacy.rights
    myself = Actor(ANN, role="teacher", subjects=[("account", ANN)])
    certificate = rights.certificate(myself, done.id)
    assert certificate["key"] == "destroyed"
    assert certificate["subject"]["id"].startswith("erased:")
    other = Actor(BEN, role="teacher", subjects=[("account", BEN)])
    with pytest.raises(Exception, match="no such request"):
        rights.certificate(other, done.id)


def test_an_erased_address_is_given_to_nobody(application: Application) -> None:
    application.erase("account", ANN)
    for _ in range(2):
        with application.writing():
            made = application.db.made["member"](email=ANN, name="again")
            application.db.session.add(made)
            with pytest.raises(SubjectErased):
                application.db.session.flush()
            application.db.session.rollback()
        MaintenanceRunner(application.runtime).rotate_subjects(grace=0)
        MaintenanceRunner(application.runtime).rotate_indexes(grace=0)
    with application.writing():
        record(application, "cas.natural@home.example")


def test_others_are_untouched(application: Application) -> None:
    application.erase("account", ANN)
    assert [row["email"] for row in application.export("account", BEN)["Member"]] == [BEN]


def let_go(application: Application) -> None:
    """Close every connection, so that a database can be copied or put back."""
    application.db.session.remove()
    for engine in application.db.engines.values():
        engine.dispose()


def test_an_erased_address_stays_erased_after_a_restore(tmp_path: Path) -> None:
    folder = tmp_path / "application"
    application = application_of(folder, separate_keys=True)
    with application.app.app_context():
        record(application, ANN, BEN)
        let_go(application)
        back_up(folder, "data", "yesterday")
        application.ask(Right.DELETE, "account", ANN)
        let_go(application)
    restore(folder, "yesterday", "data")
    again = application_of(folder, separate_keys=True)
    with again.app.app_context():
        assert len(again.stored("member")) == 2
        assert [row["email"] for row in again.export("account", BEN)["Member"]] == [BEN]
        assert len(again.stored("member")) == 1
        assert "ann.natural" not in everything_stored(again)
