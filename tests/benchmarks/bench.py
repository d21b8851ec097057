"""Prints what this package costs, as ratios to a reference measured in the same run; lower is better.

Each pair is measured in turn, ours then the reference's; the ratio is the median over the pairs, with the smallest and largest.
CPU time of the process on SQLite, so that a busy machine disturbs less; elapsed time on PostgreSQL, which works in a process
of its own, and in the row with the flush, which waits.
"""

from __future__ import annotations

import gc
import io
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

from custody import custody
from databases import past_the_gate, uri
from decisions import decisions
from flask import Flask, jsonify
from floors import Unrecorded, least_gate, opening
from intake import intake
from models import FIELDS, Base, School, Sealed, Utils, db, fields
from ownership_rows import ownership
from reference import Least, Reference, least_rows, reference_app, within
from reference import db as reference_db
from sqlalchemy import delete, insert, select

from flask_lgprivacy import Actor, LGPrivacy
from flask_lgprivacy.audit import FileAuditTrail
from flask_lgprivacy.state import PrivacyState
from flask_lgprivacy.testing import InMemoryAuditTrail, make_key_file

IS_SMOKE = "--smoke" in sys.argv
"""Whether every row is only tried once, on few rows of SQLite: its figures mean nothing."""
ROWS = 200 if IS_SMOKE else 10_000
HERE = {"host": "this machine", "country": "FR"}
STORES = dict.fromkeys(("database", "key-service:root", "trail"), HERE)
ROUNDS = 1 if IS_SMOKE else 7
Work = Callable[[], Any]
results: list[dict[str, Any]] = []
here: dict[str, Any] = {}
"""Which database is being measured, and with which clock."""


def main() -> None:
    measure("SQLite", cpu)
    if IS_SMOKE:
        return
    measure("PostgreSQL", wall)
    Path("bench-results.json").write_text(json.dumps(results, indent=1))


def measure(database: str, clock: Callable[[Work], float]) -> None:
    """Every row on one database; PostgreSQL works in a process of its own, so elapsed time counts there."""
    here.update(database=database, clock=clock)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    make_key_file(folder / "lgprivacy.key")
    privacy = LGPrivacy(trail=FileAuditTrail(folder / "trail", now=str, flush=lambda _: None))
    app = application(folder, privacy)
    with app.app_context():
        db.create_all()
        school = School()
        db.session.add(school)
        db.session.commit()
        school_id = school.id
    plain = reference_app(app.config["SQLALCHEMY_DATABASE_URI"])
    with app.app_context():
        inserting(privacy, plain, school_id)
        reading(app, privacy, plain, school_id)
        memory(app, privacy, plain, school_id)
    listing(app, plain, school_id)
    alone = LGPrivacy(trail=FileAuditTrail(folder / "custody", now=str, flush=lambda _: None))
    keepers_app = application(folder, alone, "custody")
    with keepers_app.app_context():
        db.create_all()
        custody(alone, runtime(keepers_app), row)
    ownership(folder, row, is_postgresql=database == "PostgreSQL")
    if database == "SQLite":
        endpoint(folder)
        decisions(row)
        intake(row)


def application(folder: Path, privacy: LGPrivacy, name: str = "bench") -> Flask:
    app = Flask("bench", instance_path=str(folder))
    app.config.update(
        SQLALCHEMY_DATABASE_URI=uri(folder, name, on_postgresql=here["database"] == "PostgreSQL"),
        LGPRIVACY_STORES=STORES,
    )
    db.init_app(app)
    privacy.init_app(app)
    return app


def runtime(app: Flask) -> Any:
    state: PrivacyState = app.extensions["lgprivacy"]
    return state.runtime


def job(privacy: LGPrivacy, school_id: UUID, action: str) -> Any:
    actor = Actor("bench", role="teacher", client=school_id)
    return privacy.processing(
        "student.profile", actor=actor, purpose="provide-service", actions={action}, job="benchmark"
    )


# --- rows ---


def inserting(privacy: LGPrivacy, plain: Flask, school_id: UUID) -> None:
    def add(session: Any, model: Any) -> None:
        session.add_all([model(school_id=school_id, **fields(number)) for number in range(ROWS)])
        session.commit()

    def sealed() -> None:
        with job(privacy, school_id, "write"):
            add(db.session, Sealed)

    def reference() -> None:
        with within(plain) as session:
            add(session, Reference)

    def empty() -> None:
        db.session.rollback()
        for table in Base.metadata.tables.values():
            if table.name in ("sealed", "utils", "lgprivacy_subject_key"):
                past_the_gate(db.session.connection()).execute(delete(table))
        db.session.commit()
        db.session.expunge_all()
        with within(plain) as session:
            session.execute(delete(Reference.__table__))
            session.commit()

    row(
        "insert 10,000 rows of six fields against plaintext",
        sealed,
        reference,
        aim=1.4,
        before=empty,
        rounds=3,
    )
    empty()
    sealed()
    reference()
    add(db.session, Utils)


