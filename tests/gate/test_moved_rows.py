"""Nobody makes another person's row their own: not by its keys, by rows that say whose it is, or by what keys lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from ownership import Application, fresh_database, start
from sqlalchemy import ForeignKey, ForeignKeyConstraint, event, literal, select
from sqlalchemy.orm import Mapped, load_only, make_transient, mapped_column, relationship

from flask_lgprivacy import Actor, belongs_to, owner, owns, sealed, subject, tagged
from flask_lgprivacy.errors import AccessDenied, PrivacyError, RequestInvalid, WriteInvalid

IDENTITY = "account.identity"


class Club:
    """A victim and somebody else, each with a note, a page of it, and a team."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.db = application.db
        self.session = application.db.session
        self.default: int | None = None
        self.held: Any = None
        db = self.db
        with application.writing():
            self.victim, self.me = (
                db.Member(code="v", name="victim"),
                db.Member(code="m", name="me"),
            )
            self.session.add_all([self.victim, self.me])
            self.session.flush()
            self.people = (self.victim.id, self.me.id)
            self.uids = (self.victim.uid, self.me.uid)
            for number, one in enumerate(self.people):
                note = db.Note(writer_id=one, words=f"words {number}", secret=f"secret {number}")
                self.session.add(note)
                self.session.flush()
                self.session.add(db.Page(note_id=note.id, text=f"page {number}", remark="r"))
                self.session.add(db.Team(realm=1, no=number, motto=f"motto {number}"))
                self.session.flush()
                self.session.add(db.Seat(member_id=one, realm=1, no=number))
            self.session.commit()
        self.session.expunge_all()

    def acting(self, *actions: str) -> Any:
        one = self.uids[1]
        return self.application.privacy.processing(
            IDENTITY,
            actor=Actor(one, role="teacher", subjects=[("account", one)]),
            purpose="provide-service",
            actions=set(actions) or {"read", "write"},
            job="test",
        )

    def member(self, number: int) -> Any:
        return self.session.get(self.db.Member, self.people[number])

    def note(self, number: int = 0) -> Any:
        query = select(self.db.Note).where(self.db.Note.writer_id == self.people[number])
        return self.session.scalars(query).one()

    def team(self, number: int = 0) -> Any:
        return self.session.get(self.db.Team, (1, number))

    def seat(self, number: int = 1) -> Any:
        query = select(self.db.Seat).where(self.db.Seat.member_id == self.people[number])
        return self.session.scalars(query).first()


