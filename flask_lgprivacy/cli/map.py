"""`map`: whose the rows of each table are."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ..orm.ownership_map import ownership_map
from ..state import get_state
from .group import privacy


@privacy.command("map")
@click.option("--owners", is_flag=True, required=True, help="By kind of subject, every table.")
@click.option("--kind", help="Only this kind of subject.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def map_owners(owners: bool, kind: str | None, as_json: bool) -> None:  # noqa: ARG001  the one map so far
    """For each kind of subject every table that holds its data: over which keys, what an export
    shows, what an erasure does.
    """
    graph = get_state().runtime.models.graph
    if kind is not None and kind not in graph.subjects:
        known = ", ".join(sorted(graph.subjects)) or "none"
        raise click.ClickException(f"there is no kind of subject {kind!r}; there is {known}")
    entries = [entry for entry in ownership_map(graph) if kind in (None, entry.kind)]
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], ensure_ascii=False))
        return
    for number, entry in enumerate(entries):
        if not entry.over:
            click.echo(f"{chr(10) if number else ''}{entry.kind}")
        path = " <- ".join(reversed(entry.over)) or "the person's own row"
        click.echo(
            f"  {entry.table}: {entry.meaning}, {path}; shown: {entry.shows}; erasure: "
            f"{entry.erasure}"
        )
