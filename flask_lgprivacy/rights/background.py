"""Work that a request leaves behind is done in a thread of this process; the request's row is the
truth, a thread only says when.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class BackgroundRunner:
    """Runs a job in a thread of its own, one at a time; asked again meanwhile, it runs once more.

    Args:
        job: Does all that is open, and raises nothing that is not a defect.
    """

    def __init__(self, job: Callable[[], None]) -> None:
        self._job = job
        self._lock = threading.Lock()
        self._asked = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the job now, or once more after the run that is under way."""
        with self._lock:
            self._asked = True
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="lgprivacy-requests", daemon=True
                )
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is under way; False where it still is after `seconds`."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return self._thread is None

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._asked:
                    self._thread = None
                    return
                self._asked = False
            try:
                self._job()
            except BaseException:
                with self._lock:
                    self._thread = None
                raise
