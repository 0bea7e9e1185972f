"""What the sandbox does wrong on demand; each kind has been seen in the wild, or must be survived anyway.

A fault is a small JSON object: `{"kind": "rate-limit-429", "times": 3, "symbol": "tBTCUSD"}`. `times` limits
how often it strikes, `after` lets so many matching requests pass first, `share` makes it strike by chance
(seeded); `symbol` and `timeframe` narrow what it strikes. Further keys are parameters of the kind.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mdata.sandbox.rest import Asked, Reply

Change = Callable[[Reply, dict[str, Any]], Reply]
_HTML = {"Content-Type": "text/html; charset=utf-8"}


@dataclass
class Fault:
    """One thing that goes wrong, and how often."""

    kind: str
    times: int | None = None
    after: int = 0
    share: float = 1.0
    symbol: str | None = None
    timeframe: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Return the fault that a JSON object spells; raise ValueError for a kind that does not exist."""
        found = json.loads(text)
        known = {
            name: found.pop(name) for name in ("times", "after", "share", "symbol", "timeframe") if name in found
        }
        kind = found.pop("kind", "")
        if kind not in KINDS:
            raise ValueError(f"there is no fault {kind!r}; there are {', '.join(sorted(KINDS))}")
        return cls(kind, **known, parameters=found)

    def strikes(self, asked: Asked | None, rng: random.Random) -> bool:
        """Whether this request is struck; counts it if so."""
        if self.symbol not in {None, asked.symbol if asked else None} or self.times == 0:
            return False
        if self.timeframe not in {None, asked.timeframe if asked else None}:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if rng.random() >= self.share:
            return False
        if self.times is not None:
            self.times -= 1
        return True


def _fixed(status: int, body: str, headers: dict[str, str] | None = None) -> Change:
    return lambda _reply, _parameters: Reply(status, body.encode(), headers or {})


def _rows(change: Callable[[list[Any], dict[str, Any]], list[Any]]) -> Change:
    def changed(reply: Reply, parameters: dict[str, Any]) -> Reply:
        rows = change(json.loads(reply.body), parameters)
        return Reply(reply.status, json.dumps(rows).encode(), reply.headers, len(rows))

    return changed


def _spoil(rows: list[Any], parameters: dict[str, Any]) -> list[Any]:
    position = parameters.get("row", len(rows) // 2)
    if position < len(rows):
        rows[position] = [
            *rows[position][: parameters.get("column", 2)],
            parameters.get("value"),
            *rows[position][parameters.get("column", 2) + 1 :],
        ]
    return rows


def _shifted(rows: list[Any], parameters: dict[str, Any]) -> list[Any]:
    times = [row[0] for row in rows]
    del parameters
    return [[time, *row[1:]] for time, row in zip(times[1:], rows, strict=False)]


def _unsorted(rows: list[Any], _: dict[str, Any]) -> list[Any]:
    return [*rows[1:], *rows[:1]]


# Applied to the answer that would have been given.
KINDS: dict[str, Change | None] = {
    "rate-limit-429": _fixed(429, '["error",11010,"ratelimit: error"]'),
    "rate-limit-object": _fixed(429, '{"error":"ERR_RATE_LIMIT"}', {"Retry-After": "63"}),
    "rate-limit-500": _fixed(500, '["error",10010,"ratelimit: error"]'),
    "rate-limit-200": _fixed(200, '["error",11010,"ratelimit: error"]'),
    "rate-limit-message": _fixed(403, '{"message":"Ratelimit"}'),
    "maintenance": _fixed(503, '["error",20060,"maintenance"]'),
    "not-ready": _fixed(500, '["error",11000,"ready: invalid"]'),
    "gateway": _fixed(503, '{"code":503,"error":"temporarily_unavailable","error_description":"later"}'),
    "cloudflare": _fixed(502, "<html><h1>502 Bad Gateway</h1></html>", _HTML),
    "parameter": _fixed(500, '["error",10020,"limit: invalid"]'),
    "html": _fixed(200, "<html>hello</html>", _HTML),
    "empty-body": _fixed(200, ""),
    "null": _fixed(200, "null"),
    "object": _fixed(200, "{}"),
    "deep": _fixed(200, "[" * 100_000),
    "redirect": _fixed(302, "", {"Location": "http://127.0.0.1:1/v2"}),
    "empty": _fixed(200, "[]"),
    "truncated": lambda reply, _: Reply(200, reply.body[: len(reply.body) // 2]),
    "nan": lambda reply, _: Reply(200, reply.body.replace(b",", b",NaN,", 1)),
    "outside": _rows(lambda rows, _: [*rows, [rows[-1][0] + 400 * 86_400_000, *rows[-1][1:]]] if rows else rows),
    "unsorted": _rows(_unsorted),
    "conflict": _rows(lambda rows, _: [*rows[:1], [*rows[0][:5], rows[0][5] + 1], *rows[1:]] if rows else rows),
    "duplicate": _rows(lambda rows, _: [*rows[:1], *rows]),
    "seventh": _rows(lambda rows, _: [[*row, "extra"] for row in rows]),
    "cap": _rows(lambda rows, parameters: rows[: parameters.get("rows", 5000)]),
    "short": _rows(lambda rows, parameters: [row for i, row in enumerate(rows) if i % parameters.get("every", 3)]),
    "spoil": _rows(_spoil),
    "shifted": _rows(_shifted),
    # These are carried out by the server, which holds the connection.
    "same-page": None,
    "huge": None,
    "drip": None,
    "stall": None,
    "reset": None,
    "skew": None,
    "gzip-bomb": None,
}
