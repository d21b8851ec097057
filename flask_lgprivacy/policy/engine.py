"""The decision: pure, with a clause for every answer. Prohibitions come first and nothing lifts
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .model import ABOUT_ONE_SUBJECT, Action, Basis, Condition, Policy, Prohibition, Rule


class Outcome(StrEnum):
    """How a decision ends."""

    ALLOWED = "allowed"
    NO_RULE = "no-rule"
    PROHIBITED = "prohibited"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, by which clause, and for a refusal what was missing."""

    outcome: Outcome
    clause: str | None
    reason: str
    missing: tuple[str, ...] = ()
    basis: Basis | None = None

    @property
    def allowed(self) -> bool:
        """Whether the outcome is *allowed*; use `Decisions.decide` and look at `outcome` for the
        rest.
        """
        return self.outcome is Outcome.ALLOWED


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """All that the document says of one (role, category, action, purpose); `relevant_conditions`
    are those that can matter.
    """

    prohibited: Decision | None
    alternatives: tuple[tuple[frozenset[Condition], Decision], ...]
    relevant_conditions: frozenset[Condition]
    is_about_one_subject: bool
    refusals: dict[frozenset[Condition], Decision]
    no_rule: Decision

    @property
    def unconditional_refusal(self) -> Decision | None:
        """None where some set of conditions allows this, else the decision that refuses it
        always.
        """
        if self.prohibited is not None:
            return self.prohibited
        return None if self.alternatives else self.no_rule


class PolicyEngine:
    """A policy compiled to dictionaries; immutable to its users, filled at first use of a cell."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._cells: dict[tuple[str, str, str, str], CompiledRules] = {}

    def decide(
        self,
        role: str,
        category: str,
        action: Action,
        purpose: str,
        facts: frozenset[Condition] = frozenset(),
    ) -> Decision:
        """Decide whether `role` may do `action` to `category` for `purpose` where `facts` hold.

        Returns a `Decision`; never raises for unknown names, which no rule allows.
        """
        return self.decide_by(self.rules_for(role, category, action, purpose), facts)

    def decide_by(self, rules: CompiledRules, facts: frozenset[Condition]) -> Decision:
        """The same for a combination that was looked up before."""
        if rules.prohibited is not None:
            return rules.prohibited
        for conditions, allowed in rules.alternatives:
            if conditions <= facts:
                return allowed
        return self._refusal(rules, facts)

    def rules_for(self, role: str, category: str, action: Action, purpose: str) -> CompiledRules:
        """Everything the document says of one combination, compiled once."""
        key = (role, category, action, purpose)
        rules = self._cells.get(key)
        if rules is None:
            rules = self._compile(role, category, action, purpose)
            if (
                role in self.policy.roles
                and category in self.policy.categories
                and purpose in self.policy.purposes
            ):
                self._cells[key] = rules
        return rules

    def _compile(self, role: str, category: str, action: Action, purpose: str) -> CompiledRules:
        request = f"role '{role}' to {action} '{category}' for '{purpose}'"
        prohibition = next(
            (
                candidate
                for candidate in self.policy.prohibitions
                if matches(candidate, role, category, action, purpose)
            ),
            None,
        )
        prohibited = None
        if prohibition is not None:
            reason = f"{request} is prohibited: {prohibition.says}"
            prohibited = Decision(Outcome.PROHIBITED, prohibition.clause, reason, (prohibition.id,))
        rules = [
            rule for rule in self.policy.rules if _covers(rule, role, category, action, purpose)
        ]
        rules.sort(key=lambda rule: len(rule.conditions))
        declared = self.policy.purposes.get(purpose)
        alternatives = tuple(
            (
                rule.conditions,
                Decision(
                    Outcome.ALLOWED,
                    rule.clause,
                    f"{request} is allowed by a rule under {rule.clause}",
                    basis=declared.basis if declared else None,
                ),
            )
            for rule in rules
        )
        asks = (
            frozenset().union(*(rule.conditions for rule in rules))
            if prohibition is None
            else frozenset()
        )
        no_rule = self._no_rule(request, role, category, action, purpose)
        return CompiledRules(
            prohibited, alternatives, asks, bool(asks & ABOUT_ONE_SUBJECT), {}, no_rule
        )

    def _no_rule(
        self, request: str, role: str, category: str, action: Action, purpose: str
    ) -> Decision:
        for kind, name, among in (
            ("role", role, self.policy.roles),
            ("category", category, self.policy.categories),
            ("purpose", purpose, self.policy.purposes),
        ):
            if name not in among:
                return Decision(
                    Outcome.NO_RULE,
                    None,
                    f"the policy document has no {kind} '{name}'; it has "
                    f"{', '.join(sorted(among))}",
                    (f"{kind} {name}",),
                )
        rules = [
            rule
            for rule in self.policy.rules
            if category in rule.categories and action in rule.actions
        ]
        same = sorted({other for rule in rules if purpose in rule.purposes for other in rule.roles})
        elsewhere = sorted({aim for rule in rules for aim in rule.purposes})
        alternatives = "; nobody may"
        if same:
            alternatives = f"; a rule has it for {', '.join(same)} for {purpose}"
        elif elsewhere:
            alternatives = f"; no rule has it for this purpose, but for {', '.join(elsewhere)}"
        clause = self.policy.categories[category].clause
        return Decision(
            Outcome.NO_RULE, clause, f"no rule allows {request}{alternatives}", ("a rule",)
        )

    def _refusal(self, rules: CompiledRules, facts: frozenset[Condition]) -> Decision:
        if not rules.alternatives:
            return rules.no_rule
        refusal = rules.refusals.get(facts)
        if refusal is None:
            conditions, _ = min(
                rules.alternatives,
                key=lambda alternative: (
                    Condition.EMERGENCY in alternative[0],
                    len(alternative[0] - facts),
                ),
            )
            lacking = [condition for condition in Condition if condition in conditions - facts]
            texts = [self.policy.conditions[condition] for condition in lacking]
            refusal = Decision(
                Outcome.NO_RULE,
                texts[0].clause,
                "; ".join(text.missing for text in texts),
                tuple(str(condition) for condition in lacking),
            )
            rules.refusals[facts] = refusal
        return refusal


def _covers(rule: Rule, role: str, category: str, action: Action, purpose: str) -> bool:
    return (
        role in rule.roles
        and category in rule.categories
        and action in rule.actions
        and purpose in rule.purposes
    )


def matches(
    prohibition: Prohibition, role: str, category: str, action: Action, purpose: str
) -> bool:
    """Whether a prohibition forbids a combination; those about recipients are matched where a
    recipient is known.
    """
    if prohibition.recipient_kinds or prohibition.except_recipient_kinds:
        return False
    return (
        (not prohibition.roles or role in prohibition.roles)
        and (not prohibition.categories or category in prohibition.categories)
        and (not prohibition.actions or action in prohibition.actions)
        and (not prohibition.purposes or purpose in prohibition.purposes)
        and role not in prohibition.except_roles
        and purpose not in prohibition.except_purposes
    )
