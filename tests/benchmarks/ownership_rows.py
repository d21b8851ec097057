"""Rows with numbers that the database counts, and people over a path of four tables, against plain statements."""

from __future__ import annotations

import itertools
import operator
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from databases import uri
from ownership import Application, fresh_database, start
from sqlalchemy import ForeignKey, delete, func, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import Actor, belongs_to, owner, sealed, subject, tagged
from flask_lgprivacy.orm.own_statements import OWN_STATEMENT
from flask_lgprivacy.rights.erasure_plan import ErasurePlan, find_people
from flask_lgprivacy.rights.second_look import Traces, search_catalogue
from flask_lgprivacy.rights.subject_rows import read_subject_rows

IS_SMOKE = "--smoke" in sys.argv
ROWS = 200 if IS_SMOKE else 10_000
WIDE = 2 if IS_SMOKE else 6
"""How many rows of each table lead to one of the table before."""
PATH = ("blog", "article", "attachment", "page")


def ownership(folder: Path, row: Callable[..., None], *, is_postgresql: bool) -> None:
    """The rows of this file; `row` measures and prints one."""
    db = fresh_database()
    models = _models(db)
    place = folder / "ownership"
    place.mkdir()
    url = uri(place, "data", on_postgresql=is_postgresql)
    application = start(db, place, SQLALCHEMY_DATABASE_URI=url)
    with application.app.app_context():
        _inserting(application, models, row)
        _path_of_four(application, row)

    _shared(folder, row, is_postgresql=is_postgresql)


def _person(db: Any) -> Any:
    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id: Mapped[int] = mapped_column(primary_key=True)
        first_name: Mapped[str] = sealed("account.identity")
        last_name: Mapped[str] = sealed("account.identity")
        email: Mapped[str] = sealed("account.identity")

    return Person


