"""WSGI middleware that holds an answer back until its audit event is durable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import TrailUnavailable
from ..gate.context import ProcessingContext
from ..gate.recording import commit_processing, record_grant_uses
from ..gate.runtime import Runtime
from ..orm.context import current_context

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


SOCKETS = (
    "werkzeug.socket",
    "gunicorn.socket",
    "eventlet.input",
    "wsgi.websocket",
    "wsgi.hijack",
    "x-wsgiorg.hijack",
)
"""Where servers hand over the client's connection, which a view could write to past the trail. A
WebSocket needs it, so there each opening is recorded before its value is shown.
"""
UNAVAILABLE = json.dumps(
    {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": TrailUnavailable.code,
        "detail": "the audit trail cannot be written, so nothing is released until it can",
    }
).encode()


class AuditMiddleware:
    """WSGI middleware around a Flask application.

    Every request runs under a `ProcessingContext` of its own. The answer is held back until what
    was opened, refused or written stands in the trail; where that fails, the answer is 503 and
    nothing of it is sent.
    """

    def __init__(self, inner: WSGIApplication, runtime: Runtime) -> None:
        self._inner = inner
        self._runtime = runtime

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        processing = self._begin(environ)
        token = current_context.set(processing)
        status, headers, raised = "", [], None

        def hold(
            new_status: str, new_headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            nonlocal status, headers, raised
            status, headers, raised = new_status, new_headers, exc_info
            return _refuse_write

        body: Iterable[bytes] = ()
        try:
            body = self._inner(environ, hold)
            chunks = iter(body)
            first = next(chunks, b"")
            is_whole = _is_whole(first, headers)
            if is_whole:
                _close(body)
            if processing.must_be_audited:
                commit_processing(processing, int(status[:3]))
            self._runtime.on_end()
        except TrailUnavailable:
            _close(body)
            processing.end()
            return _unavailable(start_response)
        except BaseException:
            try:
                _close(body)
            finally:
                try:
                    if processing.must_be_audited:
                        commit_processing(processing, 500)
                finally:
                    processing.end()
            raise
        finally:
            current_context.reset(token)
        if processing.declaration is not None or processing.has_opened:
            headers = [(name, value) for name, value in headers if name.lower() != "cache-control"]
            headers.append(("Cache-Control", "no-store"))
        start_response(status, headers, raised)
        if is_whole:
            processing.end()
            return (first,)
        return _Chunks(processing, body, chunks, first)

    def _begin(self, environ: WSGIEnvironment) -> ProcessingContext:
        """The processing of a request, and the client's connection kept from a view that has no use
        for it.
        """
        processing = ProcessingContext(self._runtime, "request")
        if "HTTP_UPGRADE" in environ:
            processing.record_at_once = partial(commit_processing, status=None)
        else:
            for name in SOCKETS:
                environ.pop(name, None)
        return processing


def _unavailable(start_response: StartResponse) -> Iterable[bytes]:
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(UNAVAILABLE))),
        ("Retry-After", "30"),
    ]
    start_response("503 SERVICE UNAVAILABLE", headers)
    return [UNAVAILABLE]


def _refuse_write(_: bytes) -> None:
    raise RuntimeError(
        "write() of PEP 3333 is not offered: it would send before the trail is written"
    )


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _is_whole(first: bytes, headers: list[tuple[str, str]]) -> bool:
    """Whether the first chunk is all there is, so that no code runs any more while the body is
    sent.
    """
    for name, value in headers:
        if name == "Content-Length":
            return value == str(len(first))
    return False


class _Chunks:
    """A body whose every chunk is recorded, if it opened something, before it is handed on."""

    def __init__(
        self,
        processing: ProcessingContext,
        body: Iterable[bytes],
        chunks: Iterator[bytes],
        first: bytes,
    ) -> None:
        self._processing = processing
        self._body = body
        self._chunks = chunks
        self._first: bytes | None = first
        processing.via = "stream"

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            with self._recorded():
                return next(self._chunks)
        except StopIteration:
            record_grant_uses(self._processing)
            raise

    def close(self) -> None:
        """Close the body, as PEP 3333 asks."""
        try:
            with self._recorded():
                _close(self._body)
        finally:
            try:
                record_grant_uses(self._processing)
                self._processing.runtime.on_end()
            finally:
                self._processing.end()

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        token = current_context.set(self._processing)
        try:
            yield
        finally:
            current_context.reset(token)
            if self._processing.log:
                commit_processing(self._processing, None)
