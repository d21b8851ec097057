"""A row of several people opens for each of them, as far as its labels show it, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ownership import Application, fresh_database, start
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_lgprivacy import (
    Actor,
    belongs_to,
    concerns,
    not_personal,
    owner,
    owns,
    sealed,
    subject,
    tagged,
)
from flask_lgprivacy.errors import AccessDenied, PrivacyError, UndeclaredProcessing
from flask_lgprivacy.testing import captured_trail

READ, WRITE, ERASE = frozenset({"read"}), frozenset({"read", "write"}), frozenset({"erase"})


class Chat:
    """Four members, a message from the first to the second that names the third, and an attachment of it."""

    def __init__(self, application: Application, models: dict[str, Any]) -> None:
        self.application = application
        self.models = models
        self.session = application.db.session
        with application.writing():
            people = [models["member"](name=f"member {number}") for number in range(4)]
            self.session.add_all(people)
            self.session.flush()
            self.ids = [person.id for person in people]
            message = models["message"](
                sender=self.ids[0],
                receiver=self.ids[1],
                about=self.ids[2],
                words="hello",
                subject="greeting",
            )
            message.files.append(models["file"](name="photo.png"))
            self.session.add(message)
            self.session.commit()
        self.session.expunge_all()

    def acting(
        self, number: int, actions: frozenset[str] = READ, purpose: str = "provide-service"
    ) -> Any:
        one = self.ids[number]
        actor = Actor(one, role="teacher", subjects=[("account", one)])
        return self.application.privacy.processing(
            "account.identity", actor=actor, purpose=purpose, actions=actions, job="test"
        )

    def message(self) -> Any:
        return self.session.scalars(select(self.models["message"])).one()

    def file(self) -> Any:
        return self.session.scalars(select(self.models["file"])).one()


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed("account.identity")

    class Message(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        sender: Mapped[int | None] = mapped_column(ForeignKey("member.id"), info=owner())
        receiver: Mapped[int | None] = mapped_column(ForeignKey("member.id"), info=owner())
        about: Mapped[int | None] = mapped_column(
            ForeignKey("member.id"), info=concerns(shows=("id", "subject"))
        )
        words: Mapped[str] = tagged("account.identity")
        subject: Mapped[str] = tagged("account.identity")
        pinned: Mapped[bool] = not_personal("where it stands", default=False)
        files: Mapped[list[File]] = relationship(back_populates="message")

    class File(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        message_id: Mapped[int] = mapped_column(ForeignKey("message.id"), info=owner())
        message: Mapped[Message] = relationship(back_populates="files")
        name: Mapped[str] = tagged("account.identity")

    Message.__annotations__["files"] = Mapped[list[File]]
    application = start(db, tmp_path / "chat")
    with application.app.app_context():
        yield Chat(application, {"member": Member, "message": Message, "file": File})


@pytest.mark.parametrize("number", [0, 1])
def test_each_owner_reads_it(chat: Chat, number: int) -> None:
    with chat.acting(number):
        assert (chat.message().words, chat.message().subject) == ("hello", "greeting")


@pytest.mark.parametrize("number", [0, 1])
def test_each_owner_reads_what_belongs_to_it(chat: Chat, number: int) -> None:
    with chat.acting(number):
        assert chat.file().name == "photo.png"


def test_who_is_named_reads_what_is_shown(chat: Chat) -> None:
    with chat.acting(2):
        assert chat.message().subject == "greeting"


def test_who_is_named_reads_nothing_else(chat: Chat) -> None:
    with chat.acting(2), pytest.raises(AccessDenied):
        _ = chat.message().words


def test_nobody_else_reads_it(chat: Chat) -> None:
    for read in (
        lambda: chat.message().words,
        lambda: chat.message().subject,
        lambda: chat.file().name,
    ):
        with chat.acting(3), pytest.raises(AccessDenied):
            read()


def test_without_a_declaration_it_shows_nothing(chat: Chat) -> None:
    with pytest.raises(UndeclaredProcessing):
        _ = chat.message().words


def test_the_trail_names_who_read_for_themselves(chat: Chat) -> None:
    with captured_trail(chat.application.app) as trail, chat.acting(1):
        _ = chat.message().words
    [touched] = [access for event in trail.events for access in getattr(event, "touched", ())]
    assert (touched.category, touched.action, touched.subjects) == (
        "account.identity",
        "read",
        1,
    )


def test_each_owner_changes_it(chat: Chat) -> None:
    with chat.acting(1, WRITE):
        chat.message().words = "changed"
        chat.session.commit()
    with chat.acting(0):
        assert chat.message().words == "changed"


def test_nobody_else_changes_it(chat: Chat) -> None:
    with chat.acting(3, WRITE), pytest.raises(AccessDenied):
        chat.message().words = "forged"
        chat.session.commit()
    chat.session.rollback()
    with chat.acting(0):
        assert chat.message().words == "hello"


def test_nobody_makes_it_theirs(chat: Chat) -> None:
    """A key that says whose a row is is changed only by whom it was."""
    with chat.acting(3, WRITE), pytest.raises(AccessDenied):
        chat.message().receiver = chat.ids[3]
        chat.session.commit()
    chat.session.rollback()
    with chat.acting(3), pytest.raises(AccessDenied):
        _ = chat.message().words


def test_an_owner_hands_it_on(chat: Chat) -> None:
    with chat.acting(1, WRITE):
        chat.message().receiver = chat.ids[3]
        chat.session.commit()
    with chat.acting(3):
        assert chat.message().words == "hello"
    with chat.acting(1), pytest.raises(AccessDenied):
        _ = chat.message().words


def test_nobody_writes_in_the_name_of_others(chat: Chat) -> None:
    with chat.acting(3, WRITE), pytest.raises(AccessDenied):
        chat.session.add(
            chat.models["message"](
                sender=chat.ids[0], receiver=chat.ids[1], words="forged", subject="x"
            )
        )
        chat.session.commit()
    chat.session.rollback()
    assert chat.session.scalar(select(func.count()).select_from(chat.models["message"])) == 1


def test_nobody_else_deletes_it(chat: Chat) -> None:
    with chat.acting(3, ERASE, "exercise-rights"), pytest.raises(AccessDenied):
        chat.session.delete(chat.file())
        chat.session.commit()
    chat.session.rollback()
    with chat.acting(0, ERASE, "exercise-rights"):
        chat.session.delete(chat.file())
        chat.session.commit()
    assert chat.session.scalars(select(chat.models["file"])).all() == []


def test_a_row_of_nobody_is_read_by_nobody(chat: Chat) -> None:
    with chat.acting(0, WRITE):
        row = chat.models["message"](words="of nobody", subject="yet")
        chat.session.add(row)
        chat.session.commit()
        with pytest.raises(AccessDenied, match="belongs to nobody"):
            _ = row.words


def test_it_is_written_through_the_session_only(chat: Chat) -> None:
    from sqlalchemy import update

    with chat.acting(0, WRITE), pytest.raises(PrivacyError, match="bulk statements"):
        chat.session.execute(update(chat.models["message"]).values(words="all"))


@pytest.fixture
def teams(tmp_path: Path) -> Iterator[Chat]:
    """A team of the first member, with a tagged name, whose memberships hold nothing but keys."""
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed("account.identity")

    class Team(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        __hash__ = None  # type: ignore[assignment]  # as of a model that compares by value

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Team) and other.id == self.id

        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = tagged("account.identity")

    class Membership(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        member_id: Mapped[int | None] = mapped_column(ForeignKey("member.id"), info=owner())
        team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"), info=owns())

    Membership.team = relationship(Team)
    application = start(db, tmp_path / "teams")
    with application.app.app_context():
        made = Chat.__new__(Chat)
        made.application, made.session = application, db.session
        made.models = {"member": Member, "team": Team, "membership": Membership}
        with application.writing():
            people = [Member(name=f"member {number}") for number in range(2)]
            team = Team(id=0, name="ours")  # nothing but a number, and no reason to be let in
            db.session.add_all([*people, team])
            db.session.flush()
            made.ids = [person.id for person in people]
            db.session.add(Membership(member_id=made.ids[0], team_id=team.id))
            db.session.commit()
        db.session.expunge_all()
        yield made


def test_a_member_takes_somebody_in(teams: Chat) -> None:
    team = teams.session.scalars(select(teams.models["team"].id)).one()
    with teams.acting(0, WRITE):
        teams.session.add(teams.models["membership"](member_id=teams.ids[1], team_id=team))
        teams.session.commit()
    with teams.acting(1):
        assert teams.session.scalars(select(teams.models["team"])).one().name == "ours"


def test_nobody_joins_by_themselves(teams: Chat) -> None:
    team = teams.session.scalars(select(teams.models["team"].id)).one()
    with teams.acting(1, WRITE), pytest.raises(AccessDenied):
        teams.session.add(teams.models["membership"](member_id=teams.ids[1], team_id=team))
        teams.session.commit()
    teams.session.rollback()


def test_nobody_joins_over_a_relationship(teams: Chat) -> None:
    with teams.acting(1, WRITE), pytest.raises(AccessDenied):
        team = teams.session.scalars(select(teams.models["team"])).one()
        teams.session.add(teams.models["membership"](member_id=teams.ids[1], team=team))
        teams.session.commit()
    teams.session.rollback()


def test_nobody_takes_a_membership_over(teams: Chat) -> None:
    with teams.acting(1, WRITE), pytest.raises(AccessDenied):
        teams.session.scalars(select(teams.models["membership"])).one().member_id = teams.ids[1]
        teams.session.commit()
    teams.session.rollback()


def test_who_is_only_named_does_not_make_it_theirs(chat: Chat) -> None:
    with chat.acting(2, WRITE), pytest.raises(AccessDenied):
        message = chat.message()
        message.sender, message.about = chat.ids[2], None
        chat.session.commit()
    chat.session.rollback()
