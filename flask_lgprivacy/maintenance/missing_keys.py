"""Makes keys for people who were recorded before this package, whose columns are tagged and not
sealed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from ..database.identifiers import canonical_id
from ..gate.runtime import Runtime
from ..keys.key_table import CHUNK
from ..orm.columns import client_column
from ..orm.model_info import ModelInfo


class MissingKeys:
    """The people of one model who have no key, and were never erased.

    Args:
        runtime: The application's.
        layout: Of subjects.
    """

    def __init__(self, runtime: Runtime, layout: ModelInfo) -> None:
        self._runtime = runtime
        self._layout = layout

    def count_people(self, session: Session) -> int:
        """How many rows there are."""
        query = select(func.count()).select_from(self._layout.table)
        return int(session.execute(query).scalar_one())

    def find(self, session: Session) -> Iterator[tuple[int, dict[str, str | None]]]:
        """Yield, portion by portion, how many were seen, and the clients of those without a key."""
        key = self._layout.identifier
        client = client_column(self._layout) if self._layout.client else None
        columns: list[Any] = [key] if client is None else [key, client]
        query: Select[Any] = select(*columns).order_by(key).limit(CHUNK)
        rows = session.execute(query).all()
        while rows:
            clients = {
                canonical_id(row[0]): None
                if client is None or row[1] is None
                else canonical_id(row[1])
                for row in rows
            }
            known = self._runtime.keys.known(session, self._layout.kind, list(clients))
            yield len(rows), {one: of for one, of in clients.items() if one not in known}
            rows = session.execute(query.where(key > rows[-1][0])).all()

    def make(self, session: Session) -> Iterator[tuple[int, int]]:
        """Make them; yields, portion by portion, how many were seen and made, each committed."""
        kind = self._layout.kind
        for seen, clients in self.find(session):
            if clients:
                holder = partial(self._runtime.models.key_holder, kind)
                self._runtime.keys.create(session, kind, clients, holder)
            session.commit()
            yield seen, len(clients)
