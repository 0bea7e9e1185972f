"""Bitfinex's public REST API: requests and answers."""

from collections.abc import Callable, Mapping
from typing import Any

from mdata.clock import Clock
from mdata.domain.interval import Range
from mdata.domain.query import Page, Query
from mdata.domain.timeframe import Timeframe
from mdata.errors import BadAnswerError, GarbledError
from mdata.exchange.bitfinex import wire
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.exchange.http import Http


class Rest:
    """A connection to the REST API at `url`; `warn` is called if the local clock and the exchange's differ.

    An answer may take `most_seconds` from the first byte sent to the last one read, and pause for
    `idle_seconds`.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        warn: Callable[[str], None],
        *,
        most_seconds: float = 60.0,
        idle_seconds: float = 20.0,
    ) -> None:
        self._http = Http(url, clock, warn, "BITFINEX_REST_URL", most_seconds=most_seconds, idle_seconds=idle_seconds)
        self._before: Page | None = None

    def candles(self, query: Query, on_send: Callable[[], None]) -> Page:
        """Ask for candles; `on_send` is called at the instant the request leaves."""
        start, end = BITFINEX.bounds(query.timeframe, query.range)
        parameters = {"sort": -1 if query.newest_first else 1, "start": start, "end": end, "limit": query.limit}
        if query.is_open:
            del parameters["start"]
        path = f"/candles/trade:{query.timeframe.name}:{query.symbol}/hist"
        payload, asked_at = self._get(path, parameters, on_send)
        return self._of_its_own(wire.read_page(query, payload, asked_at))

    def first_candle(self, symbol: str, timeframe: Timeframe, on_send: Callable[[], None]) -> Page:
        """Return a page with the oldest candle, or an empty page."""
        whole = Query(BITFINEX, symbol, timeframe, Range(0, 2**53), newest_first=False, limit=1)
        path = f"/candles/trade:{timeframe.name}:{symbol}/hist"
        payload, asked_at = self._get(path, {"sort": 1, "start": 0, "limit": 1}, on_send)
        page = self._of_its_own(wire.read_page(whole, payload, asked_at))
        if page.refused:
            raise BadAnswerError(f"the exchange's first candle of {symbol} {timeframe.name} is not a valid candle")
        return page

    def pairs(self, on_send: Callable[[], None]) -> set[str]:
        """Return the symbols of all pairs that the exchange lists, as in requests for candles (`tBTCUSD`)."""
        labels = "pub:list:pair:exchange,pub:list:pair:futures"
        payload, _ = self._get(f"/conf/{labels}", {}, on_send)
        if not isinstance(payload, list) or not all(isinstance(listed, list) for listed in payload):
            raise BadAnswerError("the exchange's list of pairs cannot be read")
        pairs = {f"t{pair}" for listed in payload for pair in listed if isinstance(pair, str)}
        if not pairs:
            raise BadAnswerError("the exchange's list of pairs is empty")
        return pairs

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _of_its_own(self, page: Page) -> Page:
        """Return the page; raise BadAnswerError if it repeats the previous page, which was for another pair."""
        symbol, before = page.query.symbol, self._before
        if before is not None and page.candles == before.candles != [] and symbol != before.query.symbol:
            raise BadAnswerError(
                f"the exchange sent the candles of {before.query.symbol} again, for another pair; none was stored"
            )
        self._before = page
        return page

    def _get(self, path: str, parameters: Mapping[str, str | int], on_send: Callable[[], None]) -> tuple[Any, int]:
        """Return the decoded answer and its `asked_at` (ms UTC); raise the fitting exception for an error in it."""
        answer = self._http.get(path, parameters, on_send)
        try:
            payload = wire.decode(answer.body)
        except (BadAnswerError, GarbledError):
            if answer.status != 200:
                wire.raise_for_error(None, answer.status, answer.retry_after)
            raise
        wire.raise_for_error(payload, answer.status, answer.retry_after)
        return payload, answer.asked_at
