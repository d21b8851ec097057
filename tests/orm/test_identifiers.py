"""Identifiers that are not the primary key: keys of several columns, and keys that are personal data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from ownership import Application, fresh_database, start
from sqlalchemy import (
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import Actor, belongs_to, clear, concerns, keep, owner, refers, sealed, subject
from flask_lgprivacy.database.identifiers import canonical_id
from flask_lgprivacy.errors import ModelInvalid, RequestInvalid, WriteInvalid
from flask_lgprivacy.policy.model import Right

IDENTITY = "account.identity"


def people_of_realms(db: Any) -> Any:
    """People whose key is a realm and a number, and what is theirs."""

    class Member(db.Model):
        __privacy__ = subject("account", identifier="uid")
        realm: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        uid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
        name: Mapped[str] = sealed(IDENTITY)

    class Note(db.Model):
        __privacy__ = belongs_to(identifier="mark")
        __table_args__ = (
            ForeignKeyConstraint(
                ["realm", "writer"],
                ["member.realm", "member.number"],
                info=owner(rectifies={"words"}),
            ),
        )
        realm: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        mark: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
        writer: Mapped[int]
        words: Mapped[str | None] = sealed(IDENTITY)

    class Answer(db.Model):
        __privacy__ = belongs_to("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        of: Mapped[UUID] = mapped_column(ForeignKey("member.uid"))
        words: Mapped[str] = sealed(IDENTITY)

    db.Member, db.Note, db.Answer = Member, Note, Answer
    return db


@pytest.fixture
def application(tmp_path: Path) -> Any:
    db = people_of_realms(fresh_database())
    application = start(db, tmp_path / "realms")
    with application.app.app_context():
        with application.writing():
            for realm in (1, 2):
                member = db.Member(realm=realm, number=7, name=f"member {realm}")
                note = db.Note(realm=realm, number=1, writer=7, words=f"note {realm}")
                db.session.add_all([member, note])
                db.session.flush()
                db.session.add(db.Answer(of=member.uid, words=f"answer {realm}"))
            db.session.commit()
        yield application


def uid_of(application: Application, realm: int) -> UUID:
    query = application.db.select(application.db.Member.uid).filter_by(realm=realm)
    uid: UUID = application.db.session.execute(query).scalar_one()
    return uid


def test_a_person_is_known_by_the_identifier(application: Application) -> None:
    uid = uid_of(application, 1)
    shown = application.export("account", uid)
    words = {
        table: [row.get("name") or row["words"] for row in rows] for table, rows in shown.items()
    }
    assert words == {"Member": ["member 1"], "Answer": ["answer 1"], "Note": ["note 1"]}
    request = application.erase("account", uid)
    assert (request.state, request.outcome and request.outcome["left"]) == ("completed", {})
    assert request.subject == ("account", canonical_id(uid))
    other = application.export("account", uid_of(application, 2))
    assert [len(rows) for rows in other.values()] == [1, 1, 1]


def test_an_identifier_stays(application: Application) -> None:
    db = application.db
    with application.writing():
        member = db.session.execute(db.select(db.Member).filter_by(realm=1)).scalar_one()
        member.uid = uuid4()
        member.name = "somebody else"
        with pytest.raises(WriteInvalid, match=r"Member\.uid: a sealed record stays with its row"):
            db.session.commit()
        db.session.rollback()


def test_a_row_is_rectified_by_its_identifier(application: Application) -> None:
    uid = uid_of(application, 1)
    db = application.db
    mark = db.session.execute(db.select(db.Note.mark).filter_by(realm=1)).scalar_one()
    myself = Actor(uid, role="teacher", subjects=[("account", uid)])
    changes = {f"Note/{mark}/words": "corrected"}
    request = application.privacy.rights.submit(
        Right.RECTIFY, myself, kind="account", one=str(uid), changes=changes
    )
    assert request.state == "completed"
    assert [row["words"] for row in application.export("account", uid)["Note"]] == ["corrected"]


def test_what_leads_to_an_erased_person_by_several_columns_is_found(
    application: Application,
) -> None:
    session = application.db.session
    session.execute(text("CREATE TABLE visit (realm INTEGER, member INTEGER, uid_of VARCHAR(40), "
                         "FOREIGN KEY (realm, member) REFERENCES member (realm, number) ON DELETE NO ACTION)"))  # fmt: skip
    session.execute(text("CREATE TABLE seen (who VARCHAR(40), member_id INTEGER)"))
    uid = uid_of(application, 1)
    session.execute(text("INSERT INTO seen VALUES (:uid, 7)"), {"uid": str(uid)})
    session.execute(text("INSERT INTO visit VALUES (1, NULL, NULL), (2, 7, NULL)"))
    session.commit()
    request = application.erase("account", uid)
    assert request.outcome is not None
    assert request.outcome["left"] == {"seen.who": 1}


def test_a_key_of_several_columns_is_searched_where_nothing_enforces_it(tmp_path: Path) -> None:
    db = people_of_realms(fresh_database())
    application = start(db, tmp_path / "free", enforced=False)
    with application.app.app_context():
        if db.engine.dialect.name == "postgresql":
            pytest.skip("PostgreSQL enforces every foreign key")
        with application.writing():
            db.session.add_all(
                [db.Member(realm=1, number=7, name="m"), db.Member(realm=1, number=8, name="n")]
            )
            db.session.commit()
        db.session.execute(text("CREATE TABLE visit (realm INTEGER, member INTEGER, "
                                "FOREIGN KEY (realm, member) REFERENCES member (realm, number))"))  # fmt: skip
        db.session.execute(text("INSERT INTO visit VALUES (1, 7), (1, 7), (1, 8), (2, 7)"))
        db.session.commit()
        query = db.select(db.Member.uid).filter_by(number=7)
        request = application.erase("account", db.session.execute(query).scalar_one())
        assert request.outcome is not None
        assert request.outcome["left"] == {"visit.realm, member": 2 + 1}


def test_a_key_that_is_personal_data_stays_out_of_requests_and_keys(tmp_path: Path) -> None:
    db = fresh_database()

    class Customer(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account", identifier="uid")
        email: Mapped[str] = mapped_column(String(80), primary_key=True)
        uid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
        name: Mapped[str] = sealed(IDENTITY)

    class Purchase(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to(identifier="id")
        id: Mapped[int] = mapped_column(primary_key=True)
        by: Mapped[str | None] = mapped_column(ForeignKey("customer.email"), info=owner())
        seen_by: Mapped[str | None] = mapped_column(
            ForeignKey("customer.email"), info=concerns(shows={"words"}, on_erasure=clear("words"))
        )
        packed_by: Mapped[str | None] = mapped_column(ForeignKey("customer.email"), info=refers())
        words: Mapped[str | None] = sealed(IDENTITY)

    application = start(db, tmp_path / "personal")
    with application.app.app_context():
        with application.writing():
            first = Customer(email="ada@example.org", name="Ada")
            second = Customer(email="bob@example.org", name="Bob")
            db.session.add_all([first, second])
            db.session.flush()
            uid, other = first.uid, second.uid
            db.session.add(Purchase(by=first.email, seen_by=second.email, words="one"))
            db.session.add(
                Purchase(by=second.email, seen_by=first.email, packed_by=first.email, words="two")
            )
            db.session.commit()
        shown = application.export("account", uid)["Purchase"]
        assert sorted(row["words"] for row in shown) == ["one", "two"]
        request = application.erase("account", uid)
        assert (request.state, request.outcome and request.outcome["left"]) == ("completed", {})
        (left,) = application.export("account", other)["Purchase"]
        assert (left["words"], left["seen_by"], left["packed_by"]) == (None, None, None)
        own = [
            name for name in db.inspect(db.engine).get_table_names() if name.startswith("lgprivacy")
        ]
        everything = str([application.stored(name) for name in own])
        assert "lgprivacy_subject_key" in " ".join(own)
        assert "ada@" not in everything


def test_a_joined_class_may_have_a_key_of_several_columns(tmp_path: Path) -> None:
    db = fresh_database()

    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account", identifier="uid")
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "person"}
        realm: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        uid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
        type: Mapped[str] = mapped_column(String(20))
        name: Mapped[str] = sealed(IDENTITY)

    class Teacher(Person):
        __mapper_args__ = {"polymorphic_identity": "teacher"}
        __table_args__ = (
            ForeignKeyConstraint(["realm", "number"], ["person.realm", "person.number"]),
        )
        realm: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        motto: Mapped[str | None] = sealed(IDENTITY, group="motto")

    application = start(db, tmp_path / "joined")
    with application.app.app_context():
        with application.writing():
            made = [
                Teacher(realm=1, number=1, name="t", motto="gently"),
                Person(realm=2, number=1, name="p"),
            ]
            db.session.add_all(made)
            db.session.commit()
            uid = made[0].uid
        (row,) = application.export("account", uid)["Person"]
        assert (row["name"], row["motto"]) == ("t", "gently")
        assert application.erase("account", uid).state == "completed"
        assert (len(application.stored("person")), application.stored("teacher")) == (1, [])


def test_the_number_of_an_erased_person_is_not_given_again(tmp_path: Path) -> None:
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account", identifier="uid")
        id: Mapped[int] = mapped_column(primary_key=True)
        uid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
        name: Mapped[str] = sealed(IDENTITY)

    class Case(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        of: Mapped[int | None] = mapped_column(ForeignKey("member.id"), info=owner())

    class Invoice(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        member_id: Mapped[int] = mapped_column(info=concerns(
            leads_to="member.id", on_erasure=keep("tax law"), shows={"words"}))  # fmt: skip
        case_id: Mapped[int] = mapped_column(info=concerns(
            leads_to="case.id", on_erasure=keep("tax law"), shows={"words"}))  # fmt: skip
        words: Mapped[str] = sealed(IDENTITY)

    application = start(db, tmp_path / "again")
    with application.app.app_context():

        def add(name: str) -> Any:
            with application.writing():
                member = Member(name=name)
                db.session.add(member)
                db.session.flush()
                db.session.add(case := Case(of=member.id))
                db.session.flush()
                db.session.add(Invoice(member_id=member.id, case_id=case.id, words=f"of {name}"))
                db.session.commit()
                return member.uid

        add("first")
        assert application.erase("account", add("second")).state == "completed"
        shown = application.export("account", add("third"))
        assert [row["words"] for row in shown["Invoice"]] == ["of third"]
        assert [row["id"] for row in shown["Case"]] == [3]


@pytest.fixture
def texts(tmp_path: Path) -> Any:
    """People and shared rows whose identifiers are texts."""
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[str] = mapped_column(String(40), primary_key=True)
        name: Mapped[str] = sealed(IDENTITY)

    class Note(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        mark: Mapped[str] = mapped_column(String(40), primary_key=True)
        of: Mapped[str | None] = mapped_column(ForeignKey("member.id"), info=owner())
        words: Mapped[str] = sealed(IDENTITY)

    db.Member, db.Note = Member, Note
    application = start(db, tmp_path / "texts", enforced=False)
    with application.app.app_context():
        yield application


@pytest.mark.parametrize("spell", [str.upper, lambda one: one.replace("-", ""), lambda one: one.title()],
                         ids=["upper", "bare", "mixed"])  # fmt: skip
def test_another_spelling_of_a_uuid_is_the_same_identifier(texts: Application, spell: Any) -> None:
    db, one, mark = texts.db, str(uuid4()), str(uuid4())
    with texts.writing():
        db.session.add_all([db.Member(id=one, name="first"), db.Note(mark=mark, of=one, words="w")])
        db.session.commit()
        for row in (
            db.Member(id=spell(one), name="x"),
            db.Note(mark=spell(mark), of=one, words="x"),
        ):
            db.session.add(row)
            with pytest.raises(RequestInvalid, match="another row has this identifier"):
                db.session.commit()
            db.session.rollback()
        db.session.add_all([db.Note(mark=name, of=one, words="x") for name in two_spellings()])
        with pytest.raises(RequestInvalid, match="another row has this identifier"):
            db.session.commit()
        db.session.rollback()
    shown = texts.export("account", one)
    assert ([row["name"] for row in shown["Member"]], [row["words"] for row in shown["Note"]]) == (
        ["first"],
        ["w"],
    )


def two_spellings() -> tuple[str, str]:
    one = str(uuid4())
    return one, one.upper()


def test_rows_that_spell_a_person_otherwise_are_exported_as_they_are_erased(
    texts: Application,
) -> None:
    if texts.db.engine.dialect.name == "postgresql":
        pytest.skip("PostgreSQL enforces every foreign key")
    db, one = texts.db, str(uuid4())
    with texts.writing():
        db.session.add_all([db.Member(id=one, name="first"), db.Note(mark="a", of=one, words="a")])
        db.session.add(db.Note(mark="b", of=one, words="b"))
        db.session.commit()
    db.session.execute(text("UPDATE note SET of = upper(of) WHERE mark = 'b'"))
    db.session.commit()
    assert len(texts.export("account", one)["Note"]) == 2
    assert texts.erase("account", one).state == "completed"
    assert texts.stored("note") == []


class LowerCase(TypeDecorator[str]):
    """Texts that are stored in lower case."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Any) -> Any:
        return value.lower() if value is not None else None


