"""Bitfinex's wire format: from the bytes of an answer to candles, or to the error that it spells.

Facts restated from the exchange's documents and from recordings of 2013 to 2025: a candle is
`[MTS, OPEN, CLOSE, HIGH, LOW, VOLUME]` (close comes before high and low) and may gain elements at its end;
numbers may be integers, floats or exponents; an error is a JSON array of the same outer type as data,
`["error", CODE, "text"]`, and comes with any HTTP status, 200 included; status 500 is used for client errors.
"""

import json
from collections.abc import Iterator
from itertools import accumulate, chain
from operator import lt
from typing import Any, NoReturn

from mdata.domain import candle as sanity
from mdata.domain.candle import Candle
from mdata.domain.escape import quote
from mdata.domain.interval import Range
from mdata.domain.query import Page, Query, RefusedRow
from mdata.domain.timeframe import Timeframe
from mdata.errors import BadAnswerError, GarbledError, RateLimitedError, UnreachableError

RATE_LIMIT_CODES = {11010, 10010}
WAIT_CODES = {20060: "in maintenance", 11000: "not ready"}
_LONGEST_TEXT = 200
_NUMBERS = {int, float}


def decode(body: bytes) -> Any:
    """Return what the JSON `body` says; raise BadAnswerError for NaN and Infinity, GarbledError for no JSON."""

    def refuse(constant: str) -> NoReturn:
        raise BadAnswerError(f"the exchange's answer holds {constant}, which is no number; nothing of it was stored")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        text = quote(body[:_LONGEST_TEXT].decode("utf-8", "replace"))
        raise GarbledError(f"the exchange's answer is not JSON: {text}; nothing of it was stored") from error


def raise_for_error(payload: Any, status: int, retry_after: float | None = None) -> None:
    """Raise what an answer that is no data means: wait (rate limit, maintenance), or that asking is no use."""
    code, text = _error_of(payload)
    if status == 429 or code in RATE_LIMIT_CODES or "ratelimit" in text.lower().replace("_", ""):
        raise RateLimitedError("the exchange says that too many requests were sent", retry_after)
    if code in WAIT_CODES:
        raise UnreachableError(f"the exchange is {WAIT_CODES[code]} ({code})")
    if code == 503 or status in {403, 408} or (code is None and status >= 500):
        raise UnreachableError(f"the exchange answers with HTTP status {status}")
    if code is not None or text:
        raise BadAnswerError(f"the exchange refused the request: {quote(text)} (code {code}, HTTP status {status})")
    if status != 200:
        raise BadAnswerError(f"the exchange answered with HTTP status {status}; is BITFINEX_REST_URL right?")


def _error_of(payload: Any) -> tuple[int | None, str]:
    """Return code and text of an error body in any of its shapes; (None, "") for anything else."""
    if isinstance(payload, list) and payload[:1] == ["error"]:
        number = payload[1] if len(payload) > 1 else None
        return number if isinstance(number, int) else 10001, str(payload[2]) if len(payload) > 2 else ""
    if isinstance(payload, dict):
        text = payload.get("error") or payload.get("message") or "no data"
        code = payload.get("code")
        return (code if isinstance(code, int) else None), str(text)
    return None, ""


def read_page(query: Query, payload: Any, asked_at: int) -> Page:
    """Return the page that a list of rows is the answer to `query` for.

    Raise BadAnswerError when it cannot be: no list of rows, rows outside the range or the order asked,
    conflicting duplicates. Single rows that cannot be candles are set aside. `asked_at` is ms UTC.
    """
    if not isinstance(payload, list):
        raise BadAnswerError(f"the exchange sent no list of candles: {shortened(payload)}")
    if len(payload) > query.limit:
        raise BadAnswerError(f"the exchange sent {len(payload)} rows where {query.limit} were asked for at most")
    rows = payload[::-1] if query.newest_first else payload
    candles = _read_sound(query, rows)
    if candles is not None:
        return Page(query, candles, (), len(rows), asked_at)
    candles, refused = _read_one_by_one(query, rows)
    return Page(query, candles, tuple(refused), len(rows), asked_at)


