"""A class register: administrators, teachers and parents are one table of accounts, pupils another; courses, enrolments, letters home."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify
from forum import IDENTITY, PURPOSE, ROLE, me, number
from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import (
    LGPrivacy,
    belongs_to,
    concerns,
    delete_row,
    not_personal,
    owner,
    refers,
    schema_of,
    sealed,
    subject,
    tagged,
)

PROFILE = "student.profile"


def build(db: Any, privacy: LGPrivacy) -> tuple[dict[str, Any], Blueprint]:
    """Its models and its pages."""

    class School(db.Model):  # type: ignore[misc, name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)
        town: Mapped[str] = mapped_column(String(40))

    class Account(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        __mapper_args__ = {"polymorphic_on": "role", "polymorphic_identity": "administrator"}
        id: Mapped[int] = mapped_column(primary_key=True)
        role: Mapped[str] = mapped_column(String(20))
        login: Mapped[str] = tagged(IDENTITY, String(40), unique=True)
        name: Mapped[str] = sealed(IDENTITY)

    class Teacher(Account):
        __mapper_args__ = {"polymorphic_identity": "teacher"}
        room: Mapped[str | None] = tagged(IDENTITY, String(10))

    class Parent(Account):
        __mapper_args__ = {"polymorphic_identity": "parent"}
        mobile: Mapped[str | None] = sealed(IDENTITY)

    class Pupil(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("student", client="school_id")
        id: Mapped[int] = mapped_column(primary_key=True)
        school_id: Mapped[int] = mapped_column(ForeignKey("school.id"))
        first_name: Mapped[str] = sealed(PROFILE)

    class Course(db.Model):  # type: ignore[misc, name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column(String(40))
        teacher_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), info=refers())

    class Enrolment(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        pupil_id: Mapped[int] = mapped_column(
            ForeignKey("pupil.id"), primary_key=True, info=owner()
        )
        course_id: Mapped[int] = mapped_column(ForeignKey("course.id"), primary_key=True)
        since: Mapped[int] = not_personal("a year")

    class Letter(db.Model):  # type: ignore[misc, name-defined]
        """From a teacher to a parent."""

        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        sender_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), info=owner())
        reader_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), info=owner())
        words: Mapped[str] = sealed(IDENTITY)

    class Story(db.Model):  # type: ignore[misc, name-defined]
        """Two pupils wrote it together."""

        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        first_id: Mapped[int | None] = mapped_column(ForeignKey("pupil.id"), info=owner())
        second_id: Mapped[int | None] = mapped_column(ForeignKey("pupil.id"), info=owner())
        words: Mapped[str] = sealed(PROFILE)

    db.Table(
        "guardians",
        db.Column("pupil_id", ForeignKey("pupil.id"), primary_key=True, info=owner()),
        db.Column(
            "parent_id",
            ForeignKey("account.id"),
            primary_key=True,
            info=concerns(shows=("parent_id",), on_erasure=delete_row()),
        ),
    )
    pages = Blueprint("schoolbook", __name__)

    @pages.post("/letters")
    @privacy.handles(
        IDENTITY,
        roles=ROLE,
        purpose=PURPOSE,
        actions={"read", "write"},
        accepts=schema_of(Letter, "words", reader_id=number("a parent")),
    )
    def write_letter() -> Any:
        db.session.add(Letter(sender_id=me(), **privacy.accepted))
        db.session.commit()
        return "", 204

    @pages.get("/letters")
    @privacy.handles(IDENTITY, roles=ROLE, purpose=PURPOSE)
    def letters() -> Any:
        mine = (Letter.sender_id == me()) | (Letter.reader_id == me())
        return jsonify([letter.words for letter in db.session.scalars(select(Letter).where(mine))])

    @pages.post("/stories")
    @privacy.handles(
        PROFILE,
        roles=ROLE,
        purpose=PURPOSE,
        actions={"read", "write"},
        accepts=schema_of(Story, "words", first_id=number("a pupil"), second_id=number("a pupil")),
    )
    def write_story() -> Any:
        db.session.add(Story(**privacy.accepted))
        db.session.commit()
        return "", 204

    @pages.get("/stories")
    @privacy.handles(PROFILE, roles=ROLE, purpose=PURPOSE)
    def stories() -> Any:
        return jsonify([story.words for story in db.session.scalars(select(Story))])

    models = {
        "school": School, "account": Account, "teacher": Teacher, "parent": Parent,
        "pupil": Pupil, "course": Course, "enrolment": Enrolment, "letter": Letter, "story": Story,
    }  # fmt: skip
    return models, pages
