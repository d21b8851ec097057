"""Where the layout of a labelled model is kept: on its class for the mapper, on its metadata for
its table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Table, inspect
from sqlalchemy.orm import Mapper

from ..errors import ModelInvalid
from .model_info import ModelInfo

INFO_KEY = "lgprivacy"
MAPPERS = "lgprivacy_mappers"
"""Where a metadata keeps the mappers of its tables, by which they are named for people."""


def register(mapper: Mapper[Any], layout: ModelInfo) -> None:
    """Keep a layout; a table's own `info` would be written into migrations."""
    mapper.class_manager.info[INFO_KEY] = layout
    layouts = layout.table.metadata.info.setdefault(INFO_KEY, {})
    layouts.setdefault(mapper.local_table, layout)
    if layout.base is not None:
        layout.base.children.append(layout)


def model_info_of(model: type) -> ModelInfo:
    """The layout of a labelled model; raises `ModelInvalid` where the model is not labelled."""
    mapper: Mapper[Any] = inspect(model)
    layout = model_info_on(mapper)
    if layout is None:
        raise ModelInvalid(f"{model.__name__} has no __privacy__; add subject(…) or belongs_to(…)")
    return layout


def model_info_on(mapper: Mapper[Any]) -> ModelInfo | None:
    """The layout of a mapped class, or None where it is not labelled."""
    layout: ModelInfo | None = mapper.class_manager.info.get(INFO_KEY)
    return layout


def model_info_of_table(table: Any) -> ModelInfo | None:
    """The layout of the labelled model whose rows a table holds, or None."""
    if not isinstance(table, Table):
        return None
    layouts: dict[Table, ModelInfo] = table.metadata.info.get(INFO_KEY, {})
    return layouts.get(table)


def labelled_tables(mapper: Mapper[Any]) -> list[ModelInfo]:
    """The layouts of all labelled tables that a mapper selects from."""
    infos = (model_info_of_table(table) for table in mapper.tables)
    return [layout for layout in infos if layout is not None]


def keep_mappers(mappers: Iterable[Mapper[Any]]) -> None:
    """Keep which model each table has, labelled or not."""
    for mapper in sorted(mappers, key=lambda mapper: len(list(mapper.iterate_to_root()))):
        if isinstance(mapper.local_table, Table):
            table = mapper.local_table
            table.metadata.info.setdefault(MAPPERS, {}).setdefault(table, mapper)


def mapper_of_table(table: Table) -> Mapper[Any] | None:
    """The mapper of the model whose rows a table holds, labelled or not; None where it has none."""
    mappers: dict[Table, Mapper[Any]] = table.metadata.info.get(MAPPERS, {})
    return mappers.get(table)


def table_name(table: Table) -> str:
    """A table's name for people: its model's, or its own."""
    mapper = mapper_of_table(table)
    return table.name if mapper is None else mapper.class_.__name__


def field_name(column: Column[Any]) -> str:
    """A column's name for people: the attribute of its model, or its own."""
    mapper = mapper_of_table(column.table)
    if mapper is None or column not in mapper.columns.values():
        return str(column.key)
    return mapper.get_property_by_column(column).key