def _read_sound(query: Query, rows: list[Any]) -> list[Candle] | None:
    """Return the candles if every row is one, ascending and in range, else None: the page is judged as a whole."""
    if not rows:
        return []
    largest = sanity.LARGEST
    try:
        if len(rows[0]) > 6:
            rows = [row[:6] for row in rows]
        candles = [
            (time, open_, high, low, close, volume)
            for time, open_, close, high, low, volume in rows
            if 0 < low <= open_ <= high < largest and low <= close <= high and 0 < volume < largest
        ]
        are_numbers = set(map(type, chain.from_iterable(rows))) <= _NUMBERS
    except (TypeError, ValueError):
        return None
    times = [candle[0] for candle in candles]
    is_sound = (
        are_numbers
        and len(candles) == len(rows)
        and set(map(type, times)) == {int}
        and query.within.start <= times[0]
        and times[-1] < query.within.end
        and all(map(lt, times, times[1:]))
        and _are_aligned(query.timeframe, times)
    )
    return candles if is_sound else None


def _are_aligned(timeframe: Timeframe, times: list[int]) -> bool:
    if not timeframe.step:
        return all(map(timeframe.is_aligned, times))
    step = timeframe.step
    return {time % step for time in times} == {timeframe.anchor % step}


def _read_one_by_one(query: Query, rows: list[Any]) -> tuple[list[Candle], list[RefusedRow]]:
    candles: list[Candle] = []
    refused: list[RefusedRow] = []
    times = [time_of(row) for row in rows]
    _refuse_misplaced(query, [time for time in times if time is not None])
    found = [_judged(row, query.timeframe) for row in rows]
    sound = [one[0] if isinstance(one, tuple) else None for one in found]
    for row, time, one, (before, after) in zip(rows, times, found, _neighbours(sound), strict=True):
        if isinstance(one, tuple):
            _append(candles, one)
        else:
            refused.append(RefusedRow(time, shortened(row), one, _unknown(query, time, before, after)))
    return candles, refused


def _judged(row: Any, timeframe: Timeframe) -> Candle | str:
    """Return the candle that a row spells, or why it is refused."""
    found = candle_of(row)
    return found if isinstance(found, str) else sanity.fault(found, timeframe) or found


def _neighbours(times: list[int | None]) -> Iterator[tuple[int | None, int | None]]:
    """Yield for each row the last sound time before it, and the first from it on."""
    after = [*accumulate(reversed(times), _newer)]
    return zip([None, *accumulate(times, _newer)], reversed(after), strict=False)


def _newer(last: int | None, time: int | None) -> int | None:
    return last if time is None else time


def _append(candles: list[Candle], found: Candle) -> None:
    if candles and candles[-1][0] == found[0]:
        if candles[-1] != found:
            raise BadAnswerError(f"the exchange sent two different candles for {found[0]}; nothing was stored")
        return
    candles.append(found)


def _refuse_misplaced(query: Query, times: list[int]) -> None:
    for time in times:
        if not query.within.start <= time < query.within.end:
            raise BadAnswerError(
                f"the exchange sent a candle at {time}, outside the range asked "
                f"({query.range.start} to {query.range.end}); nothing of the answer was stored"
            )
    if times != sorted(times):
        raise BadAnswerError("the exchange sent candles out of order; nothing of the answer was stored")


def time_of(row: Any) -> int | None:
    """Return the open time of a row, or None where none can be read."""
    if isinstance(row, list) and row and type(row[0]) is int:
        return row[0]
    return None


def candle_of(row: Any) -> Candle | str:
    """Return the candle a row spells, or why it spells none."""
    if not isinstance(row, list) or len(row) < 6:
        return "a candle has six values"
    time, open_, close, high, low, volume = row[:6]
    if type(time) is not int:
        return "the open time is no whole number"
    if not {type(value) for value in (open_, close, high, low, volume)} <= _NUMBERS:
        return "a value is no number"
    return (time, open_, high, low, close, volume)


def _unknown(query: Query, time: int | None, before: int | None, after: int | None) -> Range | None:
    """Return what a refused row may have stood for: its interval, or all between its sound neighbours."""
    grid = query.timeframe
    if time is not None and grid.is_aligned(time):
        return Range(time, grid.next(time))
    start = query.range.start if before is None else grid.next(before)
    end = query.range.end if after is None else grid.floor(after)
    return Range(start, end) if start < end else None


def shortened(value: Any) -> str:
    """Return what was sent as text that is short enough to be kept and shown."""
    return json.dumps(value)[:_LONGEST_TEXT]
