"""A client column may have a default: the client is known before the row is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from ownership import Application, fresh_database, start
from sqlalchemy import func, literal
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import Actor, sealed, subject
from flask_lgprivacy.errors import AccessDenied, RequestInvalid


def deployed(folder: Path, default: Any) -> Application:
    db = fresh_database()

    class Student(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("student", client="school")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        school: Mapped[int] = mapped_column(default=default)
        name: Mapped[str] = sealed("student.profile")

    db.Student = Student
    return start(db, folder)


def teacher_of(application: Application, school: int) -> Any:
    return application.privacy.processing(
        "student.profile",
        actor=Actor("t", role="teacher", client=school),
        purpose="provide-service",
        actions={"read", "write"},
        job="test",
    )


@pytest.mark.parametrize("default", [7, lambda: 7], ids=["a value", "a function"])
def test_a_default_of_the_client_column_is_taken(default: Any, tmp_path: Path) -> None:
    application = deployed(tmp_path / "a", default)
    session = application.db.session
    with application.app.app_context():
        with teacher_of(application, 7):
            session.add(application.db.Student(name="Léna"))
            session.commit()
            student = session.scalars(application.db.select(application.db.Student)).one()
            assert (student.school, student.name) == (7, "Léna")
        with teacher_of(application, 8):
            session.add(application.db.Student(name="Léna"))
            with pytest.raises(AccessDenied):
                session.commit()
            session.rollback()


@pytest.mark.parametrize("default", [literal(7), func.abs(7)], ids=["an expression", "a function"])
def test_a_default_of_sql_is_refused(default: Any, tmp_path: Path) -> None:
    application = deployed(tmp_path / "a", default)
    with application.app.app_context(), teacher_of(application, 7):
        application.db.session.add(application.db.Student(name="Léna"))
        with pytest.raises(RequestInvalid, match=r"Student\.school: its default is SQL"):
            application.db.session.commit()
        application.db.session.rollback()
