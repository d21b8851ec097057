"""The look at everything that the tests left behind finds what it is to find, and fails the run.

The look itself is taken when all tests have run (tests/support/canary.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from canary import files_that_show_it
from school import CANARY


@pytest.mark.parametrize(
    "content",
    [
        CANARY.encode(),
        CANARY.lower().encode(),
        CANARY.encode().hex().encode(),
        CANARY.encode("utf-16-le"),
    ],
    ids=["as it is", "in lower case", "in hexadecimal digits", "in UTF-16"],
)
def test_a_value_in_a_file_is_found(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "input"  # the look at the whole run passes over what tests feed in
    (folder / "trail").mkdir(parents=True)
    (folder / "trail" / "0.jsonl").write_bytes(b'{"name": "' + content + b'"}')
    (folder / "empty.db").write_bytes(b"nothing")
    assert [path.name for path in files_that_show_it(folder)] == ["0.jsonl"]


def test_what_tests_feed_in_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "roster.csv").write_text(CANARY)
    assert files_that_show_it(tmp_path) == []


@pytest.mark.parametrize(
    ("leaves", "says"),
    [
        ("(tmp_path / '0.jsonl').write_text(CANARY)", "0.jsonl holds a planted value"),
        ("print(CANARY)", "printed or logged a planted value"),
        ("logging.getLogger('x').warning(CANARY)", "printed or logged a planted value"),
    ],
    ids=["in a file", "in its output", "in its log"],
)
@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["one process", "two processes"])
def test_a_run_that_leaves_a_value_behind_fails(
    tmp_path: Path, leaves: str, says: str, processes: tuple[str, ...]
) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    (folder / "test_leaving.py").write_text(
        f"import logging\nfrom school import CANARY\ndef test_it(tmp_path):\n    {leaves}\ndef test_other():\n    pass\n"
    )
    support = Path(__file__).parent / "support"
    options = [
        "-p",
        "canary",
        "--rootdir",
        str(folder),
        "--basetemp",
        str(folder / "left"),
        "-p",
        "no:cacheprovider",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *processes, str(folder)],
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
            "PYTHONPATH": f"{support}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout.replace(CANARY, "…")
    assert any(
        line.startswith("canary: ") and line.endswith(says) for line in run.stdout.splitlines()
    )
