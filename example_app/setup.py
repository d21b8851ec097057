"""Makes keys, tables and demonstration data where they are missing."""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

from flask import Flask
from sqlalchemy import select

from flask_lgprivacy import Actor

from .access import hasher
from .demonstration import ACCOUNTS, DEVICE_SCHOOL, DEVICE_TEACHER, ROSTERS, STAFF, staff_id
from .models import Account, Exercise, Membership, School, Student, db
from .privacy import privacy
from .roster_bundle import read_bundle
from .roster_import import import_bundle


def set_up(app: Flask) -> None:
    """Set up an instance; what exists stays."""
    with app.app_context():
        privacy.initialise()
        db.create_all()
        if db.session.scalars(select(School).limit(1)).first() is None:
            for roster in sorted(ROSTERS.iterdir()):
                import_bundle(read_bundle(roster, privacy.policy))
            _add_staff()
            _add_device_school()
            _add_exercises()


def _add_staff() -> None:
    known = {one.username: one for one in ACCOUNTS}
    with privacy.processing(
        "account.identity",
        "account.credentials",
        actor=Actor("set-up", role="job"),
        purpose="provide-service",
        actions={"write"},
        job="demonstration accounts",
    ):
        for username, role in STAFF:
            account = Account(
                id=staff_id(username),
                role=role,
                username=username,
                name=f"Demo {role}",
                password_hash=hasher.hash(known[username].password),
                second_factor=known[username].second_factor,
            )
            db.session.add(account)
        db.session.commit()


def _add_device_school() -> None:
    """A school of which the server keeps no profile, with one teacher."""
    school = School(id=uuid5(NAMESPACE_URL, "school:device"), name=DEVICE_SCHOOL, kind="school")
    db.session.add(school)
    db.session.commit()
    privacy.storage.choose(school.id, "device")
    password = next(one.password for one in ACCOUNTS if one.username == DEVICE_TEACHER)
    with privacy.processing(
        "account.identity",
        "account.credentials",
        actor=Actor("set-up", role="job"),
        purpose="provide-service",
        actions={"write"},
        job="demonstration accounts",
    ):
        db.session.add(
            Account(
                id=staff_id(DEVICE_TEACHER),
                school_id=school.id,
                role="teacher",
                username=DEVICE_TEACHER,
                name="Demo D. Morvan",
                password_hash=hasher.hash(password),
            )
        )
        db.session.flush()
        db.session.add(
            Membership(account_id=staff_id(DEVICE_TEACHER), school_id=school.id, role="teacher")
        )
        db.session.commit()


def _add_exercises() -> None:
    """Two words for every student, written by a teacher of their school."""
    for student_id, school_id in db.session.execute(select(Student.id, Student.school_id)).all():
        with privacy.processing(
            "student.activity",
            actor=Actor("set-up", role="teacher", client=school_id),
            purpose="provide-service",
            actions={"write"},
            job="demonstration exercises",
        ):
            for number, word in enumerate(("lune", "vague")):
                db.session.add(
                    Exercise(student_id=student_id, word=word, strokes=_strokes(student_id, number))
                )
            db.session.commit()


def _strokes(student_id: UUID, number: int) -> list[list[list[float]]]:
    """Some strokes that differ from student to student: lists of x, y and pressure."""
    seed = student_id.int >> (number * 8)
    return [
        [
            [
                round(10 + step * 6 + (seed >> step) % 5, 1),
                round(40 + (seed >> (step + stroke)) % 30, 1),
                0.5,
            ]
            for step in range(12)
        ]
        for stroke in range(3)
    ]
