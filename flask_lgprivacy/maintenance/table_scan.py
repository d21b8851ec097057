"""Goes through every row of a model in the order of its primary key and changes some, each only if
nobody wrote it meanwhile.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, Update, func, select
from sqlalchemy.orm import Session

from ..orm.model_info import ModelInfo
from ..orm.own_statements import OWN_STATEMENT


class TableScan:
    """One pass over a model.

    `broken` counts records that did not open and were left as they are.

    Args:
        layout: The model.
        query: Selects the rows, its primary key as `_key`, in portions.
        replace: Writes a row if it is still what it was.
    """

    def __init__(self, layout: ModelInfo, query: Select[*tuple[Any, ...]], replace: Update) -> None:
        self.broken = 0
        self.layout = layout
        self._query = query
        self._replace = replace

    @abstractmethod
    def changed(self, session: Session, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """The parameters of `replace` for those rows that have to change."""

    def count(self, session: Session) -> int:
        """How many rows there are."""
        return int(
            session.execute(
                select(func.count()).select_from(self.layout.table).where(self.layout.is_exactly())
            ).scalar_one()
        )

    def rehearse(self, session: Session) -> Iterator[tuple[int, int]]:
        """Yield, batch by batch, how many rows were seen and how many would change."""
        key, query = self.layout.column(self.layout.key), self._query
        while rows := session.execute(query).all():
            yield len(rows), len(self.changed(session, rows))
            query = self._query.where(key > rows[-1]._key)

    def run(self, session: Session) -> Iterator[tuple[int, int]]:
        """Yield, batch by batch, how many rows were seen and how many changed; each batch is
        committed.
        """
        key = self.layout.column(self.layout.key)
        query = self._query
        while rows := session.execute(query).all():
            changes = self.changed(session, rows)
            if changes:
                session.execute(self._replace, changes, execution_options=OWN_STATEMENT)
            session.commit()
            yield len(rows), len(changes)
            query = self._query.where(key > rows[-1]._key)
        session.commit()
