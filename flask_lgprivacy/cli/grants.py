"""`grants`: who was let in."""

from __future__ import annotations

import click

from ..database.identifiers import canonical_id
from ..permissions.grant_repository import find_grants
from ..state import get_state
from .group import privacy
from .output import print_rows


@privacy.command()
@click.option("--client", help="Only of this client.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
def grants(client: str | None, as_json: bool) -> None:
    """Grants to guests and support agents, newest first; those to agents with how often they were
    used.
    """
    here = get_state()
    table, session = here.runtime.database.tables.grant.c, here.runtime.database.session()
    wanted = [] if client is None else [table.client == canonical_id(client)]
    found = find_grants(session, here.runtime.database.tables, *wanted)
    uses = here.grants.uses_of(found)
    to_agents = {kind.id for kind in here.policy.grant_kinds.values() if kind.agents is not None}
    rows = [
        {
            "id": one.id,
            "kind": one.kind,
            "client": one.client,
            "state": one.state(here.runtime.utcnow()),
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
