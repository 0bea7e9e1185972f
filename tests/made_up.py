"""A made-up exchange that is unlike the home one in everything: its facts, its server, and what speaks to it.

It has fewer rows on a page and keeps the newest of them whatever is asked, sends them the oldest first, in seconds
and as text, takes both bounds as exclusive, has no stream, and writes a row without volume where nothing was traded:
a row that is missing is an outage. Its server is the sandbox, whose faults and lies it shares; how it answers is its
own.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from mdata.clock import Clock
from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.pace import Window
from mdata.domain.query import Page, Query
from mdata.domain.timeframe import TIMEFRAMES, Timeframe
from mdata.domain.venue import Venue
from mdata.errors import BadAnswerError, GarbledError, RateLimitedError, UnreachableError
from mdata.exchange import registry
from mdata.exchange.adapter import Adapter
from mdata.exchange.http import Http, HttpAnswer
from mdata.exchange.page import read_one_by_one, rows_of
from mdata.sandbox.faults import Fault
from mdata.sandbox.market import Market
from mdata.sandbox.rest import Reply
from mdata.sandbox.server import Sandbox

NAME = "made"
# What it calls its timeframes.
WIRE_NAMES = {"1m": "M1", "5m": "M5", "1h": "H1", "1D": "D1", "1W": "W1", "1M": "MN"}
# How many intervals are worked out at once.
_STRETCH = 500
# What the server does, told apart from what the venue says of it: a wrong fact must not be shared by both.
_MOST_ROWS = 4_000

VENUE = Venue(
    name=NAME,
    title="Made-up",
    rest_url="http://127.0.0.1:1",
    ws_url="",
    timeframes=tuple(TIMEFRAMES[name] for name in ("1m", "5m", "1h", "1D", "1W", "1M")),
    refused=(("30m", "Made-up has no half hours: use 5m or 1h"),),
    page_rows=4_000,
    anchor="newest",
    order="ascending",
    lower="exclusive",
    upper="exclusive",
    silence="zero_rows",
    settle_seconds=90,
    depth=None,
    window=Window(seconds=10.0, documented=50, most=45),
    stream=None,
)


class MadeUpMarket(Market):
    """A market whose silent intervals are rows, from a pair's first trade to now; what lies leave out has none."""

    def walk(
        self, symbol: str, timeframe: Timeframe, within: Range, now: int, *, newest_first: bool = False
    ) -> Iterator[Candle]:
        if symbol not in self.pairs or now >= self.pairs[symbol].delisted:
            return
        start = timeframe.ceil(max(within.start, timeframe.floor(self.pairs[symbol].listed)))
        end = timeframe.next(min(within.end - 1, now))
        parts = range(timeframe.index(start), timeframe.index(end), _STRETCH)
        for first in reversed(parts) if newest_first else parts:
            part = Range(timeframe.open_time(first), min(end, timeframe.open_time(first + _STRETCH)))
            rows = self._stretch(symbol, timeframe, part, now)
            yield from reversed(rows) if newest_first else rows

    def _stretch(self, symbol: str, timeframe: Timeframe, part: Range, now: int) -> list[Candle]:
        traded = {row[0] for row in self._ledger(symbol, timeframe, part, now)}
        served = {row[0]: row for row in super().walk(symbol, timeframe, part, now)}
        silent = (time for time in timeframe.open_times(*part) if time not in traded)
        return sorted([*served.values(), *((time, 1.0, 1.0, 1.0, 1.0, 0.0) for time in silent)])


class MadeUp(Sandbox):
    """The exchange's server: `keeps` is the end of what is asked that a full answer keeps."""

    keeps = "newest"

    def answer(self, target: str) -> tuple[Reply, Fault | None]:
        parts = urlsplit(target)
        query = {name: found[-1] for name, found in parse_qs(parts.query).items()}
        pieces = parts.path.strip("/").split("/")
        if pieces[0] == "pairs":
            reply, fault = super().answer("/v2/conf/pub:list:pair:exchange")
            if reply.status == 200 and isinstance(found := _decoded(reply), list) and len(found) == 1:
                reply = Reply(200, json.dumps({"pairs": [f"t{pair}" for pair in found[0]]}).encode())
            return reply, fault
        if len(pieces) != 3 or pieces[0] not in {"ohlc", "first"}:
            return Reply(404, b"there is no such thing"), None
        timeframe = next((name for name, own in WIRE_NAMES.items() if own == pieces[2]), None)
        if timeframe is None:
            return Reply(400, b'{"problem": "no such interval"}'), None
        asked: dict[str, int] = {"sort": 1, "limit": 1, "start": 0}
        if pieces[0] == "ohlc":
            asked = {
                "sort": -1 if self.keeps == "newest" else 1,
                "limit": min(int(query["count"]), _MOST_ROWS),
                "end": int(query["until"]) * 1000 - 1,
            }
            if "since" in query:
                asked["start"] = int(query["since"]) * 1000 + 1
        reply, fault = super().answer(f"/v2/candles/trade:{timeframe}:{pieces[1]}/hist?{urlencode(asked)}")
        return self._translated(reply, is_newest_first=asked["sort"] < 0), fault

    def _translated(self, reply: Reply, *, is_newest_first: bool) -> Reply:
        rows = _decoded(reply)
        if reply.status != 200 or not isinstance(rows, list) or rows[:1] == ["error"]:
            return reply
        told = [_row(row) for row in (rows[::-1] if is_newest_first else rows)]
        return Reply(reply.status, json.dumps({"rows": told}).encode(), reply.headers, reply.rows)


