"""The sandbox as a server on loopback: rate limit and ban per the real rules, faults, and a log of all requests."""

import json
import random
import threading
import time
import zlib
from dataclasses import asdict, dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from mdata.clock import Clock, SystemClock
from mdata.domain.interval import Range
from mdata.domain.timeframe import TIMEFRAMES
from mdata.sandbox import rest
from mdata.sandbox.faults import KINDS, Fault
from mdata.sandbox.market import Market
from mdata.sandbox.rest import Asked, Reply


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the log: when it came (ms UTC; seconds of boot time), what it asked, and what it got."""

    at: int
    boottime: float
    target: str
    status: int
    rows: int
    in_ban: bool
    fault: str | None


@dataclass(frozen=True, slots=True)
class RateRule:
    """At most `per_minute` requests in any minute; beyond it a ban that requests made meanwhile extend."""

    per_minute: int = 0
    ban_seconds: float = 60.0
    extends: bool = True


class Sandbox:
    """A Bitfinex-shaped exchange on a port of its own; `with Sandbox(market):` runs it in a thread."""

    def __init__(
        self,
        market: Market,
        clock: Clock | None = None,
        *,
        rule: RateRule | None = None,
        faults: list[Fault] | None = None,
        latency: float = 0.0,
        port: int = 0,
    ) -> None:
        self.market, self.clock = market, clock or SystemClock()
        self.faults: list[Fault] = faults or []
        self.requests: list[Request] = []
        self._rule, self._latency = rule or RateRule(), latency
        self._rng = random.Random(market.seed)
        self._times: list[float] = []
        self._banned_until = 0.0
        self._same_page: Reply | None = None
        self._guard = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self)
        self.port: int = self._server.server_address[1]
        self.rest_url = f"http://127.0.0.1:{self.port}/v2"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws/2"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve_forever(self) -> None:
        """Serve until the process is told to end."""
        self._server.serve_forever(0.2)

    def answer(self, target: str) -> tuple[Reply, Fault | None]:
        """Return the reply to a request, and the fault that is to be carried out while sending it."""
        asked = rest.parse(target) if urlsplit(target).path.startswith("/v2/candles/") else None
        with self._guard:
            now, boottime = self.clock.now(), self.clock.boottime()
            in_ban = boottime < self._banned_until
            fault = None
            if self._is_refused(boottime):
                reply = Reply(429, b'["error",11010,"ratelimit: error"]', {"Connection": "close"})
            else:
                wanted = asked if isinstance(asked, Asked) else None
                fault = next((one for one in self.faults if one.strikes(wanted, self._rng)), None)
                reply = self._reply(target, asked, now)
                reply = self._spoilt(reply, fault)
            kind = fault.kind if fault else None
            self.requests.append(Request(now, boottime, target, reply.status, reply.rows, in_ban, kind))
        if self._latency:
            self.clock.sleep(self._latency)
        return reply, fault

    def _reply(self, target: str, asked: Asked | Reply | None, now: int) -> Reply:
        if isinstance(asked, Reply):
            return asked
        if asked is None:
            return rest.answer(self.market, target, now)
        return rest.candles(self.market, asked, now)

    def _spoilt(self, reply: Reply, fault: Fault | None) -> Reply:
        if fault is None:
            return reply
        change = KINDS[fault.kind]
        if change is not None:
            return change(reply, fault.parameters)
        if fault.kind == "same-page":
            self._same_page = self._same_page or reply
            return self._same_page
        return reply

    def _is_refused(self, now: float) -> bool:
        rule = self._rule
        if not rule.per_minute:
            return False
        if now < self._banned_until:
            if rule.extends:
                self._banned_until = now + rule.ban_seconds
            return True
        self._times = [moment for moment in self._times if moment > now - 60]
        if len(self._times) >= rule.per_minute:
            self._banned_until = now + rule.ban_seconds
            return True
        self._times.append(now)
        return False

    def admin(self, target: str, body: bytes) -> Reply | None:
        """Answer the sandbox's own requests: its ledger, its log, and the switching of faults."""
        parts = urlsplit(target)
        query = {name: found[-1] for name, found in parse_qs(parts.query).items()}
        payload: Any
        if parts.path == "/sandbox/ledger":
            within = Range(int(query.get("start", 0)), int(query.get("end", 2**53)))
            payload = self.market.candles(
                query["symbol"], TIMEFRAMES[query["timeframe"]], within, int(query.get("now", self.clock.now()))
            )
        elif parts.path == "/sandbox/requests":
            payload = [asdict(one) for one in self.requests]
        elif parts.path == "/sandbox/faults":
            self.faults = [Fault.parse(json.dumps(one)) for one in json.loads(body)]
            payload = len(self.faults)
        else:
            return None
        return Reply(200, json.dumps(payload).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that breaks off is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    # Headers and body leave in one piece; two would wait for each other's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the log of requests is data, not talk."""

    def do_GET(self) -> None:
        sandbox = self.server.sandbox
        admin = sandbox.admin(self.path, b"")
        if admin is not None:
            self._send(admin)
            return
        reply, fault = sandbox.answer(self.path)
        kind, parameters = (fault.kind, fault.parameters) if fault else ("", {})
        if kind == "huge":
            reply = Reply(200, b"[" + b"0," * (100 << 20) + b"0]")
        elif kind == "gzip-bomb":
            packer = zlib.compressobj(9, wbits=31)
            packed = b"".join(packer.compress(b"[" + b"0," * (1 << 19)) for _ in range(200)) + packer.flush()
            reply = Reply(200, packed, {"Content-Encoding": "gzip"})
        if kind == "stall":
            time.sleep(parameters.get("seconds", 30))
            self.close_connection = True
        elif kind == "reset":
            self._break_off(reply, parameters.get("bytes", 100))
        elif kind == "drip":
            self._drip(reply, parameters.get("seconds", 1.0))
        else:
            self._send(reply, skew=parameters.get("seconds", 0) if kind == "skew" else 0)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(self.server.sandbox.admin(self.path, body) or Reply(404, b"[]"))

    def _send(self, reply: Reply, skew: float = 0) -> None:
        self._head(reply, skew)
        self.wfile.write(reply.body)

    def _head(self, reply: Reply, skew: float = 0) -> None:
        self.send_response_only(reply.status)
        self.send_header("Date", formatdate(self.server.sandbox.clock.now() / 1000 + skew, usegmt=True))
        headers = {"Content-Type": "application/json; charset=utf-8", **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()

    def _break_off(self, reply: Reply, after: int) -> None:
        self._head(reply)
        self.wfile.write(reply.body[:after])
        self.close_connection = True

    def _drip(self, reply: Reply, pause: float) -> None:
        self._head(reply)
        for position in range(len(reply.body)):
            self.wfile.write(reply.body[position : position + 1])
            self.wfile.flush()
            time.sleep(pause)
