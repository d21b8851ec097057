"""Every cell of the table against the same policy written in Cedar and decided by Cedar's own engine."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from itertools import chain, combinations, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_lgprivacy.policy import Action, Condition, Outcome, PolicyEngine, load_policy

cedarpy = pytest.importorskip("cedarpy", reason="the oracle needs cedarpy (dependency group tests)")

CEDAR = Path(__file__).with_name("learn_and_go.cedar").read_text(encoding="utf-8")
POLICY = load_policy()
DECISIONS = PolicyEngine(POLICY)
ATTRIBUTES = {condition: condition.value.replace("-", "_") for condition in Condition}
Cell = tuple[str, str, Action, str, frozenset[Condition]]


def fact_sets(cell: tuple[str, str, Action, str]) -> Iterator[frozenset[Condition]]:
    """Every set of facts where a rule speaks of the category; none and all where none does."""
    spoken_of = any(
        cell[1] in rule.categories and cell[0] in rule.roles and cell[3] in rule.purposes
        for rule in POLICY.rules
    )
    if spoken_of:
        for found in chain.from_iterable(
            combinations(Condition, size) for size in range(len(Condition) + 1)
        ):
            yield frozenset(found)
    else:
        yield from (frozenset(), frozenset(Condition))


SHARE = 1 if os.environ.get("LGPRIVACY_TEST_CELLS") == "all" else 24
"""One in so many cells is compared, other ones on each day; `tox run -e thorough` compares all."""


def cells() -> Iterator[Cell]:
    for role, category, action, purpose in product(
        POLICY.roles, POLICY.categories, Action, POLICY.purposes
    ):
        for facts in fact_sets((role, category, action, purpose)):
            yield role, category, action, purpose, facts


def asked(cell: Cell) -> dict[str, object]:
    role, category, action, purpose, facts = cell
    context = {"role": role, "category": category, "action": action.value, "purpose": purpose}
    holding = {attribute: condition in facts for condition, attribute in ATTRIBUTES.items()}
    return {
        "principal": 'Somebody::"x"',
        "action": 'Action::"any"',
        "resource": 'Data::"x"',
        "context": {**context, **holding},
    }


def test_no_cell_is_decided_otherwise_than_by_cedar() -> None:
    every = list(cells())
    assert len(every) > 50_000
    compared = every[dt.date.today().toordinal() % SHARE :: SHARE]
    different = []
    for start in range(0, len(compared), 5000):
        some = compared[start : start + 5000]
        answers = cedarpy.is_authorized_batch([asked(cell) for cell in some], CEDAR, [])
        assert not any(answer.diagnostics.errors for answer in answers)
        different += [
            cell
            for cell, answer in zip(some, answers, strict=True)
            if DECISIONS.decide(*cell[:4], cell[4]).allowed is not answer.allowed
        ]
    assert different == []


def test_the_oracle_allows_something_in_every_way() -> None:
    """A comparison of two tables that refuse everything would show nothing."""
    allowed = {
        (cell[0], cell[2]) for cell in cells() if DECISIONS.decide(*cell[:4], cell[4]).allowed
    }
    assert {role for role, _ in allowed} == set(POLICY.roles) and {
        action for _, action in allowed
    } == set(Action)


FORBIDDEN = [name for prohibition in POLICY.prohibitions for name in prohibition.purposes]
SENSITIVE = [
    name
    for prohibition in POLICY.prohibitions
    for name in prohibition.categories
    if name.startswith("sensitive.")
]


@settings(max_examples=500, deadline=None)
@given(
    role=st.sampled_from([*POLICY.roles, "anybody"]),
    category=st.sampled_from([*POLICY.categories, *SENSITIVE]),
    action=st.sampled_from(list(Action)),
    purpose=st.sampled_from([*POLICY.purposes, *FORBIDDEN]),
    facts=st.frozensets(st.sampled_from(list(Condition))),
)
def test_no_path_leads_from_a_prohibition_to_allowed(
    role: str, category: str, action: Action, purpose: str, facts: frozenset[Condition]
) -> None:
    decision = DECISIONS.decide(role, category, action, purpose, facts)
    is_forbidden = purpose in FORBIDDEN or category in SENSITIVE
    assert not (is_forbidden and decision.allowed)
    for more in (facts, frozenset(Condition)):
        again = DECISIONS.decide(role, category, action, purpose, more)
        if decision.outcome is Outcome.PROHIBITED:
            assert again.outcome is Outcome.PROHIBITED and again.clause == decision.clause
    assert decision.clause in POLICY.clauses or decision.missing
