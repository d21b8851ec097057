"""What a key provider has to do."""

from __future__ import annotations

from typing import Protocol


class KeyProvider(Protocol):
    """Wraps and unwraps client keys under a root key that never leaves it."""

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """Wrap a key, bound to `context`; raises `KeyUnavailable`."""
        ...

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """Unwrap what `wrap` returned for the same `context`; raises `KeyUnavailable`."""
        ...