class Guid(TypeDecorator[UUID]):
    """UUIDs as texts of 32 or 36 characters, as many applications keep them."""

    impl = String
    cache_ok = True

    def __init__(self, *, dashed: bool) -> None:
        super().__init__(36)
        self.dashed = dashed

    def process_bind_param(self, value: Any, _dialect: Any) -> Any:
        return None if value is None else str(value) if self.dashed else value.hex

    def process_result_value(self, value: Any, _dialect: Any) -> Any:
        return None if value is None else UUID(value)


OWN_TYPES: dict[str, tuple[Any, Any]] = {
    "UUIDs as texts": (lambda: Guid(dashed=False), uuid4),
    "UUIDs as texts with dashes": (lambda: Guid(dashed=True), uuid4),
    "texts in lower case": (LowerCase, lambda: f"user-{uuid4().hex[:12]}"),
}


@pytest.mark.parametrize("name", OWN_TYPES)
def test_an_identifier_of_an_own_type_is_found(name: str, tmp_path: Path) -> None:
    make, new = OWN_TYPES[name]
    db = fresh_database()
    note = {"id": mapped_column(make(), primary_key=True, default=new), "words": sealed(IDENTITY)}
    body = {"__module__": __name__, "__annotations__": {"words": Mapped[str]}}
    member = type("Member", (db.Model,), {**body, "__privacy__": subject("account"), **note})
    for table, label in (("Own", belongs_to("account")), ("Shared", belongs_to())):
        columns = {
            "id": mapped_column(make(), primary_key=True, default=new),
            "of": mapped_column(make(), ForeignKey("member.id"), info=owner()),
            "words": sealed(IDENTITY),
        }
        setattr(db, table, type(table, (db.Model,), {**body, "__privacy__": label, **columns}))
    application = start(db, tmp_path / "own")
    with application.app.app_context():
        with application.writing():
            people = [member(words="first"), member(words="second")]
            db.session.add_all(people)
            db.session.flush()
            one, other = [person.id for person in people]
            for of in (one, other):
                db.session.add_all([db.Own(of=of, words="own"), db.Shared(of=of, words="shared")])
            db.session.commit()
        tables = {
            table: [row["words"] for row in rows]
            for table, rows in application.export("account", one).items()
        }
        assert tables == {"Member": ["first"], "Own": ["own"], "Shared": ["shared"]}
        stored = application.stored("member")
        request = application.erase("account", one)
        assert (request.state, request.outcome and request.outcome["left"]) == ("completed", {})
        left = application.stored("member")
        assert (len(stored), len(left), len(application.stored("own"))) == (2, 1, 1)
        assert len(application.export("account", other)["Shared"]) == 1


