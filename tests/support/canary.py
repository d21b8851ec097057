"""Looks for planted values in everything that a run of the tests left behind: files, what was printed, what was logged.

A plugin of pytest: it looks when all tests have run, whichever processes ran them, and fails the run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from school import CANARY

INPUT = "input"
"""Folders of this name hold what tests feed in; everything else was written by the package."""
SHOWN_IN_OUTPUT: set[str] = set()
"""The tests that printed or logged a planted value."""
_SHOWN = pytest.StashKey[list[str]]()
_IS_WHOLE = pytest.StashKey[bool]()
_PLANTED = CANARY.encode()
_SPELLINGS = (_PLANTED, _PLANTED.lower(), _PLANTED.hex().encode(), CANARY.encode("utf-16-le"))


def files_that_show_it(folder: Path) -> list[Path]:
    """The files under a folder that hold a planted value, but for what tests feed in."""
    return [
        path
        for path in _files(folder)
        if any(spelling in path.read_bytes() for spelling in _SPELLINGS)
    ]


def is_whole_suite(folder: Path) -> bool:
    """Whether enough was written that a look says something: ten databases and ten trails."""
    suffixes = [path.suffix for path in _files(folder)]
    return suffixes.count(".db") >= 10 and suffixes.count(".jsonl") >= 10


def _files(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and INPUT not in path.relative_to(folder).parts
    ]


def pytest_runtest_logreport(report: Any) -> None:
    """Look at what a test printed and logged."""
    if CANARY in report.capstdout + report.capstderr + report.caplog:
        SHOWN_IN_OUTPUT.add(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look at what the run left behind; where several processes run the tests, their leader looks."""
    if hasattr(session.config, "workerinput"):
        return
    folder = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    shown = [
        f"{path.relative_to(folder)} holds a planted value" for path in files_that_show_it(folder)
    ]
    shown += [f"{test} printed or logged a planted value" for test in sorted(SHOWN_IN_OUTPUT)]
    session.config.stash[_SHOWN] = shown
    session.config.stash[_IS_WHOLE] = is_whole_suite(folder)
    if shown:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what the look has shown."""
    shown = config.stash.get(_SHOWN, [])
    for line in shown:
        terminalreporter.write_line(f"canary: {line}", red=True)
    if not shown and config.stash.get(_IS_WHOLE, False):
        terminalreporter.write_line(
            "canary: no file, output or log of this run holds a planted value", green=True
        )
