"""`keys …`: what keys there are, and their rotation."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import click
from sqlalchemy import func, select

from ..crypto.providers.local_file import LocalKeyFile
from ..database.identifiers import canonical_id
from ..errors import ConfigurationError
from ..inbox import SealedInbox
from ..maintenance.progress import Advance
from ..maintenance.runner import MaintenanceRunner
from ..orm.model_info import RECORD_KINDS
from ..state import get_state
from .group import PrivacyGroup, privacy

keys = PrivacyGroup("keys", help="Keys of clients and subjects: listing, rotation, root keys.")


privacy.add_command(keys)


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Advance]:
    """A progress bar on standard error, so that standard output stays for the result."""
    with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
        yield bar.update


def maintenance() -> MaintenanceRunner:
    """The maintenance runner of the current application, with a progress bar."""
    return MaintenanceRunner(get_state().runtime, progress=progress_bar)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
def list_keys(as_json: bool) -> None:
    """Clients with the epochs of their keys, the key service that wraps them and how many subjects
    and records of shared rows hang on them.
    """
    state = get_state()
    table = state.runtime.keys.table
    clients, subjects = table.clients.c, table.subjects.c
    is_record = subjects.kind.startswith(RECORD_KINDS)
    counted = (
        select(
            subjects.holder,
            subjects.epoch,
            func.count(subjects.wrapped).filter(~is_record).label("subjects"),
            func.count(subjects.wrapped).filter(is_record).label("records"),
        )
        .group_by(subjects.holder, subjects.epoch)
        .subquery()
    )
    query = (
        select(
            table.clients,
            func.coalesce(counted.c.subjects, 0).label("subjects"),
            func.coalesce(counted.c.records, 0).label("records"),
        )
        .outerjoin(
            counted, (counted.c.holder == clients.client) & (counted.c.epoch == clients.epoch)
        )
        .order_by(clients.client, clients.epoch)
    )
    with state.runtime.keys.connected(state.runtime.database.session()) as connection:
        rows = [
            {
                "client": row.client,
                "epoch": row.epoch,
                "service": row.service,
                "state": "destroyed" if row.wrapped is None else "living",
                "made": row.made_at.isoformat(timespec="seconds"),
                "wrapped": row.wrapped_at.isoformat(timespec="seconds"),
                "subjects": row.subjects,
                "records": row.records,
            }
            for row in connection.execute(query)
        ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo("  ".join(f"{name}={value}" for name, value in row.items()))
    click.echo(f"{len(rows)} found")


@keys.command()
@click.argument("key_kind", type=click.Choice(["root", "clients", "subjects", "indexes"]))
@click.option("--client", help="Only this client's key.")
@click.option(
    "--grace",
    default=60.0,
    show_default=True,
    help="Seconds before old keys of subjects or indexes are destroyed.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
def rotate(key_kind: str, client: str | None, grace: float, dry_run: bool, as_json: bool) -> None:
    """Renew keys while the application runs; a run that was cut off is taken up by the next.

    \b
    root      wrap the clients' keys under the newest root key
    clients   new client keys; subject keys are wrapped anew, the old epoch is destroyed
    subjects  new subject keys; every record is resealed, the old keys are destroyed
    indexes   new keys for blind indexes and clients; every index is made anew
    """
    if client is not None and key_kind != "clients":
        raise click.UsageError("--client goes with 'clients'")
    runner = maintenance()
    if dry_run:
        _show({"dry run": True, **runner.plan(key_kind, client=client)}, as_json=as_json)
        return
    begun = monotonic()
    if key_kind == "root":
        counts = runner.rotate_root()
    elif key_kind == "clients":
        counts = runner.rotate_clients(client=client)
    elif key_kind == "indexes":
        counts = runner.rotate_indexes(grace=grace)
    else:
        counts = runner.rotate_subjects(grace=grace)
    _show({**counts, "seconds": round(monotonic() - begun, 1)}, as_json=as_json)


@keys.command()
@click.argument("target", metavar="MODEL[.COLUMN]")
@click.option(
    "--dry-run", is_flag=True, help="Say how many rows would be sealed, and change nothing."
)
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
def migrate(target: str, dry_run: bool, as_json: bool) -> None:
    """Move plain text into sealed records while the application runs; all migrating columns of a
    row go together.
    """
    runner = maintenance()
    if dry_run:
        _show({"dry run": True, **runner.plan_migration(target)}, as_json=as_json)
        return
    begun = monotonic()
    counts, remains = runner.migrate_plaintext(target)
    _show({**counts, "seconds": round(monotonic() - begun, 1)}, as_json=as_json)
    if remains:
        click.echo(f"what the database still holds of it goes with: {remains}", err=True)


@keys.command()
@click.argument("model")
@click.option("--drop", multiple=True, metavar="FIELD", help="Take a field out of every record.")
@click.option(
    "--dry-run", is_flag=True, help="Say how many rows would be rewritten, and change nothing."
)
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
def reshape(model: str, drop: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Rewrite the records of a model that was changed: renamed, moved and dropped fields, new
    indexes, fields that are required now.
    """
    runner = maintenance()
    if dry_run:
        plan = runner.plan_reshaping(model, dropped=drop)
        _show({"dry run": True, **plan}, as_json=as_json)
        return
    begun = monotonic()
    counts = runner.reshape(model, dropped=drop)
    _show({**counts, "seconds": round(monotonic() - begun, 1)}, as_json=as_json)