FORMS: dict[str, tuple[Any, Any, str]] = {
    "a text for a number": (Integer, "007", r"\(int\)"),
    "a number in digits": (Integer, "7", r"\(int\)"),
    "a truth value": (Integer, True, r"\(int\)"),
    "a fraction": (Integer, 7.0, r"\(int\)"),
    "too large a number": (Integer, 2**64, r"\(int\)"),
    "a text for a UUID": (Uuid, str(uuid4()), r"\(UUID\)"),
    "a number for a text": (String(40), 7, r"\(str\)"),
    "upper case where lower is kept": (LowerCase(), "Ada", "the column keeps it, and"),
}


@pytest.mark.parametrize("name", FORMS)
def test_an_identifier_in_another_form_is_refused(name: str, tmp_path: Path) -> None:
    column_type, value, told = FORMS[name]
    db = fresh_database()
    body = {
        "__module__": __name__,
        "__privacy__": subject("account"),
        "__annotations__": {"name": Mapped[str]},
        "id": mapped_column(column_type, primary_key=True),
        "name": sealed(IDENTITY),
    }
    member = type("Member", (db.Model,), body)
    application = start(db, tmp_path / "form")
    with application.app.app_context(), application.writing():
        db.session.add(member(id=value, name="n"))
        with pytest.raises(RequestInvalid, match=told) as refused:
            db.session.commit()
        assert str(value) not in str(refused.value).replace("(int)", "")
        db.session.rollback()


