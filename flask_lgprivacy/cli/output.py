"""How commands print."""

from __future__ import annotations

import json
from typing import Any

import click


def print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """A listing, for people or as JSON."""
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        click.echo("  ".join(f"{name}={value}" for name, value in row.items() if value is not None))
    click.echo(f"{len(rows)} found")
