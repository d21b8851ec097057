"""Fixtures, and the look for planted values in everything that the tests left behind."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canary import pytest_runtest_logreport, pytest_sessionfinish, pytest_terminal_summary
from hypothesis import settings
from school import MADE, Backend, close, make_backend
from sqlalchemy import Engine, event

ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:
    sys.path.append(
        ROOT
    )  # the example runs from a checkout; after the installed package, which is what the tests are of
__all__ = ["pytest_runtest_logreport", "pytest_sessionfinish", "pytest_terminal_summary"]
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
CONNECTED: set[Engine] = set()


@event.listens_for(Engine, "engine_connect")
def remember(connection: Any) -> None:
    """Keep every engine that a test connects, so that it is closed when the test ends."""
    CONNECTED.add(connection.engine)


@event.listens_for(Engine, "connect")
def trust_the_disk(connection: Any, _record: Any) -> None:
    """Tests of this process survive no power cut, so SQLite need not wait for the disk."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Files and connections are let go when a test ends."""
    yield
    while MADE:
        close(MADE.pop())
    while CONNECTED:
        CONNECTED.pop().dispose()


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    """A filled backend whose keys have a database of their own."""
    return make_backend(tmp_path / "backend")


@pytest.fixture(params=[True, False], ids=["keys apart", "keys beside the data"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A filled backend, with keys apart and with keys in the data's database."""
    return make_backend(tmp_path / "backend", separate_keys=request.param)
