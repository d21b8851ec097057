"""What the gate checked is what runs, however an application calls its views."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any, NoReturn
from urllib.parse import quote

import pytest
from flask import Flask, Response, abort, make_response, redirect, url_for
from flask_sqlalchemy import SQLAlchemy
from school import CANARY, STORES, Account, Backend, Student, db
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase
from werkzeug.routing import RequestRedirect

from flask_lgprivacy import Actor, LGPrivacy
from flask_lgprivacy.errors import DeclarationInvalid
from flask_lgprivacy.gate.declaration import Exemption
from flask_lgprivacy.testing import acting_as, assert_refused, captured_trail, undeclared_endpoints
from flask_lgprivacy.web.decorators import DECLARATION_ATTRIBUTE
from flask_lgprivacy.web.redirects import reveals_opened_value

PROFILE: Any = {"roles": {"teacher"}, "purpose": "provide-service"}


def names() -> Any:
    return [
        student.first_name
        for student in db.session.scalars(select(Student).order_by(Student.id).limit(1))
    ]


def get(backend: Backend, path: str, actor: Actor | None = None) -> Any:
    with acting_as(backend.app, actor or backend.teacher()):
        return backend.app.test_client().get(path)


def test_a_view_that_is_replaced_is_looked_at_again(backend: Backend) -> None:
    @backend.app.get("/x")
    @backend.privacy.handles(**PROFILE)
    def view() -> str:
        return "first"

    @backend.privacy.handles(**PROFILE)
    def second() -> str:
        return "second"

    assert get(backend, "/x").text == "first"
    backend.app.view_functions["view"] = second
    assert get(backend, "/x").text == "second"


def test_a_view_that_is_replaced_by_a_bare_one_is_refused(backend: Backend) -> None:
    @backend.app.get("/x")
    @backend.privacy.handles(**PROFILE)
    def view() -> str:
        return "first"

    assert get(backend, "/x").text == "first"
    backend.app.view_functions["view"] = lambda: "bare"
    assert_refused(get(backend, "/x"), code="endpoint-undeclared")


def test_a_wrapper_around_a_declared_view_runs(backend: Backend) -> None:
    ran = []

    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return {
            "rows": len(
                db.session.scalars(
                    select(Student).where(Student.school_id == backend.schools[0])
                ).all()
            )
        }

    def wrapped() -> Any:
        ran.append("wrapper")
        return view()

    wrapped.__dict__.update(view.__dict__)
    backend.app.add_url_rule("/x", "x", wrapped)
    assert get(backend, "/x").json == {"rows": 2}
    assert ran == ["wrapper"]


def test_one_view_behind_two_endpoints_is_declared_in_both(backend: Backend) -> None:
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        first = db.session.scalars(
            select(Student).where(Student.school_id == backend.schools[0])
        ).first()
        return [first.first_name] if first is not None else []

    backend.app.add_url_rule("/one", "one", view)
    backend.app.add_url_rule("/two", "two", view)
    with captured_trail(backend.app) as trail:
        answers = [get(backend, "/one").text, get(backend, "/two").text]
    assert all(CANARY in answer for answer in answers)
    assert [event.endpoint for event in trail.events if event.event == "processing"] == [
        "one",
        "two",
    ]


class Counting(Flask):
    """An application that calls its views in its own way."""

    calls = 0

    def dispatch_request(self) -> Any:
        self.calls += 1
        return super().dispatch_request()


def bare_application(tmp_path: Any, kind: type[Flask]) -> tuple[Any, LGPrivacy]:
    class Base(DeclarativeBase):
        pass

    database = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})
    app = kind("own", instance_path=str(tmp_path))
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/own.db",
        LGPRIVACY_STORES=STORES,
        TESTING=True,
    )
    database.init_app(app)
    privacy = LGPrivacy(app)
    with app.app_context():
        privacy.initialise()
        database.create_all()
    return app, privacy


def test_an_application_that_calls_views_in_its_own_way_goes_on_doing_so(tmp_path: Any) -> None:
    app, privacy = bare_application(tmp_path, Counting)

    @app.get("/x")
    @privacy.exempt("a constant")
    def x() -> str:
        return "ok"

    assert app.test_client().get("/x").text == "ok"
    assert app.calls == 1


def test_it_calls_no_view_that_states_nothing(tmp_path: Any) -> None:
    app, _ = bare_application(tmp_path, Counting)

    @app.get("/x")
    def x() -> str:
        raise AssertionError("this view is not to run")

    assert_refused(app.test_client().get("/x"), code="endpoint-undeclared")
    assert app.calls == 0


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD"])
def test_automatic_methods_do_not_run_the_view_unasked(backend: Backend, method: str) -> None:
    ran = []

    @backend.app.get("/x")
    @backend.privacy.handles(**PROFILE)
    def view() -> str:
        ran.append(method)
        return "ok"

    with acting_as(backend.app, backend.teacher()):
        answer = backend.app.test_client().open("/x", method=method)
    assert (answer.status_code, ran) == (200, [] if method == "OPTIONS" else ["HEAD"])


def test_an_exemption_on_a_declared_view_is_refused_when_it_is_written(backend: Backend) -> None:
    with pytest.raises(DeclarationInvalid, match="both exempt and declared"):

        @backend.privacy.exempt("a constant")
        @backend.privacy.handles("student.profile", **PROFILE)
        def view() -> str:
            return "ok"


def test_a_declared_view_that_is_exempted_by_hand_still_asks_who_is_there(backend: Backend) -> None:
    ran = []

    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> str:
        ran.append(1)
        return "ok"

    setattr(view, DECLARATION_ATTRIBUTE, Exemption("set past the decorator"))
    backend.app.add_url_rule("/x", "x", view)
    with acting_as(backend.app, None):
        assert_refused(backend.app.test_client().get("/x"), code="authentication-required")
    assert ran == []


def test_an_application_whose_class_was_patched_is_called_through_the_patch(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, plain = [], Flask.dispatch_request

    def patched(self: Flask) -> Any:
        called.append(1)
        return plain(self)

    monkeypatch.setattr(Flask, "dispatch_request", patched)
    app, privacy = bare_application(tmp_path, Flask)

    @app.get("/x")
    @privacy.exempt("a constant")
    def x() -> str:
        return "ok"

    assert app.test_client().get("/x").text == "ok"
    assert called == [1]


def name_of_pupil(backend: Backend) -> str:
    return str(pupil_of(backend).first_name)


def after_commit(backend: Backend) -> str:
    name = name_of_pupil(backend)
    db.session.commit()
    return name


def after_another_was_assigned(backend: Backend) -> str:
    pupil = pupil_of(backend)
    name = str(pupil.first_name)
    pupil.first_name = "somebody else"
    db.session.flush()
    return name


def phone_of_account(backend: Backend) -> str:
    return str(db.session.get(Account, backend.account).phone)


@pytest.mark.parametrize(
    "opened",
    [
        name_of_pupil,
        after_commit,
        after_another_was_assigned,
        phone_of_account,
        lambda backend: pupil_of(backend).birth_date,
        lambda backend: pupil_of(backend).preferences["colour"],
    ],
    ids=[
        "a text",
        "after a commit",
        "after it was changed",
        "a tagged value",
        "a date",
        "a text inside of JSON",
    ],
)
def test_what_was_opened_is_in_no_redirect(backend: Backend, opened: Any) -> None:
    @backend.app.get("/x")
    @backend.privacy.handles(
        "student.profile", "account.identity", **PROFILE, actions={"read", "write"}
    )
    def view() -> Any:
        return redirect(f"/y?q={opened(backend)}")

    me = Actor(
        backend.account,
        role="teacher",
        client=backend.schools[0],
        subjects=[("account", backend.account)],
    )
    answer = get(backend, "/x", me)
    assert_refused(answer, code="intake-refused")
    assert "Location" not in answer.headers


def raised(url: str) -> NoReturn:
    raise RequestRedirect(url)


@pytest.mark.parametrize(
    "answer",
    [
        redirect,
        lambda url: ("", 302, {"Location": url}),
        lambda url: ("", 302, [("location", url)]),
        lambda url: Response("", 302, {"Location": url}),
        lambda url: (Response("", 302, {"Location": url}), {"Cache-Control": "no-cache"}),
        lambda url: Response("", 302, [("Location", "/fine"), ("Location", url)]),
        lambda url: abort(redirect(url)),
        raised,
        lambda url: make_response(redirect(url)),
    ],
    ids=[
        "redirect",
        "dict",
        "list",
        "Response",
        "Response and headers",
        "two headers",
        "abort",
        "raised",
        "make_response",
    ],
)
def test_a_redirect_is_looked_at_however_it_is_made(backend: Backend, answer: Any) -> None:
    @backend.app.get("/x")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return answer(f"/y?n={quote(name_of_pupil(backend))}")

    assert_refused(get(backend, "/x"), code="intake-refused")


@pytest.mark.parametrize(
    "url",
    [lambda name: url_for("y", name=name), lambda name: f"/y/{name}"],
    ids=["escaped", "as it is"],
)
def test_a_plus_in_an_address_hides_nothing(backend: Backend, url: Any) -> None:
    with backend.app.app_context(), backend.writing(0):
        pupil_of(backend).first_name = "anne+lou@ecole.example"
        db.session.commit()

    @backend.app.get("/y/<name>")
    @backend.privacy.exempt("a target")
    def y(name: str) -> str:
        return ""

    @backend.app.get("/x")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return redirect(url(name_of_pupil(backend)))

    assert_refused(get(backend, "/x"), code="intake-refused")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("Zoë", "/y?n=" + quote("Zoe\u0308")),
        ("Zoe\u0308", "/y/Zoë"),
        ("नीता", "/y?n=" + quote("नीता")),
        ("李小龍", "/y/" + quote("李小龍的")),
        ("李明", "/y?n=李明"),
        ("O'Brien", "/y?n=O%27Brien"),
    ],
)
def test_a_name_in_any_script_is_found(name: str, url: str) -> None:
    assert reveals_opened_value([[name]], url)


@pytest.mark.parametrize("name", ["Ana", "Éli", "Li"])
def test_a_part_of_a_word_is_no_name(name: str) -> None:
    assert not reveals_opened_value([[name]], "/banana/Éliminations/Limoges?of=Li")


def test_a_redirect_to_where_a_value_does_not_stand_goes_on(backend: Backend) -> None:
    """A pupil called Ana keeps nobody from /Analysis, and an id goes into an address wherever else it stands."""
    with backend.app.app_context(), backend.writing(0):
        pupil = pupil_of(backend)
        pupil.first_name, pupil.preferences = (
            "Ana",
            {"class": str(backend.account), "kind": "pupil", "on": "student"},
        )
        db.session.commit()

    @backend.app.get("/x")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        pupil = pupil_of(backend)
        return redirect(
            f"/Analysis/students/{pupil.preferences['class']}?kind=pupil&of={len(pupil.first_name)}"
        )

    assert get(backend, "/x").status_code == 302


def pupil_of(backend: Backend) -> Student:
    pupil = db.session.get(Student, backend.students[backend.schools[0]][0])
    assert pupil is not None
    return pupil


class WithoutAsync(Flask):
    """An application in an environment that cannot run coroutines."""

    def ensure_sync(self, func: Any) -> Any:
        if iscoroutinefunction(func):
            raise RuntimeError("no coroutines here")
        return func


def test_an_application_that_cannot_run_a_view_still_refuses_it(tmp_path: Any) -> None:
    app, privacy = bare_application(tmp_path, WithoutAsync)

    @app.get("/declared")
    @privacy.handles("student.profile", **PROFILE)
    async def declared() -> str:
        return "ok"

    @app.get("/bare")
    async def bare() -> str:
        return "ok"

    assert_refused(app.test_client().get("/declared"), code="authentication-required")
    assert_refused(app.test_client().get("/bare"), code="endpoint-undeclared")
    assert "bare GET" in undeclared_endpoints(app)
