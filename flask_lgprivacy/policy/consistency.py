"""Checks across the entries of a policy document, so that a word left out or misspelt never lets
more happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .countries import COUNTRIES
from .model import GRANTED, Action, Capacity, Condition, GrantKind, Policy, Prohibition, Rule

Refuse = Callable[[str, str, str | None], None]
"""Takes the key of an entry, what is wrong with it, and its clause; raises `PolicyInvalid`."""
TIES = GRANTED | {Condition.OWN_CLIENT, Condition.SELF}
"""Conditions that tie an actor to the people whose data it is about."""
PARAMETERS: Mapping[str, frozenset[str]] = {
    "device-storage": frozenset({"categories"}),
    "child-consent": frozenset({"age", "subjects"}),
    "transfer-tools": frozenset({"region"}),
    "statistics": frozenset({"minimum_group"}),
}
"""The parameters of commitments that the code reads; what no code reads would restrict nothing."""
NEEDED = frozenset({"transfer-tools", "statistics"})
"""Commitments that say nothing without their parameters."""


def check_consistency(policy: Policy, refuse: Refuse) -> None:
    """Check what single entries cannot say of themselves; `refuse` raises at the first fault."""
    if not policy.rights:
        refuse(
            "rights", "name at least one: people exercise their rights by them (GDPR Art. 12)", None
        )
    _check_regions(policy, refuse)
    _check_prohibitions(policy, refuse)
    _check_parameters(policy, refuse)
    for number, rule in enumerate(policy.rules):
        _check_rule(policy, f"rules[{number}]", rule, refuse)
    _check_grant_rules(policy, refuse)


def _check_regions(policy: Policy, refuse: Refuse) -> None:
    for name, countries in policy.regions.items():
        for country in sorted(map(str, countries)):
            if country not in COUNTRIES:
                refuse(
                    f"regions.{name}",
                    f"unknown country: {country}; use codes of ISO 3166-1 such as FR",
                    None,
                )


def _check_prohibitions(policy: Policy, refuse: Refuse) -> None:
    for number, prohibition in enumerate(policy.prohibitions):
        key = f"prohibitions[{number}]"
        matchers: list[tuple[str, Iterable[str], Mapping[str, Any]]] = [
            ("roles", prohibition.roles, policy.roles),
            ("except_roles", prohibition.except_roles, policy.roles),
            ("except_purposes", prohibition.except_purposes, policy.purposes),
            ("except_recipient_kinds", prohibition.except_recipient_kinds, policy.recipient_kinds),
        ]
        if is_narrowed(prohibition):
            matchers += [
                ("categories", prohibition.categories, policy.categories),
                ("purposes", prohibition.purposes, policy.purposes),
                ("recipient_kinds", prohibition.recipient_kinds, policy.recipient_kinds),
            ]
        for matcher, names, among in matchers:
            for name in sorted(names):
                if name not in among:
                    refuse(f"{key}.{matcher}", f"unknown: {name}", prohibition.clause)
        if prohibition.recipient_kinds or prohibition.except_recipient_kinds:
            if prohibition.roles or prohibition.except_roles:
                refuse(
                    key,
                    "recipients are decided about without the actor's role; name roles in a "
                    "prohibition of its own",
                    prohibition.clause,
                )
            if prohibition.actions - {Action.DISCLOSE}:
                refuse(
                    f"{key}.actions",
                    "a prohibition that names recipients is about disclose only",
                    prohibition.clause,
                )


def is_narrowed(prohibition: Prohibition) -> bool:
    """Whether a prohibition holds only for some combinations, so that its names may still be
    declared.
    """
    matchers = [
        prohibition.roles,
        prohibition.categories,
        prohibition.actions,
        prohibition.purposes,
    ]
    exceptions = [
        prohibition.except_roles,
        prohibition.except_purposes,
        prohibition.except_recipient_kinds,
    ]
    return sum(map(bool, [*matchers, prohibition.recipient_kinds])) != 1 or any(exceptions)


def _check_parameters(policy: Policy, refuse: Refuse) -> None:
    for name, commitment in policy.commitments.items():
        key, parameters, clause = (
            f"commitments.{name}.parameters",
            commitment.parameters,
            commitment.clause,
        )
        parameter_names = PARAMETERS.get(name, frozenset())
        for parameter in parameters:
            if parameter not in parameter_names:
                refuse(
                    f"{key}.{parameter}",
                    f"unknown; it has {', '.join(sorted(parameter_names)) or 'none'}",
                    clause,
                )
        if (parameters or name in NEEDED) and parameter_names - parameters.keys():
            refuse(
                key, f"missing: {', '.join(sorted(parameter_names - parameters.keys()))}", clause
            )
        for parameter, value in parameters.items():
            reason = _fault_of(policy, parameter, value)
            if reason is not None:
                refuse(f"{key}.{parameter}", reason, clause)
    storage = policy.commitments["device-storage"]
    if storage.parameters:
        same = {
            category.id
            for category in policy.categories.values()
            if category.clause == storage.clause and category.capacity is Capacity.PROCESSOR
        }
        listed = storage.parameters["categories"]
        left_out = sorted(same - set(listed if isinstance(listed, list) else ()))
        if left_out:
            refuse(
                "commitments.device-storage.parameters.categories",
                f"{left_out[0]} is held under the same clause; name it too",
                storage.clause,
            )


def _fault_of(policy: Policy, parameter: str, value: Any) -> str | None:
    """What is wrong with a parameter's value, or None."""
    among: dict[str, Mapping[str, Any]] = {
        "categories": policy.categories,
        "subjects": policy.subjects,
    }
    if parameter in among:
        if type(value) is not list or not value:
            return "write a list that is not empty"
        unknown = [str(name) for name in value if name not in among[parameter]]
        return f"unknown: {unknown[0]}" if unknown else None
    if parameter == "region":
        return (
            None
            if isinstance(value, str) and value in policy.regions
            else f"unknown region; it has {', '.join(sorted(policy.regions))}"
        )
    least, most = (1, 21) if parameter == "age" else (2, 10_000)
    return (
        None
        if type(value) is int and least <= value <= most
        else f"write a whole number from {least} to {most}, without quotes"
    )


