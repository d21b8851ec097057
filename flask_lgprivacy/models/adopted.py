"""The attribute of a column whose plain text is being adopted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import inspect, select
from sqlalchemy.orm import object_session
from sqlalchemy.orm.attributes import InstrumentedAttribute, set_committed_value
from sqlalchemy.orm.exc import DetachedInstanceError

from ..errors import UndeclaredProcessing

if TYPE_CHECKING:
    from .layout import Layout

PLAIN = "lgprivacy_plain_"
"""Begins the attribute's name; the field's follows."""
VERSION = "lgprivacy_version"
"""The column of a row's version, to which its records are bound."""


class AdoptedAttribute(InstrumentedAttribute[Any]):
    """The attribute of a column that is being adopted: nobody's but this package's; the sealed field is what is read and written."""

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

    def clear(self, instance: Any) -> None:
        """Remove the plain text of a row, at its next flush."""
        InstrumentedAttribute.__set__(self, instance, None)

    @property
    def column(self) -> Any:
        """The column that holds the plain text."""
        return self.property.columns[0]

    def _refuse(self) -> NoReturn:
        name = self.key.removeprefix(PLAIN)
        raise UndeclaredProcessing(f"{self.key} is being adopted; read and write {name}, which is sealed")


def plain_text(instance: Any, layout: Layout) -> dict[str, Any] | None:
    """The plain text of a row as the database holds it now; None where the row was adopted since it was loaded.

    Text, version and records come in one look: a reader who took them one after another would find neither where the row is
    adopted in between. Of an adopted row, the instance then has the records and the version.
    """
    session = object_session(instance)
    if session is None:
        raise DetachedInstanceError(f"a detached {layout.name} that is not adopted yet cannot be read")
    mapper = inspect(type(instance))
    names = [VERSION, *layout.groups]
    taken = {name: attribute.column for name, attribute in layout.adopting.items()}
    key = mapper.columns[layout.key]
    query = select(*(mapper.columns[name] for name in names), *taken.values()).where(
        key == instance.__dict__[layout.key]
    )
    with session.no_autoflush:
        found = session.execute(query).one()
    if not found[0]:
        return dict(zip(taken, found[len(names) :], strict=True))
    for name, value in zip(names, found, strict=False):
        set_committed_value(instance, name, value)
    return None
