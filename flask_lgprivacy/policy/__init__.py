"""The policy document: its vocabulary, its loader and the pure decision."""

from .decide import Decision, Decisions, Outcome, decide_disclosure
from .document import SHIPPED, load_policy, parse_policy
from .explain import Considered, Explanation, MatrixCell, matrix
from .explain import explain as explanation
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
    "Considered",
    "Decision",
    "Decisions",
    "Explanation",
    "GrantKind",
    "Identifier",
    "MatrixCell",
    "Outcome",
    "Policy",
    "Recipient",
    "Right",
    "RightOutcome",
    "SensitiveTerms",
    "decide_disclosure",
    "explanation",
    "load_policy",
    "matrix",
    "parse_policy",
]
