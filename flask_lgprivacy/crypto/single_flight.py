"""Calls that many threads share: one is made, all get its result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)
R = TypeVar("R")


class SingleFlight(Generic[N, R]):
    """Runs a call once for all threads that ask for the same thing at the same time; all get its
    result or its error.
    """

    __slots__ = ("_flights", "_lock")

    def __init__(self) -> None:
        self._flights: dict[N, Future[R]] = {}
        self._lock = threading.Lock()

    def run(self, name: N, call: Callable[[], R]) -> R:
        """The result of `call`, or that of the one already under way for `name`."""
        with self._lock:
            flight = self._flights.get(name)
            is_mine = flight is None
            if flight is None:
                flight = self._flights[name] = Future()
        if not is_mine:
            return flight.result()
        try:
            result = call()
        except BaseException as error:
            flight.set_exception(error)
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            with self._lock:
                del self._flights[name]
