"""A label that cannot be followed stops the start, and says what to write; what it says leads to a start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from databases import IS_POSTGRESQL
from ownership import fresh_database, start
from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Integer, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import (
    belongs_to,
    clear,
    concerns,
    delete_row,
    keep,
    no_personal_data,
    not_personal,
    owner,
    owns,
    refers,
    sealed,
    shares,
    subject,
    tagged,
)
from flask_lgprivacy.errors import ModelInvalid


def table(db: Any, name: str, *columns: Any) -> Any:
    return Table(name, db.metadata, Column("id", Integer, primary_key=True), *columns)


def key(name: str, target: str = "person.id", **options: Any) -> Any:
    return Column(name, ForeignKey(target, ondelete=options.pop("ondelete", None)), **options)


FAULTS: dict[str, tuple[Any, str, Any]] = {
    "a key without a label": (
        lambda db: table(db, "visit", key("person_id")),
        r"visit\.person_id leads to Person and has no label; write info=owner\(\)",
        lambda db: table(db, "visit", key("person_id", info=owner())),
    ),
    "a key to what belongs to somebody": (
        lambda db: table(db, "scan", key("post_id", "post.id")),
        r"scan\.post_id leads to Post and has no label",
        lambda db: table(db, "scan", key("post_id", "post.id", info=refers())),
    ),
    "a column that no gate guards": (
        lambda db: table(db, "visit", key("person_id", info=owner()), Column("place", String(9))),
        r"visit\.place has no label.*info=no_personal_data\(reason\)",
        lambda db: table(db, "visit", key("person_id", info=owner()), Column("place", String(9), info=no_personal_data("a room"))),
    ),
    "a label that leads to nobody": (
        lambda db: (table(db, "town"), table(db, "street", key("town_id", "town.id", info=owner()))),
        r"street\.town_id: info=owner\(…\) leads to town, from which no key leads on",
        lambda db: (table(db, "town"), table(db, "street", key("town_id", "town.id"))),
    ),
    "a field that is not there": (
        lambda db: table(db, "visit", key("person_id", info=concerns(shows=("nothing",)))),
        r"visit\.person_id: shows names 'nothing', which visit does not have",
        lambda db: table(db, "visit", key("person_id", info=concerns(shows=("id",)))),
    ),
    "a cleared field that is not there": (
        lambda db: table(db, "visit", key("person_id", info=refers(on_erasure=clear("nothing")))),
        r"visit\.person_id: on_erasure names 'nothing'",
        lambda db: table(db, "visit", key("person_id", info=refers())),
    ),
    "a key that cannot be cleared": (
        lambda db: table(db, "visit", key("person_id", nullable=False, info=refers())),
        r"visit\.person_id must be nullable",
        lambda db: table(db, "visit", key("person_id", nullable=False, info=concerns(shows=(), on_erasure=delete_row()))),
    ),
    "a field that cannot be cleared": (
        lambda db: table(
            db, "visit", key("person_id", info=concerns(shows=(), on_erasure=clear("place"))),
            Column("place", String(9), nullable=False, info=no_personal_data("a room")),
        ),
        r"on_erasure clears 'place', which must be nullable",
        lambda db: table(
            db, "visit", key("person_id", info=concerns(shows=(), on_erasure=clear("place"))),
            Column("place", String(9), info=no_personal_data("a room")),
        ),
    ),
    "a database that deletes what stays": (
        lambda db: table(db, "visit", key("person_id", ondelete="CASCADE", info=refers())),
        r"visit\.person_id: ON DELETE CASCADE deletes rows that its label keeps",
        lambda db: table(db, "visit", key("person_id", ondelete="CASCADE", info=owner())),
    ),
    "a database that clears what is kept": (
        lambda db: table(db, "visit", key("person_id", ondelete="SET NULL", info=refers(on_erasure=keep("a proof")))),
        r"visit\.person_id: ON DELETE SET NULL changes a key that its label keeps",
        lambda db: table(db, "visit", key("person_id", ondelete="SET NULL", info=refers())),
    ),
    "a column that leads nowhere": (
        lambda db: table(db, "visit", Column("who", Integer, info=owner(leads_to="people.id"))),
        r"visit\.who: leads_to='people\.id' names no column",
        lambda db: table(db, "visit", Column("who", Integer, info=owner(leads_to="person.id"))),
    ),
    "a condition on a column that is not there": (
        lambda db: table(db, "visit", Column("who", Integer, info=owner(leads_to="person.id", when={"sort": "x"}))),
        r"visit: when=\{'sort': …\} names no column of it",
        lambda db: table(
            db, "visit", Column("sort", String(9), info=no_personal_data("a table")),
            Column("who", Integer, info=owner(leads_to="person.id", when={"sort": "x"})),
        ),
    ),
    "a table of versions": (
        lambda db: table(db, "post_history", Column("words", String(9))),
        r"post_history keeps copies of Post.*info=owner\(leads_to='post\.id'\)",
        lambda db: table(
            db, "post_history", Column("post_id", Integer, info=owner(leads_to="post.id")),
            Column("words", String(9), info=no_personal_data("a test")),
        ),
    ),
}  # fmt: skip
"""What is written, what is said, and what it says to write."""


def with_people(db: Any) -> Any:
    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed("account.identity")

    class Post(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        person_id: Mapped[int] = mapped_column(ForeignKey("person.id"))
        words: Mapped[str] = tagged("account.identity")

    db.kept = (Person, Post)
    return db


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_its_remedy_starts(name: str, tmp_path: Path) -> None:
    wrong, says, right = FAULTS[name]
    db = with_people(fresh_database())
    wrong(db)
    with pytest.raises(ModelInvalid, match=says):
        start(db, tmp_path / "wrong")
    db = with_people(fresh_database())
    right(db)
    start(db, tmp_path / "right")


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    db = with_people(fresh_database())
    for name in (
        "a key without a label",
        "a key to what belongs to somebody",
        "a table of versions",
    ):
        FAULTS[name][0](db)
    with pytest.raises(ModelInvalid) as refused:
        start(db, tmp_path / "wrong")
    assert [line.partition(" ")[0] for line in str(refused.value).splitlines()] == [
        "scan.post_id",
        "visit.person_id",
        "post_history",
    ]


def test_sealed_fields_need_one_owner(tmp_path: Path) -> None:
    db = with_people(fresh_database())

    class Letter(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        writer: Mapped[int] = mapped_column(ForeignKey("person.id"), info=owner())
        post_id: Mapped[int | None] = mapped_column(ForeignKey("post.id"), info=owner())
        words: Mapped[str] = sealed("account.identity")

    with pytest.raises(ModelInvalid, match="Letter has sealed fields and several owners"):
        start(db, tmp_path / "wrong")


def test_a_kept_key_that_the_database_holds_is_refused(tmp_path: Path) -> None:
    db = with_people(fresh_database())
    table(db, "visit", key("person_id", info=refers(on_erasure=keep("a proof"))))
    if not IS_POSTGRESQL:
        start(db, tmp_path / "right")  # SQLite does not say whether it enforces foreign keys
        return
    with pytest.raises(ModelInvalid, match=r"keep\(…\) cannot keep a key"):
        start(db, tmp_path / "wrong")


def test_rows_that_the_database_deletes_with_a_row_of_nobody_are_refused(tmp_path: Path) -> None:
    db = with_people(fresh_database())

    class Room(db.Model):  # type: ignore[misc, name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)

    class Seat(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        person_id: Mapped[int] = mapped_column(ForeignKey("person.id"))
        room_id: Mapped[int] = mapped_column(ForeignKey("room.id", ondelete="CASCADE"))
        row: Mapped[int] = not_personal("where it stands")

    with pytest.raises(
        ModelInvalid, match=r"Seat\.room_id: ON DELETE CASCADE changes people's rows"
    ):
        start(db, tmp_path / "wrong")


def test_a_label_of_a_key_of_two_columns_stands_on_its_constraint(tmp_path: Path) -> None:
    db = with_people(fresh_database())
    Table(
        "chapter",
        db.metadata,
        Column("book", Integer, primary_key=True),
        Column("number", Integer, primary_key=True),
        key("person_id", info=owner()),
    )
    Table(
        "page",
        db.metadata,
        Column("id", Integer, primary_key=True),
        Column("book", Integer),
        Column("number", Integer),
        ForeignKeyConstraint(["book", "number"], ["chapter.book", "chapter.number"], info=owner()),
    )
    application = start(db, tmp_path / "right")
    with application.app.app_context():
        person = db.kept[0]
        with application.writing():
            people = [person(name="Ann"), person(name="Ben")]
            db.session.add_all(people)
            db.session.flush()
            ids = [one.id for one in people]
            db.session.commit()
        chapters, pages = db.metadata.tables["chapter"], db.metadata.tables["page"]
        db.session.execute(
            chapters.insert(),
            [
                {"book": 1, "number": 1, "person_id": ids[0]},
                {"book": 1, "number": 2, "person_id": ids[1]},
            ],
        )
        db.session.execute(
            pages.insert(), [{"id": 1, "book": 1, "number": 1}, {"id": 2, "book": 1, "number": 2}]
        )
        db.session.commit()
        assert [row["id"] for row in application.export("account", ids[0])["page"]] == [1]
        assert application.erase("account", ids[0]).state == "completed"
        assert application.stored("page") == [(2, 1, 2)]


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda: refers(on_erasure=delete_row()),  # type: ignore[arg-type]
         r"write concerns\(shows=…, on_erasure=delete_row\(\)\)"),
        (lambda: concerns(shows="name"), "shows=… takes names of fields"),
        (lambda: owner(on_erasure="delete"), "takes clear"),  # type: ignore[arg-type]
        (lambda: keep(" "), "needs the reason"),
        (lambda: no_personal_data(""), "needs the reason"),
        (lambda: shares(shows=5), "shows=… takes names of fields"),  # type: ignore[arg-type]
        (lambda: owns(shows=[1]), "shows=… takes names of fields"),  # type: ignore[list-item]
    ],
)  # fmt: skip
def test_a_wrong_label_says_what_it_takes(write: Any, says: str) -> None:
    with pytest.raises(ModelInvalid, match=says):
        write()
