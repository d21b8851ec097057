"""The reference: students in plain text, in an application that has never met this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class SixFields:
    """A student of six fields in plain text."""

    first_name: Mapped[str]
    last_name: Mapped[str]
    email: Mapped[str]
    level: Mapped[str]
    remark: Mapped[str]
    birth_date: Mapped[date]


db = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})
Model: Any = db.Model


class School(Model):
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)


class Reference(SixFields, Model):
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"), index=True)


def reference_app(uri: str) -> Flask:
    """An application on the same database, with nothing of this package in it."""
    app = Flask("reference")
    app.config["SQLALCHEMY_DATABASE_URI"] = uri
    db.init_app(app)
    with app.app_context():
        db.create_all()
    return app


@contextmanager
def within(app: Flask) -> Iterator[Any]:
    """The session of the reference, whatever application is at work."""
    with app.app_context():
        yield db.session
