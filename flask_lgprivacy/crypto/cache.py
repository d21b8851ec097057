"""A bounded cache whose entries expire."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, takewhile
from typing import Generic, NoReturn, TypeVar

MOST_SECONDS = 60.0
K = TypeVar("K")
V = TypeVar("V")


class KeyCache(Generic[K, V]):
    """A bounded map whose entries expire; what falls out is read from the key table again.

    Args:
        size: Entries at most.
        seconds: How long an entry lives, 60 at most: a process that holds a key could open what was
            erased elsewhere meanwhile.
        clock: Counts seconds.
    """

    __slots__ = ("_clock", "_entries", "_lock", "_seconds", "_size", "_until")

    def __init__(self, *, size: int, seconds: float, clock: Callable[[], float]) -> None:
        self._entries: dict[K, V] = {}
        self._until: dict[K, float] = {}
        self._lock = threading.Lock()
        self._size = size
        self._seconds = min(seconds, MOST_SECONDS)
        self._clock = clock

    def get(self, name: K) -> V | None:
        """The entry, or None where it is absent or expired."""
        value = self._entries.get(name)
        if value is not None and self._until.get(name, 0.0) < self._clock():
            self.forget(name)
            return None
        return value

    def get_all(self, names: Sequence[K]) -> dict[K, V]:
        """The living entries under some names."""
        now, until = self._clock(), self._until
        pairs = zip(names, map(self._entries.get, names), strict=True)
        return {
            name: value
            for name, value in pairs
            if value is not None and until.get(name, 0.0) >= now
        }

    def put(self, name: K, value: V) -> None:
        """Keep an entry; the oldest goes when there are too many."""
        self.put_all({name: value})

    def put_all(self, entries: Mapping[K, V]) -> None:
        """Keep many entries; those whose time is over go, and the oldest when there are too
        many.
        """
        now = self._clock()
        with self._lock:
            for name in entries if self._entries else ():
                self._entries.pop(name, None)  # so that the oldest stay in front
            self._entries.update(entries)
            self._until.update(dict.fromkeys(entries, now + self._seconds))
            surplus = len(self._entries) - self._size
            if surplus > 0:
                leaving = list(islice(self._entries, surplus + self._size // 8))
            else:
                leaving = list(takewhile(lambda name: self._until[name] < now, self._entries))
            for name in leaving:
                del self._entries[name], self._until[name]

    def forget(self, name: K) -> None:
        """Drop an entry, if there is one."""
        self.forget_all((name,))

    def forget_all(self, names: Iterable[K]) -> None:
        """Drop those entries that there are."""
        with self._lock:
            for name in names:
                self._entries.pop(name, None)
                self._until.pop(name, None)

    def forget_where(self, condition: Callable[[K, V], bool]) -> None:
        """Drop every entry for which a condition holds."""
        with self._lock:
            for name in [name for name, value in self._entries.items() if condition(name, value)]:
                del self._entries[name], self._until[name]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._entries.clear()
            self._until.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<KeyCache of {len(self._entries)} entries>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cache cannot be pickled")