def test_a_personal_part_of_a_key_is_searched_for(tmp_path: Path) -> None:
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account", identifier="uid")
        shop: Mapped[str] = mapped_column(String(40), primary_key=True)
        email: Mapped[str] = mapped_column(String(40), primary_key=True)
        uid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
        name: Mapped[str] = sealed(IDENTITY)

    application = start(db, tmp_path / "part")
    with application.app.app_context():
        session = db.session
        with application.writing():
            made = [
                Member(shop="a long name", email=f"{one}@example.org", name=one)
                for one in ("ada", "bob")
            ]
            session.add_all(made)
            session.commit()
            uid = made[0].uid
        session.execute(text("CREATE TABLE letters (shop VARCHAR(40), email VARCHAR(40))"))
        session.execute(text("INSERT INTO letters VALUES ('a long name', 'ada@example.org')"))
        session.execute(text("INSERT INTO letters VALUES ('a long name', 'bob@example.org')"))
        session.commit()
        request = application.erase("account", uid)
        assert request.outcome is not None
        assert request.outcome["left"] == {"letters.email": 1}


# --- what is refused ---


def refused_model(key: dict[str, Any], **options: Any) -> None:
    db = fresh_database()
    body = {
        "__module__": __name__,
        "__privacy__": subject("account", **options),
        "__annotations__": {"name": Mapped[str]},
        "name": sealed(IDENTITY),
        **key,
    }
    type("Member", (db.Model,), body)


