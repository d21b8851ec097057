"""What cannot be saved: the cipher and JSON of the records alone, and the least gate that one can write around a Flask view.

Rows that say how near an aim can be come at all; they measure no part of the package.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask
from flask.globals import request_ctx

from flask_lgprivacy.gate.context import ProcessingContext
from flask_lgprivacy.web.middleware import AuditMiddleware

AAD = b"what a record is bound to: client, group, table, row, versions"


class _Untold(ProcessingContext):
    """A processing context of which the trail hears nothing; only this benchmark has one."""

    __slots__ = ()

    @property
    def must_be_audited(self) -> bool:
        return False


class Unrecorded(AuditMiddleware):
    """The gate alone."""

    def _begin(self, _environ: Any) -> ProcessingContext:
        return _Untold(self._runtime, "request")


def opening(
    row: Callable[..., None], plain: Callable[[], None], count: int, content: dict[str, Any]
) -> None:
    """AES-GCM under a key for each record, and JSON; then the same with a wrapped key for each, as cold keys have it."""
    keys = [os.urandom(32) for _ in range(count)]
    nonce, text = bytes(12), orjson.dumps(content, default=str)
    records = [AESGCM(key).encrypt(nonce, text, AAD) for key in keys]
    owner = os.urandom(32)
    wrapped = [AESGCM(owner).encrypt(nonce, key, AAD) for key in keys]

    def warm() -> None:
        for key, record in zip(keys, records, strict=True):
            orjson.loads(AESGCM(key).decrypt(nonce, record, AAD))

    def cold() -> None:
        unwrap = AESGCM(owner).decrypt
        for key, record in zip(wrapped, records, strict=True):
            orjson.loads(AESGCM(unwrap(nonce, key, AAD)).decrypt(nonce, record, AAD))

    row(
        "floor: AES-GCM and JSON alone, against reading plaintext through the ORM, keys warm",
        warm,
        plain,
        aim=None,
    )
    row(
        "floor: AES-GCM and JSON alone, against reading plaintext through the ORM, keys cold",
        cold,
        plain,
        aim=None,
    )


def least_gate(app: Flask, actor: Any) -> None:
    """Put the least gate on an application: a context, a held answer, an actor, a declaration looked up, and nothing decided."""
    slot: ContextVar[Any] = ContextVar("least", default=None)
    declared = {("x", "GET"): frozenset({"teacher"})}
    inner, dispatch = app.wsgi_app, app.dispatch_request

    class Context:
        __slots__ = ("actor", "declared", "touched")

        def __init__(self) -> None:
            self.actor = self.declared = None
            self.touched: dict[Any, Any] = {}

    def load() -> Any:
        return actor

    def gated() -> Any:
        here = request_ctx.request
        context = slot.get()
        context.declared = declared[here.url_rule.endpoint, here.method]
        context.actor = load()
        if context.actor.role not in context.declared:
            raise PermissionError
        return dispatch()

    def door(environ: Any, start_response: Any) -> Any:
        context = Context()
        token = slot.set(context)
        held: list[Any] = []
        try:
            body = inner(environ, lambda *answer: held.extend(answer))
            content = b"".join(body)
            body.close()
        finally:
            slot.reset(token)
        start_response(*held)
        return [content]

    app.dispatch_request = gated  # type: ignore[method-assign]
    app.wsgi_app = door  # type: ignore[method-assign, assignment]
