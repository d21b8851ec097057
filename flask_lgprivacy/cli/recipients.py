"""`recipients`: whom the policy document lets receive data."""

from __future__ import annotations

import click

from ..state import get_state
from .group import privacy
from .output import print_rows


@privacy.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
def recipients(as_json: bool) -> None:
    """Recipients that the policy document declares."""
    here = get_state()
    rows = [
        {
            "id": one.id,
            "kind": one.kind,
            "country": one.country,
            "purposes": ", ".join(sorted(one.purposes)),
            "categories": ", ".join(sorted(one.categories)),
            "transfer": one.transfer.tool.value if one.transfer else None,
            "clause": one.clause,
            "configured": one.id in here.recipients,
        }
        for one in here.policy.recipients.values()
    ]
    print_rows(rows, as_json=as_json)
