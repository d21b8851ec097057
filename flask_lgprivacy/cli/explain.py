"""`explain`: one decision, and why."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ..database.identifiers import canonical_id
from ..errors import RequestInvalid
from ..permissions.grant_repository import find_grants, has_open_assistance
from ..policy.explain import explain_decision
from ..policy.model import Action, Condition
from ..state import PrivacyState, get_state
from .group import privacy


@privacy.command()
@click.option("--actor-role", required=True, help="The role of who asks.")
@click.option("--category", required=True, help="What is asked for.")
@click.option("--purpose", required=True, help="For what.")
@click.option(
    "--action",
    type=click.Choice([str(action) for action in Action]),
    default="read",
    show_default=True,
    help="What is to be done.",
)
@click.option(
    "--client",
    help="The client that the actor acts for, if its role is on the client's side, and whose data "
    "it is.",
)
@click.option("--grant", help="A grant that the actor holds, by its id.")
@click.option(
    "--fact",
    "facts",
    multiple=True,
    type=click.Choice([str(condition) for condition in Condition]),
    help="A condition that holds.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def explain(
    actor_role: str,
    category: str,
    purpose: str,
    action: str,
    client: str | None,
    grant: str | None,
    facts: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print one decision with every prohibition and rule that was considered."""
    state = get_state()
    document = state.policy
    for name, declared, entry_kind in (
        (actor_role, document.roles, "role"),
        (category, document.categories, "category"),
        (purpose, document.purposes, "purpose"),
    ):
        prohibited = any(name in entry.purposes for entry in document.prohibitions)
        if name not in declared and not prohibited:
            raise RequestInvalid(
                f"no such {entry_kind}; the policy document has {', '.join(sorted(declared))}"
            )
    holding = {Condition(fact) for fact in facts}
    notes: list[str] = []
    if client is not None:
        holding |= _facts_of_client(state, actor_role, canonical_id(client), notes)
    if grant is not None:
        holding |= _facts_of_grant(state, actor_role, category, purpose, client, grant, notes)
    explanation = explain_decision(
        state.runtime.engine, actor_role, category, Action(action), purpose, frozenset(holding)
    )
    decision = explanation.decision
    if as_json:
        content = {
            "outcome": decision.outcome,
            "clause": decision.clause,
            "reason": decision.reason,
            "missing": decision.missing,
            "facts": sorted(holding),
            "notes": notes,
            "considered": [asdict(trace) for trace in explanation.considered],
        }
        click.echo(json.dumps(content, ensure_ascii=False))
        return
    click.echo(f"{decision.outcome} [{decision.clause or 'no clause'}]: {decision.reason}")
    for name in decision.missing:
        click.echo(f"missing: {name}")
    click.echo(f"facts: {', '.join(sorted(holding)) or 'none'}")
    for note in notes:
        click.echo(f"note: {note}")
    click.echo(f"about {category}:")
    for trace in explanation.considered:
        click.echo(
            f"  {'DECIDES' if trace.decides else 'no'}: {trace.entry} [{trace.clause}]: {trace.why}"
        )


def _facts_of_client(
    state: PrivacyState, role: str, client: str, notes: list[str]
) -> set[Condition]:
    """What is known of a client now."""
    facts = set()
    declared_role = state.policy.roles.get(role)
    if declared_role is not None and declared_role.side == "client":
        facts.add(Condition.OWN_CLIENT)
        notes.append("own-client is assumed: the actor acts for this client")
    if has_open_assistance(state.runtime.database.session(), state.runtime.database.tables, client):
        facts.add(Condition.ASSISTANCE_REQUEST)
    if state.hooks.pays_directly(client):
        facts.add(Condition.DIRECT_PAYMENT)
    if state.storage.is_on_device(state.runtime.database.session(), client):
        notes.append(
            "this client keeps its profiles on its devices: writing one is refused whatever the "
            "rules say"
        )
    return facts


def _facts_of_grant(
    state: PrivacyState,
    role: str,
    category: str,
    purpose: str,
    client: str | None,
    grant: str,
    notes: list[str],
) -> set[Condition]:
    """What a grant gives now, and for what it does not."""
    tables = state.runtime.database.tables
    held_grant = next(
        iter(find_grants(state.runtime.database.session(), tables, tables.grant.c.id == grant)),
        None,
    )
    if held_grant is None:
        raise RequestInvalid("--grant: there is no such grant; 'flask privacy grants' lists them")
    kind = state.policy.grant_kinds.get(held_grant.kind)
    if kind is None:
        notes.append(
            f"the grant does not count: the policy document has no kind {held_grant.kind!r} any "
            "more"
        )
        return set()
    state_now = held_grant.state(state.runtime.utcnow())
    reasons = [
        *([] if state_now == "in-force" else [f"it is {state_now}"]),
        *([] if role == kind.to else [f"it is for role {kind.to}"]),
        *(
            []
            if category in held_grant.categories
            else [f"it covers {', '.join(sorted(held_grant.categories))}"]
        ),
        *([] if purpose == held_grant.purpose else [f"it is for purpose {held_grant.purpose}"]),
        *(
            []
            if client is None or canonical_id(client) == held_grant.client
            else ["it is of another client"]
        ),
        *(
            []
            if kind.agents is None or held_grant.to in state.config.agents
            else ["its agent is not on the list of agents"]
        ),
    ]
    if reasons:
        notes.append(f"the grant does not count: {'; '.join(reasons)}")
        return set()
    scope = "everybody" if held_grant.scope.everybody else "the people it names, and nobody else"
    notes.append(f"the {held_grant.kind} grant is in force until {held_grant.until} for {scope}")
    return {kind.condition}
