"""Classes that inherit from one another: single table, joined and concrete, as people and as what belongs to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ownership import Application, fresh_database, start
from sqlalchemy import ForeignKey, String, select, text
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import (
    Actor,
    belongs_to,
    clear,
    concerns,
    find_by,
    not_personal,
    owner,
    sealed,
    subject,
    tagged,
)
from flask_lgprivacy.errors import ModelInvalid, UndeclaredProcessing, WriteInvalid
from flask_lgprivacy.maintenance.runner import MaintenanceRunner

IDENTITY = "account.identity"


def people_of_one_table(db: Any) -> dict[str, Any]:
    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "member"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str] = mapped_column(String(20))
        name: Mapped[str] = sealed(IDENTITY)

    class Teacher(Member):
        __mapper_args__ = {"polymorphic_identity": "teacher"}
        phone: Mapped[str | None] = sealed(IDENTITY, index=True)
        motto: Mapped[str | None] = sealed(IDENTITY, group="motto")
        room: Mapped[str | None] = tagged(IDENTITY, String(20))

    class Head(Teacher):
        __mapper_args__ = {"polymorphic_identity": "head"}
        title: Mapped[str | None] = tagged(IDENTITY, String(20))

    class Parent(Member):
        __mapper_args__ = {"polymorphic_identity": "parent"}
        address: Mapped[str | None] = sealed(IDENTITY)

    return {"member": Member, "teacher": Teacher, "head": Head, "parent": Parent}


def people_of_joined_tables(db: Any) -> dict[str, Any]:
    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "member"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str] = mapped_column(String(20))
        name: Mapped[str] = sealed(IDENTITY)

    class Teacher(Member):
        __mapper_args__ = {"polymorphic_identity": "teacher"}
        id: Mapped[int] = mapped_column(ForeignKey("member.id"), primary_key=True)
        phone: Mapped[str | None] = sealed(IDENTITY, index=True)
        motto: Mapped[str | None] = sealed(IDENTITY, group="motto")
        room: Mapped[str | None] = tagged(IDENTITY, String(20))

    class Head(Teacher):
        __mapper_args__ = {"polymorphic_identity": "head"}
        id: Mapped[int] = mapped_column(ForeignKey("teacher.id"), primary_key=True)
        title: Mapped[str | None] = tagged(IDENTITY, String(20))

    class Parent(Member):
        __mapper_args__ = {"polymorphic_identity": "parent"}
        id: Mapped[int] = mapped_column(ForeignKey("member.id"), primary_key=True)
        address: Mapped[str | None] = sealed(IDENTITY)

    return {"member": Member, "teacher": Teacher, "head": Head, "parent": Parent}


class School:
    """One of each class, and works of them."""

    def __init__(self, application: Application, models: dict[str, Any]) -> None:
        self.application = application
        self.models = models
        self.session = application.db.session
        made = {
            "member": {"name": "mona"},
            "teacher": {"name": "theo", "phone": "555-1", "motto": "gently", "room": "12"},
            "head": {"name": "hilde", "phone": "555-2", "title": "director"},
            "parent": {"name": "paul", "address": "4 Main Street"},
        }
        self.ids: dict[str, int] = {}
        with application.writing():
            for kind, values in made.items():
                row = models[kind](**values)
                self.session.add(row)
                self.session.flush()
                self.ids[kind] = row.id
            self.session.commit()
        self.session.expunge_all()

    def acting(self, kind: str, *actions: str) -> Any:
        one = self.ids[kind]
        return self.application.privacy.processing(
            IDENTITY,
            actor=Actor(one, role="teacher", subjects=[("account", one)]),
            purpose="provide-service",
            actions=set(actions) or {"read"},
            job="test",
        )


@pytest.fixture(params=[people_of_one_table, people_of_joined_tables])
def school(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[School]:
    db = fresh_database()
    models = request.param(db)

    class Work(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "work"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str] = mapped_column(String(20))
        member_id: Mapped[int] = mapped_column(ForeignKey("member.id"))
        words: Mapped[str] = sealed(IDENTITY)

    class Drawing(Work):
        __mapper_args__ = {"polymorphic_identity": "drawing"}
        strokes: Mapped[str | None] = sealed(IDENTITY, group="strokes")

    class Film(Work):
        __mapper_args__ = {"polymorphic_identity": "film"}
        id: Mapped[int] = mapped_column(ForeignKey("work.id"), primary_key=True)
        scene: Mapped[str | None] = tagged(IDENTITY, String(20))

    class Letter(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "letter"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str] = mapped_column(String(20))
        writer: Mapped[int | None] = mapped_column(ForeignKey("member.id"), info=owner())
        reader: Mapped[int | None] = mapped_column(
            ForeignKey("member.id"), info=concerns(shows={"words"})
        )
        words: Mapped[str] = sealed(IDENTITY)

    class Postcard(Letter):
        __mapper_args__ = {"polymorphic_identity": "postcard"}
        picture: Mapped[str | None] = sealed(IDENTITY, group="picture")
        stamp: Mapped[str | None] = tagged(IDENTITY, String(20))

    models |= {
        "work": Work, "drawing": Drawing, "film": Film, "letter": Letter, "postcard": Postcard
    }  # fmt: skip
    application = start(db, tmp_path / "school")
    with application.app.app_context():
        made = School(application, models)
        with application.writing():
            theo, paul = made.ids["teacher"], made.ids["parent"]
            made.session.add_all(
                [
                    Work(member_id=theo, words="plain"),
                    Drawing(member_id=theo, words="drawn", strokes="m 1 2"),
                    Film(member_id=theo, words="filmed", scene="a yard"),
                    Drawing(member_id=paul, words="other", strokes="m 3 4"),
                    Letter(writer=theo, reader=paul, words="dear"),
                    Postcard(writer=theo, reader=paul, words="sun", picture="sea", stamp="1 F"),
                ]
            )
            made.session.commit()
        made.session.expunge_all()
        yield made


def test_each_row_is_of_its_class_and_opens(school: School) -> None:
    member = school.models["member"]
    with school.acting("teacher"):
        row = school.session.get(member, school.ids["teacher"])
        assert type(row) is school.models["teacher"]
        assert (row.name, row.phone, row.motto, row.room) == ("theo", "555-1", "gently", "12")
    with school.acting("head"):
        row = school.session.get(member, school.ids["head"])
        assert (row.name, row.phone, row.motto, row.room, row.title) == (
            "hilde",
            "555-2",
            None,
            None,
            "director",
        )
    with school.acting("member"):
        assert school.session.get(member, school.ids["member"]).name == "mona"


@pytest.mark.parametrize("name", ["phone", "room"])
def test_a_field_of_a_subclass_is_guarded(school: School, name: str) -> None:
    row = school.session.get(school.models["member"], school.ids["teacher"])
    with pytest.raises(UndeclaredProcessing, match=rf"Teacher\.{name}"):
        getattr(row, name)


def test_no_value_stands_in_the_tables(school: School) -> None:
    for table in ("member", "work", "letter"):
        stored = str(school.application.stored(table))
        for word in ("theo", "555-1", "gently", "4 Main Street", "m 1 2", "drawn", "dear", "sea"):
            assert word not in stored


def test_a_change_in_a_subclass_keeps_the_other_fields(school: School) -> None:
    teacher = school.models["teacher"]
    with school.acting("teacher", "read", "write"):
        row = school.session.get(teacher, school.ids["teacher"])
        row.motto, row.room = "firmly", "13"
        school.session.commit()
    school.session.expunge_all()
    with school.acting("teacher"):
        row = school.session.get(teacher, school.ids["teacher"])
        assert (row.name, row.phone, row.motto, row.room) == ("theo", "555-1", "firmly", "13")


def test_an_indexed_field_of_a_subclass_is_found(school: School) -> None:
    teacher = school.models["teacher"]
    with school.acting("teacher"):
        found = school.session.scalars(find_by(teacher, phone="555-1")).all()
        assert [row.id for row in found] == [school.ids["teacher"]]


def test_an_export_has_every_field_of_every_class(school: School) -> None:
    shown = school.application.export("account", school.ids["teacher"])
    (row,) = shown["Member"]
    assert {name: row[name] for name in ("name", "phone", "motto", "room", "type")} == {
        "name": "theo",
        "phone": "555-1",
        "motto": "gently",
        "room": "12",
        "type": "teacher",
    }
    assert not any(name.startswith("lgprivacy") for name in row)
    works = sorted(
        (row["type"], row["words"], row.get("strokes"), row.get("scene")) for row in shown["Work"]
    )
    assert works == [
        ("drawing", "drawn", "m 1 2", None),
        ("film", "filmed", None, "a yard"),
        ("work", "plain", None, None),
    ]
    letters = {row["type"]: row for row in shown["Letter"]}
    assert letters["letter"]["words"] == "dear"
    postcard = letters["postcard"]
    assert (postcard["words"], postcard["picture"], postcard["stamp"]) == ("sun", "sea", "1 F")


def test_who_is_shown_a_field_of_the_class_above_is_shown_no_other(school: School) -> None:
    shown = school.application.export("account", school.ids["parent"])
    rows = [{name for name, value in row.items() if value is not None} for row in shown["Letter"]]
    assert rows == [{"words"}, {"words"}]


def test_an_erasure_takes_the_rows_of_every_table(school: School) -> None:
    done = school.application.erase("account", school.ids["teacher"])
    assert (done.state, done.outcome["left"]) == ("completed", {})
    names = school.application.db.metadata.tables
    left = {name: len(school.application.stored(name)) for name in names if name[:3] != "lgp"}
    expected = {"member": 3, "work": 1, "film": 0, "letter": 0}
    if "teacher" in names:
        expected |= {"teacher": 1, "head": 1, "parent": 1}
    assert left == expected
    with school.acting("head"):
        assert school.session.get(school.models["member"], school.ids["head"]).title == "director"


def test_rotations_reseal_the_records_of_every_class(school: School) -> None:
    runner = MaintenanceRunner(school.application.runtime)
    runner.rotate_subjects(grace=0)
    runner.rotate_indexes(grace=0)
    school.application.runtime.keys.forget_all()
    school.session.expunge_all()
    test_each_row_is_of_its_class_and_opens(school)
    test_an_indexed_field_of_a_subclass_is_found(school)
    test_an_export_has_every_field_of_every_class(school)


def test_a_field_of_a_subclass_is_rectified(school: School) -> None:
    one = school.ids["teacher"]
    myself = Actor(one, role="teacher", subjects=[("account", one)])
    done = school.application.privacy.rights.submit(
        "rectify", myself, kind="account", one=str(one), changes={"phone": "555-9", "name": "t"}
    )
    assert done.state == "completed"
    school.session.expunge_all()
    with school.acting("teacher"):
        row = school.session.get(school.models["teacher"], one)
        assert (row.name, row.phone, row.motto) == ("t", "555-9", "gently")


def test_people_are_not_deleted_through_the_session(school: School) -> None:
    with school.acting("teacher", "read", "write"):
        row = school.session.get(school.models["teacher"], school.ids["teacher"])
        school.session.delete(row)
        with pytest.raises(WriteInvalid):
            school.session.flush()
        school.session.rollback()


def test_bulk_statements_on_a_subclass_are_refused(school: School) -> None:
    table = school.models["film"].__table__
    with pytest.raises(UndeclaredProcessing, match="bulk statements"):
        school.session.execute(table.update().values(scene="x"))
    school.session.rollback()


def test_a_row_whose_class_nobody_knows_is_exported_as_one_of_the_topmost(school: School) -> None:
    school.session.execute(text("UPDATE work SET type = 'novel' WHERE type = 'work'"))
    school.session.commit()
    shown = school.application.export("account", school.ids["teacher"])
    assert {row["type"] for row in shown["Work"]} == {"novel", "drawing", "film"}


def test_a_class_with_a_table_of_its_own_has_a_name_of_its_own(tmp_path: Path) -> None:
    db = fresh_database()

    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed(IDENTITY)

    class Guest(Person):
        __tablename__ = "guest"
        __mapper_args__ = {"concrete": True}
        __privacy__ = subject("account", name="guest")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed(IDENTITY)
        host: Mapped[str] = tagged(IDENTITY, String(20))

    application = start(db, tmp_path / "concrete")
    with application.app.app_context():
        with application.writing():
            application.db.session.add_all([Person(name="p"), Guest(name="g", host="p")])
            application.db.session.commit()
        assert application.export("guest", 1) == {"Guest": [{"id": 1, "host": "p", "name": "g"}]}
        assert application.erase("guest", 1).state == "completed"
        assert (len(application.stored("person")), len(application.stored("guest"))) == (1, 0)


def test_inherited_rows_with_natural_keys_over_a_path(tmp_path: Path) -> None:
    """A sheet belongs to a folder, which belongs to somebody; both have names for keys."""
    db = fresh_database()
    models = people_of_joined_tables(db)

    class Folder(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        title: Mapped[str] = mapped_column(String(20), primary_key=True)
        holder: Mapped[int] = mapped_column(ForeignKey("member.id"), info=owner())

    class Sheet(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "sheet"}
        name: Mapped[str] = mapped_column(String(20), primary_key=True)
        type: Mapped[str] = mapped_column(String(10))
        folder: Mapped[str] = mapped_column(ForeignKey("folder.title"), info=owner())
        words: Mapped[str] = sealed(IDENTITY)

    class Map(Sheet):
        __mapper_args__ = {"polymorphic_identity": "map"}
        name: Mapped[str] = mapped_column(ForeignKey("sheet.name"), primary_key=True)
        place: Mapped[str | None] = sealed(IDENTITY, group="place")
        scale: Mapped[int | None] = tagged(IDENTITY)

    application = start(db, tmp_path / "natural")
    with application.app.app_context():
        session = application.db.session
        with application.writing():
            session.add_all([models["member"](name="a"), models["teacher"](name="b")])
            session.flush()
            session.add_all([Folder(title="one", holder=1), Folder(title="two", holder=2)])
            session.flush()
            session.add_all(
                [
                    Sheet(name="s", folder="one", words="first"),
                    Map(name="m", folder="one", words="second", place="here", scale=5),
                    Map(name="o", folder="two", words="other", place="there"),
                ]
            )
            session.commit()
        shown = application.export("account", 1)
        assert sorted(
            (row["name"], row["words"], row.get("place"), row.get("scale"))
            for row in shown["Sheet"]
        ) == [("m", "second", "here", 5), ("s", "first", None, None)]
        other = application.stored("map")[-1]
        done = application.erase("account", 1)
        assert (done.state, done.outcome["left"]) == ("completed", {})
        assert [row[0] for row in application.stored("sheet")] == ["o"]
        assert application.stored("map") == [other]
        with_place = application.export("account", 2)["Sheet"]
        assert [(row["words"], row["place"]) for row in with_place] == [("other", "there")]


def test_a_mixin_brings_sealed_fields_into_subclasses(tmp_path: Path) -> None:
    db = fresh_database()

    class Reachable:
        phone: Mapped[str | None] = sealed(IDENTITY, index=True)
        hobby: Mapped[str | None] = sealed(IDENTITY, group="hobby")

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "member"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str] = mapped_column(String(20))
        name: Mapped[str] = sealed(IDENTITY)

    class Teacher(Reachable, Member):
        __mapper_args__ = {"polymorphic_identity": "teacher"}

    class Nurse(Reachable, Member):
        __mapper_args__ = {"polymorphic_identity": "nurse"}

    class Guest(Reachable, db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account", name="guest")
        id: Mapped[int] = mapped_column(primary_key=True)

    application = start(db, tmp_path / "mixin")
    with application.app.app_context():
        with application.writing():
            application.db.session.add_all(
                [
                    Member(name="m"),
                    Teacher(name="t", phone="1", hobby="chess"),
                    Nurse(name="n", phone="2"),
                    Guest(phone="3", hobby="go"),
                ]
            )
            application.db.session.commit()
        shown = [application.export("account", one)["Member"][0] for one in (1, 2, 3)]
        assert [(row.get("phone"), row.get("hobby")) for row in shown] == [
            (None, None),
            ("1", "chess"),
            ("2", None),
        ]
        (guest,) = application.export("guest", 1)["Guest"]
        assert (guest["phone"], guest["hobby"]) == ("3", "go")


def test_a_record_that_only_a_subclass_seals_is_cleared_and_goes_with_its_key(
    tmp_path: Path,
) -> None:
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed(IDENTITY)

    class Letter(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "letter"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str] = mapped_column(String(20))
        writer: Mapped[int | None] = mapped_column(ForeignKey("member.id"), info=owner())
        about: Mapped[int | None] = mapped_column(
            ForeignKey("member.id"), info=concerns(shows={"mood"}, on_erasure=clear("mood"))
        )

    class Postcard(Letter):
        __mapper_args__ = {"polymorphic_identity": "postcard"}
        words: Mapped[str | None] = sealed(IDENTITY)
        mood: Mapped[str | None] = sealed(IDENTITY, group="mood")

    application = start(db, tmp_path / "postcards")
    with application.app.app_context():
        with application.writing():
            db.session.add_all([Member(name="w"), Member(name="a")])
            db.session.flush()
            db.session.add_all([Letter(writer=1), Postcard(writer=1, about=2, words="w", mood="m")])
            db.session.commit()
        assert application.erase("account", 2).state == "completed"
        words = {
            row["words"] for row in application.export("account", 1)["Letter"] if "words" in row
        }
        moods = {row["mood"] for row in application.export("account", 1)["Letter"] if "mood" in row}
        assert (words - {None}, moods - {None}) == ({"w"}, set())
        keys = application.runtime.database.tables.subject_key
        living = db.select(keys.c.subject).where(
            keys.c.kind == "row:letter", keys.c.wrapped.is_not(None)
        )
        assert db.session.execute(living).scalars().all() == ["2"]
        db.session.commit()
        request = application.erase("account", 1)
        assert (request.state, request.outcome["left"]) == ("completed", {})
        assert db.session.execute(living).scalars().all() == []


def a_mixin_in_a_table_of_its_own(db: Any) -> None:
    class Reachable:
        phone: Mapped[str | None] = sealed(IDENTITY, group="phone")

    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        __mapper_args__ = {"polymorphic_on": "type"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str]

    class Guest(Reachable, Person):
        __mapper_args__ = {"polymorphic_identity": "guest"}
        id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)


def test_a_key_in_a_table_of_a_subclass_does_not_say_whose_a_row_is(tmp_path: Path) -> None:
    db = fresh_database()
    models = people_of_joined_tables(db)

    class Item(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "item"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str]
        holder: Mapped[int | None] = mapped_column(ForeignKey("member.id"), info=owner())

    class Parcel(Item):
        __mapper_args__ = {"polymorphic_identity": "parcel"}
        id: Mapped[int] = mapped_column(ForeignKey("item.id"), primary_key=True)
        carrier: Mapped[int | None] = mapped_column(
            ForeignKey("member.id"), info=concerns(shows=("carrier",))
        )

    db.kept = (models, Item, Parcel)  # SQLAlchemy forgets models that nobody holds
    with pytest.raises(ModelInvalid, match=r"Parcel\.carrier says whose a row is.*class above"):
        start(db, tmp_path / "wrong")


def nothing_says_the_class(db: Any) -> None:
    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed(IDENTITY)

    class Guest(Person):
        host: Mapped[str | None] = tagged(IDENTITY, String(20))


def a_label_of_its_own(db: Any) -> None:
    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        __mapper_args__ = {"polymorphic_on": "type"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str]

    class Guest(Person):
        __privacy__ = subject("account", name="guest")
        __mapper_args__ = {"polymorphic_identity": "guest"}


def a_class_above_without_label(db: Any) -> None:
    class Node(db.Model):  # type: ignore[misc, name-defined]
        __mapper_args__ = {"polymorphic_on": "type"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str]

    class Guest(Node):
        __privacy__ = subject("account")
        __mapper_args__ = {"polymorphic_identity": "guest"}
        name: Mapped[str] = tagged(IDENTITY, String(20), nullable=True)


def a_column_without_label(db: Any) -> None:
    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        __mapper_args__ = {"polymorphic_on": "type"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str]

    class Guest(Person):
        __mapper_args__ = {"polymorphic_identity": "guest"}
        host: Mapped[str | None]


def a_field_that_is_not_declared_again(db: Any) -> None:
    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed(IDENTITY)

    class Guest(Person):
        __tablename__ = "guest"
        __mapper_args__ = {"concrete": True}
        __privacy__ = subject("account", name="guest")
        id: Mapped[int] = mapped_column(primary_key=True)
        host: Mapped[bool] = not_personal("has one")


REFUSED = {
    a_mixin_in_a_table_of_its_own: "Guest has a table of its own, and a mixin brings the sealed field 'phone'",
    nothing_says_the_class: "Guest is a subclass of Person, and no column says",
    a_label_of_its_own: "Guest is a subclass of Person, and its rows are that one's; leave __privacy__ out",
    a_class_above_without_label: "Guest inherits from the mapped class Node.*write __privacy__ in Node",
    a_column_without_label: r"Guest\.host has no label",
    a_field_that_is_not_declared_again: r"Guest\.name stands in the table of the class above.*declare the field again",
}


@pytest.mark.parametrize("define", REFUSED, ids=lambda define: define.__name__)
def test_what_cannot_be_is_refused_with_what_to_write(define: Any) -> None:
    with pytest.raises(ModelInvalid, match=REFUSED[define]):
        define(fresh_database())


def test_rows_of_subclasses_are_selected_with_those_of_the_class_above(school: School) -> None:
    with school.acting("teacher"):
        work = school.models["work"]
        rows = school.session.scalars(select(work).where(work.member_id == school.ids["teacher"]))
        assert sorted(row.words for row in rows) == ["drawn", "filmed", "plain"]
