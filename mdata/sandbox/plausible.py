"""Wrong answers that look right: to a different request, with missing rows, or with a row at a wrong time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mdata.domain.timeframe import DAY, TIMEFRAMES
from mdata.sandbox.market import Market
from mdata.sandbox.rest import CandleRequest

FaultParameters = dict[str, Any]
Rows = list[list[Any]]


def _neighbour(asked: CandleRequest, parameters: FaultParameters, _: Market, __: int) -> CandleRequest:
    """Answer for a range cut short at the end from which rows are counted."""
    grid, intervals = TIMEFRAMES[asked.timeframe], parameters.get("intervals", 60)
    if asked.sort > 0:
        return replace(asked, start=grid.shift(asked.start, intervals))
    return replace(asked, end=grid.shift(asked.end, -intervals))


def _other_pair(asked: CandleRequest, parameters: FaultParameters, market: Market, now: int) -> CandleRequest:
    others = (symbol for symbol in market.symbols(now) if symbol != asked.symbol)
    return replace(asked, symbol=parameters.get("of") or next(others, asked.symbol))


def _coarser(asked: CandleRequest, parameters: FaultParameters, _: Market, __: int) -> CandleRequest:
    return replace(asked, timeframe=parameters.get("grid", "1h"))


def _late_first(asked: CandleRequest, parameters: FaultParameters, market: Market, now: int) -> CandleRequest:
    """Answer as if the first trade had been `days` days after the first candle."""
    whole = market.since(asked.symbol, TIMEFRAMES[asked.timeframe], now)
    return replace(asked, start=whole + round(parameters.get("days", 30) * DAY))


def _cut(rows: Rows, parameters: FaultParameters, _: CandleRequest) -> Rows:
    """Keep a share of the rows: those that come first or, if `end` is "near", those that come last."""
    kept = int(len(rows) * parameters.get("keep", 0.5))
    return rows[len(rows) - kept :] if parameters.get("end") == "near" else rows[:kept]


def _thinned(rows: Rows, parameters: FaultParameters, _: CandleRequest) -> Rows:
    """Leave out each nth row (`every`; 1: all) between two positions, given as shares of the page."""
    first, last = (int(len(rows) * parameters.get(name, share)) for name, share in (("from", 0.25), ("to", 0.75)))
    every = parameters.get("every", 1)
    return [row for number, row in enumerate(rows) if not (first <= number < last and number % every == 0)]


def _off_grid(rows: Rows, parameters: FaultParameters, _: CandleRequest) -> Rows:
    """Move a row by some milliseconds."""
    position = place(rows, parameters)
    if position is not None:
        rows[position][0] += parameters.get("milliseconds", -1)
    return rows


def place(rows: Rows, parameters: FaultParameters) -> int | None:
    """Return the index of the row with the open time `at` or the number `row`; by default, of the middle row."""
    if "at" in parameters:
        return next((number for number, row in enumerate(rows) if row[0] == parameters["at"]), None)
    position: int = parameters.get("row", len(rows) // 2)
    return position if position < len(rows) else None


# The request that is answered instead of the real one.
ASKED_OTHERWISE: dict[str, Callable[[CandleRequest, FaultParameters, Market, int], CandleRequest]] = {
    "coarser": _coarser,
    "late-first": _late_first,
    "neighbour": _neighbour,
    "other-pair": _other_pair,
}

# Changes to the rows of an answer.
ROWS: dict[str, Callable[[Rows, FaultParameters, CandleRequest], Rows]] = {
    "cut": _cut,
    "off-grid": _off_grid,
    "thinned": _thinned,
}

PARAMETERS = {
    "coarser": ("grid",),
    "cut": ("keep", "end"),
    "late-first": ("days",),
    "neighbour": ("intervals",),
    "off-grid": ("row", "at", "milliseconds"),
    "other-pair": ("of",),
    "thinned": ("from", "to", "every"),
}
