"""Threads, greenlets, async views and workers keep their processings apart: each opens for its own actor only."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from school import CANARY, Backend, Student, db

from flask_lgprivacy import Actor
from flask_lgprivacy.errors import PrivacyError
from flask_lgprivacy.testing import captured_trail

READS: dict[str, Any] = {"roles": {"teacher"}, "purpose": "provide-service"}


@pytest.fixture
def schools(backend: Backend) -> Backend:
    """Two endpoints that open one student each, plain and async; the actor is said by a header."""
    from flask import request

    teachers = {"0": backend.teacher(0), "1": backend.teacher(1)}
    backend.privacy.actor_loader(lambda: teachers.get(request.headers.get("X-School", "")))
    barrier = threading.Barrier(2, timeout=10)

    @backend.app.get("/plain/<int:school>")
    @backend.privacy.handles("student.profile", **READS)
    def plain(school: int) -> str:
        barrier.wait()
        name = db.session.get(Student, backend.students[backend.schools[school]][0]).first_name
        barrier.wait()
        return str(name)

    @backend.app.get("/async/<int:school>")
    @backend.privacy.handles("student.profile", **READS)
    async def asynchronous(school: int) -> str:
        await asyncio.sleep(0.01)
        name = db.session.get(Student, backend.students[backend.schools[school]][0]).first_name
        await asyncio.sleep(0.01)
        return str(name)

    return backend


def ask(backend: Backend, path: str, school: str) -> Any:
    return backend.app.test_client().get(path, headers={"X-School": school})


@pytest.mark.parametrize(
    ("kind", "schools_asked", "statuses"),
    [("plain", "01", [200, 200]), ("async", "01", [200, 200]), ("async", "10", [403, 403])],
)
def test_two_threads_at_once_open_for_their_own_actor(
    schools: Backend, kind: str, schools_asked: str, statuses: list[int]
) -> None:
    answers: dict[int, Any] = {}

    def work(number: int) -> None:
        answers[number] = ask(schools, f"/{kind}/{schools_asked[number]}", str(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[number].status_code for number in range(2)] == statuses
    if statuses == [200, 200]:
        assert [answers[number].text for number in range(2)] == [f"{CANARY} A0", f"{CANARY} A1"]
    else:
        assert CANARY not in answers[0].text + answers[1].text


def test_tasks_of_one_loop_keep_their_processings_apart(backend: Backend) -> None:
    async def reads(school: int, turns: asyncio.Barrier) -> str:
        with backend.reading(school):
            await turns.wait()
            name = db.session.get(Student, backend.students[backend.schools[school]][0]).first_name
            await turns.wait()
            return str(name)

    async def both() -> list[str]:
        turns = asyncio.Barrier(2)
        return list(await asyncio.gather(reads(0, turns), reads(1, turns)))

    with backend.app.app_context():
        assert asyncio.run(both()) == [f"{CANARY} A0", f"{CANARY} A1"]


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, gevent
from pathlib import Path
from school import Student, db, make_backend

backend = make_backend(Path(sys.argv[1]) / "b")
seen = {}

def reads(number, school):
    with backend.app.app_context(), backend.reading(number):
        gevent.sleep(0.01)
        try:
            seen[number, school] = db.session.get(Student, backend.students[backend.schools[school]][0]).first_name[-2:]
        except Exception as refused:
            seen[number, school] = refused.code
        gevent.sleep(0.01)

gevent.joinall([gevent.spawn(reads, number, school) for number in (0, 1) for school in (0, 1)], raise_error=True)
print(sorted(seen.items()))
"""


def test_greenlets_keep_their_processings_apart(tmp_path: Path) -> None:
    pytest.importorskip("gevent", reason="greenlets need gevent (dependency group tests)")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GREENLETS, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "PYTHONPATH": ":".join(
                [str(Path(__file__).parents[1] / "support"), *filter(None, sys.path)]
            )
        },
    )
    expected = [
        ((0, 0), "A0"),
        ((0, 1), "access-denied"),
        ((1, 0), "access-denied"),
        ((1, 1), "A1"),
    ]
    assert done.stdout.strip() == repr(expected), done.stderr[-2000:]


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """A worker sets levels and handlers of the root logger; other tests listen to it."""
    level, handlers = logging.root.level, list(logging.root.handlers)
    yield
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers


@pytest.mark.usefixtures("logging_as_before")
def test_a_celery_task_works_under_a_processing_of_its_own(backend: Backend) -> None:
    """A worker thread with an in-memory broker: the task carries ids only, and says itself who, what for and why."""
    celery = pytest.importorskip("celery", reason="workers need celery (dependency group tests)")
    from celery.contrib.testing.worker import start_worker

    queue = celery.Celery("kaligo", broker="memory://", backend="cache+memory://")
    queue.conf.worker_hijack_root_logger = False

    @queue.task(name="celery.ping")
    def ping() -> str:
        return "pong"

    @queue.task
    def bare(one: str) -> str:
        with backend.app.app_context():
            try:
                return str(db.session.get(Student, __import__("uuid").UUID(one)).first_name)
            except PrivacyError as refused:
                return refused.code

    @queue.task
    def declared(one: str, school: str) -> int:
        actor = Actor("nightly", role="teacher", client=school)
        with (
            backend.app.app_context(),
            backend.privacy.processing(
                "student.profile", actor=actor, purpose="provide-service", job="nightly"
            ),
        ):
            return len(db.session.get(Student, __import__("uuid").UUID(one)).first_name)

    one, school = str(backend.students[backend.schools[0]][0]), str(backend.schools[0])
    with (
        captured_trail(backend.app) as trail,
        start_worker(queue, pool="solo", perform_ping_check=False),
    ):
        assert bare.delay(one).get(timeout=10) == "undeclared-processing"
        assert declared.delay(one, school).get(timeout=10) == len(f"{CANARY} A0")
    assert [(event.stage, event.endpoint) for event in trail.events] == [
        ("intent", "nightly"),
        ("outcome", "nightly"),
    ]


def test_a_shell_says_who_and_why_first(backend: Backend) -> None:
    with backend.app.app_context():
        row = db.session.get(Student, backend.students[backend.schools[0]][0])
        with pytest.raises(PrivacyError, match=r"use 'with privacy\.processing\(…\)'"):
            _ = row.first_name
        with captured_trail(backend.app) as trail, backend.reading():
            assert trail.events[0].stage == "intent"
            assert row.first_name
