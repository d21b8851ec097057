"""The attributes of labelled plaintext columns: tagged ones, and those whose plain text is being
migrated.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NoReturn

from sqlalchemy import Column, Dialect
from sqlalchemy.orm.attributes import InstrumentedAttribute
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..database.sqlalchemy_internals import state_of
from ..errors import UndeclaredProcessing
from .context import current_context
from .flush_events import assigned_in_flush
from .model_info import PLAINTEXT_PREFIX, TaggedColumn
from .registry import model_info_of
from .tagged_value import TaggedValue, unwrap


class TaggedType(TypeDecorator[Any]):
    """The type of a tagged column: stored as declared, loaded as a `TaggedValue`, whoever selects
    it.

    Args:
        inner: The type that the column was declared with.
    """

    impl = TypeEngine
    cache_ok = True

    def __init__(self, inner: TypeEngine[Any]) -> None:
        self.inner = inner
        self.impl = inner  # type: ignore[assignment]  # instead of the base's, which makes one of a class

    @property
    def python_type(self) -> type[Any]:
        """The type of the values that the column holds."""
        return self.inner.python_type

    def copy(self, **_: Any) -> TaggedType:
        """The same type for a copy of the column."""
        return tagged_type(self.inner)

    def process_bind_param(self, value: Any, _dialect: Dialect) -> Any:
        """A value on its way to the database, given by the application or loaded before."""
        return unwrap(value)

    def process_literal_param(self, value: Any, dialect: Dialect) -> str:
        """The same, written into the statement."""
        process = self.inner.dialect_impl(dialect).literal_processor(dialect)
        return process(unwrap(value)) if process is not None else str(unwrap(value))

    def process_result_value(self, value: Any, _dialect: Dialect) -> Any:
        """A value that comes from the database."""
        return None if value is None else TaggedValue(value)

    def compare_values(self, x: Any, y: Any) -> bool:
        """Whether an assignment changed anything."""
        return self.inner.compare_values(unwrap(x), unwrap(y))

    def __repr__(self) -> str:
        return repr(self.inner)


@lru_cache(maxsize=256)
def _rendered_like(inner: Any) -> type[TaggedType]:
    """Alembic writes a type into a migration by its module and `repr`: the declared type's, which
    has no need of this package.
    """
    return type(inner.__name__, (TaggedType,), {"__module__": inner.__module__, "cache_ok": True})


def tagged_type(inner: TypeEngine[Any]) -> TaggedType:
    """The type of a tagged column that was declared with another type."""
    declared: Any = type(inner)
    return _rendered_like(declared)(inner)


class TaggedAttribute(InstrumentedAttribute[Any]):
    """A tagged column's attribute: the gate is asked before a row shows its value, and during a
    flush before it takes one.
    """

    __slots__ = ()
    inherit_cache = True

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return super().__get__(instance, owner)
        context, tag = current_context.get(), self._tag(instance)
        if context is None:
            raise UndeclaredProcessing(
                f"{tag.layout.name}.{self.key} was read outside any declared processing; decorate "
                "the view with "
                "@privacy.handles(…), or use 'with privacy.processing(…)' in a job",
            )
        is_stored = (
            state_of(instance).key is not None
            or type(instance.__dict__.get(self.key)) is TaggedValue
        )
        if is_stored:  # what was never stored is the caller's own
            context.authorize_tagged_read(instance, tag)
        return unwrap(super().__get__(instance, owner))

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, value)
        if state_of(instance).session_id is not None:
            assigned_in_flush(instance)

    def _tag(self, instance: Any) -> TaggedColumn:
        return model_info_of(type(instance)).tagged[self.key]


def is_readable_key(column: Column[Any]) -> bool:
    """Whether SQLAlchemy itself reads a column's loaded values, to find other rows by them, so that
    they stay as they are.
    """
    return bool(column.primary_key or column.foreign_keys)


class PlaintextAttribute(InstrumentedAttribute[Any]):
    """The attribute of a column that is being migrated: nobody's but this package's; the sealed
    field is what is read and written.
    """

    __slots__ = ()
    inherit_cache = True

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is not None:
            self._refuse()
        return super().__get__(instance, owner)

    def __set__(self, instance: Any, value: Any) -> None:
        self._refuse()

    def __clause_element__(self) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        name = self.key.removeprefix(PLAINTEXT_PREFIX)
        raise UndeclaredProcessing(
            f"{self.key} is being migrated; read and write {name}, which is sealed"
        )
