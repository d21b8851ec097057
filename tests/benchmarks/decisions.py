"""What a decision with its reason costs, against a dictionary look-up and libraries that decide: the same questions to each."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import casbin
import cedarpy
from flask_principal import Identity, Permission, UserNeed

from flask_lgprivacy.policy import Action, Condition, PolicyEngine, load_policy

QUESTIONS = 5_000
BUDGET = 5e-6
"""Seconds that one decision may take: the aim, shown in look-ups of the same run."""

CEDAR = Path(__file__).parents[1] / "policy" / "learn_and_go.cedar"
MODEL = """
[request_definition]
r = role, category, action, purpose, facts
[policy_definition]
p = role, category, action, purpose, needs
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.role == p.role && r.category == p.category && r.action == p.action && r.purpose == p.purpose && within(p.needs, r.facts)
"""
Question = tuple[str, str, Action, str, frozenset[Condition]]


def decisions(row: Callable[..., None]) -> None:
    """The rows of this file."""
    policy = load_policy()
    asked = questions(policy)
    table = PolicyEngine(policy)
    expected = [table.decide(*one[:4], one[4]).allowed for one in asked]
    known = {
        one: ("allowed" if allowed else "refused", "LG-00")
        for one, allowed in zip(asked, expected, strict=True)
    }

    def ours() -> None:
        for role, category, action, purpose, facts in asked:
            decision = table.decide(role, category, action, purpose, facts)
            _ = decision.outcome, decision.clause, decision.reason

    def lookup() -> None:
        for one in asked:
            _ = known[one]

    row(
        "a decision with its reason against a dictionary look-up",
        ours,
        lookup,
        aim=round(BUDGET / seconds(lookup), 1),
    )
    for name, peer, aim in (
        ("pycasbin", casbin_peer(policy, asked, expected), 0.1),
        ("cedarpy", cedar_peer(asked, expected), None),
        ("Flask-Principal, which gives no reason", principal_peer(policy, asked, expected), None),
    ):
        row(f"a decision with its reason against {name}", ours, peer, aim=aim, rounds=3)


def questions(policy: Any) -> list[Question]:
    """Cells that the document speaks of and cells that it does not, under facts that hold and facts that do not."""
    chosen = random.Random(7)
    spoken = [
        (role, category, action, purpose, frozenset(rule.conditions))
        for rule in policy.rules
        for role, category, action, purpose in product(
            rule.roles, rule.categories, rule.actions, rule.purposes
        )
    ]
    spoken.sort(key=str)
    every = list(product(policy.roles, policy.categories, Action, policy.purposes))
    asked: list[Question] = []
    while len(asked) < QUESTIONS:
        asked.append(chosen.choice(spoken))
        asked.append((*chosen.choice(spoken)[:4], frozenset()))
        asked.append((*chosen.choice(every), frozenset(chosen.sample(list(Condition), 2))))
    return asked


def casbin_peer(policy: Any, asked: list[Question], expected: list[bool]) -> Callable[[], None]:
    model = casbin.Model()
    model.load_model_from_text(MODEL)
    enforcer = casbin.Enforcer(model)
    enforcer.add_function("within", lambda needs, facts: set(needs.split()) <= set(facts.split()))
    decided = PolicyEngine(policy)
    for rule in policy.rules:
        for role, category, action, purpose in product(
            rule.roles, rule.categories, rule.actions, rule.purposes
        ):
            if decided.rules_for(role, category, action, purpose).prohibited is None:
                enforcer.add_policy(
                    role, category, action.value, purpose, " ".join(sorted(rule.conditions))
                )
    written = [(*one[:2], one[2].value, one[3], " ".join(sorted(one[4]))) for one in asked]
    assert [enforcer.enforce(*one) for one in written[:300]] == expected[:300]

    def peer() -> None:
        for one in written:
            enforcer.enforce_ex(*one)

    return peer


def cedar_peer(asked: list[Question], expected: list[bool]) -> Callable[[], None]:
    text = CEDAR.read_text(encoding="utf-8")
    written = [
        {
            "principal": 'Somebody::"x"',
            "action": 'Action::"any"',
            "resource": 'Data::"x"',
            "context": {
                "role": role, "category": category, "action": action.value, "purpose": purpose,
                **{condition.value.replace("-", "_"): condition in facts for condition in Condition},
            },
        }
        for role, category, action, purpose, facts in asked
    ]  # fmt: skip
    answers = cedarpy.is_authorized_batch(written, text, [])
    assert [answer.allowed for answer in answers] == expected

    def peer() -> None:
        cedarpy.is_authorized_batch(written, text, [])

    return peer


def principal_peer(policy: Any, asked: list[Question], expected: list[bool]) -> Callable[[], None]:
    """Needs are plain sets, so each alternative of conditions is a need of its own, provided by whom it holds for."""
    decided = PolicyEngine(policy)
    held = []
    for role, category, action, purpose, facts in asked:
        identity = Identity("x")
        identity.provides.add(UserNeed(role))
        cell = decided.rules_for(role, category, action, purpose)
        if cell.prohibited is None and any(needed <= facts for needed, _ in cell.alternatives):
            identity.provides.add(UserNeed((category, action.value, purpose)))
        held.append((identity, (category, action.value, purpose)))
    assert [Permission(UserNeed(need)).allows(identity) for identity, need in held] == expected

    def peer() -> None:
        for identity, need in held:
            Permission(UserNeed(need)).allows(identity)

    return peer


def seconds(work: Callable[[], None]) -> float:
    """How long one question takes at the least."""
    best = min(_timed(work) for _ in range(5))
    return best / QUESTIONS


def _timed(work: Callable[[], None]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun
