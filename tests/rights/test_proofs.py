"""What an erasure proves is true: nothing is left beside it, and nothing joins what must stay apart."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from databases import SQLITE_ONLY, run_sql, uri
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from school import CANARY, STORES, Account, Backend, Student, db, make_backend
from sqlalchemy import String, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_lgprivacy import Actor, LGPrivacy, not_personal, sealed, subject
from flask_lgprivacy.crypto import seal_for_ingest
from flask_lgprivacy.errors import RequestConflict, RequestInvalid
from flask_lgprivacy.policy import Right
from flask_lgprivacy.rights import erasure, export
from flask_lgprivacy.testing import acting_as, captured_trail, make_key_file


def ask(backend: Backend, actor: Any, method: str, path: str, **options: Any) -> Any:
    with acting_as(backend.app, actor):
        return backend.app.test_client().open(path, method=method, **options)


def about(backend: Backend) -> dict[str, Any]:
    return {"subject": {"kind": "student", "id": str(backend.students[backend.schools[0]][0])}}


# --- id and pseudonym stand side by side nowhere ---


def test_neither_request_nor_certificate_can_be_joined_with_a_pseudonym(
    backend: Backend,
) -> None:
    admin = backend.administrator()
    with captured_trail(backend.app) as trail:
        for path in ("export", "rectify", "delete"):
            changes = {"changes": {"first_name": "Zoé"}} if path == "rectify" else {}
            done = ask(
                backend, admin, "POST", f"/privacy/{path}", json={**about(backend), **changes}
            )
            assert done.json["state"] == "completed"
    requests = [one["id"] for one in ask(backend, admin, "GET", "/privacy/requests").json]
    named = [
        event
        for event in trail.events
        if getattr(event, "pseudonym", None) or getattr(event, "touched", ())
    ]
    assert named
    assert not [event for event in named for request in requests if request in repr(event)]
    erasing = next(event for event in trail.events if getattr(event, "state", None) == "erasing")
    assert erasing.request is None
    certificate = ask(
        backend, admin, "GET", f"/privacy/requests/{done.json['id']}/certificate"
    ).json
    with backend.app.app_context():
        rows = (
            db.session.execute(select(backend.runtime.database.tables.request.c.outcome))
            .scalars()
            .all()
        )
    assert str(erasing.pseudonym) not in json.dumps([rows, certificate])


def test_an_erasure_is_in_the_trail_before_the_key_goes(
    either: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def cut_off(*_: Any) -> Any:
        seen.extend(getattr(event, "state", None) for event in trail.events)
        raise KeyboardInterrupt

    monkeypatch.setattr(erasure, "erase_subject", cut_off)
    one = either.students[either.schools[0]][0]
    with either.app.app_context(), captured_trail(either.app) as trail:
        with pytest.raises(KeyboardInterrupt):
            either.privacy.rights.submit(
                Right.DELETE, either.administrator(), kind="student", one=str(one)
            )
        db.session.remove()
        assert "erasing" in seen
        monkeypatch.undo()
        assert either.privacy.rights.has_work()
        list(either.privacy.rights.work())
        [request] = either.privacy.rights.visible_to(either.administrator())
        assert (request.state, request.outcome and request.outcome["left"]) == ("completed", {})
        assert db.session.get(Student, one) is None


def test_an_erasure_that_is_cut_off_before_its_proof_counts_what_it_erased(
    either: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        erasure, "find_remaining", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    one = either.students[either.schools[0]][0]
    with either.app.app_context():
        with pytest.raises(KeyboardInterrupt):
            either.privacy.rights.submit(
                Right.DELETE, either.administrator(), kind="student", one=str(one)
            )
        monkeypatch.undo()
        list(either.privacy.rights.work())
        [request] = either.privacy.rights.visible_to(either.administrator())
        assert request.outcome is not None
        assert (request.state, request.outcome["erased"]) == (
            "completed",
            {"Exercise": 1, "Student": 1},
        )


def test_an_export_that_was_cut_off_is_told_as_failed_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [dt.datetime(2026, 11, 22, 8, tzinfo=dt.UTC)]
    backend = make_backend(tmp_path / "backend", privacy=LGPrivacy(utcnow=lambda: now[0]))
    monkeypatch.setattr(
        export, "build_archive", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with backend.app.app_context():
        with pytest.raises(KeyboardInterrupt):
            backend.privacy.rights.submit(
                Right.EXPORT,
                backend.administrator(),
                kind="student",
                one=str(backend.students[backend.schools[0]][0]),
            )
        for hours, state in ((0.5, "in-progress"), (1, "failed")):
            now[0] += dt.timedelta(hours=hours)
            list(backend.privacy.rights.work())
            assert backend.privacy.rights.visible_to(backend.administrator())[0].state == state


# --- nothing is left beside it ---


def test_the_inbox_is_sifted_of_an_erased_person(backend: Backend) -> None:
    school, one = backend.schools[0], backend.students[backend.schools[0]][0]
    with backend.app.app_context():
        ingest = backend.privacy.ingest

        def leave(model: str, content: dict[str, Any]) -> None:
            key = ingest.public_key(school)
            ingest.deposit(
                school,
                model,
                seal_for_ingest(key, json.dumps(content).encode(), client=school.hex, model=model),
            )

        leave("Student", {"id": str(one), "first_name": f"{CANARY} again", "last_name": "x"})
        leave("Exercise", {"student_id": str(one).upper(), "strokes": []})
        leave("Exercise", {"student_id": f"urn:uuid:{one}", "strokes": []})
        leave("Exercise", {"student_id": f"{{{one}}}", "strokes": []})
        leave("Exercise", {"student_id": 5, "strokes": []})
        leave("Student", {"id": str(uuid4()), "first_name": "somebody", "last_name": "else"})
        done = backend.privacy.rights.submit(
            Right.DELETE, backend.administrator(), kind="student", one=str(one)
        )
        assert done.outcome is not None
        assert done.outcome["erased"]["inbox"] == 4
        assert ingest.waiting(school) == 2


def test_one_bad_record_does_not_stop_the_inbox(backend: Backend) -> None:
    school, one = backend.schools[0], backend.students[backend.schools[0]][0]
    with backend.app.app_context():
        ingest = backend.privacy.ingest
        backend.privacy.rights.submit(
            Right.DELETE, backend.administrator(), kind="student", one=str(one)
        )
        key = ingest.public_key(school)
        for model, content in (
            ("Student", b"no JSON"),
            ("Student", b'{"id": 5, "first_name": "a", "last_name": "b"}'),
            (
                "Student",
                json.dumps({"id": str(one), "first_name": "late", "last_name": "x"}).encode(),
            ),
            (
                "Exercise",
                json.dumps(
                    {"student_id": str(backend.students[school][1]), "strokes": []}
                ).encode(),
            ),
            ("Student", json.dumps({"first_name": "somebody", "last_name": "else"}).encode()),
        ):
            ingest.deposit(
                school, model, seal_for_ingest(key, content, client=school.hex, model=model)
            )
        with backend.job("student.profile", actor=backend.teacher(), actions={"read", "write"}):
            assert ingest.absorb(school) == {"written": 1, "refused": 4}
        left = run_sql(
            backend.folder,
            "data",
            "SELECT model, refused_at IS NOT NULL FROM lgprivacy_inbox ORDER BY model",
        )
        assert [(model, bool(refused)) for model, refused in left] == [
            ("Exercise", True),
            ("Student", True),
            ("Student", True),
        ]


@SQLITE_ONLY
@pytest.mark.parametrize("apart", [True, False])
def test_no_file_of_sqlite_in_wal_mode_keeps_a_destroyed_key(tmp_path: Path, apart: bool) -> None:
    backend = make_backend(tmp_path / "backend", separate_keys=apart)
    one = backend.students[backend.schools[0]][0]
    with backend.app.app_context():
        for engine in db.engines.values():
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        with db.engines["keys" if apart else None].connect() as connection:
            found = connection.execute(
                text("SELECT wrapped FROM lgprivacy_subject_key WHERE subject = :one"),
                {"one": one.hex},
            )
            wrapped = found.scalar_one()
        with backend.writing():
            db.session.get(Student, one).first_name = "Zoé"
            db.session.commit()
        db.session.remove()
    assert (
        ask(backend, backend.administrator(), "POST", "/privacy/delete", json=about(backend)).json[
            "state"
        ]
        == "completed"
    )
    assert not [path.name for path in backend.folder.glob("*.db*") if wrapped in path.read_bytes()]


@pytest.mark.parametrize(
    "spelled", [str, lambda one: str(one).upper(), lambda one: one.hex, lambda one: one.hex.upper()]
)
def test_a_school_whose_id_is_a_text_is_erased_in_whichever_spelling(
    tmp_path: Path, spelled: Any
) -> None:
    class Own(DeclarativeBase):
        pass

    own: Any = SQLAlchemy(model_class=Own, engine_options={"hide_parameters": True})

    class Pupil(own.Model):
        __privacy__ = subject("student", client="school_id")
        id: Mapped[str] = mapped_column(
            String(36), primary_key=True, default=lambda: spelled(uuid4())
        )
        school_id: Mapped[str] = mapped_column(String(36))
        first_name: Mapped[str] = sealed("student.profile")
        locker: Mapped[str] = not_personal("number of a locker")

    app = Flask("x", instance_path=str(tmp_path))
    app.config.update(SQLALCHEMY_DATABASE_URI=uri(tmp_path, "text"), LGPRIVACY_STORES=STORES)
    make_key_file(tmp_path / "lgprivacy.key")
    own.init_app(app)
    privacy = LGPrivacy(app)
    school = uuid4()
    head = Actor("h", role="administrator", client=spelled(school))
    asked_as = spelled if spelled(school) == school.hex.upper() else str
    with app.app_context():
        privacy.initialise()
        own.create_all()
        with privacy.processing(
            "student.profile", actor=head, purpose="provide-service", actions={"write"}, job="x"
        ):
            rows = [Pupil(school_id=spelled(school), first_name="x", locker="7") for _ in range(3)]
            own.session.add_all(rows)
            own.session.commit()
            ids = [row.id for row in rows]
        one = privacy.rights.submit(Right.DELETE, head, kind="student", one=asked_as(UUID(ids[0])))
        assert one.outcome is not None
        assert one.outcome["erased"] == {"Pupil": 1}
        everything = privacy.rights.submit(Right.DELETE, head, kind="client", one=asked_as(school))
        list(privacy.rights.work())
        found = privacy.rights.find(head, everything.id)
        assert (found.state, found.outcome and found.outcome["erased"]) == (
            "completed",
            {"Pupil": 2},
        )
        assert own.session.scalars(select(Pupil.id)).all() == []


# --- requests ---


def test_changes_are_for_a_rectification_only(backend: Backend) -> None:
    for path in ("delete", "export"):
        answer = ask(
            backend,
            backend.student_actor(),
            "POST",
            f"/privacy/{path}",
            json={"changes": {f"{CANARY} rue": 1}},
        )
        assert answer.status_code == 422
    with backend.app.app_context(), pytest.raises(RequestInvalid):
        one = backend.students[backend.schools[0]][0]
        backend.privacy.rights.submit(
            Right.DELETE,
            backend.administrator(),
            kind="student",
            one=str(one),
            changes={"first_name": "x"},
        )


def test_the_same_request_twice_is_told_that_it_is_open(backend: Backend) -> None:
    first = ask(backend, backend.student_actor(), "POST", "/privacy/export", json={})
    again = ask(backend, backend.student_actor(), "POST", "/privacy/export", json={})
    assert (first.json["state"], again.status_code) == ("forwarded", 409)
    assert first.json["id"] in again.json["detail"]


def test_there_is_no_certificate_of_an_erasure_that_was_only_forwarded(backend: Backend) -> None:
    done = ask(backend, backend.student_actor(), "POST", "/privacy/delete", json={})
    with backend.app.app_context(), pytest.raises(RequestConflict):
        backend.privacy.rights.certificate(backend.student_actor(), done.json["id"])


def test_requests_come_in_pages(backend: Backend) -> None:
    for _ in range(5):
        assert (
            ask(
                backend, backend.administrator(), "POST", "/privacy/export", json=about(backend)
            ).status_code
            == 202
        )
    seen, path = [], "/privacy/requests?limit=2"
    while path:
        page = ask(backend, backend.administrator(), "GET", path)
        assert len(page.json) <= 2
        seen += [one["id"] for one in page.json]
        path = page.headers.get("Link", "").partition(">")[0].lstrip("<")
    assert len(seen) == len(set(seen)) == 5
    assert (
        ask(backend, backend.administrator(), "GET", "/privacy/requests?limit=0").status_code == 422
    )
    assert (
        ask(backend, backend.administrator(), "GET", "/privacy/requests?limit=many").status_code
        == 422
    )


def test_a_newer_export_replaces_the_archive_of_the_one_before(
    tmp_path: Path,
) -> None:
    now = [dt.datetime(2026, 11, 22, 8, tzinfo=dt.UTC)]
    backend = make_backend(tmp_path / "backend", privacy=LGPrivacy(utcnow=lambda: now[0]))

    def kept() -> int:
        return len(run_sql(backend.folder, "data", "SELECT request_id FROM lgprivacy_archive"))

    for _ in range(3):
        ask(backend, backend.administrator(), "POST", "/privacy/export", json=about(backend))
    assert kept() == 1
    now[0] += dt.timedelta(days=60)
    with backend.app.app_context():
        list(backend.privacy.rights.work())
    assert kept() == 0


def test_an_administrator_does_not_see_requests_about_accounts_whose_controller_is_the_publisher(
    backend: Backend,
) -> None:
    mine = ask(backend, backend.holder(), "POST", "/privacy/export", json={}).json["id"]
    assert [
        one["id"] for one in ask(backend, backend.holder(), "GET", "/privacy/requests").json
    ] == [mine]
    assert ask(backend, backend.administrator(), "GET", "/privacy/requests").json == []
    assert (
        ask(backend, backend.administrator(), "GET", f"/privacy/requests/{mine}").status_code == 404
    )
    with backend.app.app_context():
        assert db.session.get(Account, backend.account).school_id == backend.schools[0]
