"""Labelled rows are guarded whichever session, statement or connection writes them."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from databases import SQLITE_ONLY
from school import CANARY, Account, Backend, Exercise, Student, db
from sqlalchemy import delete, event, insert, inspect, select, update
from sqlalchemy.orm import Session, attributes, make_transient, sessionmaker

from flask_lgprivacy import Actor
from flask_lgprivacy.errors import PrivacyError, TrailUnavailable, UndeclaredProcessing
from flask_lgprivacy.testing import acting_as, captured_trail


def one_of(backend: Backend) -> Any:
    return backend.students[backend.schools[0]][0]


def writing(backend: Backend, *categories: str, **options: Any) -> Any:
    actor = backend.holder() if "account.identity" in categories else backend.teacher()
    return backend.job(*categories, actor=actor, actions={"read", "write"}, **options)


@pytest.mark.parametrize(
    "make", [Session, lambda engine: sessionmaker(engine)()], ids=["Session", "sessionmaker"]
)
def test_another_session_stores_what_is_assigned(
    backend: Backend, make: Callable[[Any], Session]
) -> None:
    with backend.app.app_context():
        with writing(backend, "student.profile"), make(db.engine) as session:
            session.get_one(Student, one_of(backend)).first_name = "Zoé"
            session.add(Student(school_id=backend.schools[0], first_name="New", last_name="Pupil"))
            session.commit()
        with backend.reading():
            assert db.session.get(Student, one_of(backend)).first_name == "Zoé"


def test_another_session_writes_nothing_outside_a_declaration(backend: Backend) -> None:
    with backend.app.app_context(), Session(db.engine) as session:
        session.get_one(Account, backend.account).phone = "changed"
        with pytest.raises(UndeclaredProcessing, match="Account written outside"):
            session.commit()


@pytest.mark.parametrize(
    "statement",
    [
        lambda: update(Account).values(phone="1"),
        lambda: delete(Exercise),
        lambda: update(Account.__table__).values(phone="1"),
        lambda: delete(Exercise.__table__),
        lambda: insert(Account.__table__).values(phone="1"),
    ],
)
@pytest.mark.parametrize("where", ["session", "another session", "connection"])
def test_a_statement_on_a_labelled_table_is_refused(
    backend: Backend, statement: Any, where: str
) -> None:
    with backend.app.app_context(), writing(backend, "account.identity"):
        with pytest.raises(UndeclaredProcessing, match="bulk statements go around"):
            if where == "connection":
                with db.engine.begin() as connection:
                    connection.execute(statement())
            else:
                with db.session() if where == "session" else Session(db.engine) as session:
                    session.execute(statement())


def test_a_statement_is_refused_from_within_a_hook_of_a_flush(backend: Backend) -> None:
    def hook(_mapper: Any, _connection: Any, _row: Any) -> None:
        db.session.execute(update(Account).values(phone="by statement"))

    event.listen(Student, "before_update", hook)
    try:
        with backend.app.app_context(), writing(backend, "student.profile"):
            db.session.get(Student, one_of(backend)).first_name = "Zoé"
            with pytest.raises(UndeclaredProcessing, match="bulk statements"):
                db.session.commit()
    finally:
        event.remove(Student, "before_update", hook)


def test_bulk_methods_of_another_session_are_refused(backend: Backend) -> None:
    with (
        backend.app.app_context(),
        writing(backend, "account.identity"),
        Session(db.engine) as session,
    ):
        row = Account(school_id=backend.schools[0], name="N", email="n@x.example")
        for act in (
            lambda: session.bulk_save_objects([row]),
            lambda: session.bulk_insert_mappings(inspect(Account), [{"phone": "1"}]),
            lambda: session.bulk_update_mappings(
                inspect(Account), [{"id": backend.account, "phone": "1"}]
            ),
        ):
            with pytest.raises(UndeclaredProcessing, match="bulk statements"):
                act()


def test_merging_into_another_session_loses_no_assignment(backend: Backend) -> None:
    with (
        backend.app.app_context(),
        writing(backend, "student.profile"),
        Session(db.engine) as session,
    ):
        row = db.session.get(Student, one_of(backend))
        row.first_name = "Zoé"
        with pytest.raises(UndeclaredProcessing, match="leave sealed fields of Student behind"):
            session.merge(row)


@SQLITE_ONLY
@pytest.mark.skipif(
    importlib.util.find_spec("aiosqlite") is None, reason="aiosqlite is not installed"
)
def test_an_asynchronous_session_is_guarded(backend: Backend) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    async def change(value: str) -> None:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{backend.folder}/data.db", hide_parameters=True
        )
        try:
            async with AsyncSession(engine) as session:
                (await session.get_one(Account, backend.account)).phone = value
                await session.commit()
            async with AsyncSession(engine) as session:
                await session.execute(delete(Account.__table__))
        finally:
            await engine.dispose()

    with backend.app.app_context():
        with pytest.raises(UndeclaredProcessing, match="Account written outside"):
            asyncio.run(change("outside"))
        with (
            writing(backend, "account.identity"),
            pytest.raises(UndeclaredProcessing, match="bulk statements"),
        ):
            asyncio.run(change("inside"))


# --- tagged values ---


def test_a_loaded_tagged_value_shows_nowhere_but_in_its_attribute(backend: Backend) -> None:
    with backend.app.app_context():
        row = db.session.get(Account, backend.account)
        selected = db.session.execute(select(Account.phone, Account)).one()
        seen = [
            vars(row)["phone"],
            attributes.get_history(row, "phone").unchanged,
            inspect(row).attrs.phone.loaded_value,
            selected.phone,
            dict(selected._mapping)["phone"],
        ]
        assert "0230000000" not in repr(seen) + "".join(map(str, seen)) + repr(vars(row))
        with pytest.raises(TypeError, match="cannot be pickled"):
            __import__("pickle").dumps(selected.phone)
        with backend.job("account.identity", actor=backend.holder()):
            assert row.phone == "0230000000"


def test_a_transient_copy_of_a_row_is_no_way_past_its_labels(backend: Backend) -> None:
    with backend.app.app_context():
        row = db.session.get(Account, backend.account)
        make_transient(row)
        with pytest.raises(UndeclaredProcessing):
            _ = row.phone


def test_a_tagged_column_is_used_as_declared(backend: Backend) -> None:
    with backend.app.app_context():
        with writing(backend, "account.identity"):
            row = db.session.scalars(select(Account).where(Account.phone == "0230000000")).one()
            row.phone = "0230000000"
            assert not db.session.is_modified(row)
            row.phone = "0299999999"
            db.session.commit()
        assert db.session.scalars(
            select(Account.id).where(Account.phone.startswith("0299"))
        ).all() == [backend.account]


# --- what hooks assign ---


def hooked(name: str, hook: Any, act: Callable[[], None], target: Any = Student) -> None:
    event.listen(target, name, hook)
    try:
        act()
    finally:
        event.remove(target, name, hook)


def stored(backend: Backend, one: Any) -> Any:
    db.session.remove()
    with backend.reading():
        return db.session.get(Student, one).first_name


def test_what_a_rows_own_hook_assigns_is_stored(backend: Backend) -> None:
    def tidy(_mapper: Any, _connection: Any, row: Any) -> None:
        row.first_name = row.first_name.strip().title()

    with backend.app.app_context(), writing(backend, "student.profile"):
        row = Student(school_id=backend.schools[0], first_name=" lou ", last_name="Hook")
        db.session.add(row)
        hooked("before_insert", tidy, db.session.commit)
        made = row.id
        other = db.session.get(Student, one_of(backend))
        other.first_name = " zoé "
        hooked("before_update", tidy, db.session.commit)
    with backend.app.app_context():
        assert (stored(backend, made), stored(backend, one_of(backend))) == ("Lou", "Zoé")


def test_what_a_hook_assigns_to_a_row_with_another_change_only_is_stored(backend: Backend) -> None:
    def tidy(_mapper: Any, _connection: Any, row: Any) -> None:
        row.first_name = "By hook"

    with backend.app.app_context(), writing(backend, "student.profile"):
        db.session.get(Student, one_of(backend)).class_id = None
        attributes.flag_modified(db.session.get(Student, one_of(backend)), "class_id")
        hooked("before_update", tidy, db.session.commit)
    with backend.app.app_context():
        assert stored(backend, one_of(backend)) == "By hook"


def test_what_another_extensions_before_flush_assigns_or_adds_is_stored(backend: Backend) -> None:
    def listener(session: Any, _context: Any, _rows: Any) -> None:
        for row in [*session.new, *session.dirty]:
            if isinstance(row, Student) and row.first_name != "Added":
                row.first_name = "Tidied"
                session.add(Student(school_id=row.school_id, first_name="Added", last_name="X"))

    with backend.app.app_context(), writing(backend, "student.profile"):
        db.session.get(Student, one_of(backend)).first_name = "raw"
        hooked("before_flush", listener, db.session.commit, db.session)
        names = [
            row.first_name
            for row in db.session.scalars(
                select(Student).where(Student.school_id == backend.schools[0])
            )
        ]
    assert {"Tidied", "Added"} <= set(names)
    assert "raw" not in names


def test_an_assignment_that_comes_too_late_for_its_row_is_refused(backend: Backend) -> None:
    other = backend.students[backend.schools[0]][1]

    def hook(_mapper: Any, _connection: Any, _row: Any) -> None:
        db.session.get(Student, other).first_name = "too late"

    with backend.app.app_context(), writing(backend, "student.profile"):
        db.session.get(Student, other)
        db.session.get(Student, one_of(backend)).first_name = "Zoé"
        with pytest.raises(PrivacyError, match="too late for this row"):
            hooked("after_update", hook, db.session.commit)


def test_what_a_hook_changes_is_authorised_too(backend: Backend) -> None:
    def hook(_mapper: Any, _connection: Any, row: Any) -> None:
        row.password_hash = "by a hook"

    with backend.app.app_context(), writing(backend, "account.identity"):
        db.session.get(Account, backend.account).phone = "2"
        with pytest.raises(PrivacyError, match=r"account\.credentials"):
            hooked("before_update", hook, db.session.commit, Account)


def test_a_hook_that_moves_a_row_to_another_client_fails_the_flush(backend: Backend) -> None:
    def hook(_mapper: Any, _connection: Any, row: Any) -> None:
        row.school_id = backend.schools[1]

    with backend.app.app_context(), writing(backend, "student.profile"):
        db.session.add(Student(school_id=backend.schools[0], first_name="A", last_name="B"))
        with pytest.raises(PrivacyError, match="bound to them"):
            hooked("before_insert", hook, db.session.commit)


def test_a_row_without_a_client_takes_none_later(backend: Backend) -> None:
    with backend.app.app_context():
        with backend.job("account.identity", actor=Actor("filler", role="job"), actions={"write"}):
            row = Account(name="N", email=f"{CANARY}n@x.example")
            db.session.add(row)
            db.session.commit()
            row.school_id = backend.schools[0]
            with pytest.raises(PrivacyError, match="stays with its row, subject and client"):
                db.session.commit()


def test_what_a_refused_flush_sealed_is_asked_about_again(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backend.app.app_context():
        with pytest.raises(TrailUnavailable), writing(backend, "student.profile"):
            db.session.get(Student, one_of(backend)).first_name = "Zoé"
            with monkeypatch.context() as broken:

                def unavailable(*_: Any) -> None:
                    raise TrailUnavailable("the disk is full")

                broken.setattr(backend.runtime.audit.trail, "commit", unavailable)
                with pytest.raises(TrailUnavailable):
                    db.session.commit()
                raise TrailUnavailable("and the block ends")
        with pytest.raises(UndeclaredProcessing, match="Student written outside"):
            db.session.commit()
        db.session.rollback()
        assert stored(backend, one_of(backend)) != "Zoé"


def test_a_row_that_is_added_again_is_authorised_for_all_that_it_holds(backend: Backend) -> None:
    row = Account(name="N", email=f"{CANARY}again@x.example", password_hash="secret")
    filler = Actor("filler", role="job")
    with backend.app.app_context():
        with backend.job(
            "account.identity", "account.credentials", actor=filler, actions={"write"}
        ):
            db.session.add(row)
            db.session.flush()
            db.session.rollback()
        with backend.job("account.identity", actor=filler, actions={"write"}):
            db.session.add(row)
            with pytest.raises(UndeclaredProcessing, match=r"account\.credentials"):
                db.session.commit()


def test_a_copy_of_a_row_does_not_carry_its_tagged_values_into_another(backend: Backend) -> None:
    from uuid import uuid4

    with (
        backend.app.app_context(),
        backend.job("account.identity", actor=Actor("filler", role="job"), actions={"write"}),
    ):
        row = db.session.get(Account, backend.account)
        make_transient(row)
        row.id, row.name, row.email = uuid4(), "N", f"{CANARY}copy@x.example"
        db.session.add(row)
        with pytest.raises(PrivacyError, match="loaded with another one"):
            db.session.commit()


@pytest.mark.parametrize(
    "assigned", [{}, {"first_name": "A", "last_name": "B"}], ids=["nothing", "what is required"]
)
def test_a_copy_of_a_row_does_not_lose_its_sealed_fields_in_silence(
    backend: Backend, assigned: dict[str, str]
) -> None:
    from uuid import uuid4

    with backend.app.app_context(), writing(backend, "student.profile"):
        row = db.session.get(Student, backend.students[backend.schools[0]][0])
        make_transient(row)
        row.id = uuid4()
        for name, value in assigned.items():
            setattr(row, name, value)
        db.session.add(row)
        with pytest.raises(PrivacyError, match="loaded with another one"):
            db.session.commit()


def test_a_row_that_is_merged_along_with_another_does_not_lose_its_sealed_fields(
    backend: Backend,
) -> None:
    with backend.app.app_context(), writing(backend, "student.profile", "student.activity"):
        school = backend.schools[0]
        pupil = Student(
            id=backend.students[school][0], school_id=school, first_name="A", last_name="B"
        )
        exercise = Exercise(student=pupil)
        with pytest.raises(UndeclaredProcessing, match="leave sealed fields of Student behind"):
            db.session.merge(exercise)


@pytest.mark.parametrize("changes", ["another row", "the row itself"])
def test_what_is_assigned_after_a_row_was_written_is_refused_also_beside_its_siblings(
    backend: Backend, changes: str
) -> None:
    first, second = backend.students[backend.schools[0]]

    def hook(_mapper: Any, _connection: Any, row: Any) -> None:
        (
            row if changes == "the row itself" else db.session.get(Student, second)
        ).first_name = "late"

    with backend.app.app_context(), writing(backend, "student.profile"):
        for one in (first, second):
            db.session.get(Student, one).first_name = "Zoé"
        with pytest.raises(PrivacyError, match="too late for this row"):
            hooked("after_update", hook, db.session.commit)


def test_what_is_assigned_when_a_flush_is_over_goes_into_the_next_one(backend: Backend) -> None:
    def hook(session: Any, _context: Any) -> None:
        row = session.get(Student, one_of(backend))
        if row.first_name == "Zoé":
            row.first_name = "Next"

    with backend.app.app_context(), writing(backend, "student.profile"):
        db.session.get(Student, one_of(backend)).first_name = "Zoé"
        hooked("after_flush_postexec", hook, db.session.commit, db.session)
    with backend.app.app_context():
        assert stored(backend, one_of(backend)) == "Next"


def test_a_statement_on_an_alias_or_from_a_hooks_connection_is_refused(backend: Backend) -> None:
    def hook(_mapper: Any, connection: Any, _row: Any) -> None:
        connection.execute(delete(Exercise.__table__))

    with backend.app.app_context(), writing(backend, "student.profile"):
        with pytest.raises(UndeclaredProcessing, match="bulk statements"):
            db.session.execute(delete(Exercise.__table__.alias("e")))
        db.session.get(Student, one_of(backend)).first_name = "Zoé"
        with pytest.raises(UndeclaredProcessing, match="bulk statements"):
            hooked("before_update", hook, db.session.commit)


def test_a_hook_may_write_unlabelled_rows_in_a_session_of_its_own(backend: Backend) -> None:
    from school import School

    def hook(_mapper: Any, _connection: Any, _row: Any) -> None:
        with Session(db.engine) as other:
            other.add(School())
            other.flush()
            other.rollback()

    with backend.app.app_context(), writing(backend, "student.profile"):
        db.session.get(Student, one_of(backend)).first_name = "Zoé"
        event.listen(Student, "before_update", hook)
        try:
            db.session.commit()
        finally:
            event.remove(Student, "before_update", hook)
    with backend.app.app_context():
        assert stored(backend, one_of(backend)) == "Zoé"


# --- intent before the deed ---


def test_a_write_has_its_intent_in_the_trail_before_it(backend: Backend) -> None:
    order: list[str] = []

    def told(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("UPDATE exercise", "DELETE FROM exercise")):
            order.append(f"{statement.partition(' ')[0]} after {len(trail.events)}")

    @backend.app.post("/rename")
    @backend.privacy.handles(
        "student.activity",
        roles={"teacher"},
        purpose="provide-service",
        actions={"read", "write", "erase"},
    )
    def rename() -> str:
        exercise = db.session.scalars(
            select(Exercise).where(Exercise.student_id == one_of(backend))
        ).one()
        exercise.note = "changed"
        db.session.commit()
        db.session.delete(exercise)
        db.session.commit()
        return "ok"

    with backend.app.app_context():
        event.listen(db.engine, "before_cursor_execute", told)
    with captured_trail(backend.app) as trail, acting_as(backend.app, backend.teacher()):
        assert backend.app.test_client().post("/rename").status_code == 200
    assert order == ["UPDATE after 1", "DELETE after 1"]
    intent, outcome = trail.events
    assert (intent.stage, outcome.stage) == ("intent", "outcome")
    assert {touch.action for touch in intent.touched} == {"write"}
    assert {touch.action for touch in outcome.touched} >= {"write", "erase"}


def test_where_the_trail_cannot_take_the_intent_nothing_is_written(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backend.app.app_context():
        with pytest.raises(TrailUnavailable), writing(backend, "student.profile"):

            def unavailable(*_: Any) -> None:
                raise TrailUnavailable("the disk is full")

            monkeypatch.setattr(backend.runtime.audit.trail, "commit", unavailable)
            db.session.get(Student, one_of(backend)).first_name = "Zoé"
            try:
                db.session.commit()
            finally:
                db.session.rollback()
        monkeypatch.undo()
        assert stored(backend, one_of(backend)) != "Zoé"
