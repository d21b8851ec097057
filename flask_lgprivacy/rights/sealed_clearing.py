"""Clears fields inside sealed records of rows that stay when one of their people is erased."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ..database.identifiers import canonical_id
from ..errors import KeyLost
from ..keys.store import KeyStore
from ..orm.model_info import VERSION_COLUMN, ModelInfo
from ..orm.own_statements import OWN_STATEMENT
from ..orm.row_search import RowKey, selected_by_key


def clear_sealed_fields(
    session: Session,
    keys: KeyStore,
    layout: ModelInfo,
    row_keys: Sequence[RowKey],
    names: Collection[str],
) -> None:
    """Seal rows anew without some of their fields, in the session's transaction; each row as one of
    its class.

    Args:
        session: On the data.
        keys: The key store.
        layout: A shared model.
        row_keys: Primary keys of the rows.
        names: Of optional sealed fields.

    Raises:
        KeyLost: A row has no key.
        SealBroken: A record does not open.
    """
    for member in layout.family():
        if member.groups:
            _clear_in_class(session, keys, member, row_keys, names)


def _clear_in_class(
    session: Session,
    keys: KeyStore,
    layout: ModelInfo,
    row_keys: Sequence[RowKey],
    names: Collection[str],
) -> None:
    table = layout.table
    key, version = layout.identifier, table.c[VERSION_COLUMN]
    sealed_columns = [table.c[column] for column in layout.groups]
    query = select(key, version, *sealed_columns).where(layout.is_exactly()).with_for_update()
    for condition in selected_by_key(table, row_keys):
        rows = session.execute(query.where(condition), bind_arguments={"clause": table}).all()
        row_ids = [canonical_id(row[0]) for row in rows]
        loaded = keys.load_for_writing(session, layout.key_kind, row_ids)
        for row, row_id in zip(rows, row_ids, strict=True):
            record_key = loaded.get(row_id)
            if record_key is None:
                if keys.is_erased(session, layout.key_kind, row_id):
                    continue  # its client's key is destroyed: the record opens for nobody
                raise KeyLost
            row_version = row[1] + 1
            anew: dict[Any, Any] = {version: row_version}
            for column, group in layout.groups.items():
                fields = group.encoded(record_key, getattr(row, column), row_id, row[1])
                fields |= dict.fromkeys(group.fields.keys() & set(names))
                anew[table.c[column]] = group.sealed(record_key, fields, row_id, row_version)
            session.execute(
                update(table).where(key == row[0]).values(anew),
                execution_options=OWN_STATEMENT,
                bind_arguments={"clause": table},
            )
