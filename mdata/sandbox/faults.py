"""Faults of the sandbox on demand; each kind has been seen in practice, or must be survived anyway.

A fault is a small JSON object: `{"kind": "rate-limit-429", "times": 3, "symbol": "tBTCUSD"}`. `times` limits how
often it applies, `after` is how many matching requests pass first, `share` makes it random (seeded); `symbol`,
`timeframe`, `asks` (the form of the request) and `over` (a time in the requested range) limit the requests that it
applies to. Further keys are parameters of the kind.
"""

import json
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from mdata.domain.timeframe import DAY, TIMEFRAMES
from mdata.sandbox import plausible, rest
from mdata.sandbox.market import Market
from mdata.sandbox.plausible import FaultParameters, Rows
from mdata.sandbox.rest import FORMS, CandleRequest, Reply

_HTML = {"Content-Type": "text/html; charset=utf-8"}
_NARROWING: dict[str, tuple[type, ...]] = {
    "times": (int,), "after": (int,), "share": (int, float), "symbol": (str,), "timeframe": (str,),
    "asks": (str,), "over": (int,),
}  # fmt: skip


def spelled(text: str, kinds: Collection[str], example: str) -> tuple[str, dict[str, Any]]:
    """Return the kind of the fault in a JSON object, and its other keys; raise ValueError if it is not a fault."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"a fault must be a JSON object like {example}")  # noqa: TRY004 - bad text
    kind = found.pop("kind", None)
    if kind not in kinds:
        raise ValueError(f"there is no fault {kind!r}; there are {', '.join(kinds)}")
    return kind, found


@dataclass
class Fault:
    """One fault, and how often it applies."""

    kind: str
    times: int | None = None
    after: int = 0
    share: float = 1.0
    symbol: str | None = None
    timeframe: str | None = None
    asks: str | None = None
    over: int | None = None
    parameters: FaultParameters = field(default_factory=dict)
    _kept: dict[str, tuple[int, Reply]] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Return the fault in a JSON object; raise ValueError with a message if it is not a fault."""
        kind, found = spelled(text, KINDS, '{"kind": "html", "times": 2}')
        for name, value in found.items():
            if name in _NARROWING and (not isinstance(value, _NARROWING[name]) or isinstance(value, bool)):
                raise ValueError(f"{name} of the fault {kind} cannot be {value!r}")
            if name not in _NARROWING and name not in KINDS[kind]:
                known = ", ".join((*_NARROWING, *KINDS[kind]))
                raise ValueError(f"the fault {kind} has no {name!r}; it has {known}")
        if found.get("asks", FORMS[0]) not in FORMS:
            raise ValueError(f"`asks` of the fault {kind} must be one of {', '.join(FORMS)}, not {found['asks']!r}")
        own = {name: found.pop(name) for name in KINDS[kind] if name in found}
        return cls(kind, **found, parameters=own)

    def strikes(self, asked: CandleRequest | None, rows: int, rng: random.Random) -> bool:
        """Whether the fault applies to a request whose answer has `rows` rows; counts it if so."""
        if self.kind not in _ANY_ANSWER and (asked is None or asked.section != "hist" or not rows):
            return False
        if self.times == 0 or not self._concerns(asked):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if rng.random() >= self.share:
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def _concerns(self, asked: CandleRequest | None) -> bool:
        """Whether the fault can apply to this request."""
        if asked is None:
            return self.symbol is None and self.timeframe is None and self.asks is None and self.over is None
        if self.symbol not in {None, asked.symbol} or self.timeframe not in {None, asked.timeframe}:
            return False
        asks = self.asks or ("first" if self.kind == "late-first" else None)
        return asks in {None, asked.form} and (self.over is None or asked.start <= self.over <= asked.end)

    def spoil(self, reply: Reply, target: str, asked: CandleRequest | None, now: int, market: Market) -> Reply:
        """Return the answer at `now` (ms UTC) instead of `reply`; faults of sending leave it unchanged."""
        if self.kind in plausible.ASKED_OTHERWISE and asked:
            return rest.candles(
                market, plausible.ASKED_OTHERWISE[self.kind](asked, self.parameters, market, now), now
            )
        if self.kind == "aged" and asked:
            return rest.candles(market, asked, now - int(self.parameters.get("seconds", 1200) * 1000))
        if self.kind in _ANSWERS:
            return _ANSWERS[self.kind](self.parameters)
        if self.kind in _ROWS and asked:
            rows = _ROWS[self.kind](json.loads(reply.body), self.parameters, asked)
            return Reply(reply.status, json.dumps(rows, separators=(",", ":")).encode(), reply.headers, len(rows))
        if self.kind in _BYTES:
            return Reply(reply.status, _BYTES[self.kind](reply.body), reply.headers, reply.rows)
        if self.kind == "same-page":
            return self._keep("", reply, now, 2**53)
        if self.kind == "stale":
            return self._keep(target, reply, now, int(self.parameters.get("seconds", 5) * 1000))
        return reply

    def _keep(self, key: str, reply: Reply, now: int, duration: int) -> Reply:
        if key not in self._kept or self._kept[key][0] <= now:
            self._kept[key] = (now + duration, reply)
        return self._kept[key][1]


