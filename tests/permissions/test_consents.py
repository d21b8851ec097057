"""A purpose that rests on consent runs only under one that is recorded, covers it and stands (LG-02; GDPR Art. 7, 8)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from school import CANARY, Backend, Contact, close, db, make_backend
from sqlalchemy import update

from flask_lgprivacy import Actor
from flask_lgprivacy.errors import AccessDenied, PolicyInvalid, RequestInvalid
from flask_lgprivacy.policy import SHIPPED, load_policy, parse_policy
from flask_lgprivacy.testing import acting_as, captured_trail

UPDATES = "product-updates"


def given(backend: Backend, **changes: Any) -> Any:
    asked = {
        "purpose": UPDATES,
        "text_version": "2026-11",
        "collected_via": "web-form",
        "actor": backend.holder(),
        **changes,
    }
    made = backend.privacy.consents.give(("contact", backend.contact), **asked)
    db.session.commit()
    return made


@pytest.fixture
def contacted(backend: Backend) -> Backend:
    with backend.app.app_context():
        with backend.job(
            "commercial.contact",
            actor=backend.holder(),
            actions={"write"},
            purpose="exercise-rights",
        ):
            db.session.add(Contact(id=backend.contact, email=f"{CANARY}@ecole.example"))
            db.session.commit()
    return backend


def email(backend: Backend) -> str:
    with backend.job("commercial.contact", actor=backend.holder(), purpose=UPDATES):
        found: str = db.session.get(Contact, backend.contact).email
    return found


def test_before_during_and_after_a_consent(contacted: Backend) -> None:
    with contacted.app.app_context():
        with pytest.raises(AccessDenied) as denied:
            email(contacted)
        assert (denied.value.clause, denied.value.missing) == ("LG-02", "consent")
        given(contacted)
        assert CANARY in email(contacted)
        assert (
            contacted.privacy.consents.withdraw(
                ("contact", contacted.contact), purpose=UPDATES, actor=contacted.holder()
            )
            == 1
        )
        db.session.commit()
        with pytest.raises(AccessDenied):
            email(contacted)


def test_a_consent_to_a_text_that_no_longer_stands_covers_nothing(contacted: Backend) -> None:
    with contacted.app.app_context():
        given(contacted)
        db.session.execute(
            update(contacted.runtime.database.tables.consent).values(text_version="2019-01")
        )
        db.session.commit()
        with pytest.raises(AccessDenied):
            email(contacted)


def test_a_consent_for_other_categories_covers_nothing(contacted: Backend) -> None:
    with contacted.app.app_context():
        given(contacted)
        db.session.execute(
            update(contacted.runtime.database.tables.consent).values(categories=["visitor.message"])
        )
        db.session.commit()
        with pytest.raises(AccessDenied):
            email(contacted)


def test_somebody_elses_consent_covers_nothing(contacted: Backend) -> None:
    with contacted.app.app_context():
        contacted.privacy.consents.give(
            ("contact", contacted.account),
            purpose=UPDATES,
            text_version="2026-11",
            collected_via="letter",
            actor=contacted.holder(),
        )
        db.session.commit()
        with pytest.raises(AccessDenied):
            email(contacted)


def test_a_consent_is_recorded_with_when_how_and_by_whom(contacted: Backend) -> None:
    with contacted.app.app_context(), captured_trail(contacted.app) as trail:
        made = given(contacted, collected_via="letter")
        stored = contacted.privacy.consents.of(("contact", contacted.contact))
    assert [
        (one.id, one.collected_via, one.by, one.text_version, sorted(one.categories))
        for one in stored
    ] == [(made.id, "letter", "self", "2026-11", ["commercial.contact"])]
    assert [(event.kind, event.step, event.purpose, event.clause) for event in trail.events] == [
        ("consent", "given", UPDATES, "LG-17")
    ]
    assert contacted.contact.hex not in repr(trail.events)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"purpose": "provide-service"},
            "purpose: does not rest on consent; these do: product-updates",
        ),
        ({"text_version": "1999"}, "text_version: the policy document has no such text"),
        ({"collected_via": "the way Jane Doe told me, by phone"}, "collected_via: a word"),
        ({"by": "teacher"}, "by: self or parent"),
        (
            {"categories": {"student.profile"}},
            "categories: must be one or more of commercial.contact",
        ),
        ({"categories": set()}, "categories"),
    ],
)
def test_a_consent_that_says_too_little_is_refused(
    contacted: Backend, changes: Any, says: str
) -> None:
    with contacted.app.app_context():
        with pytest.raises(RequestInvalid, match=says):
            given(contacted, **changes)
        assert contacted.privacy.consents.of(("contact", contacted.contact)) == []


# --- children: another publisher's document, in which a purpose for students rests on consent ---

SURVEY = """
[purposes.survey]
label = "Asking students how they write"
basis = "consent"
texts = ["2026-09"]
clause = "LG-02"

[[rules]]
roles = ["teacher"]
categories = ["student.activity"]
actions = ["read"]
purposes = ["survey"]
conditions = ["own-client", "consent"]
clause = "LG-02"