@pytest.fixture
def club(tmp_path: Path) -> Iterator[Club]:
    db = fresh_database()
    made: list[Club] = []

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account", identifier="uid")
        id: Mapped[int] = mapped_column(primary_key=True)
        uid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
        code: Mapped[str] = tagged(IDENTITY, unique=True)
        name: Mapped[str] = sealed(IDENTITY)

    class Note(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to(identifier="mark")
        id: Mapped[int] = mapped_column(primary_key=True)
        mark: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
        writer_id: Mapped[int | None] = mapped_column(ForeignKey("member.id"), info=owner())
        code: Mapped[str | None] = mapped_column(info=owner(leads_to="member.code"))
        writer: Mapped[Any] = relationship("Member")
        words: Mapped[str] = sealed(IDENTITY)
        secret: Mapped[str | None] = sealed(IDENTITY, group="secret")
        mood: Mapped[str | None] = tagged(IDENTITY)

    class Page(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        note_id: Mapped[int] = mapped_column(ForeignKey("note.id"), info=owner())
        note: Mapped[Any] = relationship("Note", backref="pages")
        text: Mapped[str] = sealed(IDENTITY)
        remark: Mapped[str | None] = tagged(IDENTITY)

    class Team(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        realm: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        motto: Mapped[str] = tagged(IDENTITY)
        seats: Mapped[list[Seat]] = relationship("Seat")

    class Seat(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        __table_args__ = (
            ForeignKeyConstraint(["realm", "no"], ["team.realm", "team.no"], info=owns()),
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        member_id: Mapped[int] = mapped_column(ForeignKey("member.id"), info=owner())
        realm: Mapped[int | None] = mapped_column(server_default="1")
        no: Mapped[int | None] = mapped_column(default=lambda: made[0].default)

    Team.__annotations__["seats"] = Mapped[list[Seat]]
    db.Member, db.Note, db.Page, db.Team, db.Seat = Member, Note, Page, Team, Seat
    application = start(db, tmp_path / "club", enforced=False)
    with application.app.app_context():
        made.append(Club(application))
        yield made[0]


def take_note_by_key(club: Club) -> None:
    club.note().writer_id = club.people[1]


def take_note_by_relationship(club: Club) -> None:
    club.note().writer = club.member(1)


def take_note_and_write(club: Club) -> None:
    note = club.note()
    note.writer = club.member(1)
    note.words = "mine now"


def take_note_and_tag(club: Club) -> None:
    note = club.note()
    note.writer = club.member(1)
    note.mood = "mine"


def make_note_nobodys(club: Club) -> None:
    note = club.note()
    note.writer = None
    note.words = "nobody's"


def take_page_by_backref(club: Club) -> None:
    page = club.session.scalars(select(club.db.Page).order_by(club.db.Page.id)).first()
    club.held = club.note(1)
    club.held.pages.append(page)
    page.remark = "mine"


def sit_down(club: Club) -> None:
    club.session.add(club.db.Seat(member_id=club.people[1], realm=1, no=0))


def sit_down_by_default(club: Club) -> None:
    club.default = 0
    club.session.add(club.db.Seat(member_id=club.people[1], realm=1))


def sit_down_by_server_default(club: Club) -> None:
    club.session.add(club.db.Seat(member_id=club.people[1], no=0))


def sit_down_by_expression(club: Club) -> None:
    club.session.add(club.db.Seat(member_id=club.people[1], realm=literal(1), no=0))


def sit_down_by_the_other_side(club: Club) -> None:
    club.held = club.team()
    club.held.seats.append(club.db.Seat(member_id=club.people[1]))


def change_seats(club: Club) -> None:
    club.seat().no = 0


def change_seats_unloaded(club: Club) -> None:
    Seat = club.db.Seat  # noqa: N806
    query = select(Seat).where(Seat.member_id == club.people[1]).options(load_only(Seat.id))
    club.session.scalars(query.execution_options(populate_existing=True)).one().no = 0


def take_along_in_one_flush(club: Club) -> None:
    change_seats(club)
    sit_down(club)


TAKEN: list[Callable[[Club], None]] = [
    take_note_by_key, take_note_by_relationship, take_note_and_write, take_note_and_tag,
    make_note_nobodys, take_page_by_backref, sit_down, sit_down_by_default,
    sit_down_by_server_default, sit_down_by_expression, sit_down_by_the_other_side, change_seats,
    change_seats_unloaded, take_along_in_one_flush,
]  # fmt: skip


@pytest.mark.parametrize("take", TAKEN, ids=lambda take: take.__name__)
def test_what_is_somebody_elses_is_not_taken(club: Club, take: Callable[[Club], None]) -> None:
    with club.acting():
        take(club)
        with pytest.raises(AccessDenied, match="about somebody else"):
            club.session.commit()
        club.session.rollback()
        club.session.expunge_all()
        for read in (lambda: club.note().secret, lambda: club.team().motto):
            with pytest.raises(AccessDenied):
                read()


def test_what_is_ones_own_is_given_away_and_shared(club: Club) -> None:
    with club.acting():
        note = club.note(1)
        note.writer = club.member(0)
        note.words = "yours now"
        club.session.add(club.db.Team(realm=2, no=1, motto="new"))
        club.session.add(club.db.Seat(member_id=club.people[1], realm=2, no=1))
        club.session.add(club.db.Seat(member_id=club.people[0], realm=2, no=1))
        club.session.commit()
        club.session.expunge_all()
        assert club.session.get(club.db.Team, (2, 1)).motto == "new"
        with pytest.raises(AccessDenied):
            _ = club.session.scalars(select(club.db.Note).order_by(club.db.Note.id)).all()[1].words


def test_a_member_lets_others_into_the_team(club: Club) -> None:
    with club.acting():
        club.session.add(club.db.Seat(member_id=club.people[0], realm=1, no=1))
        club.session.commit()
    assert len(club.application.export("account", club.uids[0])["Team"]) == 2


def test_a_hook_does_not_move_a_row_when_its_record_is_sealed(club: Club) -> None:
    def move(_mapper: Any, _connection: Any, row: Any) -> None:
        row.writer_id = club.people[1]

    event.listen(club.db.Note, "before_update", move)
    owner_of_it = Actor(club.uids[0], role="teacher", subjects=[("account", club.uids[0])])
    with club.application.privacy.processing(
        IDENTITY, actor=owner_of_it, purpose="provide-service", actions={"read", "write"}, job="x"
    ):
        club.note().words = "still mine"
        with pytest.raises(WriteInvalid, match="Note: a hook changed whose the row is"):
            club.session.commit()
        club.session.rollback()


SWAPPED: dict[str, tuple[Callable[[Club], Any], str]] = {
    "primary key of a person": (lambda club: setattr(club.member(1), "id", 99), r"Member\.id"),
    "column to which a key leads": (lambda club: setattr(club.member(1), "code", "x"), r"Member\.code"),
    "primary key of a note": (lambda club: setattr(club.note(1), "id", 99), r"Note\.id"),
    "one of several columns": (lambda club: setattr(club.team(1), "realm", 9), r"Team\.realm"),
}  # fmt: skip


@pytest.mark.parametrize("name", SWAPPED)
@pytest.mark.parametrize("is_declared", [True, False], ids=["declared", "undeclared"])
def test_what_keys_lead_to_stays(club: Club, name: str, is_declared: bool) -> None:
    change, named = SWAPPED[name]
    if is_declared:
        with club.acting():
            change(club)
            with pytest.raises(
                WriteInvalid, match=f"{named}: keys that say whose rows are lead to"
            ):
                club.session.commit()
            club.session.rollback()
        return
    change(club)
    with pytest.raises(PrivacyError):
        club.session.commit()
    club.session.rollback()


def test_a_row_with_another_ones_identity_opens_nothing(club: Club) -> None:
    with club.acting():
        theirs, mine = club.note(), club.note(1)
        mark, envelope = theirs.mark, theirs.__dict__["lgprivacy_secret"]
        mine.mark = mark
        mine.__dict__["lgprivacy_secret"] = envelope
        with pytest.raises(AccessDenied, match="belongs to nobody"):
            _ = mine.secret
        club.session.rollback()
        theirs = club.note()
        make_transient(theirs)
        theirs.id = club.note(1).id
        with pytest.raises(PrivacyError):
            _ = theirs.secret


def test_the_place_of_a_row_is_not_taken_in_the_flush_that_deletes_it(club: Club) -> None:
    myself = Actor(club.uids[1], role="teacher", subjects=[("account", club.uids[1])])
    with club.application.privacy.processing(
        IDENTITY, actor=myself, purpose="exercise-rights", actions={"erase"}, job="test"
    ):
        note = club.note(1)
        club.session.delete(note)
        club.session.add(club.db.Note(id=note.id, writer_id=club.people[1], words="again"))
        with pytest.raises(RequestInvalid, match="deleted in the same flush"):
            club.session.commit()
        club.session.rollback()
