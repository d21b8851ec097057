"""Ways around the gate that were tried, each refused."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from school import CANARY, Account, Backend, Student, db
from sqlalchemy import select

from flask_lgprivacy import Actor
from flask_lgprivacy.errors import ConfigurationError, DeclarationInvalid, PrivacyError
from flask_lgprivacy.testing import acting_as, assert_refused, captured_trail

PROFILE: dict[str, Any] = {"roles": {"teacher"}, "purpose": "provide-service"}


def names(backend: Backend) -> list[str]:
    query = select(Student).where(Student.school_id == backend.schools[0])
    return [student.first_name for student in db.session.scalars(query)]


def get(backend: Backend, path: str, actor: Any) -> Any:
    with acting_as(backend.app, actor):
        return backend.app.test_client().get(path)


def test_a_decorator_between_two_declarations_is_refused(backend: Backend) -> None:
    def login_required(view: Any) -> Any:
        @functools.wraps(view)
        def inner() -> Any:
            return view()

        return inner

    with pytest.raises(DeclarationInvalid, match="directly on one another"):

        @backend.privacy.handles(
            "student.profile", roles={"administrator"}, purpose="provide-service"
        )
        @login_required
        @backend.privacy.handles("student.profile", **PROFILE)
        def view() -> Any:
            return names(backend)


def test_a_cache_above_the_declaration_does_not_answer_anybody(backend: Backend) -> None:
    kept: list[Any] = []

    def cached(view: Any) -> Any:
        @functools.wraps(view)
        def inner() -> Any:
            if not kept:
                kept.append(view())
            return kept[0]

        return inner

    @backend.app.get("/cached")
    @cached
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return names(backend)

    assert get(backend, "/cached", backend.teacher()).status_code == 200
    assert_refused(get(backend, "/cached", None), code="authentication-required")
    with captured_trail(backend.app) as trail:
        assert_refused(get(backend, "/cached", backend.teacher()), code="view-bypassed")
    assert len(trail.events) == 1


def test_a_guarded_view_that_another_calls_does_not_lend_its_declaration(backend: Backend) -> None:
    @backend.privacy.handles("student.profile", **PROFILE)
    def inner() -> Any:
        return len(names(backend))

    @backend.app.get("/outer")
    @backend.privacy.handles(**PROFILE)
    def outer() -> Any:
        counted = inner()
        db.session.expire_all()
        return {"counted": counted, "then": names(backend)}

    assert_refused(get(backend, "/outer", backend.teacher()), code="undeclared-processing")


@pytest.mark.parametrize("loaded", ["teacher", object()])
def test_an_actor_loader_that_returns_no_actor_is_named(backend: Backend, loaded: Any) -> None:
    backend.app.testing = True

    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return names(backend)

    assert "must return an Actor or None" in get(backend, "/names", loaded).json["detail"]


def test_an_unknown_role_is_named_nowhere(backend: Backend) -> None:
    @backend.app.get("/names")
    @backend.privacy.handles("student.profile", **PROFILE)
    def view() -> Any:
        return names(backend)

    with captured_trail(backend.app) as trail:
        response = get(backend, "/names", Actor("x", role=f"Jane {CANARY}"))
    assert response.status_code == 500
    assert CANARY not in response.text + repr(trail.events)


def test_an_actors_identifier_may_be_the_text_of_a_uuid(backend: Backend) -> None:
    actor = Actor("me", role="teacher", subjects=[("account", str(backend.account))])
    with backend.app.app_context(), backend.job("account.identity", actor=actor):
        assert db.session.get(Account, backend.account).phone == "0230000000"


@pytest.mark.parametrize("client", [object(), ["school"], {"id": "school"}, 1.5])
def test_a_client_is_named_by_an_identifier(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="takes the identifier of a client, not a"):
        Actor("x", role="teacher", client=client)


@pytest.mark.parametrize(
    "spelled", [lambda one: str(one) + "\n", lambda one: str(one).encode(), lambda one: "", int]
)
def test_a_client_of_another_type_is_another_client(backend: Backend, spelled: Any) -> None:
    actor = Actor("x", role="teacher", client=spelled(backend.schools[0]))
    with (
        backend.app.app_context(),
        backend.job("student.profile", actor=actor),
        pytest.raises(PrivacyError),
    ):
        _ = db.session.get(Student, backend.students[backend.schools[0]][0]).first_name


@pytest.mark.parametrize("nobody", [None, "", True, b"x", object()])
def test_an_actor_has_an_identifier(nobody: Any) -> None:
    with pytest.raises(ConfigurationError, match="takes an identifier"):
        Actor(nobody, role="teacher")


def test_an_actors_subjects_are_pairs() -> None:
    with pytest.raises(ConfigurationError, match="list of"):
        Actor("me", role="teacher", subjects=("account", "1"))  # type: ignore[arg-type]


def test_what_developers_get_wrong_is_logged_for_them(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    @backend.app.get("/undeclared")
    @backend.privacy.handles(**PROFILE)
    def view() -> Any:
        return names(backend)

    assert get(backend, "/undeclared", backend.teacher()).status_code == 500
    assert "does not declare 'student.profile'" in caplog.text


def test_why_is_a_plain_name(backend: Backend) -> None:
    with backend.app.app_context(), pytest.raises(ConfigurationError, match="job= names the job"):
        backend.privacy.processing(
            actor=backend.teacher(), purpose="provide-service", job="for jane@example.org"
        )


def test_an_orphan_is_not_deleted_under_a_reading_declaration(backend: Backend) -> None:
    from school import Exercise

    with backend.app.app_context(), backend.reading():
        student = db.session.get(Student, backend.students[backend.schools[0]][0])
        student.exercises.clear()
        with pytest.raises(PrivacyError, match="'erase'"):
            db.session.commit()
        db.session.rollback()
        assert len(db.session.scalars(select(Exercise.id)).all()) == 4


def test_a_guarded_view_in_a_context_that_ended_opens_nothing(backend: Backend) -> None:
    from contextvars import copy_context

    kept: list[Any] = []

    @backend.privacy.handles("student.profile", **PROFILE)
    def other() -> Any:
        return names(backend)

    @backend.app.get("/keep")
    @backend.privacy.handles(**PROFILE)
    def keep() -> str:
        kept.append(copy_context())
        return "kept"

    with acting_as(backend.app, backend.teacher()):
        assert backend.app.test_client().get("/keep").status_code == 200
        with backend.app.app_context(), pytest.raises(PrivacyError, match="has ended"):
            kept[0].copy().run(lambda: _in_context(backend, other))


def _in_context(backend: Backend, view: Any) -> Any:
    with backend.app.app_context():
        return view()


def test_a_view_that_an_error_handler_calls_does_not_run_for_a_refused_role(
    backend: Backend,
) -> None:
    from flask_lgprivacy import AccessDenied

    ran: list[int] = []

    @backend.app.get("/admin")
    @backend.privacy.handles("student.profile", roles={"administrator"}, purpose="provide-service")
    def admin() -> str:
        ran.append(1)
        return "side effect"

    backend.app.register_error_handler(AccessDenied, lambda _: admin())
    response = get(backend, "/admin", backend.teacher())
    assert (ran, response.status_code) == ([], 500)
