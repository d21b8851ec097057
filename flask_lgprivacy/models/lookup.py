"""Finds rows by sealed values, by equality, without reading any."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Select, select

from ..errors import SealedComparison, UndeclaredProcessing
from ..vault import PUBLISHER, blind_index, column_key
from .layout import layout_of
from .opening import current_opener, identifier

M = TypeVar("M")


def find_by(model: type[M], /, *, of_client: Any = None, **fields: str) -> Select[M]:
    """Select rows whose sealed, indexed fields equal the given texts (case, width and spaces folded).

    Parameters: `model` is labelled; `of_client` names the client whose rows are meant, by default the one the actor acts
    for; `fields` maps names of `sealed(…, index=True)` columns to texts. Returns a `Select` to go on with. Raises
    `SealedComparison` for a field without an index and `UndeclaredProcessing` outside a declaration that reads it.
    """
    layout = layout_of(model)
    opener = current_opener.get()
    if opener is None:
        raise UndeclaredProcessing(
            f"find_by({layout.name}, …) was called outside any declared processing; decorate the view with @privacy.handles(…), "
            "or use 'with privacy.processing(…)' in a job"
        )
    if not fields:
        raise SealedComparison(
            f"find_by({layout.name}) names no field; it has {', '.join(layout.indexes) or 'none with an index'}"
        )
    query = select(model)
    client = None
    if opener.holds_as_processor(layout):
        client = identifier(of_client) if of_client is not None else opener.acts_for()
    for name in fields:
        if name in layout.indexes:
            what = f"find_by({layout.name}, {name}=…)"
            opener.look_up(str(layout.category_of(name)), client=client, what=what)
    if client is None and opener.holds_as_processor(layout):
        raise SealedComparison(f"find_by({layout.name}, …): say whose rows are meant with of_client=…")
    for name, value in fields.items():
        column = layout.indexes.get(name)
        if column is None:
            known = ", ".join(layout.indexes) or "none"
            raise SealedComparison(
                f"{layout.name}.{name} has no blind index; declare it with index=True (with one: {known})"
            )
        if not isinstance(value, str):
            raise SealedComparison(f"find_by({layout.name}, {name}=…) takes a text, not {type(value).__name__}")
        key = column_key(opener.index_key(None, client or PUBLISHER), table=layout.table.name, column=name)
        query = query.where(layout.table.c[column] == blind_index(key, value))
    return query
