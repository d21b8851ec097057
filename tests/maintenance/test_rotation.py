"""Rotation: everything reads as before, old keys are gone, and a killed run is taken up, with readers and writers at work."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from databases import run_sql
from killing import kill_in_the_middle
from school import CANARY, Backend, Student, add_school, close, db, make_backend
from sqlalchemy import select

from flask_lgprivacy import find_by
from flask_lgprivacy.audit import read_trail
from flask_lgprivacy.errors import KeyUnavailable, SealBroken
from flask_lgprivacy.maintenance.runner import MaintenanceRunner
from flask_lgprivacy.orm.bulk_read import iter_records
from flask_lgprivacy.policy import Right

SUPPORT = Path(__file__).parents[1] / "support"
SUBJECTS = int(os.environ.get("LGPRIVACY_TEST_SUBJECTS", "1000"))
KILLS = int(os.environ.get("LGPRIVACY_TEST_KILLS", "2"))
"""How large the test of killed rotations is; `tox run -e scale` takes 100,000 and twenty."""


def values(backend: Backend) -> dict[str, str]:
    """A keyed digest of every value of every student, by its id."""
    secret, found = b"digest of this test", {}
    with backend.app.app_context():
        for number in range(len(backend.schools)):
            mine = Student.school_id == backend.schools[number]
            with backend.reading(number):
                for row in iter_records(
                    db.session(), Student, mine, categories={"student.profile"}
                ):
                    text = repr(sorted((name, value) for name, value in row.items())).encode()
                    found[row["id"].hex] = hmac.new(secret, text, hashlib.sha256).hexdigest()
    return found


def keys_of(backend: Backend, columns: str, table: str, where: str = "1 = 1") -> list[Any]:
    return run_sql(backend.folder, "keys", f"select {columns} from lgprivacy_{table} where {where}")


def rotate(backend: Backend, what: str) -> dict[str, int]:
    with backend.app.app_context():
        keeper = MaintenanceRunner(backend.runtime)
        return {
            "root": keeper.rotate_root,
            "clients": keeper.rotate_clients,
            "subjects": lambda: keeper.rotate_subjects(grace=0),
            "indexes": lambda: keeper.rotate_indexes(grace=0),
        }[what]()


@pytest.mark.parametrize("what", ["root", "clients", "subjects", "indexes"])
def test_after_a_rotation_everything_reads_as_before(backend: Backend, what: str) -> None:
    before = values(backend)
    wrapped = {
        row[0]
        for row in keys_of(backend, "wrapped", "client_key" if what == "root" else "subject_key")
    }
    if what == "root":
        from flask_lgprivacy.crypto import LocalKeyFile

        LocalKeyFile(backend.folder / "lgprivacy.key").add_root()
    rotate(backend, what)
    now = keys_of(
        backend, "wrapped", "client_key" if what == "root" else "subject_key", "wrapped is not null"
    )
    assert wrapped.isdisjoint(row[0] for row in now)
    assert values(backend) == before
    backend.runtime.keys.forget_all()
    assert values(backend) == before
    events = [
        event for event in read_trail(backend.folder / "trail") if event["event"] == "key-operation"
    ]
    assert [(event["operation"], event["stage"]) for event in events] == [
        (f"rotate-{what}", "began"),
        (f"rotate-{what}", "ended"),
    ]


def test_everybody_is_found_while_indexes_are_rotated(
    backend: Backend,
) -> None:
    other = make_backend(backend.folder, filled=False)
    other.schools, other.students = backend.schools, backend.students
    name = f"{CANARY} le goffa"

    def found(where: Backend) -> list[Any]:
        with where.app.app_context(), where.reading():
            return [row.id for row in db.session.scalars(find_by(Student, last_name=name))]

    before = run_sql(
        backend.folder, "data", "select lgprivacy_last_name_index from student order by 1"
    )
    assert found(backend) == found(other) == [one_id(backend)]
    seen: list[Any] = []

    def look(_: float) -> None:
        with other.app.app_context(), other.writing():
            later = Student(
                school_id=other.schools[0], first_name=CANARY, last_name=f"{CANARY} Later"
            )
            db.session.add(later)
            db.session.commit()
        seen.append((found(backend), found(other)))

    with backend.app.app_context():
        MaintenanceRunner(backend.runtime, sleep=look).rotate_indexes(grace=60)
    assert seen == [([one_id(backend)], [one_id(backend)])]
    after = run_sql(
        backend.folder, "data", "select lgprivacy_last_name_index from student order by 1"
    )
    assert {row[0] for row in before}.isdisjoint(row[0] for row in after)
    name = f"{CANARY} later"
    for where in (backend, other):
        where.runtime.keys.forget_all()
        assert len(found(where)) == 1
    living = keys_of(backend, "count(*)", "client_key", "wrapped is not null")
    assert living == [(3,)]


def test_once_the_old_epoch_is_destroyed_the_new_one_wraps_what_comes(backend: Backend) -> None:
    rotate(backend, "clients")
    client = backend.schools[0].hex
    epochs = keys_of(
        backend, "epoch, wrapped is null", "client_key", f"client = '{client}' order by epoch"
    )
    assert [(epoch, bool(destroyed)) for epoch, destroyed in epochs] == [(1, True), (2, False)]
    with backend.app.app_context(), backend.writing():
        db.session.add(Student(school_id=backend.schools[0], first_name=CANARY, last_name=CANARY))
        db.session.commit()
    assert keys_of(backend, "distinct epoch", "subject_key", f"holder = '{client}'") == [(2,)]


def test_a_process_that_holds_the_old_keys_goes_on_working(backend: Backend) -> None:
    other = make_backend(backend.folder, filled=False)
    other.schools, other.students = backend.schools, backend.students
    before = values(other)
    for what in ("clients", "subjects"):
        rotate(backend, what)
        assert values(other) == before
    with other.app.app_context(), other.writing():
        one = db.session.get(Student, other.students[other.schools[0]][0])
        one.first_name = f"{CANARY} later"
        db.session.commit()
    backend.runtime.keys.forget_all()
    with backend.app.app_context(), backend.reading():
        assert db.session.get(Student, one_id(backend)).first_name == f"{CANARY} later"


def one_id(backend: Backend) -> Any:
    return backend.students[backend.schools[0]][0]


def test_a_row_that_was_read_before_its_key_was_renewed_is_written_under_the_new_one(
    backend: Backend,
) -> None:
    with backend.app.app_context(), backend.writing():
        student = db.session.get(Student, one_id(backend))
        assert student.first_name
        with backend.app.app_context():
            session_of_rotation = db.session()
            keeper = MaintenanceRunner(backend.runtime)
            list(
                keeper._rotation.renew_subjects(
                    session_of_rotation, before=backend.runtime.utcnow()
                )
            )
        student.first_name = f"{CANARY} meanwhile"
        db.session.commit()
    rotate(backend, "subjects")
    backend.runtime.keys.forget_all()
    with backend.app.app_context(), backend.reading():
        assert db.session.get(Student, one_id(backend)).first_name == f"{CANARY} meanwhile"


def test_a_broken_record_stops_the_destruction_of_its_key(backend: Backend) -> None:
    run_sql(
        backend.folder, "data", "update student set lgprivacy_student_profile = lgprivacy_student_picture where id = :one",
        one=one_id(backend).hex,
    )  # fmt: skip
    with pytest.raises(
        Exception, match="1 records do not open under any key, so the old keys were kept"
    ):
        rotate(backend, "subjects")
    versions = keys_of(
        backend, "version", "subject_key", f"subject = '{one_id(backend).hex}' order by version"
    )
    assert versions == [(1,), (2,)]
    with backend.app.app_context(), backend.reading(), pytest.raises(SealBroken):
        _ = db.session.get(Student, one_id(backend)).first_name


def test_an_erased_subject_stays_erased_through_every_rotation(backend: Backend) -> None:
    with backend.app.app_context():
        backend.privacy.rights.submit(
            Right.DELETE, backend.administrator(), kind="student", one=one_id(backend).hex
        )
    before = values(backend)
    for what in ("root", "clients", "subjects"):
        rotate(backend, what)
    assert values(backend) == before
    assert keys_of(backend, "wrapped", "subject_key", f"subject = '{one_id(backend).hex}'") == [
        (None,)
    ]


def test_an_archive_opens_after_its_subjects_key_was_renewed(backend: Backend) -> None:
    with backend.app.app_context():
        rights, who = backend.privacy.rights, backend.administrator()
        request = rights.submit(Right.EXPORT, who, kind="student", one=one_id(backend).hex)
        before = rights.archive(who, request.id)
    rotate(backend, "subjects")
    with backend.app.app_context():
        assert backend.privacy.rights.archive(backend.administrator(), request.id) == before


# --- the command line ---


def run(backend: Backend, *words: str) -> Any:
    return backend.app.test_cli_runner().invoke(args=["privacy", "keys", *words])


def test_the_commands_take_an_old_root_key_out_of_use(backend: Backend) -> None:
    planned = run(backend, "rotate", "clients", "--dry-run", "--json")
    assert json.loads(planned.stdout) == {"dry run": True, "clients": 3, "subject keys": 5}
    assert {row["epoch"] for row in json.loads(run(backend, "list", "--json").stdout)} == {1}
    assert "client keys: 3" in run(backend, "rotate", "root").stdout
    refused = run(backend, "drop-root", "r1")
    assert refused.exit_code == 1
    assert (
        "only an older root key can be dropped" in refused.output
        or "wraps 3 client keys" in refused.output
    )
    assert "added root key r2" in run(backend, "new-root").stdout
    assert "wraps 3 client keys" in run(backend, "drop-root", "r1").output
    assert run(backend, "rotate", "root").exit_code == 0
    assert run(backend, "drop-root", "r1").exit_code == 0
    backend.runtime.keys.forget_all()
    assert values(backend)


def test_a_key_file_without_the_root_that_wrapped_says_so(backend: Backend) -> None:
    document = json.loads((backend.folder / "lgprivacy.key").read_text())
    document["roots"]["r9"] = document["roots"].pop("r1")
    document["newest"] = "r9"
    (backend.folder / "lgprivacy.key").write_text(json.dumps(document))
    with pytest.raises(
        KeyUnavailable, match="the root key that wrapped a client key is not in the key file"
    ):
        make_backend(backend.folder, filled=False)


# --- killed, with readers and writers at work ---


class Traffic:
    """Threads that read and write all the time; `failures` holds what went wrong."""

    def __init__(self, backend: Backend, hot: list[Any]) -> None:
        self._backend = backend
        self._hot = hot
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(work,))
            for work in (self._read, self._read, self._write)
        ]
        self.failures: list[str] = []
        self.done = {"_read": 0, "_write": 0}
        self.written: dict[Any, str] = {}

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, work: Any) -> None:
        while not self._stop.is_set():
            try:
                with self._backend.app.app_context():
                    work()
                    db.session.remove()
                self.done[work.__name__] += 1
            except Exception as fault:  # noqa: BLE001  any failure at all is what this looks for
                self.failures.append(f"{work.__name__}: {type(fault).__name__}: {fault}"[:300])
                return

    def _read(self) -> None:
        with self._backend.reading(2):
            for student in db.session.scalars(
                select(Student).where(Student.id.in_(random.sample(self._hot, 20)))
            ):
                assert student.first_name.startswith(CANARY)

    def _write(self) -> None:
        one = random.choice(self._hot)
        with self._backend.writing(2):
            student = db.session.get(Student, one)
            said = f"{CANARY} {random.random()}"
            student.first_name = said
            db.session.commit()
            self.written[one] = said
        time.sleep(0.01)


@pytest.mark.parametrize("what", ["clients", "subjects"])
def test_a_rotation_that_is_killed_again_and_again_ends_complete(
    backend: Backend, what: str
) -> None:
    with backend.app.app_context():
        ids = add_school(backend, SUBJECTS)
    hot = random.sample(ids, 200)
    before = values(backend)
    kills = 0
    with Traffic(backend, hot) as traffic:
        while True:
            running = subprocess.Popen(
                [sys.executable, SUPPORT / "rotating.py", backend.folder, what],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env={**os.environ, "PYTHONPATH": f"{SUPPORT}:{SUPPORT.parents[1]}"},
            )  # fmt: skip
            if kills < KILLS:
                kill_in_the_middle(running, most=1 + SUBJECTS // 5000)
            out, fault = running.communicate()
            assert running.returncode in (0, -signal.SIGKILL), fault[-2000:]
            kills += running.returncode != 0
            if running.returncode == 0 and kills >= KILLS:
                break
        assert "ended" in out
    assert traffic.failures == []
    assert min(traffic.done.values()) > 3
    backend.runtime.keys.forget_all()
    after = values(backend)
    assert set(after) == set(before)
    touched = {one.hex for one in traffic.written}
    assert {one: digest for one, digest in after.items() if one not in touched} == {
        one: digest for one, digest in before.items() if one not in touched
    }
    with backend.app.app_context(), backend.reading(2):
        assert {
            one: db.session.get(Student, one).first_name for one in traffic.written
        } == traffic.written
    client = backend.schools[2].hex
    if what == "clients":
        [[epoch]] = keys_of(backend, "distinct epoch", "subject_key", f"holder = '{client}'")
        living = keys_of(
            backend, "epoch", "client_key", f"client = '{client}' and wrapped is not null"
        )
        assert (living, epoch > 1) == ([(epoch,)], True)
    else:
        [[version]] = keys_of(backend, "distinct version", "subject_key", f"holder = '{client}'")
        assert version > 1
    close(backend)