def _check_rule(policy: Policy, key: str, rule: Rule, refuse: Refuse) -> None:
    """A rule leaves out no condition that its roles and purposes need, and ties people to the data
    that they read.
    """
    if Condition.SELF not in rule.conditions:
        for role in sorted(rule.roles):
            missing = policy.roles[role].needs - rule.conditions
            if missing:
                refuse(
                    f"{key}.conditions",
                    f"role {role} needs {', '.join(sorted(missing))}",
                    rule.clause,
                )
    for purpose in sorted(rule.purposes):
        missing = policy.purposes[purpose].needs - rule.conditions
        if missing and not (rule.conditions & {Condition.SELF}):
            refuse(
                f"{key}.conditions",
                f"purpose {purpose} needs {', '.join(sorted(missing))}",
                rule.clause,
            )
    if rule.conditions & TIES or rule.is_for_anybody:
        return
    shown = sorted(name for name in rule.categories if policy.categories[name].exportable)
    for role in sorted(rule.roles):
        side = policy.roles[role].side
        takes_only = side == "public" and (
            rule.actions <= {Action.WRITE} or not shown
        )  # a visitor's message, a password that is compared
        if side != "publisher" and not takes_only:
            reached = (shown or sorted(rule.categories))[0]
            refuse(
                f"{key}.conditions",
                f"role {role} would reach {reached} of everybody; name own-client, self or a "
                "grant, or anybody where that is meant",
                rule.clause,
            )


def _check_grant_rules(policy: Policy, refuse: Refuse) -> None:
    kinds: dict[str, list[GrantKind]] = {}
    for kind in policy.grant_kinds.values():
        kinds.setdefault(kind.to, []).append(kind)
        if kind.condition is Condition.EMERGENCY and not kind.grounds:
            refuse(
                f"grant_kinds.{kind.id}.grounds",
                "an emergency has a ground; name those that there are",
                kind.clause,
            )
    for number, rule in enumerate(policy.rules):
        key = f"rules[{number}].conditions"
        for kind in policy.grant_kinds.values():
            missing = kind.beside - rule.conditions
            if kind.condition in rule.conditions and missing:
                refuse(
                    key, f"{kind.condition} stands beside {', '.join(sorted(missing))}", rule.clause
                )
        is_processor_held = any(
            policy.categories[name].capacity is Capacity.PROCESSOR for name in rule.categories
        )
        for role in (
            sorted(rule.roles)
            if is_processor_held and Condition.SELF not in rule.conditions
            else ()
        ):
            let_in = {kind.condition for kind in kinds.get(role, ())}
            if let_in and not let_in & rule.conditions:
                refuse(
                    key,
                    f"role {role} is let in by {' or '.join(sorted(let_in))}; name it",
                    rule.clause,
                )
