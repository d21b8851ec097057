"""Explains a decision: every prohibition and rule about a category, each with why it does or does
not decide; and the whole table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from .engine import Decision, PolicyEngine, matches
from .model import Action, Condition, Prohibition, Rule


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One entry of the document that speaks of the category: what it says, whether it decides, and
    if not, why not.
    """

    entry: str
    clause: str
    decides: bool
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with everything that was considered, in the document's order; prohibitions come
    first.
    """

    decision: Decision
    considered: tuple[RuleTrace, ...]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One cell of the document's table; `conditions` lists, for *allowed*, each set of which one
    has to hold.
    """

    role: str
    category: str
    action: Action
    purpose: str
    outcome: str
    clause: str | None
    conditions: tuple[tuple[str, ...], ...]


def explain_decision(
    decisions: PolicyEngine,
    role: str,
    category: str,
    action: Action,
    purpose: str,
    facts: frozenset[Condition],
) -> Explanation:
    """Decide, and say how every prohibition and rule about the category bears on it."""
    policy = decisions.policy
    decision = decisions.decide(role, category, action, purpose, facts)
    considered = [
        _of_prohibition(
            prohibition, number, decides=matches(prohibition, role, category, action, purpose)
        )
        for number, prohibition in enumerate(policy.prohibitions)
        if category in prohibition.categories or purpose in prohibition.purposes
    ]
    is_prohibited = any(trace.decides for trace in considered)
    for number, rule in enumerate(policy.rules):
        if category in rule.categories:
            reason = _why_not(rule, role, action, purpose, facts, is_prohibited=is_prohibited)
            considered.append(
                RuleTrace(
                    f"rules[{number}]", rule.clause, not reason, reason or "every condition holds"
                )
            )
    return Explanation(decision, tuple(considered))


def matrix(decisions: PolicyEngine) -> Iterator[MatrixCell]:
    """Every role, category, action and purpose of the document, with its outcome."""
    policy = decisions.policy
    for role, category, action, purpose in product(
        policy.roles, policy.categories, Action, policy.purposes
    ):
        cell = decisions.rules_for(role, category, action, purpose)
        conditions: tuple[tuple[str, ...], ...] = ()
        if cell.prohibited is not None:
            outcome, clause = "prohibited", cell.prohibited.clause
        elif cell.alternatives:
            outcome, clause = "allowed", cell.alternatives[0][1].clause
            conditions = tuple(tuple(sorted(needed)) for needed, _ in cell.alternatives)
        else:
            outcome, clause = "no rule", cell.no_rule.clause
        yield MatrixCell(role, category, action, purpose, outcome, clause, conditions)


def _of_prohibition(prohibition: Prohibition, number: int, *, decides: bool) -> RuleTrace:
    entry = f"prohibitions[{number}] {prohibition.id}"
    reason = (
        prohibition.says if decides else "does not speak of this role, action and purpose together"
    )
    return RuleTrace(entry, prohibition.clause, decides, reason)


def _why_not(
    rule: Rule,
    role: str,
    action: Action,
    purpose: str,
    facts: frozenset[Condition],
    *,
    is_prohibited: bool,
) -> str:
    """Why a rule does not allow; empty where it does."""
    if role not in rule.roles:
        return f"is for {', '.join(sorted(rule.roles))}"
    if action not in rule.actions:
        return f"allows {', '.join(sorted(rule.actions))}"
    if purpose not in rule.purposes:
        return f"is for {', '.join(sorted(rule.purposes))}"
    if rule.conditions - facts:
        return f"needs {', '.join(sorted(rule.conditions - facts))}"
    return "is overruled by a prohibition" if is_prohibited else ""
