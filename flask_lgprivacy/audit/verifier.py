"""Verifies a trail offline, from its files alone: every line follows the one before, and none is
missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from .chain import LINE, Head, chain_hash, genesis, parse_head

OK, TAMPERED, INCOMPLETE, CANNOT_TELL = range(4)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong: the file, the line (from 1; 0 for the file as a whole) and what it is."""

    file: str
    line: int
    verdict: int
    what: str


@dataclass(slots=True)
class Report:
    """What a verification found: `chains` and `lines` read, and its findings."""

    chains: int = 0
    lines: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all well, 1 tampered, 2 incomplete, 3 cannot tell."""
        verdicts = {finding.verdict for finding in self.findings}
        return next((code for code in (TAMPERED, CANNOT_TELL, INCOMPLETE) if code in verdicts), OK)


def verify_trail(directory: Path) -> Report:
    """Verify every chain in a directory.

    Returns a `Report`; never raises for what the files hold. A cut tail is found as far as the head
    beside the chain tells; who can rewrite both is found only by a checkpoint kept elsewhere.
    """
    report = Report()
    chains = {path.stem for path in [*directory.glob("w*.jsonl"), *directory.glob("w*.head")]}
    if not chains:
        report.findings.append(Finding(directory.name, 0, CANNOT_TELL, "no trail here"))
    for chain in sorted(chains, key=lambda name: (len(name), name)):
        report.chains += 1
        report.findings.extend(_verify_chain(directory, chain, report))
    return report


def _verify_chain(directory: Path, chain: str, report: Report) -> Iterator[Finding]:
    path = directory / f"{chain}.jsonl"
    head_path = directory / f"{chain}.head"
    anchored = _head(head_path)
    if not path.exists():
        yield Finding(path.name, 0, TAMPERED, "the chain's file is missing; only its head is left")
        return
    tip = genesis(chain)
    number = 0
    hash_at_head = tip.hash if anchored and anchored.sequence == 0 else None
    is_torn = False
    try:
        for number, line in enumerate(_lines(path), start=1):
            if not line.endswith(b"\n"):
                is_torn = True
                break
            report.lines += 1
            line = line[:-1]  # noqa: PLW2901  one line at a time is held, however long the chain is
            match = LINE.match(line)
            if match is None or not _is_object(line):
                yield Finding(
                    path.name,
                    number,
                    TAMPERED,
                    "is not an event of this trail: the line was edited",
                )
                tip = Head(tip.sequence + 1, 0, chain_hash(line))
                continue
            sequence = int(match[2])
            yield from _follows(path.name, number, tip, sequence, match[1].decode())
            tip = Head(sequence, 0, chain_hash(line))
            if anchored and anchored.sequence == sequence:
                hash_at_head = tip.hash
    except OSError as error:
        yield Finding(path.name, 0, CANNOT_TELL, f"cannot be read: {error.strerror}")
        return
    if is_torn:
        yield Finding(
            path.name, number, INCOMPLETE, "an unfinished last line, as a crash leaves it"
        )
    if anchored is None:
        yield Finding(path.name, 0, CANNOT_TELL, "the head beside the chain is missing or damaged")
    elif tip.sequence < anchored.sequence:
        cut_lines = anchored.sequence - tip.sequence
        yield Finding(
            path.name,
            number,
            TAMPERED,
            f"ends here, but {cut_lines} more lines were written: the tail was cut",
        )
    elif hash_at_head != anchored.hash:
        yield Finding(
            path.name, anchored.sequence, TAMPERED, "differs from the line that was written here"
        )
    elif tip.sequence > anchored.sequence and not _catches_up(head_path, tip.sequence):
        more = tip.sequence - anchored.sequence
        yield Finding(
            path.name,
            anchored.sequence + 1,
            INCOMPLETE,
            f"{more} lines from here on are past the head: a crash left them, or somebody who is "
            "not the worker added them",
        )


def _lines(path: Path) -> Iterator[bytes]:
    """A chain's lines with their line feeds; one that is just being written is waited for, one that
    a crash left comes as it is.
    """
    with path.open("rb") as lines:
        while line := lines.readline():
            for _ in range(3):
                if line.endswith(b"\n"):
                    break
                time.sleep(0.05)
                line += lines.readline()
            yield line


def _catches_up(head_path: Path, sequence: int) -> bool:
    """Whether a worker that is writing moves its head past a line within a second."""
    for _ in range(10):
        head = _head(head_path)
        if head is not None and head.sequence >= sequence:
            return True
        time.sleep(0.1)
    return False


def _follows(file: str, number: int, tip: Head, sequence: int, previous: str) -> Iterator[Finding]:
    expected = tip.sequence + 1
    if sequence > expected:
        missing_lines = sequence - expected
        yield Finding(
            file,
            number,
            TAMPERED,
            f"has sequence {sequence} after {tip.sequence}: {missing_lines} missing before it",
        )
    elif sequence < expected:
        yield Finding(
            file,
            number,
            TAMPERED,
            f"has sequence {sequence} after {tip.sequence}: lines were moved or repeated",
        )
    elif previous != tip.hash:
        before = f"line {number - 1}" if number > 1 else "the start of the chain"
        yield Finding(
            file, number, TAMPERED, f"does not follow {before}: one of the two was edited"
        )


def _head(path: Path) -> Head | None:
    try:
        return parse_head(path.read_bytes())
    except OSError:
        return None


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except ValueError:
        return False
