"""The second look finds what an erasure left behind, wherever the database has it, or the pages say that it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from databases import IS_POSTGRESQL, uri
from ownership import Application, fresh_database, start
from school import HERE
from sqlalchemy import ForeignKey, Integer, Uuid, select, text
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import belongs_to, sealed, subject
from flask_lgprivacy.errors import ErasureBlocked
from flask_lgprivacy.rights import erasure

UUID_TYPE = "UUID" if IS_POSTGRESQL else "CHAR(32)"
BYTES_TYPE = "BYTEA" if IS_POSTGRESQL else "BLOB"


def person_model(key: type) -> Any:
    db = fresh_database()

    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id = mapped_column(
            Uuid if key is UUID else Integer,
            primary_key=True,
            default=uuid4 if key is UUID else None,
        )
        email: Mapped[str] = sealed("account.identity", index=True)

    class Post(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        person_id = mapped_column(ForeignKey("person.id"))
        words: Mapped[str] = sealed("account.identity")

    db.kept = (Person, Post)
    return db


@pytest.fixture(params=[UUID, int], ids=["uuid", "number"])
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Application]:
    db = person_model(request.param)
    other = tmp_path / "other"
    other.mkdir()
    made = start(
        db,
        tmp_path / "application",
        enforced=False,
        SQLALCHEMY_BINDS={"other": uri(other, "other")},
        LGPRIVACY_STORES=dict.fromkeys(
            ("database", "trail", "key-service:root", "database:other"), HERE
        ),
    )
    with made.app.app_context():
        yield made


def index_column(person: Any) -> Any:
    return next(column for column in person.__table__.columns if "index" in column.name)


def add_person(application: Application) -> tuple[Any, Any, bytes]:
    """Record somebody with a post; returns the key, the post's, and the value of the blind index."""
    person, post = application.db.kept
    session = application.db.session
    with application.writing():
        one = person(email="ann@home.example")
        session.add(one)
        session.flush()
        written = post(person_id=one.id, words="mine")
        session.add(written)
        session.flush()
        keys = one.id, written.id
        session.commit()
    index = session.execute(select(index_column(person))).scalar_one()
    session.commit()
    return *keys, bytes(index)


def run(application: Application, *statements: str, bind: str | None = None, **values: Any) -> None:
    with application.db.engines[bind].begin() as connection:
        for statement in statements:
            connection.execute(
                text(statement),
                {name: value for name, value in values.items() if f":{name}" in statement},
            )


def as_stored(one: Any) -> Any:
    return one if IS_POSTGRESQL or not isinstance(one, UUID) else one.hex


def type_of(one: Any) -> str:
    return UUID_TYPE if isinstance(one, UUID) else "INTEGER"


TRIGGER = (
    (
        "CREATE FUNCTION keep_gone() RETURNS trigger AS $$ BEGIN "
        "INSERT INTO gone VALUES (OLD.id); RETURN OLD; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER keep BEFORE DELETE ON person FOR EACH ROW EXECUTE FUNCTION keep_gone()",
    )
    if IS_POSTGRESQL
    else (
        "CREATE TRIGGER keep BEFORE DELETE ON person BEGIN INSERT INTO gone VALUES (OLD.id); END",
    )
)

LEFT: dict[str, Any] = {
    "a table with a foreign key that nobody declared": (
        lambda one, _: (
            f"CREATE TABLE visit (who {type_of(one)} REFERENCES person (id), place TEXT)",
            "INSERT INTO visit VALUES (:one, 'x')",
        ),
        {"visit.who": 1},
    ),
    "a table with a column that is called as one that leads there": (
        lambda one, _: (
            f"CREATE TABLE visit (person_id {type_of(one)}, place TEXT)",
            "INSERT INTO visit VALUES (:one, 'x')",
        ),
        {"visit.person_id": 1},
    ),
    "a trigger's copy of the person": (
        lambda one, _: (
            f"CREATE TABLE person_old (account_id {type_of(one)}, at TEXT)",
            "INSERT INTO person_old VALUES (:one, 'x')",
        ),
        {"person_old.account_id": 1},
    ),
    "a table whose column is called as the kind of subject": (
        lambda one, _: (
            f"CREATE TABLE bill (account_id {type_of(one)}, amount INTEGER)",
            "INSERT INTO bill VALUES (:one, 5)",
        ),
        {"bill.account_id": 1},
    ),
    "a table that leads to what the person owned": (
        lambda one, _: (
            "CREATE TABLE scan (post_id INTEGER REFERENCES post (id), name TEXT)",
            "INSERT INTO scan VALUES (:post, 'passport.pdf')",
        ),
        {"scan.post_id": 1},
    ),
}
"""What is found of a person with a UUID or a number: the statements before the erasure, and what is left."""


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_is_found(application: Application, name: str) -> None:
    statements, left = LEFT[name]
    one, post, _ = add_person(application)
    if IS_POSTGRESQL:  # where foreign keys hold, the rows themselves cannot go
        statements_run = [
            statement.replace(" REFERENCES person (id)", "").replace(" REFERENCES post (id)", "")
            for statement in statements(one, post)
        ]
        if "REFERENCES" in "".join(statements(one, post)):
            pytest.skip("PostgreSQL refuses the deletion; see below")
    else:
        statements_run = list(statements(one, post))
    run(application, *statements_run, one=as_stored(one), post=post)
    done = application.erase("account", one)
    assert (done.state, done.outcome and done.outcome["left"]) == ("completed-with-remainder", left)


