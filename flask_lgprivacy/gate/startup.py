"""What must be done once before an application processes anything."""

from __future__ import annotations

import threading
from collections.abc import Callable


class StartupChecks:
    """Runs checks once, before the first processing; where one fails it is tried again.

    Args:
        check: Raises a `PrivacyError` where the application is not ready.
        check_records: Raises one where models cannot read what is stored.
    """

    __slots__ = ("_check", "_check_records", "_lock", "are_due")

    def __init__(self, check: Callable[[], None], check_records: Callable[[], None]) -> None:
        self._check = check
        self._check_records = check_records
        self._lock = threading.Lock()
        self.are_due = True

    def run(self) -> None:
        """Run the checks, if they have not passed yet."""
        with self._lock:
            if self.are_due:
                self._check()
                self._check_records()
                self.are_due = False

    def run_for_reshaping(self) -> None:
        """Run what must be done before stored records are rewritten as the models say."""
        with self._lock:
            self._check()
