"""The sandbox: a market with a rate limit, faults, and a log of all requests, on its own port."""

import json
import random
import socket
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from mdata.clock import Clock, SystemClock
from mdata.domain.candle import Candle
from mdata.domain.escape import quote
from mdata.domain.interval import Range
from mdata.domain.timeframe import TIMEFRAMES
from mdata.sandbox import rest, websocket
from mdata.sandbox.channels import Revision, Subject
from mdata.sandbox.connection import LoopbackServer
from mdata.sandbox.faults import Fault
from mdata.sandbox.lies import KINDS as LIES
from mdata.sandbox.lies import Lie
from mdata.sandbox.limit import RateCount, RateRule
from mdata.sandbox.market import Market
from mdata.sandbox.rest import CandleRequest, Reply
from mdata.sandbox.stream import Stream, StreamRule
from mdata.sandbox.wsfaults import PREFIX, StreamFault

__all__ = ["RateRule", "Request", "Sandbox", "StreamRule", "parse_fault"]

AnyFault = Fault | StreamFault | Lie


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the log: the time (ms UTC; seconds of boot time), the request, and its answer."""

    at: int
    boottime: float
    target: str
    status: int
    rows: int
    in_ban: bool
    fault: str | None


def parse_fault(text: str, now: int) -> AnyFault:
    """Return the fault in a JSON object, set at `now` (ms UTC); raise ValueError if it is not a fault."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{quote(text)} is not a JSON object; write a fault like {{"kind": "html", "times": 2}}'
        ) from error
    kind = str(found.get("kind")) if isinstance(found, dict) else ""
    if kind.startswith(PREFIX):
        return StreamFault.parse(text, now)
    return Lie.parse(text, now) if kind in LIES else Fault.parse(text)


class Sandbox:
    """A simulated Bitfinex on its own port; `with Sandbox(market):` runs it in a thread."""

    def __init__(
        self,
        market: Market,
        clock: Clock | None = None,
        *,
        rule: RateRule | None = None,
        faults: Sequence[AnyFault] = (),
        latency: float = 0.0,
        port: int = 0,
        stream_rule: StreamRule | None = None,
    ) -> None:
        self.market, self.clock = market, clock or SystemClock()
        self.stream = Stream(market, self.clock, stream_rule or StreamRule())
        self.order(faults)
        self.requests: list[Request] = []
        self._count, self._latency = RateCount(rule or RateRule()), latency
        self._rng = random.Random(market.seed)
        self._guard = threading.Lock()
        self._server = LoopbackServer(port, self)
        self.port: int = self._server.server_address[1]
        self.rest_url = f"http://127.0.0.1:{self.port}/v2"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws/2"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def serve_forever(self) -> None:
        """Serve until the process or a request stops it."""
        try:
            self._server.serve_forever(0.2)
        finally:
            self._server.server_close()

    def order(self, faults: Sequence[AnyFault]) -> None:
        """Replace all faults."""
        self.faults = [fault for fault in faults if isinstance(fault, Fault)]
        self.market.lies = tuple(fault for fault in faults if isinstance(fault, Lie))
        self.stream.order([fault for fault in faults if isinstance(fault, StreamFault)])

    def revise(self, symbol: str, timeframe: str, open_time: int, candle: Candle | None) -> None:
        """Change or remove a candle, and notify the listeners of its channel."""
        self.market.revised[symbol, TIMEFRAMES[timeframe].name, open_time] = candle
        self.stream.revise(Revision(Subject(symbol, timeframe), open_time))

    def answer(self, target: str) -> tuple[Reply, Fault | None]:
        """Return the reply to a request, and the fault to apply while sending it."""
        parsed = rest.parse(target)
        asked = parsed if isinstance(parsed, CandleRequest) else None
        with self._guard:
            now, boottime = self.clock.now(), self.clock.boottime()
            in_ban = self._count.is_banned(boottime)
            fault = None
            if self._count.refuses(boottime):
                reply = Reply(429, b'["error",11010,"ratelimit: error"]', {"Connection": "close"})
            else:
                reply = self._reply(target, parsed, now)
                rows = reply.rows
                fault = next((one for one in self.faults if one.strikes(asked, rows, self._rng)), None)
                reply = fault.spoil(reply, target, asked, now, self.market) if fault else reply
            kind = fault.kind if fault else None
            self.requests.append(Request(now, boottime, target, reply.status, reply.rows, in_ban, kind))
        self.clock.sleep(self._latency)
        return reply, fault

    def _reply(self, target: str, parsed: CandleRequest | Reply | None, now: int) -> Reply:
        if isinstance(parsed, Reply):
            return parsed
        if self.stream.is_closed(now) or self.stream.is_resuming(now):
            if urlsplit(target).path == "/v2/platform/status":
                return Reply(200, b"[0]")
            if self.stream.is_closed(now):
                return rest.error(20060, "maintenance", 503)
        return rest.candles(self.market, parsed, now) if parsed else rest.answer(self.market, target, now)

    def converse(self, connection: socket.socket, target: str, headers: Iterable[tuple[str, str]]) -> None:
        """Serve a WebSocket connection whose handshake has been read, until it ends."""
        websocket.converse(self.stream, connection, target, headers)

    def admin(self, target: str, body: bytes | None) -> Reply:
        """Answer a request to the sandbox itself; one with a body changes something."""
        parts = urlsplit(target)
        query = {name: found[-1] for name, found in parse_qs(parts.query).items()}
        try:
            payload = self._admin(parts.path.removeprefix("/sandbox/"), query, body)
        except (ValueError, KeyError, TypeError) as error:
            return Reply(400, json.dumps(["error", 400, f"{type(error).__name__}: {error}"]).encode())
        return Reply(404, b'["error",404,"the sandbox has no such request"]') if payload is None else payload

    def _admin(self, name: str, query: dict[str, str], body: bytes | None) -> Reply | None:
        if name == "ledger":
            within = Range(int(query.get("start", 0)), int(query.get("end", 2**53)))
            grid, now = TIMEFRAMES[query["timeframe"]], int(query.get("now", self.clock.now()))
            return _told(self.market.candles(query["symbol"], grid, within, now))
        if name == "requests":
            return _told([asdict(one) for one in self.requests[int(query.get("from", 0)) :]])
        if name == "connections":
            return _told([asdict(one) for one in self.stream.log[int(query.get("from", 0)) :]])
        if name == "faults" and body is not None:
            ordered = [parse_fault(json.dumps(one), self.clock.now()) for one in json.loads(body)]
            self.order(ordered)
            return _told(len(ordered))
        if name == "revisions" and body is not None:
            for symbol, timeframe, open_time, values in json.loads(body):
                open_, high, low, close, volume = values or (0, 0, 0, 0, 0)
                candle = (open_time, open_, high, low, close, volume) if values else None
                self.revise(symbol, timeframe, open_time, candle)
            return _told(len(self.market.revised))
        if name == "shutdown" and body is not None:
            # `shutdown` runs in a thread of its own, because the server stops only after this answer.
            threading.Thread(target=self._server.shutdown, daemon=True).start()
            return _told("ending")
        return None


def _told(payload: Any) -> Reply:
    return Reply(200, json.dumps(payload).encode())
