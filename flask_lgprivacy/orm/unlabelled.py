"""What leads to labelled data without a label of its own is refused at the start: classes, tables,
attributes, names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.orm import CompositeProperty, Mapper
from sqlalchemy.sql import visitors

from ..errors import ModelInvalid
from ..policy.model import Policy
from ..policy.sensitive_terms import SensitiveTerms
from .fields import SealedField
from .registry import INFO_KEY, labelled_tables, model_info_on

OURS = "lgprivacy_"


def refuse_unguarded_mappers(mappers: Iterable[Mapper[Any]], policy: Policy) -> None:
    """Refuse models that have labels and no `__privacy__`, second models of labelled tables, and
    attributes computed from labels.
    """
    for mapper in mappers:
        name = mapper.class_.__name__
        if model_info_on(mapper) is None:
            for layout in labelled_tables(mapper):
                raise ModelInvalid(
                    f"{name} is a second model of the table of {layout.name}, whose labels guard "
                    f"{layout.name} only; use that one"
                )
            labelled = _labelled_fields(mapper)
            if labelled:
                raise ModelInvalid(
                    f"{name} has labelled columns ({', '.join(labelled)}) and no __privacy__; add "
                    "subject(kind) or belongs_to(kind), of "
                    f"the kinds {', '.join(policy.subjects)}"
                )
        for attribute, descriptor in (
            mapper.all_orm_descriptors.items() if model_info_on(mapper) is not None else ()
        ):
            if getattr(getattr(descriptor, "property", None), "post_update", False):
                raise ModelInvalid(
                    f"{name}.{attribute}: post_update writes a foreign key past the flush, and a "
                    "sealed record stays with its row, subject "
                    "and client; leave it out"
                )
        for attribute, column in _computed(mapper):
            raise ModelInvalid(
                f"{name}.{attribute} is computed from {column.table.name}.{column.name}, which is "
                "labelled, and would show it past its "
                "label; compute it in Python from the attribute"
            )


def refuse_sensitive_names(mappers: Iterable[Mapper[Any]], terms: SensitiveTerms) -> None:
    """Refuse names that stand for sensitive data, in every table, labelled or not (LG-08)."""
    models = {mapper.local_table: mapper for mapper in mappers}
    for table in application_tables(mappers):
        mapper = models.get(table)
        name = mapper.class_.__name__ if mapper is not None else f"table {table.name!r}"
        fields = _labelled_fields(mapper) if mapper is not None else []
        for column in [*fields, *table.columns.keys()]:
            prohibition = terms.match(column)
            if prohibition is not None:
                raise ModelInvalid(
                    f"{name}.{column}: the name stands for sensitive data, and {prohibition.says} "
                    f"[{prohibition.clause}]; remove or rename the "
                    "column",
                    clause=prohibition.clause,
                )


def application_tables(mappers: Iterable[Mapper[Any]]) -> Iterator[Table]:
    """Every table of the applications' metadata, but this package's, by name."""
    every = {
        mapper.local_table.metadata for mapper in mappers if isinstance(mapper.local_table, Table)
    }
    tables = {table for metadata in every for table in metadata.tables.values()}
    yield from sorted(
        (candidate for candidate in tables if not candidate.name.startswith(OURS)),
        key=lambda candidate: candidate.key,
    )


def _labelled_fields(mapper: Mapper[Any]) -> list[str]:
    values: dict[str, Any] = {}
    for base in reversed(mapper.class_.__mro__):
        values.update(vars(base))
    sealed = [name for name, value in values.items() if isinstance(value, SealedField)]
    return sealed + [
        column.key
        for column in mapper.columns
        if isinstance(column, Column) and _is_labelled(column)
    ]


def _is_labelled(column: Column[Any]) -> bool:
    label = column.info.get(INFO_KEY) or {}
    return "category" in label or "plaintext_of" in label


def _computed(mapper: Mapper[Any]) -> Iterator[tuple[str, Column[Any]]]:
    """Attributes that SQL computes from labelled columns, or that bundle them, with the column."""
    for attribute, expression in mapper.columns.items():
        if not isinstance(expression, Column):
            parts = [part for part in visitors.iterate(expression) if isinstance(part, Column)]
            yield from ((attribute, part) for part in parts if _is_labelled(part))
    for name, descriptor in mapper.all_orm_descriptors.items():
        composite = getattr(descriptor, "property", None)
        if isinstance(composite, CompositeProperty):
            bundled = [
                column
                for prop in composite.props
                for column in prop.columns
                if isinstance(column, Column)
            ]
            yield from ((name, column) for column in bundled if _is_labelled(column))