ONLY_UUID: dict[str, Any] = {
    "a column of any name": (
        "CREATE TABLE visit (who CHAR(36))",
        "INSERT INTO visit VALUES (:dashed)",
        "visit.who",
    ),
    "a column in upper case": (
        "CREATE TABLE visit (who CHAR(36))",
        "INSERT INTO visit VALUES (:upper)",
        "visit.who",
    ),
    "a column without dashes": (
        "CREATE TABLE visit (who VARCHAR(32))",
        "INSERT INTO visit VALUES (:hex)",
        "visit.who",
    ),
    "a column of UUIDs": (
        f"CREATE TABLE visit (who {UUID_TYPE})",
        "INSERT INTO visit VALUES (:hex)",
        "visit.who",
    ),
    "a column of bytes": (
        f"CREATE TABLE visit (who {BYTES_TYPE})",
        "INSERT INTO visit VALUES (:raw)",
        "visit.who",
    ),
    "a JSON column with the identifier in it": (
        "CREATE TABLE event (body JSON)",
        "INSERT INTO event VALUES (:document)",
        "event.body",
    ),
    "a renamed column": (
        "ALTER TABLE post ADD COLUMN former CHAR(36)",
        "UPDATE post SET former = :dashed WHERE person_id <> :hex",
        None,
    ),
}


@pytest.mark.parametrize("name", ONLY_UUID)
def test_a_uuid_is_found_wherever_it_stands(name: str, tmp_path: Path) -> None:
    create, insert, place = ONLY_UUID[name]
    application = start(person_model(UUID), tmp_path / "application", enforced=False)
    with application.app.app_context():
        one, _, _ = add_person(application)
        other, _, _ = add_other(application)
        assert other != one
        run(application, create)
        run(
            application, insert, dashed=str(one), upper=str(one).upper(), hex=one.hex if not IS_POSTGRESQL or "CHAR" in create else one,
            raw=one.bytes, document=f'{{"by": {{"id": "{one}"}}}}',
        )  # fmt: skip
        done = application.erase("account", one)
        left = done.outcome and done.outcome["left"]
        assert left == ({place: 1} if place else {"post.former": 1})


def add_other(application: Application) -> tuple[Any, Any, bytes]:
    person, post = application.db.kept
    session = application.db.session
    with application.writing():
        one = person(email="ben@home.example")
        session.add(one)
        session.flush()
        written = post(person_id=one.id, words="his")
        session.add(written)
        session.flush()
        keys = one.id, written.id
        session.commit()
    return *keys, b""


def test_another_bind_is_looked_through(application: Application) -> None:
    one, _, _ = add_person(application)
    run(
        application,
        f"CREATE TABLE visit (person_id {type_of(one)})",
        "INSERT INTO visit VALUES (:one)",
        bind="other",
        one=as_stored(one),
    )
    done = application.erase("account", one)
    assert done.outcome is not None
    assert done.outcome["left"] == {"visit.person_id": 1}


def test_a_copied_blind_index_is_found(application: Application) -> None:
    one, _, index = add_person(application)
    run(
        application,
        f"CREATE TABLE copied (digest {BYTES_TYPE})",
        "INSERT INTO copied VALUES (:digest)",
        digest=index,
    )
    done = application.erase("account", one)
    assert done.outcome is not None
    assert done.outcome["left"] == {"copied.digest": 1}


