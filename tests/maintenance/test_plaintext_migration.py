"""Plain text moves into sealed records under load: nothing is lost, nothing is left, and reading it needs an open window."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from databases import IS_POSTGRESQL, SQLITE_ONLY, past_the_gate, run_alone, run_sql, server_files
from flask import Flask, redirect
from killing import kill_in_the_middle
from migrating import SCHOOLS, Homework, Pupil, db, job, make, plain_rows
from school import CANARY, close, make_backend
from sqlalchemy import Column, String, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from flask_lgprivacy import Actor, LGPrivacy, find_by, sealed, subject
from flask_lgprivacy.audit import read_trail
from flask_lgprivacy.errors import (
    AccessDenied,
    ConfigurationError,
    ModelInvalid,
    SealBroken,
    UndeclaredProcessing,
)
from flask_lgprivacy.orm.bulk_read import iter_records
from flask_lgprivacy.orm.registry import model_info_of
from flask_lgprivacy.policy import Right
from flask_lgprivacy.testing import acting_as, assert_refused

SUPPORT = Path(__file__).parents[1] / "support"
SUBJECTS = int(os.environ.get("LGPRIVACY_TEST_SUBJECTS", "800"))
KILLS = int(os.environ.get("LGPRIVACY_TEST_KILLS", "2")) // 2


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[Flask, LGPrivacy, list[UUID], Path]]:
    folder = tmp_path / "input"
    app, privacy = make(folder)
    yield app, privacy, plain_rows(app, 6), folder
    let_go(app)


def let_go(app: Flask) -> None:
    with app.app_context():
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()
    app.extensions["lgprivacy"].runtime.audit.trail.close()


def migrate(app: Flask, *words: str) -> Any:
    return app.test_cli_runner().invoke(args=["privacy", "keys", "migrate", *words])


def test_in_the_window_plain_text_is_read_under_the_same_gate(made: Any) -> None:
    app, privacy, ids, folder = made
    with app.app_context(), job(privacy):
        assert db.session.get(Pupil, ids[0]).first_name == f"{CANARY} 0"
        assert db.session.get(Pupil, ids[0]).birth_date == dt.date(2015, 1, 1)
        assert db.session.get(Pupil, ids[0]).level is None
        with pytest.raises(AccessDenied):
            _ = db.session.get(Pupil, ids[1]).first_name
        home = db.session.scalars(select(Homework).where(Homework.pupil_id == ids[0])).one()
        assert home.remark == f"{CANARY} remark 0"
        own = Pupil.school_id == SCHOOLS[0]
        assert {row["first_name"] for row in iter_records(db.session(), Pupil, own)} == {
            f"{CANARY} {n}" for n in (0, 2, 4)
        }
    with app.app_context(), pytest.raises(UndeclaredProcessing):
        _ = db.session.get(Pupil, ids[0]).first_name
    told = [
        event
        for event in read_trail(folder / "trail")
        if event.get("operation", "").startswith("migration-window")
    ]
    assert {(event["operation"], event["stage"]) for event in told} == {
        ("migration-window Pupil", "open"), ("migration-window Homework", "open")
    }  # fmt: skip


def test_the_plain_column_itself_is_nobodys(made: Any) -> None:
    app, privacy, ids, _ = made
    with app.app_context(), job(privacy):
        pupil = db.session.get(Pupil, ids[0])
        with pytest.raises(
            UndeclaredProcessing, match="read and write first_name, which is sealed"
        ):
            _ = pupil.lgprivacy_plain_first_name
        with pytest.raises(UndeclaredProcessing):
            pupil.lgprivacy_plain_first_name = "x"


def test_outside_the_window_plain_text_is_refused_with_the_command_to_run(
    tmp_path: Path,
) -> None:
    app, privacy = make(
        tmp_path / "input", migration=dict.fromkeys(("Pupil", "Homework"), "2026-01-01")
    )
    [one] = plain_rows(app, 1)
    with (
        app.app_context(),
        job(privacy),
        pytest.raises(ConfigurationError, match="flask privacy keys migrate Pupil") as refused,
    ):
        _ = db.session.get(Pupil, one).first_name
    assert CANARY not in str(refused.value)
    let_go(app)


@pytest.mark.parametrize(
    ("migration", "says"),
    [({"Pupil": "2099-01-01"}, "more than 90 days away"), ({"Pupil": "soon"}, "takes the last day"), ({"Pupil": 7}, "takes the last day")],
)  # fmt: skip
def test_a_window_is_for_a_limited_time(tmp_path: Path, migration: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make(tmp_path / "b", migration=migration)


def test_a_write_seals_its_row(made: Any) -> None:
    app, privacy, ids, folder = made
    with app.app_context(), job(privacy, "read", "write"):
        db.session.get(Pupil, ids[0]).level = "CE1"
        home = db.session.scalars(select(Homework).where(Homework.pupil_id == ids[2])).one()
        home.remark = f"{CANARY} new"
        db.session.commit()
    held = "select first_name, last_name, birth_date, lgprivacy_version from pupil where id = :one"
    assert run_sql(folder, "data", held, one=ids[0].hex) == [(None, None, None, 1)]
    with app.app_context(), job(privacy):
        pupil = db.session.scalars(find_by(Pupil, last_name=f"{CANARY} le goff 0")).one()
        assert (pupil.first_name, pupil.level, pupil.birth_date) == (
            f"{CANARY} 0",
            "CE1",
            dt.date(2015, 1, 1),
        )
        assert (
            db.session.scalars(select(Homework).where(Homework.pupil_id == ids[2])).one().remark
            == f"{CANARY} new"
        )


def test_the_migration_command_is_repeatable(made: Any) -> None:
    app, privacy, ids, folder = made
    assert json.loads(migrate(app, "Pupil", "--dry-run", "--json").stdout) == {
        "dry run": True,
        "rows": 6,
    }
    assert json.loads(migrate(app, "Homework.remark", "--json").stdout)["rows sealed"] == 6
    done = json.loads(migrate(app, "Pupil.first_name", "--json").stdout)
    assert (done["rows sealed"], done["rows left"]) == (6, 0)
    assert json.loads(migrate(app, "Pupil", "--json").stdout)["rows sealed"] == 0
    app.extensions["lgprivacy"].runtime.migration.last_days.clear()
    with app.app_context(), job(privacy):
        assert db.session.get(Pupil, ids[0]).first_name == f"{CANARY} 0"
        assert len(db.session.scalars(find_by(Pupil, last_name=f"{CANARY} Le Goff 4")).all()) == 1
    told = [
        event["stage"]
        for event in read_trail(folder / "trail")
        if event.get("operation") == "migrate Pupil"
    ]
    assert told == ["began", "ended", "began", "ended"]


def test_what_an_old_process_writes_in_plain_text_after_the_migration_is_taken_in_too(
    made: Any,
) -> None:
    app, privacy, ids, folder = made
    migrate(app, "Pupil")
    run_sql(
        folder,
        "data",
        "update pupil set first_name = :said where id = :one",
        said=f"{CANARY} later",
        one=ids[0].hex,
    )
    assert json.loads(migrate(app, "Pupil", "--json").stdout)["rows sealed"] == 1
    with app.app_context(), job(privacy):
        pupil = db.session.get(Pupil, ids[0])
        assert (pupil.first_name, pupil.birth_date) == (f"{CANARY} later", dt.date(2015, 1, 1))


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("Nobody", "no labelled model 'Nobody'"),
        ("Pupil.level", "no column of it is migrated; write sealed"),
    ],
)
def test_a_wrong_name_is_answered(made: Any, named: str, says: str) -> None:
    assert says in migrate(made[0], named).output


def test_a_column_that_cannot_be_emptied_is_refused() -> None:
    class Base(DeclarativeBase):
        pass

    with pytest.raises(ModelInvalid, match="must be nullable, because it is emptied"):

        class Fixed(Base):
            __tablename__ = "fixed"
            __privacy__ = subject("student", client="school_id")
            id: Mapped[UUID] = mapped_column(primary_key=True)
            school_id: Mapped[UUID]
            first_name: Mapped[str] = sealed(
                "student.profile", migrates_from=Column("first_name", String(80), nullable=False)
            )


# --- killed, under load ---


def lying_about(folder: Path) -> list[str]:
    """The files of a folder in which a planted value stands; only when no connection is open, whose locks reading would break."""
    needle = CANARY.encode()
    return [
        path.name for path in folder.iterdir() if path.is_file() and needle in path.read_bytes()
    ]


@pytest.mark.parametrize(
    "journal", [pytest.param("delete", marks=SQLITE_ONLY), pytest.param("wal", marks=SQLITE_ONLY)]
)
def test_a_migration_that_is_killed_again_and_again_leaves_no_plain_text(
    tmp_path: Path, journal: str
) -> None:
    folder = tmp_path / "b"
    app, privacy = make(folder)
    with app.app_context(), db.engine.connect() as connection:
        connection.exec_driver_sql(f"pragma journal_mode={journal}")
    ids = plain_rows(app, SUBJECTS)
    let_go(app)
    assert lying_about(folder)
    own, stop = ids[::2], threading.Event()
    faults: list[str] = []
    written: dict[UUID, str] = {}
    done = {"read": 0, "write": 0}

    def traffic(kind: str) -> None:
        while not stop.is_set():
            one = random.choice(own)
            try:
                with app.app_context(), job(privacy, "read", "write"):
                    pupil = db.session.get(Pupil, one)
                    assert pupil.first_name.startswith(CANARY)
                    if kind == "write":
                        said = f"{CANARY} {random.random()}"
                        pupil.first_name = said
                        db.session.commit()
                        written[one] = said
                    db.session.remove()
                done[kind] += 1
            except StaleDataError:
                continue
            except OperationalError as busy:
                assert "locked" in str(busy), busy
            except Exception as fault:  # noqa: BLE001  any other fault is what this looks for
                faults.append(f"{kind}: {type(fault).__name__}: {fault}"[:300])
                return
            time.sleep(0.01)

    threads = [threading.Thread(target=traffic, args=(kind,)) for kind in ("read", "write")]
    for thread in threads:
        thread.start()
    kills = 0
    while True:
        running = subprocess.Popen(
            [sys.executable, SUPPORT / "migrating.py", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": f"{SUPPORT}:{SUPPORT.parents[1]}"},
        )  # fmt: skip
        if kills < KILLS:
            kill_in_the_middle(running, most=1 + SUBJECTS // 5000)
        _, fault = running.communicate()
        if running.returncode == 0:
            break
        if running.returncode == -signal.SIGKILL:
            kills += 1
        else:
            assert "hold plain text again, or were being written" in fault or "locked" in fault, (
                fault[-2000:]
            )
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    print(
        f"migration of {SUBJECTS} pupils and their homework, {journal} journal, killed {kills} times"
    )
    assert kills > 0
    assert min(done.values()) > 3
    with app.app_context(), job(privacy):
        assert {one: db.session.get(Pupil, one).first_name for one in written} == written
        untouched = [one for one in own if one not in written]
        values = {
            row["id"]: row["first_name"]
            for row in iter_records(db.session(), Pupil, Pupil.school_id == SCHOOLS[0])
        }
        assert {one: values[one] for one in untouched} == {
            one: f"{CANARY} {ids.index(one)}" for one in untouched[:200]
        } | {one: values[one] for one in untouched[200:]}
    let_go(app)
    assert lying_about(folder) == []


def lying_in_server() -> list[str]:
    """The files of the PostgreSQL server in which a pupil's planted name stands."""
    needle = f"{CANARY} Kerouac ".encode()
    found = []
    for path in server_files():
        with contextlib.suppress(
            FileNotFoundError
        ):  # the server is running and removes files of its own
            found += [path.name] if needle in path.read_bytes() else []
    return found


