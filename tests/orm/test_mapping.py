"""Ways of mapping that would show or lose labelled values are refused at the start, by name and with what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from school import STORES
from sqlalchemy import (
    Column,
    ForeignKey,
    Identity,
    Integer,
    String,
    Table,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    column_property,
    composite,
    declared_attr,
    mapped_column,
    synonym,
    validates,
)

from flask_lgprivacy import Actor, LGPrivacy, belongs_to, not_personal, sealed, subject, tagged
from flask_lgprivacy.errors import ConfigurationError, ModelInvalid, UndeclaredProcessing
from flask_lgprivacy.testing import make_key_file


def fresh() -> Any:
    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})

    class Account(db.Model):
        __privacy__ = subject("account")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        name: Mapped[str] = sealed("account.identity")
        phone: Mapped[str | None] = tagged("account.identity")

    db.Account = Account  # type: ignore[attr-defined]
    return db


def start(db: Any, folder: Path) -> tuple[Flask, LGPrivacy]:
    app = Flask("start", instance_path=str(folder))
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", LGPRIVACY_STORES=STORES)
    make_key_file(folder / "lgprivacy.key")
    db.init_app(app)
    return app, LGPrivacy(app)


def a_subclass(db: Any) -> Any:
    class Teacher(db.Account):
        pass

    return locals()


def a_joined_subclass(db: Any) -> Any:
    class Teacher(db.Account):
        id: Mapped[UUID] = mapped_column(ForeignKey("account.id"), primary_key=True)
        subject: Mapped[str] = tagged("account.identity")

    return locals()


def a_concrete_subclass(db: Any) -> Any:
    class Teacher(db.Account):
        __mapper_args__ = {"concrete": True}
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)

    return locals()


def a_labelled_subclass(db: Any) -> Any:
    class Person(db.Model):
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind"}

    class Teacher(Person):
        __privacy__ = subject("contact")
        __mapper_args__ = {"polymorphic_identity": "teacher"}

    return locals()


def a_second_model(db: Any) -> Any:
    class Directory(db.Model):
        __table__ = db.Account.__table__

    return locals()


def a_model_of_a_query(db: Any) -> Any:
    class Directory(db.Model):
        __table__ = select(db.Account.__table__.c.id, db.Account.__table__.c.phone).subquery()
        __mapper_args__ = {"primary_key": [__table__.c.id]}

    return locals()


def an_attribute_that_sql_computes(db: Any) -> Any:
    db.Account.digits = column_property(func.replace(db.Account.__table__.c.phone, " ", ""))

    return locals()


def an_attribute_that_sql_computes_elsewhere(db: Any) -> Any:
    class Report(db.Model):
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        first_phone = column_property(
            select(db.Account.__table__.c.phone).limit(1).scalar_subquery()
        )

    return locals()


def a_composite(db: Any) -> Any:
    class Contact(db.Model):
        __privacy__ = subject("contact")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        street: Mapped[str] = tagged("commercial.contact")
        town: Mapped[str] = tagged("commercial.contact")
        place = composite(lambda street, town: (street, town), "street", "town")

    return locals()


def a_dataclass(db: Any) -> Any:
    class Contact(MappedAsDataclass, db.Model):
        __privacy__ = subject("contact")
        id: Mapped[UUID] = mapped_column(primary_key=True, default_factory=uuid4, init=False)
        email: Mapped[str] = sealed("commercial.contact")

    return locals()


def a_version_of_its_own(db: Any) -> Any:
    class Contact(db.Model):
        __privacy__ = subject("contact")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        email: Mapped[str] = sealed("commercial.contact")
        revision: Mapped[int] = not_personal("how often it was changed")
        __mapper_args__ = {"version_id_col": revision}

    return locals()


def a_forgotten_owner_of_tagged_columns(db: Any) -> Any:
    class Invitation(db.Model):
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        email: Mapped[str] = tagged("account.identity")

    return locals()


def a_table_that_leads_to_a_person(db: Any) -> Any:
    Table(
        "friends",
        db.metadata,
        Column("a", ForeignKey("account.id")),
        Column("b", ForeignKey("account.id")),
    )

    return locals()


def a_model_that_leads_to_what_belongs_to_a_person(db: Any) -> Any:
    class Post(db.Model):
        __privacy__ = belongs_to("account")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))

    class Attachment(db.Model):
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        post_id: Mapped[UUID] = mapped_column(ForeignKey("post.id"))

    return locals()


def a_sensitive_name_in_any_model(db: Any) -> Any:
    class Menu(db.Model):
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        religion: Mapped[str]

    return locals()


def a_sensitive_name_in_any_table(db: Any) -> Any:
    Table("menu", db.metadata, Column("number", Integer), Column("religion", String(9)))

    return locals()


REFUSED = {
    a_subclass: "Teacher is a subclass of Account, and no column says",
    a_joined_subclass: "Teacher is a subclass of Account, and no column says",
    a_concrete_subclass: r"Teacher\.name stands in the table of the class above",
    a_labelled_subclass: "Teacher inherits from the mapped class Person, which has no label",
    a_second_model: "Directory is a second model of the table of Account",
    a_model_of_a_query: "Directory is a second model of the table of Account",
    an_attribute_that_sql_computes: r"Account\.digits is computed from account\.phone",
    an_attribute_that_sql_computes_elsewhere: r"Report\.first_phone is computed from account\.phone",
    a_composite: r"Contact\.place is computed from contact\.street",
    a_dataclass: "Contact: labelled models are not mapped as dataclasses",
    a_version_of_its_own: "Contact: __mapper_args__ name the version column 'revision'.*take version_id_col out",
    a_forgotten_owner_of_tagged_columns: r"Invitation has labelled columns \(email\) and no __privacy__",
    a_table_that_leads_to_a_person: "friends.a leads to Account and has no label; write info=owner().*\nfriends.b leads to Account",
    a_model_that_leads_to_what_belongs_to_a_person: "Attachment.post_id leads to Post and has no label; write info=owner()",
    a_sensitive_name_in_any_model: r"Menu\.religion: the name stands for sensitive data.*LG-08",
    a_sensitive_name_in_any_table: r"table 'menu'\.religion: the name stands for sensitive data.*LG-08",
}


@pytest.mark.parametrize("define", REFUSED, ids=lambda define: define.__name__)
def test_a_way_past_the_labels_stops_the_start(tmp_path: Path, define: Any) -> None:
    db = fresh()
    kept = []
    with pytest.raises(ModelInvalid, match=REFUSED[define]):
        kept.append(define(db))  # SQLAlchemy forgets models that nobody holds
        start(db, tmp_path)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (
            str,
            lambda: mapped_column(
                String(32), primary_key=True, default=func.lower(func.hex(func.randomblob(16)))
            ),
        ),
        (
            str,
            lambda: mapped_column(
                String(32), primary_key=True, default=text("lower(hex(randomblob(16)))")
            ),
        ),
        (
            str,
            lambda: mapped_column(
                String(32), primary_key=True, server_default=text("(hex(randomblob(16)))")
            ),
        ),
        (int, lambda: mapped_column(Identity(always=True), primary_key=True)),
        (UUID, lambda: mapped_column(primary_key=True, default=uuid4())),
        (
            UUID,
            lambda: mapped_column(
                primary_key=True, default=select(func.gen_random_uuid()).scalar_subquery()
            ),
        ),
    ],
)
def test_an_identifier_that_is_not_known_before_the_insert_is_refused(kind: Any, make: Any) -> None:
    db = fresh()
    with pytest.raises(
        ModelInvalid, match=r"Contact\.id: the identifier must be known before the insert"
    ):
        body = {
            "__privacy__": subject("contact"), "__module__": __name__, "__annotations__": {"id": Mapped[kind], "email": Mapped[str]},
            "id": make(), "email": sealed("commercial.contact"),
        }  # fmt: skip
        type("Contact", (db.Model,), body)


# --- what is kept ---


def test_mapper_arguments_of_a_model_are_kept_beside_the_row_version(tmp_path: Path) -> None:
    db = fresh()

    class Ordered:
        @declared_attr.directive
        def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805
            return {"confirm_deleted_rows": False}

    class Contact(Ordered, db.Model):
        __privacy__ = subject("contact")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        email: Mapped[str] = sealed("commercial.contact")

    mapper = Contact.__mapper__
    assert mapper.confirm_deleted_rows is False
    assert mapper.version_id_col is Contact.__table__.c.lgprivacy_version
    start(db, tmp_path)


def test_a_row_version_is_compared_where_a_subclass_of_the_mixin_has_mapper_arguments(
    tmp_path: Path,
) -> None:
    db = fresh()

    class Reachable:
        email: Mapped[str] = sealed("commercial.contact")

    class Contact(Reachable, db.Model):
        __privacy__ = subject("contact")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        __mapper_args__ = {"confirm_deleted_rows": True}

    assert Contact.__mapper__.version_id_col is Contact.__table__.c.lgprivacy_version


def test_what_a_validator_of_a_sealed_field_returns_is_sealed(tmp_path: Path) -> None:
    db = fresh()

    class Contact(db.Model):
        __privacy__ = subject("contact")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        email: Mapped[str] = sealed("commercial.contact")

        @validates("email")
        def strip(self, key: str, value: str) -> str:
            if "@" not in value:
                raise ValueError(f"{key} is no address")
            return value.strip()

    start(db, tmp_path)
    with pytest.raises(ValueError, match="email is no address"):
        Contact(email="nobody")
    assert Contact(email=" a@b.example ").email == "a@b.example"


def test_a_deferred_tagged_column_is_guarded_when_it_is_loaded(tmp_path: Path) -> None:
    db = fresh()

    class Note(db.Model):
        __privacy__ = belongs_to("account")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
        text: Mapped[str] = tagged("account.identity", deferred=True, deferred_group="rare")
        body = synonym("text")

    app, privacy = start(db, tmp_path)
    with app.app_context():
        privacy.initialise()
        db.create_all()
        job = Actor("c", role="job")
        with privacy.processing(
            "account.identity", actor=job, purpose="provide-service", actions={"write"}, job="t"
        ):
            account = db.Account(name="N")
            db.session.add(account)
            db.session.flush()
            db.session.add(Note(account_id=account.id, text="T"))
            db.session.commit()
        row = db.session.scalars(select(Note)).one()
        for name in ("text", "body"):
            with pytest.raises(UndeclaredProcessing):
                getattr(row, name)


def test_a_uuid_column_of_another_spelling_is_no_reason_to_refuse(tmp_path: Path) -> None:
    db = fresh()

    class Note(db.Model):
        id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
        text: Mapped[str]

    start(db, tmp_path)


def test_an_unlabelled_model_that_leads_nowhere_starts(tmp_path: Path) -> None:
    db = fresh()

    class Lesson(db.Model):
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]

    try:
        start(db, tmp_path)
    except ConfigurationError as refused:
        pytest.fail(str(refused))
