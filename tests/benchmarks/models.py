"""The same student of six fields: in plain text, sealed, and with the best-known library."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID, uuid4

from flask_sqlalchemy import SQLAlchemy
from reference import SixFields
from sqlalchemy import Column, Date, ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy_utils import StringEncryptedType
from sqlalchemy_utils.types.encrypted.encrypted_type import AesGcmEngine

from flask_lgprivacy import sealed, subject


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})
Model: Any = db.Model
FIELDS = ("first_name", "last_name", "email", "level", "remark", "birth_date")


class School(Model):
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)


class Plain(SixFields, Model):
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"), index=True)


class Sealed(Model):
    __privacy__ = subject("student", client="school_id")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"), index=True)
    first_name: Mapped[str] = sealed("student.profile")
    last_name: Mapped[str] = sealed("student.profile")
    email: Mapped[str] = sealed("student.profile")
    level: Mapped[str] = sealed("student.profile")
    remark: Mapped[str] = sealed("student.profile")
    birth_date: Mapped[date] = sealed("student.profile")


class Pupil(Model):
    """Recorded in plain text, to be sealed."""

    __privacy__ = subject("account", client="school_id")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"), index=True)
    first_name: Mapped[str] = sealed("account.identity", migrates_from=Column("first_name", String))
    last_name: Mapped[str] = sealed("account.identity", migrates_from=Column("last_name", String))
    email: Mapped[str] = sealed("account.identity", migrates_from=Column("email", String))
    level: Mapped[str] = sealed("account.identity", migrates_from=Column("level", String))
    remark: Mapped[str] = sealed("account.identity", migrates_from=Column("remark", String))
    birth_date: Mapped[date] = sealed("account.identity", migrates_from=Column("birth_date", Date))


def _encrypted(kind: Any = String) -> Any:
    return mapped_column(StringEncryptedType(kind, "a key of the benchmark", AesGcmEngine))


class Utils(Model):
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID] = mapped_column(ForeignKey("school.id"), index=True)
    first_name: Mapped[str] = _encrypted()
    last_name: Mapped[str] = _encrypted()
    email: Mapped[str] = _encrypted()
    level: Mapped[str] = _encrypted()
    remark: Mapped[str] = _encrypted()
    birth_date: Mapped[date] = _encrypted(Date)


def fields(number: int) -> dict[str, Any]:
    return {
        "first_name": f"Prénom{number}",
        "last_name": f"Nom de famille {number}",
        "email": f"eleve{number}@ecole.example",
        "level": "CE1",
        "remark": f"écrit de la main gauche, tient bien le crayon, {number}",
        "birth_date": date(2015 + number % 5, 1 + number % 12, 1 + number % 28),
    }
