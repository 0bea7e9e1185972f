"""Stores to look at: one in which every verdict is to be seen, and a long one; made by hand, and always the same."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.timeframe import MINUTE, TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import candles, coverage
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.opening import open_store

M1 = TIMEFRAMES["1m"]
# The ranges without final candles in the store that has every verdict: from and to, in minutes before its end.
HOLES = {
    "unknown": (900, 800), "in doubt": (1700, 1500), "unobtainable": (2150, 2000), "lost": (1260, 1230),
    "silent": (520, 400),
}  # fmt: skip
_PART = 200_000


def walk(start: int, minutes: int, seed: int, is_silent: Callable[[int], bool]) -> Iterator[Candle]:
    """Yield the candles of a price that wanders about, without those of silent minutes (counted from the end)."""
    dice, price = random.Random(seed), 60_000.0
    for minute in range(minutes):
        close = price * (1 + (dice.random() - 0.5) * 0.0016)
        low, high = sorted((price, close))
        spread = dice.random() * 0.0003
        values = (price, high * (1 + spread), low * (1 - spread), close)
        if not is_silent(minutes - minute):
            yield (
                start + minute * MINUTE,
                *(round(one, 1) for one in values),
                round(0.1 + dice.random() ** 4 * 9, 4),
            )  # type: ignore[misc]
        price = close


def every_verdict(path: Path, now: int, minutes: int = 200_000) -> None:
    """Make a store of one series of a hundred days and more, with a stretch of each verdict in its newest days."""
    end = M1.floor(now)

    def at(name: str) -> Range:
        before, after = HOLES[name]
        return Range(end - before * MINUTE, end - after * MINUTE)

    unanswered = [at("unobtainable"), at("in doubt"), at("unknown")]
    gone = [(one.start - end, one.end - end) for one in (*unanswered, at("silent"))]

    def is_silent(back: int) -> bool:
        return back % 97 == 13 or any(start <= -back * MINUTE < stop for start, stop in gone)

    with open_store(path) as opened, opened.write() as connection:
        series_id = introduce(connection, "tBTCUSD", end - minutes * MINUTE, end)
        found = list(walk(end - minutes * MINUTE, minutes, 7, is_silent))
        candles.upsert(connection, series_id, found)
        start, provisional = end - minutes * MINUTE, end - 30 * MINUTE
        for part in unanswered:
            _cover(connection, series_id, Range(start, part.start), "final")
            start = part.end
        _cover(connection, series_id, Range(start, provisional), "final")
        _cover(connection, series_id, Range(provisional, end), "provisional")
        _remark(connection, series_id, at("unknown"), at("in doubt"), at("unobtainable"), now)
        connection.execute("DELETE FROM candles WHERE open_time >= ? AND open_time < ?", at("lost"))
        connection.execute(
            """INSERT INTO candle_revisions (series_id, open_time, kind, open, high, low, close, volume, seen_at,
                                             source)
               SELECT series_id, open_time, 'changed', open, high, low, close, round(volume * 0.9, 4), ?, 'update'
               FROM candles WHERE open_time IN (?, ?)""",
            (now, end - 700 * MINUTE, end - 640 * MINUTE),
        )


def long(path: Path, now: int, minutes: int) -> None:
    """Make a store of one dense series of so many minutes."""
    end = M1.floor(now)
    with open_store(path) as opened:
        with opened.write() as connection:
            series_id = introduce(connection, "tBTCUSD", end - minutes * MINUTE, end)
            part: list[Candle] = []
            for candle in walk(end - minutes * MINUTE, minutes, 4, lambda _: False):
                part.append(candle)
                if len(part) == _PART:
                    candles.upsert(connection, series_id, part)
                    part = []
            candles.upsert(connection, series_id, part)
            coverage.add(connection, series_id, Range(end - minutes * MINUTE, end), "final", minutes)
        opened.checkpoint()


def introduce(connection: Connection, symbol: str, start: int, end: int) -> int:
    """Store a series of minutes that begins at `start`, and about which the exchange was asked until `end`."""
    connection.execute(
        """INSERT INTO series (exchange, symbol, timeframe, first_candle, first_asked_at, wanted_start, frontier,
                               asked_to) VALUES ('bitfinex', ?1, '1m', ?2, ?3, ?2, ?3, ?3)""",
        (symbol, start, end),
    )
    found = table.find(connection, BITFINEX, symbol, M1)
    assert found is not None
    return found.id


def _cover(connection: Connection, series_id: int, part: Range, kind: coverage.CoverageKind) -> None:
    coverage.add(connection, series_id, part, kind, candles.count(connection, series_id, part))


def _remark(
    connection: Connection, series_id: int, unknown: Range, doubted: Range, unobtainable: Range, now: int
) -> None:
    connection.execute(
        """INSERT INTO data_gaps (series_id, start_time, end_time, intervals, status, attempts, reason, detected_at,
                                  next_attempt_at)
           VALUES (?, ?, ?, ?, 'open', 2, 'the answer lacked the candle after the gap', ?, ?)""",
        (series_id, *unknown, M1.count(*unknown), now, now + 3_600_000),
    )
    known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "doubts" in known:
        connection.execute(
            """INSERT INTO doubts (series_id, start_time, end_time, kind, form, since, asked_at, answers)
               VALUES (?, ?, ?, 'silence', '', ?, ?, 1)""",
            (series_id, *doubted, now, now),
        )
    if "unobtainable" in known:
        connection.execute("INSERT INTO unobtainable VALUES (?, ?, ?, ?)", (series_id, *unobtainable, now))
