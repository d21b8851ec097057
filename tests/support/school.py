"""A small school backend for tests: schools, students of every value type, exercises, accounts, contacts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from databases import uri
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_lgprivacy import Actor, LGPrivacy, belongs_to, not_personal, sealed, subject, tagged
from flask_lgprivacy.audit import FileAuditTrail
from flask_lgprivacy.testing import make_key_file

CANARY = "Zyxcanary"
"""Stands in every personal value that tests plant; the last test looks for it in everything that was written."""


MADE: list[Backend] = []
"""Every backend of the running test, so that each is closed when it ends."""


HERE = {"host": "this machine", "country": "FR"}
STORES = dict.fromkeys(("database", "trail", "key-service:root"), HERE)
"""Where everything of a test stands."""


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})
Model: Any = db.Model


class School(Model):
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)


class Student(Model):
    __privacy__ = subject("student", client="school_id", scope="class_id")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"))
    class_id: Mapped[UUID | None]
    first_name: Mapped[str] = sealed("student.profile")
    last_name: Mapped[str] = sealed("student.profile", index=True)
    birth_date: Mapped[date | None] = sealed("student.profile")
    left_handed: Mapped[bool | None] = sealed("student.profile")
    height: Mapped[int | None] = sealed("student.profile")
    pressure: Mapped[float | None] = sealed("student.profile")
    mark: Mapped[Decimal | None] = sealed("student.profile")
    seen_at: Mapped[datetime | None] = sealed("student.profile")
    preferences: Mapped[dict[str, Any] | None] = sealed("student.profile")
    picture: Mapped[bytes | None] = sealed("student.profile", group="student.picture")
    password_hash: Mapped[str | None] = sealed("student.credentials")
    exercises: Mapped[list[Exercise]] = relationship(
        back_populates="student", cascade="all, delete-orphan"
    )


class Exercise(Model):
    __privacy__ = belongs_to("student")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    student_id: Mapped[UUID] = mapped_column(ForeignKey("student.id"))
    student: Mapped[Student] = relationship(back_populates="exercises")
    made_at: Mapped[datetime | None] = not_personal("when a row was made")
    strokes: Mapped[list[Any]] = sealed("student.activity")
    note: Mapped[str | None] = sealed("student.activity")


class Account(Model):
    __privacy__ = subject("account", client="school_id")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID | None] = mapped_column(ForeignKey("school.id"))
    name: Mapped[str] = sealed("account.identity")
    email: Mapped[str] = sealed("account.identity", unique=True)
    phone: Mapped[str | None] = tagged("account.identity")
    password_hash: Mapped[str | None] = tagged("account.credentials")


class Contact(Model):
    __privacy__ = subject("contact")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str] = sealed("commercial.contact", index=True)


@dataclass
class Backend:
    """An application with two schools of two students each, and an account of the first school."""

    app: Flask
    privacy: LGPrivacy
    folder: Path
    schools: list[UUID] = field(default_factory=list)
    students: dict[UUID, list[UUID]] = field(default_factory=dict)
    account: UUID = field(default_factory=uuid4)
    contact: UUID = field(default_factory=uuid4)

    @property
    def runtime(self) -> Any:
        return self.app.extensions["lgprivacy"].runtime

    def teacher(self, number: int = 0) -> Actor:
        return Actor(f"teacher-{number}", role="teacher", client=self.schools[number])

    def administrator(self, number: int = 0) -> Actor:
        return Actor(f"administrator-{number}", role="administrator", client=self.schools[number])

    def holder(self) -> Actor:
        return Actor(
            self.account,
            role="teacher",
            client=self.schools[0],
            subjects=[("account", self.account), ("contact", self.contact)],
        )

    def student_actor(self, school: int = 0, number: int = 0) -> Actor:
        one = self.students[self.schools[school]][number]
        return Actor(one, role="student", client=self.schools[school], subjects=[("student", one)])

    def guest(self) -> Actor:
        return Actor(
            self.account, role="guest", client=self.schools[0], subjects=[("account", self.account)]
        )

    def job(
        self,
        *categories: str,
        actor: Actor,
        actions: Any = ("read",),
        purpose: str = "provide-service",
    ) -> Any:
        return self.privacy.processing(
            *categories, actor=actor, purpose=purpose, actions=actions, job="test"
        )

    def reading(self, number: int = 0) -> Any:
        return self.job("student.profile", "student.activity", actor=self.teacher(number))

    def writing(self, number: int = 0) -> Any:
        return self.job(
            "student.profile",
            "student.activity",
            actor=self.teacher(number),
            actions={"read", "write"},
        )


def make_backend(
    folder: Path,
    *,
    separate_keys: bool = True,
    filled: bool = True,
    privacy: LGPrivacy | None = None,
    **config: Any,
) -> Backend:
    """A backend in a folder of its own; `config` overrides settings."""
    folder.mkdir(exist_ok=True)
    app = Flask("school", instance_path=str(folder))
    app.config.update(
        SQLALCHEMY_DATABASE_URI=uri(folder, "data"),
        SQLALCHEMY_ENGINE_OPTIONS={"pool_pre_ping": True},
        LGPRIVACY_EXEMPT={"static": "files that ship with the application"},
    )
    app.config["LGPRIVACY_STORES"] = {
        **STORES,
        **({"database:keys": HERE} if separate_keys else {}),
        **{f"key-service:{name}": HERE for name in config.get("LGPRIVACY_KEY_SERVICES", ())},
    }
    if separate_keys:
        app.config.update(
            SQLALCHEMY_BINDS={"keys": {"url": uri(folder, "keys"), "pool_pre_ping": True}},
            LGPRIVACY_KEYS_BIND="keys",
        )
    app.config.update(config)
    if not (folder / "lgprivacy.key").exists():
        make_key_file(folder / "lgprivacy.key")
    db.init_app(app)
    privacy = privacy or LGPrivacy()
    privacy.init_app(app)
    privacy.actor_loader(lambda: None)
    backend = Backend(app, privacy, folder)
    MADE.append(backend)
    with app.app_context():
        privacy.initialise()
        db.create_all(bind_key=[None, "keys"] if separate_keys else [None])
        if filled:
            fill(backend)
    return backend


def fill(backend: Backend) -> None:
    """Two schools, two students each with one exercise, one account."""
    for number in range(2):
        school = School()
        db.session.add(school)
        db.session.commit()
        backend.schools.append(school.id)
        backend.students[school.id] = []
        actor = Actor("filler", role="administrator", client=school.id)
        with backend.job(
            "student.profile",
            "student.activity",
            "student.credentials",
            actor=actor,
            actions={"write"},
        ):
            for letter in "AB":
                student = Student(
                    school_id=school.id,
                    first_name=f"{CANARY} {letter}{number}",
                    last_name=f"{CANARY} Le  Goff{letter}",
                    birth_date=date(2017, 3, 9),
                    preferences={"colour": f"{CANARY}-blue"},
                    picture=f"{CANARY} picture".encode(),
                    password_hash=f"{CANARY}-hash",
                )
                db.session.add_all(
                    [student, Exercise(student=student, strokes=[[f"{CANARY}-stroke", 1, 2.5]])]
                )
                db.session.flush()
                backend.students[school.id].append(student.id)
            db.session.commit()
    with backend.job(
        "account.identity",
        "account.credentials",
        actor=Actor("filler", role="job"),
        actions={"write"},
    ):
        account = Account(
            id=backend.account, school_id=backend.schools[0], name=f"{CANARY} Perrin", email=f"{CANARY}@ecole.example",
            phone="0230000000", password_hash="hash",
        )  # fmt: skip
        db.session.add(account)
        db.session.commit()
    db.session.expunge_all()


def add_school(backend: Backend, count: int) -> list[UUID]:
    """One more school with students of its own, named by number; returns their ids."""
    school = School()
    db.session.add(school)
    db.session.commit()
    mine = school.id
    backend.schools.append(mine)
    ids: list[UUID] = []
    for start in range(0, count, 5000):
        with backend.writing(len(backend.schools) - 1):
            students = [
                Student(
                    school_id=mine, first_name=f"{CANARY} {number}", last_name=f"{CANARY} {number}"
                )
                for number in range(start, min(start + 5000, count))
            ]
            db.session.add_all(students)
            db.session.commit()
            ids += [student.id for student in students]
        db.session.expunge_all()
    return ids


def close(backend: Backend) -> None:
    """Let go of files and connections."""
    database = backend.app.extensions["sqlalchemy"]
    with backend.app.app_context():
        database.session.remove()
        for engine in database.engines.values():
            engine.dispose()
    trail = backend.runtime.audit.trail
    if isinstance(trail, FileAuditTrail):
        trail.close()
