"""HTTP/1.1 on loopback, one thread per connection, with the faults that happen while an answer is sent."""

import socket
import threading
import zlib
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from mdata.clock import Clock
from mdata.sandbox.faults import Fault
from mdata.sandbox.rest import Reply

_MIB = 1 << 20


class Answerer(Protocol):
    """Decides the answers."""

    clock: Clock

    def answer(self, target: str) -> tuple[Reply, Fault | None]:
        """Return the reply to a request, and the fault to apply while sending it."""
        ...

    def converse(self, connection: socket.socket, target: str, headers: Iterable[tuple[str, str]]) -> None:
        """Serve a WebSocket connection whose handshake has been read, until it ends."""
        ...

    def admin(self, target: str, body: bytes | None) -> Reply:
        """Answer a request to the sandbox itself."""
        ...


class LoopbackServer(ThreadingHTTPServer):
    """Listens on loopback; closing it disconnects all clients."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    server_address: tuple[str, int]

    def __init__(self, port: int, answerer: Answerer) -> None:
        self.answerer, self.ended = answerer, threading.Event()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), RequestHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, and serve it in a thread."""
        self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Forget and close the connection."""
        self._open.discard(request)
        super().close_request(request)

    def server_close(self) -> None:
        """Stop listening, and disconnect all clients."""
        super().server_close()
        self.ended.set()
        for connection in list(self._open):
            # Each connection is closed by its own thread, which now sees the end of the input.
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._open.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: many tests are about clients that disconnect."""


class RequestHandler(BaseHTTPRequestHandler):
    """One client's requests, in turn."""

    protocol_version = "HTTP/1.1"
    server: LoopbackServer
    # Headers and body are sent in one piece; two would wait for each other's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing: the log of requests is data, not messages."""

    def do_GET(self) -> None:
        """Answer a request to the exchange, or to the sandbox itself."""
        if self.path.startswith("/sandbox/"):
            self._send(self.server.answerer.admin(self.path, None))
            return
        if urlsplit(self.path).path == "/ws/2":
            self.close_connection = True
            self.server.answerer.converse(self.connection, self.path, self.headers.items())
            return
        reply, fault = self.server.answerer.answer(self.path)
        sending = _SENDING.get(fault.kind) if fault else None
        if fault and sending:
            sending(self, reply, fault.parameters)
        else:
            self._send(reply)

    def do_POST(self) -> None:
        """Change the sandbox itself."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(self.server.answerer.admin(self.path, body))

    def _send(self, reply: Reply, skew: float = 0) -> None:
        headers, body = dict(reply.headers), reply.body
        if (
            len(body) > 1024
            and "gzip" in self.headers.get("Accept-Encoding", "")
            and "Content-Encoding" not in headers
        ):
            headers["Content-Encoding"] = "gzip"
            body = zlib.compress(body, 1, wbits=31)
        self._head(reply.status, headers, len(body), skew)
        self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str], length: int, skew: float = 0) -> None:
        self.send_response_only(status)
        self.send_header("Date", formatdate(self.server.answerer.clock.now() / 1000 + skew, usegmt=True))
        for name, value in {"Content-Type": "application/json; charset=utf-8", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _skew(self, reply: Reply, parameters: dict[str, Any]) -> None:
        self._send(reply, parameters.get("seconds", 0))

    def _stall(self, _: Reply, parameters: dict[str, Any]) -> None:
        self.server.ended.wait(parameters.get("seconds", 30))
        self.close_connection = True

    def _break_off(self, reply: Reply, parameters: dict[str, Any]) -> None:
        """Send the first bytes of the body, then reset the connection."""
        self._head(reply.status, reply.headers, len(reply.body))
        self.wfile.write(reply.body[: min(parameters.get("bytes", 100), len(reply.body) - 1)])
        self.close_connection = True

    def _drip(self, reply: Reply, parameters: dict[str, Any]) -> None:
        self._head(reply.status, reply.headers, len(reply.body))
        for position in range(len(reply.body)):
            self.wfile.write(reply.body[position : position + 1])
            self.wfile.flush()
            if self.server.ended.wait(parameters.get("seconds", 1.0)):
                break
        self.close_connection = True

    def _pour(self, _: Reply, parameters: dict[str, Any]) -> None:
        """Send one JSON list of about `bytes` bytes, never held as a whole."""
        chunks = parameters.get("bytes", 200 * _MIB) // _MIB
        self._head(200, {}, chunks * _MIB + 3)
        self.wfile.write(b"[")
        for _number in range(chunks):
            self.wfile.write(b"0," * (_MIB // 2))
        self.wfile.write(b"0]")

    def _explode(self, _: Reply, __: dict[str, Any]) -> None:
        self._send(Reply(200, _bomb(), {"Content-Encoding": "gzip"}))


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    """Return 200 MiB of JSON in 200 KiB of gzip."""
    packer = zlib.compressobj(9, wbits=31)
    packed = [packer.compress(b"[" if number == 0 else b"0," * (_MIB // 2)) for number in range(201)]
    return b"".join(packed) + packer.compress(b"0]") + packer.flush()


_SENDING = {
    "drip": RequestHandler._drip,  # noqa: SLF001 - its own class
    "gzip-bomb": RequestHandler._explode,  # noqa: SLF001
    "huge": RequestHandler._pour,  # noqa: SLF001
    "reset": RequestHandler._break_off,  # noqa: SLF001
    "skew": RequestHandler._skew,  # noqa: SLF001
    "stall": RequestHandler._stall,  # noqa: SLF001
}
