"""The gate's outer door: nothing leaves a request before its record is in the trail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..errors import TrailUnavailable
from ..models import Opener, current_opener
from .house import House
from .processing import Processing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_slot: ContextVar[Opener | None] = current_opener
UNAVAILABLE = json.dumps(
    {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": TrailUnavailable.code,
        "detail": "the audit trail cannot be written, so nothing is released until it can",
    }
).encode()


class Door:
    """WSGI middleware around a Flask application.

    Every request runs under a `Processing` of its own. The answer is held back until what was opened, refused or
    written stands in the trail; where that fails, the answer is 503 and nothing of it is sent.
    """

    def __init__(self, inner: WSGIApplication, house: House) -> None:
        self._inner = inner
        self._house = house

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        processing = Processing(self._house, "request")
        token = _slot.set(processing)
        held: list[Any] = []

        def hold(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            held[:] = (status, headers, exc_info)
            return _refuse_write

        try:
            body = self._inner(environ, hold)
        except BaseException:
            if processing.is_telling:
                self._house.trail.commit(processing.event(status=500))
            raise
        finally:
            _slot.reset(token)
        if not processing.is_telling and not _may_stream(body):
            start_response(*held)
            return body
        return self._release(processing, body, held, start_response)

    def _release(
        self, processing: Processing, body: Iterable[bytes], held: list[Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        chunks = _Chunks(processing, body)
        try:
            first = next(chunks, b"")
            if processing.is_telling:
                self._house.trail.commit(processing.event(status=int(held[0][:3])))
        except TrailUnavailable:
            chunks.close()
            start_response(
                "503 SERVICE UNAVAILABLE",
                [
                    ("Content-Type", "application/problem+json"),
                    ("Content-Length", str(len(UNAVAILABLE))),
                    ("Retry-After", "30"),
                ],
            )
            return [UNAVAILABLE]
        except BaseException:
            chunks.close()
            if processing.is_telling:
                self._house.trail.commit(processing.event(status=500))
            raise
        status, headers, exc_info = held
        if processing.has_opened:
            headers = [(name, value) for name, value in headers if name.lower() != "cache-control"]
            headers.append(("Cache-Control", "no-store"))
        start_response(status, headers, exc_info)
        chunks.first = first
        return chunks


def _refuse_write(_: bytes) -> None:
    raise RuntimeError("write() of PEP 3333 is not offered: it would send before the trail is written")


def _may_stream(body: Iterable[bytes]) -> bool:
    """Whether code may still run while the body is sent; a list of bytes, or a file, runs none."""
    inner = getattr(body, "_iterator", None)
    return type(inner).__name__ not in {"list_iterator", "tuple_iterator", "FileWrapper"} and type(body) not in (
        list,
        tuple,
    )


class _Chunks:
    """A body whose every chunk is recorded, if it opened something, before it is handed on."""

    def __init__(self, processing: Processing, body: Iterable[bytes]) -> None:
        self._processing = processing
        self._body = body
        self._iterator = iter(body)
        self._begun = False
        self.first: bytes | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.first is not None:
            first, self.first = self.first, None
            self._begun = True
            self._processing.via = "stream"
            return first
        token = _slot.set(self._processing)
        try:
            chunk = next(self._iterator)
        finally:
            _slot.reset(token)
            if self._begun and self._processing.ledger:
                self._processing.house.trail.commit(self._processing.event(status=None))
        return chunk

    def close(self) -> None:
        """Close the body, as PEP 3333 asks."""
        close = getattr(self._body, "close", None)
        if close is not None:
            token = _slot.set(self._processing)
            try:
                close()
            finally:
                _slot.reset(token)
                if self._begun and self._processing.ledger:
                    self._processing.house.trail.commit(self._processing.event(status=None))
