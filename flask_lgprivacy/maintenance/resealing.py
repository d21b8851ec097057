"""Reseals records under the newest key of their subject: row by row, each only if nobody wrote it
meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.orm import Session

from ..crypto.envelope import envelope_key_version
from ..crypto.keys import SubjectKey
from ..database.identifiers import canonical_id
from ..errors import KeyLost, SealBroken
from ..keys.key_table import CHUNK
from ..keys.store import KeyStore
from ..orm.model_info import VERSION_COLUMN, ModelInfo, SealedGroup
from .table_scan import TableScan


class Resealing(TableScan):
    """Goes through every row of a labelled model, in the order of its primary key."""

    def __init__(self, keys: KeyStore, layout: ModelInfo) -> None:
        self._keys = keys
        columns = layout.table.c
        self._key = layout.column(layout.key)
        self._groups = list(layout.groups.values())
        query = (
            select(
                self._key.label("_key"),
                layout.column(layout.key_attribute).label("_key_name"),
                columns[VERSION_COLUMN],
                *(columns[group.column] for group in self._groups),
            )
            .where(columns[VERSION_COLUMN] > 0, layout.is_exactly())
            .order_by(self._key)
            .limit(CHUNK)
        )
        replace = (
            update(layout.table)
            .where(
                self._key == bindparam("_one"),
                *(
                    columns[group.column].is_not_distinct_from(bindparam(f"old_{group.column}"))
                    for group in self._groups
                ),
            )
            .values(
                {columns[group.column]: bindparam(f"new_{group.column}") for group in self._groups}
            )
        )
        super().__init__(layout, query, replace)

    def changed(self, session: Session, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """What rows become under the newest keys; raises `KeyLost` where one has no key."""
        kind = self.layout.key_kind
        keys = self._keys.load_for_writing(
            session, kind, {canonical_id(row._key_name) for row in rows}
        )
        changed = []
        for row in rows:
            key_name = canonical_id(row._key_name)
            newest = keys.get(key_name)
            if newest is None:
                if self._keys.is_erased(session, kind, key_name):
                    continue
                raise KeyLost
            envelopes = {group.column: getattr(row, group.column) for group in self._groups}
            if any(
                envelope and envelope_key_version(envelope) != newest.version
                for envelope in envelopes.values()
            ):
                values: dict[str, Any] = {"_one": row._key}
                try:
                    for group in self._groups:
                        values[f"old_{group.column}"] = envelopes[group.column]
                        values[f"new_{group.column}"] = self._anew(group, row, newest)
                except SealBroken:
                    self.broken += 1
                else:
                    changed.append(values)
        return changed

    def _anew(self, group: SealedGroup, row: Row[Any], newest: SubjectKey) -> bytes:
        envelope, version = getattr(row, group.column), getattr(row, VERSION_COLUMN)
        if envelope is None and not group.stored.may_be_absent:
            raise SealBroken
        return group.resealed(newest, envelope, canonical_id(row._key), version)
