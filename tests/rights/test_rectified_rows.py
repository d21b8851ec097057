"""Fields of rows that belong to a person are rectified where the label of their owner says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ownership import Application, fresh_database, start
from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import Actor, belongs_to, concerns, owner, sealed, subject, tagged
from flask_lgprivacy.errors import ModelInvalid, RequestInvalid
from flask_lgprivacy.rights.requests import RightsRequest

IDENTITY = "account.identity"


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed(IDENTITY)

    class Card(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "card"}
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str] = mapped_column(String(10))
        member_id: Mapped[int] = mapped_column(
            ForeignKey("member.id"), info=owner(rectifies=("street", "door"))
        )
        street: Mapped[str] = sealed(IDENTITY)
        number: Mapped[str | None] = sealed(IDENTITY)

    class DoorCard(Card):
        __mapper_args__ = {"polymorphic_identity": "door"}
        door: Mapped[str | None] = tagged(IDENTITY, String(10))

    class Message(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        sender: Mapped[int] = mapped_column(
            ForeignKey("member.id"), info=owner(rectifies=["words"])
        )
        reader: Mapped[int | None] = mapped_column(
            ForeignKey("member.id"), info=concerns(shows={"words"})
        )
        words: Mapped[str] = sealed(IDENTITY)

    db.made = {"card": Card, "door": DoorCard, "message": Message}
    made = start(db, tmp_path / "application")
    with made.app.app_context():
        with made.writing():
            made.db.session.add_all([Member(name="ann"), Member(name="ben")])
            made.db.session.flush()
            made.db.session.add_all(
                [
                    Card(member_id=1, street="old", number="1"),
                    DoorCard(member_id=1, street="old", door="left"),
                    Card(member_id=2, street="his"),
                    Message(sender=1, reader=2, words="helo"),
                ]
            )
            made.db.session.commit()
        yield made


def rectify(application: Application, one: int, **changes: Any) -> RightsRequest:
    application.db.session.expunge_all()
    myself = Actor(one, role="teacher", subjects=[("account", one)])
    named = {name.replace("__", "/"): value for name, value in changes.items()}
    return application.privacy.rights.submit(
        "rectify", myself, kind="account", one=str(one), changes=named
    )


def stored(application: Application, model: str, one: int, field: str) -> Any:
    application.db.session.expunge_all()
    acting = Actor(1, role="teacher", subjects=[("account", 1)])
    with application.privacy.processing(
        IDENTITY, actor=acting, purpose="provide-service", actions={"read"}, job="look"
    ):
        found = application.db.made[model]
        row = application.db.session.scalars(select(found).where(found.id == one)).one()
        return getattr(row, field)


def test_rows_of_a_person_are_rectified_with_their_own(application: Application) -> None:
    done = rectify(
        application,
        1,
        name="anne",
        Card__1__street="new",
        Card__2__door="r",
        Message__1__words="hello",
    )
    assert (done.state, done.outcome) == (
        "completed",
        {
            "fields": ["Card/1/street", "Card/2/door", "Message/1/words", "name"],
            "model": "Member",
        },
    )
    assert stored(application, "card", 1, "street") == "new"
    assert stored(application, "card", 1, "number") == "1"
    assert stored(application, "card", 2, "door") == "r"
    assert stored(application, "message", 1, "words") == "hello"


REFUSED = {
    "another person's row": ("Card__3__street", "no such Card of this person"),
    "a row that is not there": ("Card__9__street", "no such Card of this person"),
    "a key that is none": ("Card__x__street", "no such Card of this person"),
    "a field that no label names": ("Card__1__number", "may have rectified: door, street"),
    "a model that is not there": ("Nobody__1__street", "no model is called so"),
    "a field of another class": ("Card__1__door", "no field of this name"),
    "a person by their model": ("Member__2__name", "no model is called so"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_theirs_to_change_is_refused_and_nothing_changes(
    application: Application, what: str
) -> None:
    name, message = REFUSED[what]
    before = [application.stored(table) for table in ("member", "card", "message")]
    with pytest.raises(RequestInvalid, match=message):
        rectify(application, 1, name="changed", **{name: "x"})
    assert [application.stored(table) for table in ("member", "card", "message")] == before


def test_who_is_shown_a_row_does_not_change_it(application: Application) -> None:
    with pytest.raises(RequestInvalid, match="no such Message of this person"):
        rectify(application, 2, Message__1__words="x")


def test_a_value_of_another_type_is_refused(application: Application) -> None:
    with pytest.raises(RequestInvalid):
        rectify(application, 1, Card__1__street=5)


def test_a_label_names_fields_that_are_there(tmp_path: Path) -> None:
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)

    class Card(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        member_id: Mapped[int] = mapped_column(
            ForeignKey("member.id"), info=owner(rectifies=("street",))
        )

    db.kept = (Member, Card)  # SQLAlchemy forgets models that nobody holds
    with pytest.raises(ModelInvalid, match="rectifies names 'street', which is no labelled field"):
        start(db, tmp_path / "wrong")
