"""Nothing is released that another request opened, and refusals are the gate's own, whoever wraps the view."""

from __future__ import annotations

import functools
import importlib.util
import multiprocessing
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, abort, make_response, request, stream_with_context
from flask.views import MethodView
from school import CANARY, Backend, Student, db
from sqlalchemy import select, text
from sqlalchemy.orm.exc import StaleDataError

from flask_lgprivacy import Actor
from flask_lgprivacy.errors import AuthenticationRequired, DeclarationInvalid, PrivacyError
from flask_lgprivacy.testing import acting_as, assert_refused, captured_trail

PROFILE: dict[str, Any] = {"roles": {"teacher"}, "purpose": "provide-service"}


def get(backend: Backend, path: str, actor: Any, **options: Any) -> Any:
    with acting_as(backend.app, actor):
        return backend.app.test_client().get(path, **options)


def names(backend: Backend) -> list[str]:
    from flask_lgprivacy.orm.context import current_context

    opener: Any = current_context.get()
    mine = [school for school in backend.schools if school.hex == opener.acting_client()]
    return [
        row.first_name
        for row in db.session.scalars(select(Student).where(Student.school_id.in_(mine)))
    ]


def kept(view: Callable[[], Any], wrap: Callable[[Any], Any]) -> Any:
    answers: dict[str, Any] = {}

    @functools.wraps(view)
    def inner() -> Any:
        if request.path not in answers:
            answers[request.path] = wrap(view())
        return answers[request.path]

    return inner


@pytest.mark.parametrize(
    "wrap", [list, lambda names: {"names": names}, make_response, lambda names: (names, 200)]
)
@pytest.mark.parametrize("is_above", [True, False], ids=["above", "below"])
def test_an_answer_that_a_cache_kept_is_not_another_actors(
    backend: Backend, wrap: Any, is_above: bool
) -> None:
    view = functools.partial(names, backend)
    functools.update_wrapper(view, names)
    declared = backend.privacy.handles("student.profile", **PROFILE)
    if is_above:
        backend.app.add_url_rule("/kept", "kept", kept(declared(view), wrap))
    elif wrap is make_response:
        backend.app.add_url_rule("/kept", "kept", declared(kept(view, wrap)))
    else:
        pytest.skip(
            "a value without an identity of its own; libraries that keep such are refused at the start"
        )
    first = get(backend, "/kept", backend.teacher(0))
    assert f"{CANARY} A0" in first.text
    assert first.headers["Cache-Control"] == "no-store"
    with captured_trail(backend.app) as trail:
        second = get(backend, "/kept", backend.teacher(1))
    assert_refused(second, code="view-bypassed")
    assert CANARY not in second.text
    assert [refused.code for event in trail.events for refused in event.refused] == [
        "view-bypassed"
    ]


@pytest.mark.parametrize("form", ["a tuple", "abort", "an error handler", "after_request"])
def test_a_response_that_was_made_for_another_request_does_not_leave_in_any_form(
    backend: Backend, form: str
) -> None:
    answers: list[Any] = []

    @backend.app.errorhandler(RuntimeError)
    def handler(_: RuntimeError) -> Any:
        return answers[0]

    @backend.app.after_request
    def hook(response: Any) -> Any:
        return answers[0] if form == "after_request" and answers else response

    @backend.app.get("/kept")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        if not answers:
            answers.append(make_response(names(backend)))
            return answers[0]
        if form == "abort":
            abort(answers[0])
        if form == "an error handler":
            raise RuntimeError
        return answers[0], 200

    assert get(backend, "/kept", backend.teacher(0)).status_code == 200
    second = get(backend, "/kept", backend.teacher(1))
    assert_refused(second, code="view-bypassed")
    assert CANARY not in second.text


def test_views_whose_answers_a_library_keeps_stop_the_start(backend: Backend) -> None:
    declared = backend.privacy.handles("student.profile", **PROFILE)

    def flask_caching(view: Any) -> Any:
        @functools.wraps(view)
        def inner() -> Any:
            return view()

        inner.uncached = view  # type: ignore[attr-defined]  # as Flask-Caching leaves it
        return inner

    for made in (
        functools.cache(declared(lambda: "x")),
        declared(functools.cache(lambda: "x")),
        flask_caching(declared(lambda: "x")),
    ):
        with pytest.raises(DeclarationInvalid, match="endpoint 'kept': its answers are kept by"):
            backend.app.add_url_rule("/kept", "kept", made)


def test_a_hook_does_not_answer_in_place_of_a_declared_view(backend: Backend) -> None:
    @backend.app.before_request
    def page_cache() -> Any:
        if request.args.get("from") == "hook":
            return "kept for somebody else"
        return (
            ("away", 302, {"Location": "/sign-in"})
            if request.args.get("from") == "sign-in"
            else None
        )

    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return names(backend)

    assert_refused(get(backend, "/names?from=hook", backend.teacher()), code="view-bypassed")
    assert get(backend, "/names?from=sign-in", backend.teacher()).status_code == 302
    assert get(backend, "/names", backend.teacher()).status_code == 200