@pytest.mark.skipif(not IS_POSTGRESQL, reason="is about PostgreSQL's files")
def test_after_the_steps_of_the_operators_guide_postgresql_holds_no_plain_text(made: Any) -> None:
    app, _, _, folder = made
    plain_rows(app, 500, family="Kerouac")
    run_sql(folder, "data", "analyze")
    assert lying_in_server()
    for model in ("Pupil", "Homework"):
        done = migrate(app, model, "--json")
        assert "VACUUM FULL" in done.stderr
    let_go(app)
    guide = (Path(__file__).parents[2] / "docs" / "howto" / "migrate-plaintext.md").read_text()
    steps = guide.partition("```postgresql\n")[2].partition("```")[0]
    assert "VACUUM FULL" in steps
    for statement in steps.replace("TABLE_NAME", "pupil").splitlines():
        run_alone(folder, "data", statement)
    for statement in steps.replace("TABLE_NAME", "homework").splitlines():
        run_alone(folder, "data", statement)
    assert lying_in_server() == []


@pytest.mark.skipif(not IS_POSTGRESQL, reason="is about PostgreSQL's files")
def test_after_the_same_steps_postgresql_holds_no_destroyed_key(tmp_path: Path) -> None:
    backend = make_backend(tmp_path / "b")
    gone = backend.students[backend.schools[0]][0].hex
    held = "select wrapped from lgprivacy_subject_key where subject = :one"
    [[wrapped]] = run_sql(backend.folder, "keys", held, one=gone)

    def lying() -> list[str]:
        found = []
        for path in server_files():
            with contextlib.suppress(
                FileNotFoundError
            ):  # the server is running and removes files of its own
                found += [path.name] if bytes(wrapped) in path.read_bytes() else []
        return found

    run_sql(backend.folder, "keys", "checkpoint")
    assert lying()
    with backend.app.app_context():
        backend.privacy.rights.submit(
            Right.DELETE, backend.administrator(), kind="student", one=gone
        )
    close(backend)
    guide = (Path(__file__).parents[2] / "docs" / "howto" / "migrate-plaintext.md").read_text()
    steps = guide.partition("```postgresql\n")[2].partition("```")[0]
    for statement in steps.replace("TABLE_NAME", "lgprivacy_subject_key").splitlines():
        run_alone(backend.folder, "keys", statement)
    assert lying() == []


