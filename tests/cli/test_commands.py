"""`flask privacy …` says what is there, what is wrong, and what the policy says."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner
from school import STORES, Backend, Student, db

from flask_lgprivacy import LGPrivacy
from flask_lgprivacy.errors import ConfigurationError


@pytest.fixture
def run(backend: Backend) -> Any:
    runner: FlaskCliRunner = backend.app.test_cli_runner()

    def invoke(*arguments: str) -> tuple[int, str]:
        result = runner.invoke(args=["privacy", *arguments])
        return result.exit_code, result.output

    return invoke


def test_init_keeps_what_exists(run: Any, backend: Backend) -> None:
    before = (backend.folder / "lgprivacy.key").read_bytes()
    code, said = run("init")
    assert (code, "kept the key file" in said) == (0, True)
    assert (backend.folder / "lgprivacy.key").read_bytes() == before


def test_verify_names_the_place_of_a_change(run: Any, backend: Backend) -> None:
    assert run("audit", "verify")[0] == 0
    path = backend.folder / "trail" / "w0.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:1], *lines[2:]]))
    code, said = run("audit", "verify")
    assert (code, "w0.jsonl, line 2" in said, "TAMPERED" in said) == (1, True, True)
    code, said = run("audit", "verify", str(backend.folder / "trail"), "--json")
    assert json.loads(said)["findings"][0]["line"] == 2


def test_show_filters_and_prints_json(run: Any, backend: Backend) -> None:
    with (
        backend.app.app_context(),
        backend.reading(1),
        pytest.raises(Exception, match="does not act"),
    ):
        _ = db.session.get(Student, backend.students[backend.schools[0]][0]).first_name
    code, said = run("audit", "show", "--clause", "LG-03", "--json")
    [event] = [json.loads(line) for line in said.splitlines()]
    assert (code, event["refused"][0]["code"]) == (0, "access-denied")
    assert "REFUSED access-denied [LG-03]" in run("audit", "show", "--clause", "LG-03")[1]
    assert len(run("audit", "show", "--limit", "2")[1].splitlines()) == 2


def test_explain_says_why_not(run: Any) -> None:
    code, said = run(
        "explain",
        "--actor-role",
        "support",
        "--category",
        "student.profile",
        "--purpose",
        "assistance",
    )
    assert code == 0
    assert "no-rule [LG-21]" in said
    assert "missing: assistance-request" in said


def test_explain_says_why(run: Any) -> None:
    arguments = (
        "--actor-role",
        "teacher",
        "--category",
        "student.profile",
        "--purpose",
        "provide-service",
        "--fact",
        "own-client",
        "--json",
    )
    assert json.loads(run("explain", *arguments)[1])["outcome"] == "allowed"


def test_the_policy_is_printed(run: Any) -> None:
    assert len([line for line in run("policy")[1].splitlines() if line.startswith("LG-")]) == 31
    assert json.loads(run("policy", "--json")[1])["LG-31"]


def test_the_matrix_holds_every_cell(run: Any, backend: Backend) -> None:
    policy = backend.runtime.policy
    cells = json.loads(run("policy", "--matrix", "--all", "--json")[1])
    assert len(cells) == len(policy.roles) * len(policy.categories) * 4 * len(policy.purposes)
    assert "teacher" in run("policy", "--matrix")[1]


@pytest.mark.parametrize("listing", ["requests", "recipients"])
def test_a_listing_has_json(run: Any, listing: str) -> None:
    assert isinstance(json.loads(run(listing, "--json")[1]), list)
    assert "found" in run(listing)[1]


def test_check_has_json(run: Any) -> None:
    said = json.loads(run("check", "--json")[1])
    assert (said["faults"], said["subjects"]) == ([], ["account", "contact", "student"])


def test_a_lost_key_file_is_not_replaced_by_a_new_one(run: Any, backend: Backend) -> None:
    (backend.folder / "lgprivacy.key").unlink()
    code, said = run("init")
    assert (code, "restore it, a new one cannot open them" in said) == (1, True)
    assert not (backend.folder / "lgprivacy.key").exists()
    assert "the key file lgprivacy.key does not exist" in run("check")[1]


def test_what_is_not_set_up_is_a_fault(tmp_path: Path) -> None:
    app = Flask("new", instance_path=str(tmp_path))
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/new.db",
        LGPRIVACY_EXEMPT={"statik": "files"},
        LGPRIVACY_STORES=STORES,
    )
    db.init_app(app)
    LGPrivacy(app)
    result = app.test_cli_runner().invoke(args=["privacy", "check"])
    assert result.exit_code == 1
    for fault in (
        "key file lgprivacy.key does not exist",
        "table lgprivacy_request does not exist",
        "no actor loader",
        "'statik', which is no endpoint",
    ):
        assert fault in result.output


def test_explain_considers_every_rule_and_prohibition(run: Any) -> None:
    arguments = (
        "--actor-role",
        "job",
        "--category",
        "student.profile",
        "--purpose",
        "retention",
        "--json",
    )
    found = json.loads(run("explain", *arguments)[1])
    assert (found["outcome"], found["clause"]) == ("prohibited", "LG-06")
    considered = {one["entry"]: one for one in found["considered"]}
    assert next(one for name, one in considered.items() if "student-data-is-only-stored" in name)[
        "decides"
    ]
    assert all(one["why"] for one in considered.values())
    assert sum(one["decides"] for one in considered.values()) == 1


def test_explain_says_what_a_grant_gives_now(run: Any, backend: Backend) -> None:
    from datetime import UTC, datetime, timedelta

    from flask_lgprivacy import GrantScope

    with backend.app.app_context():
        grant = backend.privacy.grants.give(
            "guest", by=backend.administrator(), to=("account", backend.account), categories={"student.profile"},
            scope=GrantScope.of(everybody=True), until=datetime.now(UTC) + timedelta(days=1),
        )  # fmt: skip
    asked = (
        "--actor-role",
        "guest",
        "--purpose",
        "provide-service",
        "--client",
        str(backend.schools[0]),
    )
    about = ("--category", "student.profile")
    assert "missing: guest-grant" in run("explain", *asked, *about)[1]
    said = run("explain", *asked, *about, "--grant", grant.id)[1]
    assert said.startswith("allowed [LG-20]") and "the guest grant is in force until" in said
    said = run("explain", *asked, "--category", "student.activity", "--grant", grant.id)[1]
    assert "the grant does not count: it covers student.profile" in said
    with backend.app.app_context():
        backend.privacy.grants.revoke(by=backend.administrator(), grant=grant.id)
    assert (
        "the grant does not count: it is revoked"
        in run("explain", *asked, *about, "--grant", grant.id)[1]
    )
    code, said = run("explain", *asked, *about, "--grant", "none")
    assert (code, "flask privacy grants" in said) == (1, True)
    listed = json.loads(run("grants", "--json")[1])
    assert [(one["id"], one["state"], one["uses"]) for one in listed] == [
        (grant.id, "revoked", None)
    ]


def test_the_matrix_is_narrowed_by_name(run: Any) -> None:
    cells = json.loads(
        run(
            "policy",
            "--matrix",
            "--all",
            "--role",
            "guest",
            "--category",
            "student.profile",
            "--json",
        )[1]
    )
    assert {(cell["role"], cell["category"]) for cell in cells} == {("guest", "student.profile")}
    assert run("policy", "--matrix", "--role", "king")[0] == 1


def test_the_same_as_data_for_tests(backend: Backend) -> None:
    from flask_lgprivacy.testing import assert_every_route_is_declared, explain, policy_matrix

    assert_every_route_is_declared(backend.app)
    backend.app.add_url_rule("/bare", view_func=lambda: "x", endpoint="bare")
    with pytest.raises(AssertionError, match="bare GET"):
        assert_every_route_is_declared(backend.app)
    assert len(policy_matrix(backend.app)) > 4000
    found = explain(
        backend.app,
        role="guest",
        category="student.profile",
        purpose="provide-service",
        facts=["own-client"],
    )
    assert (found.decision.clause, found.decision.missing) == ("LG-20", ("guest-grant",))


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_time_that_is_none_is_refused(backend: Backend, option: str) -> None:
    said = backend.app.test_cli_runner().invoke(args=["privacy", "audit", "show", option, "soon"])
    assert (said.exit_code, "use a time of ISO 8601" in said.output) == (2, True)


def test_times_are_compared_as_times(backend: Backend) -> None:
    def shown(*options: str) -> int:
        arguments = ["privacy", "audit", "show", "--json", *options]
        return len(backend.app.test_cli_runner().invoke(args=arguments).stdout.splitlines())

    everything = shown()
    assert everything > 0
    today = dt.datetime.now(dt.UTC)
    hour = dt.timedelta(hours=1)
    assert shown("--since", today.date().isoformat()) == everything
    assert shown("--until", today.date().isoformat()) == everything
    ahead = dt.timezone(dt.timedelta(hours=14))
    assert shown("--since", (today - hour).astimezone(ahead).isoformat()) == everything
    assert shown("--since", (today + hour).isoformat()) == 0
    assert shown("--until", (today - hour).isoformat()) == 0


def test_a_client_is_found_in_either_spelling(backend: Backend) -> None:
    school = backend.schools[0]
    found = [
        backend.app.test_cli_runner()
        .invoke(args=["privacy", "audit", "show", "--client", spelling])
        .output
        for spelling in (str(school), school.hex)
    ]
    assert found[0] == found[1] != ""


def test_the_matrix_shows_what_is_allowed_and_everything_on_demand(run: Any) -> None:
    allowed = json.loads(run("policy", "--matrix", "--json")[1])
    assert {cell["outcome"] for cell in allowed} == {"allowed"}
    assert len(allowed) < len(json.loads(run("policy", "--matrix", "--all", "--json")[1]))
    assert "prohibited" not in run("policy", "--matrix")[1]
    for option in (["--role", "guest"], ["--category", "student.profile"], ["--all"]):
        assert run("policy", *option)[0] == 2


def test_the_policy_says_in_one_screen_what_labels_need(run: Any) -> None:
    shown = run("policy")[1]
    (profile,) = [
        line for line in shown.splitlines() if line.startswith("category student.profile:")
    ]
    assert all(word in profile for word in ("of student", "held as processor", "in FR", "after"))


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [("--actor-role", "king", "teacher"), ("--category", "shoe-size", "student.profile"),
     ("--purpose", "fun", "provide-service")],
)  # fmt: skip
def test_a_decision_about_what_is_not_declared_is_refused(
    run: Any, option: str, value: str, known: str
) -> None:
    asked = {
        "--actor-role": "teacher",
        "--category": "student.profile",
        "--purpose": "provide-service",
    }
    given = [part for pair in {**asked, option: value}.items() for part in pair]
    status, shown = run("explain", *given)[:2]
    assert (status, "no such" in shown, known in shown) == (1, True, True)


def test_a_job_needs_an_actor_and_a_declaration_its_categories(backend: Backend) -> None:
    nobody: Any = None
    with (
        backend.app.app_context(),
        pytest.raises(ConfigurationError, match="actor= takes an Actor"),
    ):
        backend.privacy.processing(
            "student.profile", actor=nobody, purpose="provide-service", job="x"
        )
    several: Any = ["student.profile"]
    with pytest.raises(ConfigurationError, match="categories are arguments of their own"):
        backend.privacy.handles(several, roles={"teacher"}, purpose="provide-service")


@pytest.mark.parametrize(
    ("option", "known"),
    [("--role", "teacher"), ("--event", "processing"), ("--clause", "LG-01"), ("--purpose", "sign-in"),
     ("--category", "student.profile"), ("--recipient", "mailchimp")],
)  # fmt: skip
def test_a_filter_that_names_nothing_is_said(run: Any, option: str, known: str) -> None:
    shown = run("audit", "show", option, "nobody")[1]
    assert "no event was found" in shown
    assert f"{option} knows" in shown
    assert known in shown