def test_a_decorator_above_the_declaration_may_still_send_elsewhere(backend: Backend) -> None:
    def login_required(view: Any) -> Any:
        @functools.wraps(view)
        def inner() -> Any:
            return ("away", 302, {"Location": "/sign-in"}) if request.args.get("out") else view()

        return inner

    @backend.app.get("/names")
    @login_required
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return names(backend)

    assert get(backend, "/names?out=1", backend.teacher()).status_code == 302
    assert get(backend, "/names", backend.teacher()).status_code == 200


def test_a_stream_that_opens_late_is_not_stored_by_anybody(backend: Backend) -> None:
    @backend.app.get("/stream")
    @backend.privacy.handles("student.profile", **PROFILE)
    def stream() -> Any:
        @stream_with_context
        def rows() -> Any:
            yield "name\n"
            yield from names(backend)

        return Response(rows(), headers={"Cache-Control": "public, max-age=3600"})  # type: ignore[call-arg]

    answer = get(backend, "/stream", backend.teacher())
    assert CANARY in answer.text
    assert answer.headers.getlist("Cache-Control") == ["no-store"]


def test_a_view_that_another_calls_has_a_processing_of_its_own(backend: Backend) -> None:
    one = backend.students[backend.schools[0]][0]
    current = {"actor": backend.teacher(0)}
    backend.privacy.actor_loader(lambda: current["actor"])

    @backend.privacy.handles("student.profile", **PROFILE)
    def inner() -> str:
        return str(db.session.get(Student, one).first_name)

    @backend.app.get("/lends")
    @backend.privacy.handles(**PROFILE)
    def lends() -> Any:
        row = db.session.get(Student, one)
        inner()
        return {"seen": row.first_name}

    @backend.app.get("/becomes")
    @backend.privacy.handles("student.profile", **PROFILE)
    def becomes() -> Any:
        before = db.session.get(Student, one).first_name
        current["actor"] = backend.teacher(1)
        with pytest.raises(PrivacyError):
            inner()
        return {
            "seen": before,
            "and": db.session.get(Student, backend.students[backend.schools[0]][1]).first_name,
        }

    assert_refused(backend.app.test_client().get("/lends"), code="undeclared-processing")
    with captured_trail(backend.app) as trail:
        assert backend.app.test_client().get("/becomes").status_code == 200
    nested, whole = trail.events
    assert (nested.client, nested.refused[0].code) == (backend.schools[1].hex, "access-denied")
    assert (whole.client, whole.touched[0].subjects) == (backend.schools[0].hex, 2)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_a_forked_child_begins_with_the_gate_shut(backend: Backend) -> None:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    children = []

    def work() -> None:
        time.sleep(0.2)
        with backend.app.app_context():
            db.engine.dispose(close=False)
            try:
                there.send(
                    db.session.get(Student, backend.students[backend.schools[0]][1]).first_name
                )
            except PrivacyError as refused:
                there.send(type(refused).__name__)

    @backend.app.get("/start")
    @backend.privacy.handles("student.profile", **PROFILE)
    def start() -> str:
        children.append(context.Process(target=work))
        children[0].start()
        return "started"

    assert get(backend, "/start", backend.teacher()).text == "started"
    assert here.recv() == "UndeclaredProcessing"
    children[0].join()


def test_the_clients_connection_is_not_in_the_environment_of_an_ordinary_request(
    backend: Backend,
) -> None:
    seen: list[Any] = []

    @backend.app.get("/socket")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> str:
        seen.extend(name for name in request.environ if "socket" in name or "hijack" in name)
        return "ok"

    sockets = {"werkzeug.socket": object(), "gunicorn.socket": object(), "wsgi.hijack": object()}
    assert get(backend, "/socket", backend.teacher(), environ_overrides=sockets).status_code == 200
    assert seen == []


def test_what_a_web_socket_opens_is_recorded_before_its_value_is_shown(backend: Backend) -> None:
    one = backend.students[backend.schools[0]][0]
    counted = []

    @backend.app.get("/socket")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> str:
        value = db.session.get(Student, one).first_name
        counted.append(len(trail.events))
        request.environ["werkzeug.socket"].append(value)
        return "ok"

    connection: list[str] = []
    with captured_trail(backend.app) as trail:
        get(
            backend,
            "/socket",
            backend.teacher(),
            headers={"Upgrade": "websocket"},
            environ_overrides={"werkzeug.socket": connection},
        )
    assert connection
    assert counted == [1]
    assert trail.events[0].touched[0].subjects == 1


