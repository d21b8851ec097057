"""Long work that tells of every portion, and is killed in the middle of one, however fast the machine is."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def telling(_label: str, _total: int) -> Iterator[Callable[[int], None]]:
    """Progress that tells whoever started this process of every portion."""
    yield lambda done: print(done, flush=True)


def kill_in_the_middle(running: subprocess.Popen[str], *, most: int) -> None:
    """Wait for at least one portion and for `most` of them at the most, then kill."""
    assert running.stdout is not None
    for _ in range(random.randint(1, most)):
        running.stdout.readline()
    time.sleep(random.random() / 50)
    running.send_signal(signal.SIGKILL)
