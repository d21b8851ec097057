"""Finding people by sealed values: several indexes on a model, each with its own idea of what is equal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from databases import run_sql, uri
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from school import CANARY, STORES
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_lgprivacy import Actor, BlindIndex, LGPrivacy, find_by, find_matching, sealed, subject
from flask_lgprivacy.audit import read_trail
from flask_lgprivacy.errors import ModelInvalid, SealedComparison
from flask_lgprivacy.testing import make_key_file


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})
Model: Any = db.Model
SCHOOL = UUID(int=7)


class Learner(Model):
    __privacy__ = subject("student", client="school_id")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID]
    family: Mapped[str] = sealed("student.profile", index=BlindIndex("accents"))
    email: Mapped[str] = sealed("student.profile", index=BlindIndex("email"), unique=True)
    first_name: Mapped[str] = sealed("student.profile", index=BlindIndex("accents", bits=4))
    birth_date: Mapped[date] = sealed("student.profile", index=BlindIndex(bits=6))


@pytest.fixture
def learners(tmp_path: Path) -> Iterator[tuple[LGPrivacy, Path]]:
    folder = tmp_path / "b"
    folder.mkdir()
    make_key_file(folder / "lgprivacy.key")
    app = Flask("lookup", instance_path=str(folder))
    app.config.update(SQLALCHEMY_DATABASE_URI=uri(folder, "data"), LGPRIVACY_STORES=STORES)
    db.init_app(app)
    privacy = LGPrivacy(app)
    with app.app_context():
        privacy.initialise()
        db.create_all()
        with job(privacy, "write"):
            db.session.add_all(learner(number) for number in range(60))
            db.session.commit()
        db.session.remove()
        yield privacy, folder
        db.session.remove()
        db.engine.dispose()
    app.extensions["lgprivacy"].runtime.audit.trail.close()


def learner(number: int) -> Learner:
    return Learner(
        school_id=SCHOOL, family=f"{CANARY} Le Béon {number}", email=f"{CANARY}{number}@Ecole.example",
        first_name=f"{CANARY} Éloïse {number % 20}", birth_date=date(2016, 1 + number % 12, 1 + number % 28),
    )  # fmt: skip


def job(privacy: LGPrivacy, *actions: str) -> Any:
    actor = Actor("t", role="teacher", client=SCHOOL)
    return privacy.processing(
        "student.profile", actor=actor, purpose="provide-service", actions=actions, job="lookup"
    )


def test_each_index_finds_what_it_counts_as_equal(learners: Any) -> None:
    privacy, _ = learners
    with job(privacy, "read"):
        assert len(db.session.scalars(find_by(Learner, family=f"{CANARY} le  beon 7")).all()) == 1
        assert (
            len(db.session.scalars(find_by(Learner, email=f" {CANARY}8@ecole.EXAMPLE")).all()) == 1
        )
        assert not db.session.scalars(find_by(Learner, email=f"{CANARY} 8@ecole.example")).all()
        both = find_by(Learner, family=f"{CANARY} le beon 7", email=f"{CANARY}8@ecole.example")
        assert not db.session.scalars(both).all()


def test_a_unique_index_refuses_what_it_counts_as_equal(learners: Any) -> None:
    privacy, _ = learners
    with job(privacy, "write"):
        same = learner(61)
        same.email = f" {CANARY}8@ECOLE.example "
        db.session.add(same)
        with pytest.raises(IntegrityError) as refused:
            db.session.commit()
        assert CANARY not in str(refused.value)
        db.session.rollback()


def test_an_index_of_few_bits_is_compared_after_opening(learners: Any) -> None:
    privacy, folder = learners
    with job(privacy, "read"):
        found = find_matching(db.session, Learner, first_name=f"{CANARY} eloise 3")
        assert sorted(row.first_name for row in found) == [f"{CANARY} Éloïse 3"] * 3
        assert [
            row.birth_date
            for row in find_matching(db.session, Learner, birth_date=date(2016, 3, 3))
        ] == [date(2016, 3, 3)]
        with pytest.raises(SealedComparison, match="which several values share; use find_matching"):
            find_by(Learner, first_name=f"{CANARY} eloise 3")
    [told] = [
        event
        for event in read_trail(folder / "trail")
        if event["stage"] == "outcome" and event["via"] == "job"
    ][1:]
    assert told["touched"][0]["subjects"] > 3, (
        "those who share the index were opened, and the trail says so"
    )


def test_asking_for_a_client_that_is_none_makes_no_key(learners: Any) -> None:
    privacy, folder = learners
    actor = Actor("t", role="teacher", client=UUID(int=9))
    before = run_sql(folder, "data", "select client from lgprivacy_client_key order by 1")
    with privacy.processing(
        "student.profile", actor=actor, purpose="provide-service", job="lookup"
    ):
        assert not db.session.scalars(find_by(Learner, email=f"{CANARY}8@ecole.example")).all()
        db.session.commit()
    assert run_sql(folder, "data", "select client from lgprivacy_client_key order by 1") == before


@pytest.mark.parametrize("name", ["first_name", "prenom", "level", "birth_date"])
def test_what_can_be_guessed_needs_few_bits(name: str) -> None:
    class Other(DeclarativeBase):
        pass

    with pytest.raises(
        ModelInvalid,
        match=r"could be guessed by trying every value; use index=BlindIndex\(bits=8\)",
    ):
        type(
            "Guessed",
            (Other,),
            {
                "__tablename__": "guessed", "__privacy__": subject("student", client="school_id"),
                "__annotations__": {"id": Mapped[UUID], "school_id": Mapped[UUID], name: Mapped[str]},
                "id": mapped_column(primary_key=True), name: sealed("student.profile", index=True), "__module__": __name__,
            },
        )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: BlindIndex("soundex"),
            "no normaliser 'soundex'; there are text, accents, name, email, exact",
        ),
        (lambda: BlindIndex(bits=64), "bits is 128, or between 4 and 16"),
        (
            lambda: sealed("student.profile", index=BlindIndex(bits=8), unique=True),
            "needs a whole index",
        ),
    ],
)
def test_a_wrong_index_is_told(make: Any, says: str) -> None:
    with pytest.raises(ModelInvalid, match=says):
        make()
