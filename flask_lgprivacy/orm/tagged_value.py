"""What a tagged column's value loads into."""

from __future__ import annotations

from typing import Any, NoReturn


class TaggedValue:
    """A value as it was loaded: it prints nothing, compares to nothing and is not carried away; its
    attribute opens it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "<tagged value; read it as an attribute of its row, under a declaration>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a tagged value cannot be pickled or copied; pass the id of its row instead"
        )


def unwrap(value: Any) -> Any:
    """What a value is, loaded or not; whoever asks has asked the gate."""
    return value._value if type(value) is TaggedValue else value