def test_a_row_that_is_sealed_after_its_load_is_read_all_the_same(
    made: Any,
) -> None:
    app, privacy, ids, _ = made
    with app.app_context(), job(privacy, "read", "write"):
        mine = db.session.get(Pupil, ids[0])
        assert mine.lgprivacy_version == 0
        migrate(app, "Pupil")
        assert mine.first_name == f"{CANARY} 0"
        mine.first_name = f"{CANARY} newer"
        db.session.commit()
        assert db.session.get(Pupil, ids[0]).first_name == f"{CANARY} newer"


def test_a_row_that_is_sealed_before_its_writing_keeps_its_other_fields(
    made: Any,
) -> None:
    app, privacy, ids, _ = made
    with app.app_context():
        with job(privacy, "read"):
            mine = db.session.get(Pupil, ids[0])
            born = mine.birth_date
        db.session.expunge(mine)
        db.session.rollback()
        db.session.add(mine)  # as it was loaded: in plain text
        migrated = threading.Thread(target=migrate, args=(app, "Pupil"))
        migrated.start()
        migrated.join()
        with job(privacy, "read", "write"):
            mine.first_name, mine.last_name = f"{CANARY} newer", f"{CANARY} newest"
            db.session.commit()
        db.session.remove()
        with job(privacy, "read"):
            mine = db.session.get(Pupil, ids[0])
            assert (mine.first_name, mine.birth_date, mine.lgprivacy_version) == (
                f"{CANARY} newer",
                born,
                2,
            )


def test_what_is_read_in_plain_text_is_in_no_redirect(made: Any) -> None:
    app, privacy, ids, _ = made

    @app.get("/x")
    @privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def view() -> Any:
        pupil = db.session.get(Pupil, ids[0])
        return redirect("/y?n=" + pupil.first_name)

    with acting_as(app, Actor("t", role="teacher", client=SCHOOLS[0])):
        assert_refused(app.test_client().get("/x"), code="intake-refused")


def test_a_sealed_row_whose_record_was_taken_away_is_refused(made: Any) -> None:
    app, privacy, ids, _ = made
    migrate(app, "Pupil")
    with app.app_context():
        with db.engine.begin() as connection:
            column = next(iter(model_info_of(Pupil).groups))
            past_the_gate(connection).execute(Pupil.__table__.update().values({column: None}))
        with job(privacy, "read"), pytest.raises(SealBroken):
            _ = db.session.get(Pupil, ids[0]).first_name
        with job(privacy, "read"), pytest.raises(SealBroken):
            list(iter_records(db.session(), Pupil, Pupil.school_id == SCHOOLS[0]))
