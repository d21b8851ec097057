"""Seals the records of one row and makes its blind indexes."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from ..crypto.keys import SubjectKey
from ..database.sqlalchemy_internals import forget_committed_values
from ..errors import RequestConflict, RequestInvalid, SealBroken
from .context import AccessContext
from .field_index import FieldIndex
from .model_info import VERSION_COLUMN, ModelInfo, SealedGroup
from .pending_row import PendingRow
from .plaintext import clear_plaintext, load_plaintext
from .row_state import CHANGED, SLOT, PendingFields, changed_meanwhile


class RecordSealer:
    """Seals rows of one flush.

    Args:
        session: Whose flush it is.
        context: The processing that writes.
    """

    def __init__(self, session: Session, context: AccessContext) -> None:
        self._session = session
        self._context = context
        self._index_keys: dict[str, bytes] = {}

    def seal(self, pending: PendingRow, key: SubjectKey) -> None:
        """Write the envelopes of a row: every group follows the row's version, so all are written
        together.
        """
        row, layout, version = pending.row, pending.layout, pending.sealed or 1
        if not pending.is_new and not pending.sealed:
            if layout.plaintext_columns and not getattr(row, VERSION_COLUMN):
                self._context.require_migration_open(layout)
                pending.values = {**taken_plain(row, layout), **pending.values}
            version = 1 + (
                getattr(row, VERSION_COLUMN) or 0
            )  # as it is now: somebody may have sealed the row meanwhile
        groups = layout.groups.values()
        sealed_columns: dict[str, Any] = {
            group.column: self._sealed(pending, group, key, version) for group in groups
        }
        sealed_columns[VERSION_COLUMN] = version
        if not pending.sealed:
            pending.before = {
                name: None if pending.is_new else getattr(row, name) for name in sealed_columns
            }
        pending.sealed = version
        if pending.is_new:
            row.__dict__.update(sealed_columns)
            forget_committed_values(row, sealed_columns)
        else:
            for column, value in sealed_columns.items():
                setattr(row, column, value)
        draft = row.__dict__.get(SLOT) or PendingFields.of(row)
        if pending.is_new:
            draft.flushed = pending.values
        elif draft.flushed is not None:
            draft.flushed = {**draft.flushed, **pending.values}
        draft.assigned = None
        for group in groups if not pending.is_new else ():
            row.__dict__.pop(group.opened_at, None)

    def _sealed(
        self, pending: PendingRow, group: SealedGroup, key: SubjectKey, version: int
    ) -> bytes:
        """One group's envelope."""
        fields, is_whole = pending.values, pending.values.keys() == group.fields.keys()
        if not is_whole:
            fields = {name: fields[name] for name in group.fields if name in fields}
        stands = pending.sealed or version - 1
        if stands and (not pending.is_new or len(fields) < len(group.fields)):
            fields = self._with_stored(fields, pending, group, key, stands)
        if not is_whole or None in fields.values():
            missing = [name for name in group.required if fields.get(name) is None]
            if missing:
                fields = {}  # a traceback may print locals
                raise RequestInvalid(
                    f"{group.layout.name}.{missing[0]}: must be set before the row is written"
                )
        try:
            return group.sealed(key, fields, pending.own, version)
        except RequestInvalid as error:
            fields, reason = {}, error.message
        raise RequestInvalid(reason)

    def _with_stored(
        self,
        fields: dict[str, Any],
        pending: PendingRow,
        group: SealedGroup,
        key: SubjectKey,
        version: int,
    ) -> dict[str, Any]:
        """Fields with those that the record holds besides, which another version of the model may
        know; a broken record is replaced where all of the model's are written.
        """
        try:
            return {**self._stored(pending, group, key, version), **fields}
        except SealBroken:
            if len(fields) < len(group.fields):
                raise
            return fields

    def _stored(
        self, pending: PendingRow, group: SealedGroup, key: SubjectKey, version: int
    ) -> dict[str, Any]:
        """The fields of a group as they stand in its record, those that the flush does not change
        among them.
        """
        try:
            return group.encoded(key, getattr(pending.row, group.column), pending.own, version)
        except SealBroken:
            if not changed_meanwhile(pending.row, version):
                raise
        raise RequestConflict(CHANGED)

    def index(self, pending: PendingRow, client: str | None) -> None:
        layout = pending.layout
        for name, index in layout.indexes.items():
            if name in pending.values:
                holder = self._context.keys.holder_of(layout.kind, client)
                setattr(pending.row, index.column, self._index_value(pending, name, index, holder))

    def _index_value(
        self, pending: PendingRow, name: str, index: FieldIndex, holder: str
    ) -> bytes | None:
        """The blind index of a value; the value is in no variable while a key is asked for, which
        may fail.
        """
        if pending.values[name] is None:
            return None
        if holder not in self._index_keys:
            self._index_keys[holder] = self._context.keys.index_key(self._session, holder)
        index_value: bytes = index.of(
            self._index_keys[holder], pending.layout.table, name, pending.values[name]
        )
        return index_value


def taken_plain(row: Any, layout: ModelInfo) -> dict[str, Any]:
    """The fields that a row holds in plain text, taken out of it to be sealed; none where it was
    sealed meanwhile.
    """
    if any(getattr(row, column) is not None for column in layout.groups):
        raise SealBroken
    taken = load_plaintext(row, layout)
    if taken is None:
        return {}
    clear_plaintext(row, layout)
    return taken
