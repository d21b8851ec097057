"""Where the layout of a labelled model is kept: on its class for the mapper, on its metadata for
its table.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, inspect
from sqlalchemy.orm import Mapper

from ..errors import ModelInvalid
from .model_info import ModelInfo

INFO_KEY = "lgprivacy"


def register(mapper: Mapper[Any], layout: ModelInfo) -> None:
    """Keep a layout; a table's own `info` would be written into migrations."""
    mapper.class_manager.info[INFO_KEY] = layout
    layout.table.metadata.info.setdefault(INFO_KEY, {})[layout.table] = layout


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
