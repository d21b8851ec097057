"""The policy document: its model, its loader and the engine that decides."""

from .disclosure_rules import decide_disclosure
from .engine import Decision, Outcome, PolicyEngine
from .explain import Explanation, MatrixCell, RuleTrace, explain_decision, matrix
from .loader import SHIPPED, load_policy, parse_policy
from .model import (
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
from .sensitive_terms import SensitiveTerms

__all__ = [
    "ABOUT_ONE_SUBJECT",
    "GRANTED",
    "SHIPPED",
    "Action",
    "Basis",
    "Capacity",
    "Condition",
    "Decision",
    "Explanation",
    "GrantKind",
    "Identifier",
    "MatrixCell",
    "Outcome",
    "Policy",
    "PolicyEngine",
    "Recipient",
    "Right",
    "RightOutcome",
    "RuleTrace",
    "SensitiveTerms",
    "decide_disclosure",
    "explain_decision",
    "load_policy",
    "matrix",
    "parse_policy",
]
