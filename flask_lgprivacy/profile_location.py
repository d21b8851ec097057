"""Where a client's profiles are kept: in its cloud space, or on its devices, and then not at all by the server (LG-06)."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from .audit.events import KeyOperationEvent
from .database.identifiers import canonical_id
from .errors import ConfigurationError
from .gate.runtime import Runtime
from .orm.columns import client_column, matches_any_id

CLOUD, DEVICE = "cloud", "device"


class ProfileLocation:
    """The choice of each client; who chose nothing has its profiles in the cloud space."""

    def __init__(self, house: Runtime) -> None:
        self._house = house
        self._table = house.tables.client_storage

    def of(self, client: object, session: Session | None = None) -> str:
        """`cloud` or `device`."""
        query = select(self._table.c.storage).where(self._table.c.client == canonical_id(client))
        return (session or self._house.session()).execute(query).scalar() or CLOUD

    def is_on_device(self, session: Session, client: str) -> bool:
        """Whether the server may keep nothing of this client's profiles."""
        return self.of(client, session) == DEVICE

    def choose(self, client: object, storage: str) -> None:
        """Record a client's choice, in the trail too.

        Raises `ConfigurationError` for `device` while the server still holds profiles of this client.
        """
        if storage not in (CLOUD, DEVICE):
            raise ConfigurationError(f"storage is {CLOUD} or {DEVICE}")
        session, name = self._house.session(), canonical_id(client)
        held = self._held(session, name) if storage == DEVICE else 0
        if held:
            raise ConfigurationError(
                f"the server holds {held} records of this client; have them exported to its devices and erased first, "
                "by POST /privacy/export and /privacy/delete"
            )
        session.execute(delete(self._table).where(self._table.c.client == name))
        session.execute(
            insert(self._table).values(client=name, storage=storage, since=self._house.utcnow())
        )
        session.commit()
        self._house.trail.commit(
            KeyOperationEvent(self._house.now(), "client-storage", storage, name, ())
        )

    def _held(self, session: Session, client: str) -> int:
        """How many subjects of a client have a row, of those that are held for clients."""
        held = 0
        for kind, layout in self._house.graph.subjects.items():
            if layout.client is not None and self._house.is_processor_of(kind):
                column = client_column(layout)
                query = (
                    select(func.count())
                    .select_from(layout.table)
                    .where(matches_any_id(column, [client]))
                )
                held += int(session.execute(query).scalar_one())
        return held