[purposes.retention]
"""


@pytest.fixture
def surveyed(tmp_path: Path) -> Any:
    document = SHIPPED.read_text(encoding="utf-8").replace("[purposes.retention]\n", SURVEY, 1)
    activity = '[categories."student.activity"]\nlabel = "Educational activities of a student"\ncapacity = "processor"\nsubjects = ["student"]\nbases = ["contract"'
    document = document.replace(activity, activity + ', "consent"')
    document = document.replace(
        'except_purposes = ["provide-service",', 'except_purposes = ["survey", "provide-service",'
    )
    (tmp_path / "policy.toml").write_text(document, encoding="utf-8")
    made = make_backend(tmp_path / "b", LGPRIVACY_POLICY=tmp_path / "policy.toml")
    with made.app.app_context():
        yield made
    close(made)


def covered(backend: Backend) -> bool:
    child = backend.students[backend.schools[0]][0].hex
    return bool(
        backend.privacy.consents.covers(
            db.session(), ("student", child), "survey", "student.activity"
        )
    )


def consents(backend: Backend, by: str, birth_date: dt.date | None = None) -> None:
    child = backend.students[backend.schools[0]][0]
    actor = Actor("desk", role="administrator", client=backend.schools[0])
    backend.privacy.consents.give(
        ("student", child),
        purpose="survey",
        text_version="2026-09",
        collected_via="letter",
        actor=actor,
        by=by,
        birth_date=birth_date,
    )
    db.session.commit()


def test_a_child_needs_a_parent_and_a_parent_the_child(surveyed: Backend) -> None:
    child = surveyed.students[surveyed.schools[0]][0]
    today = dt.datetime.now(dt.UTC).date()
    consents(surveyed, "self", birth_date=today.replace(year=today.year - 14, day=1))
    assert not covered(surveyed)
    consents(surveyed, "parent")
    assert covered(surveyed)
    actor = surveyed.administrator()
    surveyed.privacy.consents.withdraw(
        ("student", child), purpose="survey", actor=actor, by="parent"
    )
    assert not covered(surveyed)
    consents(surveyed, "parent")
    surveyed.privacy.consents.withdraw(("student", child), purpose="survey", actor=actor, by="self")
    assert not covered(surveyed)


def test_a_student_of_fifteen_consents_alone(surveyed: Backend) -> None:
    today = dt.datetime.now(dt.UTC).date()
    consents(surveyed, "self", birth_date=dt.date(today.year - 16, 1, 1))
    assert covered(surveyed)


def test_of_a_student_whose_age_nobody_said_a_parent_is_needed(surveyed: Backend) -> None:
    consents(surveyed, "self")
    assert not covered(surveyed)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('texts = ["2026-11"]\n', "", "purposes.product-updates.texts: name the versions"),
        ('basis = "contract"\nclause = "LG-18"', 'basis = "contract"\ntexts = ["1"]\nclause = "LG-18"', "purposes.customer-journey.texts: only for consent"),
        ('workflow = "invitation"\ncondition = "guest-grant"', 'workflow = "invitation"\ncondition = "self"', "grant_kinds.guest.condition"),
        ('to = "guest"\ngiven_by = ["administrator"]', 'to = "guest"\ngiven_by = ["guest"]', "role guest would give access to itself"),
        ('condition = "emergency"', 'condition = "support-grant"', "another kind meets support-grant for role support already"),
        ('workflow = "invitation"', 'workflow = "handshake"', "no code does the workflow handshake; those that are done are assistance, emergency, invitation"),
        ('workflow = "invitation"', 'workflow = "assistance"', "grant_kinds.guest.asked_by: the workflow assistance needs it"),
        ('workflow = "assistance"', 'workflow = "invitation"', "grant_kinds.support.asked_by: only for the workflow assistance"),
        ('workflow = "emergency"', 'workflow = "assistance"', "another kind has the workflow assistance already"),
        ('workflow = "emergency"\n', '', "grant_kinds.emergency.workflow: Missing data"),
        ('rights = ["export", "delete", "rectify"]', 'rights = ["export", "forget"]', "no code handles the right forget; those that are handled are delete, export, rectify"),
        ('grounds = ["legal-duty", "fraud-and-security", "protection"]', 'grounds = ["curiosity"]', "grant_kinds.emergency.grounds: unknown: curiosity"),
        ('hours = 8\nagents', 'hours = 0\nagents', "grant_kinds.support.hours"),
        ('allows = ["iban"]', 'allows = ["shoe-size"]', "allows"),
        ('[endpoints.grants]', '[endpoints.gifts]', "endpoints.gifts: unknown; one of assistance, consents, grants, requests"),
        ('[endpoints.grants]\npurpose = "provide-service"\nclause = "LG-20"\n', '', "endpoints.grants: missing"),
        ('[endpoints.grants]\npurpose = "provide-service"', '[endpoints.grants]\npurpose = "curiosity"', "endpoints.grants.purpose: unknown: curiosity"),
    ],
)  # fmt: skip
def test_a_document_that_grants_or_asks_wrongly_is_refused(old: str, new: str, says: str) -> None:
    document = SHIPPED.read_text(encoding="utf-8")
    assert old in document
    with pytest.raises(PolicyInvalid, match=says):
        parse_policy(document.replace(old, new, 1), source="policy.toml")


def test_a_rule_that_needs_a_grant_needs_a_kind_of_grant() -> None:
    document = SHIPPED.read_text(encoding="utf-8")
    begin, end = document.index("[grant_kinds.guest]"), document.index("[grant_kinds.support]")
    with pytest.raises(PolicyInvalid, match="no grant_kinds entry meets guest-grant"):
        parse_policy(document[:begin] + document[end:], source="policy.toml")
    assert load_policy().grant_kinds


def test_a_person_without_such_a_role_in_the_data_cannot_consent_over_http(
    backend: Backend,
) -> None:
    sent = {"purpose": UPDATES, "given": True, "text_version": "2026-11"}
    with acting_as(backend.app, backend.student_actor()):
        answer = backend.app.test_client().put("/privacy/consents", json=sent)
    assert (answer.status_code, "it is about contact" in answer.json["detail"]) == (422, True)
