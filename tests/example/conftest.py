"""One running example for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running import Running, start_example


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start_example(tmp_path_factory.mktemp("example") / "instance") as made:
        yield made
