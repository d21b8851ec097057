"""The trail keeps what it took, refuses what it cannot keep, and shows what was done to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_lgprivacy.audit import (
    Access,
    FileAuditTrail,
    ProcessingEvent,
    Refusal,
    read_trail,
    verify_trail,
)
from flask_lgprivacy.errors import TrailUnavailable


def event(number: int = 0) -> ProcessingEvent:
    return ProcessingEvent(
        at=f"2026-11-22T10:00:{number % 60:02d}.000Z", via="request", stage="outcome", endpoint=f"view{number}", method="GET", status=200,
        actor="00ff", role="teacher", client="c1", purpose="provide-service", basis="contract",
        touched=(Access("student.profile", "read", "c1", 1, ("abcd",)),), withheld=(),
        refused=(Refusal("access-denied", "LG-03"),) if number == 3 else (),
    )  # fmt: skip


def trail_in(directory: Path, **options: object) -> FileAuditTrail:
    return FileAuditTrail(directory, now=lambda: "2026-11-22T10:00:00.000Z", **options)  # type: ignore[arg-type]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    directory = tmp_path / "trail"
    trail = trail_in(directory)
    for number in range(6):
        trail.commit(event(number))
    trail.close()
    return directory


def found(directory: Path) -> list[tuple[str, int]]:
    return [(finding.file, finding.line) for finding in verify_trail(directory).findings]


def lines_of(directory: Path) -> list[bytes]:
    return (directory / "w0.jsonl").read_bytes().splitlines(keepends=True)


def test_an_untouched_trail_verifies(written: Path) -> None:
    report = verify_trail(written)
    assert (report.exit_code, report.lines) == (0, 6)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_changed_byte_is_found_at_its_place(written: Path, data: st.DataObject) -> None:
    raw = (written / "w0.jsonl").read_bytes()
    position = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[position] ^ (1 << data.draw(st.integers(0, 7)))
    (written / "w0.jsonl").write_bytes(raw[:position] + bytes([changed]) + raw[position + 1 :])
    report = verify_trail(written)
    (written / "w0.jsonl").write_bytes(raw)
    line = raw[:position].count(b"\n") + 1
    assert report.exit_code != 0
    assert any(finding.line in (line - 1, line, line + 1) for finding in report.findings)


@pytest.mark.parametrize("number", range(6))
def test_a_deleted_line_is_found(written: Path, number: int) -> None:
    lines = lines_of(written)
    del lines[number]
    (written / "w0.jsonl").write_bytes(b"".join(lines))
    assert verify_trail(written).exit_code == 1
    assert any(line in (number, number + 1) for _, line in found(written))


@pytest.mark.parametrize("number", range(5))
def test_swapped_lines_are_found(written: Path, number: int) -> None:
    lines = lines_of(written)
    lines[number], lines[number + 1] = lines[number + 1], lines[number]
    (written / "w0.jsonl").write_bytes(b"".join(lines))
    assert verify_trail(written).exit_code == 1
    assert ("w0.jsonl", number + 1) in found(written)


def test_a_repeated_line_is_found(written: Path) -> None:
    lines = lines_of(written)
    (written / "w0.jsonl").write_bytes(b"".join([*lines, lines[-1]]))
    assert ("w0.jsonl", 7) in found(written)


def test_a_chain_under_another_name_is_found(written: Path) -> None:
    for suffix in (".jsonl", ".head"):
        (written / f"w0{suffix}").rename(written / f"w1{suffix}")
    assert ("w1.jsonl", 1) in found(written)


def test_a_missing_file_is_found(written: Path) -> None:
    (written / "w0.jsonl").unlink()
    assert verify_trail(written).exit_code == 1


def test_a_directory_without_a_trail_is_no_success(tmp_path: Path) -> None:
    assert verify_trail(tmp_path).exit_code == 3


def test_an_unfinished_line_is_told_apart_from_an_edit(written: Path) -> None:
    with (written / "w0.jsonl").open("ab") as file:
        file.write(b'{"prev":"')
    assert verify_trail(written).exit_code == 2


def test_a_restarted_worker_continues_the_chain(written: Path) -> None:
    trail_in(written).commit(event())
    report = verify_trail(written)
    assert (report.exit_code, report.chains, report.lines) == (0, 1, 7)


def test_a_restarted_worker_tells_that_it_cut_an_unfinished_line(written: Path) -> None:
    with (written / "w0.jsonl").open("ab") as file:
        file.write(b'{"prev":"')
    trail_in(written).commit(event())
    assert verify_trail(written).exit_code == 0
    assert [one["cut_bytes"] for one in read_trail(written, where={"event": "recovery"})] == [9]


def test_a_chain_whose_tail_was_cut_is_not_continued(written: Path) -> None:
    (written / "w0.jsonl").write_bytes(b"".join(lines_of(written)[:3]))
    receipt = trail_in(written).commit(event())
    assert receipt.chain == "w1"
    assert verify_trail(written).exit_code == 1


def test_eight_threads_lose_nothing(tmp_path: Path) -> None:
    trail = trail_in(tmp_path / "trail")
    threads = [
        threading.Thread(target=lambda: [trail.commit(event(n)) for n in range(50)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = verify_trail(tmp_path / "trail")
    assert (report.exit_code, report.lines) == (0, 400)


def test_four_processes_of_eight_threads_lose_nothing(tmp_path: Path) -> None:
    writer = Path(__file__).parents[1] / "support" / "write_trail.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    processes = [
        subprocess.Popen([sys.executable, writer, tmp_path / "trail"], env=environment)
        for _ in range(4)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    report = verify_trail(tmp_path / "trail")
    assert (report.exit_code, report.lines) == (0, 800)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_takes_a_slot_of_its_own(tmp_path: Path) -> None:
    trail = trail_in(tmp_path / "trail")
    trail.commit(event())
    child = os.fork()
    if child == 0:
        ended = 1
        try:
            ended = 0 if trail.commit(event()).chain == "w1" else 1
        finally:
            os._exit(ended)
    assert os.waitpid(child, 0)[1] == 0
    assert trail.commit(event()).chain == "w0"
    assert verify_trail(tmp_path / "trail").lines == 3


def _make_directory_read_only(directory: Path) -> None:
    directory.chmod(0o500)


def _remove_directory(directory: Path) -> None:
    directory.rename(directory.with_name("moved"))


def _replace_file(directory: Path) -> None:
    (directory / "w0.jsonl").rename(directory / "w0.old")
    (directory / "w0.jsonl").touch()


def _write_into_file(directory: Path) -> None:
    with (directory / "w0.jsonl").open("ab") as file:
        file.write(b"{}\n")


def _cut_file(directory: Path) -> None:
    os.truncate(directory / "w0.jsonl", 10)


@pytest.mark.parametrize(
    "damage",
    [_make_directory_read_only, _remove_directory, _replace_file, _write_into_file, _cut_file],
)
def test_a_damaged_place_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    directory = tmp_path / "trail"
    trail = trail_in(directory)
    trail.commit(event())
    damage(directory)
    with pytest.raises(TrailUnavailable):
        trail.commit(event())
    if directory.exists():
        directory.chmod(0o700)


def test_a_failed_flush_is_never_tried_again_on_that_file(tmp_path: Path) -> None:
    failing = [True]

    def flush(descriptor: int) -> None:
        if failing.pop() if failing else False:
            raise OSError(5, "Input/output error")
        os.fdatasync(descriptor)

    trail = trail_in(tmp_path / "trail", flush=flush)
    with pytest.raises(TrailUnavailable, match="Input/output error"):
        trail.commit(event())
    assert trail.commit(event()).chain == "w1"
    assert verify_trail(tmp_path / "trail").exit_code == 0


def test_when_a_flush_fails_no_waiting_thread_gets_a_receipt(tmp_path: Path) -> None:
    def flush(_: int) -> None:
        raise OSError(28, "No space left on device")

    trail = trail_in(tmp_path / "trail", flush=flush)
    refused = []

    def commit() -> None:
        try:
            trail.commit(event())
        except TrailUnavailable:
            refused.append(1)

    threads = [threading.Thread(target=commit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 8


def test_a_line_is_one_json_object_that_begins_with_its_chain(written: Path) -> None:
    first, second = (json.loads(line) for line in lines_of(written)[:2])
    assert list(first)[:3] == ["prev", "v", "seq"]
    assert (first["seq"], second["seq"]) == (1, 2)


@pytest.mark.parametrize(
    ("where", "count"),
    [({"clause": "LG-03"}, 1), ({"role": "teacher"}, 6), ({"category": "student.profile"}, 6), ({"endpoint": "view2"}, 1),
     ({"pseudonym": "abcd"}, 6), ({"code": "access-denied"}, 1), ({"since": "2026-11-22T10:00:04"}, 2), ({"role": "guest"}, 0)],
)  # fmt: skip
def test_the_trail_is_read_by_filter(written: Path, where: dict[str, str], count: int) -> None:
    assert len(list(read_trail(written, where=where))) == count


def test_a_chain_without_its_head_is_not_continued(written: Path) -> None:
    (written / "w0.jsonl").write_bytes(b"".join(lines_of(written)[:3]))
    (written / "w0.head").unlink()
    assert trail_in(written).commit(event()).chain == "w1"
    assert verify_trail(written).exit_code != 0


def test_a_very_long_line_is_continued_in_its_chain(tmp_path: Path) -> None:
    trail = trail_in(tmp_path / "trail")
    trail.append(b'{"pad":"' + b"x" * (5 << 20) + b'"}')
    trail.close()
    assert trail_in(tmp_path / "trail").commit(event()).chain == "w0"
    assert verify_trail(tmp_path / "trail").exit_code == 0


def test_closing_while_threads_write_loses_nothing(tmp_path: Path) -> None:
    trail = trail_in(tmp_path / "trail")
    threads = [
        threading.Thread(target=lambda: [trail.commit(event(n)) for n in range(40)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for _ in range(20):
        trail.close()
    for thread in threads:
        thread.join()
    report = verify_trail(tmp_path / "trail")
    assert (report.exit_code, report.lines) == (0, 160)
