"""Ways in which custody was attacked, each closed."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from databases import back_up, restore, run_sql, uri
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from migrating import SCHOOLS, Homework, Pupil, job, make, plain_rows
from migrating import db as migrating_db
from school import CANARY, STORES, Backend, Student, close, db, make_backend
from sqlalchemy import String, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_lgprivacy import Actor, LGPrivacy, sealed, subject
from flask_lgprivacy.errors import (
    ConfigurationError,
    ErasuresPending,
    RequestInvalid,
    SealBroken,
    SubjectErased,
    UndeclaredProcessing,
)
from flask_lgprivacy.maintenance.plaintext_migration import PlaintextMigration, migrating_model
from flask_lgprivacy.maintenance.runner import MaintenanceRunner
from flask_lgprivacy.orm.bulk_read import iter_records
from flask_lgprivacy.policy import Right
from flask_lgprivacy.rights.erasure_replay import ErasureReplay
from flask_lgprivacy.testing import make_key_file


def erase(backend: Backend, number: int = 0) -> None:
    with backend.app.app_context():
        one = backend.students[backend.schools[0]][number].hex
        backend.privacy.rights.submit(
            Right.DELETE, backend.administrator(), kind="student", one=one
        )


def let_go(app: Flask) -> None:
    with app.app_context():
        migrating_db.session.remove()
        for engine in migrating_db.engines.values():
            engine.dispose()
    app.extensions["lgprivacy"].runtime.audit.trail.close()


@pytest.mark.parametrize("what", ["clients", "subjects"])
def test_who_is_erased_while_keys_are_renewed_stays_erased(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    keys, client = backend.runtime.keys, backend.schools[0].hex
    one = backend.students[backend.schools[0]][0].hex
    begun: list[threading.Thread] = []

    def destroy() -> None:
        with backend.app.app_context():
            if what == "clients":
                keys.destroy_client(db.session(), client)
            else:
                keys.destroy(db.session(), "student", one)
            db.session.commit()
            db.session.remove()

    def meanwhile(real: Any) -> Any:
        def hooked(*arguments: Any, **named: Any) -> Any:
            made = real(*arguments, **named)
            if not begun:
                begun.append(threading.Thread(target=destroy))
                begun[0].start()
                time.sleep(0.3)
            return made

        return hooked

    name = "insert_epoch" if what == "clients" else "wrapped_row"
    holder = keys.clients if what == "clients" else keys.subjects
    monkeypatch.setattr(holder, name, meanwhile(getattr(holder, name)))
    with backend.app.app_context():
        keeper = MaintenanceRunner(backend.runtime)
        if what == "clients":
            keeper.rotate_clients(client=client)
        else:
            keeper.rotate_subjects(grace=0)
    begun[0].join()
    with backend.app.app_context():
        assert not keys.is_alive(db.session(), "student", one)
        keys.forget_all()
        with backend.reading(), pytest.raises(SubjectErased):
            _ = db.session.get(Student, UUID(hex=one)).first_name


def test_identifiers_that_stand_as_text_are_found_in_either_spelling(tmp_path: Path) -> None:
    class Base(DeclarativeBase):
        pass

    texts = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})

    class Reader(texts.Model):  # type: ignore[name-defined, misc]
        __privacy__ = subject("student", client="school_id")
        id: Mapped[str] = mapped_column(String(36), primary_key=True, default=lambda: str(uuid4()))
        school_id: Mapped[str] = mapped_column(String(36))
        first_name: Mapped[str] = sealed("student.profile")

    school = str(uuid4())
    make_key_file(tmp_path / "lgprivacy.key")
    app = Flask("texts", instance_path=str(tmp_path))
    app.config.update(SQLALCHEMY_DATABASE_URI=uri(tmp_path, "data"), LGPRIVACY_STORES=STORES)
    texts.init_app(app)
    privacy = LGPrivacy(app)
    head = Actor("h", role="administrator", client=school)
    with app.app_context():
        privacy.initialise()
        texts.create_all()
        with privacy.processing(
            "student.profile", actor=head, purpose="provide-service", actions={"write"}, job="t"
        ):
            texts.session.add_all([Reader(school_id=school, first_name=CANARY) for _ in range(2)])
            texts.session.commit()
        done = privacy.rights.submit(Right.DELETE, head, kind="client", one=school)
        for _ in privacy.rights.work():
            pass
        found = privacy.rights.find(head, done.id)
        assert (found.state, (found.outcome or {})["erased"]) == ("completed", {"Reader": 2})
        assert texts.session.scalars(select(Reader.id)).all() == []
        with pytest.raises(RequestInvalid, match="publisher's own key"):
            app.extensions["lgprivacy"].runtime.keys.destroy_client(texts.session(), "publisher")
        with pytest.raises(RequestInvalid, match="names the publisher's own key"):
            with privacy.processing(
                "student.profile", actor=Actor("h", role="administrator", client="publisher"),
                purpose="provide-service", actions={"write"}, job="t",
            ):  # fmt: skip
                texts.session.add(Reader(school_id="publisher", first_name=CANARY))
                texts.session.flush()
        texts.session.remove()
        texts.engine.dispose()
    app.extensions["lgprivacy"].runtime.audit.trail.close()


# --- erasure and its mark ---


def test_work_does_not_open_the_gate_after_the_keys_were_restored(backend: Backend) -> None:
    back_up(backend.folder, "keys", "old_keys")
    erase(backend)
    close(backend)
    restore(backend.folder, "old_keys", "keys")
    again = make_backend(backend.folder, filled=False)
    again.schools = backend.schools
    with again.app.app_context(), pytest.raises(ErasuresPending):
        list(again.privacy.rights.work())
    with again.app.app_context(), pytest.raises(ErasuresPending), again.reading():
        pass


def test_a_process_that_starts_while_an_erasure_ends_elsewhere_serves(backend: Backend) -> None:
    again = make_backend(backend.folder, filled=False)
    again.schools = backend.schools
    looked_at: list[str] = []

    def erase_between_the_looks(*of: Any) -> None:
        for table in ("lgprivacy_erasure_mark", "lgprivacy_subject_key"):
            if table in of[2] and table not in looked_at:
                looked_at.append(table)
                if len(looked_at) == 2:
                    erase(backend)

    with again.app.app_context():
        for engine in db.engines.values():
            event.listen(engine, "before_cursor_execute", erase_between_the_looks)
        with again.reading():
            pass
        db.session.remove()
    assert len(looked_at) == 2


def test_an_erasure_that_stopped_half_way_is_repeated_though_a_later_one_ended(
    backend: Backend,
) -> None:
    with backend.app.app_context():
        backend.runtime.keys.destroy(
            db.session(), "student", backend.students[backend.schools[0]][0].hex
        )
        db.session.rollback()
    erase(backend, 1)
    close(backend)
    again = make_backend(backend.folder, filled=False)
    again.schools = backend.schools
    with again.app.app_context(), again.reading(1):
        assert len(db.session.scalars(select(Student.id)).all()) == 2


def test_a_rehearsed_replay_counts_as_the_real_one(backend: Backend) -> None:
    back_up(backend.folder, "keys", "old_keys")
    back_up(backend.folder, "data", "old")
    erase(backend)
    with backend.app.app_context():
        backend.privacy.rights.submit(
            Right.DELETE, backend.administrator(), kind="client", one=backend.schools[0].hex
        )
        list(backend.privacy.rights.work())
    close(backend)
    restore(backend.folder, "old_keys", "keys")
    restore(backend.folder, "old", "data")
    again = make_backend(backend.folder, filled=False)
    from flask_lgprivacy.audit import read_trail

    with again.app.app_context():
        figures = []
        for begin in (ErasureReplay.rehearsal, ErasureReplay):
            replay = begin(again.runtime)
            replay.from_tombstones()
            replay.from_trail(read_trail(again.folder / "trail", where={"event": "rights-request"}))
            counts = replay.close()
            figures.append({name: counts[name] for name in ("subjects", "clients", "keys")})
    assert figures[0] == figures[1] == {"subjects": 2, "clients": 1, "keys": 1}


# --- migration ---


@pytest.fixture
def plain(tmp_path: Path) -> Any:
    folder = tmp_path / "input"
    app, privacy = make(folder)
    yield app, privacy, plain_rows(app, 4), folder
    let_go(app)


def test_what_an_old_process_writes_while_its_row_is_sealed_is_kept(
    plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, privacy, ids, folder = plain
    real = PlaintextMigration._keys
    said: list[Any] = []

    def written_meanwhile(self: Any, session: Any, owners: Any) -> Any:
        if not said:
            said.append(1)
            session.commit()
            run_sql(
                folder,
                "data",
                "update pupil set first_name = :new where id = :one",
                new=f"{CANARY} newer",
                one=ids[0].hex,
            )
        return real(self, session, owners)

    monkeypatch.setattr(PlaintextMigration, "_keys", written_meanwhile)
    with app.app_context():
        counts, _ = MaintenanceRunner(app.extensions["lgprivacy"].runtime).migrate_plaintext(
            "Pupil"
        )
        assert counts["rows left"] == 0
        with job(privacy):
            assert migrating_db.session.get(Pupil, ids[0]).first_name == f"{CANARY} newer"


def test_plain_text_of_the_erased_stays_erased_after_a_restore(
    plain: Any,
) -> None:
    app, privacy, ids, folder = plain
    head = Actor("h", role="administrator", client=SCHOOLS[0])
    let_go(app)
    back_up(folder, "data", "old")
    with app.app_context():
        privacy.rights.submit(Right.DELETE, head, kind="student", one=ids[0].hex)
    let_go(app)
    restore(folder, "old", "data")
    again, privacy = make(folder)
    with again.app_context(), job(privacy):
        assert migrating_db.session.get(Pupil, ids[0]) is None
    with again.app_context():
        again.extensions["lgprivacy"].runtime.keys.destroy_client(
            migrating_db.session(), SCHOOLS[0].hex
        )
        migrating_db.session.commit()
        with job(privacy), pytest.raises(SubjectErased):
            _ = migrating_db.session.get(Pupil, ids[2]).first_name
    let_go(again)


def test_nothing_planted_in_plain_text_is_taken_in_outside_the_window(plain: Any) -> None:
    app, privacy, ids, folder = plain
    app.test_cli_runner().invoke(args=["privacy", "keys", "migrate", "Pupil"])
    planted = "update pupil set lgprivacy_version = 0, first_name = 'planted' where id = :one"
    run_sql(folder, "data", planted, one=ids[0].hex)
    with app.app_context(), job(privacy, "read", "write"), pytest.raises(SealBroken):
        migrating_db.session.get(Pupil, ids[0]).level = "CE2"
        migrating_db.session.flush()
    app.extensions["lgprivacy"].runtime.migration.last_days.clear()
    run_sql(
        folder,
        "data",
        "update pupil set lgprivacy_student_profile = null where id = :one",
        one=ids[0].hex,
    )
    with (
        app.app_context(),
        job(privacy, "read", "write"),
        pytest.raises(ConfigurationError, match="still in plain text"),
    ):
        migrating_db.session.get(Pupil, ids[0]).level = "CE2"
        migrating_db.session.flush()


def test_plain_text_is_not_in_the_row_nor_in_a_query(plain: Any) -> None:
    app, privacy, ids, _ = plain
    with app.app_context(), job(privacy):
        pupil = migrating_db.session.get(Pupil, ids[0])
        assert pupil.first_name.startswith(CANARY)
        assert CANARY not in repr(vars(pupil))
        with pytest.raises(UndeclaredProcessing, match="is being migrated"):
            select(Pupil.lgprivacy_plain_first_name)


def test_rows_that_belong_to_somebody_without_a_key_can_be_used(
    plain: Any,
) -> None:
    app, privacy, ids, _ = plain
    with app.app_context(), job(privacy, "read", "write"):
        mine = Homework.pupil_id.in_([ids[0], ids[2]])
        assert len(list(iter_records(migrating_db.session(), Homework, mine))) == 2
        migrating_db.session.add(Homework(pupil_id=ids[0], remark=f"{CANARY} new"))
        migrating_db.session.commit()
    head = Actor("h", role="administrator", client=SCHOOLS[0])
    with (
        app.app_context(),
        privacy.processing(
            "student.activity", actor=head, purpose="exercise-rights", actions={"erase"}, job="t"
        ),
    ):
        [gone] = migrating_db.session.scalars(select(Homework).where(Homework.pupil_id == ids[2]))
        migrating_db.session.delete(gone)
        migrating_db.session.commit()
    with app.app_context():
        MaintenanceRunner(app.extensions["lgprivacy"].runtime).rotate_subjects(grace=0)
        assert (
            migrating_model(app.extensions["lgprivacy"].runtime.models.graph, "Homework").name
            == "Homework"
        )


# --- messages ---


def test_commands_take_a_client_in_any_spelling_but_no_unknown_one(
    backend: Backend,
) -> None:
    run = backend.app.test_cli_runner().invoke
    assert (
        "no such client with a key to renew"
        in run(args=["privacy", "keys", "rotate", "clients", "--client", "x"]).output
    )
    said = run(args=["privacy", "keys", "rotate", "clients", "--client", str(backend.schools[0])])
    assert "clients: 1, subject keys: 2" in said.stdout


def test_a_damaged_or_missing_key_table_is_no_traceback(backend: Backend) -> None:
    one = backend.students[backend.schools[0]][0].hex
    run_sql(
        backend.folder,
        "keys",
        "update lgprivacy_subject_key set wrapped = :bad where subject = :one",
        bad=b"bad" * 30,
        one=one,
    )
    said = backend.app.test_cli_runner().invoke(args=["privacy", "keys", "rotate", "clients"])
    assert (said.exit_code, f"the wrapped key of subject {one} is damaged" in said.output) == (
        1,
        True,
    )
    run_sql(backend.folder, "keys", "drop table lgprivacy_rotation")
    said = backend.app.test_cli_runner().invoke(args=["privacy", "keys", "rotate", "root"])
    assert (said.exit_code, "the database refused" in said.output) == (1, True)


def test_no_key_is_in_the_debug_logs_of_a_kms(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("boto3", reason="needs the extra 'kms'")
    moto = pytest.importorskip("moto.server", reason="needs moto's server")
    import base64

    import boto3

    from flask_lgprivacy.crypto.providers.registry import key_provider

    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", "a")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    where = {"region_name": "eu-west-3", "endpoint_url": f"http://{host}:{port}"}
    client = boto3.client("kms", **where)
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    client.close()
    secret = b"0123456789abcdef" * 4
    with caplog.at_level(logging.DEBUG):
        provider = key_provider(
            "root",
            {
                "kind": "kms",
                "key_id": key_id,
                "region": "eu-west-3",
                "endpoint_url": where["endpoint_url"],
            },
        )
        assert provider.unwrap(provider.wrap(secret, context=b"c"), context=b"c") == secret
    server.stop()
    told = caplog.text
    assert base64.b64encode(secret).decode()[:40] not in told
    assert "0123456789abcdef" not in told
    caplog.clear()
