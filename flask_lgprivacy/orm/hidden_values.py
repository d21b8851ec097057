"""Values on their way into a row or a query, which no traceback that prints locals shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn


class HiddenValues:
    """Values by field name; deliberately no `Mapping`, because error reporters print those item by
    item.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def as_dict(self) -> dict[str, Any]:
        """A copy to be encoded at once; not to be kept in a variable."""
        return dict(self._values)

    def __repr__(self) -> str:
        return f"<values of {', '.join(sorted(self._values))}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("values of sealed fields cannot be pickled or copied")
