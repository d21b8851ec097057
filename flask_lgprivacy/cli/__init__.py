"""`flask privacy …`: set up, check, explain, and read the trail."""

from . import (
    audit,
    check,
    explain,
    grants,
    keys,
    map,
    policy,
    recipients,
    requests,
    retention,
    setup,
    storage,
    usage,
)
from .group import privacy

__all__ = [
    "audit",
    "check",
    "explain",
    "grants",
    "keys",
    "map",
    "policy",
    "privacy",
    "recipients",
    "requests",
    "retention",
    "setup",
    "storage",
    "usage",
]
