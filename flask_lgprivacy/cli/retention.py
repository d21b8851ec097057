"""`retention …`: what has to go, and goes again after a restore."""

from __future__ import annotations

import json

import click

from ..rights.erasure_replay import ErasureReplay
from ..state import get_state
from .group import PrivacyGroup, privacy

retention = PrivacyGroup("retention", help="What is kept for how long, and what must stay erased.")


privacy.add_command(retention)


@retention.command()
@click.option(
    "--dry-run", is_flag=True, help="Count what would be erased again, and change nothing."
)
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
def replay(dry_run: bool, as_json: bool) -> None:
    """Repeat every erasure after a restore: those with a tombstone, and from the trail those whose
    key was restored too.
    """
    state = get_state()
    done = ErasureReplay.rehearsal(state.runtime) if dry_run else ErasureReplay(state.runtime)
    done.from_tombstones()
    done.from_trail(state.runtime.audit.read({"event": "rights-request"}))
    counts = {"dry run": dry_run, **done.close()}
    if as_json:
        click.echo(json.dumps(counts))
    else:
        click.echo(", ".join(f"{name}: {value}" for name, value in counts.items()))
