"""Every endpoint is declared or refused, whatever shape it has and whoever registered it."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Blueprint, Flask, jsonify, render_template_string, stream_with_context
from flask.views import MethodView, View
from school import CANARY, Backend, Student, close, db, make_backend
from sqlalchemy import select

from flask_lgprivacy import Actor, schema_of
from flask_lgprivacy.audit import ProcessingEvent
from flask_lgprivacy.errors import ConfigurationError, DeclarationInvalid
from flask_lgprivacy.testing import acting_as, assert_refused, captured_trail, undeclared_endpoints
from flask_lgprivacy.web.endpoints import endpoints_of

PROFILE: dict[str, Any] = {"roles": {"teacher"}, "purpose": "provide-service"}


def names(backend: Backend, number: int = 0) -> list[str]:
    query = select(Student).where(Student.school_id == backend.schools[number])
    return [student.first_name for student in db.session.scalars(query)]


def events(trail: Any) -> list[ProcessingEvent]:
    return [
        event for event in trail.events if isinstance(event, ProcessingEvent) and event.via != "job"
    ]


def get(backend: Backend, path: str, actor: Actor | None, method: str = "GET") -> Any:
    with acting_as(backend.app, actor):
        return backend.app.test_client().open(path, method=method)


def test_a_declared_endpoint_shows_what_it_declares(backend: Backend) -> None:
    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return names(backend)

    with captured_trail(backend.app) as trail:
        response = get(backend, "/names", backend.teacher())
    assert response.json == [f"{CANARY} A0", f"{CANARY} B0"]
    [event] = events(trail)
    assert (event.endpoint, event.role, event.purpose, event.basis, event.status) == (
        "view",
        "teacher",
        "provide-service",
        "contract",
        200,
    )
    assert [
        (one.category, one.action, one.subjects, len(set(one.pseudonyms))) for one in event.touched
    ] == [("student.profile", "read", 2, 2)]


def test_an_answer_with_personal_data_is_not_cached(backend: Backend) -> None:
    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        response = jsonify(names(backend))
        response.headers["Cache-Control"] = "public, max-age=3600"
        return response

    assert get(backend, "/names", backend.teacher()).headers.getlist("Cache-Control") == [
        "no-store"
    ]


def test_an_endpoint_without_a_declaration_is_refused(backend: Backend) -> None:
    @backend.app.get("/bare")
    def bare() -> str:
        return "never"

    response = get(backend, "/bare", backend.teacher())
    assert_refused(response, clause="LG-02", code="endpoint-undeclared")
    assert "bare" not in response.text
    assert undeclared_endpoints(backend.app) == ["bare GET"]


def test_a_refused_endpoint_is_named_where_developers_look(backend: Backend) -> None:
    backend.app.testing = True

    @backend.app.get("/bare")
    def bare() -> str:
        return "never"

    assert (
        "endpoint 'bare' declares no processing"
        in get(backend, "/bare", backend.teacher()).json["detail"]
    )


def test_a_declaration_above_the_route_is_refused(backend: Backend) -> None:
    @backend.privacy.handles("student.profile", **PROFILE)
    @backend.app.get("/wrong")
    def wrong() -> Any:
        return names(backend)

    assert_refused(get(backend, "/wrong", backend.teacher()), code="endpoint-undeclared")


def test_another_decorator_between_keeps_the_declaration(backend: Backend) -> None:
    import functools

    def other(view: Any) -> Any:
        @functools.wraps(view)
        def inner() -> Any:
            return view()

        return inner

    @backend.app.get("/between")
    @other
    @backend.privacy.handles("student.profile", **PROFILE)
    def between() -> Any:
        return names(backend)

    assert get(backend, "/between", backend.teacher()).status_code == 200
    assert_refused(get(backend, "/between", None), code="authentication-required")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_an_undeclared_endpoint_is_refused_for_every_method(backend: Backend, method: str) -> None:
    @backend.app.route("/all", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    def everything() -> str:
        return "never"

    response = get(backend, "/all", backend.teacher(), method)
    assert response.status_code == 403
    assert b"never" not in response.data


def test_each_method_of_a_method_view_is_declared_by_itself(backend: Backend) -> None:
    class Pupils(MethodView):
        @backend.privacy.handles("student.profile", **PROFILE)
        def get(self) -> Any:
            return names(backend)

        def post(self) -> str:
            return "never"

    backend.app.add_url_rule("/pupils", view_func=Pupils.as_view("pupils"))
    statuses = {
        method: get(backend, "/pupils", backend.teacher(), method).status_code
        for method in ("GET", "HEAD", "OPTIONS", "POST")
    }
    assert statuses == {"GET": 200, "HEAD": 200, "OPTIONS": 200, "POST": 403}
    assert undeclared_endpoints(backend.app) == ["pupils POST"]


def test_a_declaration_for_a_whole_method_view_covers_its_methods(backend: Backend) -> None:
    class Pupils(MethodView):
        decorators = [backend.privacy.handles("student.profile", **PROFILE)]

        def get(self) -> Any:
            return names(backend)

    backend.app.add_url_rule("/pupils", view_func=Pupils.as_view("pupils"))
    assert get(backend, "/pupils", backend.teacher()).status_code == 200
    assert get(backend, "/pupils", None).status_code == 401


@pytest.mark.parametrize("base", [View, MethodView])
def test_a_declaration_on_dispatch_request_covers_every_method(backend: Backend, base: Any) -> None:
    class Pupils(base):  # type: ignore[misc]
        methods = ["GET", "POST"]

        @backend.privacy.handles("student.profile", **PROFILE)
        def dispatch_request(self) -> Any:
            return names(backend)

    backend.app.add_url_rule("/pupils", view_func=Pupils.as_view("pupils"))
    for method in ("GET", "POST"):
        assert get(backend, "/pupils", backend.teacher(), method).status_code == 200
        assert get(backend, "/pupils", None, method).status_code == 401
    assert not [one for one in undeclared_endpoints(backend.app) if "pupils" in one]


def test_a_declaration_on_dispatch_request_that_no_policy_allows_stops_the_start(
    backend: Backend,
) -> None:
    class Pupils(View):
        @backend.privacy.handles("student.profile", roles={"auditor"}, purpose="provide-service")
        def dispatch_request(self) -> Any:
            return names(backend)

    with pytest.raises(DeclarationInvalid):
        backend.app.add_url_rule("/pupils", view_func=Pupils.as_view("pupils"))


@pytest.mark.parametrize("states", ["declared", "exempt"])
def test_what_a_plain_view_names_like_a_method_states_nothing(
    backend: Backend, states: str
) -> None:
    """Flask runs `dispatch_request`, and a method `get` of a plain view only where that calls it."""
    mark = (
        backend.privacy.exempt("a constant")
        if states == "exempt"
        else backend.privacy.handles(**PROFILE)
    )

    class Pupils(View):
        def dispatch_request(self) -> str:
            return "never"

        @mark
        def get(self) -> str:
            return ""

    backend.app.add_url_rule("/pupils", view_func=Pupils.as_view("pupils"))
    assert_refused(get(backend, "/pupils", backend.teacher()), code="endpoint-undeclared")
    assert "pupils GET" in undeclared_endpoints(backend.app)


def test_a_method_declared_inside_a_declared_dispatch_takes_in_what_it_declares(
    backend: Backend,
) -> None:
    class Pupils(MethodView):
        @backend.privacy.handles("student.profile", **PROFILE)
        def dispatch_request(self, **of: Any) -> Any:
            return super().dispatch_request(**of)

        @backend.privacy.handles("student.profile", **PROFILE, actions={"write"})
        def post(self) -> str:
            return "never"

        @backend.privacy.handles(
            "student.profile", **PROFILE, actions={"write"}, accepts=schema_of(Student, "last_name")
        )
        def put(self) -> Any:
            return jsonify(sorted(backend.privacy.accepted))

    backend.app.add_url_rule("/pupils", view_func=Pupils.as_view("pupils"))
    with acting_as(backend.app, backend.teacher()):
        client = backend.app.test_client()
        assert_refused(client.post("/pupils", json={"nickname": "x"}), code="request-invalid")
        assert_refused(client.put("/pupils", json={"nickname": "x"}), code="request-invalid")
        assert client.put("/pupils", json={"last_name": "x"}).json == ["last_name"]


def test_a_blueprint_registered_late_is_refused(backend: Backend) -> None:
    foreign = Blueprint("foreign", __name__)
    foreign.add_url_rule("/late", view_func=lambda: "never", endpoint="late")
    backend.app.register_blueprint(foreign)
    assert_refused(get(backend, "/late", backend.teacher()), code="endpoint-undeclared")


def test_a_setting_exempts_an_endpoint_that_takes_no_decorator(backend: Backend) -> None:
    assert backend.app.test_client().get("/static/absent.css").status_code == 404
    assert not [one for one in undeclared_endpoints(backend.app) if "static" in one]


def test_an_exempt_view_opens_nothing(backend: Backend) -> None:
    @backend.app.get("/healthz")
    @backend.privacy.exempt("liveness probe; returns a constant")
    def healthz() -> Any:
        return names(backend)

    with captured_trail(backend.app) as trail:
        assert_refused(get(backend, "/healthz", backend.teacher()), code="undeclared-processing")
    assert [one.code for one in events(trail)[0].refused] == ["undeclared-processing"]


def test_a_page_that_does_not_exist_is_an_ordinary_404(backend: Backend) -> None:
    assert backend.app.test_client().get("/absent").status_code == 404


def test_another_extension_that_answers_first_shows_nothing(backend: Backend) -> None:
    @backend.app.before_request
    def first() -> Any:
        return names(backend)

    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return names(backend)

    assert_refused(get(backend, "/names", backend.teacher()), code="undeclared-processing")


def test_an_after_request_of_another_extension_is_recorded(backend: Backend) -> None:
    @backend.app.after_request
    def after(response: Any) -> Any:
        response.headers["X-Count"] = str(len(names(backend)))
        return response

    @backend.app.get("/quiet")
    @backend.privacy.handles("student.profile", **PROFILE)
    def quiet() -> str:
        return "quiet"

    with captured_trail(backend.app) as trail:
        assert get(backend, "/quiet", backend.teacher()).status_code == 200
    assert events(trail)[0].touched[0].subjects == 2


def test_a_template_opens_under_the_declaration(backend: Backend) -> None:
    @backend.app.get("/page")
    @backend.privacy.handles("student.profile", **PROFILE)
    def page() -> str:
        students = db.session.scalars(
            select(Student).where(Student.school_id == backend.schools[0])
        ).all()
        return render_template_string(
            "{% for s in students %}{{ s.first_name }};{% endfor %}", students=students
        )

    assert get(backend, "/page", backend.teacher()).text == f"{CANARY} A0;{CANARY} B0;"


def test_what_a_stream_opens_is_recorded_before_it_leaves(backend: Backend) -> None:
    @backend.app.get("/stream")
    @backend.privacy.handles("student.profile", **PROFILE)
    def stream() -> Any:
        def generate() -> Any:
            yield "begin;"
            for name in names(backend):
                yield name

        return stream_with_context(generate())

    with captured_trail(backend.app) as trail, acting_as(backend.app, backend.teacher()):
        response = backend.app.test_client().get("/stream", buffered=False)
        seen = [len(events(trail)) for _ in response.response]
    assert seen == [1, 2, 2]
    assert [(event.via, [one.subjects for one in event.touched]) for event in events(trail)] == [
        ("request", []),
        ("stream", [2]),
    ]


def test_a_generator_that_outlives_its_request_is_told_what_to_do(backend: Backend) -> None:
    backend.app.testing = True

    @backend.app.get("/stream")
    @backend.privacy.handles("student.profile", **PROFILE)
    def stream() -> Any:
        students = db.session.scalars(select(Student)).all()
        return (student.first_name for student in students)

    with pytest.raises(Exception, match="stream_with_context"):
        get(backend, "/stream", backend.teacher())


def test_a_background_thread_opens_nothing(backend: Backend) -> None:
    import threading

    caught: list[str] = []

    @backend.app.get("/thread")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> str:
        student = db.session.scalars(
            select(Student).where(Student.school_id == backend.schools[0])
        ).first()

        def work() -> None:
            try:
                caught.append(student.first_name)
            except Exception as refused:  # noqa: BLE001
                caught.append(type(refused).__name__)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return "ok"

    assert get(backend, "/thread", backend.teacher()).status_code == 200
    assert caught == ["UndeclaredProcessing"]


def test_what_one_request_opened_is_shut_for_the_next(backend: Backend) -> None:
    kept: list[Any] = []

    @backend.app.get("/keep")
    @backend.privacy.handles("student.profile", **PROFILE)
    def keep() -> str:
        kept.extend(
            db.session.scalars(select(Student).where(Student.school_id == backend.schools[0])).all()
        )
        return kept[0].first_name

    @backend.app.get("/use")
    @backend.privacy.handles(**PROFILE)
    def use() -> str:
        return kept[0].first_name

    assert get(backend, "/keep", backend.teacher()).status_code == 200
    assert_refused(get(backend, "/use", backend.teacher()), code="undeclared-processing")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"roles": set(), "purpose": "provide-service"}, "roles= is empty"),
        ({"roles": "teacher", "purpose": "provide-service"}, "take a set of names"),
        (
            {"roles": {"teacher"}, "purpose": "provide-service", "actions": {"look"}},
            "actions= knows",
        ),
    ],
)
def test_an_incomplete_declaration_is_refused_when_it_is_written(
    backend: Backend, arguments: Any, says: str
) -> None:
    with pytest.raises(DeclarationInvalid, match=says):
        backend.privacy.handles("student.profile", **arguments)


def test_an_exemption_without_a_reason_is_refused(backend: Backend) -> None:
    with pytest.raises(ConfigurationError, match="needs the reason"):
        backend.privacy.exempt(" ")


@pytest.mark.parametrize(
    ("category", "roles", "purpose", "actions", "says"),
    [
        ("student.profile", {"student"}, "provide-service", {"write"}, "LG-06"),
        ("student.profile", {"job"}, "research-statistics", {"read"}, "LG-06"),
        ("student.profile", {"teacher"}, "provide-service", {"disclose"}, "LG-10"),
        ("account.identity", {"teacher"}, "sale", {"read"}, "LG-09"),
        ("account.identity", {"teacher"}, "advertising", {"read"}, "LG-11"),
        ("sensitive.health", {"teacher"}, "provide-service", {"read"}, "LG-08"),
        ("religion", {"teacher"}, "provide-service", {"read"}, "LG-08"),
        ("student.profile", {"auditor"}, "provide-service", {"read"}, "not allowed"),
        ("student.profile", {"wizard"}, "provide-service", {"read"}, "no role 'wizard'"),
        ("student.profile", {"teacher"}, "fun", {"read"}, "no purpose 'fun'"),
    ],
)
def test_a_declaration_that_the_policy_forbids_stops_the_start(
    backend: Backend, category: str, roles: Any, purpose: str, actions: Any, says: str
) -> None:
    with pytest.raises(DeclarationInvalid, match=says) as refused:

        @backend.app.get("/forbidden")
        @backend.privacy.handles(category, roles=roles, purpose=purpose, actions=actions)
        def forbidden() -> str:
            return "never"

    assert "endpoint 'forbidden'" in str(refused.value)


def test_a_second_declaration_serves_other_roles(backend: Backend) -> None:
    @backend.app.get("/both")
    @backend.privacy.handles("student.profile", roles={"support"}, purpose="assistance")
    @backend.privacy.handles("student.profile", roles={"teacher"}, purpose="provide-service")
    def both() -> Any:
        return names(backend)

    assert get(backend, "/both", backend.teacher()).status_code == 200
    assert_refused(get(backend, "/both", Actor("s", role="support")), clause="LG-21")
    assert_refused(get(backend, "/both", Actor("s", role="student")), code="access-denied")


def test_an_async_view_is_guarded(backend: Backend) -> None:
    pytest.importorskip("asgiref", reason="Flask's async views need asgiref")

    @backend.app.get("/async")
    @backend.privacy.handles("student.profile", **PROFILE)
    async def view() -> Any:
        return names(backend)

    assert get(backend, "/async", backend.teacher()).status_code == 200
    assert get(backend, "/async", None).status_code == 401


def test_two_applications_in_one_process_keep_apart(backend: Backend, tmp_path: Any) -> None:
    other = make_backend(tmp_path / "other")
    with backend.app.app_context(), backend.reading():
        assert names(backend)
    with other.app.app_context(), other.reading():
        assert names(other)
    close(other)


def test_an_application_called_around_its_gate_is_refused(backend: Backend) -> None:
    inner = backend.app.wsgi_app._inner  # type: ignore[attr-defined]

    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return names(backend)

    from werkzeug.test import Client

    response = Client(inner).get("/names")
    assert response.status_code == 500
    assert CANARY not in response.text


def test_an_application_is_set_up_once(backend: Backend) -> None:
    with pytest.raises(ConfigurationError, match="already set up"):
        backend.privacy.init_app(backend.app)


def test_without_set_up_the_remedy_is_named() -> None:
    from flask_lgprivacy import LGPrivacy

    with Flask("x").app_context(), pytest.raises(ConfigurationError, match="init_app"):
        _ = LGPrivacy().rights


def test_each_of_our_own_calls_has_a_purpose_of_its_own(backend: Backend) -> None:
    stated = {
        (entry.endpoint, entry.method): entry.stated
        for entry in endpoints_of(backend.app).entries()
        if entry.endpoint.startswith("lgprivacy.")
    }
    purposes = {
        endpoint.removeprefix("lgprivacy."): declared[0].purpose
        for (endpoint, _), declared in stated.items()
    }
    assert purposes["export"] == purposes["list_requests"] == "exercise-rights"
    assert purposes["change_consent"] == "exercise-rights"
    assert purposes["give_grant"] == "provide-service"
    assert purposes["open_assistance"] == "assistance"
