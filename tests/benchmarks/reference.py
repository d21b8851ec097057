"""The reference: students in plain text, in an application that has never met this package."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, ClassVar
from uuid import UUID, uuid4

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
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


class LeastField:
    """A field of a sealed record that opens under whatever key there is: nothing is decided, bound to a client or recorded."""

    ciphers: ClassVar[dict[UUID, AESGCM]] = {}

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        row = instance.__dict__
        opened = row.get("opened")
        if opened is None:
            record, bound_to = row["record"], row["id"].bytes
            opened = orjson.loads(
                self.ciphers[row["id"]].decrypt(record[:12], record[12:], bound_to)
            )
            opened["birth_date"] = date.fromisoformat(opened["birth_date"])
            row["opened"] = opened
        return opened[self._name]


class Least(Model):
    """The same student as one sealed record, with the least that one can write around it."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"), index=True)
    version: Mapped[int]
    record: Mapped[bytes]
    first_name, last_name, email = (
        LeastField("first_name"),
        LeastField("last_name"),
        LeastField("email"),
    )
    level, remark, birth_date = LeastField("level"), LeastField("remark"), LeastField("birth_date")


def least_rows(school: UUID, contents: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of `Least`, each under a key of its own, whose cipher is kept."""
    for content in contents:
        one, nonce = uuid4(), os.urandom(12)
        cipher = LeastField.ciphers[one] = AESGCM(os.urandom(32))
        record = nonce + cipher.encrypt(nonce, orjson.dumps(content), one.bytes)
        yield {"id": one, "school_id": school, "version": 1, "record": record}


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
