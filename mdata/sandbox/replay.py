"""Recorded candles, as the exchange or its own tools wrote them, moved by whole days."""

import json
import re
from pathlib import Path
from typing import Any

from mdata.domain.candle import Candle
from mdata.domain.timeframe import DAY, TIMEFRAMES


def read_recording(path: Path, now: int) -> tuple[str, str, list[Candle]]:
    """Return symbol, timeframe and candles (ascending) of a recording, moved by days to end just before `now`.

    Understood: rows as the API sends them (`[MTS, O, C, H, L, V]`, either order; symbol and timeframe from a file
    name like `btcusd-1m-2018-08-10.json`), and objects with names. The newest candle of a recording was still
    forming when it was made, and is left out. Raise ValueError for anything else.
    """
    rows = json.loads(path.read_text(encoding="utf-8"))
    named = re.match(r"([a-z]+)-([0-9]+[mhDWM])", path.name)
    symbol, timeframe = (f"t{named[1].upper()}", named[2]) if named else ("", "")
    if rows and isinstance(rows[0], dict):
        symbol, timeframe = rows[0].get("symbol", symbol), rows[0].get("tf", timeframe)
    if timeframe not in TIMEFRAMES or not symbol:
        raise ValueError(f"{path}: neither its content nor its name tells symbol and timeframe (btcusd-1m-….json)")
    candles = sorted(map(_candle, rows))[:-1]
    moved = (now - TIMEFRAMES[timeframe].next(candles[-1][0])) // DAY * DAY
    return symbol, timeframe, [(candle[0] + moved, *candle[1:]) for candle in candles]


def _candle(row: Any) -> Candle:
    if isinstance(row, dict):
        return (row["mts"], row["open"], row["high"], row["low"], row["close"], row["volume"])
    time, open_, close, high, low, volume = row[:6]
    return (time, open_, high, low, close, volume)
