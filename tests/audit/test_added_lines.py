"""Lines that the worker did not write are a finding and are not continued; reading a long trail holds one line at a time."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from flask_lgprivacy.audit import FileAuditTrail, KeyOperationEvent, read_trail, verify_trail
from flask_lgprivacy.errors import ConfigurationError, TrailUnavailable

NOW = "2026-11-26T08:00:00.000Z"
EVENT = KeyOperationEvent(NOW, "test", "ended", None, ())


def trail(folder: Path) -> FileAuditTrail:
    return FileAuditTrail(folder, now=lambda: NOW)


def forge(folder: Path) -> None:
    """Add a line that follows the last one as the chain asks, as somebody can who may append to the file."""
    path = folder / "w0.jsonl"
    last = path.read_bytes().splitlines()[-1]
    line = {
        "prev": hashlib.sha256(last).hexdigest(),
        "v": 1,
        "seq": json.loads(last)["seq"] + 1,
        "at": NOW,
        "event": "permission",
    }
    with path.open("ab") as file:
        file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def test_a_line_that_somebody_added_is_a_finding_that_the_continuation_names(
    tmp_path: Path,
) -> None:
    first = trail(tmp_path)
    first.commit(EVENT)
    first.close()
    forge(tmp_path)
    report = verify_trail(tmp_path)
    assert (report.exit_code, report.findings[0].line) == (2, 2)
    assert "past the head" in report.findings[0].what
    second = trail(tmp_path)
    second.commit(EVENT)
    second.close()
    assert [
        (one["lines_past_head"], one["cut_bytes"])
        for one in read_trail(tmp_path)
        if one["event"] == "recovery"
    ] == [(1, 0)]


def test_a_chain_that_somebody_adds_to_while_a_worker_runs_is_not_continued(
    tmp_path: Path,
) -> None:
    running = trail(tmp_path)
    running.commit(EVENT)
    forge(tmp_path)
    with pytest.raises(TrailUnavailable, match="changed by somebody else"):
        running.commit(EVENT)
    assert running.commit(EVENT).chain == "w1"
    running.close()
    assert len((tmp_path / "w0.jsonl").read_bytes().splitlines()) == 2
    assert verify_trail(tmp_path).exit_code == 2


def test_verifying_and_reading_hold_one_line_at_a_time(tmp_path: Path) -> None:
    written = FileAuditTrail(tmp_path, now=lambda: NOW, flush=lambda _: None)
    for _ in range(20_000):
        written.commit(EVENT)
    written.close()
    tracemalloc.start()
    assert verify_trail(tmp_path).exit_code == 0
    assert sum(1 for _ in read_trail(tmp_path)) == 20_000
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2_000_000


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "trail"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigurationError, match="where others may put files"):
        trail(folder)


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("del os.fdatasync", "imported"),
        (
            "import asyncio, flask, flask_sqlalchemy, orjson, structlog, urllib3, sys; sys.platform = 'win32'; sys.modules['fcntl'] = None",
            "needs a POSIX system such as Linux or macOS; on Windows",
        ),
    ],
)
def test_the_package_is_imported_where_a_system_lacks_something(
    tmp_path: Path, missing: str, says: str
) -> None:
    code = f"""
import os, pathlib
{missing}
from flask_lgprivacy.audit import FileAuditTrail
from flask_lgprivacy.errors import ConfigurationError
try:
    FileAuditTrail(pathlib.Path({str(tmp_path)!r}) / "t", now=str)
    print("imported")
except ConfigurationError as refused:
    print(refused)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert says in done.stdout, done.stderr
