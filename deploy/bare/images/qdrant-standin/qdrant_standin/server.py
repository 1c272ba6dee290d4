"""HTTP: sockets, the key, bodies, the envelope of answers, an orderly end. Which call does what is in `api`."""

from __future__ import annotations

import hmac
import json
import shutil
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from qdrant_standin.api import Accepted, Api, Bare, Download, Request
from qdrant_standin.errors import Refused, malformed, wrong_input
from qdrant_standin.multipart import Parts, boundary_of

HEALTH = {
    "/healthz": "healthz check passed",
    "/livez": "healthz check passed",
    "/readyz": "all shards are ready",
}
LARGEST_BODY = 32 * 1024 * 1024  # of JSON, as the real server's default; an upload has no limit
DRAINED = 1024 * 1024  # an unread body up to this size is read, so that the connection can be kept
IDLE = 75.0  # seconds that a connection may be silent


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], api: Api, api_key: str | None) -> None:
        self.api, self.api_key = api, api_key
        self.stopping = False
        self._busy = 0
        self._idle = threading.Condition()
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Without the parent's look-up of a host name, which can wait for a name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"error while talking to a client: {error!r}", file=sys.stderr, flush=True)

    def begin(self) -> None:
        with self._idle:
            self._busy += 1

    def end(self) -> None:
        with self._idle:
            self._busy -= 1
            self._idle.notify_all()

    def stop(self) -> None:
        """Take no new connection; answers that are being made say that theirs will be closed."""
        self.stopping = True
        self.shutdown()

    def wait_until_idle(self, deadline: float) -> bool:
        """Whether every request that had begun was answered within so many seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: self._busy == 0, deadline)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    timeout = IDLE
    wbufsize = -1
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        self.server.begin()
        try:
            self._handle()
            self.wfile.flush()
        finally:
            self.server.end()

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = handle_any

    def _handle(self) -> None:
        began = time.perf_counter()
        self.unread = 0
        try:
            url = urlsplit(self.path)
            self.unread = self._length()
            if self.command == "GET" and url.path in HEALTH:
                self._send(200, HEALTH[url.path].encode(), "text/plain")
            elif not self._allowed():
                self._send(403, b"Invalid api-key", "text/plain")
            else:
                parts = [unquote(part) for part in url.path.strip("/").split("/")]
                request = Request(dict(parse_qsl(url.query)), self._json, self._upload)
                self._answer(self.server.api.answer(self.command, parts, request), began)
        except Refused as error:
            self._error(error.status, error.message, began)
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) else repr(error)
            print(f"error in {self.command} {self.path.partition('?')[0]}: {reason}", file=sys.stderr, flush=True)
            self._error(500, f"Service internal error: {reason}", began)

    def handle_expect_100(self) -> bool:
        """The parent's answer stays in the buffer, while the client waits for it."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def _allowed(self) -> bool:
        """As 1.7 does: one header, and one answer whether the key is absent or wrong."""
        if self.server.api_key is None:
            return True
        given = self.headers.get("api-key") or ""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.server.api_key.encode())

    def _length(self) -> int:
        text = self.headers.get("content-length") or "0"
        if self.headers.get("transfer-encoding") or not (text.isascii() and text.isdigit()):
            self.close_connection = True
            raise Refused(411, "the length of the body must be given in content-length")
        return int(text)

    def _read(self, limit: int) -> bytes:
        """The next bytes of the body; empty at its end. Raises when the client stops in the middle."""
        data = self.rfile.read(min(limit, self.unread))
        if not data and self.unread:
            raise ConnectionAbortedError("the body ended early")
        self.unread -= len(data)
        return data

    def _json(self) -> Any:
        if self.unread > LARGEST_BODY:
            raise Refused(400, f"JSON payload is larger than allowed (limit: {LARGEST_BODY} bytes).")
        raw = self._read(self.unread)
        try:
            return json.loads(raw, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise malformed(str(error)) from error

    def _upload(self, target: Path) -> None:
        boundary = boundary_of(self.headers.get("content-type") or "")
        Parts(self._read, boundary).save("snapshot", target)

    def _answer(self, result: Any, began: float) -> None:
        if isinstance(result, Download):
            self._send_file(result.path)
        elif isinstance(result, Bare):
            self._document(200, result.document)
        elif isinstance(result, Accepted):
            self._document(202, {"status": "accepted", "time": time.perf_counter() - began})
        else:
            self._document(200, {"result": result, "status": "ok", "time": time.perf_counter() - began})

    def _error(self, status: int, message: str, began: float) -> None:
        self._document(status, {"status": {"error": message}, "time": time.perf_counter() - began})

    def _document(self, status: int, document: Any) -> None:
        self._send(status, json.dumps(document, allow_nan=False).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self._head(status, len(data), kind)
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_file(self, path: Path) -> None:
        with path.open("rb") as file:
            self._head(200, path.stat().st_size, "application/octet-stream")
            shutil.copyfileobj(file, self.wfile, 1 << 20)

    def _head(self, status: int, length: int, kind: str) -> None:
        if self.unread > DRAINED or self.server.stopping:
            self.close_connection = True
        while self.unread and not self.close_connection:
            self._read(64 * 1024)
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(length))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the parent finds wrong with a request line, in the form of every other error."""
        self.unread, self.command, self.close_connection = 0, self.command or "", True
        self._error(code, message or HTTPStatus(code).phrase, time.perf_counter())

    def version_string(self) -> str:
        return "qdrant-standin"

    def log_message(self, format: str, *args: Any) -> None:
        """A line per request would drown what matters."""


def _no_constant(text: str) -> Any:
    raise wrong_input(f"{text} is no JSON number")
