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
@click.option("--actor-role", required=True)
@click.option("--category", required=True)
@click.option("--purpose", required=True)
@click.option(
    "--action",
    type=click.Choice([str(action) for action in Action]),
    default="read",
    show_default=True,
)
@click.option(
    "--client",
    help="The client that the actor acts for, if its role is on the client's side, and whose data it is.",
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
    here = get_state()
    holding = {Condition(fact) for fact in facts}
    notes: list[str] = []
    if client is not None:
        holding |= _facts_of_client(here, actor_role, canonical_id(client), notes)
    if grant is not None:
        holding |= _facts_of_grant(here, actor_role, category, purpose, client, grant, notes)
    found = explain_decision(
        here.runtime.engine, actor_role, category, Action(action), purpose, frozenset(holding)
    )
    decision = found.decision
    if as_json:
        content = {
            "outcome": decision.outcome,
            "clause": decision.clause,
            "reason": decision.reason,
            "missing": decision.missing,
            "facts": sorted(holding),
            "notes": notes,
            "considered": [asdict(one) for one in found.considered],
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
    for one in found.considered:
        click.echo(f"  {'DECIDES' if one.decides else 'no'}: {one.entry} [{one.clause}]: {one.why}")


def _facts_of_client(
    here: PrivacyState, role: str, client: str, notes: list[str]
) -> set[Condition]:
    """What is known of a client now."""
    facts = set()
    known = here.policy.roles.get(role)
    if known is not None and known.side == "client":
        facts.add(Condition.OWN_CLIENT)
        notes.append("own-client is assumed: the actor acts for this client")
    if has_open_assistance(here.runtime.database.session(), here.runtime.database.tables, client):
        facts.add(Condition.ASSISTANCE_REQUEST)
    if here.hooks.pays_directly(client):
        facts.add(Condition.DIRECT_PAYMENT)
    if here.storage.is_on_device(here.runtime.database.session(), client):
        notes.append(
            "this client keeps its profiles on its devices: writing one is refused whatever the rules say"
        )
    return facts


def _facts_of_grant(
    here: PrivacyState,
    role: str,
    category: str,
    purpose: str,
    client: str | None,
    grant: str,
    notes: list[str],
) -> set[Condition]:
    """What a grant gives now, and for what it does not."""
    tables = here.runtime.database.tables
    found = next(
        iter(find_grants(here.runtime.database.session(), tables, tables.grant.c.id == grant)), None
    )
    if found is None:
        raise RequestInvalid("--grant: there is no such grant; 'flask privacy grants' lists them")
    kind = here.policy.grant_kinds.get(found.kind)
    if kind is None:
        notes.append(
            f"the grant does not count: the policy document has no kind {found.kind!r} any more"
        )
        return set()
    state_now = found.state(here.runtime.utcnow())
    reasons = [
        *([] if state_now == "in-force" else [f"it is {state_now}"]),
        *([] if role == kind.to else [f"it is for role {kind.to}"]),
        *(
            []
            if category in found.categories
            else [f"it covers {', '.join(sorted(found.categories))}"]
        ),
        *([] if purpose == found.purpose else [f"it is for purpose {found.purpose}"]),
        *(
            []
            if client is None or canonical_id(client) == found.client
            else ["it is of another client"]
        ),
        *(
            []
            if kind.agents is None or found.to in here.config.agents
            else ["its agent is not on the list of agents"]
        ),
    ]
    if reasons:
        notes.append(f"the grant does not count: {'; '.join(reasons)}")
        return set()
    scope = "everybody" if found.scope.everybody else "the people it names, and nobody else"
    notes.append(f"the {found.kind} grant is in force until {found.until} for {scope}")
    return {kind.condition}
