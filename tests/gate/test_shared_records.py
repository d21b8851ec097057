"""Sealed fields of rows that several people own: each row has a key of its own, which outlives one of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from databases import uri
from ownership import Application, fresh_database, start
from school import HERE, STORES
from sqlalchemy import Column, ForeignKey, String, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from flask_lgprivacy import (
    Actor,
    belongs_to,
    clear,
    owner,
    sealed,
    subject,
)
from flask_lgprivacy.errors import (
    AccessDenied,
    KeyLost,
    ModelInvalid,
    RequestConflict,
    RequestNotFound,
    SealBroken,
    WriteInvalid,
)
from flask_lgprivacy.maintenance.runner import MaintenanceRunner
from flask_lgprivacy.policy.model import RightOutcome

SCHOOLS = (1, 2)


class Team:
    """Pupils of two schools, and a story that the first of each wrote together."""

    def __init__(self, application: Application, models: dict[str, Any]) -> None:
        self.application = application
        self.models = models
        self.session = application.db.session
        self.keys = application.runtime.keys
        self.pupils = {}
        for school in SCHOOLS:
            with self.acting(school, {"read", "write"}):
                pupils = [
                    models["pupil"](school_id=school, first_name=f"{school}-{number}")
                    for number in range(2)
                ]
                self.session.add_all(pupils)
                self.session.commit()
                self.pupils[school] = [pupil.id for pupil in pupils]
        with self.acting(1, {"read", "write"}):
            self.session.add(
                models["story"](
                    first=self.pupils[1][0], second=self.pupils[2][0], words="once", note="mine"
                )
            )
            self.session.commit()
        self.session.expunge_all()

    def acting(self, school: int, actions: set[str] | None = None) -> Any:
        actor = Actor(f"teacher {school}", role="teacher", client=school)
        return self.application.privacy.processing(
            "student.profile",
            actor=actor,
            purpose="provide-service",
            actions=actions or {"read"},
            job="test",
        )

    def story(self) -> Any:
        return self.session.scalars(select(self.models["story"])).one()

    def administrator(self, school: int) -> Actor:
        return Actor(f"administrator {school}", role="administrator", client=school)

    def erase(self, school: int, pupil: int) -> Any:
        self.session.expunge_all()
        return self.application.privacy.rights.submit(
            "delete", self.administrator(school), kind="student", one=str(pupil)
        )

    def key_rows(self) -> list[Any]:
        table = self.keys.table.subjects
        query = select(table.c.subject, table.c.holder, table.c.version).where(
            table.c.kind == "row:story"
        )
        with self.keys.connected(self.session()) as connection:
            rows = list(connection.execute(query).all())
        self.session.commit()
        return rows


@pytest.fixture(params=["beside", "apart"])
def team(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Team]:
    db = fresh_database()

    class Pupil(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("student", client="school_id")
        id: Mapped[int] = mapped_column(primary_key=True)
        school_id: Mapped[int]
        first_name: Mapped[str] = sealed("student.profile")

    class Story(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        first: Mapped[int | None] = mapped_column(
            ForeignKey("pupil.id"), info=owner(on_erasure=clear("note"))
        )
        second: Mapped[int | None] = mapped_column(
            ForeignKey("pupil.id"), info=owner(shows={"words"})
        )
        words: Mapped[str] = sealed("student.profile")
        note: Mapped[str | None] = sealed("student.profile")

    config: dict[str, Any] = {}
    if request.param == "apart":
        config = {
            "SQLALCHEMY_BINDS": {"keys": uri(tmp_path, "keys")},
            "LGPRIVACY_KEYS_BIND": "keys",
            "LGPRIVACY_STORES": {**STORES, "database:keys": HERE},
        }
    application = start(db, tmp_path / "team", **config)
    with application.app.app_context():
        yield Team(application, {"pupil": Pupil, "story": Story})


def test_a_sealed_field_opens_for_each_school_as_far_as_it_is_shown(team: Team) -> None:
    with team.acting(1):
        assert (team.story().words, team.story().note) == ("once", "mine")
    team.session.expunge_all()
    with team.acting(2):
        assert team.story().words == "once"
        with pytest.raises(AccessDenied):
            _ = team.story().note
        assert team.story().words == "once"


def test_a_field_that_was_opened_shows_nothing_to_the_next(team: Team) -> None:
    with team.acting(1):
        story = team.story()
        assert story.note == "mine"
    with team.acting(2), pytest.raises(AccessDenied):
        _ = story.note


def test_a_field_that_somebody_changed_meanwhile_is_read_anew(team: Team) -> None:
    """What is opened of a record is of one envelope, however it was opened."""
    with team.acting(1, {"read", "write"}) as _:
        story = team.story()
        assert (story.words, story.note) == ("once", "mine")
        other = Session(team.session.get_bind())
        with other:
            theirs = other.scalars(select(team.models["story"])).one()
            theirs.words, theirs.note = "twice", "yours"
            team.session.rollback()
            other.commit()
        assert (story.words, story.note) == ("twice", "yours")


def test_the_database_holds_the_value_nowhere_in_plain_text(team: Team) -> None:
    stored = str(team.application.stored("story"))
    assert "once" not in stored and "mine" not in stored


def test_a_change_of_one_field_keeps_the_others(team: Team) -> None:
    with team.acting(2, {"read", "write"}):
        team.story().words = "twice"
        team.session.commit()
    team.session.expunge_all()
    with team.acting(1):
        assert (team.story().words, team.story().note) == ("twice", "mine")


def test_a_change_by_somebody_else_is_refused_and_changes_nothing(team: Team) -> None:
    before = team.application.stored("story")
    with team.acting(3, {"read", "write"}):
        team.story().words = "theirs"
        with pytest.raises(AccessDenied):
            team.session.commit()
        team.session.rollback()
    assert team.application.stored("story") == before


def test_it_outlives_one_owner_without_what_that_one_takes_along(team: Team) -> None:
    done = team.erase(1, team.pupils[1][0])
    assert (done.state, done.outcome["cleared"]) == (
        "completed",
        {"Story.first": 1, "Story.note": 1},
    )
    with team.acting(2):
        assert team.story().words == "once"
    assert [row.subject for row in team.key_rows()] == ["1"]


def test_its_key_goes_with_the_last_owner(team: Team) -> None:
    team.erase(1, team.pupils[1][0])
    done = team.erase(2, team.pupils[2][0])
    assert (done.state, done.outcome["erased"]["Story"]) == ("completed", 1)
    assert team.key_rows() == []


def test_it_outlives_the_client_whose_key_wraps_its_own(team: Team) -> None:
    assert [row.holder for row in team.key_rows()] == ["1"]
    team.application.privacy.rights.submit("delete", team.administrator(1), kind="client", one="1")
    assert team.application.app.extensions["lgprivacy"].background.wait(60)
    team.session.expunge_all()
    assert [row.holder for row in team.key_rows()] == ["2"]
    with team.acting(2):
        assert team.story().words == "once"


def test_the_key_goes_with_a_row_that_is_deleted(team: Team) -> None:
    actor = team.administrator(1)
    with team.application.privacy.processing(
        "student.profile", actor=actor, purpose="exercise-rights", actions={"erase"}, job="test"
    ):
        team.session.delete(team.story())
        team.session.flush()
        team.session.rollback()
        assert [row.subject for row in team.key_rows()] == ["1"], "it was rolled back"
        team.session.delete(team.story())
        team.session.commit()
    assert team.key_rows() == []


def test_a_row_that_is_rolled_back_leaves_nothing_that_hinders_the_next(team: Team) -> None:
    for words in ("lost", "kept"):
        with team.acting(1, {"read", "write"}):
            story = team.models["story"](id=7, first=team.pupils[1][0], words=words)
            team.session.add(story)
            team.session.flush()
            assert story.words == words
            if words == "lost":
                team.session.rollback()
            team.session.commit()
    team.session.expunge_all()
    with team.acting(1):
        assert team.session.get(team.models["story"], 7).words == "kept"


def test_keys_are_rotated_with_those_of_subjects(team: Team) -> None:
    runner = MaintenanceRunner(team.application.runtime)
    runner.rotate_subjects(grace=0)
    assert [row.version for row in team.key_rows()] == [2]
    runner.rotate_clients()
    team.session.expunge_all()
    with team.acting(2):
        assert team.story().words == "once"


def test_a_rotation_removes_keys_of_rows_that_are_gone(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.session.execute(text("DELETE FROM story"))
    team.session.commit()
    runner = MaintenanceRunner(team.application.runtime)
    runner.rotate_subjects(grace=0)
    assert len(team.key_rows()) == 1, "a young key may wait for its row"
    later = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(days=2)
    monkeypatch.setattr(team.keys.records, "_utcnow", lambda: later)
    runner.rotate_subjects(grace=0)
    assert team.key_rows() == []


def test_a_record_of_another_row_does_not_open(team: Team) -> None:
    with team.acting(1, {"read", "write"}):
        team.session.add(team.models["story"](first=team.pupils[1][1], words="other"))
        team.session.commit()
    team.session.execute(
        text(
            "UPDATE story SET lgprivacy_student_profile = "
            "(SELECT lgprivacy_student_profile FROM story WHERE id = 2) WHERE id = 1"
        )
    )
    team.session.commit()
    team.session.expunge_all()
    with team.acting(1), pytest.raises(SealBroken):
        _ = team.session.get(team.models["story"], 1).words


def test_a_row_without_its_key_says_so(team: Team) -> None:
    team.keys.records.destroy(team.session(), "row:story", ["1"])
    team.session.commit()
    with team.acting(1), pytest.raises(KeyLost):
        _ = team.story().words


def test_a_row_that_is_nobodys_is_held_for_who_writes_it(team: Team) -> None:
    with team.acting(2, {"read", "write"}):
        team.session.add(team.models["story"](words="nobody's"))
        team.session.commit()
    assert [row.holder for row in team.key_rows()] == ["1", "2"]


def test_a_row_that_is_nobodys_needs_somebody_with_a_client(team: Team) -> None:
    nobody = Actor("somebody", role="teacher")
    processing = team.application.privacy.processing(
        "student.profile", actor=nobody, purpose="provide-service", actions={"write"}, job="test"
    )
    with processing:
        team.session.add(team.models["story"](words="nobody's"))
        with pytest.raises(AccessDenied):
            team.session.commit()
        team.session.rollback()
    assert team.session.scalar(select(func.count()).select_from(team.models["story"])) == 1


def test_a_row_keeps_its_identifier(team: Team) -> None:
    with team.acting(1, {"read", "write"}):
        team.story().id = 9
        with pytest.raises(WriteInvalid, match=r"Story\.id"):
            team.session.flush()
        team.session.rollback()


def test_a_move_to_somebody_else_still_opens_for_them(team: Team) -> None:
    with team.acting(1, {"read", "write"}):
        team.story().first = team.pupils[1][1]
        team.session.commit()
    team.erase(1, team.pupils[1][0])
    with team.acting(1):
        assert team.story().note == "mine"


@pytest.mark.parametrize("option", ["index", "migrates_from"])
def test_what_needs_one_owner_is_refused(option: str) -> None:
    db = fresh_database()
    options: dict[str, Any] = {"index": True}
    if option == "migrates_from":
        options = {"migrates_from": Column("words_plain", String(10))}
    with pytest.raises(ModelInvalid, match="needs rows of one owner"):

        class Story(db.Model):  # type: ignore[misc, name-defined]
            __privacy__ = belongs_to()
            id: Mapped[int] = mapped_column(primary_key=True)
            words: Mapped[str] = sealed("student.profile", **options)


def test_an_export_of_a_client_has_shared_rows_once_with_what_its_people_are_shown(
    team: Team,
) -> None:
    rights = team.application.privacy.rights
    shown = {}
    for school in SCHOOLS:
        actor = team.administrator(school)
        request = rights.submit("export", actor, kind="client", one=str(school))
        archive = zipfile.ZipFile(io.BytesIO(b"".join(rights.client_archive(actor, request.id))))
        assert archive.testzip() is None
        sums = json.loads(archive.read("manifest.json"))
        assert sums.keys() == {*archive.namelist()} - {"manifest.json"}
        for name, digest in sums.items():
            assert hashlib.sha256(archive.read(name)).hexdigest() == digest
        people = {
            name: json.loads(archive.read(name))["Pupil"]
            for name in archive.namelist()
            if name.endswith("data.json")
        }
        assert people == {
            f"student/{one}/data.json": [
                {"id": one, "school_id": school, "first_name": f"{school}-{number}"}
            ]
            for number, one in enumerate(team.pupils[school])
        }
        (shown[school],) = [json.loads(line) for line in archive.read("shared.jsonl").splitlines()]
    first, second = team.pupils[1][0], team.pupils[2][0]
    row = {"id": 1, "first": first, "second": second, "words": "once", "note": "mine"}
    assert shown[1] == {
        "table": "Story",
        "people": [{"kind": "student", "id": str(first)}],
        "row": row,
    }
    hidden = dict.fromkeys(row, None) | {"words": "once"}
    assert shown[2] == {
        "table": "Story",
        "people": [{"kind": "student", "id": str(second)}],
        "row": hidden,
    }


def test_an_export_of_a_client_is_for_its_administrator_and_its_time(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    rights, mine = team.application.privacy.rights, team.administrator(1)
    for actor in (team.administrator(2), Actor("teacher 1", role="teacher", client=1)):
        with pytest.raises(AccessDenied):
            rights.submit("export", actor, kind="client", one="1")
    request = rights.submit("export", mine, kind="client", one="1")
    with pytest.raises(RequestNotFound):
        rights.client_archive(team.administrator(2), request.id)
    runtime = team.application.runtime
    later = runtime.utcnow() + dt.timedelta(days=60)
    monkeypatch.setattr(rights, "_runtime", replace(runtime, utcnow=lambda: later))
    with pytest.raises(RequestConflict, match="time of this export is over"):
        rights.client_archive(mine, request.id)


@pytest.mark.parametrize("right", ["export", "delete"])
def test_whose_requests_are_passed_on_to_the_client_gets_nothing_of_all_of_it(
    team: Team, monkeypatch: pytest.MonkeyPatch, right: str
) -> None:
    rights = team.application.privacy.rights
    authorize = rights._authorization.authorize

    def passed_on(*given: Any) -> Any:
        return replace(authorize(*given), outcome=RightOutcome.FORWARD)

    monkeypatch.setattr(rights._authorization, "authorize", passed_on)
    with pytest.raises(AccessDenied, match="the client's to ask for"):
        rights.submit(right, team.administrator(1), kind="client", one="1")
    assert len(team.key_rows()) == 1
