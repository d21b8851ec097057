"""The policy document: its vocabulary, its loader and the pure decision."""

from .decide import Decision, Decisions, Outcome, decide_disclosure
from .document import SHIPPED, load_policy, parse_policy
from .terms import SensitiveTerms
from .vocabulary import (
    ABOUT_ONE_SUBJECT,
    GRANTED,
    Action,
    Basis,
    Capacity,
    Condition,
    GrantKind,
    Identifier,
    Policy,
    Recipient,
    Right,
    RightOutcome,
)

__all__ = [
    "ABOUT_ONE_SUBJECT",
    "GRANTED",
    "SHIPPED",
    "Action",
    "Basis",
    "Capacity",
    "Condition",
    "Decision",
    "Decisions",
    "GrantKind",
    "Identifier",
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
