"""The attribute of a column whose plain text is being adopted."""

from __future__ import annotations

from typing import Any, NoReturn

from sqlalchemy.orm.attributes import InstrumentedAttribute

from ..errors import UndeclaredProcessing

PLAIN = "lgprivacy_plain_"
"""Begins the attribute's name; the field's follows."""


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

    def take(self, instance: Any) -> Any:
        """The plain text of a row, which does not stay in it."""
        value = InstrumentedAttribute.__get__(self, instance, type(instance))
        if self.key not in instance._sa_instance_state.committed_state:
            instance.__dict__.pop(self.key, None)
        return value

    def clear(self, instance: Any) -> None:
        """Remove the plain text of a row, at its next flush."""
        InstrumentedAttribute.__set__(self, instance, None)

    def _refuse(self) -> NoReturn:
        name = self.key.removeprefix(PLAIN)
        raise UndeclaredProcessing(f"{self.key} is being adopted; read and write {name}, which is sealed")
