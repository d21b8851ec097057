"""Every place from which a value could come out without the gate: each refused, or allowed under the declaration and in the trail."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask, Response, g, render_template_string, request, stream_with_context
from flask_sqlalchemy import SQLAlchemy
from school import CANARY, Backend, Exercise, School, Student, db
from sqlalchemy import ForeignKey, func, inspect, literal_column, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    aliased,
    column_property,
    mapped_column,
    relationship,
    selectinload,
    undefer,
)
from werkzeug.test import TestResponse

from flask_lgprivacy import LGPrivacy, sealed, subject
from flask_lgprivacy.errors import (
    ModelInvalid,
    PrivacyError,
    SealedComparison,
    UndeclaredProcessing,
)
from flask_lgprivacy.orm.bulk_read import iter_records
from flask_lgprivacy.testing import acting_as, captured_trail

READS: dict[str, Any] = {"roles": {"teacher"}, "purpose": "provide-service"}
NAME = f"{CANARY} A0"


def mine(backend: Backend) -> Any:
    return db.session.get(Student, backend.students[backend.schools[0]][0])


def own(backend: Backend) -> Any:
    return select(Student).where(Student.school_id == backend.schools[0])


# --- queries that name the column itself: never a value, always an error that says what to write ---


@pytest.mark.parametrize(
    "query",
    [
        lambda: select(Student.first_name),
        lambda: db.session.query(Student).with_entities(Student.first_name),
        lambda: select(func.upper(Student.first_name)),
        lambda: select(aliased(Student).first_name),
        lambda: select(Student).order_by(Student.first_name),
        lambda: select(Student).where(Student.first_name == NAME),
        lambda: select(Student).group_by(Student.first_name),
    ],
    ids=["select", "with_entities", "function", "aliased", "order_by", "where", "group_by"],
)
def test_a_query_cannot_name_a_sealed_column(backend: Backend, query: Callable[[], Any]) -> None:
    with (
        backend.app.app_context(),
        backend.reading(),
        pytest.raises((SealedComparison, AttributeError)) as refused,
    ):
        list(db.session.execute(query()))
    assert CANARY not in str(refused.value)


def test_a_column_property_of_a_sealed_column_stops_the_start() -> None:
    class Base(DeclarativeBase):
        pass

    other = SQLAlchemy(model_class=Base)
    model: Any = other.Model

    with pytest.raises(SealedComparison, match="select it"):

        class Pupil(model):
            __privacy__ = subject("student", client="school_id")
            id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
            school_id: Mapped[UUID]
            first_name: Mapped[str] = sealed("student.profile")
            loud: Mapped[str] = column_property(func.upper(first_name))


def test_raw_columns_are_ciphertext(backend: Backend) -> None:
    with backend.app.app_context():
        rows = list(db.session.execute(select(Student.__table__)))
        rows += db.session.execute(select(literal_column("*")).select_from(Student.__table__)).all()
    assert rows
    assert CANARY not in repr(rows)
    assert CANARY.encode() not in b"".join(
        value for row in rows for value in row if isinstance(value, bytes)
    )


# --- rows that arrive in other ways: their fields ask the gate like any other's ---

ARRIVALS: dict[str, Callable[[Backend], Any]] = {
    "aliased": lambda b: db.session.scalars(select(aliased(Student, own(b).subquery()))).first(),
    "joined": lambda b: db.session.execute(select(Exercise, Student).join(Exercise.student).where(Student.school_id == b.schools[0])).first()[1],
    "yield_per": lambda b: db.session.scalars(own(b).execution_options(yield_per=1)).all()[0],
    "partitions": lambda b: next(iter(db.session.scalars(own(b)).partitions(1)))[0],
    "refresh": lambda b: _refreshed(mine(b)),
    "selectinload": lambda b: db.session.scalars(select(Exercise).options(selectinload(Exercise.student)).where(Exercise.student_id == mine(b).id)).one().student,
    "undefer": lambda b: db.session.scalars(own(b).options(undefer("*"))).first(),
    "populate_existing": lambda b: db.session.scalars(own(b).execution_options(populate_existing=True)).first(),
    "from_statement": lambda b: db.session.scalars(select(Student).from_statement(own(b))).first(),
    "legacy query": lambda b: db.session.query(Student).filter_by(school_id=b.schools[0]).first(),
}  # fmt: skip


def _refreshed(row: Any) -> Any:
    db.session.refresh(row)
    return row


@pytest.mark.parametrize("way", ARRIVALS)
def test_however_a_row_arrives_it_opens_only_under_its_declaration(
    backend: Backend, way: str
) -> None:
    with backend.app.app_context():
        row = ARRIVALS[way](backend)
        with pytest.raises(UndeclaredProcessing):
            _ = row.first_name
        with captured_trail(backend.app) as trail, backend.reading():
            assert row.first_name.startswith(CANARY)
        assert trail.events[-1].touched[0].category == "student.profile"
        with backend.reading(1), pytest.raises(PrivacyError):
            _ = row.first_name


@pytest.mark.parametrize("opened", [False, True], ids=["shut", "opened"])
@pytest.mark.parametrize(
    "carry",
    [pickle.dumps, copy.copy, copy.deepcopy, lambda row: row.__reduce_ex__(2)],
    ids=["pickle", "copy", "deepcopy", "reduce"],
)
def test_a_row_is_not_carried_away(
    backend: Backend, carry: Callable[[Any], Any], opened: bool
) -> None:
    with backend.app.app_context(), backend.reading():
        row = mine(backend)
        if opened:
            assert row.first_name == NAME
        with pytest.raises(TypeError, match="pass its id instead"):
            carry(row)


def test_what_python_and_sqlalchemy_show_of_a_row_is_shut(backend: Backend) -> None:
    with backend.app.app_context(), backend.reading():
        row = mine(backend)
        assert row.first_name == NAME
        shown = [
            repr(row),
            str(row),
            repr(vars(row)),
            repr(inspect(row).dict),
            repr(inspect(row).attrs),
            f"{row!r}",
        ]
        shown += [repr(attribute.history) for attribute in inspect(row).attrs] + [
            repr(list(inspect(row).attrs))
        ]
        assert CANARY not in "".join(shown)


def test_what_is_assigned_but_not_flushed_does_not_show(backend: Backend) -> None:
    row = Student(school_id=uuid4(), first_name=NAME, last_name=NAME)
    assert CANARY not in repr(row) + repr(vars(row)) + repr(inspect(row).attrs)


def test_what_was_opened_shuts_when_its_processing_ends(backend: Backend) -> None:
    with backend.app.app_context():
        with backend.reading():
            row = mine(backend)
            assert row.first_name == NAME
        with pytest.raises(UndeclaredProcessing):
            _ = row.first_name


def test_a_model_without_label_may_not_point_at_a_person(tmp_path: Path) -> None:
    class Base(DeclarativeBase):
        pass

    other = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})
    model: Any = other.Model

    class Pupil(model):
        __privacy__ = subject("student", client="school_id")
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        school_id: Mapped[UUID]
        first_name: Mapped[str] = sealed("student.profile")

    class Desk(model):
        id: Mapped[int] = mapped_column(primary_key=True)
        pupil_id: Mapped[UUID] = mapped_column(ForeignKey("pupil.id"))
        pupil: Mapped[Pupil] = relationship()

    app = Flask("desks", instance_path=str(tmp_path))
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/x.db"
    app.config["LGPRIVACY_STORES"] = {
        name: {"host": "here", "country": "FR"}
        for name in ("database", "trail", "key-service:root")
    }
    other.init_app(app)
    with pytest.raises(ModelInvalid, match=r"Desk\.pupil_id leads to Pupil and has no label"):
        LGPrivacy(app)


# --- code that runs around a view ---


def answer(backend: Backend, path: str) -> TestResponse:
    with acting_as(backend.app, backend.teacher()):
        return backend.app.test_client().get(path)


def test_a_template_opens_under_the_declaration_of_its_view(backend: Backend) -> None:
    @backend.app.get("/page")
    @backend.privacy.handles("student.profile", **READS)
    def page() -> str:
        return render_template_string("{{ row.first_name }}", row=mine(backend))

    @backend.app.get("/bare")
    @backend.privacy.handles(**READS)
    def bare() -> str:
        return render_template_string("{{ row.first_name }}", row=mine(backend))

    with captured_trail(backend.app) as trail:
        assert answer(backend, "/page").text == NAME
        assert trail.events[-1].touched[0].subjects == 1
        assert CANARY not in answer(backend, "/bare").text
        assert trail.events[-1].refused[0].code == "undeclared-processing"


def test_a_stream_that_goes_on_after_its_view_is_recorded_before_each_piece(
    backend: Backend,
) -> None:
    @backend.app.get("/stream")
    @backend.privacy.handles("student.profile", **READS)
    def stream() -> Response:
        @stream_with_context
        def rows() -> Any:
            yield "begin "
            for row in db.session.scalars(own(backend)):
                yield row.first_name

        return Response(rows())  # type: ignore[call-arg]  # stream_with_context is typed for functions with arguments

    with captured_trail(backend.app) as trail:
        assert answer(backend, "/stream").text.count(CANARY) == 2
    assert sum(one.subjects for event in trail.events for one in event.touched) >= 2


def test_a_stream_without_its_context_opens_nothing(backend: Backend) -> None:
    @backend.app.get("/stream")
    @backend.privacy.handles("student.profile", **READS)
    def stream() -> Response:
        rows = db.session.scalars(own(backend)).all()
        return Response(row.first_name for row in rows)

    with pytest.raises(PrivacyError) as refused:
        answer(backend, "/stream")
    assert CANARY not in str(refused.value)


def test_an_error_handler_has_no_more_than_the_view_had(backend: Backend) -> None:
    @backend.app.get("/fails")
    @backend.privacy.handles(**READS)
    def fails() -> str:
        raise LookupError

    @backend.app.get("/declared")
    @backend.privacy.handles("student.profile", **READS)
    def declared() -> str:
        raise LookupError

    @backend.app.errorhandler(LookupError)
    def handler(_: LookupError) -> str:
        return str(mine(backend).first_name)

    with captured_trail(backend.app) as trail:
        refused = answer(backend, "/fails")
        assert (refused.status_code, CANARY in refused.text) == (500, False)
        assert answer(backend, "/declared").text == NAME
    assert [bool(event.touched) for event in trail.events] == [False, True]


def test_hooks_of_other_extensions_open_nothing_where_nothing_is_declared(backend: Backend) -> None:
    seen: list[str] = []

    def tries(where: str) -> None:
        try:
            seen.append(str(mine(backend).first_name))
        except PrivacyError as refused:
            seen.append(f"{where}: {refused.code}")

    backend.app.before_request(lambda: tries("before"))
    backend.app.teardown_request(lambda _: tries("teardown"))

    @backend.app.after_request
    def after(response: Response) -> Response:
        tries("after")
        return response

    @backend.app.get("/healthz")
    @backend.privacy.exempt("a constant")
    def healthz() -> str:
        return "ok"

    assert answer(backend, "/healthz").status_code == 200
    assert seen == [f"{where}: undeclared-processing" for where in ("before", "after", "teardown")]


def test_what_an_after_request_hook_opens_is_under_the_declaration(
    backend: Backend,
) -> None:
    @backend.app.after_request
    def after(response: Response) -> Response:
        if request.path == "/names":
            response.headers["X-Pupil"] = str(len(mine(backend).first_name))
        return response

    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", **READS)
    def names() -> str:
        return "ok"

    with captured_trail(backend.app) as trail:
        assert answer(backend, "/names").headers["X-Pupil"] == str(len(NAME))
    assert trail.events[-1].touched[0].category == "student.profile"


def test_a_background_thread_opens_nothing(backend: Backend) -> None:
    seen: list[str] = []

    @backend.app.get("/starts")
    @backend.privacy.handles("student.profile", **READS)
    def starts() -> str:
        row = mine(backend)

        def work() -> None:
            with backend.app.app_context():
                for one in (lambda: row.first_name, lambda: mine(backend).first_name):
                    try:
                        seen.append(one())
                    except PrivacyError as refused:
                        seen.append(refused.code)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return "started"

    assert answer(backend, "/starts").text == "started"
    assert seen == ["undeclared-processing", "undeclared-processing"]


def test_a_thread_that_was_handed_the_context_does_not_outlive_it(backend: Backend) -> None:
    from contextvars import copy_context

    waits, seen = threading.Event(), []

    @backend.app.get("/starts")
    @backend.privacy.handles("student.profile", **READS)
    def starts() -> str:
        context, row = copy_context(), mine(backend)
        assert row.first_name == NAME

        def work() -> None:
            waits.wait(5)
            try:
                seen.append(row.first_name)
            except PrivacyError as refused:
                seen.append(refused.code)

        g.thread = threading.Thread(target=lambda: context.run(work))
        g.thread.start()
        threads.append(g.thread)
        return "started"

    threads: list[threading.Thread] = []
    assert answer(backend, "/starts").text == "started"
    waits.set()
    threads[0].join()
    assert seen == ["undeclared-processing"]


def test_teardown_of_a_declared_view_opens_nothing_unrecorded(backend: Backend) -> None:
    """Teardown runs before the trail is written, so what it opens is in the event of its request."""

    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", **READS)
    def names() -> str:
        return "ok"

    @backend.app.teardown_request
    def teardown(_: BaseException | None) -> None:
        if request.path == "/names":
            assert mine(backend).first_name == NAME

    with captured_trail(backend.app) as trail:
        assert answer(backend, "/names").text == "ok"
    assert [one.category for one in trail.events[-1].touched] == ["student.profile"]


def test_an_unlabelled_row_leads_to_a_person_only_through_the_gate(backend: Backend) -> None:
    with backend.app.app_context():
        school: Any = db.session.get(School, backend.schools[0])
        found = db.session.scalars(select(Student).where(Student.school_id == school.id)).first()
        with pytest.raises(UndeclaredProcessing):
            _ = found.first_name


def test_records_are_under_the_declaration_too(backend: Backend) -> None:
    with backend.app.app_context():
        with pytest.raises(UndeclaredProcessing):
            list(iter_records(db.session(), Student))
        with (
            backend.job("student.activity", actor=backend.teacher()),
            pytest.raises(UndeclaredProcessing),
        ):
            list(iter_records(db.session(), Student, categories={"student.profile"}))
