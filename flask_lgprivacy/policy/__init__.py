"""The policy document: its vocabulary, its loader and the pure decision."""

from .decide import Decision, Decisions, Outcome, decide_disclosure
from .document import SHIPPED, load_policy, parse_policy
from .terms import SensitiveTerms
from .vocabulary import Action, Basis, Capacity, Condition, Policy, Recipient, Right, RightOutcome

__all__ = [
    "SHIPPED",
    "Action",
    "Basis",
    "Capacity",
    "Condition",
    "Decision",
    "Decisions",
    "Outcome",
    "Policy",
    "Recipient",
    "Right",
    "RightOutcome",
    "SensitiveTerms",
    "decide_disclosure",
    "load_policy",
    "parse_policy",
]
