"""Recorded candles in the formats of the exchange and its tools, served at their own time or moved by whole days."""

import json
import re
from pathlib import Path
from typing import Any

from mdata.domain.candle import Candle, fault
from mdata.domain.timeframe import DAY, TIMEFRAMES, Timeframe

_NAMED = re.compile(rf"([A-Za-z0-9]{{6,}})-({'|'.join(TIMEFRAMES)})(?:[-.].*)?")


def read_recording(path: Path, now: int, *, at_own_time: bool = False) -> tuple[str, str, list[Candle]]:
    """Return symbol, timeframe and candles (ascending) of a recording, moved by days to end just before `now`.

    Formats: rows as the API sends them (`[MTS, O, C, H, L, V]`, either order; symbol and timeframe from a file
    name like `btcusd-1m-2018-08-10.json`), and the objects of bfx-hf-backtest (`mts`, `open`, …, `symbol`, `tf`).
    The newest candle of a recording was still forming when it was recorded, and is left out. Raise ValueError with
    the name of the file for anything else.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        symbol, timeframe = _series(path, rows[0])
        candles = sorted(map(_candle, rows))[:-1]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"{path} is not a recording of candles: {type(error).__name__}: {error}") from error
    _check(path, candles, TIMEFRAMES[timeframe])
    newest = TIMEFRAMES[timeframe].next(candles[-1][0])
    moved = 0 if at_own_time else (now - newest) // DAY * DAY
    return symbol, timeframe, [(candle[0] + moved, *candle[1:]) for candle in candles]


def _series(path: Path, row: Any) -> tuple[str, str]:
    named = _NAMED.fullmatch(path.name)
    symbol, timeframe = (f"t{named[1].upper()}", named[2]) if named else ("", "")
    if isinstance(row, dict):
        symbol, timeframe = row.get("symbol", symbol), row.get("tf", timeframe)
    # Weeks and months do not stay on their grid when they are moved by days.
    if timeframe not in TIMEFRAMES or not 0 < TIMEFRAMES[timeframe].step <= DAY or not symbol:
        raise ValueError("neither its content nor its name (btcusd-1m-….json) contains symbol and timeframe")
    return symbol, timeframe


def _candle(row: Any) -> Candle:
    if isinstance(row, dict):
        return (row["mts"], row["open"], row["high"], row["low"], row["close"], row["volume"])
    time, open_, close, high, low, volume = row[:6]
    return (time, open_, high, low, close, volume)


def _check(path: Path, candles: list[Candle], timeframe: Timeframe) -> None:
    if not candles:
        raise ValueError(f"{path} contains no closed candle")
    for earlier, candle in zip([None, *candles], candles, strict=False):
        wrong = fault(candle, timeframe) or ("it appears twice" if earlier and earlier[0] == candle[0] else None)
        if wrong:
            raise ValueError(f"{path}: the candle at {candle[0]} is not valid: {wrong}")
