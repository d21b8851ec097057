"""`usage`: what was counted."""

from __future__ import annotations

import datetime as dt
import json

import click

from ..state import get_state
from .group import privacy
from .output import print_rows


@privacy.command()
@click.argument("event", required=False)
@click.option(
    "--by", multiple=True, help="day, month, client, or a dimension of the event; may be repeated."
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def usage(
    event: str | None,
    by: tuple[str, ...],
    since: dt.datetime | None,
    until: dt.datetime | None,
    as_json: bool,
) -> None:
    """Usage counts of whole days, without groups below the threshold; without EVENT, the events
    that are counted.
    """
    state = get_state()
    if event is None:
        rows = [
            {
                "event": declared.name,
                "by": declared.by,
                "dimensions": ", ".join(sorted(declared.dimensions)),
            }
            for declared in state.usage.events.values()
        ]
        print_rows(rows, as_json=as_json)
        return
    report = state.usage.report(
        event, by=by, since=since and since.date(), until=until and until.date()
    )
    if as_json:
        content = {
            "event": event,
            "by": report.by,
            "rows": list(report.rows),
            "total": report.total,
            "threshold": report.threshold,
        }
        click.echo(json.dumps(content))
        return
    for row in report.rows:
        click.echo("  ".join(f"{name}={value}" for name, value in row.items()))
    click.echo(
        f"total {report.total}; groups below {report.threshold} are in no row and in no total"
    )
