"""Rotation, migration and erasure against a plain UPDATE of as many rows, in the same batches, on the same database."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from uuid import UUID, uuid4

from databases import past_the_gate
from models import Plain, Pupil, School, Sealed, db, fields
from sqlalchemy import bindparam, delete, insert, update

from flask_lgprivacy import Actor, LGPrivacy
from flask_lgprivacy.maintenance.runner import MaintenanceRunner

ROWS = 100 if "--smoke" in sys.argv else 4_000
BATCH = 500


def custody(privacy: LGPrivacy, runtime: Any, row: Callable[..., None]) -> None:
    """The rows of this file; `row` measures and prints one."""
    keeper = MaintenanceRunner(runtime)
    school = _school_with_students(privacy)
    ids = list(_plain_rows(school))
    plain_update = lambda: _update_plainly(ids)  # noqa: E731
    how: dict[str, Any] = {"aim": None, "rounds": 3}
    row(
        "rotate client keys, per row against a plain UPDATE",
        keeper.rotate_clients,
        plain_update,
        **how,
    )
    row(
        "rotate subject keys and reseal, per row against a plain UPDATE",
        lambda: keeper.rotate_subjects(grace=0), plain_update, **how,
    )  # fmt: skip

    def old_pupils() -> None:
        past_the_gate(db.session.connection()).execute(delete(Pupil.__table__))
        db.session.commit()
        past_the_gate(db.session.connection()).execute(
            insert(Pupil.__table__),
            [{"id": uuid4(), "school_id": school, **fields(number)} for number in range(ROWS)],
        )
        db.session.commit()

    row(
        "seal plain text that exists, per row against a plain UPDATE",
        lambda: keeper.migrate_plaintext("Pupil"), plain_update, before=old_pupils, **how,
    )  # fmt: skip
    old_pupils()
    keeper.migrate_plaintext("Pupil")
    victims = [_school_with_students(privacy) for _ in range(4)]

    def erase() -> None:
        client = victims.pop()
        privacy.rights.submit(
            _delete(), _teacher(client, "administrator"), kind="client", one=client.hex
        )
        for _ in privacy.rights.work():
            pass

    row("erase a client with its rows, per row against a plain UPDATE", erase, plain_update, **how)


def _delete() -> Any:
    from flask_lgprivacy.policy import Right

    return Right.DELETE


def _teacher(school: UUID, role: str = "teacher") -> Actor:
    return Actor("bench", role=role, client=school)


def _school() -> UUID:
    school = School()
    db.session.add(school)
    db.session.commit()
    made: UUID = school.id
    return made


def _school_with_students(privacy: LGPrivacy) -> UUID:
    school = _school()
    with privacy.processing(
        "student.profile",
        actor=_teacher(school),
        purpose="provide-service",
        actions={"write"},
        job="benchmark",
    ):
        db.session.add_all([Sealed(school_id=school, **fields(number)) for number in range(ROWS)])
        db.session.commit()
    db.session.expunge_all()
    return school


def _plain_rows(school: UUID) -> Iterator[UUID]:
    rows = [Plain(school_id=school, **fields(number)) for number in range(ROWS)]
    db.session.add_all(rows)
    db.session.commit()
    yield from [one.id for one in rows]
    db.session.expunge_all()


def _update_plainly(ids: list[UUID]) -> None:
    table = Plain.__table__
    statement = (
        update(table).where(table.c.id == bindparam("_one")).values(birth_date=bindparam("_new"))
    )
    for start in range(0, len(ids), BATCH):
        db.session.connection().execute(
            statement,
            [
                {"_one": one, "_new": date(2016, 1, 1 + start % 28)}
                for one in ids[start : start + BATCH]
            ],
        )
        db.session.commit()
