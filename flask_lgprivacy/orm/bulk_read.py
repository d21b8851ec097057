"""The bulk path: rows as dictionaries, without entities, under the same gate."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from ..database.identifiers import canonical_id
from ..errors import UndeclaredProcessing
from .context import AccessContext, current_context
from .model_info import VERSION_COLUMN, ModelInfo
from .registry import model_info_of
from .tagged_value import unwrap

PARTITION = 1000


def iter_records(
    session: Session,
    model: type,
    *criteria: ColumnElement[bool],
    categories: Collection[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of a labelled model as dictionaries of attribute to value, sealed fields opened.

    Raises as reading the rows one by one would.

    Args:
        session: On the data.
        model: A labelled model.
        criteria: Filter as in `select(model).where(…)`.
        categories: Limits what is read; by default all that the model holds.

    Returns:
        An iterator that reads in batches, so that any number of rows fits in memory.
    """
    layout = model_info_of(model)
    if layout.is_shared:
        raise UndeclaredProcessing(
            f"iter_records(session, {layout.name}) reads models whose rows have one owner; the "
            f"labels of its keys say whose these are, so select {layout.name} and read the "
            "attributes"
        )
    context = current_context.get()
    if context is None:
        raise UndeclaredProcessing(
            f"records of {layout.name} were read outside any declared processing"
        )
    for member in layout.family():
        yield from _iter_members(session, context, member, criteria, categories)


def _iter_members(
    session: Session,
    context: AccessContext,
    layout: ModelInfo,
    criteria: Collection[ColumnElement[bool]],
    categories: Collection[str] | None,
) -> Iterator[dict[str, Any]]:
    """The same for rows of exactly one class."""
    columns = layout.columns()
    requested_categories = (
        layout.categories if categories is None else layout.categories & frozenset(categories)
    )
    tags = [tag for tag in layout.tagged.values() if tag.category in requested_categories]
    hidden = {
        *layout.record_columns,
        *(attribute.key for attribute in layout.plaintext_columns.values()),
        *(tag.attribute for tag in layout.tagged.values() if tag not in tags),
    }
    names = {tag.attribute for tag in tags}
    tagged = [(number, name) for number, name in enumerate(columns) if name in names]
    hidden |= names
    plain = [(number, name) for number, name in enumerate(columns) if name not in hidden]
    place = {name: number for number, name in enumerate(columns)}
    groups = [
        (place[group.column], group)
        for group in layout.groups.values()
        if group.category in requested_categories
    ]
    key_at, subject_at, version_at = (
        place[layout.key],
        place[layout.subject],
        place.get(VERSION_COLUMN, 0),
    )
    client_at = place[layout.client] if layout.client else None
    kind, plaintext_columns, open_record = (
        layout.kind,
        layout.plaintext_columns,
        context.open_record,
    )
    result = session.execute(
        select(*columns.values())
        .select_from(layout.selectable)
        .where(*criteria, layout.is_exactly())
        .execution_options(yield_per=PARTITION)
    )
    with closing(result):  # a refusal in between would leave a server-side cursor open
        for partition in result.partitions():
            owners = [canonical_id(row[subject_at]) for row in partition]
            keys = context.keys.load(session, kind, dict.fromkeys(owners))
            missing = {owner for owner in owners if owner not in keys}
            unkeyed = context.keys.clients_without_keys(session, kind, missing) if missing else {}
            for row, owner in zip(partition, owners, strict=True):
                key, version = keys.get(owner), row[version_at]
                is_plain = bool(plaintext_columns) and version == 0
                if key is None and not is_plain and (groups or owner not in unkeyed):
                    key = context.keys.require(session, kind, owner)
                if client_at is None:
                    client = key.client if key is not None else unkeyed.get(owner) or ""
                else:
                    client = "" if row[client_at] is None else canonical_id(row[client_at])
                opened: dict[str, Any] = {}
                row_id = owner if layout.is_subject else canonical_id(row[key_at])
                for number, group in groups:
                    if is_plain:
                        context.authorize_plaintext_read(
                            layout, group, (kind, owner), client or None
                        )
                        taken = {
                            name: row[place[attribute.key]]
                            for name, attribute in plaintext_columns.items()
                        }
                        opened.update({name: taken.get(name) for name in group.fields})
                        continue
                    assert key is not None  # noqa: S101  only a row that is still to be sealed has none
                    fields = open_record(
                        group, row_id, (kind, owner), client, row[number], version, key
                    )
                    opened = {**opened, **fields} if opened else fields
                for tag in tags:
                    context.authorize_tagged_record(tag, subject_id=owner, client=client or None)
                for number, name in plain:
                    opened[name] = row[number]
                for number, name in tagged:
                    opened[name] = unwrap(row[number])
                yield opened