# --- refusals are the gate's own ---


def rest_extension(app: Flask) -> Callable[[], None]:
    """What Flask-RESTful and its kin do: they answer every exception of the application themselves."""
    ordinary = app.handle_user_exception
    app.handle_user_exception = lambda error: ({"message": "Internal Server Error"}, 500)  # type: ignore[method-assign, assignment, return-value]

    def restore() -> None:
        app.handle_user_exception = ordinary  # type: ignore[method-assign]

    return restore


@pytest.mark.parametrize("testing", [True, False])
@pytest.mark.parametrize("takes_over", [True, False])
def test_a_refusal_is_the_same_whoever_handles_errors(
    backend: Backend, testing: bool, takes_over: bool
) -> None:
    class Names(MethodView):
        @backend.privacy.handles("student.profile", **PROFILE)
        def get(self) -> Any:
            return [row.first_name for row in db.session.scalars(select(Student))]

    backend.app.add_url_rule("/names", view_func=Names.as_view("names"))
    if takes_over:
        rest_extension(backend.app)
    else:
        backend.app.register_error_handler(Exception, lambda _: ("Internal Server Error", 500))
    backend.app.testing = testing
    assert_refused(get(backend, "/names", backend.teacher()), code="access-denied", clause="LG-03")
    assert_refused(get(backend, "/names", None), code="authentication-required")


@pytest.mark.skipif(
    importlib.util.find_spec("flask_restx") is None, reason="Flask-RESTX is not installed"
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_refusal_is_the_same_in_flask_restx(backend: Backend) -> None:
    from flask_restx import Api, Resource

    class Names(Resource):  # type: ignore[misc]
        @backend.privacy.handles("student.profile", **PROFILE)
        def get(self) -> Any:
            return [row.first_name for row in db.session.scalars(select(Student))]

    backend.app.config["LGPRIVACY_EXEMPT"] = {}
    Api(backend.app, doc=False).add_resource(Names, "/names")
    assert_refused(get(backend, "/names", backend.teacher()), code="access-denied", clause="LG-03")


def test_an_application_may_answer_a_kind_of_refusal_itself(backend: Backend) -> None:
    @backend.app.errorhandler(AuthenticationRequired)
    def to_sign_in(_: AuthenticationRequired) -> Any:
        return "sign in", 302, {"Location": "/sign-in"}

    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return names(backend)

    assert get(backend, "/names", None).location == "/sign-in"
    with captured_trail(backend.app) as trail:
        get(backend, "/names", None)
    assert trail.events[0].refused[0].code == "authentication-required"


def renamed_at_once(backend: Backend) -> Any:
    one = backend.students[backend.schools[0]][0]

    @backend.app.post("/rename")
    @backend.privacy.handles(
        "student.profile", roles={"teacher"}, purpose="provide-service", actions={"read", "write"}
    )
    def rename() -> str:
        row = db.session.get(Student, one)
        row.first_name = "mine"
        with db.engine.begin() as somebody_else:
            somebody_else.execute(
                text("UPDATE student SET lgprivacy_version = lgprivacy_version + 1")
            )
        db.session.commit()
        return "ok"

    with acting_as(backend.app, backend.teacher()):
        return backend.app.test_client().post("/rename")


def test_two_edits_of_one_row_at_once_are_a_conflict(backend: Backend) -> None:
    answer = renamed_at_once(backend)
    assert_refused(answer, code="conflict")
    assert answer.status_code == 409


def test_an_application_may_answer_a_conflict_of_two_edits_itself(backend: Backend) -> None:
    backend.app.register_error_handler(StaleDataError, lambda _: ("again", 503))
    assert renamed_at_once(backend).status_code == 503


def test_a_row_that_is_gone_while_a_list_is_made_is_a_conflict(backend: Backend) -> None:
    @backend.app.get("/list")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        rows = db.session.scalars(
            select(Student).where(Student.school_id == backend.schools[0])
        ).all()
        db.session.commit()
        with db.engine.begin() as somebody_else:
            somebody_else.execute(text("DELETE FROM exercise"))
            somebody_else.execute(text("DELETE FROM student"))
        return [row.first_name for row in rows]

    assert get(backend, "/list", backend.teacher()).status_code == 409


def test_an_actor_whose_body_fails_while_it_is_closed_is_in_the_trail(backend: Backend) -> None:
    @backend.app.get("/close")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        response = Response("ok")
        names(backend)

        @response.call_on_close
        def fail() -> None:
            raise RuntimeError("while closing")

        return response

    with captured_trail(backend.app) as trail, pytest.raises(RuntimeError, match="while closing"):
        get(backend, "/close", Actor("t", role="teacher", client=backend.schools[0]))
    assert trail.events[0].touched[0].subjects == 2
