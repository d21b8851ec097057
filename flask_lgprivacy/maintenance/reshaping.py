"""Rewrites records of a model that was changed: renamed fields, fields that moved to another group
or category, dropped fields, new indexes; row by row, each only if nobody wrote it meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import LargeBinary, bindparam, column, inspect, select, update
from sqlalchemy.orm import Session

from ..crypto.keys import SubjectKey
from ..database.identifiers import canonical_id
from ..errors import KeyLost, SealBroken
from ..gate.runtime import Runtime
from ..keys.key_table import CHUNK
from ..orm.codec import from_json
from ..orm.model_info import VERSION_COLUMN, AssociatedDataPrefixes, ModelInfo
from ..orm.record_layouts import RecordLayout
from .table_scan import TableScan


class Reshaping(TableScan):
    """Goes through every row of one class of a model.

    `incomplete` counts, by field, rows that lack what the model requires; they stay as they are.

    Args:
        runtime: The application's.
        session: On the data.
        layout: The class.
        stored: What records hold, by record column; a column that the table lost is left out.
        dropped: Fields that are taken out of records.
    """

    def __init__(
        self,
        runtime: Runtime,
        session: Session,
        layout: ModelInfo,
        stored: Mapping[str, RecordLayout],
        dropped: Collection[str],
    ) -> None:
        self.incomplete: dict[str, int] = {}
        self._runtime = runtime
        self._dropped = frozenset(dropped)
        self._key, self._version = layout.identifier, layout.table.c[VERSION_COLUMN]
        there = _columns_there(session, layout)
        self._prefixes = {
            column: AssociatedDataPrefixes(layout.table.name, record.group)
            for column, record in stored.items()
            if column in there
        } | {column: group.prefixes for column, group in layout.groups.items()}
        self._indexes = layout.indexes if layout.subject else {}
        read = [column(name, LargeBinary) for name in sorted(self._prefixes)]
        indexes = [layout.table.c[index.column] for index in self._indexes.values()]
        named_by = layout.column(layout.key_attribute)
        query = (
            select(
                self._key.label("_key"),
                named_by.label("_key_name"),
                self._version.label("_version"),
                *read,
                *indexes,
            )
            .select_from(layout.table)
            .where(self._version > 0, layout.is_exactly())
            .order_by(self._key)
            .limit(CHUNK)
        )
        written = [*layout.groups, *(index.column for index in self._indexes.values())]
        replace = (
            update(layout.table)
            .where(self._key == bindparam("_one"), self._version == bindparam("_was"))
            .values(
                {
                    VERSION_COLUMN: bindparam("_now"),
                    **{column: bindparam(f"new_{column}") for column in written},
                }
            )
        )
        super().__init__(layout, query, replace)

    def changed(self, session: Session, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """What rows become; raises `KeyLost` where one has no key."""
        kind, keys_of = self.layout.key_kind, self._runtime.keys
        keys = keys_of.load_for_writing(
            session, kind, {canonical_id(row._key_name) for row in rows}
        )
        index_keys: dict[str, bytes] = {}
        changed = []
        for row in rows:
            key_name = canonical_id(row._key_name)
            key = keys.get(key_name)
            if key is None:
                if keys_of.is_erased(session, kind, key_name):
                    continue
                raise KeyLost
            try:
                values = self._anew(session, row, key, index_keys)
            except SealBroken:
                self.broken += 1
                continue
            if values:
                changed.append(values)
        return changed

    # --- inside ---

    def _anew(
        self, session: Session, row: Any, key: SubjectKey, index_keys: dict[str, bytes]
    ) -> dict[str, Any]:
        """The new columns of a row; none where they would hold what they hold."""
        layout, row_id = self.layout, canonical_id(row._key)
        before = {
            column: self._opened(column, row, key, row_id)
            for column in self._prefixes
            if getattr(row, column)
        }
        fields = {name: value for record in before.values() for name, value in record.items()}
        for group in layout.groups.values():
            for was, name in group.former.items():
                if was in fields:
                    fields.setdefault(name, fields.pop(was))
        for name in self._dropped:
            fields.pop(name, None)
        after = self._records(fields, before)
        missing = [
            name
            for group in layout.groups.values()
            for name in group.required
            if after[group.column].get(name) is None
        ]
        for name in missing:
            self.incomplete[name] = self.incomplete.get(name, 0) + 1
        indexes = self._index_values(session, key, fields, index_keys)
        is_kept = all(
            column in before and after[column] == {**dict.fromkeys(after[column]), **before[column]}
            for column in after
        )
        is_indexed = all(getattr(row, column) == value for column, value in indexes.items())
        if missing or (is_kept and is_indexed):
            return {}
        now = row._version + 1
        return {
            "_one": row._key,
            "_was": row._version,
            "_now": now,
            **{f"new_{column}": value for column, value in indexes.items()},
            **{
                f"new_{column}": layout.groups[column].sealed(key, record, row_id, now)
                for column, record in after.items()
            },
        }

    def _opened(self, column: str, row: Any, key: SubjectKey, row_id: str) -> dict[str, Any]:
        prefix = self._prefixes[column][key.client]
        fields: dict[str, Any] = orjson.loads(
            key.unseal(getattr(row, column), prefix, row_id, row._version)
        )
        return fields

    def _records(
        self, fields: Mapping[str, Any], before: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """By record column, what it is to hold: the model's fields, and what nobody reads where it
        stood.
        """
        groups = self.layout.groups.values()
        read = {name for group in groups for name in group.fields}
        return {
            group.column: {name: fields.get(name) for name in group.fields}
            | {
                name: value
                for name, value in before.get(group.column, {}).items()
                if name in fields and name not in read
            }
            for group in groups
        }

    def _index_values(
        self,
        session: Session,
        key: SubjectKey,
        fields: Mapping[str, Any],
        index_keys: dict[str, bytes],
    ) -> dict[str, bytes | None]:
        layout = self.layout
        if not self._indexes:
            return {}
        holder = self._runtime.models.key_holder(layout.kind, key.client)
        if holder not in index_keys:
            index_keys[holder] = self._runtime.keys.index_key(session, holder)
        kinds = {
            name: kind for group in layout.groups.values() for name, kind in group.fields.items()
        }
        return {
            index.column: None
            if fields.get(name) is None
            else index.of(
                index_keys[holder],
                layout.table,
                name,
                from_json(kinds[name].python, fields[name], name),
            )
            for name, index in self._indexes.items()
        }


def _columns_there(session: Session, layout: ModelInfo) -> set[str]:
    """The columns that the database's table has, in the model or not."""
    connection = session.connection(bind_arguments={"clause": layout.table})
    return {column["name"] for column in inspect(connection).get_columns(layout.table.name)}
