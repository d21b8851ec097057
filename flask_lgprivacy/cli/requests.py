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
    state = get_state()
    listed = list(state.rights.requests.every(state.runtime.database.session()))
    rows = [
        {
            "id": request.id,
            "right": request.right,
            "kind": request.subject[0],
            "client": request.client,
            "state": request.state,
            "received": request.received_at.isoformat(),
            "due": request.due_at.isoformat(),
        }
        for request in listed
    ]
    print_rows(rows, as_json=as_json)


@requests.command()
def work() -> None:
    """Remove the rows of clients that were erased; what was cut off is taken up."""
    removed: dict[str, int] = {}
    for request, count in get_state().rights.work():
        removed[request] = removed.get(request, 0) + count
        click.echo(f"request {request}: {removed[request]} subjects removed", err=True)
    click.echo(f"{len(removed)} requests, {sum(removed.values())} subjects removed")
    state = get_state()
    session = state.runtime.database.session()
    for open_request in state.rights.requests.unfinished(session):
        waiting = state.rights.requests.find(session, open_request.id)
        note = waiting.steps[-1].note if waiting is not None and waiting.steps else None
        click.echo(
            f"request {open_request.id} waits: {note or 'it is being carried out'}", err=True
        )
