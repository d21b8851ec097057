"""The hash chain of one worker slot: every line carries its sequence number and the hash of the
line before.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

LINE = re.compile(rb'^\{"prev":"([0-9a-f]{64})","v":1,"seq":([0-9]{1,19}),"')
_HEAD = re.compile(rb"^([0-9]{20}) ([0-9]{20}) ([0-9a-f]{64})\n$")
HEAD_SIZE = 20 + 1 + 20 + 1 + 64 + 1


class Head(NamedTuple):
    """Where a chain stands: `sequence` lines, `size` bytes, and the hash of the last line."""

    sequence: int
    size: int
    hash: str

    def rendered(self) -> bytes:
        """The head as one line of fixed length, so that it is overwritten in place."""
        return f"{self.sequence:020d} {self.size:020d} {self.hash}\n".encode()


def genesis(chain: str) -> Head:
    """The head of an empty chain, which is bound to the chain's name."""
    return Head(0, 0, hashlib.sha256(f"lgprivacy trail {chain}".encode()).hexdigest())


def extend(head: Head, body: bytes) -> tuple[bytes, Head]:
    """Chain a JSON object to `head`.

    Args:
        head: Where the chain stands.
        body: A rendered object that is not empty.

    Returns:
        The line with its line feed, and the new head.
    """
    sequence = head.sequence + 1
    line = b'{"prev":"%b","v":1,"seq":%d,%b' % (head.hash.encode(), sequence, body[1:])
    return line + b"\n", Head(sequence, head.size + len(line) + 1, hashlib.sha256(line).hexdigest())


def parse_head(raw: bytes) -> Head | None:
    """A rendered head, or None where it is none."""
    match = _HEAD.match(raw)
    return Head(int(match[1]), int(match[2]), match[3].decode()) if match else None


def chain_hash(line: bytes) -> str:
    """The hash that the next line must carry; `line` without its line feed."""
    return hashlib.sha256(line).hexdigest()
