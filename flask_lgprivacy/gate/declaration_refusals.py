"""What is told where a declaration is for other roles, categories or actions."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import AccessDenied
from ..policy.engine import PolicyEngine
from ..policy.model import Action, Policy
from .declaration import Declaration


@dataclass(frozen=True, slots=True)
class RefusedRole:
    """Why a role has no place at an endpoint, and what it would have done."""

    error: AccessDenied
    category: str | None = None
    action: str | None = None


def refused_role(
    engine: PolicyEngine, policy: Policy, declarations: tuple[Declaration, ...], role: str
) -> RefusedRole:
    """Why a role has no place at an endpoint, as the policy says it where it does.

    Args:
        engine: Of the policy.
        policy: The policy document.
        declarations: Of the endpoint, none of which is for the role.
        role: The actor's.
    """
    declaration = declarations[0]
    for category in sorted(declaration.categories):
        action = min(declaration.actions_of[category], default=Action.READ)
        refusal = engine.rules_for(
            role, category, action, declaration.purpose
        ).unconditional_refusal
        if refusal is not None:
            missing = ", ".join(refusal.missing)
            error = AccessDenied(refusal.reason, clause=refusal.clause, missing=missing)
            return RefusedRole(error, category, action.value)
    names = {name for declaration in declarations for name in declaration.roles}
    roles = " or ".join(sorted(names))
    return RefusedRole(
        AccessDenied(
            f"this is not for role '{role}', but for {roles}",
            clause=policy.purposes[declaration.purpose].clause,
            missing=f"role {roles}",
        )
    )


def what_is_undeclared(declaration: Declaration | None, category: str, action: Action) -> str:
    """What to write so that an action on a category is declared.

    Args:
        declaration: That was entered, or None.
        category: Of the policy document.
        action: What is about to happen.
    """
    if declaration is None:
        return "declares no processing"
    if category not in declaration.categories:
        return f"does not declare {category!r}; add it to its declaration, or do not touch it"
    return (
        f"does not declare the action {action.value!r} on it; add actions={{…, {action.value!r}}}, "
        "or another @privacy.handles(…) with this category and action"
    )
