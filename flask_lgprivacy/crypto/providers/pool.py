"""The key providers of one application by name, each behind a circuit breaker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from ...errors import KeyUnavailable
from .base import KeyProvider

ROOT: Final = "root"
"""The name of the publisher's own key service, which wraps the keys of clients that brought none.
"""
PAUSE_SECONDS = 1.0


class KeyProviders:
    """Key providers by name; each wrapped client key says by which of them it was wrapped.

    A service that did not answer is left alone for a second, so that requests do not queue up
    behind it.

    Args:
        providers: By name.
        clock: Counts seconds.
    """

    __slots__ = ("_providers", "default")

    def __init__(
        self, providers: Mapping[str, KeyProvider], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._providers = {
            name: _CircuitBreaker(name, provider, clock) for name, provider in providers.items()
        }
        self.default: Final = ROOT

    def named(self, name: str) -> KeyProvider:
        """The provider of a name; raises `KeyUnavailable` for one that is not configured."""
        provider = self._providers.get(name)
        if provider is None:
            raise KeyUnavailable(
                f"the key service {name!r} is not configured; add it to LGPRIVACY_KEY_SERVICES "
                "again, or restore its settings"
            )
        return provider

    def names(self) -> tuple[str, ...]:
        """Every configured name."""
        return tuple(self._providers)

    def __repr__(self) -> str:
        return f"<KeyServices {', '.join(self._providers)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("key services cannot be pickled")


class _CircuitBreaker:
    """A key provider that is not asked again at once when it did not answer."""

    __slots__ = ("_clock", "_name", "_provider", "_until")

    def __init__(self, name: str, provider: KeyProvider, clock: Callable[[], float]) -> None:
        self._name = name
        self._provider = provider
        self._clock = clock
        self._until = float("-inf")

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        return self._ask(lambda: self._provider.wrap(key, context=context))

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        return self._ask(lambda: self._provider.unwrap(wrapped, context=context))

    def _ask(self, call: Callable[[], bytes]) -> bytes:
        if self._clock() < self._until:
            raise KeyUnavailable(
                f"key service {self._name!r}: did not answer a moment ago", is_away=True
            )
        try:
            return call()
        except KeyUnavailable as error:
            if error.is_away:
                self._until = self._clock() + PAUSE_SECONDS
            raise
