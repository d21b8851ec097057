"""`check`: everything declared, labelled and reachable, for continuous integration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from flask import current_app

from ..database.tables import has_table, missing_tables
from ..errors import ConfigurationError
from ..gate.actor import NO_ACTOR_LOADER
from ..gate.declaration import Exemption
from ..maintenance.layout_catalogue import LayoutCatalogue
from ..maintenance.missing_keys import MissingKeys
from ..maintenance.plaintext_migration import faults_of_migrations
from ..orm.personal_names import unlabelled_personal_columns
from ..state import PrivacyState, get_state
from ..stores import OUTSIDE, categories_by_store
from ..web.endpoints import endpoints_of
from .group import privacy


@privacy.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(as_json: bool) -> None:
    """Every route declared or exempt, every column labelled, every recipient reachable; exit status
    1 for a fault.
    """
    state = get_state()
    faults = []
    endpoints = endpoints_of(current_app)
    entries = list(endpoints.entries())
    for entry in entries:
        if entry.stated is None:
            faults.append(
                f"endpoint {entry.endpoint} ({entry.method} {entry.rule}) declares no processing; "
                f"{endpoints.remedy(entry.endpoint)}"
            )
    faults += endpoints.faults(state.runtime.engine)
    try:
        state.runtime.models.check_again()
        kinds = sorted(state.runtime.models.graph.subjects)
    except ConfigurationError as error:
        faults += error.message.splitlines()
        kinds = []
    if kinds:
        faults += unlabelled_personal_columns(state.runtime.models.graph)
        faults += _faults_of_records(state)
    faults += _faults_of_setting_up(state)
    for recipient in state.policy.recipients.values():
        if recipient.transfer and not recipient.transfer.in_force(state.runtime.utcnow().date()):
            faults.append(f"recipient {recipient.id}: its transfer tool is not in force today")
    exempt = {
        entry.endpoint: entry.stated.reason
        for entry in entries
        if isinstance(entry.stated, Exemption)
    }
    stores = _stores(state) if kinds else []
    if as_json:
        content = {
            "faults": faults,
            "endpoints": len(entries),
            "exempt": exempt,
            "subjects": kinds,
            "stores": stores,
        }
        click.echo(json.dumps(content, ensure_ascii=False))
    else:
        for fault in faults:
            click.echo(fault)
        for endpoint, reason in exempt.items():
            click.echo(f"exempt: {endpoint}: {reason}")
        for store in stores:
            click.echo(
                f"store: {store['name']}: {store['host']} ({store['country']}) "
                f"{', '.join(store['categories'])}{ASKED[store['asked']]}".rstrip()
            )
        click.echo(
            f"{len(entries)} endpoints, {len(exempt)} exempt; subjects: "
            f"{', '.join(kinds) or 'none'}; {len(faults)} faults"
        )
    if faults:
        raise SystemExit(1)


def _stores(state: PrivacyState) -> list[dict[str, Any]]:
    """Every declared store with what its labelled models hold."""
    held_categories = categories_by_store(state.runtime.models.graph)
    asked = {
        store: store in state.runtime.stores.names
        for store in state.config.stores
        if store.partition(":")[0] in OUTSIDE
    }
    return [
        {
            "name": store.name,
            "host": store.host,
            "country": store.country,
            "asked": asked.get(store.name),
            "categories": sorted(held_categories.get(store.name, frozenset()) | store.categories),
        }
        for store in state.config.stores.values()
    ]


ASKED = {
    True: "; asked at exports and erasures",
    False: "; NOT asked at exports and erasures: bring it with LGPrivacy(stores=…)",
    None: "",
}
"""What is said of a store outside the database, and of the others."""


def _faults_of_records(state: PrivacyState) -> list[str]:
    """Where models and stored records differ."""
    tables = state.runtime.database.tables
    if tables.record_layout.name in missing_tables(state.database.engines, tables):
        return []  # the missing table is a fault of its own
    session, catalogue = state.runtime.database.session(), LayoutCatalogue(state.runtime)
    return [
        *catalogue.faults(session),
        *catalogue.notes(session),
        *faults_of_migrations(state.runtime, session),
        *_people_without_keys(state),
    ]


def _people_without_keys(state: PrivacyState) -> Iterator[str]:
    """Models of which people have no key, as the first rows of each show."""
    session = state.runtime.database.session()
    for layout in state.runtime.models.graph.subjects.values():
        if layout.plaintext_columns or not has_table(session, layout.table):
            continue
        _, clients = next(MissingKeys(state.runtime, layout).find(session), (0, {}))
        if clients:
            yield (
                f"{layout.name}: people were recorded before this package and have no key, so "
                "nothing of them is read; set LGPRIVACY_MIGRATION_WINDOWS and run 'flask privacy "
                f"keys migrate {layout.name}'"
            )


def _faults_of_setting_up(state: PrivacyState) -> Iterator[str]:
    if state.config.uses_key_file and not state.config.key_file.exists():
        yield (
            f"the key file {state.config.key_file.name} does not exist; run 'flask privacy "
            "init', or restore it"
        )
    for table in missing_tables(state.database.engines, state.runtime.database.tables):
        yield f"the table {table} does not exist; run 'flask privacy init', or your migrations"
    if not state.hooks.has_actor_loader:
        yield NO_ACTOR_LOADER
    for right in state.rights.names:
        if not any(right in rule.rights for rule in state.policy.rights):
            yield f"the right {right!r} has a handler and no [[rights]] entry, so nobody may use it"
    for endpoint in state.config.exempt:
        if endpoint not in current_app.view_functions:
            yield f"LGPRIVACY_EXEMPT names {endpoint!r}, which is no endpoint"
