"""How far long work is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int], object]
Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Shows how far long work is: called with a label and a total, it gives what is called with each
portion done.
"""


@contextmanager
def silent_progress(_label: str, _total: int) -> Iterator[Advance]:
    """Progress that nobody watches."""
    yield lambda _: None
