"""`grants` and `usage`: who was let in, and what was counted."""

from __future__ import annotations

import datetime as dt
import json

import click

from ..gate.grants import find_grants
from ..models import identifier
from .group import privacy
from .house import print_rows, state


@privacy.command()
@click.option("--client", help="Only of this client.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
def grants(client: str | None, as_json: bool) -> None:
    """Grants to guests and support agents, newest first; those to agents with how often they were used."""
    here = state()
    table, session = here.house.tables.grant.c, here.house.session()
    wanted = [] if client is None else [table.client == identifier(client)]
    found = find_grants(session, here.house.tables, *wanted)
    uses = here.grants.uses_of(found)
    to_agents = {kind.id for kind in here.policy.grant_kinds.values() if kind.agents is not None}
    rows = [
        {
            "id": one.id,
            "kind": one.kind,
            "client": one.client,
            "state": one.state(here.house.utcnow()),
            "categories": ", ".join(sorted(one.categories)),
            "scope": "all"
            if one.scope.everybody
            else f"{len(one.scope.subjects)} subjects, {len(one.scope.groups)} groups",
            "until": one.until and one.until.isoformat(),
            "ground": one.ground,
            "uses": len(uses[one.id]) if one.kind in to_agents else None,
        }
        for one in found
    ]
    print_rows(rows, as_json=as_json)


@privacy.command()
@click.argument("event", required=False)
@click.option("--by", multiple=True, help="day, month, client, or a dimension of the event; may be repeated.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def usage(
    event: str | None, by: tuple[str, ...], since: dt.datetime | None, until: dt.datetime | None, as_json: bool
) -> None:
    """Usage counts of whole days, without groups below the threshold; without EVENT, the events that are counted."""
    here = state()
    if event is None:
        rows = [
            {"event": one.name, "by": one.by, "dimensions": ", ".join(sorted(one.dimensions))}
            for one in here.usage.events.values()
        ]
        print_rows(rows, as_json=as_json)
        return
    found = here.usage.report(event, by=by, since=since and since.date(), until=until and until.date())
    if as_json:
        content = {
            "event": event,
            "by": found.by,
            "rows": list(found.rows),
            "total": found.total,
            "threshold": found.threshold,
        }
        click.echo(json.dumps(content))
        return
    for row in found.rows:
        click.echo("  ".join(f"{name}={value}" for name, value in row.items()))
    click.echo(f"total {found.total}; groups below {found.threshold} are in no row and in no total")
