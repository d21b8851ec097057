"""Writes the trail: one chain per worker slot, flushed before anything is released.

`commit` returns a receipt or raises; there is no third way. Threads share a flush (group commit).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import structlog

from ..crypto.file_ownership import refuse_open_folder
from ..errors import ConfigurationError, TrailUnavailable
from .chain import HEAD_SIZE, Head, chain_hash, extend, genesis, parse_head
from .events import Event, RecoveryEvent
from .platform import flush_to_disk, hold, require_posix
from .reader import read_trail
from .trail import Receipt
from .verifier import Report, verify_trail

SLOTS = 256


class _Ticket:
    __slots__ = ("failure", "head", "line", "settled")

    def __init__(self, line: bytes, head: Head) -> None:
        self.line = line
        self.head = head
        self.settled = False
        self.failure: str | None = None


class _TrailLogger(structlog.BoundLoggerBase):
    def record(self, event: Event) -> Any:
        return self._proxy_to_logger("append", event)  # type: ignore[arg-type]  # the renderer takes the event itself


def _render(_: Any, __: str, event_dict: Any) -> bytes:
    return orjson.dumps(event_dict["event"])


class FileAuditTrail:
    """A trail in a directory of its own.

    Files: `wN.jsonl`, one JSON object a line, and `wN.head`, where the chain stood after its last
    flush. Opened at first use and again in a forked child, each process in a slot of its own.

    Args:
        directory: Exists, or is made with mode 0700.
        now: Returns ISO 8601 text in UTC.
        flush: Puts a file descriptor's bytes on stable storage.
    """

    def __init__(
        self,
        directory: Path,
        *,
        now: Callable[[], str],
        flush: Callable[[int], None] = flush_to_disk,
    ) -> None:
        require_posix(
            "a trail of files",
            "run it in WSL or a container, or give LGPrivacy(trail=…) another one",
        )
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigurationError(
                f"the trail directory {directory.name} cannot be made ({error.strerror}); set "
                "LGPRIVACY_TRAIL_DIRECTORY"
            ) from None
        status = directory.stat()
        refuse_open_folder(
            status.st_mode, status.st_uid, status.st_gid, directory.name, "the trail"
        )
        self._directory = str(directory)
        self._now = now
        self._flush_to_disk = flush
        self._spoiled: set[str] = set()
        self._forget()
        self._logger = structlog.wrap_logger(
            self, processors=[_render], wrapper_class=_TrailLogger, cache_logger_on_first_use=True
        ).bind()
        itself = weakref.ref(self)

        def in_child() -> None:
            trail = itself()
            if trail is not None:
                trail._leave_to_parent()

        os.register_at_fork(after_in_child=in_child)

    def commit(self, event: Event) -> Receipt:
        """Put an event on stable storage; raises `TrailUnavailable`."""
        receipt = self._logger.record(event)
        if not isinstance(receipt, Receipt):
            raise TrailUnavailable("no receipt")
        return receipt

    def read(self, where: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The events of all chains in order of time, this process's and others'."""
        return read_trail(Path(self._directory), where=where)

    def verify(self) -> Report:
        """Verify every chain in the directory."""
        return verify_trail(Path(self._directory))

    def append(self, body: bytes) -> Receipt:
        """The sink of the private logger: chain a rendered event and wait until it is durable."""
        with self._order:
            if self._file is None:
                self._open()
            ticket = self._stage(body)
        with self._flushing:
            if not ticket.settled:
                self._flush_staged()
        if ticket.failure is not None:
            raise TrailUnavailable(ticket.failure)
        return Receipt(self._chain, ticket.head.sequence, ticket.head.hash)

    def close(self) -> None:
        """Write what is waiting, and give the slot back."""
        with self._flushing:
            if self._staged:
                self._flush_staged()
            with self._order:
                if not self._staged:
                    self._release()

    # --- inside, under the locks ---

    def _forget(self) -> None:
        self._order = threading.Lock()
        self._flushing = threading.Lock()
        self._file: int | None = None
        self._head: mmap.mmap | None = None
        self._chain = ""
        self._is_evidence = False
        self._staged: list[_Ticket] = []
        self._durable = self._tip = genesis("")

    def _leave_to_parent(self) -> None:
        self._release()
        self._forget()

    def _release(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
        if self._head is not None:
            self._head.close()
        self._file = self._head = None

    def _stage(self, body: bytes) -> _Ticket:
        line, self._tip = extend(self._tip, body)
        ticket = _Ticket(line, self._tip)
        self._staged.append(ticket)
        return ticket

    def _flush_staged(self) -> None:
        with self._order:
            batch, self._staged = self._staged, []
        try:
            assert self._file is not None and self._head is not None  # noqa: S101  staged only where open
            self._check_place()
            self._write(self._file, b"".join(ticket.line for ticket in batch))
            self._flush_or_spoil(self._file)
            self._head[:] = batch[-1].head.rendered()
        except OSError as error:
            self._fail(batch, error.strerror or type(error).__name__)
        else:
            self._durable = batch[-1].head
            for ticket in batch:
                ticket.settled = True

    def _write(self, file: int, lines: bytes) -> None:
        written = os.write(file, lines)
        if written != len(lines):
            raise OSError(0, "short write")

    def _flush_or_spoil(self, file: int) -> None:
        """An error of a flush leaves the file in doubt for ever, so this slot is not used again."""
        try:
            self._flush_to_disk(file)
        except OSError:
            self._spoiled.add(self._chain)
            raise

    def _fail(self, batch: list[_Ticket], reason: str) -> None:
        with self._order:
            for ticket in [*batch, *self._staged]:
                ticket.failure = reason
                ticket.settled = True
            self._staged = []
            if self._file is not None and not self._is_evidence:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._durable.size)
            self._release()

    def _check_place(self) -> None:
        """Refuse to write where no reader would find it: removed, changed, made read-only, moved or
        replaced.
        """
        if not os.stat(self._directory).st_mode & 0o222:
            raise OSError(0, "the trail directory is read-only")
        status = os.stat(self._path)
        if (status.st_dev, status.st_ino) != self._identity:
            raise OSError(0, "the trail file was replaced")
        if not status.st_mode & 0o222:
            raise OSError(0, "the trail file is read-only")
        if status.st_size != self._durable.size:
            self._spoiled.add(self._chain)
            self._is_evidence = True  # as it is: neither cut nor continued
            raise OSError(0, "the trail file was changed by somebody else")

    def _open(self) -> None:
        try:
            for number in range(SLOTS):
                chain = f"w{number}"
                if chain not in self._spoiled and self._take(chain):
                    return
        except OSError as error:
            self._release()
            raise TrailUnavailable(error.strerror or type(error).__name__) from None
        raise TrailUnavailable(f"all {SLOTS} worker slots are taken or in doubt")

    def _take(self, chain: str) -> bool:
        path = Path(self._directory, f"{chain}.jsonl")
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not hold(file):
            os.close(file)
            return False
        tail, cut = _tail(file, chain)
        head_file = os.open(path.with_suffix(".head"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        head = parse_head(os.pread(head_file, 256, 0))
        if tail is None or _behind(tail, head):
            os.close(file)
            os.close(head_file)
            self._spoiled.add(chain)
            return False
        if cut:
            os.ftruncate(file, tail.size)
        os.ftruncate(head_file, HEAD_SIZE)
        self._path, self._chain, self._is_evidence = str(path), chain, False
        opened = os.fstat(file)
        self._identity = (opened.st_dev, opened.st_ino)
        self._file, self._head = file, mmap.mmap(head_file, HEAD_SIZE)
        self._head[:] = tail.rendered()
        os.close(head_file)
        self._durable = self._tip = tail
        past_head = tail.sequence - (head.sequence if head is not None else 0)
        if cut or past_head:
            self._stage(
                orjson.dumps(
                    RecoveryEvent(at=self._now(), cut_bytes=cut, lines_past_head=past_head)
                )
            )
        return True


def _behind(tail: Head, head: Head | None) -> bool:
    """Whether a chain lost or changed lines since its head was written; such a chain is never
    continued.
    """
    if head is None:
        return tail.sequence > 0
    return head.sequence > tail.sequence or (
        head.sequence == tail.sequence and head.hash != tail.hash
    )


def _tail(file: int, chain: str) -> tuple[Head | None, int]:
    """The head that a chain's last whole line gives, and the bytes after it; None where the tail is
    no chain.
    """
    size = os.fstat(file).st_size
    window = 1 << 16
    while True:
        start = max(0, size - window)
        raw = os.pread(file, size - start, start)
        whole, _, torn = raw.rpartition(b"\n")
        if start == 0 or b"\n" in whole:
            break
        window *= 8
    if not whole:
        return genesis(chain), len(torn)
    last = whole.rpartition(b"\n")[2]
    try:
        sequence = orjson.loads(last)["seq"]
    except (ValueError, KeyError, TypeError):
        return None, 0
    return Head(int(sequence), size - len(torn), chain_hash(last)), len(torn)
