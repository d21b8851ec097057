"""Finds, before plain text is sealed, values that a unique index would not take."""

from __future__ import annotations

from collections import defaultdict
from hashlib import blake2s
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..database.identifiers import canonical_id
from ..gate.runtime import Runtime
from ..keys.erased_names import is_nobodys_name
from ..keys.key_table import CHUNK, chunks
from ..orm.columns import client_column, matches_any_id, subject_column
from ..orm.model_info import VERSION_COLUMN, ModelInfo

MOST_NAMED = 20
"""How many rows a message names."""


def find_equal_values(
    runtime: Runtime, session: Session, layout: ModelInfo
) -> dict[str, list[str]]:
    """Rows in plain text whose value another one has, for the same holder of the index, as the
    index compares them.

    Args:
        runtime: The application's.
        session: On the data.
        layout: A model that is being migrated.

    Returns:
        By field with a unique index, the identifiers of the rows, each group of equal ones
        together.
    """
    table = layout.table
    unique = {
        name: index
        for name, index in layout.indexes.items()
        if table.c[index.column].unique and name in layout.plaintext_columns
    }
    if not unique:
        return {}
    plain = {name: layout.plaintext_columns[name].property.columns[0] for name in unique}
    key = layout.identifier
    query = (
        select(key, subject_column(layout), *plain.values())
        .where(table.c[VERSION_COLUMN] == 0)
        .order_by(key)
        .limit(CHUNK)
    )
    rows_of: defaultdict[tuple[str, str, bytes], list[str]] = defaultdict(list)
    rows = session.execute(query).all()
    while rows:
        clients = _clients(runtime, session, layout.kind, [canonical_id(row[1]) for row in rows])
        for row in rows:
            holder = runtime.models.key_holder(layout.kind, clients.get(canonical_id(row[1])))
            for name, value in zip(unique, row[2:], strict=True):
                if value is not None:
                    told = unique[name].normal(value).encode("utf-8", "surrogatepass")
                    rows_of[name, holder, blake2s(told).digest()].append(canonical_id(row[0]))
        rows = session.execute(query.where(key > rows[-1][0])).all()
    equal: defaultdict[str, list[str]] = defaultdict(list)
    for (name, _, _), ids in rows_of.items():
        if len(ids) > 1:
            equal[name] += ids
    return dict(equal)


def describe_equal_values(layout: ModelInfo, equal: dict[str, list[str]]) -> str:
    """What to do about equal values, a line for each field; never a value."""
    return "\n".join(
        f"{layout.name}.{name}: {len(ids)} rows have a value that another one has, as its unique "
        f"index compares them{_named(ids)}; change all but one of each, then run this again"
        for name, ids in equal.items()
    )


def _named(ids: list[str]) -> str:
    """The rows by identifier, where those are nobody's name."""
    shown = [one for one in ids if is_nobodys_name(one)][:MOST_NAMED]
    more = ", …" if len(shown) < len(ids) else ""
    return f" ({', '.join(shown)}{more})" if shown else ""


def _clients(
    runtime: Runtime, session: Session, kind: str, subject_ids: list[str]
) -> dict[str, str | None]:
    subjects = runtime.models.graph.subjects[kind]
    if subjects.client is None:
        return {}
    key: Any = subjects.identifier
    clients: dict[str, str | None] = {}
    for chunk in chunks(list(dict.fromkeys(subject_ids))):
        query = select(key, client_column(subjects)).where(matches_any_id(key, chunk))
        for one, client in session.execute(query):
            clients[canonical_id(one)] = None if client is None else canonical_id(client)
    return clients
