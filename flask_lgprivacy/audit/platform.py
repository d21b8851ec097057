"""What differs between systems: putting bytes on stable storage, and holding a file for one
process.
"""

from __future__ import annotations

import os
import sys

from ..errors import ConfigurationError

if sys.platform != "win32":
    import fcntl


def flush_to_disk(file: int) -> None:
    """Put a file's bytes on stable storage, with what the system has: macOS asks the drive itself,
    and has no fdatasync.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        fcntl.fcntl(file, full)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(file)
    else:
        os.fsync(file)


def hold(file: int) -> bool:
    """Hold a file for this process until it closes it; False where another one does."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def require_posix(feature: str, instead: str) -> None:
    """Refuse, in one sentence, what needs file locks as POSIX has them; raises
    `ConfigurationError`.
    """
    if sys.platform == "win32":
        raise ConfigurationError(
            f"{feature} needs a POSIX system such as Linux or macOS; on Windows {instead}"
        )
