"""Keys of the records that a flush seals in shared rows: each row has one of its own.

A new row's key is made before its statement and kept after it, when the database knows whose the
row is, and so whose key wraps it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from ..crypto.keys import SubjectKey
from ..database.identifiers import SubjectRef, canonical_id
from ..errors import KeyLost
from .context import AccessContext
from .model_info import ModelInfo
from .pending_row import PendingRow


class SharedRecordKeys:
    """The keys of shared rows that one flush writes or deletes.

    Args:
        session: Whose flush it is.
        context: The processing that writes.
    """

    __slots__ = ("_context", "_deleted", "_loaded", "_new", "_session")

    def __init__(self, session: Session, context: AccessContext) -> None:
        self._session = session
        self._context = context
        self._new: defaultdict[ModelInfo, dict[str, SubjectKey]] = defaultdict(dict)
        self._loaded: dict[ModelInfo, dict[str, SubjectKey]] = {}
        self._deleted: defaultdict[ModelInfo, list[str]] = defaultdict(list)

    def load(self, rows: Iterable[PendingRow]) -> None:
        """Load the keys of stored rows, as the key table has them now."""
        ids: defaultdict[ModelInfo, list[str]] = defaultdict(list)
        for pending in rows:
            ids[pending.layout].append(pending.own)
        for layout, row_ids in ids.items():
            keys = self._context.keys
            loaded = keys.load_for_writing(self._session, layout.key_kind, row_ids)
            self._loaded.setdefault(layout, {}).update(loaded)

    def key_of(self, pending: PendingRow) -> SubjectKey:
        """The key of a row's records, made where the row is new.

        Raises:
            KeyLost: The key table has none for a row that is stored.
        """
        if pending.is_new:
            made = self._new[pending.layout]
            if pending.own not in made:
                made[pending.own] = self._context.keys.new_record_key()
            return made[pending.own]
        key = self._loaded.get(pending.layout, {}).get(pending.own)
        if key is None:
            raise KeyLost
        return key

    def keep(self, layout: ModelInfo, owners: Mapping[str, Sequence[SubjectRef]]) -> None:
        """Keep the keys of rows that were just inserted, now that it is known, by identifier, who
        owns them.
        """
        made = self._new.get(layout, {})
        records = {
            row_id: (made.pop(row_id), owners[row_id]) for row_id in owners if row_id in made
        }
        if records:
            acting_client = self._context.acting_client()
            self._context.keys.keep_records(self._session, layout, records, acting_client)

    def delete(self, row: Any, layout: ModelInfo) -> None:
        """Take note that a row is about to be deleted."""
        if layout.groups:
            self._deleted[layout].append(canonical_id(getattr(row, layout.key)))

    def destroy_deleted(self) -> None:
        """Destroy the keys of rows whose deletion was sent to the database."""
        for layout, row_ids in self._deleted.items():
            self._context.keys.destroy_records(self._session, layout.key_kind, row_ids)
        self._deleted.clear()
