"""What an endpoint says it does, checked against the policy document before it is ever called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import DeclarationInvalid
from ..policy.engine import Outcome, PolicyEngine
from ..policy.model import Action
from ..policy.sensitive_terms import SensitiveTerms
from ..schemas.labelled import check_schema


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is processed for some roles, for one purpose.

    Attributes:
        categories: Of the policy document.
        roles: Those that may call the view.
        purpose: Of the policy document.
        actions: What is done to any of the categories.
        withhold: Categories that may be left out.
        accepts: The schema that takes the body.
        actions_of: What is done to each category; by default all of the actions.
    """

    categories: frozenset[str]
    roles: frozenset[str]
    purpose: str
    actions: frozenset[Action]
    withhold: frozenset[str] = frozenset()
    accepts: Any = None
    actions_of: Mapping[str, frozenset[Action]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.actions_of:
            object.__setattr__(self, "actions_of", dict.fromkeys(self.categories, self.actions))

    def covers(self, category: str, action: Action) -> bool:
        """Whether an action on a category is declared."""
        return action in self.actions_of.get(category, ())

    def together_with(self, other: Declaration) -> Declaration:
        """One that declares what either does, for the roles of both; raises `DeclarationInvalid`
        where they cannot be one.
        """
        roles = self.roles & other.roles
        if self.purpose != other.purpose:
            raise DeclarationInvalid(
                f"role {min(roles)!r} is declared for two purposes, {self.purpose!r} and "
                f"{other.purpose!r}, and one answer serves one; write an endpoint for each, or "
                "do the lesser part in a 'with privacy.processing(…)' inside the view"
            )
        if None not in (self.accepts, other.accepts):
            raise DeclarationInvalid(
                f"role {min(roles)!r} is declared with two schemas, and one body has one; name "
                "every field in one accepts=schema_of(…)"
            )
        return Declaration(
            self.categories | other.categories,
            roles,
            self.purpose,
            self.actions | other.actions,
            self.withhold | other.withhold,
            self.accepts if other.accepts is None else other.accepts,
            {
                category: self.actions_of.get(category, frozenset())
                | other.actions_of.get(category, frozenset())
                for category in self.categories | other.categories
            },
        )


def add_declaration(
    declared: Iterable[Declaration], declaration: Declaration
) -> tuple[Declaration, ...]:
    """The declarations of one view, of which each role has one: those for a role add up.

    Raises:
        DeclarationInvalid: A role would have two purposes, or two schemas.
    """
    combined: list[Declaration] = []
    new_roles = declaration.roles
    for other in declared:
        if others_only := other.roles - declaration.roles:
            combined.append(replace(other, roles=others_only))
        if other.roles & declaration.roles:
            combined.append(other.together_with(declaration))
        new_roles -= other.roles
    if new_roles:
        combined.append(replace(declaration, roles=new_roles))
    return tuple(combined)


@dataclass(frozen=True, slots=True)
class Exemption:
    """An endpoint that processes no personal data, and why."""

    reason: str


def declare(
    categories: Iterable[str],
    *,
    roles: Iterable[str],
    purpose: str,
    actions: Iterable[str],
    withhold: Iterable[str] = (),
    accepts: Any = None,
) -> Declaration:
    """Make a declaration; raises `DeclarationInvalid` for what is empty or no action."""
    if isinstance(withhold, str):
        raise DeclarationInvalid(
            "withhold= takes a set of categories, such as withhold={'student.activity'}"
        )
    if isinstance(roles, str) or isinstance(actions, str):
        raise DeclarationInvalid(
            "roles= and actions= take a set of names, such as roles={'teacher'}"
        )
    categories = tuple(categories)
    if not all(isinstance(category, str) for category in categories):
        raise DeclarationInvalid(
            "categories are arguments of their own, such as "
            "handles('student.profile', 'student.activity', …)"
        )
    role_names = frozenset(roles)
    if not role_names:
        raise DeclarationInvalid(
            "roles= is empty, so the endpoint could never be called; name the roles that may"
        )
    try:
        done = frozenset(Action(action) for action in actions)
    except ValueError:
        raise DeclarationInvalid(f"actions= knows {', '.join(Action)}") from None
    if not done:
        raise DeclarationInvalid("actions= is empty; leave it out for reading, or name the actions")
    category_names, left_out = frozenset(categories), frozenset(withhold)
    if left_out - category_names:
        raise DeclarationInvalid(
            "withhold= names what may be left out of the declared categories; declare them too"
        )
    schema = accepts() if isinstance(accepts, type) else accepts
    return Declaration(category_names, role_names, purpose, done, left_out, schema)


def check_declaration(declaration: Declaration, decisions: PolicyEngine, location: str) -> None:
    """Refuse a declaration that the policy document can never allow; raises `DeclarationInvalid`
    naming the clause.
    """
    policy = decisions.policy
    for role in sorted(declaration.roles):
        if role not in policy.roles:
            raise DeclarationInvalid(
                f"{location}: the policy document has no role {role!r}; it has "
                f"{', '.join(sorted(policy.roles))}"
            )
    if declaration.purpose not in policy.purposes:
        forbidden = next(
            (p for p in policy.prohibitions if declaration.purpose in p.purposes), None
        )
        if forbidden is not None:
            raise DeclarationInvalid(
                f"{location}: {forbidden.says} [{forbidden.clause}]", clause=forbidden.clause
            )
        raise DeclarationInvalid(
            f"{location}: the policy document has no purpose {declaration.purpose!r}; it has "
            f"{', '.join(sorted(policy.purposes))}"
        )
    for category in sorted(declaration.categories):
        is_known = category in policy.categories
        sensitive = None if is_known else SensitiveTerms(policy).match(category)
        if sensitive is not None:
            raise DeclarationInvalid(
                f"{location}: category {category!r}: {sensitive.says} [{sensitive.clause}]",
                clause=sensitive.clause,
            )
        _check_category(declaration, decisions, location, category)
    if declaration.accepts is not None:
        check_schema(declaration.accepts, policy, declaration.categories, location)


def _check_category(
    declaration: Declaration, decisions: PolicyEngine, location: str, category: str
) -> None:
    """Every role must be allowed every action, under some condition; one that is withheld, at least
    for one role.
    """
    refusals = {
        (role, action): decisions.rules_for(
            role, category, action, declaration.purpose
        ).unconditional_refusal
        for role in sorted(declaration.roles)
        for action in sorted(declaration.actions_of[category])
    }
    is_for_somebody = category in declaration.withhold and None in refusals.values()
    for refusal in refusals.values():
        if refusal is not None and not (is_for_somebody and refusal.outcome is Outcome.NO_RULE):
            how = "prohibited" if refusal.outcome is Outcome.PROHIBITED else "not allowed"
            instead = _other_actions(declaration, decisions, category)
            raise DeclarationInvalid(
                f"{location}: {how}: {refusal.reason}{instead} [{refusal.clause or 'no clause'}]",
                clause=refusal.clause,
            )


def _other_actions(declaration: Declaration, decisions: PolicyEngine, category: str) -> str:
    """What every role could do instead, for whoever left actions= out."""
    possible = [
        action
        for action in Action
        if not declaration.covers(category, action)
        and all(
            decisions.rules_for(role, category, action, declaration.purpose).unconditional_refusal
            is None
            for role in declaration.roles
        )
    ]
    return (
        f"; did you mean actions={{{', '.join(repr(action.value) for action in possible)}}}?"
        if possible
        else ""
    )
