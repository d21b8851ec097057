"""`flask kaligo …`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from flask.cli import AppGroup

from flask_lgprivacy import AccessDenied, Actor

from .models import db
from .privacy import privacy
from .roster_bundle import BundleRefused, Fault, read_bundle
from .roster_import import import_bundle

kaligo = AppGroup("kaligo", help="The handwriting application.")
MOST_SHOWN = 50


@kaligo.command("import-roster")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--without", multiple=True, metavar="FILE", help="Leave a file of the bundle out on purpose."
)
@click.option("--dry-run", is_flag=True, help="Check and count, and store nothing.")
@click.option(
    "--remove-missing",
    is_flag=True,
    help="Take out of the schools who is no longer in a full import.",
)
def import_roster(
    file: Path, without: tuple[str, ...], dry_run: bool, remove_missing: bool
) -> None:
    """Import a OneRoster 1.1 or 1.2 CSV bundle, all or nothing."""
    privacy.initialise()
    db.create_all()
    try:
        bundle = read_bundle(file, privacy.policy, without=without)
        lines = sum(len(rows) for rows in bundle.rows.values())
        with _progress(file.name, lines) as advance:
            done = import_bundle(
                bundle, advance=advance, dry_run=dry_run, remove_missing=remove_missing
            )
    except BundleRefused as refused:
        _print_faults(refused.faults)
        _tell_the_trail(refused.faults)
        raise click.ClickException(f"{file.name} was refused and nothing of it is stored") from None
    for remark in done.remarks:
        click.echo(f"note: {remark}")
    for name in bundle.left_aside:
        click.echo(f"left aside: {name}")
    if bundle.not_taken:
        click.echo(
            f"not taken, because the service does not need it: {', '.join(bundle.not_taken)}"
        )
    counts = ", ".join(f"{count} {name}" for name, count in done.counts.items())
    click.echo(f"{'would import' if dry_run else 'imported'} {counts}")


@contextmanager
def _progress(label: str, lines: int) -> Iterator[Callable[[int], None]]:
    """A bar where somebody looks, and else a line for each tenth."""
    if sys.stderr.isatty():
        with click.progressbar(length=lines, label=label, file=sys.stderr) as bar:
            yield bar.update
        return
    done, told = 0, 0

    def advance(more: int) -> None:
        nonlocal done, told
        done += more
        if lines and done * 10 // lines > told:
            told = done * 10 // lines
            click.echo(f"{label}: {told * 10} % of {lines} lines", err=True)

    yield advance


def _tell_the_trail(faults: list[Fault]) -> None:
    """What a clause forbids is a refusal like any other; the file and the value stay out of it."""
    for clause in sorted({fault.clause for fault in faults if fault.clause}):
        job = privacy.processing(
            actor=Actor("roster-import", role="job"), purpose="provide-service", job="import-roster"
        )
        with suppress(AccessDenied), job as processing:
            processing.refuse(
                AccessDenied(
                    "a roster was refused", clause=clause, missing="a bundle without such columns"
                )
            )


def _print_faults(faults: list[Fault]) -> None:
    for fault in faults[:MOST_SHOWN]:
        click.echo(str(fault), err=True)
    if len(faults) > MOST_SHOWN:
        click.echo(f"… and {len(faults) - MOST_SHOWN} more", err=True)
