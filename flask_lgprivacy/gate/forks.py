"""Forks: a child process inherits the memory of a gate that stands open, and begins
with it shut.
"""

from __future__ import annotations

import os

from ..orm.context import current_context

count = 0
"""How many forks this process is away from its first one: what began under another count is another
process's.
"""


def _shut_in_child() -> None:
    global count  # noqa: PLW0603  the one state that a fork changes
    count += 1
    current_context.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shut_in_child)
