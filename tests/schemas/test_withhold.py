"""What a declaration withholds is left out of a dump and named in the trail; everything else that is forbidden still raises."""

from __future__ import annotations

from typing import Any

import pytest
from school import CANARY, Account, Backend, Exercise, Student, db
from sqlalchemy import select

from flask_lgprivacy import LabelledSchema, field_of, schema_of
from flask_lgprivacy.errors import AccessDenied, DeclarationInvalid, UndeclaredProcessing
from flask_lgprivacy.testing import acting_as, captured_trail

SHEET = schema_of(Exercise, "strokes")
CARD = schema_of(Account, "name", "phone", "password_hash")


def view(
    backend: Backend, path: str, dump: Any, *categories: str, roles: Any, withhold: Any = ()
) -> None:
    backend.app.add_url_rule(
        path,
        endpoint=path,
        view_func=backend.privacy.handles(
            *categories, roles=roles, purpose="provide-service", withhold=withhold
        )(dump),
    )


def own_card(backend: Backend) -> Any:
    return lambda: CARD().dump(db.session.get(Account, backend.account))


def get(backend: Backend, path: str, actor: Any) -> Any:
    with acting_as(backend.app, actor):
        return backend.app.test_client().get(path)


def test_a_withheld_category_is_named_where_it_is_left_out(backend: Backend) -> None:
    both = ("account.identity", "account.credentials")
    view(
        backend,
        "/card",
        own_card(backend),
        *both,
        roles={"teacher", "administrator"},
        withhold={"account.credentials"},
    )
    with captured_trail(backend.app) as trail:
        seen = get(backend, "/card", backend.administrator())
    assert seen.json == {"name": f"{CANARY} Perrin", "phone": "0230000000"}
    assert (trail.events[-1].withheld, trail.events[-1].refused) == (("account.credentials",), ())
    assert get(backend, "/card", backend.holder()).json["password_hash"] == "hash"


def test_without_withholding_a_forbidden_field_raises(backend: Backend) -> None:
    view(
        backend,
        "/own",
        own_card(backend),
        "account.identity",
        "account.credentials",
        roles={"teacher"},
    )
    assert get(backend, "/own", backend.teacher()).status_code == 403


def test_only_what_is_declared_can_be_withheld(backend: Backend) -> None:
    with pytest.raises(DeclarationInvalid, match="declare them too"):
        view(
            backend,
            "/x",
            lambda: "x",
            "account.identity",
            roles={"teacher"},
            withhold={"account.credentials"},
        )
    with pytest.raises(DeclarationInvalid, match="takes a set"):
        view(
            backend,
            "/x",
            lambda: "x",
            "account.identity",
            roles={"teacher"},
            withhold="account.identity",
        )


def test_what_is_prohibited_cannot_be_declared_by_withholding_it(backend: Backend) -> None:
    declared = backend.privacy.handles(
        "student.profile",
        roles={"teacher", "job"},
        purpose="retention",
        withhold={"student.profile"},
    )
    with pytest.raises(DeclarationInvalid, match="LG-06"):
        backend.app.add_url_rule("/z", view_func=declared(lambda: "z"))


def test_what_no_role_may_read_cannot_be_declared_by_withholding_it(backend: Backend) -> None:
    with pytest.raises(DeclarationInvalid, match="no rule allows"):
        view(
            backend,
            "/y",
            lambda: "y",
            "student.profile",
            roles={"auditor"},
            withhold={"student.profile"},
        )
    view(
        backend,
        "/w",
        lambda: "w",
        "student.profile",
        roles={"auditor", "teacher"},
        withhold={"student.profile"},
    )


def test_a_withheld_field_that_is_read_directly_still_raises(backend: Backend) -> None:
    with backend.app.app_context(), backend.job("account.credentials", actor=backend.holder()):
        pass
    both = ("account.identity", "account.credentials")
    view(
        backend, "/direct", lambda: str(db.session.get(Account, backend.account).password_hash), *both,
        roles={"teacher", "administrator"}, withhold={"account.credentials"},
    )  # fmt: skip
    assert get(backend, "/direct", backend.administrator()).status_code == 403


def test_another_schools_row_is_not_shown_in_part(backend: Backend) -> None:
    def every() -> Any:
        return SHEET(many=True).dump(db.session.scalars(select(Exercise)))

    view(
        backend, "/all", every, "student.activity", roles={"teacher"}, withhold={"student.activity"}
    )
    seen = get(backend, "/all", backend.teacher())
    assert (seen.status_code, seen.json["clause"]) == (403, "LG-03")


def test_a_schema_outside_a_processing_shows_nothing(backend: Backend) -> None:
    with backend.app.app_context(), pytest.raises(UndeclaredProcessing):
        SHEET().dump(db.session.scalars(select(Exercise)).first())


def test_the_gate_refuses_what_only_of_a_nested_schema_lets_through(backend: Backend) -> None:
    """marshmallow returns everything of a nested schema once somebody has read `.schema`; the column still asks."""
    from marshmallow import fields

    class Pupil(LabelledSchema):
        first_name = field_of(Student, "first_name")

    class Page(LabelledSchema):
        strokes = field_of(Exercise, "strokes")
        student = fields.Nested(Pupil)

    nested: Any = Page._declared_fields["student"]
    assert nested.schema
    with backend.app.app_context(), backend.job("student.activity", actor=backend.teacher()):
        row = db.session.scalars(
            select(Exercise).where(Exercise.student_id == backend.students[backend.schools[0]][0])
        ).one()
        with pytest.raises((UndeclaredProcessing, AccessDenied)):
            Page(only=["strokes", "student.first_name"]).dump(row)
