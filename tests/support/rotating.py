"""Runs a rotation in a process of its own, so that a test can kill it: `python rotating.py FOLDER WHAT`."""

from __future__ import annotations

import sys
from pathlib import Path

from killing import telling
from school import make_backend

from flask_lgprivacy.maintenance.runner import MaintenanceRunner


def main() -> None:
    backend = make_backend(Path(sys.argv[1]), filled=False)
    with backend.app.app_context():
        keeper = MaintenanceRunner(backend.runtime, progress=telling)
        if sys.argv[2] == "clients":
            keeper.rotate_clients()
        else:
            keeper.rotate_subjects(grace=2.0)
    print("ended")


if __name__ == "__main__":
    main()
