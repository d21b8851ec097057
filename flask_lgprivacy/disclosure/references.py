"""What may stand in a disclosure: labelled values that the gate opens, and constants that somebody
vouches for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..database.identifiers import canonical_id
from ..errors import DisclosureRefused, UndeclaredProcessing
from ..orm.registry import model_info_of

_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,63}$")


@dataclass(frozen=True, slots=True, eq=False)
class FieldReference:
    """A reference to a labelled field of a row; the value is opened when the disclosure is sent,
    not before.
    """

    row: Any
    field: str
    category: str
    subject: tuple[str, str]
    through: Callable[[Any], Any] | None = None

    def map(self, through: Callable[[Any], Any]) -> FieldReference:
        """The same value in another form (a hash, a date as text), under the same label."""
        before = self.through
        then = through if before is None else lambda value: through(before(value))
        return FieldReference(self.row, self.field, self.category, self.subject, then)

    def value(self) -> Any:
        """The value; asks the gate."""
        opened = getattr(self.row, self.field)
        if self.through is None:
            return opened
        try:
            return self.through(opened)
        except Exception:  # noqa: BLE001  its message could hold the value
            raise DisclosureRefused(
                f"{self.category}: the form given to map() does not take this value"
            ) from None

    def __repr__(self) -> str:
        return f"<labelled {self.category}>"


@dataclass(frozen=True, slots=True)
class NonPersonal:
    """A value that is the same for everybody: a setting, a state, a list's id."""

    value: str | int | float | bool | None


def labelled(row: Any, field: str) -> FieldReference:
    """Refer to a labelled field for a disclosure; raises `UndeclaredProcessing` for a field without
    a label.
    """
    layout = model_info_of(type(row))
    category = layout.category_of(field)
    if category is None:
        raise UndeclaredProcessing(f"{layout.name}.{field} has no label, so it cannot be disclosed")
    return FieldReference(
        row, field, category, (layout.kind, canonical_id(getattr(row, layout.subject)))
    )


def non_personal(value: str | float | bool | None) -> NonPersonal:
    """Vouch that a value in a disclosure is no personal data."""
    if value is not None and not isinstance(value, str | int | float | bool):
        raise DisclosureRefused(
            "non_personal() takes one text, number or truth value, or None", missing="label"
        )
    return NonPersonal(value)


def field_references(content: Any) -> Iterator[FieldReference]:
    """Every labelled value in a body or path."""
    if isinstance(content, FieldReference):
        yield content
    elif isinstance(content, dict):
        for part in content.values():
            yield from field_references(part)
    elif isinstance(content, list | tuple):
        for part in content:
            yield from field_references(part)


def unlabelled_path(content: Any, place: str = "body") -> str | None:
    """Where a bare value stands in a body, or None: a bare value could be anybody's."""
    if isinstance(content, FieldReference | NonPersonal):
        return None
    if isinstance(content, dict):
        if not all(isinstance(name, str) and _NAME.match(name) for name in content):
            return f"a key in {place}"
        places = (unlabelled_path(part, f"{place}.{name}") for name, part in content.items())
    elif isinstance(content, list | tuple):
        places = (
            unlabelled_path(part, f"{place}[{number}]") for number, part in enumerate(content)
        )
    else:
        return place
    return next((path for path in places if path is not None), None)


def resolved(content: Any) -> Any:
    """The content with its values; asks the gate for each labelled one."""
    if isinstance(content, FieldReference):
        return content.value()
    if isinstance(content, NonPersonal):
        return content.value
    if isinstance(content, dict):
        return {name: resolved(part) for name, part in content.items()}
    return [resolved(part) for part in content]
