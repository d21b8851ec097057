"""What must not be taken in is refused with path and clause; nothing is stored, no value stands in any log (LG-02, LG-05, LG-06, LG-08)."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import g, redirect, request
from school import CANARY, Backend, Student, db
from sqlalchemy import select
from werkzeug.test import TestResponse

from flask_lgprivacy import schema_of
from flask_lgprivacy.policy import load_policy
from flask_lgprivacy.screening import SensitiveDataScanner
from flask_lgprivacy.testing import acting_as, assert_refused, captured_trail

NIR = "1 85 05 78 006 084 91"
IBAN = "FR76 3000 6000 0112 3456 7890 189"
CARD = "4111 1111 1111 1111"
SCREEN = SensitiveDataScanner(load_policy())
WRITES: dict[str, Any] = {
    "roles": {"teacher"},
    "purpose": "provide-service",
    "actions": {"read", "write"},
}
READS: dict[str, Any] = {"roles": {"teacher"}, "purpose": "provide-service"}
PUPIL = schema_of(Student, "first_name", "last_name", "birth_date", "left_handed", "preferences")


@pytest.fixture
def school(backend: Backend) -> Backend:
    """A backend that takes pupils in, with a schema and without."""

    @backend.app.post("/pupils")
    @backend.privacy.handles("student.profile", **WRITES, accepts=PUPIL)
    def pupils() -> Any:
        row = Student(school_id=backend.schools[0], **backend.privacy.accepted)
        db.session.add(row)
        db.session.commit()
        return {"id": row.id}, 201

    @backend.app.post("/anything")
    @backend.privacy.handles("student.profile", **WRITES)
    def anything() -> Any:
        sent = (
            request.get_json(silent=True)
            or request.form.to_dict()
            or request.get_data(as_text=True)
        )
        return {"took": len(sent)}

    @backend.app.post("/exempt")
    @backend.privacy.exempt("takes a picture of nothing")
    def exempted() -> str:
        return "ok"

    return backend


def post(backend: Backend, path: str, **sent: Any) -> TestResponse:
    with acting_as(backend.app, backend.teacher()):
        return backend.app.test_client().post(path, **sent)


def count(backend: Backend) -> int:
    with backend.app.app_context():
        return len(db.session.scalars(select(Student.id)).all())


def test_a_declared_body_is_taken_in_with_its_types(school: Backend) -> None:
    sent = {
        "first_name": f"{CANARY} Ana",
        "last_name": f"{CANARY} B",
        "birth_date": "2018-02-01",
        "left_handed": True,
    }
    made = post(school, "/pupils", json=sent)
    assert made.status_code == 201
    with school.app.app_context(), school.reading():
        assert (
            db.session.get(Student, __import__("uuid").UUID(made.json["id"])).birth_date.year
            == 2018
        )


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"first_name": "A"}, "last_name: missing data"),
        ({"first_name": "A", "last_name": "B", "shoe_size": 3}, "shoe_size: unknown field"),
        (
            {"first_name": "A", "last_name": "B", "birth_date": "yesterday"},
            "birth_date: not a valid date",
        ),
        ({"first_name": 7, "last_name": "B"}, "first_name: not a valid string"),
        ({"first_name": "", "last_name": "B"}, "first_name: "),
        ({"first_name": None, "last_name": "B"}, "first_name: field may not be null"),
        (
            {"first_name": "A", "last_name": "B", "preferences": [1]},
            "preferences: not a valid object",
        ),
        ([1], "send a JSON object"),
        ("text", "send a JSON object"),
    ],
)
def test_what_the_schema_does_not_know_is_422_with_the_fields_path(
    school: Backend, sent: Any, says: str
) -> None:
    answer = post(school, "/pupils", json=sent)
    assert (answer.status_code, answer.json["clause"]) == (422, "LG-02")
    assert says in answer.json["detail"]
    assert count(school) == 4


SENSITIVE_BODIES = {
    "three levels down": {"pupil": {"extras": {"religion": f"{CANARY}"}}},
    "in a list": {"pupils": [{"name": "x"}, {"Santé": f"{CANARY}"}]},
    "camel case": {"demographicRaceTwoOrMoreRaces": f"{CANARY}"},
    "accents and case": {"ORIENTATION_SEXUELLE": f"{CANARY}"},
    "French": {"appartenance syndicale": f"{CANARY}"},
    "decomposed accents": {"sante\u0301": f"{CANARY}"},
}


@pytest.mark.parametrize("path", ["/anything", "/pupils", "/exempt"])
@pytest.mark.parametrize("body", SENSITIVE_BODIES)
def test_a_key_that_stands_for_sensitive_data_is_refused(
    school: Backend, body: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with captured_trail(school.app) as trail:
        answer = post(school, path, json=SENSITIVE_BODIES[body])
    assert_refused(answer, clause="LG-08", code="intake-refused")
    assert answer.status_code == 422
    assert CANARY not in answer.text + caplog.text + repr(trail.events)
    assert [one.clause for event in trail.events for one in event.refused] == ["LG-08"]
    assert count(school) == 4


def test_the_refusal_names_the_path(school: Backend) -> None:
    assert (
        "pupil.extras.religion: "
        in post(school, "/anything", json=SENSITIVE_BODIES["three levels down"]).json["detail"]
    )
    assert (
        "pupils[1].Santé: "
        in post(school, "/anything", json=SENSITIVE_BODIES["in a list"]).json["detail"]
    )


def test_a_key_that_is_itself_a_value_is_named_by_its_place(school: Backend) -> None:
    answer = post(school, "/anything", json={f"{CANARY}@home.example": {"religion": "x"}})
    assert answer.json["detail"].startswith("[0].religion: ")
    assert CANARY not in answer.text


@pytest.mark.parametrize("path", ["/anything", "/pupils"])
@pytest.mark.parametrize(
    "number",
    [
        NIR,
        IBAN,
        CARD,
        NIR.replace(" ", ""),
        IBAN.replace(" ", ""),
        "4111-1111-1111-1111",
        "185057800608491",
    ],
)
def test_an_identifier_in_a_note_is_refused(
    school: Backend, number: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent = {
        "first_name": "A",
        "last_name": "B",
        "preferences": {"note": f"call the parents, {number}, thank you"},
    }
    with captured_trail(school.app) as trail:
        answer = post(school, path, json=sent)
    assert (answer.status_code, answer.json["clause"]) == (422, "LG-02")
    assert answer.json["detail"].startswith("preferences.note: ")
    assert number not in answer.text + caplog.text + repr(trail.events)
    assert count(school) == 4


@pytest.mark.parametrize(
    "content",
    [
        "prénom;Santé\nLéna;x\n".encode(),
        "\ufeffprénom,Santé\nLéna,x\n".encode(),
        "prénom;Santé\nLéna;x\n".encode("latin-1"),
        b'first name,"Religion of the family"\nx,y\n',
        b"\nnom;religion\nA;x",
        b"sep=;\nnom;religion\nA;x",
        "Liste des élèves;;\nnom;religion;\nA;x;".encode(),
        "nom;religion\nA;x".encode("utf-16"),
        "nom\treligions\nA\tx".encode("utf-16-le"),
    ],
    ids=[
        "semicolon",
        "BOM",
        "latin-1",
        "quoted",
        "empty line",
        "sep",
        "title",
        "UTF-16",
        "UTF-16 without a mark",
    ],
)
def test_a_sensitive_column_of_a_table_is_refused(school: Backend, content: bytes) -> None:
    as_body = post(school, "/anything", data=content, content_type="text/csv")
    as_file = post(school, "/anything", data={"table": (io.BytesIO(content), "pupils.csv")})
    for answer in (as_body, as_file):
        assert_refused(answer, clause="LG-08", code="intake-refused")
        assert ", column " in answer.json["detail"]


def test_a_table_or_json_in_a_form_is_looked_through(school: Backend) -> None:
    parts = (
        (b"nom\treligion\nA\tx", "pupils.tsv", None),
        (b"nom\treligion\nA\tx", "pupils", "text/tab-separated-values"),
        (b'{"a": {"religion": 1}}', "pupils.json", None),
        (b'{"a": {"religion": 1}}', "pupils", "application/json"),
    )
    for content, name, kind in parts:
        part = (io.BytesIO(content), name, kind) if kind else (io.BytesIO(content), name)
        assert_refused(post(school, "/anything", data={"table": part}), clause="LG-08")


def test_json_under_another_name_is_looked_through(school: Backend) -> None:
    for kind in ("text/plain", None, "text/x-anything"):
        assert_refused(
            post(school, "/anything", data='{"religion": 1}', content_type=kind), clause="LG-08"
        )
        assert_refused(
            post(school, "/anything", data=f"a note {NIR}", content_type=kind), clause="LG-02"
        )


def test_a_body_without_a_length_is_looked_through(school: Backend) -> None:
    content = b'{"religion": 1}'
    with acting_as(school.app, school.teacher()):
        environ = {
            "wsgi.input_terminated": True,
            "wsgi.input": io.BytesIO(content),
            "CONTENT_LENGTH": "",
        }
        answer = school.app.test_client().post(
            "/anything", content_type="application/json", environ_overrides=environ
        )
    assert_refused(answer, clause="LG-08")


def test_a_cell_with_an_identifier_is_named_by_line_and_column(school: Backend) -> None:
    answer = post(
        school, "/anything", data=f"name,note\nx,y\nz,{NIR}\n".encode(), content_type="text/csv"
    )
    assert answer.json["detail"].startswith("line 3, column 2: ")


def test_the_race_columns_of_a_real_bundle_are_refused(school: Backend) -> None:
    import zipfile

    folder = Path(__file__).parents[3] / "shared" / "data" / "oneroster"
    bundles = sorted(folder.glob("*.zip")) if folder.exists() else []
    tables = []
    for bundle in bundles:
        with zipfile.ZipFile(bundle) as archive:
            tables += [
                archive.read(name)
                for name in archive.namelist()
                if name.endswith("demographics.csv")
            ]
    if not tables:
        pytest.skip("../shared/data/oneroster is not there")
    for table in tables:
        answer = post(school, "/anything", data=table, content_type="text/csv")
        assert_refused(answer, clause="LG-08", code="intake-refused")


def test_forms_are_looked_through_too(school: Backend) -> None:
    assert_refused(post(school, "/anything", data={"religion": "x"}), clause="LG-08")
    assert_refused(post(school, "/anything", data={"note": NIR}), clause="LG-02")
    assert post(school, "/exempt", data={"note": "x"}).status_code == 200


def test_a_writing_endpoint_without_declared_fields_takes_none(school: Backend) -> None:
    for sent in ({"json": {"website": "x"}}, {"data": {"website": "x"}}):
        answer = post(school, "/anything", **sent)
        assert (answer.status_code, answer.json["clause"]) == (422, "LG-02")
        assert "name them with accepts=schema_of" in answer.json["detail"]
    assert post(school, "/anything", json={}).status_code == 200


def test_a_body_that_is_no_json_is_told_so(school: Backend) -> None:
    answer = post(school, "/pupils", data="abc", content_type="application/json")
    assert (answer.status_code, "send a JSON object" in answer.json["detail"]) == (422, True)


def test_a_deep_body_is_a_clear_error(school: Backend) -> None:
    answer = post(
        school, "/anything", data="[" * 100_000 + "]" * 100_000, content_type="application/json"
    )
    assert answer.status_code in {200, 422}
    for levels, clause in ((50, "LG-08"), (500, "LG-02")):
        nested: Any = {"religion": 1}
        for _ in range(levels):
            nested = {"x": nested}
        assert_refused(post(school, "/anything", json=nested), clause=clause)


# --- URLs ---


def test_a_personal_value_in_a_url_is_refused(school: Backend) -> None:
    @school.app.get("/find")
    @school.privacy.handles("student.profile", **READS)
    def find() -> str:
        return "found"

    with acting_as(school.app, school.teacher()):
        client = school.app.test_client()
        assert client.get("/find?page=2").text == "found"
        for query, clause in (
            (f"last_name={CANARY}", "LG-02"),
            ("religion=x", "LG-08"),
            (f"q={NIR}", "LG-02"),
        ):
            answer = client.get(f"/find?{query}")
            assert_refused(answer, clause=clause, code="intake-refused")
            assert CANARY not in answer.text


def test_a_redirect_that_carries_what_was_opened_is_refused(
    school: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    @school.app.get("/to-name")
    @school.privacy.handles("student.profile", **READS)
    def to_name() -> Any:
        row = db.session.get(Student, school.students[school.schools[0]][0])
        return redirect(f"/pupils?name={row.first_name}")

    @school.app.get("/by-hand")
    @school.privacy.handles("student.profile", **READS)
    def by_hand() -> Any:
        g.row = db.session.get(Student, school.students[school.schools[0]][0])
        return "see there", 303, {"Location": f"/pupils/{quote(g.row.first_name)}"}

    for path in ("/to-name", "/by-hand"):
        with acting_as(school.app, school.teacher()), captured_trail(school.app) as trail:
            answer = school.app.test_client().get(path)
        assert_refused(answer, code="intake-refused")
        assert "Location" not in answer.headers
        assert CANARY not in answer.text + caplog.text + repr(trail.events)
        assert trail.events[-1].refused[0].code == "intake-refused"


def test_an_answer_that_opened_something_is_not_cached(school: Backend) -> None:
    @school.app.get("/named")
    @school.privacy.handles("student.profile", **READS)
    def named() -> Any:
        return (
            db.session.get(Student, school.students[school.schools[0]][0]).first_name,
            200,
            {"Cache-Control": "public, max-age=60"},
        )

    with acting_as(school.app, school.teacher()):
        assert school.app.test_client().get("/named").headers.getlist("Cache-Control") == [
            "no-store"
        ]
