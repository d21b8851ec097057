"""A labelled model that is incomplete, or contradicts the policy, fails when it is defined or when the application starts."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from school import STORES
from sqlalchemy import ForeignKey, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_lgprivacy import LGPrivacy, belongs_to, not_personal, sealed, subject, tagged
from flask_lgprivacy.errors import ConfigurationError, ModelInvalid
from flask_lgprivacy.testing import make_key_file


def fresh() -> Any:
    class Base(DeclarativeBase):
        pass

    return SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})


def start(db: Any, folder: Path, **config: Any) -> Flask:
    app = Flask("start", instance_path=str(folder))
    app.config.update(
        **{"SQLALCHEMY_DATABASE_URI": "sqlite://", "LGPRIVACY_STORES": STORES, **config}
    )
    if not (folder / "lgprivacy.key").exists():
        make_key_file(folder / "lgprivacy.key")
    db.init_app(app)
    LGPrivacy(app)
    return app


def test_an_unlabelled_column_is_named() -> None:
    db = fresh()
    with pytest.raises(ModelInvalid, match=r"Pupil\.nickname has no label"):

        class Pupil(db.Model):
            __privacy__ = subject("student", client="school_id")
            id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
            school_id: Mapped[UUID]
            nickname: Mapped[str]


def test_a_blind_index_that_could_be_guessed_is_refused() -> None:
    db = fresh()
    with pytest.raises(ModelInvalid, match="could be guessed"):

        class Pupil(db.Model):
            __privacy__ = subject("student", client="school_id")
            id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
            school_id: Mapped[UUID]
            birth_date: Mapped[date] = sealed("student.profile", index=True)


def test_a_type_that_cannot_be_sealed_is_refused() -> None:
    db = fresh()
    with pytest.raises(ModelInvalid, match=r"Pupil\.things: cannot be sealed"):

        class Pupil(db.Model):
            __privacy__ = subject("student", client="school_id")
            id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
            school_id: Mapped[UUID]
            things: Mapped[set] = sealed("student.profile")  # type: ignore[type-arg]


def test_a_belonging_without_a_way_to_its_subject_is_refused() -> None:
    db = fresh()
    with pytest.raises(ModelInvalid, match="exactly one foreign key"):

        class Note(db.Model):
            __privacy__ = belongs_to("student")
            id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)


def test_a_reason_cannot_be_left_out() -> None:
    with pytest.raises(ModelInvalid, match="needs the reason"):
        not_personal(" ")


def model_with(
    field: Any, *, kind: str = "student", client: str | None = "school_id", name: str = "value"
) -> Any:
    db = fresh()
    body = {
        "__privacy__": subject(kind, client=client),
        "__module__": __name__,
        "__annotations__": {"id": Mapped[UUID], "school_id": Mapped[UUID], name: Mapped[str]},
        "id": mapped_column(primary_key=True, default=uuid4),
        "school_id": not_personal("the school", Uuid) if client is None else mapped_column(),
        name: field,
    }
    type("Pupil", (db.Model,), body)
    return db


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: model_with(sealed("student.shoes")), "no category 'student.shoes'"),
        (
            lambda: model_with(sealed("account.identity")),
            "account.identity is not a category of subject 'student'",
        ),
        (lambda: model_with(sealed("sensitive.health")), "sensitive data are not collected"),
        (
            lambda: model_with(sealed("student.profile"), name="religion"),
            r"Pupil\.religion: the name stands for sensitive data.*LG-08",
        ),
        (lambda: model_with(tagged("student.profile")), "held as processor; use sealed"),
        (lambda: model_with(sealed("student.profile"), kind="robot"), "no subject 'robot'"),
        (lambda: model_with(sealed("student.profile"), client=None), "needs its client"),
    ],
)
def test_a_contradiction_to_the_policy_stops_the_start(
    make: Any, says: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelInvalid, match=says):
        start(make(), tmp_path)


def test_sealed_columns_without_an_owner_stop_the_start(tmp_path: Path) -> None:
    db = fresh()

    class Pupil(db.Model):
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        first_name: Mapped[str] = sealed("student.profile")

    class Owner(db.Model):
        __privacy__ = subject("visitor")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)

    with pytest.raises(ModelInvalid, match="labelled columns .* and no __privacy__"):
        start(db, tmp_path)


def test_a_table_that_points_at_people_without_a_label_stops_the_start(tmp_path: Path) -> None:
    db = fresh()

    class Pupil(db.Model):
        __privacy__ = subject("student", client="school_id")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        school_id: Mapped[UUID]
        first_name: Mapped[str] = sealed("student.profile")

    class Remark(db.Model):
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        pupil_id: Mapped[UUID] = mapped_column(ForeignKey("pupil.id"))

    with pytest.raises(
        ModelInvalid,
        match=r"Remark\.pupil_id leads to Pupil and has no label.*belongs_to\('student'\)",
    ):
        start(db, tmp_path)


def test_an_engine_that_prints_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="hide_parameters"):
        start(SQLAlchemy(), tmp_path)


def test_an_application_without_flask_sqlalchemy_is_told_what_to_call() -> None:
    with pytest.raises(ConfigurationError, match=r"db\.init_app\(app\) before"):
        LGPrivacy(Flask("bare"))


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("LGPRIVACY_POLICI", "x", "unknown setting LGPRIVACY_POLICI"),
        ("LGPRIVACY_EXEMPT", {"static": ""}, "needs the reason"),
        ("LGPRIVACY_KEY_CACHE_SECONDS", 3600, "between 0 and 60"),
        ("LGPRIVACY_URL_PREFIX", "privacy", "starts with /"),
        ("LGPRIVACY_KEYS_BIND", "vault", "not in SQLALCHEMY_BINDS"),
        ("LGPRIVACY_KEY_CACHE_SIZE", "many", "takes int, not str"),
        ("LGPRIVACY_RECIPIENTS", {"facebook": {"base_url": "https://x"}}, "declares no recipient 'facebook'"),
        ("LGPRIVACY_RECIPIENTS", {"mailchimp": {"base_url": "http://us1.api.mailchimp.com/3.0"}}, "must be https"),
        ("LGPRIVACY_RECIPIENTS", {"mailchimp": {"base_url": "https://evil.example/3.0"}}, "not a host of this recipient"),
        ("LGPRIVACY_RECIPIENTS", {"mailchimp": {"base_url": "https://a.b.api.mailchimp.com/3.0"}}, "not a host of this recipient"),
        ("LGPRIVACY_RECIPIENTS", {"mailchimp": {"base_url": "https://us1.api.mailchimp.com", "verify": False}}, "takes base_url"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(setting: str, value: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=says):
        start(fresh(), tmp_path, **{setting: value})


def test_a_key_file_that_others_can_read_stops_the_start(tmp_path: Path) -> None:
    make_key_file(tmp_path / "lgprivacy.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        start(fresh(), tmp_path)