def test_what_a_trigger_copies_while_the_rows_go_is_found(application: Application) -> None:
    one, _, _ = add_person(application)
    run(application, f"CREATE TABLE gone (person_id {type_of(one)})", *TRIGGER)
    done = application.erase("account", one)
    assert done.outcome is not None
    assert done.outcome["left"] == {"gone.person_id": 1}


def test_a_row_that_comes_back_between_the_two_looks_is_found(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _, _ = add_person(application)
    key = application.db.session.execute(text("SELECT * FROM person")).one()
    application.db.session.commit()
    columns = ", ".join(f":{name}" for name in key._mapping)
    look = erasure.find_remaining

    def put_back(*given: Any) -> Any:
        run(application, f"INSERT INTO person VALUES ({columns})", **key._mapping)
        return look(*given)

    monkeypatch.setattr(erasure, "find_remaining", put_back)
    done = application.erase("account", one)
    assert done.outcome is not None
    assert done.outcome["left"]["Person"] == 1


def test_others_are_not_taken_for_the_person(application: Application) -> None:
    one, _, _ = add_person(application)
    other, _, _ = add_other(application)
    run(
        application,
        f"CREATE TABLE visit (person_id {type_of(one)})",
        "INSERT INTO visit VALUES (:one)",
        one=as_stored(other),
    )
    done = application.erase("account", one)
    assert (done.state, done.outcome and done.outcome["left"]) == ("completed", {})


NOT_FOUND = {
    "a number in a column of another name": (
        "CREATE TABLE visit (who INTEGER)",
        "INSERT INTO visit VALUES (:one)",
    ),
    "an identifier inside a longer text": (
        "CREATE TABLE visit (story VARCHAR(80))",
        "INSERT INTO visit VALUES (:story)",
    ),
    "a hashed, encoded or encrypted copy": (
        "CREATE TABLE visit (digest VARCHAR(80))",
        "INSERT INTO visit VALUES (:digest)",
    ),
    "another schema or database": (
        "CREATE SCHEMA elsewhere" if IS_POSTGRESQL else "ATTACH ':memory:' AS elsewhere",
        "CREATE TABLE elsewhere.visit (who CHAR(36))",
        "INSERT INTO elsewhere.visit VALUES (:dashed)",
    ),
    "a file that no store declares": ("SELECT 1",),
    "a copy of values without the identifier": (
        "CREATE TABLE visit (email VARCHAR(80))",
        "INSERT INTO visit VALUES ('ann@home.example')",
    ),
}
"""What the threat model says that it does not find."""


@pytest.mark.parametrize("name", NOT_FOUND)
def test_what_is_not_found_is_said(name: str, tmp_path: Path) -> None:
    key = int if "number" in name else UUID
    application = start(person_model(key), tmp_path / "application", enforced=False)
    with application.app.app_context():
        one, _, _ = add_person(application)
        digest = hashlib.sha256(str(one).encode()).hexdigest()
        values = {"one": one, "story": f"seen: {one} at noon", "digest": digest, "dashed": str(one)}
        run(application, *NOT_FOUND[name], **values)
        (tmp_path / "notes.txt").write_text(str(one), encoding="utf-8")
        done = application.erase("account", one)
        assert done.outcome is not None
        assert done.outcome["left"] == {}
    told = (Path(__file__).parents[2] / "docs" / "explanation" / "threat-model.md").read_text(
        encoding="utf-8"
    )
    assert name in " ".join(told.split())


def test_what_holds_rows_back_is_named(application: Application) -> None:
    """A foreign key that nobody declared and that holds keeps rows from going: the request says which."""
    one, post, _ = add_person(application)
    if not IS_POSTGRESQL:
        application.db.engine.dispose()
        from ownership import enforce
        from sqlalchemy import event

        event.listen(application.db.engine, "connect", enforce)
    run(
        application,
        "CREATE TABLE scan (post_id INTEGER REFERENCES post (id))",
        "INSERT INTO scan VALUES (:post)",
        post=post,
    )
    with pytest.raises(ErasureBlocked, match="rows of Post cannot be deleted"):
        application.erase("account", one)
    failed = application.db.session.scalars(
        select(application.runtime.database.tables.request.c.id)
    ).one()
    stored = application.app.extensions["lgprivacy"].rights.requests.find(
        application.db.session, failed
    )
    assert stored.state == "failed"
    assert "rows of Post cannot be deleted" in stored.steps[-1].note
    run(application, "DELETE FROM scan")
    assert application.erase("account", one).state == "completed"
