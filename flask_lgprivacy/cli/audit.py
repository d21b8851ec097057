"""`audit verify` and `audit show`: the trail, for whoever checks it."""

from __future__ import annotations

import datetime as dt
import json
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from ..audit.events import EVENT_TYPES
from ..audit.reader import read_trail
from ..audit.verifier import verify_trail
from ..database.clock import timestamp
from ..database.identifiers import canonical_id
from ..state import get_state
from .group import privacy

FILTERS = {
    "event": "Only this type of event.",
    "role": "Only of this role.",
    "client": "Only for this client.",
    "endpoint": "Only of this endpoint or job.",
    "purpose": "Only for this purpose.",
    "actor": "Only of this actor, by its pseudonym.",
    "pseudonym": "Only about this subject, by its pseudonym.",
    "category": "Only what touched or was refused this category.",
    "clause": "Only what this clause decided.",
    "code": "Only refusals with this code.",
    "request": "Only of this request.",
    "recipient": "Only to this recipient.",
    "grant": "Only where this grant was used.",
    "since": "From this time, ISO 8601.",
    "until": "Up to this time, ISO 8601.",
}
"""The options of `audit show`, with what they say."""


@privacy.group()
def audit() -> None:
    """Verify and read the trail."""


@audit.command()
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(directory: Path | None, as_json: bool) -> None:
    """Verify every chain: exit status 0 all well, 1 tampered, 2 incomplete, 3 cannot tell."""
    report = verify_trail(directory) if directory else get_state().runtime.audit.verify()
    if as_json:
        findings = [
            {"file": finding.file, "line": finding.line, "what": finding.what}
            for finding in report.findings
        ]
        click.echo(
            json.dumps(
                {
                    "chains": report.chains,
                    "lines": report.lines,
                    "findings": findings,
                    "exit": report.exit_code,
                }
            )
        )
    else:
        for finding in report.findings:
            click.echo(
                f"{finding.file}, line {finding.line}: {finding.what}"
                if finding.line
                else f"{finding.file}: {finding.what}"
            )
        verdict = ("all well", "TAMPERED", "incomplete", "cannot tell")[report.exit_code]
        click.echo(f"{report.chains} chains, {report.lines} lines: {verdict}")
    raise SystemExit(report.exit_code)


@audit.command()
@click.argument(
    "directory", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--limit", type=click.IntRange(min=1), help="The newest so many.")
def show(directory: Path | None, as_json: bool, limit: int | None, **filters: str | None) -> None:
    """Show events in order of time."""
    where = {name: _asked(name, value) for name, value in filters.items() if value is not None}
    events = (
        read_trail(directory, where=where) if directory else get_state().runtime.audit.read(where)
    )
    shown = 0
    for event in deque(events, maxlen=limit) if limit else events:
        click.echo(json.dumps(event) if as_json else _line(event))
        shown += 1
    if not shown:
        click.echo(_why_nothing(where), err=True)


for _name, _help in reversed(FILTERS.items()):
    show = click.option(f"--{_name}", _name, help=_help)(show)


def _asked(name: str, value: str) -> str:
    """What an option asks for, as events hold it."""
    if name in ("client", "request", "grant"):
        return canonical_id(value)
    if name not in ("since", "until"):
        return value
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            "use a time of ISO 8601, such as 2026-11-27 or 2026-11-27T08:00:00+01:00",
            param_hint=f"--{name}",
        ) from None
    if name == "until" and len(value) == len("2026-11-27"):
        moment += dt.timedelta(days=1, milliseconds=-1)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return timestamp(moment.astimezone(dt.UTC))


def _why_nothing(where: Mapping[str, str]) -> str:
    """What is told where no event matches: which names the policy document does not have."""
    policy = get_state().policy
    declared: dict[str, Iterable[str]] = {
        "role": policy.roles,
        "purpose": policy.purposes,
        "category": policy.categories,
        "clause": policy.clauses,
        "recipient": policy.recipients,
        "event": EVENT_TYPES,
    }
    unknown = [
        f"; --{name} knows {', '.join(sorted(declared[name]))}"
        for name, value in where.items()
        if name in declared and value not in declared[name]
    ]
    return "no event was found" + "".join(unknown)


def _line(event: dict[str, object]) -> str:
    parts = [f"{event['at']} {event['chain']}:{event.get('seq')} {event['event']}"]
    hidden = {"at", "chain", "seq", "event", "v", "touched", "refused"}
    parts += [
        f"{name}={value}"
        for name, value in event.items()
        if name not in hidden and value not in (None, [], "")
    ]
    touched, refused = event.get("touched"), event.get("refused")
    for part in touched if isinstance(touched, list) else []:
        parts.append(
            f"{part['action']} {part['category']} of {part['subjects']} ({part['client']})"
        )
    for part in refused if isinstance(refused, list) else []:
        parts.append(
            f"REFUSED {part['code']} [{part['clause']}] {part['category'] or ''} missing "
            f"{', '.join(part['missing']) or '-'}"
        )
    return "  ".join(parts)
