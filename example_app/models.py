"""Schools, accounts, students, classes, exercises: each column says what it holds."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_lgprivacy import (
    BlindIndex,
    belongs_to,
    concerns,
    delete_row,
    not_personal,
    sealed,
    subject,
    tagged,
)


class Base(DeclarativeBase):
    """The declarative base of the example."""


db = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})
Model: Any = db.Model


class School(Model):
    """A client; names and kinds of organisations are no personal data."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    kind: Mapped[str]


class SignsIn(UserMixin):
    """Somebody who signs in: whether the school lets them, and which of their sessions are good."""

    may_sign_in: Mapped[bool] = not_personal("whether the school lets the person in", default=True)
    session_number: Mapped[int] = not_personal(
        "every session that began under another number has ended", default=0
    )

    @property
    def is_active(self) -> bool:
        """What Flask-Login asks before it signs somebody in."""
        return self.may_sign_in


class Account(Model, SignsIn):
    """A teacher, administrator, parent or member of staff: the publisher is controller of these
    (LG-04).
    """

    __privacy__ = subject("account", client="school_id")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID | None] = mapped_column(ForeignKey("school.id"))
    role: Mapped[str] = not_personal(
        "the role that the account has at first, or the publisher's own staff has"
    )
    username: Mapped[str] = sealed("account.identity", unique=True)
    name: Mapped[str] = sealed("account.identity")
    email: Mapped[str | None] = sealed("account.identity", index=True)
    password_hash: Mapped[str | None] = tagged("account.credentials")
    second_factor: Mapped[str | None] = sealed("account.credentials")

    @property
    def membership(self) -> Membership | None:
        """The membership in which the account acts in this request; the session names it."""
        chosen: Membership | None = self.__dict__.get("_chosen")
        return chosen

    @membership.setter
    def membership(self, chosen: Membership | None) -> None:
        self.__dict__["_chosen"] = chosen

    @property
    def acts_as(self) -> str:
        """The role in which the account acts now."""
        return self.membership.role if self.membership is not None else self.role

    @property
    def acts_for(self) -> UUID | None:
        """The school for which the account acts now; None for the publisher's own staff."""
        return self.membership.school_id if self.membership is not None else None


class Membership(Model):
    """An account's role in a school; who has several chooses for which one they act."""

    __privacy__ = belongs_to("account")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"), index=True)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"), index=True)
    role: Mapped[str] = not_personal("the role decides what an account may do")
    source: Mapped[str] = not_personal("which line of a roster says so", default="")
    ends_on: Mapped[date | None] = not_personal("the last day of the role")

    @property
    def is_active(self) -> bool:
        """Whether the role has not ended."""
        return self.ends_on is None or self.ends_on >= datetime.now(UTC).date()


class Student(Model, SignsIn):
    """A pupil's profile, held for the school (LG-03, LG-06)."""

    __privacy__ = subject("student", client="school_id", scope="Enrollment.class_id")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"))
    username: Mapped[str] = sealed("student.profile", unique=True)
    first_name: Mapped[str] = sealed("student.profile")
    last_name: Mapped[str] = sealed("student.profile", index=BlindIndex("name"))
    birth_date: Mapped[date | None] = sealed("student.profile")
    email: Mapped[str | None] = sealed("student.profile")
    level: Mapped[str | None] = sealed("student.profile")
    password_hash: Mapped[str | None] = sealed("student.credentials")

    @property
    def acts_as(self) -> str:
        """The role of every student."""
        return "student"

    @property
    def acts_for(self) -> UUID:
        """The school of the student."""
        return self.school_id


class SchoolNotice(Model):
    """What a school was told by the publisher; names nobody."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"))
    told_at: Mapped[datetime]
    text: Mapped[str]


class SchoolClass(Model):
    """A class of a school; its title names nobody."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"))
    title: Mapped[str]


class Enrollment(Model):
    """A student in a class."""

    __privacy__ = belongs_to("student")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    class_id: Mapped[UUID] = mapped_column(ForeignKey("school_class.id"))
    student_id: Mapped[UUID] = mapped_column(ForeignKey("student.id"))


class Teaching(Model):
    """An account in a class, with the role it has there."""

    __privacy__ = belongs_to("account")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    class_id: Mapped[UUID] = mapped_column(ForeignKey("school_class.id"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    role: Mapped[str] = not_personal("the role in the class")


class Exercise(Model):
    """One handwriting exercise: the strokes as lists of points."""

    __privacy__ = belongs_to("student")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    student_id: Mapped[UUID] = mapped_column(ForeignKey("student.id"))
    student: Mapped[Student] = relationship()
    written_at: Mapped[datetime] = not_personal(
        "when a row was made", default=lambda: datetime.now(UTC)
    )
    word: Mapped[str] = sealed("student.activity")
    strokes: Mapped[list[Any]] = sealed("student.activity")


class NewsletterContact(Model):
    """Somebody who asked for the newsletter: commercial contact data, under consent
    (LG-17, LG-19).
    """

    __privacy__ = subject("contact")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id"), info=concerns(shows=(), on_erasure=delete_row())
    )
    email: Mapped[str] = sealed("commercial.contact", index=True)
