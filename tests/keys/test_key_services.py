"""A key service behind the application: few calls, clear answers when it is away, a client's own that withdraws."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from school import CANARY, Backend, Student, add_school, db, make_backend
from sqlalchemy import select

from flask_lgprivacy import LGPrivacy
from flask_lgprivacy.audit import read_trail
from flask_lgprivacy.testing import acting_as

pytest.importorskip("hvac", reason="needs the extra 'vault'")
from transit_standin import TransitStandIn


@pytest.fixture
def service() -> Iterator[TransitStandIn]:
    with TransitStandIn(delay=0.05) as running:
        yield running


def serviced(folder: Path, service: TransitStandIn, name: str = "root", **config: Any) -> Backend:
    (folder / "token").write_text("good")
    described = {
        "kind": "vault-transit",
        "url": service.url,
        "key": "lg",
        "token_file": folder / "token",
        "timeout": 1,
    }
    privacy = LGPrivacy()
    backend = make_backend(
        folder / "b", privacy=privacy, LGPRIVACY_KEY_SERVICES={name: described}, **config
    )

    @backend.app.get("/schools/<int:number>/students")
    @privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def students(number: int) -> Any:
        own = select(Student).where(Student.school_id == backend.schools[number])
        return [row.first_name for row in db.session.scalars(own)]

    return backend


def listing(backend: Backend, school: int) -> Any:
    with acting_as(backend.app, backend.teacher(school)):
        return backend.app.test_client().get(f"/schools/{school}/students")


def test_a_thousand_students_in_eight_threads_cost_one_call(
    tmp_path: Path, service: TransitStandIn
) -> None:
    backend = serviced(tmp_path, service)
    with backend.app.app_context():
        add_school(backend, 1000)
    backend.runtime.keys.forget_all()
    assert len(listing(backend, 0).json) == 2
    service.asked.clear()
    assert len(listing(backend, 2).json) == 1000
    assert service.asked == ["/v1/transit/decrypt/lg"]
    backend.runtime.keys.forget_client(backend.schools[2].hex)
    service.asked.clear()
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(len(listing(backend, 2).json)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [1000] * 8
    assert len(service.asked) == 1


def test_a_key_service_that_comes_back_is_used_without_a_restart(
    tmp_path: Path, service: TransitStandIn
) -> None:
    backend = serviced(tmp_path, service)
    with backend.app.app_context():
        add_school(backend, 3)
    assert listing(backend, 2).status_code == 200
    service.stop()
    assert listing(backend, 2).status_code == 200, "what is cached goes on"
    backend.runtime.keys.forget_all()
    away = listing(backend, 2)
    assert (away.status_code, away.json["code"], away.headers["Retry-After"]) == (
        503,
        "key-unavailable",
        "30",
    )
    assert "'root': did not answer" in away.json["detail"]
    assert CANARY not in away.text
    refused = [
        one["code"]
        for event in read_trail(backend.folder / "trail")
        for one in event.get("refused", [])
    ]
    assert "key-unavailable" in refused
    service.start()
    backend.runtime.keys.clients.services.named("root")._until = 0.0
    assert listing(backend, 2).status_code == 200


def test_a_client_that_withdraws_its_own_service_is_closed(
    tmp_path: Path, service: TransitStandIn
) -> None:
    backend = serviced(tmp_path, service, name="school-one")
    mine = backend.schools[0].hex
    run = backend.app.test_cli_runner().invoke
    moved = run(args=["privacy", "keys", "move", mine, "--to", "school-one"])
    assert (moved.exit_code, moved.stdout) == (0, "1 keys are wrapped by school-one now\n")

    def can_read(school: int) -> int:
        own = select(Student).where(Student.school_id == backend.schools[school])
        with backend.app.app_context(), backend.reading(school):
            return len([row.first_name for row in db.session.scalars(own)])

    backend.runtime.keys.forget_all()
    assert (can_read(0), can_read(1)) == (2, 2)
    service.mood = "refusing"
    backend.runtime.keys.forget_all()
    with pytest.raises(Exception, match="'school-one': refused access"):
        can_read(0)
    assert can_read(1) == 2, "other clients do not notice"
    service.mood = "well"
    assert can_read(0) == 2
    unknown = run(args=["privacy", "keys", "move", mine, "--to", "elsewhere"])
    assert "'elsewhere' is not configured" in unknown.output
    assert (
        "no such client with a living key"
        in run(args=["privacy", "keys", "move", "x", "--to", "root"]).output
    )
    assert run(args=["privacy", "keys", "move", mine, "--to", "root"]).exit_code == 0
    service.mood = "refusing"
    backend.runtime.keys.forget_all()
    assert can_read(0) == 2
