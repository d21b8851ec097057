"""A stand-in for Vault's Transit engine on loopback, from its public API description; it can be slow, refuse and talk nonsense."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class TransitStandIn:
    """`mood` is one of well, refusing, nonsense, failing, hanging; `delay` in seconds; `asked` lists the paths."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.mood = "well"
        self.asked: list[str] = []
        self.token = "good"
        self.cipher = AESGCM(bytes(range(32)))
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> TransitStandIn:
        self.start()
        return self

    def __exit__(
        self, kind: type | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        standin = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                standin.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers.get("Content-Length", "0"))))
        self.asked.append(request.path)
        time.sleep(self.delay)
        if self.mood == "hanging":
            time.sleep(30)
        if self.mood == "failing":
            return self._send(request, 500, {"errors": ["internal"]})
        if self.mood == "nonsense":
            return self._send(request, 200, {"data": {"plaintext": "?", "ciphertext": 7}})
        if self.mood == "refusing" or request.headers.get("X-Vault-Token") != self.token:
            return self._send(request, 403, {"errors": ["permission denied"]})
        bound_to = base64.b64decode(body["associated_data"])
        if "/encrypt/" in request.path:
            nonce = os.urandom(12)
            sealed = nonce + self.cipher.encrypt(
                nonce, base64.b64decode(body["plaintext"]), bound_to
            )
            data = {"ciphertext": "vault:v1:" + base64.b64encode(sealed).decode(), "key_version": 1}
            return self._send(request, 200, {"data": data})
        sealed = base64.b64decode(body["ciphertext"].split(":")[2])
        try:
            opened = self.cipher.decrypt(sealed[:12], sealed[12:], bound_to)
        except InvalidTag:
            return self._send(request, 400, {"errors": ["message authentication failed"]})
        return self._send(request, 200, {"data": {"plaintext": base64.b64encode(opened).decode()}})

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
