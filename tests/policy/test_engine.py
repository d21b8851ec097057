"""Every decision has an outcome, a clause and, for a refusal, what was missing."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_lgprivacy.policy import (
    SHIPPED,
    Action,
    Condition,
    Decision,
    Outcome,
    PolicyEngine,
    SensitiveTerms,
    decide_disclosure,
    load_policy,
    parse_policy,
)

POLICY = load_policy()
DECISIONS = PolicyEngine(POLICY)
TODAY = dt.date(2026, 11, 22)
FACTS = st.frozensets(st.sampled_from(Condition))


def decide(role: str, category: str, action: str, purpose: str, *facts: str) -> Decision:
    return DECISIONS.decide(
        role, category, Action(action), purpose, frozenset(Condition(fact) for fact in facts)
    )


@pytest.mark.parametrize(
    ("question", "outcome", "clause"),
    [
        (
            ("teacher", "student.profile", "read", "provide-service", "own-client"),
            "allowed",
            "LG-03",
        ),
        (("teacher", "student.profile", "read", "provide-service"), "no-rule", "LG-03"),
        (("guest", "student.profile", "read", "provide-service", "own-client"), "no-rule", "LG-20"),
        (
            ("support", "student.profile", "read", "assistance", "strong-authentication"),
            "no-rule",
            "LG-21",
        ),
        (
            (
                "support",
                "student.profile",
                "read",
                "assistance",
                "assistance-request",
                "support-grant",
            ),
            "no-rule",
            "LG-23",
        ),
        (("support", "student.profile", "read", "provide-service"), "no-rule", "LG-06"),
        (("student", "student.profile", "write", "provide-service", "self"), "prohibited", "LG-06"),
        (("job", "student.profile", "read", "research-statistics"), "prohibited", "LG-06"),
        (
            ("teacher", "student.profile", "disclose", "product-updates", "own-client"),
            "prohibited",
            "LG-06",
        ),
        (
            ("teacher", "sensitive.health", "read", "provide-service", "own-client"),
            "prohibited",
            "LG-08",
        ),
        (("operator", "account.identity", "read", "sale"), "prohibited", "LG-09"),
        (("administrator", "account.payment", "read", "billing", "own-client"), "no-rule", "LG-04"),
        (
            ("administrator", "account.payment", "read", "billing", "own-client", "direct-payment"),
            "allowed",
            "LG-04",
        ),
        (
            ("contact", "commercial.contact", "disclose", "product-updates", "self"),
            "no-rule",
            "LG-02",
        ),
    ],
)
def test_a_decision(question: tuple[str, ...], outcome: str, clause: str) -> None:
    decision = decide(*question)
    assert (decision.outcome, decision.clause) == (outcome, clause)


@given(facts=FACTS)
def test_no_facts_lead_from_a_prohibition_to_allowed(facts: frozenset[Condition]) -> None:
    bare = frozenset[Condition]()
    for role, category, action, purpose in itertools.product(
        POLICY.roles,
        [*POLICY.categories, "sensitive.health"],
        Action,
        [*POLICY.purposes, "sale", "advertising"],
    ):
        if DECISIONS.decide(role, category, action, purpose, bare).outcome is Outcome.PROHIBITED:
            assert (
                DECISIONS.decide(role, category, action, purpose, facts).outcome
                is Outcome.PROHIBITED
            )


def test_every_refusal_names_what_was_missing_and_its_clause() -> None:
    for role, category, action, purpose in itertools.product(
        POLICY.roles, POLICY.categories, Action, POLICY.purposes
    ):
        decision = DECISIONS.decide(role, category, action, purpose)
        if decision.outcome is not Outcome.ALLOWED:
            assert decision.clause in POLICY.clauses
            assert decision.missing


@given(
    st.text(max_size=12), st.text(max_size=12), st.sampled_from(Action), st.text(max_size=12), FACTS
)
def test_unknown_names_are_never_allowed(
    role: str, category: str, action: Action, purpose: str, facts: frozenset[Condition]
) -> None:
    known = role in POLICY.roles and category in POLICY.categories and purpose in POLICY.purposes
    assert (
        known
        or DECISIONS.decide(role, category, action, purpose, facts).outcome is not Outcome.ALLOWED
    )


@pytest.mark.parametrize(
    ("recipient", "purpose", "categories", "clause"),
    [
        ("facebook", "product-updates", [], "LG-10"),
        ("mailchimp", "customer-journey", [], "LG-17"),
        ("mailchimp", "product-updates", ["student.profile"], "LG-17"),
        ("mailchimp", "product-updates", ["account.identity"], "LG-17"),
        ("pipedrive", "product-updates", [], "LG-18"),
        ("mailchimp", "sale", [], "LG-09"),
        ("mailchimp", "advertising", [], "LG-11"),
    ],
)
def test_a_disclosure_is_refused(
    recipient: str, purpose: str, categories: list[str], clause: str
) -> None:
    decided = decide_disclosure(POLICY, recipient, purpose, categories, TODAY)
    assert isinstance(decided, Decision)
    assert decided.clause == clause


def test_a_declared_disclosure_returns_the_recipient() -> None:
    decided = decide_disclosure(
        POLICY, "mailchimp", "product-updates", ["commercial.contact"], TODAY
    )
    assert not isinstance(decided, Decision)


def test_a_transfer_tool_that_has_expired_blocks() -> None:
    text = SHIPPED.read_text(encoding="utf-8").replace(
        "since = 2023-07-10 }", "since = 2023-07-10, until = 2026-11-21 }"
    )
    decided = decide_disclosure(
        parse_policy(text, source="x"), "mailchimp", "product-updates", [], TODAY
    )
    assert isinstance(decided, Decision)
    assert decided.clause == "LG-14"


@pytest.mark.parametrize(
    "name",
    ["religion", "demographicRaceTwoOrMoreRaces", "Santé", "SANTE_ELEVE", "tradeUnion", "orientationSexuelle", "ethnicity", "hispanicOrLatinoEthnicity"],
)  # fmt: skip
def test_a_sensitive_name_is_recognised(name: str) -> None:
    found = SensitiveTerms(POLICY).match(name)
    assert found is not None
    assert found.clause == "LG-08"


@pytest.mark.parametrize(
    "name", ["trace", "birth_date", "graceful", "first_name", "strokes", "phone"]
)
def test_an_ordinary_name_is_not_taken_for_a_sensitive_one(name: str) -> None:
    assert SensitiveTerms(POLICY).match(name) is None
