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
    state = get_state()
    rows = [
        {
            "id": recipient.id,
            "kind": recipient.kind,
            "country": recipient.country,
            "purposes": ", ".join(sorted(recipient.purposes)),
            "categories": ", ".join(sorted(recipient.categories)),
            "transfer": recipient.transfer.tool.value if recipient.transfer else None,
            "clause": recipient.clause,
            "configured": recipient.id in state.config.recipients,
        }
        for recipient in state.policy.recipients.values()
    ]
    print_rows(rows, as_json=as_json)