def reading(app: Flask, privacy: LGPrivacy, reference: Flask, school_id: UUID) -> None:
    def read(session: Any, model: Any) -> int:
        total = 0
        for student in session.scalars(select(model)):
            for name in FIELDS:
                total += getattr(student, name) is not None
        session.expunge_all()
        return total

    def sealed() -> None:
        with job(privacy, school_id, "read"):
            assert read(db.session, Sealed) == ROWS * len(FIELDS)

    def bulk() -> None:
        with job(privacy, school_id, "read"):
            assert sum(1 for _ in privacy.records(Sealed)) == ROWS

    def plain() -> None:
        with within(reference) as session:
            read(session, Reference)

    forget = runtime(app).keys.forget_all
    row("read 10,000 rows through the ORM against plaintext, keys warm", sealed, plain, aim=1.2)
    row(
        "read 10,000 rows through the ORM against plaintext, keys cold",
        sealed,
        plain,
        aim=1.4,
        before=forget,
    )
    utils = lambda: read(db.session, Utils)  # noqa: E731
    row(
        "read 10,000 rows against sqlalchemy-utils AES-GCM, keys warm",
        sealed,
        utils,
        aim=0.36,
        rounds=3,
    )
    row(
        "read 10,000 rows against sqlalchemy-utils AES-GCM, keys cold",
        sealed,
        utils,
        aim=0.36,
        before=forget,
        rounds=3,
    )
    with collection_off():
        base = statistics.median(here["clock"](plain) for _ in range(5))
        for state, before in (("warm", None), ("cold", forget)):
            added = lambda work: lambda: max(here["clock"](work) - base, 1e-9)  # noqa: E731
            record(
                f"added cost per row against sqlalchemy-utils AES-GCM, collection off, keys {state}",
                pairs(
                    added(sealed),
                    added(utils),
                    before=before,
                    rounds=3,
                    clock=lambda measure: measure(),
                ),
                aim=0.12,
            )
    row("bulk path to dictionaries against the plaintext ORM, keys warm", bulk, plain, aim=0.5)
    row(
        "bulk path to dictionaries against the plaintext ORM, keys cold",
        bulk,
        plain,
        aim=0.5,
        before=forget,
    )
    opening(row, plain, ROWS, fields(1))
    with within(reference) as session:
        session.execute(
            insert(Least.__table__), list(least_rows(school_id, map(fields, range(ROWS))))
        )
        session.commit()

    def least() -> None:
        with within(reference) as session:
            read(session, Least)

    row(
        "floor: one record a row through the ORM, opened by a descriptor that decides nothing",
        least,
        plain,
        aim=None,
    )


def memory(app: Flask, privacy: LGPrivacy, plain: Flask, school_id: UUID) -> None:
    def hold(session: Any, model: Any) -> list[Any]:
        held = list(session.scalars(select(model)))
        for student in held:
            for name in FIELDS:
                getattr(student, name)
        return held

    def traced(work: Work) -> float:
        gc.collect()
        tracemalloc.start()
        work()
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    def sealed() -> None:
        with job(privacy, school_id, "read"):
            hold(db.session, Sealed)
        db.session.expunge_all()

    def reference() -> None:
        with within(plain) as session:
            hold(session, Reference)

    for state, before in (("warm", None), ("cold", runtime(app).keys.forget_all)):
        measured = pairs(
            lambda: traced(sealed),
            lambda: traced(reference),
            before=before,
            rounds=3,
            clock=lambda work: work(),
        )
        record(f"peak memory, 10,000 rows held and read, keys {state}", measured, aim=None)


# --- requests ---


def listing(app: Flask, plain: Flask, school_id: UUID) -> None:
    privacy = LGPrivacy()
    actor = Actor("bench", role="teacher", client=school_id)
    app.extensions["lgprivacy"].hooks.actor_loader = lambda: actor

    def first(session: Any, model: Any) -> list[UUID]:
        return list(session.scalars(select(model.id).limit(30)).all())

    with app.app_context():
        sealed_ids = first(db.session, Sealed)
    with within(plain) as session:
        plain_ids = first(session, Reference)

    def shown(session: Any, model: Any, ids: list[UUID]) -> Any:
        rows = session.scalars(select(model).where(model.id.in_(ids)))
        return jsonify([{name: getattr(student, name) for name in FIELDS} for student in rows])

    @app.get("/sealed")
    @privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def sealed_view() -> Any:
        return shown(db.session, Sealed, sealed_ids)

    @plain.get("/plain")
    def plain_view() -> Any:
        return shown(reference_db.session, Reference, plain_ids)

    ours, reference = caller(app, "/sealed", 20), caller(plain, "/plain", 20)
    row("list 30 students as JSON against the plaintext view, keys warm", ours, reference, aim=1.25)
    forget = runtime(app).keys.forget_all
    cold = caller(app, "/sealed", 20, before=forget)
    row("list 30 students as JSON against the plaintext view, keys cold", cold, reference, aim=1.6)


