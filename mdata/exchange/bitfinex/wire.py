"""Bitfinex's wire format: from the bytes of an answer to candles, or to the error that it reports.

Facts restated from the exchange's documents and from recordings of 2013 to 2025: a candle is
`[MTS, OPEN, CLOSE, HIGH, LOW, VOLUME]` (close comes before high and low) and may gain elements at its end;
numbers may be integers, floats or exponents; an error is a JSON array of the same outer type as data,
`["error", CODE, "text"]`, and comes with any HTTP status, 200 included; status 500 is used for client errors.
"""

import json
from itertools import chain
from typing import Any, NoReturn

from mdata.domain import candle as sanity
from mdata.domain.candle import Candle
from mdata.domain.escape import quote
from mdata.domain.query import Page, Query
from mdata.errors import BadAnswerError, GarbledError, RateLimitedError, UnreachableError
from mdata.exchange.page import LONGEST_TEXT, NUMBERS, are_sound, read_one_by_one, rows_of, shortened

__all__ = ["candle_of", "decode", "raise_for_error", "read_page", "shortened", "time_of"]

RATE_LIMIT_CODES = {11010, 10010}
WAIT_CODES = {20060: "in maintenance", 11000: "not ready"}


def decode(body: bytes) -> Any:
    """Return the decoded JSON `body`; raise BadAnswerError for NaN and Infinity, GarbledError if it is not JSON."""

    def refuse(constant: str) -> NoReturn:
        raise BadAnswerError(
            f"the exchange's answer contains {constant}, which is not a number; nothing of it was stored"
        )

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        text = quote(body[:LONGEST_TEXT].decode("utf-8", "replace"))
        raise GarbledError(f"the exchange's answer is not JSON: {text}; nothing of it was stored") from error


def raise_for_error(payload: Any, status: int, retry_after: float | None = None) -> None:
    """Raise the error of an answer without data: temporary (rate limit, maintenance), or permanent."""
    code, text = _error_of(payload)
    if status == 429 or code in RATE_LIMIT_CODES or "ratelimit" in text.lower().replace("_", ""):
        raise RateLimitedError("the exchange refused the request: too many requests (rate limit)", retry_after)
    if code in WAIT_CODES:
        raise UnreachableError(f"the exchange is {WAIT_CODES[code]} ({code})")
    if code == 503 or status in {403, 408} or (code is None and status >= 500):
        raise UnreachableError(f"the exchange answered with HTTP status {status}")
    if code is not None:
        raise BadAnswerError(f"the exchange refused the request: {quote(text)} (code {code}, HTTP status {status})")
    if status != 200 or text:
        said = f" and {quote(text)}" if text else ""
        raise BadAnswerError(
            f"the exchange answered with HTTP status {status}{said}; check BITFINEX_REST_URL (it ends in /v2)"
        )


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
    """Return the page of an answer to `query`; `asked_at` is ms UTC.

    Raise BadAnswerError if it cannot be one: it is not a list of rows, rows are outside the requested range or order,
    or duplicates conflict. Single rows that cannot be candles are set aside.
    """
    rows = rows_of(query, payload)
    candles = _read_sound(query, rows)
    if candles is not None:
        return Page(query, candles, (), len(rows), asked_at)
    return read_one_by_one(query, rows, asked_at, candle_of, time_of)


def _read_sound(query: Query, rows: list[Any]) -> list[Candle] | None:
    """Return the candles if every row is a valid one, ascending and in range; otherwise None."""
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
        are_numbers = set(map(type, chain.from_iterable(rows))) <= NUMBERS
    except (TypeError, ValueError):
        return None
    is_whole = are_numbers and len(candles) == len(rows)
    return candles if is_whole and are_sound(query, [candle[0] for candle in candles]) else None


def time_of(row: Any) -> int | None:
    """Return the open time of a row, or None if it cannot be read."""
    if isinstance(row, list) and row and type(row[0]) is int:
        return row[0]
    return None


def candle_of(row: Any) -> Candle | str:
    """Return the candle of a row, or why it is not one."""
    if not isinstance(row, list) or len(row) < 6:
        return "a candle must have six values"
    time, open_, close, high, low, volume = row[:6]
    if type(time) is not int:
        return "the open time is not an integer"
    if not {type(value) for value in (open_, close, high, low, volume)} <= NUMBERS:
        return "a value is not a number"
    return (time, open_, high, low, close, volume)
