"""`requests`: requests of data subjects and controllers."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from ..state import get_state
from .group import privacy
from .output import print_rows


@privacy.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
@click.pass_context
@with_appcontext
def requests(context: click.Context, as_json: bool) -> None:
    """Requests of data subjects and controllers, newest first; 'requests work' does what open ones
    still need.
    """
    if context.invoked_subcommand is not None:
        return
    here = get_state()
    found = list(here.rights.ledger.every(here.runtime.database.session()))
    rows = [
        {
            "id": one.id,
            "right": one.right.value,
            "kind": one.subject[0],
            "client": one.client,
            "state": one.state,
            "received": one.received_at.isoformat(),
            "due": one.due_at.isoformat(),
        }
        for one in found
    ]
    print_rows(rows, as_json=as_json)


@requests.command()
def work() -> None:
    """Remove the rows of clients that were erased; what was cut off is taken up."""
    gone: dict[str, int] = {}
    for request, count in get_state().rights.work():
        gone[request] = gone.get(request, 0) + count
        click.echo(f"request {request}: {gone[request]} subjects removed", err=True)
    click.echo(f"{len(gone)} requests, {sum(gone.values())} subjects removed")