@keys.command()
@click.argument("client")
def ingest(client: str) -> None:
    """Print the public key with which devices seal records for a client, as JSON with base64."""
    key = SealedInbox(get_state().runtime).public_key(client)
    click.echo(json.dumps({"client": canonical_id(client), "key": base64.b64encode(key).decode()}))


@keys.command("new-root")
def new_root() -> None:
    """Add a root key to the local key file; then run 'flask privacy keys rotate root'."""
    name = _key_file().add_root()
    click.echo(
        f"added root key {name}; back the key file up, then run 'flask privacy keys rotate root'"
    )


@keys.command("drop-root")
@click.argument("name")
def drop_root(name: str) -> None:
    """Destroy an older root key that wraps nothing any more."""
    state = get_state()
    file = _key_file()
    clients = state.runtime.keys.table.clients.c
    with state.runtime.keys.connected(state.runtime.database.session()) as connection:
        state.runtime.keys.table.lock_all_clients(connection)
        wrapped = connection.execute(
            select(clients.wrapped).where(clients.wrapped.is_not(None))
        ).scalars()
        wrapped_count = sum(LocalKeyFile.root_of(wrapped_key) == name for wrapped_key in wrapped)
        if wrapped_count:
            raise ConfigurationError(
                f"root key {name} wraps {wrapped_count} client keys; run 'flask privacy keys "
                "rotate root' first"
            )
        file.drop_root(name)
    state.runtime.database.session().commit()
    click.echo(f"destroyed root key {name}")


@keys.command()
@click.argument("client")
@click.option(
    "--to", "service", required=True, help="A key service of LGPRIVACY_KEY_SERVICES, or root."
)
def move(client: str, service: str) -> None:
    """Wrap a client's key by another key service: one that the client brought, or the publisher's
    again.
    """
    moved = maintenance().move(client, service)
    click.echo(f"{moved} keys are wrapped by {service} now")


def _key_file() -> LocalKeyFile:
    state = get_state()
    if not state.config.uses_key_file:
        raise ConfigurationError(
            "the root key is held by a key service, which rotates it itself; there is no local key "
            "file"
        )
    return LocalKeyFile(state.config.key_file)


def _show(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(figures))
    else:
        click.echo(", ".join(f"{name}: {value}" for name, value in figures.items()))
