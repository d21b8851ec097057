"""Bytes that do not show: not in a repr, so not in a traceback that prints locals, and not in a
pickle.
"""

from __future__ import annotations

from typing import NoReturn


class SecretBytes(bytes):
    """Key bytes; everything that takes bytes takes them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret bytes>"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("secret bytes cannot be pickled")
