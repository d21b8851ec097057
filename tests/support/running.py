"""The example application, started by its command and called over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from example_app.demonstration import ACCOUNTS

PASSWORDS = {account.username: account.password for account in ACCOUNTS}


@dataclass
class Running:
    base: str
    instance: Path
    process: subprocess.Popen[bytes]

    def signed_in(
        self, username: str, school: str = "", *, code: str | None = None
    ) -> requests.Session:
        session = requests.Session()
        sent = {
            "username": username,
            "password": PASSWORDS[username],
            "school": school,
            "code": code or "",
        }
        assert session.post(f"{self.base}/sign-in", json=sent, timeout=10).status_code == 200
        return session

    def get(self, session: Any, path: str) -> requests.Response:
        return session.get(self.base + path, timeout=10)  # type: ignore[no-any-return]

    def post(self, session: Any, path: str, body: Any) -> requests.Response:
        return session.post(self.base + path, json=body, timeout=10)  # type: ignore[no-any-return]


@contextmanager
def start_example(instance: Path) -> Iterator[Running]:
    """Start the example by its command in a folder, and end it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (instance.parent / "server.out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "example_app", "--instance", str(instance), "--port", str(port)],
            stdout=out,
            stderr=out,
            env=environment(),
        )
        base = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                requests.get(base, timeout=1)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield Running(base, instance, process)
        process.terminate()
        process.wait(10)


def environment(**more: str) -> dict[str, str]:
    """The interpreter's own path, so that a child finds the package that is being tested."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **more}
