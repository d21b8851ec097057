"""No personal value lies about: in files that tests wrote, in what they printed, in what they logged."""

from __future__ import annotations

import pytest
from school import CANARY

INPUT = "input"
"""Folders of this name hold what tests feed in; everything else was written by the package."""


def test_nothing_that_the_tests_wrote_holds_a_planted_value(
    tmp_path_factory: pytest.TempPathFactory, printed: list[str]
) -> None:
    needle = CANARY.encode()
    needles = (needle, needle.lower(), needle.hex().encode(), needle.decode().encode("utf-16-le"))
    files = [path for path in tmp_path_factory.getbasetemp().rglob("*") if path.is_file() and INPUT not in path.parts]
    found = [path.name for path in files if any(one in path.read_bytes() for one in needles)]
    databases = [path for path in files if path.suffix == ".db"]
    trails = [path for path in files if path.suffix == ".jsonl"]
    if len(databases) < 10 or len(trails) < 10:
        pytest.skip("needs the whole suite to have run before it")
    assert found == []
    assert not any(CANARY in text for text in printed)
