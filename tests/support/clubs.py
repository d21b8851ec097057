"""Pupils of two schools with rows of several of them, circles and a table without a model; `python clubs.py FOLDER` erases everything of the first school, and can be killed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from databases import uri
from ownership import Application, fresh_database, start
from school import HERE, STORES
from sqlalchemy import Column, ForeignKey, String, insert
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import (
    Actor,
    belongs_to,
    clear,
    concerns,
    delete_row,
    no_personal_data,
    owner,
    owns,
    refers,
    sealed,
    subject,
)
from flask_lgprivacy.orm.own_statements import OWN_STATEMENT

PUPILS = 30
"""In each of the two schools."""
SCHOOLS = (1, 2)


def clubs(folder: Path, *, separate_keys: bool) -> Application:
    """The application, on what its folder holds."""
    db = fresh_database()

    class Pupil(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("student", client="school_id")
        id: Mapped[int] = mapped_column(primary_key=True)
        school_id: Mapped[int]
        first_name: Mapped[str] = sealed("student.profile")

    class Story(db.Model):  # type: ignore[misc, name-defined]
        """Written by two pupils."""

        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        first: Mapped[int | None] = mapped_column(
            ForeignKey("pupil.id"), info=owner(on_erasure=clear("note"))
        )
        second: Mapped[int | None] = mapped_column(ForeignKey("pupil.id"), info=owner())
        words: Mapped[str] = sealed("student.profile")
        note: Mapped[str | None] = sealed("student.profile")

    class Page(db.Model):  # type: ignore[misc, name-defined]
        """Of a story; the one before and the one after it are a circle."""

        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        story_id: Mapped[int] = mapped_column(ForeignKey("story.id"), info=owner())
        following: Mapped[int | None] = mapped_column(ForeignKey("page.id"), info=refers())
        drawing: Mapped[str] = sealed("student.profile")

    class Club(db.Model):  # type: ignore[misc, name-defined]
        """Its members own it; the chair is one of them, which closes a circle."""

        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        chair: Mapped[int | None] = mapped_column(
            ForeignKey("member.id", use_alter=True), info=refers()
        )
        motto: Mapped[str] = sealed("student.profile")

    class Member(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        pupil_id: Mapped[int] = mapped_column(ForeignKey("pupil.id"), info=owner())
        club_id: Mapped[int] = mapped_column(ForeignKey("club.id"), info=owns())

    db.Table(
        "likes",
        Column("pupil_id", ForeignKey("pupil.id"), primary_key=True, info=owner()),
        Column(
            "story_id",
            ForeignKey("story.id"),
            primary_key=True,
            info=concerns(shows=("pupil_id", "story_id"), on_erasure=delete_row()),
        ),
        Column("sign", String(4), info=no_personal_data("a sign")),
    )
    config: dict[str, Any] = {}
    if separate_keys:
        config = {
            "SQLALCHEMY_BINDS": {"keys": uri(folder, "keys")},
            "LGPRIVACY_KEYS_BIND": "keys",
            "LGPRIVACY_STORES": {**STORES, "database:keys": HERE},
        }
    application = start(db, folder, **config)
    db.made = {"pupil": Pupil, "story": Story, "page": Page, "club": Club, "member": Member}
    return application


def teaching(application: Application, school: int, *actions: str) -> Any:
    """A teacher of a school at work."""
    return application.privacy.processing(
        "student.profile",
        actor=Actor(f"teacher {school}", role="teacher", client=school),
        purpose="provide-service",
        actions=set(actions) or {"read"},
        job="test",
    )


def administrator(school: int) -> Actor:
    return Actor(f"administrator {school}", role="administrator", client=school)


def fill(application: Application) -> None:
    """Pupil 1 to PUPILS of the first school, the others of the second.

    Story n is of pupil n and the next one, the last with the first of the other school; each has
    two pages. Club n is of the pupils n and n + PUPILS where n is even, of n alone where it is odd.
    """
    db, made = application.db, application.db.made
    for school in SCHOOLS:
        with teaching(application, school, "read", "write"):
            numbers = range((school - 1) * PUPILS + 1, school * PUPILS + 1)
            db.session.add_all(
                made["pupil"](id=one, school_id=school, first_name=f"pupil {one}")
                for one in numbers
            )
            db.session.commit()
    for school in SCHOOLS:
        with teaching(application, school, "read", "write"):
            for one in range((school - 1) * PUPILS + 1, school * PUPILS + 1):
                following = one % (2 * PUPILS) + 1
                db.session.add(
                    made["story"](
                        id=one, first=one, second=following, words=f"story {one}", note=f"of {one}"
                    )
                )
                db.session.flush()
                pages = [
                    made["page"](id=2 * one + number, story_id=one, drawing=f"drawing {one}")
                    for number in range(2)
                ]
                db.session.add_all(pages)
                db.session.flush()
                pages[0].following, pages[1].following = pages[1].id, pages[0].id
                if school == 1:
                    club = made["club"](id=one, motto=f"club {one}")
                    db.session.add(club)
                    member = made["member"](pupil_id=one, club_id=one)
                    db.session.add(member)
                    db.session.flush()
                    club.chair = member.id
            db.session.commit()
    with teaching(application, 1, "read", "write"):
        db.session.add_all(
            made["member"](pupil_id=one + PUPILS, club_id=one) for one in range(2, PUPILS + 1, 2)
        )
        db.session.commit()
    likes = [
        {"pupil_id": pupil, "story_id": story, "sign": "+"}
        for pupil in (1, PUPILS, PUPILS + 1, 2 * PUPILS)
        for story in (1, PUPILS, PUPILS + 2)
    ]
    statement = insert(db.metadata.tables["likes"])
    db.session.execute(statement, likes, execution_options=OWN_STATEMENT)
    db.session.commit()


def erase_first_school(application: Application) -> None:
    """Ask, where nobody has asked yet, and work on it, portion by portion."""
    rights, tables = application.privacy.rights, application.runtime.database.tables
    session = application.db.session
    if not session.execute(tables.request.select()).first():
        session.commit()
        rights.submit("delete", administrator(1), kind="client", one="1")
    print("asked", flush=True)
    for _ in rights.work():
        print("portion", flush=True)


def main() -> None:
    folder, separate_keys = Path(sys.argv[1]), sys.argv[2] == "apart"
    from flask_lgprivacy.rights import client_erasure

    client_erasure.CHUNK = 2  # type: ignore[attr-defined]  # portions that a kill falls between and into
    application = clubs(folder, separate_keys=separate_keys)
    with application.app.app_context():
        erase_first_school(application)
    print("ended")


if __name__ == "__main__":
    main()
