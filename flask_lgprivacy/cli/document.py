"""`policy` and `explain`: what the policy document says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import click

from ..policy import Action, Condition, Decisions, Policy
from .group import privacy
from .house import state


@privacy.command()
@click.option("--matrix", is_flag=True, help="Every role, category, action and purpose, with its outcome.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def policy(matrix: bool, as_json: bool) -> None:
    """The policy document: its clauses, or with --matrix its whole table."""
    here = state()
    document = here.policy
    if not matrix:
        if as_json:
            click.echo(json.dumps({clause.id: clause.says for clause in document.clauses.values()}, ensure_ascii=False))
        else:
            click.echo(f"{document.name}, version {document.version}")
            for clause in document.clauses.values():
                click.echo(f"{clause.id}  {clause.says}")
        return
    rows = [_cell(here.house.decisions, *key) for key in _keys(document)]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        if row["outcome"] != "no rule":
            when = " or ".join(" and ".join(needed) or "always" for needed in row["conditions"])
            click.echo(
                f"{row['role']:14} {row['category']:20} {row['action']:9} {row['purpose']:20} {row['outcome']:11}"
                f"{row['clause']}  {when}".rstrip()
            )
    click.echo(f"{len(rows)} cells; those that are not listed have no rule and are refused")


def _keys(document: Policy) -> Iterator[tuple[str, str, Action, str]]:
    return product(document.roles, document.categories, Action, document.purposes)


def _cell(decisions: Decisions, role: str, category: str, action: Action, purpose: str) -> dict[str, Any]:
    cell = decisions.cell(role, category, action, purpose)
    conditions: list[list[str]] = []
    if cell.prohibited is not None:
        outcome, clause = "prohibited", cell.prohibited.clause
    elif cell.alternatives:
        outcome, clause = "allowed", cell.alternatives[0][1].clause
        conditions = [sorted(needed) for needed, _ in cell.alternatives]
    else:
        outcome, clause = "no rule", cell.no_rule.clause
    key = {"role": role, "category": category, "action": str(action), "purpose": purpose}
    return {**key, "outcome": outcome, "clause": clause, "conditions": conditions}


@privacy.command()
@click.option("--actor-role", required=True)
@click.option("--category", required=True)
@click.option("--purpose", required=True)
@click.option("--action", type=click.Choice([str(action) for action in Action]), default="read", show_default=True)
@click.option(
    "--fact",
    "facts",
    multiple=True,
    type=click.Choice([str(condition) for condition in Condition]),
    help="A condition that holds.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def explain(actor_role: str, category: str, purpose: str, action: str, facts: tuple[str, ...], as_json: bool) -> None:
    """Print one decision with every rule that was considered."""
    here = state()
    holding = frozenset(Condition(fact) for fact in facts)
    decision = here.house.decisions.decide(actor_role, category, Action(action), purpose, holding)
    considered = [
        f"{rule.clause}: roles {', '.join(sorted(rule.roles))}; {', '.join(sorted(rule.actions))}; for {', '.join(sorted(rule.purposes))}; "
        f"if {', '.join(sorted(rule.conditions)) or 'always'}"
        for rule in here.policy.rules
        if category in rule.categories
    ]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "outcome": decision.outcome,
                    "clause": decision.clause,
                    "reason": decision.reason,
                    "missing": decision.missing,
                    "considered": considered,
                }
            )
        )
        return
    click.echo(f"{decision.outcome} [{decision.clause or 'no clause'}]: {decision.reason}")
    for name in decision.missing:
        click.echo(f"missing: {name}")
    click.echo(f"rules about {category}:")
    for line in considered:
        click.echo(f"  {line}")
