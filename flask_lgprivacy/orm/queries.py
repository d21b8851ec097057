"""Finds rows by sealed values, by equality, without reading any but those that share an index of
few bits.
"""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, scoped_session

from ..crypto.keys import PUBLISHER
from ..database.identifiers import canonical_id
from ..errors import SealedComparison, UndeclaredProcessing
from .context import AccessContext, current_context
from .field_index import FieldIndex
from .hidden_values import HiddenValues
from .model_info import ModelInfo
from .registry import model_info_of

M = TypeVar("M")


def find_by(model: type[M], /, *, of_client: Any = None, **fields: str) -> Select[M]:
    """Select rows whose sealed, indexed fields equal the given texts.

    Each index says what counts as equal (case, spaces, accents).

    Args:
        model: A labelled model.
        of_client: Names the client whose rows are meant; by default the one the actor acts for.
        fields: Names of `sealed(…, index=True)` columns to texts.

    Returns:
        A `Select` to go on with.

    Raises:
        SealedComparison: A field has no index, or one of few bits (see `find_matching`).
        UndeclaredProcessing: No running declaration reads the field.
    """
    layout, criteria = model_info_of(model), HiddenValues(fields)
    del fields
    for name in criteria:
        index = layout.indexes.get(name)
        if index is not None and not index.blind.is_whole:
            raise SealedComparison(
                f"find_by({layout.name}, {name}=…): the index has {index.blind.bits} bits, which "
                "several values share; use "
                f"find_matching(db.session, {layout.name}, {name}=…), which opens and compares"
            )
        if not isinstance(criteria[name], str):
            raise SealedComparison(
                f"find_by({layout.name}, {name}=…) takes a text, not "
                f"{type(criteria[name]).__name__}"
            )
    return _candidates(model, layout, criteria, of_client, f"find_by({layout.name}, …)")


def find_matching(
    session: Session | scoped_session[Any],
    model: type[M],
    /,
    *,
    of_client: Any = None,
    **fields: Any,
) -> list[M]:
    """The rows whose sealed, indexed fields equal the given values; those that share an index are
    opened and compared.

    Parameters and errors as for `find_by`; values may be of any type that is sealed. What was
    opened to be compared is in the trail.
    """
    layout, criteria = model_info_of(model), HiddenValues(fields)
    del fields
    query = _candidates(model, layout, criteria, of_client, f"find_matching(…, {layout.name}, …)")
    indexes = layout.indexes
    return [
        row
        for row in session.scalars(query)
        if all(_is_equal(indexes[name], getattr(row, name), criteria[name]) for name in criteria)
    ]


def _is_equal(index: FieldIndex, stored: Any, searched: Any) -> bool:
    if isinstance(stored, str) and isinstance(searched, str):
        return index.blind.normal(stored) == index.blind.normal(searched)
    return bool(stored == searched)


def _candidates(
    model: type[M], layout: ModelInfo, criteria: HiddenValues, of_client: Any, operation: str
) -> Select[M]:
    """Rows whose blind indexes equal those of the values."""
    context = current_context.get()
    if context is None:
        raise UndeclaredProcessing(
            f"{operation} was called outside any declared processing; decorate the view with "
            "@privacy.handles(…), "
            "or use 'with privacy.processing(…)' in a job"
        )
    if not criteria:
        raise SealedComparison(
            f"{operation} names no field; it has "
            f"{', '.join(layout.indexes) or 'none with an index'}"
        )
    for name in criteria:
        if name not in layout.indexes:
            known = ", ".join(layout.indexes) or "none"
            raise SealedComparison(
                f"{layout.name}.{name} has no blind index; declare it with index=True, or with "
                "index=BlindIndex(bits=8) and search with find_matching(…) where its values can be "
                f"guessed (with one: {known})"
            )
    client = _client(context, layout, criteria, of_client, operation)
    index_keys = context.keys.index_keys(None, client or PUBLISHER)
    query = select(model)
    for name in criteria:
        index = layout.indexes[name]
        made = [index.of(index_key, layout.table, name, criteria[name]) for index_key in index_keys]
        query = query.where(layout.table.c[index.column].in_(made))
    return query


def _client(
    context: AccessContext,
    layout: ModelInfo,
    criteria: HiddenValues,
    of_client: Any,
    operation: str,
) -> str | None:
    """Whose rows are meant; raises where the actor may not search them."""
    client = None
    if context.keys.is_processor_of(layout.kind):
        client = canonical_id(of_client) if of_client is not None else context.acting_client()
    for name in criteria:
        category = str(layout.category_of(name))
        context.authorize_search(
            category,
            subject_kind=layout.kind,
            client=client,
            operation=f"{operation[:-2]}{name}=…)",
        )
    if client is None and context.keys.is_processor_of(layout.kind):
        raise SealedComparison(f"{operation}: say whose rows are meant with of_client=…")
    return client
