"""People who were recorded before this package, with tagged columns: read while a window is open, and given keys by a command."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from databases import past_the_gate
from ownership import Application, fresh_database, start
from sqlalchemy import Column, ForeignKey, String, insert
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import Actor, belongs_to, sealed, subject, tagged
from flask_lgprivacy.errors import KeyLost, ModelInvalid, SubjectErased
from flask_lgprivacy.orm.bulk_read import iter_records

IDENTITY = "account.identity"
ONE, OTHER = uuid4(), uuid4()
SOON = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)).isoformat()


def deployed(folder: Path, *, window: str | None = "Person", migrates: bool = False) -> Application:
    """An application with two people whom nobody gave a key."""
    db = fresh_database()

    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        email: Mapped[str] = tagged(IDENTITY, String(80))
        if migrates:
            name: Mapped[str | None] = sealed(IDENTITY, migrates_from=Column("name", String(80)))

    class Visit(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
        place: Mapped[str] = tagged(IDENTITY, String(80))

    db.Person, db.Visit = Person, Visit
    windows = {} if window is None else {window: SOON}
    application = start(db, folder, LGPRIVACY_MIGRATION_WINDOWS=windows)
    people, visits = Person.__table__, Visit.__table__
    with application.app.app_context(), db.engine.begin() as begun:
        connection = past_the_gate(begun)
        for number, one in enumerate((ONE, OTHER)):
            values: dict[str, Any] = {"id": one, "email": f"{number}@example.org"}
            if migrates:
                values |= {"name": f"name {number}", "lgprivacy_version": 0}
            connection.execute(insert(people).values(values))
            visit = {"id": uuid4(), "person_id": one, "place": f"place {number}"}
            connection.execute(insert(visits).values(visit))
    return application


def acting(application: Application, *actions: str) -> Any:
    return application.privacy.processing(
        IDENTITY,
        actor=Actor(ONE, role="teacher", subjects=[("account", ONE)]),
        purpose="provide-service",
        actions=set(actions) or {"read"},
        job="test",
    )


def email(application: Application) -> Any:
    return application.db.session.get(application.db.Person, ONE).email


def place(application: Application) -> Any:
    Visit = application.db.Visit  # noqa: N806
    return application.db.session.scalars(
        application.db.select(Visit).where(Visit.person_id == ONE)
    ).one().place  # fmt: skip


def records(application: Application) -> Any:
    Person = application.db.Person  # noqa: N806
    return [
        row["email"] for row in iter_records(application.db.session(), Person, Person.id == ONE)
    ]


READS: list[tuple[Callable[[Application], Any], Any]] = [
    (email, "0@example.org"), (place, "place 0"), (records, ["0@example.org"]),
]  # fmt: skip


@pytest.mark.parametrize("migrates", [False, True], ids=["tagged only", "beside a migrated column"])
@pytest.mark.parametrize(("read", "value"), READS, ids=lambda one: getattr(one, "__name__", ""))
def test_a_tagged_column_is_read_while_the_window_is_open(
    read: Any, value: Any, migrates: bool, tmp_path: Path
) -> None:
    application = deployed(tmp_path / "a", migrates=migrates)
    with application.app.app_context(), acting(application):
        assert read(application) == value


@pytest.mark.parametrize(("read", "value"), READS, ids=lambda one: getattr(one, "__name__", ""))
def test_without_a_window_it_is_not(read: Any, value: Any, tmp_path: Path) -> None:
    application = deployed(tmp_path / "a", window=None)
    with application.app.app_context(), acting(application), pytest.raises(KeyLost):
        read(application)


def test_whoever_writes_makes_the_key(tmp_path: Path) -> None:
    application = deployed(tmp_path / "a")
    with application.app.app_context(), acting(application, "read", "write"):
        application.db.session.get(application.db.Person, ONE).email = "new@example.org"
        application.db.session.commit()
        assert application.runtime.keys.known(
            application.db.session(), "account", [ONE.hex, OTHER.hex]
        ) == {ONE.hex}


def test_the_command_makes_the_keys(tmp_path: Path) -> None:
    application = deployed(tmp_path / "a")
    runner = application.app.test_cli_runner()
    with application.app.app_context():
        checked = runner.invoke(args=["privacy", "check"]).output
        assert "Person: people were recorded before this package and have no key" in checked
    migrate = ["privacy", "keys", "migrate", "Person", "--json"]
    assert (
        json.loads(runner.invoke(args=[*migrate, "--dry-run"]).stdout)["people without a key"] == 2
    )
    assert json.loads(runner.invoke(args=migrate).stdout)["keys made"] == 2
    assert json.loads(runner.invoke(args=migrate).stdout)["keys made"] == 0
    application.app.config["LGPRIVACY_MIGRATION_WINDOWS"] = {}
    with application.app.app_context():
        assert "have no key" not in runner.invoke(args=["privacy", "check"]).output
        shown = application.export("account", ONE)
        assert [row["place"] for row in shown["Visit"]] == ["place 0"]


def test_somebody_without_a_key_is_exported_and_erased(tmp_path: Path) -> None:
    application = deployed(tmp_path / "a")
    with application.app.app_context():
        assert [row["email"] for row in application.export("account", ONE)["Person"]] == [
            "0@example.org"
        ]
        request = application.erase("account", ONE)
        assert (request.state, request.outcome and request.outcome["left"]) == ("completed", {})
        assert [row[0] for row in application.stored("visit")] != []
        with application.db.engine.begin() as connection:
            restored = insert(application.db.Person.__table__).values(
                id=ONE, email="back@example.org"
            )
            past_the_gate(connection).execute(restored)
        with acting(application), pytest.raises(SubjectErased):
            email(application)


def test_rows_in_plain_text_without_a_window_stop_the_start(tmp_path: Path) -> None:
    application = deployed(tmp_path / "a", window=None, migrates=True)
    told = "Person: 2 rows are in plain text, which nobody may read without a window; set LGPRIVACY"
    with application.app.app_context():
        with pytest.raises(ModelInvalid, match=told):
            application.runtime.startup.run()
        assert told in application.app.test_cli_runner().invoke(args=["privacy", "check"]).output


def test_a_window_of_no_model_stops_the_start(tmp_path: Path) -> None:
    application = deployed(tmp_path / "a", window="Persons")
    with (
        application.app.app_context(),
        pytest.raises(ModelInvalid, match="names 'Persons', and there"),
    ):
        application.runtime.startup.run()
