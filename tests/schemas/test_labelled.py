"""Schemas for `accepts=` carry the labels of their columns; one that could take in something undeclared stops the start."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import INCLUDE, Schema, fields, validate
from school import CANARY, Account, Backend, Exercise, Student
from werkzeug.test import TestResponse

from flask_lgprivacy import LabelledSchema, field_of, schema_of, without_label
from flask_lgprivacy.errors import DeclarationInvalid, ModelInvalid, UndeclaredProcessing
from flask_lgprivacy.testing import acting_as

WRITES: dict[str, Any] = {
    "roles": {"teacher"},
    "purpose": "provide-service",
    "actions": {"read", "write"},
}
READS: dict[str, Any] = {"roles": {"teacher"}, "purpose": "provide-service"}


def post(backend: Backend, path: str, **sent: Any) -> TestResponse:
    with acting_as(backend.app, backend.teacher()):
        return backend.app.test_client().post(path, **sent)


def declared(backend: Backend, schema: Any, *categories: str) -> None:
    @backend.app.post("/declared")
    @backend.privacy.handles(*(categories or ("student.profile",)), **WRITES, accepts=schema)
    def view() -> str:
        return "ok"


class _Unlabelled(LabelledSchema):
    name = fields.Str()


class _Hidden(LabelledSchema):
    note = fields.Str(attribute="diagnosis", metadata={"lgprivacy": "a reason"})


class _Open(Schema):
    class Meta:
        unknown = INCLUDE

    first_name = field_of(Student, "first_name")


class _Nested(LabelledSchema):
    pupils = fields.List(fields.Nested(_Open))


class _Pupil(LabelledSchema):
    first_name = field_of(Student, "first_name")


class _Overruled(LabelledSchema):
    pupil = fields.Nested(_Pupil, unknown=INCLUDE)


class _Empty(Schema):
    class Meta:
        unknown = INCLUDE


class _Renamed(LabelledSchema):
    pupil = fields.Nested(_Pupil, data_key="x", attribute="religion")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (_Unlabelled, "field name of accepts= carries no label; use field_of"),
        (_Hidden, "sensitive data are not collected"),
        (_Open, "accepts=: its schema takes unknown fields"),
        (_Nested, "pupils: its schema takes unknown fields"),
        (_Overruled, "pupil: its schema takes unknown fields"),
        (_Empty, "accepts=: its schema takes unknown fields"),
        (_Renamed, "sensitive data are not collected"),
        (
            schema_of(Exercise, "strokes"),
            "is 'student.activity', which the endpoint does not declare",
        ),
        (
            schema_of(Student, "first_name", religion=without_label(fields.Str(), "x")),
            "sensitive data are not collected",
        ),
        ({"first_name": "text"}, "accepts= takes a marshmallow schema"),
    ],
)
def test_a_schema_that_could_take_in_something_undeclared_stops_the_start(
    backend: Backend, schema: Any, says: str
) -> None:
    with pytest.raises(DeclarationInvalid, match=says):
        declared(backend, schema)


def test_the_label_comes_from_the_column() -> None:
    schema = schema_of(Account, "email", "phone")()
    assert {
        name: field.metadata["lgprivacy"].category for name, field in schema.fields.items()
    } == dict.fromkeys(("email", "phone"), "account.identity")
    assert schema.fields["email"].required and not schema.fields["phone"].required


def test_a_column_without_a_label_makes_no_field() -> None:
    with pytest.raises(
        ModelInvalid, match=r"Student\.school_id holds no personal data.*school_id=without_label"
    ):
        schema_of(Student, "school_id")
    with pytest.raises(ModelInvalid, match="needs the reason"):
        without_label(fields.Str(), " ")


def test_a_validator_that_repeats_the_value_is_not_repeated(backend: Backend) -> None:
    def picky(value: str) -> None:
        raise __import__("marshmallow").ValidationError(f"{value} is no name")

    declared(
        backend, schema_of(Student, first_name=field_of(Student, "first_name", validate=picky))
    )
    answer = post(backend, "/declared", json={"first_name": CANARY})
    assert (answer.status_code, CANARY in answer.text) == (422, False)
    assert "first_name: is not valid" in answer.json["detail"]


def test_a_view_that_accepts_nothing_is_told_so(backend: Backend) -> None:
    backend.app.testing = True

    @backend.app.get("/asks")
    @backend.privacy.handles("student.profile", **READS)
    def asks() -> Any:
        return backend.privacy.accepted

    with acting_as(backend.app, backend.teacher()):
        assert "declare it with accepts=" in backend.app.test_client().get("/asks").json["detail"]
    with backend.app.app_context(), pytest.raises(UndeclaredProcessing):
        _ = backend.privacy.accepted


def test_every_type_of_column_makes_a_field_that_comes_back(backend: Backend) -> None:
    names = (
        "first_name",
        "birth_date",
        "left_handed",
        "height",
        "pressure",
        "mark",
        "seen_at",
        "preferences",
        "picture",
    )
    schema = schema_of(Student, *names, partial=True)()
    sent = {
        "first_name": "A", "birth_date": "2018-02-01", "left_handed": False, "height": 120, "pressure": 0.5, "mark": "12.50",
        "seen_at": "2026-11-22T08:00:00", "preferences": {"a": 1}, "picture": "QUJD",
    }  # fmt: skip
    loaded = schema.load(sent)
    assert schema.dump(loaded) == {**sent}
    assert isinstance(schema.fields["first_name"].validate, validate.Length)


def test_every_field_of_a_partial_schema_may_be_left_out(backend: Backend) -> None:
    last_name = field_of(Student, "last_name")
    schema = schema_of(Student, "first_name", partial=True, last_name=last_name)()
    assert schema.load({}) == {}
    assert last_name.required