def _answer(status: int, body: str, headers: dict[str, str] | None = None) -> Callable[[FaultParameters], Reply]:
    return lambda parameters: Reply(parameters.get("status", status), body.encode(), headers or {})


def _retry_after(parameters: FaultParameters) -> Reply:
    headers = {"Retry-After": str(parameters.get("seconds", 63)), "Cache-Control": "no-cache", "Connection": "close"}
    return Reply(429, b'{"error":"ERR_RATE_LIMIT"}', headers)


def _spoil(rows: Rows, parameters: FaultParameters, _: CandleRequest) -> Rows:
    position, column = plausible.place(rows, parameters), parameters.get("column", 2)
    if position is not None:
        rows[position][column : column + 1] = [parameters.get("value")]
    return rows


def _shifted(rows: Rows, _: FaultParameters, __: CandleRequest) -> Rows:
    times = [row[0] for row in rows]
    return [[time, *row[1:]] for time, row in zip(times[1:], rows, strict=False)]


def _outside(rows: Rows, _: FaultParameters, asked: CandleRequest) -> Rows:
    """Add a row from long after the newest one, at the end where the order puts it."""
    newest = max(row[0] for row in rows)
    late = TIMEFRAMES[asked.timeframe].ceil(newest + 400 * DAY)
    return [[late, *rows[0][1:]], *rows] if asked.sort < 0 else [*rows, [late, *rows[-1][1:]]]


def _conflict(rows: Rows, _: FaultParameters, __: CandleRequest) -> Rows:
    return [rows[0], [*rows[0][:5], rows[0][5] + 1], *rows[1:]]


# Answers that are given whatever was requested.
_ANSWERS: dict[str, Callable[[FaultParameters], Reply]] = {
    "rate-limit-429": _answer(429, '["error",11010,"ratelimit: error"]'),
    "rate-limit-object": _retry_after,
    "rate-limit-500": _answer(500, '["error",10010,"ratelimit: error"]'),
    "rate-limit-200": _answer(200, '["error",11010,"ratelimit: error"]'),
    "rate-limit-message": _answer(403, '{"message":"Ratelimit"}'),
    "maintenance": _answer(503, '["error",20060,"maintenance"]'),
    "not-ready": _answer(500, '["error",11000,"ready: invalid"]'),
    "gateway": _answer(503, '{"code":503,"error":"temporarily_unavailable","error_description":"later"}'),
    "cloudflare": _answer(502, "<!DOCTYPE html><html><h1>The server is not reachable</h1></html>", _HTML),
    "parameter": _answer(500, '["error",10020,"limit: invalid"]'),
    "html": _answer(200, "<!DOCTYPE html><html>hello</html>", _HTML),
    "empty-body": _answer(200, ""),
    "null": _answer(200, "null"),
    "object": _answer(200, "{}"),
    "deep": _answer(200, "[" * 100_000),
    "redirect": _answer(302, "", {"Location": "http://127.0.0.1:1/v2"}),
    "empty": _answer(200, "[]"),
}

# Changes to the rows of an answer.
_ROWS: dict[str, Callable[[Rows, FaultParameters, CandleRequest], Rows]] = {
    "outside": _outside,
    "unsorted": lambda rows, _, __: [*rows[1:], *rows[:1]],
    "conflict": _conflict,
    "duplicate": lambda rows, _, __: [rows[0], *rows],
    "seventh": lambda rows, _, __: [[*row, "extra"] for row in rows],
    "cap": lambda rows, parameters, _: rows[: parameters.get("rows", 5000)],
    "short": lambda rows, parameters, _: [row for i, row in enumerate(rows) if i % parameters.get("every", 3)],
    "spoil": _spoil,
    "shifted": _shifted,
    **plausible.ROWS,
}

# Changes to the bytes of an answer.
_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda body: body[: len(body) // 2],
    "nan": lambda body: body.replace(b",", b",NaN,", 1),
    "infinity": lambda body: body.replace(b",", b",Infinity,", 1),
}

# Faults of sending; the connection applies them.
_SENDING = ("drip", "gzip-bomb", "huge", "reset", "skew", "stall")
_ANY_ANSWER = {*_ANSWERS, *_SENDING}

_PARAMETERS = {
    **plausible.PARAMETERS,
    "aged": ("seconds",),
    "cap": ("rows",),
    "cloudflare": ("status",),
    "drip": ("seconds",),
    "huge": ("bytes",),
    "maintenance": ("status",),
    "rate-limit-object": ("seconds",),
    "reset": ("bytes",),
    "short": ("every",),
    "skew": ("seconds",),
    "spoil": ("row", "at", "column", "value"),
    "stale": ("seconds",),
    "stall": ("seconds",),
}
KINDS: dict[str, tuple[str, ...]] = {
    kind: _PARAMETERS.get(kind, ())
    for kind in sorted({*_ANY_ANSWER, *_ROWS, *_BYTES, *plausible.ASKED_OTHERWISE, "same-page", "stale", "aged"})
}