def _decoded(reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None


def _row(row: Any) -> Any:
    """Return a row in this exchange's own order: seconds, open, high, low, close, volume, all as text."""
    if not isinstance(row, list) or len(row) < 6 or not isinstance(row[0], int):
        return row
    time, open_, close, high, low, volume = row[:6]
    return [f"{time / 1000:.3f}", *map(str, (open_, high, low, close, volume))]


class MadeUpRest:
    """What speaks to it."""

    def __init__(self, url: str, clock: Clock, warn: Callable[[str], None]) -> None:
        self._http = Http(url, clock, warn, "MADE_REST_URL")
        self._before: Page | None = None

    def candles(self, query: Query, on_send: Callable[[], None]) -> Page:
        start, end = query.venue.bounds(query.timeframe, query.range)
        asked = {"since": start // 1000, "until": end // 1000, "count": query.limit}
        if query.is_open:
            del asked["since"]
        return self._page(query, "ohlc", asked, on_send)

    def first_candle(self, symbol: str, timeframe: Timeframe, on_send: Callable[[], None]) -> Page:
        whole = Query(VENUE, symbol, timeframe, Range(0, 2**53), newest_first=False, limit=1)
        return self._page(whole, "first", {}, on_send)

    def pairs(self, on_send: Callable[[], None]) -> set[str]:
        return set(_payload(self._http.get("/pairs", {}, on_send), "pairs"))

    def close(self) -> None:
        self._http.close()

    def _page(self, query: Query, what: str, asked: dict[str, int], on_send: Callable[[], None]) -> Page:
        path = f"/{what}/{query.symbol}/{WIRE_NAMES[query.timeframe.name]}"
        answer = self._http.get(path, asked, on_send)
        rows = rows_of(query, _payload(answer, "rows"))
        page, before = read_one_by_one(query, rows, answer.asked_at, candle_of, time_of), self._before
        self._before = page
        if before is not None and page.candles == before.candles != [] and query.symbol != before.query.symbol:
            raise BadAnswerError("the exchange sent the candles of another pair")
        return page


def _payload(answer: HttpAnswer, name: str) -> Any:
    """Return what an answer says under a name; raise what it means where it says something else."""
    if answer.status == 429:
        raise RateLimitedError("the exchange refused the request: too many requests (rate limit)", answer.retry_after)
    if answer.status >= 500:
        raise UnreachableError(f"the exchange answered with HTTP status {answer.status}")
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise GarbledError("the exchange's answer is not JSON") from error
    if answer.status != 200 or not isinstance(found, dict) or name not in found:
        raise BadAnswerError(f"the exchange refused the request (HTTP status {answer.status})")
    return found[name]


def time_of(row: Any) -> int | None:
    try:
        return round(float(row[0]) * 1000)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def candle_of(row: Any) -> Candle | str:
    time = time_of(row)
    if time is None or len(row) < 6:
        return "a row must begin with its time and have six values"
    try:
        open_, high, low, close, volume = (_number(text) for text in row[1:6])
    except (ValueError, TypeError):
        return "a value is not a number"
    return (time, open_, high, low, close, volume)


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number == int(number) and "." not in text and "e" not in text else number


def _parse(text: str) -> str:
    if not text.isalnum():
        raise ValueError(f"{text!r} is no pair of this exchange; write it like BTCUSD")
    return text if text.startswith("t") else f"t{text.upper()}"


def adapter_of(venue: Venue) -> Adapter:
    """Return what speaks to a made-up exchange with these facts."""
    return Adapter(
        venue, _parse, lambda symbol: symbol[1:], lambda symbol: (symbol[1:4], symbol[4:]), MadeUpRest, None
    )


@contextmanager
def registered(sandbox: Sandbox, **facts: Any) -> Iterator[Venue]:
    """Let the exchange at a server be one of those that there are."""
    venue = VENUE._replace(rest_url=f"http://127.0.0.1:{sandbox.port}", **facts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(registry.ADAPTERS, NAME, adapter_of(venue))
        yield venue
