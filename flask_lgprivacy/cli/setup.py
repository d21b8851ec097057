"""`init`: the key file, the tables and the trail directory."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..audit.file_trail import FileAuditTrail
from ..crypto.providers.local_file import LocalKeyFile
from ..database.sqlalchemy_internals import bind_key_of
from ..errors import ConfigurationError, ModelInvalid
from ..maintenance.layout_catalogue import LayoutCatalogue
from ..state import PrivacyState, get_state
from .group import privacy


def initialise(state: PrivacyState) -> Iterator[str]:
    """Make the key file, the tables and the trail directory where they are missing; yields what was
    done, for people.
    """
    if (
        state.config.uses_key_file
        and not state.config.key_file.exists()
        and state.runtime.keys.has_keys(state.database.engines[state.config.keys_bind])
    ):
        raise ConfigurationError(
            f"the database holds keys, but their key file {state.config.key_file.name} is gone; "
            "restore it, a new one cannot open them"
        )
    if state.config.uses_key_file:
        try:
            LocalKeyFile.create(state.config.key_file)
            yield (
                f"made the key file {state.config.key_file} (mode 0600); keep a copy away from "
                "the data's backups"
            )
        except FileExistsError:
            LocalKeyFile(state.config.key_file)
            yield f"kept the key file {state.config.key_file}"
    for table in state.runtime.database.tables.all():
        table.create(state.database.engines[bind_key_of(table)], checkfirst=True)
    state.runtime.keys.publisher_secret(state.runtime.database.session())
    yield f"{len(state.runtime.database.tables.all())} tables are there"
    session = state.runtime.database.session()
    catalogue = LayoutCatalogue(state.runtime)
    if faults := list(catalogue.faults(session)):
        raise ModelInvalid("\n".join(faults))
    catalogue.keep(session)
    state.runtime.models.check_again()  # more of them may be mapped later
    trail = state.runtime.audit.trail
    if isinstance(trail, FileAuditTrail):
        yield f"the trail is written to {state.config.trail_directory}"
    else:
        yield f"events go to the application's own trail, a {type(trail).__name__}"


@privacy.command()
def init() -> None:
    """Make the key file, the tables and the trail directory; what exists stays."""
    for line in initialise(get_state()):
        click.echo(line)
