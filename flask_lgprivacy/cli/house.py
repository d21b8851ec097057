"""`init`, `check`, `requests` and `recipients`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from ..custody.storage import CLOUD, DEVICE
from ..custody.stores import held_in
from ..errors import ConfigurationError
from ..gate import Exemption
from ..gate.actor import NO_ACTOR_LOADER
from ..models.tables import missing_tables
from ..vault import LocalKeyFile
from .group import privacy


def state() -> Any:
    """The state of the current application; raises `ConfigurationError` where there is none."""
    found = current_app.extensions.get("lgprivacy")
    if found is None:
        raise ConfigurationError("this application does not use LGPrivacy; call privacy.init_app(app)")
    return found


def initialise(here: Any) -> Iterator[str]:
    """Make the key file, the tables and the trail directory where they are missing; yields what was done, for people."""
    if (
        here.uses_key_file
        and not here.settings.key_file.exists()
        and here.house.keys.has_keys(here.database.engines[here.settings.keys_bind])
    ):
        raise ConfigurationError(
            f"the database holds keys, but their key file {here.settings.key_file.name} is gone; restore it, a new one cannot open them"
        )
    if here.uses_key_file:
        try:
            LocalKeyFile.create(here.settings.key_file)
            yield f"made the key file {here.settings.key_file} (mode 0600); keep a copy away from the data's backups"
        except FileExistsError:
            LocalKeyFile(here.settings.key_file)
            yield f"kept the key file {here.settings.key_file}"
    for table in here.house.tables.all():
        table.create(here.database.engines[table.metadata.info.get("bind_key")], checkfirst=True)
    here.house.keys.publisher_secret(here.house.session())
    yield f"{len(here.house.tables.all())} tables are there"
    yield f"the trail is written to {here.settings.trail_directory}"


@privacy.command()
def init() -> None:
    """Make the key file, the tables and the trail directory; what exists stays."""
    for line in initialise(state()):
        click.echo(line)


@privacy.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(as_json: bool) -> None:
    """Every route declared or exempt, every column labelled, every recipient reachable; exit status 1 for a fault."""
    here = state()
    faults = []
    entries = list(here.gate.census.entries())
    for entry in entries:
        if entry.stated is None:
            faults.append(
                f"endpoint {entry.endpoint} ({entry.method} {entry.rule}) declares no processing; "
                f"{here.gate.census.remedy(entry.endpoint)}"
            )
    try:
        here.house.models_changed()
        kinds = sorted(here.house.graph.subjects)
    except ConfigurationError as error:
        faults.append(error.message)
        kinds = []
    faults += _faults_of_setting_up(here)
    for recipient in here.policy.recipients.values():
        if recipient.transfer and not recipient.transfer.in_force(here.house.utcnow().date()):
            faults.append(f"recipient {recipient.id}: its transfer tool is not in force today")
    exempt = {entry.endpoint: entry.stated.reason for entry in entries if isinstance(entry.stated, Exemption)}
    stores = _stores(here) if kinds else []
    if as_json:
        found = {"faults": faults, "endpoints": len(entries), "exempt": exempt, "subjects": kinds, "stores": stores}
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        for fault in faults:
            click.echo(fault)
        for endpoint, reason in exempt.items():
            click.echo(f"exempt: {endpoint}: {reason}")
        for store in stores:
            click.echo(
                f"store: {store['name']}: {store['host']} ({store['country']}) {', '.join(store['categories'])}".rstrip()
            )
        click.echo(
            f"{len(entries)} endpoints, {len(exempt)} exempt; subjects: {', '.join(kinds) or 'none'}; {len(faults)} faults"
        )
    if faults:
        raise SystemExit(1)


def _stores(here: Any) -> list[dict[str, Any]]:
    """Every declared store with what its labelled models hold."""
    held = held_in(here.house.graph)
    return [
        {
            "name": store.name,
            "host": store.host,
            "country": store.country,
            "categories": sorted(held.get(store.name, frozenset()) | store.categories),
        }
        for store in here.stores.values()
    ]


def _faults_of_setting_up(here: Any) -> Iterator[str]:
    if here.uses_key_file and not here.settings.key_file.exists():
        yield f"the key file {here.settings.key_file.name} does not exist; run 'flask privacy init', or restore it"
    for table in missing_tables(here.database.engines, here.house.tables):
        yield f"the table {table} does not exist; run 'flask privacy init', or your migrations"
    if not here.has_actor_loader():
        yield NO_ACTOR_LOADER
    for endpoint in here.settings.exempt:
        if endpoint not in current_app.view_functions:
            yield f"LGPRIVACY_EXEMPT names {endpoint!r}, which is no endpoint"


@privacy.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
@click.pass_context
@with_appcontext
def requests(context: click.Context, as_json: bool) -> None:
    """Requests of data subjects and controllers, newest first; 'requests work' does what open ones still need."""
    if context.invoked_subcommand is not None:
        return
    here = state()
    found = list(here.rights.ledger.every(here.house.session()))
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
    for request, count in state().rights.work():
        gone[request] = gone.get(request, 0) + count
        click.echo(f"request {request}: {gone[request]} subjects removed", err=True)
    click.echo(f"{len(gone)} requests, {sum(gone.values())} subjects removed")


@privacy.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
def recipients(as_json: bool) -> None:
    """Recipients that the policy document declares."""
    here = state()
    rows = [
        {
            "id": one.id,
            "kind": one.kind,
            "country": one.country,
            "purposes": ", ".join(sorted(one.purposes)),
            "categories": ", ".join(sorted(one.categories)),
            "transfer": one.transfer.tool.value if one.transfer else None,
            "clause": one.clause,
            "configured": one.id in here.recipients,
        }
        for one in here.policy.recipients.values()
    ]
    print_rows(rows, as_json=as_json)


@privacy.command()
@click.argument("client")
@click.option("--set", "where", type=click.Choice([CLOUD, DEVICE]), help="Record the client's choice.")
def storage(client: str, where: str | None) -> None:
    """Where a client's profiles are kept: in its cloud space, or on its devices and not by the server."""
    chosen = state().storage
    if where is not None:
        chosen.choose(client, where)
    click.echo(chosen.of(client))


def print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """A listing, for people or as JSON."""
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        click.echo("  ".join(f"{name}={value}" for name, value in row.items() if value is not None))
    click.echo(f"{len(rows)} found")
