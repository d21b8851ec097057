"""What must be done once before an application processes anything."""

from __future__ import annotations

import threading
from collections.abc import Callable


class StartupChecks:
    """Runs a check once, before the first processing; where it fails it is tried again.

    Args:
        check: Raises a `PrivacyError` where the application is not ready.
    """

    __slots__ = ("_check", "_lock", "are_due")

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._lock = threading.Lock()
        self.are_due = True

    def run(self) -> None:
        """Run the check, if it has not passed yet."""
        with self._lock:
            if self.are_due:
                self._check()
                self.are_due = False
