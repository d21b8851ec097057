"""Where the layout of a labelled model is kept: on its class for the mapper, on its metadata for its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, inspect
from sqlalchemy.orm import Mapper

from ..errors import ModelInvalid

if TYPE_CHECKING:
    from .layout import Layout

INFO = "lgprivacy"


def register(mapper: Mapper[Any], layout: Layout) -> None:
    """Keep a layout; a table's own `info` would be written into migrations."""
    mapper.class_manager.info[INFO] = layout
    layout.table.metadata.info.setdefault(INFO, {})[layout.table] = layout


def layout_of(model: type) -> Layout:
    """The layout of a labelled model; raises `ModelInvalid` where the model is not labelled."""
    mapper: Mapper[Any] = inspect(model)
    layout = layout_on(mapper)
    if layout is None:
        raise ModelInvalid(f"{model.__name__} has no __privacy__; add subject(…) or belongs_to(…)")
    return layout


def layout_on(mapper: Mapper[Any]) -> Layout | None:
    """The layout of a mapped class, or None where it is not labelled."""
    layout: Layout | None = mapper.class_manager.info.get(INFO)
    return layout


def layout_of_table(table: Any) -> Layout | None:
    """The layout of the labelled model whose rows a table holds, or None."""
    if not isinstance(table, Table):
        return None
    layouts: dict[Table, Layout] = table.metadata.info.get(INFO, {})
    return layouts.get(table)


def labelled_tables(mapper: Mapper[Any]) -> list[Layout]:
    """The layouts of all labelled tables that a mapper selects from."""
    found = (layout_of_table(table) for table in mapper.tables)
    return [layout for layout in found if layout is not None]
