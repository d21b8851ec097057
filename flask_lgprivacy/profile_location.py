"""Where a client's profiles are kept: in its cloud space, or on its devices, and then not at all by
the server (LG-06).
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Table, delete, func, insert, select
from sqlalchemy.orm import Session

from .database.access import Database
from .database.identifiers import canonical_id
from .errors import AccessDenied, ConfigurationError
from .gate.runtime import Runtime
from .orm.columns import client_column, matches_any_id
from .policy.model import Action, Policy

CLOUD, DEVICE = "cloud", "device"


class ProfileLocation:
    """The choice of each client; who chose nothing has its profiles in the cloud space."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._table = runtime.database.tables.client_storage

    def of(self, client: object, session: Session | None = None) -> str:
        """`cloud` or `device`."""
        return _chosen(
            session or self._runtime.database.session(), self._table, canonical_id(client)
        )

    def is_on_device(self, session: Session, client: str) -> bool:
        """Whether the server may keep nothing of this client's profiles."""
        return self.of(client, session) == DEVICE

    def choose(self, client: object, storage: str) -> None:
        """Record a client's choice, in the trail too.

        Raises `ConfigurationError` for `device` while the server still holds profiles of this
        client.
        """
        if storage not in (CLOUD, DEVICE):
            raise ConfigurationError(f"storage is {CLOUD} or {DEVICE}")
        session, name = self._runtime.database.session(), canonical_id(client)
        record_count = self._held(session, name) if storage == DEVICE else 0
        if record_count:
            raise ConfigurationError(
                f"the server holds {record_count} records of this client; have them exported to "
                "its devices and erased first, "
                "by POST /privacy/export and /privacy/delete"
            )
        session.execute(delete(self._table).where(self._table.c.client == name))
        session.execute(
            insert(self._table).values(client=name, storage=storage, since=self._runtime.utcnow())
        )
        session.commit()
        self._runtime.audit.key_operation("client-storage", storage, client=name)

    def _held(self, session: Session, client: str) -> int:
        """How many subjects of a client have a row, of those that are held for clients."""
        count = 0
        for kind, layout in self._runtime.models.graph.subjects.items():
            if layout.client is not None and self._runtime.models.is_processor_of(kind):
                column = client_column(layout)
                query = (
                    select(func.count())
                    .select_from(layout.table)
                    .where(matches_any_id(column, [client]))
                )
                count += int(session.execute(query).scalar_one())
        return count


class DeviceStorageVeto:
    """Of a client that keeps its profiles on its devices, nothing of them is written here (LG-06).

    Args:
        policy: The policy document, which names the categories.
        database: Where the choice of each client stands.
    """

    def __init__(self, policy: Policy, database: Database) -> None:
        self._commitment = policy.commitments["device-storage"]
        categories = self._commitment.parameters.get("categories", ())
        self._categories = frozenset(categories if isinstance(categories, list) else ())
        self._table = database.tables.client_storage

    def refusal(
        self, category: str, action: Action, client: str | None, session: Callable[[], Session]
    ) -> AccessDenied | None:
        """The refusal of a write for such a client, or None."""
        if action is not Action.WRITE or client is None or category not in self._categories:
            return None
        if _chosen(session(), self._table, client) != DEVICE:
            return None
        return AccessDenied(
            self._commitment.says,
            clause=self._commitment.clause,
            missing="storage in the client's cloud space",
        )


def _chosen(session: Session, table: Table, client: str) -> str:
    query = select(table.c.storage).where(table.c.client == client)
    return session.execute(query).scalar() or CLOUD