def _messages(db: Any) -> tuple[Any, Any]:
    class Message(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        sender: Mapped[int | None] = mapped_column(
            ForeignKey("person.id"), index=True, info=owner()
        )
        reader: Mapped[int | None] = mapped_column(
            ForeignKey("person.id"), index=True, info=owner()
        )
        words: Mapped[str] = sealed("account.identity")

    class PlainMessage(db.Model):  # type: ignore[misc, name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)
        sender: Mapped[int | None] = mapped_column(index=True)
        reader: Mapped[int | None] = mapped_column(index=True)
        words: Mapped[str]

    return Message, PlainMessage


def _models(db: Any) -> dict[str, Any]:
    person = _person(db)

    class Plain(db.Model):  # type: ignore[misc, name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)
        first_name: Mapped[str]
        last_name: Mapped[str]
        email: Mapped[str]

    class Blog(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = belongs_to()
        id: Mapped[int] = mapped_column(primary_key=True)
        person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True, info=owner())
        note: Mapped[str] = tagged("account.identity")

    made = {"person": person, "plain": Plain, "blog": Blog}
    for before, name in itertools.pairwise(PATH):
        body: dict[str, Any] = {
            "__privacy__": belongs_to(),
            "__tablename__": name,
            "__module__": __name__,
            "__annotations__": {
                "id": Mapped[int],
                "note": Mapped[str],
                f"{before}_id": Mapped[int],
            },
            "id": mapped_column(primary_key=True),
            f"{before}_id": mapped_column(ForeignKey(f"{before}.id"), index=True, info=owner()),
            "note": tagged("account.identity"),
        }
        made[name] = type(name.capitalize(), (db.Model,), body)
    return made


def _inserting(application: Application, models: dict[str, Any], row: Callable[..., None]) -> None:
    session = application.db.session

    def add(model: Any) -> None:
        session.add_all(
            [
                model(
                    first_name=f"first {number}",
                    last_name=f"last {number}",
                    email=f"{number}@x.example",
                )
                for number in range(ROWS)
            ]
        )
        session.commit()
        session.expunge_all()

    def ours() -> None:
        with application.writing():
            add(models["person"])

    row(
        f"insert {ROWS} people with numbers that the database counts",
        ours,
        lambda: add(models["plain"]),
        aim=1.5,
        rounds=3,
    )


def _shared(folder: Path, row: Callable[..., None], *, is_postgresql: bool) -> None:
    """Messages of two people, each sealed under a key of its own."""
    db = fresh_database()
    person = _person(db)
    message, plain = _messages(db)
    place = folder / "shared"
    place.mkdir()
    url = uri(place, "data", on_postgresql=is_postgresql)
    application = start(db, place, SQLALCHEMY_DATABASE_URI=url)
    with application.app.app_context():
        with application.writing():
            for name in ("ann", "ben"):
                db.session.add(person(first_name=name, last_name=name, email=name))
            db.session.commit()
        _two_people(application, (message, plain), row)


def _two_people(
    application: Application, models: tuple[Any, Any], row: Callable[..., None]
) -> None:
    session, count, people = application.db.session, max(20, ROWS // 10), (1, 2)
    message, plain = models
    myself = Actor(people[0], role="teacher", subjects=[("account", people[0])])

    def acting() -> Any:
        return application.privacy.processing(
            "account.identity",
            actor=myself,
            purpose="provide-service",
            actions={"read", "write"},
            job="bench",
        )

    def add(model: Any) -> None:
        session.add_all(
            model(sender=people[0], reader=people[1], words=f"words {number}")
            for number in range(count)
        )
        session.commit()
        session.expunge_all()

    def read(model: Any) -> None:
        list(map(operator.attrgetter("words"), session.scalars(select(model).limit(count))))
        session.commit()
        session.expunge_all()

    def guarded(act: Callable[[Any], None]) -> Callable[[], None]:
        def run() -> None:
            with acting():
                act(message)

        return run

    row(
        f"insert {count} messages of two people",
        guarded(add),
        lambda: add(plain),
        aim=None,
        rounds=3,
    )
    row(
        f"read {count} messages of two people",
        guarded(read),
        lambda: read(plain),
        aim=None,
        rounds=3,
    )


def _path_of_four(application: Application, row: Callable[..., None]) -> None:
    """One person among others, with rows in four tables, each of which leads to the one before."""
    runtime, session = application.runtime, application.db.session
    graph, tables = runtime.models.graph, application.db.metadata.tables
    ids = iter(list(session.scalars(select(tables["person"].c.id).limit(64))))
    session.commit()

    def fill() -> int:
        one = next(ids)
        above = [one]
        for before, name in zip(("person", *PATH), PATH, strict=False):
            table = tables[name]
            first = session.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one() + 1
            rows = [
                {"id": first + number, f"{before}_id": up, "note": "words"}
                for number, up in enumerate(up for up in above for _ in range(WIDE))
            ]
            session.execute(insert(table), rows, execution_options=OWN_STATEMENT)
            above = [made["id"] for made in rows]
        session.commit()
        return int(one)

    current: list[int] = []

    def refill() -> None:
        current[:] = [fill()]

    def conditions(one: int) -> list[tuple[Any, Any]]:
        inner: Any = tables["blog"].c.person_id == one
        found = [(tables["blog"], inner)]
        for before, name in itertools.pairwise(PATH):
            key = tables[name].c[f"{before}_id"]
            inner = key.in_(select(tables[before].c.id).where(inner))
            found.append((tables[name], inner))
        return found

    def erase() -> None:
        people = find_people(session, graph, "account", [str(current[0])])
        ErasurePlan(session, graph, runtime.keys, people).carry_out()
        session.commit()

    def erase_by_hand() -> None:
        for table, condition in reversed(conditions(current[0])):
            session.execute(delete(table).where(condition), execution_options=OWN_STATEMENT)
        person = tables["person"]
        session.execute(
            delete(person).where(person.c.id == current[0]), execution_options=OWN_STATEMENT
        )
        session.commit()

    row(
        "erase the rows of a person over four tables, against hand-written statements",
        erase,
        erase_by_hand,
        aim=1.3,
        before=refill,
        rounds=5,
    )
    refill()
    one = current[0]
    myself = Actor(one, role="teacher", subjects=[("account", one)])

    def export() -> None:
        with application.privacy.processing(
            "account.identity", actor=myself, purpose="exercise-rights", job="bench"
        ) as processing:
            case: Any = SimpleNamespace(
                runtime=runtime, session=session, primary_key=one,
                request=SimpleNamespace(subject=("account", str(one)), client=None),
            )  # fmt: skip
            read_subject_rows(case, processing, {"account.identity"})
        session.commit()

    def export_by_hand() -> None:
        for table, condition in conditions(one):
            [dict(read) for read in session.execute(select(table).where(condition)).mappings()]
        session.commit()

    row(
        "export the rows of a person over four tables, against hand-written statements",
        export,
        export_by_hand,
        aim=1.3,
        rounds=5,
    )

    def look() -> None:
        search_catalogue(
            runtime.database.engines, graph, ("account", str(one)), Traces((b"x" * 16,))
        )

    def count() -> None:
        for name, table in tables.items():
            if not name.startswith("lgprivacy_"):
                session.execute(select(func.count()).select_from(table)).scalar_one()
        session.commit()

    row("the second look, against counting the rows of each table", look, count, aim=None, rounds=5)
