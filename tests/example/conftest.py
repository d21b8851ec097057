"""One running example for each file of tests, and one application with tables of its own for each test that needs no server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Running, start_example

from example_app import create_app
from example_app.models import db
from example_app.privacy import privacy


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start_example(tmp_path_factory.mktemp("example") / "instance") as made:
        yield made


@pytest.fixture
def app(tmp_path: Path) -> Any:
    made = create_app(tmp_path / "instance")
    with made.app_context():
        privacy.initialise()
        db.create_all()
        yield made
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()
    made.extensions["lgprivacy"].runtime.audit.trail.close()
