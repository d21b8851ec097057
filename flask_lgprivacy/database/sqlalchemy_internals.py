"""Everything of SQLAlchemy and Flask-SQLAlchemy that this package uses and that they do not
document.

Each has a test (`tests/database/test_sqlalchemy_internals.py`), so that a new release that changes
one fails there and by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

from sqlalchemy import Column, Table, inspect
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.orm import InstrumentedAttribute, Mapper, Session
from sqlalchemy.orm.base import LoaderCallableStatus

state_of = attrgetter("_sa_instance_state")
"""The state of an instance, as `sqlalchemy.inspect` returns it, also through a proxy; that function
takes ten times as long, and every reading of a sealed field asks.
"""


def forget_committed_values(instance: Any, names: Iterable[str]) -> None:
    """Let a flush take some columns of a new row for changed, also where the row takes the place of
    one that the same flush deletes.
    """
    state_of(instance).committed_state.update(dict.fromkeys(names, LoaderCallableStatus.NO_VALUE))


def keep_history(mapper: Mapper[Any], column: Column[Any]) -> None:
    """Load a column's old value when it is assigned, from before its mapper is configured.

    It is documented as an argument of `column_property`, and not for a column of somebody else.
    """
    mapper.get_property_by_column(column).active_history = True  # type: ignore[attr-defined]


def replace_attribute_class(
    model: type, name: str, attribute_class: type[InstrumentedAttribute[Any]]
) -> InstrumentedAttribute[Any]:
    """Give the attribute of a mapped column another class, which adds methods and no slots.

    SQLAlchemy documents no way to choose the class of a column's attribute; a descriptor in its
    place would be seen by neither queries nor loaders.
    """
    attribute: InstrumentedAttribute[Any] = model.__dict__[name]
    attribute.__class__ = attribute_class
    return attribute


def is_flushing(session: Session) -> bool:
    """Whether a session is within a flush."""
    flushing: bool = session._flushing
    return flushing


def is_of_unit_of_work(options: Mapping[str, Any], model: type) -> bool:
    """Whether a statement comes from a flush of a model's own rows, by its execution options: the
    unit of work compiles into a cache of the mapper that nobody else uses.
    """
    cache: Any = inspect(model).base_mapper._compiled_cache
    return options.get("compiled_cache") is cache


def default_of(column_default: Any) -> Any:
    """The value of a column's Python default, as an INSERT would call it without a context."""
    return column_default.arg(None) if column_default.is_callable else column_default.arg


def positional_order(compiled: Compiled) -> list[str] | None:
    """The names of a statement's parameters in their order, None where the driver takes names."""
    order: list[str] | None = compiled.positiontup  # type: ignore[attr-defined]
    return order


def bind_key_of(table: Table) -> str | None:
    """The bind to which Flask-SQLAlchemy gives a table, None for the default one."""
    bind_key: str | None = table.metadata.info.get("bind_key")
    return bind_key
