"""A backend with support agents, whose clock the test moves and whose notices it sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from granting import AGENTS, Clock
from school import Backend, close, make_backend

from flask_lgprivacy import EmergencyNotice, LGPrivacy


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[EmergencyNotice]:
    return []


@pytest.fixture
def backend(tmp_path: Path, clock: Clock, told: list[EmergencyNotice]) -> Iterator[Backend]:
    made = make_backend(
        tmp_path / "b", privacy=LGPrivacy(utcnow=clock, notify=told.append), LGPRIVACY_AGENTS=AGENTS
    )
    with made.app.app_context():
        yield made
    close(made)
