"""Bitfinex's REST answers, as pure functions of a request: the candles endpoints and what clients need besides."""

import json
from dataclasses import dataclass, field
from html import escape
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.timeframe import TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.sandbox.market import Market

DEFAULT_LIMIT, MAX_LIMIT = 100, BITFINEX.page_rows
_END_OF_TIME = 2**53
# The forms of a request for candles: forward from the beginning, forward from a time, or backward from a time.
FORMS = ("first", "forward", "backward")


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    rows: int = 0


@dataclass(frozen=True, slots=True)
class CandleRequest:
    """A request for candles, with the exchange's own defaults applied."""

    symbol: str
    timeframe: str
    section: str
    sort: int
    start: int
    end: int
    limit: int

    @property
    def form(self) -> str:
        """Return which of `FORMS` this request has."""
        if self.sort < 0:
            return "backward"
        return "forward" if self.start > 0 else "first"


def error(code: int, text: str, status: int = 500) -> Reply:
    """Return an error in Bitfinex's form: an array, with status 500 for client errors too."""
    return Reply(status, json.dumps(["error", code, text]).encode())


def parse(target: str) -> CandleRequest | Reply | None:
    """Return the request for candles in a target, the error if it is invalid, or None for another endpoint."""
    parts = urlsplit(target)
    pieces = unquote(parts.path).split("/")
    if len(pieces) != 5 or pieces[1:3] != ["v2", "candles"] or pieces[4].lower() not in {"hist", "last"}:
        return None
    kind, timeframe, symbol = (*pieces[3].split(":", 2), "", "")[:3]
    if kind != "trade" or BITFINEX.grid(timeframe) is None or not symbol:
        return error(10020, "key: invalid")
    query = {name: found[-1] for name, found in parse_qs(parts.query).items()}
    try:
        sort, limit = int(query.get("sort", -1)), int(query.get("limit", DEFAULT_LIMIT))
        start, end = int(query.get("start", 0)), int(query.get("end", _END_OF_TIME))
    except ValueError:
        return error(10020, "parameter: invalid")
    if not 0 < limit <= MAX_LIMIT:
        return error(10020, "limit: invalid")
    if start > end:
        return error(10020, "time_interval: invalid")
    return CandleRequest(symbol, timeframe, pieces[4].lower(), sort, start, end, limit)


def candles(market: Market, asked: CandleRequest, now: int) -> Reply:
    """Answer a request for candles; both ends of the range are inclusive, an unknown symbol gives `[]`."""
    newest_first = asked.sort < 0 or asked.section == "last"
    within = Range(asked.start, min(asked.end, now) + 1)
    walk = market.walk(asked.symbol, TIMEFRAMES[asked.timeframe], within, now, newest_first=newest_first)
    rows = list(map(row, islice(walk, 1 if asked.section == "last" else asked.limit)))
    payload: Any = rows if asked.section == "hist" else (rows[0] if rows else [])
    return Reply(200, json.dumps(payload, separators=(",", ":")).encode(), rows=len(rows))


def row(candle: Candle) -> list[float]:
    """Return a candle in the exchange's order; whole numbers as integers, as it sends them."""
    open_time, open_, high, low, close, volume = candle
    return [open_time, *(int(value) if value == int(value) else value for value in (open_, close, high, low, volume))]


def answer(market: Market, target: str, now: int) -> Reply:
    """Answer any request that is not for candles."""
    path = unquote(urlsplit(target).path)
    if path == "/v2/platform/status":
        return Reply(200, b"[1]")
    if path.startswith("/v2/conf/"):
        pairs = [symbol[1:] for symbol in market.symbols(now)]
        listed = [_conf(label, pairs) for label in path.removeprefix("/v2/conf/").split(",")]
        return Reply(200, json.dumps(listed).encode())
    page = f"<!DOCTYPE html><html><body><pre>Cannot GET {escape(path)}</pre></body></html>"
    return Reply(404, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


def _conf(label: str, pairs: list[str]) -> list[Any]:
    futures = [pair for pair in pairs if "F0" in pair]
    exchange = [pair for pair in pairs if "F0" not in pair]
    # Size limits are at positions 3 and 4, margin requirements at 8 and 9.
    info = [None, None, None, "0.001", "1000", None, None, None, 0.2, 0.1, None, None]
    told: dict[str, list[Any]] = {
        "pub:list:pair:exchange": exchange,
        "pub:list:pair:futures": futures,
        "pub:list:currency": sorted({name for pair in pairs for name in _currencies(pair)}),
        "pub:info:pair": [[pair, info] for pair in exchange],
        "pub:info:pair:futures": [[pair, info] for pair in futures],
    }
    return told.get(label, [])


def _currencies(pair: str) -> list[str]:
    return pair.split(":") if ":" in pair else [pair[:3], pair[3:]]
