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
    state = get_state()
    table, session = state.runtime.database.tables.grant.c, state.runtime.database.session()
    criteria = [] if client is None else [table.client == canonical_id(client)]
    listed = find_grants(session, state.runtime.database.tables, *criteria)
    uses = state.grants.uses_of(listed)
    to_agents = {kind.id for kind in state.policy.grant_kinds.values() if kind.agents is not None}
    rows = [
        {
            "id": grant.id,
            "kind": grant.kind,
            "client": grant.client,
            "state": grant.state(state.runtime.utcnow()),
            "categories": ", ".join(sorted(grant.categories)),
            "scope": "all"
            if grant.scope.everybody
            else f"{len(grant.scope.subjects)} subjects, {len(grant.scope.groups)} groups",
            "until": grant.until and grant.until.isoformat(),
            "ground": grant.ground,
            "uses": len(uses[grant.id]) if grant.kind in to_agents else None,
        }
        for grant in listed
    ]
    print_rows(rows, as_json=as_json)
