"""What several declarations of one view add up to, and views that are declared by name."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Blueprint
from flask.views import MethodView
from school import Backend, Student, close, db, make_backend
from sqlalchemy import select

from flask_lgprivacy import Actor
from flask_lgprivacy.errors import ConfigurationError, DeclarationInvalid, UndeclaredProcessing
from flask_lgprivacy.testing import acting_as, assert_refused, undeclared_endpoints

SERVICE = "provide-service"


def first_names(backend: Backend, number: int = 0) -> list[str]:
    query = select(Student).where(Student.school_id == backend.schools[number])
    return [student.first_name for student in db.session.scalars(query)]


def call(backend: Backend, path: str, actor: Actor | None, method: str = "GET") -> Any:
    with acting_as(backend.app, actor):
        return backend.app.test_client().open(path, method=method)


# --- one role ---


def test_categories_and_actions_are_pairs(backend: Backend) -> None:
    privacy, seen = backend.privacy, []

    @backend.app.post("/pairs")
    @privacy.handles("student.activity", roles={"teacher"}, purpose=SERVICE, actions={"read"})
    @privacy.handles("student.profile", roles={"teacher"}, purpose=SERVICE, actions={"write"})
    def pairs() -> Any:
        query = select(Student).where(Student.school_id == backend.schools[0])
        student = db.session.scalars(query).first()
        assert student is not None
        with pytest.raises(UndeclaredProcessing, match="does not declare the action 'read' on it"):
            seen.append(student.first_name)
        student.first_name = "Mona"
        db.session.commit()
        return {}

    assert call(backend, "/pairs", backend.teacher(), "POST").status_code == 200
    assert seen == []


def test_other_roles_keep_what_is_theirs(backend: Backend) -> None:
    privacy = backend.privacy

    @privacy.handles("student.profile", roles={"teacher", "administrator"}, purpose=SERVICE)
    @privacy.handles("student.profile", roles={"support"}, purpose="assistance")
    @privacy.handles("student.activity", roles={"teacher"}, purpose=SERVICE, actions={"write"})
    def view() -> None: ...

    by_role = {
        role: {category: sorted(actions) for category, actions in declaration.actions_of.items()}
        for declaration in view.__lgprivacy__  # type: ignore[attr-defined]
        for role in declaration.roles
    }
    assert by_role == {
        "teacher": {"student.profile": ["read"], "student.activity": ["write"]},
        "administrator": {"student.profile": ["read"]},
        "support": {"student.profile": ["read"]},
    }


def test_one_role_has_one_purpose(backend: Backend) -> None:
    privacy = backend.privacy
    with pytest.raises(
        DeclarationInvalid, match="view: role 'teacher' is declared for two purposes"
    ):

        @privacy.handles("student.profile", roles={"teacher"}, purpose=SERVICE)
        @privacy.handles("student.profile", roles={"teacher"}, purpose="exercise-rights")
        def view() -> None: ...


def test_one_body_has_one_schema(backend: Backend) -> None:
    one, other = object(), object()
    with pytest.raises(DeclarationInvalid, match="role 'teacher' is declared with two schemas"):

        @backend.privacy.handles("student.profile", roles={"teacher"}, purpose=SERVICE, accepts=one)
        @backend.privacy.handles(
            "student.activity", roles={"teacher"}, purpose=SERVICE, accepts=other
        )
        def view() -> None: ...


def test_a_sum_that_the_policy_can_never_allow_stops_the_start(backend: Backend) -> None:
    privacy = backend.privacy

    @privacy.handles("student.profile", roles={"teacher"}, purpose=SERVICE)
    @privacy.handles("student.credentials", roles={"teacher"}, purpose=SERVICE, actions={"read"})
    def view() -> str:
        return ""

    with pytest.raises(DeclarationInvalid, match=r"student\.credentials"):
        backend.app.add_url_rule("/never", view_func=view)


# --- by name ---


@pytest.fixture
def elsewhere(backend: Backend) -> Backend:
    """An application with a blueprint that another package brings."""
    blueprint = Blueprint("admin", __name__)
    blueprint.add_url_rule("/admin", "index", lambda: first_names(backend))
    blueprint.add_url_rule("/admin/more", "more", lambda: first_names(backend))

    class Pupils(MethodView):
        def get(self) -> Any:
            return first_names(backend)

        def delete(self) -> Any:
            return {}

    blueprint.add_url_rule("/admin/pupils", view_func=Pupils.as_view("pupils"))
    backend.app.register_blueprint(blueprint)
    return backend


def test_a_view_is_declared_by_the_name_of_its_endpoint(elsewhere: Backend) -> None:
    elsewhere.privacy.declare("admin.index", "student.profile", roles={"teacher"}, purpose=SERVICE)
    assert call(elsewhere, "/admin", elsewhere.teacher()).json == first_two(elsewhere)
    assert_refused(call(elsewhere, "/admin", Actor("s", role="student")), clause="LG-02")
    assert_refused(call(elsewhere, "/admin", None), code="authentication-required")
    assert_refused(call(elsewhere, "/admin/more", elsewhere.teacher()), code="endpoint-undeclared")


def first_two(backend: Backend) -> list[str]:
    with backend.app.app_context(), backend.reading():
        return first_names(backend)


def test_a_blueprint_is_declared_at_once(elsewhere: Backend) -> None:
    elsewhere.privacy.declare("admin.*", "student.profile", roles={"teacher"}, purpose=SERVICE)
    for path in ("/admin", "/admin/more", "/admin/pupils"):
        assert call(elsewhere, path, elsewhere.teacher()).json == first_two(elsewhere), path
        assert_refused(call(elsewhere, path, Actor("s", role="student")), clause="LG-02")
    assert call(elsewhere, "/admin/pupils", elsewhere.teacher(), "DELETE").status_code == 200
    assert not [one for one in undeclared_endpoints(elsewhere.app) if "admin" in str(one)]


def test_the_endpoints_own_name_wins(elsewhere: Backend) -> None:
    declare = elsewhere.privacy.declare
    declare("admin.*", "student.profile", roles={"teacher"}, purpose=SERVICE)
    declare("admin.more", roles={"administrator"}, purpose=SERVICE)
    assert_refused(call(elsewhere, "/admin/more", elsewhere.teacher()), clause="LG-02")
    assert call(elsewhere, "/admin", elsewhere.teacher()).status_code == 200


def test_what_is_declared_by_one_name_adds_up(elsewhere: Backend) -> None:
    declare = elsewhere.privacy.declare
    declare("admin.index", "student.activity", roles={"teacher"}, purpose=SERVICE)
    declare("admin.index", "student.profile", roles={"teacher"}, purpose=SERVICE)
    assert call(elsewhere, "/admin", elsewhere.teacher()).status_code == 200
    with pytest.raises(
        DeclarationInvalid, match=r"admin\.index: role 'teacher' is declared for two"
    ):
        declare("admin.index", "student.profile", roles={"teacher"}, purpose="exercise-rights")


@pytest.mark.parametrize("name", ["", "*", ".*", "admin.*.x", "admin*"])
def test_what_is_no_name_is_refused(backend: Backend, name: str) -> None:
    with pytest.raises(DeclarationInvalid, match="takes the name of an endpoint"):
        backend.privacy.declare(name, "student.profile", roles={"teacher"}, purpose=SERVICE)


FAULTS = {
    "no endpoint": (
        lambda declare: declare("admin.idex", "student.profile", roles={"teacher"}, purpose=SERVICE),
        r"declare\('admin.idex', …\) names no endpoint or blueprint; did you mean 'admin.index'",
    ),
    "no blueprint": (
        lambda declare: declare("amin.*", roles={"teacher"}, purpose=SERVICE),
        r"declare\('amin.\*', …\) names no endpoint or blueprint; did you mean 'admin.\*'",
    ),
    "never allowed": (
        lambda declare: declare("admin.index", "student.credentials", roles={"teacher"}, purpose=SERVICE),
        r"declare\('admin.index', …\): .*student\.credentials",
    ),
    "said twice": (
        lambda declare: declare("said", "student.profile", roles={"teacher"}, purpose=SERVICE),
        "endpoint 'said' states itself what it does for GET, and declare",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_name_stops_the_start_and_is_in_the_check(name: str, tmp_path: Any) -> None:
    backend = make_backend(tmp_path)
    blueprint = Blueprint("admin", __name__)
    blueprint.add_url_rule("/admin", "index", lambda: "")
    backend.app.register_blueprint(blueprint)

    @backend.app.get("/said")
    @backend.privacy.handles("student.profile", roles={"teacher"}, purpose=SERVICE)
    def said() -> str:
        return ""

    declare, message = FAULTS[name]
    declare(backend.privacy.declare)
    runtime = backend.app.extensions["lgprivacy"].runtime
    runtime.startup.are_due = True
    with backend.app.app_context():
        with pytest.raises(ConfigurationError, match=message):
            runtime.startup.run()
        checked = backend.app.test_cli_runner().invoke(args=["privacy", "check"])
    assert checked.exit_code == 1
    assert "declare(" in checked.output
    close(backend)