def endpoint(folder: Path) -> None:
    bare = Flask("bare")
    bare.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{folder}/bare.db"
    reference_db.init_app(bare)

    @bare.get("/x")
    def x() -> Any:
        return "ok"

    reference = caller(bare, "/x", 2000)
    least = Flask("least")
    least.config["SQLALCHEMY_DATABASE_URI"] = bare.config["SQLALCHEMY_DATABASE_URI"]
    reference_db.init_app(least)
    least.add_url_rule("/x", view_func=x)
    least_gate(least, Actor("bench", role="teacher"))
    row(
        "floor: the least gate around a view, which decides nothing",
        caller(least, "/x", 2000),
        reference,
        aim=None,
    )
    for name, trail, aim, clock in (
        ("a declared endpoint that opens nothing, without the trail", None, 1.1, cpu),
        (
            "a declared endpoint that opens nothing, with the trail's write",
            FileAuditTrail(folder / "t2", now=str, flush=lambda _: None),
            1.3,
            cpu,
        ),
        (
            "a declared endpoint that opens nothing, with the flush to disk",
            FileAuditTrail(folder / "t3", now=str),
            None,
            wall,
        ),
    ):
        app = Flask("declared", instance_path=str(folder / "declared"))
        app.config.update(
            SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/declared.db",
            LGPRIVACY_KEY_FILE=folder / "lgprivacy.key",
            LGPRIVACY_STORES=STORES,
        )
        db.init_app(app)
        privacy = LGPrivacy(app, trail=trail or InMemoryAuditTrail())
        if trail is None:
            app.wsgi_app = Unrecorded(app.wsgi_app._inner, runtime(app))  # type: ignore[attr-defined]
        with app.app_context():
            db.create_all()
        actor = Actor("bench", role="teacher", client=uuid4())
        privacy.actor_loader(lambda actor=actor: actor)

        @app.get("/x")
        @privacy.handles(roles={"teacher"}, purpose="provide-service")
        def declared() -> Any:
            return "ok"

        row(name, caller(app, "/x", 2000), reference, aim=aim, clock=clock)


def caller(app: Flask, path: str, times: int, before: Work | None = None) -> Work:
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
    }  # fmt: skip
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    def call() -> None:
        for _ in range(times):
            if before is not None:
                before()
            body = app.wsgi_app(dict(environ), start_response)
            for _ in body:
                pass
            if hasattr(body, "close"):
                body.close()
        assert set(statuses) == {"200 OK"}, set(statuses)
        statuses.clear()

    return call


# --- measuring ---


def cpu(work: Work) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def wall(work: Work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@contextmanager
def collection_off() -> Any:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def pairs(
    ours: Work,
    reference: Work,
    *,
    before: Work | None = None,
    rounds: int = ROUNDS,
    clock: Callable[[Work], float] | None = None,
) -> list[float]:
    ratios = []
    for number in range(min(rounds, ROUNDS) + 1):
        a, b = (timed(work, before, clock or here["clock"]) for work in (ours, reference))
        if number:
            ratios.append(a / b)
    return ratios


def timed(work: Work, before: Work | None, clock: Callable[[Work], float]) -> float:
    """One measurement, after the garbage of the one before is collected, so that nobody pays for the other's."""
    if before is not None:
        before()
    gc.collect()
    return clock(work)


def row(name: str, ours: Work, reference: Work, *, aim: float | None, **how: Any) -> None:
    record(name, pairs(ours, reference, **how), aim=aim)


def record(name: str, ratios: list[float], *, aim: float | None) -> None:
    ratio = statistics.median(ratios)
    name = f"{here['database']}: {name}"
    results.append(
        {
            "name": name,
            "ratio": round(ratio, 5),
            "aim": aim,
            "min": round(min(ratios), 5),
            "max": round(max(ratios), 5),
        }
    )
    met = "" if aim is None else ("met" if ratio <= aim else "MISSED")
    print(
        f"{name:98} {ratio:6.3g}  aim {aim if aim is not None else '-':>5}  [{min(ratios):.3g}, {max(ratios):.3g}] {met}",
        flush=True,
    )


if __name__ == "__main__":
    main()
