"""A backend whose pupils were recorded in plain text; run as a program, it seals them: `python migrating.py FOLDER`."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from databases import past_the_gate, uri
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from killing import telling
from school import CANARY, HERE, STORES
from sqlalchemy import Column, Date, ForeignKey, String, Text, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_lgprivacy import Actor, LGPrivacy, belongs_to, sealed, subject
from flask_lgprivacy.maintenance.runner import MaintenanceRunner
from flask_lgprivacy.testing import make_key_file


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})
Model: Any = db.Model
SCHOOLS = [UUID(int=1), UUID(int=2)]


class Pupil(Model):
    __privacy__ = subject("student", client="school_id")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID]
    first_name: Mapped[str] = sealed(
        "student.profile", migrates_from=Column("first_name", String(80), index=True)
    )
    last_name: Mapped[str] = sealed(
        "student.profile", index=True, migrates_from=Column("last_name", String(80))
    )
    birth_date: Mapped[date | None] = sealed(
        "student.profile", migrates_from=Column("birth_date", Date)
    )
    level: Mapped[str | None] = sealed("student.profile")


class Homework(Model):
    __privacy__ = belongs_to("student")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    pupil_id: Mapped[UUID] = mapped_column(ForeignKey("pupil.id"))
    remark: Mapped[str | None] = sealed("student.activity", migrates_from=Column("remark", Text))


def make(
    folder: Path, *, window: str | None = "2099", migration: Any = None
) -> tuple[Flask, LGPrivacy]:
    """An application in a folder; `window` opens the reading of plain text."""
    from datetime import UTC, datetime, timedelta

    folder.mkdir(exist_ok=True)
    if not (folder / "lgprivacy.key").exists():
        make_key_file(folder / "lgprivacy.key")
    app = Flask("plaintext_of", instance_path=str(folder))
    until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    app.config.update(
        SQLALCHEMY_DATABASE_URI=uri(folder, "data"),
        SQLALCHEMY_BINDS={"keys": {"url": uri(folder, "keys"), "pool_pre_ping": True}},
        LGPRIVACY_KEYS_BIND="keys",
        LGPRIVACY_STORES={**STORES, "database:keys": HERE},
        LGPRIVACY_MIGRATION_WINDOWS=migration
        if migration is not None
        else {"Pupil": until, "Homework": until}
        if window
        else {},
    )
    db.init_app(app)
    privacy = LGPrivacy(app)
    with app.app_context():
        privacy.initialise()
        db.create_all()
    return app, privacy


def plain_rows(app: Flask, count: int, *, family: str = "Le Goff") -> list[UUID]:
    """Record pupils as the software from before did: in plain text, past this package."""
    ids = [uuid4() for _ in range(count)]
    with app.app_context(), db.engine.begin() as connection:
        past_the_gate(connection).execute(
            insert(Pupil.__table__),
            [
                {
                    "id": one, "school_id": SCHOOLS[number % 2], "first_name": f"{CANARY} {number}",
                    "last_name": f"{CANARY} {family} {number % 50}", "birth_date": date(2015, 1, 1 + number % 28),
                }
                for number, one in enumerate(ids)
            ],
        )  # fmt: skip
        past_the_gate(connection).execute(
            insert(Homework.__table__),
            [
                {"id": uuid4(), "pupil_id": one, "remark": f"{CANARY} remark {number}"}
                for number, one in enumerate(ids)
            ],
        )
    return ids


def job(privacy: LGPrivacy, *actions: str, school: int = 0) -> Any:
    actor = Actor("t", role="teacher", client=SCHOOLS[school])
    return privacy.processing(
        "student.profile",
        "student.activity",
        actor=actor,
        purpose="provide-service",
        actions=actions or {"read"},
        job="t",
    )


def main() -> None:
    app, _ = make(Path(sys.argv[1]))
    with app.app_context():
        keeper = MaintenanceRunner(app.extensions["lgprivacy"].runtime, progress=telling)
        for model in ("Pupil", "Homework"):
            keeper.migrate_plaintext(model)
    print("ended")


if __name__ == "__main__":
    main()
