"""Integers that the database counts are known before the insert, and never given twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from databases import IS_POSTGRESQL
from ownership import Application, fresh_database, start
from sqlalchemy import ForeignKey, Identity, Integer, Sequence, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_lgprivacy import Actor, belongs_to, sealed, subject, tagged
from flask_lgprivacy.crypto.keys import PUBLISHER
from flask_lgprivacy.errors import SubjectErased


def models(db: Any, key: Any) -> tuple[Any, Any, Any]:
    class Office(db.Model):
        id: Mapped[int] = mapped_column(primary_key=True)

    class Member(db.Model):
        __privacy__ = subject("account", client="office_id")
        id: Mapped[int] = key
        office_id: Mapped[int | None] = mapped_column(ForeignKey("office.id"))
        office: Mapped[Office | None] = relationship()
        name: Mapped[str] = sealed("account.identity")

    class Note(db.Model):
        __privacy__ = belongs_to("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        member_id: Mapped[int] = mapped_column(ForeignKey("member.id"))
        member: Mapped[Member] = relationship()
        words: Mapped[str] = sealed("account.identity")

    return Office, Member, Note


KEYS = {
    "counted": lambda: mapped_column(primary_key=True),
    "identity": lambda: mapped_column(Integer, Identity(), primary_key=True),
    "sequence": lambda: mapped_column(Integer, Sequence("numbers"), primary_key=True),
}


@pytest.fixture(params=KEYS)
def club(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    db = fresh_database()
    made = models(db, KEYS[request.param]())
    return start(db, tmp_path / "club"), *made


def reading(application: Application, member: int) -> Any:
    myself = Actor(member, role="teacher", subjects=[("account", member)])
    return application.privacy.processing(
        "account.identity", actor=myself, purpose="provide-service", job="test"
    )


def test_rows_of_one_flush_open_under_their_own_numbers(club: Any) -> None:
    application, _, member, note = club
    with application.app.app_context():
        session = application.db.session
        with application.writing():
            members = [member(name=f"member {number}") for number in range(50)]
            session.add_all([note(member=one, words=f"of {one.name}") for one in members])
            session.commit()
            ids = [one.id for one in members]
        session.expunge_all()
        assert len(set(ids)) == 50
        with reading(application, ids[7]):
            read = session.scalars(select(note).where(note.member_id == ids[7])).one()
            assert (read.member.name, read.words) == ("member 7", "of member 7")


def test_a_client_that_is_recorded_in_the_same_flush_is_known(club: Any) -> None:
    application, office, member, _ = club
    with application.app.app_context():
        session = application.db.session
        with application.writing():
            one = member(name="new", office=office())
            session.add(one)
            session.commit()
            assert one.office_id == one.office.id
            one_id = one.id
        session.expunge_all()
        with reading(application, one_id):
            assert session.get(member, one_id).name == "new"


def test_a_number_that_was_erased_is_not_given_again(club: Any) -> None:
    application, _, member, _ = club
    with application.app.app_context():
        session = application.db.session
        with application.writing():
            session.add(member(name="first"))
            session.commit()
            first = session.scalars(select(member.id)).one()
        assert application.erase("account", first).state == "completed"
        with application.writing():
            session.add(member(name="second"))
            session.commit()
        assert session.scalars(select(member.id)).one() > first
        with application.writing(), pytest.raises(SubjectErased):
            session.add(member(id=first, name="third"))
            session.commit()
        session.rollback()


def test_numbers_that_came_another_way_are_passed(tmp_path: Path) -> None:
    if IS_POSTGRESQL:
        pytest.skip(
            "a sequence does not look at the table; whoever fills it past the sequence sets it"
        )
    db = fresh_database()
    kept = models(db, mapped_column(primary_key=True))  # SQLAlchemy forgets what nobody holds
    member = kept[1]
    application = start(db, tmp_path / "club")
    with application.app.app_context():
        with application.writing():
            db.session.add(member(id=41, name="chosen"))
            db.session.commit()
            db.session.add(member(name="counted"))
            db.session.commit()
        assert sorted(db.session.scalars(select(member.id))) == [41, 42]


def test_a_row_without_sealed_fields_needs_no_reservation(tmp_path: Path) -> None:
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed("account.identity")

    class Visit(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        member_id: Mapped[int] = mapped_column(ForeignKey("member.id"), primary_key=True)
        day: Mapped[int] = mapped_column(primary_key=True)
        place: Mapped[str] = tagged("account.identity")

    application = start(db, tmp_path / "club")
    with application.app.app_context():
        with application.writing():
            one = Member(name="here")
            db.session.add(one)
            db.session.flush()
            db.session.add_all(
                [Visit(member_id=one.id, day=day, place=f"place {day}") for day in (1, 2)]
            )
            db.session.commit()
            one_id = one.id
        shown = application.export("account", one_id)
        assert [visit["place"] for visit in shown["Visit"]] == ["place 1", "place 2"]
        application.erase("account", one_id)
        assert application.stored("visit") == []


def test_a_number_of_a_failed_flush_is_not_kept(tmp_path: Path) -> None:
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = sealed("account.identity", unique=True)

    application = start(db, tmp_path / "club")
    with application.app.app_context(), application.writing():
        session = db.session
        session.add(Member(email="ann@home.example"))
        session.commit()
        failed = Member(email="ann@home.example")
        session.add(failed)
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()
        assert failed.id is None
        session.add(Member(email="ben@home.example"))
        session.commit()
        failed.email = "cat@home.example"
        session.add(failed)
        session.commit()
        assert session.scalar(select(func.count()).select_from(Member)) == 3


def test_a_row_whose_key_is_its_owners_takes_it_from_the_relationship(tmp_path: Path) -> None:
    db = fresh_database()

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = sealed("account.identity")

    class Profile(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to("account")
        member_id: Mapped[int] = mapped_column(ForeignKey("member.id"), primary_key=True)
        words: Mapped[str] = sealed("account.identity")

    Profile.member = relationship(Member)
    application = start(db, tmp_path / "club")
    with application.app.app_context():
        with application.writing():
            one = Member(name="new")
            db.session.add(Profile(member=one, words="about"))
            db.session.commit()
            one_id = one.id
        db.session.expunge_all()
        with reading(application, one_id):
            assert db.session.get(Profile, one_id).words == "about"


def test_a_number_with_a_key_from_before_a_restore_is_passed_over(club: Any) -> None:
    application, _, member, _ = club
    with application.app.app_context():
        session, keys = application.db.session, application.runtime.keys
        with application.writing():
            session.add(member(name="first"))
            session.commit()
            first = session.scalars(select(member.id)).one()
        keys.create(session(), "account", {str(first + 1): None}, lambda _: PUBLISHER)
        keys.destroy(session(), "account", str(first + 2))
        session.commit()
        with application.writing():
            session.add(member(name="next"))
            session.commit()
        assert session.scalars(select(func.max(member.id))).one() > first + 2
