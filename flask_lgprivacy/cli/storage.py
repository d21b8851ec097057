"""`storage`: where a client keeps its profiles."""

from __future__ import annotations

import click

from ..profile_location import CLOUD, DEVICE
from ..state import get_state
from .group import privacy


@privacy.command()
@click.argument("client")
@click.option(
    "--set", "location", type=click.Choice([CLOUD, DEVICE]), help="Record the client's choice."
)
def storage(client: str, location: str | None) -> None:
    """Where a client's profiles are kept: in its cloud space, or on its devices and not by the
    server.
    """
    chosen = get_state().storage
    if location is not None:
        chosen.choose(client, location)
    click.echo(chosen.of(client))
