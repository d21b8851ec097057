"""Run as a process of its own: eight threads write 25 events each into the trail named on the command line."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from flask_lgprivacy.audit import FileAuditTrail, RecoveryEvent


def main() -> None:
    trail = FileAuditTrail(Path(sys.argv[1]), now=lambda: "2026-11-22T10:00:00.000Z")

    def write() -> None:
        for _ in range(25):
            trail.commit(RecoveryEvent(at="2026-11-22T10:00:00.000Z", cut_bytes=0))

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
