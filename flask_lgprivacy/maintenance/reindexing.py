"""Makes blind indexes anew under the newest index key of whoever holds the data, row by row, each
only if nobody wrote it meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from ..crypto.keys import SubjectKey
from ..database.identifiers import canonical_id
from ..errors import SealBroken
from ..gate.runtime import Runtime
from ..keys.key_table import CHUNK
from ..orm.codec import from_json
from ..orm.columns import subject_column
from ..orm.model_info import VERSION_COLUMN, ModelInfo
from .table_scan import TableScan


class Reindexing(TableScan):
    """Goes through every row of a model with blind indexes, in the order of its primary key."""

    def __init__(self, runtime: Runtime, layout: ModelInfo) -> None:
        self._runtime = runtime
        columns = layout.table.c
        self._key = layout.column(layout.key)
        self._groups = [
            group
            for group in layout.groups.values()
            if not layout.indexes.keys().isdisjoint(group.fields)
        ]
        indexes = [columns[index.column] for index in layout.indexes.values()]
        query = (
            select(
                self._key.label("_key"),
                subject_column(layout).label("_owner"),
                columns[VERSION_COLUMN].label("_version"),
                *indexes,
                *(columns[group.column] for group in self._groups),
            )
            .where(columns[VERSION_COLUMN] > 0, layout.is_exactly())
            .order_by(self._key)
            .limit(CHUNK)
        )
        replace = (
            update(layout.table)
            .where(self._key == bindparam("_one"), columns[VERSION_COLUMN] == bindparam("_was"))
            .values({column: bindparam(f"new_{column.name}") for column in indexes})
        )
        super().__init__(layout, query, replace)

    def changed(self, session: Session, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """What the indexes of rows become under the newest index keys."""
        layout = self.layout
        keys = self._runtime.keys.load_for_writing(
            session, layout.kind, {canonical_id(row._owner) for row in rows}
        )
        index_keys: dict[str, bytes] = {}
        changed = []
        for row in rows:
            key = keys.get(canonical_id(row._owner))
            if key is None:
                continue
            holder = self._runtime.models.key_holder(layout.kind, key.client)
            if holder not in index_keys:
                index_keys[holder] = self._runtime.keys.index_keys(session, holder)[0]
            try:
                fields = self._opened(row, key)
            except SealBroken:
                self.broken += 1
                continue
            new_indexes = {
                f"new_{index.column}": None
                if fields.get(name) is None
                else index.of(index_keys[holder], layout.table, name, fields[name])
                for name, index in layout.indexes.items()
            }
            if any(
                getattr(row, index.column) != new_indexes[f"new_{index.column}"]
                for index in layout.indexes.values()
            ):
                changed.append({"_one": row._key, "_was": row._version, **new_indexes})
        return changed

    def _opened(self, row: Any, newest: SubjectKey) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for group in self._groups:
            stored = group.encoded(
                newest, getattr(row, group.column), canonical_id(row._key), row._version
            )
            fields.update(
                {
                    name: from_json(group.fields[name].python, stored.get(name), name)
                    for name in group.fields
                }
            )
        return fields