def two_columns() -> dict[str, Any]:
    return {
        "realm": mapped_column(primary_key=True, type_=String(8)),
        "number": mapped_column(primary_key=True, type_=String(8)),
    }


REFUSED: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, Any], str]] = {
    "no identifier": (
        two_columns, {},
        r"Member: the primary key has several columns \(realm, number\).*identifier='uid'",
    ),
    "no such column": (
        two_columns, {"identifier": "uid"}, "identifier='uid' names no column of its table",
    ),
    "not unique": (
        lambda: {**two_columns(), "uid": mapped_column(String(32), default=lambda: uuid4().hex, nullable=False)},
        {"identifier": "uid"}, r"Member\.uid: an identifier is unique and never NULL",
    ),
    "may be absent": (
        lambda: {**two_columns(), "uid": mapped_column(String(32), unique=True, nullable=True)},
        {"identifier": "uid"}, r"Member\.uid: an identifier is unique and never NULL",
    ),
    "unique with another": (
        lambda: {
            **two_columns(), "uid": mapped_column(String(32), nullable=False),
            "__table_args__": (UniqueConstraint("uid", "realm"),),
        },
        {"identifier": "uid"}, r"Member\.uid: an identifier is unique and never NULL",
    ),
    "known too late": (
        lambda: {
            **two_columns(), "uid": mapped_column(String(32), unique=True, nullable=False, server_default="x"),
        },
        {"identifier": "uid"}, r"Member\.uid: the identifier must be known before the insert",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_identifier_is_refused(name: str) -> None:
    make, options, message = REFUSED[name]
    with pytest.raises(ModelInvalid, match=message):
        refused_model(make(), **options)


@pytest.mark.parametrize(
    "unique",
    [
        lambda: (UniqueConstraint("uid"),),
        lambda: (Index("one_uid", "uid", unique=True),),
    ],
    ids=["constraint", "index"],
)
def test_a_unique_constraint_or_index_makes_an_identifier(unique: Any, tmp_path: Path) -> None:
    refused_model(
        {
            **two_columns(),
            "uid": mapped_column(String(32), default=lambda: uuid4().hex, nullable=False),
            "__table_args__": unique(),
        },
        identifier="uid",
    )


def test_a_key_to_a_column_that_is_not_unique_is_refused(tmp_path: Path) -> None:
    db = people_of_realms(fresh_database())

    class Remark(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        about: Mapped[int] = mapped_column(info=owner(leads_to="member.number"))

    with pytest.raises(
        ModelInvalid, match=r"Remark\.about leads to Member\.number, which is not unique"
    ):
        start(db, tmp_path / "several")


def test_one_owner_by_a_column_besides_the_identifier_is_refused(tmp_path: Path) -> None:
    db = people_of_realms(fresh_database())
    with pytest.raises(ModelInvalid, match=r"Remark\.number leads to Member\.number, which is not"):

        class Remark(db.Model):  # type: ignore[misc, name-defined]
            __privacy__ = belongs_to("account")
            id: Mapped[int] = mapped_column(primary_key=True)
            number: Mapped[int] = mapped_column(ForeignKey("member.number"))
