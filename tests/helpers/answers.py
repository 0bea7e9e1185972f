"""Answers told by hand, in minutes since T0, and a real store that judges them one after the other."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from mdata.domain.candle import Candle
from mdata.domain.claim import Claim
from mdata.domain.doubt import Doubt, DoubtKind
from mdata.domain.interval import Range, normal
from mdata.domain.query import Page, Query, RefusedRow
from mdata.domain.timeframe import MINUTE, TIMEFRAMES
from mdata.domain.venue import Venue
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import candles, coverage, doubts
from mdata.store import series as table
from mdata.store.opening import open_store
from mdata.store.pages import Applied, apply_live, apply_page

M1 = TIMEFRAMES["1m"]
T0 = 28_000_000 * MINUTE
SETTLE = 3 * MINUTE
# A hundred minutes with a candle each, and a minute at which all of them have settled long ago.
DENSE = range(100)
LATER = 1_000
# How many silent minutes a test uses where the silence must not be remarkable, and where it must be.
SHORT, LONG = 59, 60


def minute(number: int) -> int:
    return T0 + number * MINUTE


def span(start: int, end: int) -> Range:
    return Range(minute(start), minute(end))


def candle(number: int, price: float = 1.0, volume: float = 1.0) -> Candle:
    return (minute(number), price, price, price, price, volume)


def at(*minutes: int, price: float = 1.0) -> list[Candle]:
    return [candle(number, price) for number in sorted(minutes)]


def refused(start: int, end: int, open_time: int | None = None) -> RefusedRow:
    """Return a refused row that may have stood for anything between two minutes."""
    return RefusedRow(open_time, f"row {start}", "no candle", span(start, end))


def answer(
    asked: Range,
    rows: list[Candle],
    *,
    newest_first: bool = False,
    limit: int = 10_000,
    is_open: bool = False,
    refused: tuple[RefusedRow, ...] = (),
    now: int | None = None,
    venue: Venue = BITFINEX,
    silent: Iterable[int] = (),
) -> Page:
    """Return an answer that came when everything asked for had settled, or `now` (in minutes).

    `silent` are minutes of which a row says that nothing was traded.
    """
    query = Query(venue, "tBTCUSD", M1, asked, newest_first, limit, is_open)
    asked_at = asked.end + SETTLE if now is None else minute(now)
    silences = tuple(sorted(map(minute, silent)))
    return Page(query, rows, refused, len(rows) + len(refused) + len(silences), asked_at, silences)


class Judge:
    """A store with one series, wanted from T0 on, to which answers are told."""

    def __init__(self, path: Path, wanted: int = 0, venue: Venue = BITFINEX) -> None:
        self.store, self.venue = open_store(path), venue
        with self.store.write() as connection:
            table.introduce(connection, venue, "tBTCUSD", M1, minute(wanted))

    def hears(self, page: Page) -> Applied:
        with self.store.write() as connection:
            series = table.find(connection, self.venue, "tBTCUSD", M1)
            assert series is not None
            return apply_page(connection, series, page, SETTLE, "test")

    def sees(self, shown: Range, rows: list[Candle]) -> Applied:
        """Take what the stream has shown to be closed."""
        with self.store.write() as connection:
            series = table.find(connection, self.venue, "tBTCUSD", M1)
            assert series is not None
            return apply_live(connection, series, [Claim(shown, rows)], shown.end)

    def holds(self, *minutes: int, until: int) -> "Judge":
        """Let two answers agree that there are these candles and no others up to `until`."""
        for newest_first in (False, True):
            self.hears(answer(span(0, until), at(*minutes), newest_first=newest_first))
        assert self.final == [span(0, until)]
        return self

    @property
    def final(self) -> list[Range]:
        return self._covered("final")

    @property
    def provisional(self) -> list[Range]:
        return self._covered("provisional")

    def _covered(self, kind: coverage.CoverageKind) -> list[Range]:
        found = coverage.segments(self.store.connection, 1)
        for segment in found:
            lost = candles.lost(self.store.connection, 1, segment.range)
            assert segment.candles == candles.count(self.store.connection, 1, segment.range), (segment, lost)
        return normal(segment.range for segment in found if segment.kind == kind)

    @property
    def stored(self) -> list[Candle]:
        return candles.stored(self.store.connection, 1, Range(-(2**62), 2**62))

    @property
    def lost(self) -> list[int]:
        return [(time - T0) // MINUTE for time in candles.lost(self.store.connection, 1)]

    @property
    def minutes(self) -> list[int]:
        return [(row[0] - T0) // MINUTE for row in self.stored]

    def doubts(self, kind: DoubtKind) -> list[Doubt]:
        return [doubt for doubt in doubts.of(self.store.connection, 1) if doubt.kind == kind]

    def doubted(self, kind: DoubtKind) -> list[Range]:
        return [doubt.range for doubt in self.doubts(kind)]

    @property
    def unobtainable(self) -> list[Range]:
        return doubts.unobtainable(self.store.connection, 1)

    @property
    def revisions(self) -> list[tuple[str, int, float]]:
        """Return of every revision its kind, its minute, and the old closing price."""
        rows = self.store.connection.execute("SELECT kind, open_time, close FROM candle_revisions ORDER BY open_time")
        return [(kind, (time - T0) // MINUTE, close) for kind, time, close in rows.fetchall()]

    def lose(self, number: int) -> None:
        """Delete a candle as a person with any SQLite tool would."""
        self.store.connection.execute("DELETE FROM candles WHERE open_time = ?", (minute(number),))


MakeJudge = Callable[..., Judge]


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[MakeJudge]:
    opened: list[Judge] = []

    def make(wanted: int = 0) -> Judge:
        opened.append(Judge(tmp_path / f"{len(opened)}.db", wanted))
        return opened[-1]

    yield make
    for one in opened:
        one.store.close()
