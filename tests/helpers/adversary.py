"""Life with an exchange that lies: commands at any hour, what they say, and what is really there.

Commands run in this process, through the command line's own entry point, on a clock that the test sets. These tests
look at nothing of mdata but its command line, its JSON, the view `ohlcv` and the table `series`.
"""

import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from conftest import DAY, NOW, Ended, Folder, SetClock, stored
from made_up import MadeUp, MadeUpMarket, registered

from mdata.cli.main import app
from mdata.clock import SystemClock
from mdata.domain.interval import Range
from mdata.domain.timeframe import HOUR, MINUTE, TIMEFRAMES
from mdata.domain.times import parse_instant
from mdata.exchange.http import Http
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import RateRule, Sandbox, parse_fault
from mdata.store.sqlite import sqlite3

SETTLE = 2 * MINUTE
# By when what is documented is noticed at the latest, and a repair or two have passed over it.
NEXT_PASS, A_DAY, NINETY_DAYS = HOUR, DAY + 6 * HOUR, 91 * DAY


class Said(NamedTuple):
    """What mdata says of all its series together."""

    complete: bool
    healthy: bool
    export: int
    reason: str | None
    # What export has called complete: symbol, timeframe and range (ms UTC) of each series.
    exported: tuple[tuple[str, str, Range], ...] = ()

    @property
    def whole(self) -> bool:
        """Whether any of it says that everything is there, up to the newest answer at least."""
        return self.complete or bool(self.exported)


class Wrong(NamedTuple):
    """What is stored otherwise than in the ledger, in the settled part of what is wanted."""

    missing: tuple[int, ...]
    surplus: tuple[int, ...]
    differing: tuple[int, ...]


class Finished(NamedTuple):
    """A command that has run: exit code, stdout, stderr."""

    exit: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@contextmanager
def connections() -> Iterator[list[Http]]:
    """Give all connections to an exchange that are made."""
    opened: list[Http] = []
    begin = Http.__init__

    def remember(self: Http, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        opened.append(self)

    with mock.patch.object(Http, "__init__", remember):
        yield opened


class Life:
    """A folder with a store, an exchange, and the clock of both."""

    def __init__(self, path: Path, sandbox: Sandbox, clock: SetClock, **settings: str) -> None:
        self.folder, self.sandbox, self.clock = Folder(path, sandbox), sandbox, clock
        self.folder.settings |= {"BACKFILL_DAYS": "10", "GAP_REPAIR_MAX_REPAIRS_PER_RUN": "50", **settings}
        self.log: list[tuple[str, Finished]] = []

    @property
    def database(self) -> Path:
        return self.folder.database

    def do(self, *arguments: str, **settings: str) -> Finished:
        """Run a command now."""
        clock = (self.clock.now(), SystemClock().boottime(), 1.0)
        environment = self.folder.environ(MDATA_REHEARSAL=",".join(map(repr, clock)), **settings)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            chdir(self.folder.path),
            redirect_stdout(out),
            redirect_stderr(err),
            connections() as opened,
        ):
            try:
                app(list(arguments))
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            finally:
                # As the end of the process would.
                for one in opened:
                    one.close()
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        finished = Finished(code, out.getvalue(), err.getvalue())
        assert code != 1, f"{arguments}: {finished.err}"
        self.log.append((" ".join(arguments), finished))
        return finished

    def really(self, *arguments: str, **settings: str) -> Ended:
        """Run a command now, in a process of its own."""
        clock = (self.clock.now(), SystemClock().boottime(), 1.0)
        return self.folder.run(*arguments, MDATA_REHEARSAL=",".join(map(repr, clock)), **settings)

    def order(self, *faults: dict[str, Any]) -> None:
        """Tell the exchange how to lie."""
        self.sandbox.order([parse_fault(json.dumps(one), self.clock.now()) for one in faults])

    def round(self) -> None:
        """Let every timer fire once."""
        for command in ("backfill", "detect-gaps", "repair"):
            assert self.do(command).exit in {0, 3, 65}, self.log[-1][1].err

    def calm(self, days: float, every: int = 6 * HOUR) -> None:
        """Let so many days pass, with a round of timers every so many ms."""
        until = self.clock.now() + int(days * DAY)
        while self.clock.now() < until:
            self.clock.advance(min(every, until - self.clock.now()))
            self.round()

    def says(self) -> Said:
        """Ask mdata whether everything is there."""
        status, check = self.do("status", "--json").json, self.do("status", "--check", "--json")
        series = [one for one in status["series"] if not one["retired"]]
        complete = bool(series) and not status["absent"] and all(one["complete"] for one in series)
        exported = self.do("export", "--json", "--output", str(self.folder.path / "candles.csv"))
        ranges = tuple(
            (one["symbol"], one["timeframe"], Range(*(parse_instant(one[edge], 0) for edge in ("start", "end"))))
            for one in (exported.json["series"] if exported.exit == 0 else ())
            if one["end"]
        )
        return Said(complete, check.exit == 0, exported.exit, check.json["reason"], ranges)

    def series(self) -> list[tuple[str, str, int]]:
        """Return symbol, timeframe and since when candles are wanted, of every series."""
        connection = sqlite3.connect(self.database)
        rows = connection.execute(
            "SELECT symbol, timeframe, max(wanted_start, coalesce(cleaned_to, wanted_start)) FROM series"
        ).fetchall()
        connection.close()
        return rows

    def wrong(self, symbol: str = "tBTCUSD", timeframe: str = "1m") -> Wrong:
        """Compare a series with the ledger, from where it is wanted to what has settled."""
        wanted = [start for held, name, start in self.series() if (held, name) == (symbol, timeframe)]
        grid, now = TIMEFRAMES[timeframe], self.clock.now()
        # What was to be wanted at all, if the series is not even known.
        start = wanted[0] if wanted else grid.floor(now - int(self.folder.settings["BACKFILL_DAYS"]) * DAY)
        end = grid.closed_end(now, SETTLE)
        held = {row[0]: row for row in stored(self.database, symbol, timeframe) if start <= row[0] < end}
        expected = {row[0]: row for row in self.sandbox.market.candles(symbol, grid, Range(start, end), now)}
        return Wrong(
            tuple(sorted(expected.keys() - held.keys())),
            tuple(sorted(held.keys() - expected.keys())),
            tuple(sorted(time for time in held.keys() & expected.keys() if held[time] != expected[time])),
        )

    def is_right(self) -> bool:
        """Whether series are stored, and every one is as the ledger has it."""
        known = self.series()
        return bool(known) and all(self.wrong(symbol, timeframe) == ((), (), ()) for symbol, timeframe, _ in known)

    def assert_right(self) -> None:
        for symbol, timeframe, _ in self.series():
            missing, surplus, differing = self.wrong(symbol, timeframe)
            told = f"{symbol} {timeframe}: {len(missing)} missing, {len(surplus)} too many, {len(differing)} differ"
            assert (missing, surplus, differing) == ((), (), ()), f"{told}; {self.says()}"

    def assert_honest(self) -> None:
        """Assert that nothing says it is complete unless it is."""
        said = self.says()
        if said.complete:
            self.assert_right()
        # An export ends at the newest answer: what is not fetched yet makes it no less complete.
        for symbol, timeframe, within in said.exported:
            absent = [time for time in self.wrong(symbol, timeframe).missing if within.start <= time < within.end]
            assert not absent, f"{symbol} {timeframe}: {len(absent)} missing in what export calls complete"

    def assert_heals(self, *, excused: float = 0, within: float = 30, every: int = 6 * HOUR) -> None:
        """Live on calmly, all lies told: the store must become right `within` so many days.

        Meanwhile nothing may say complete unless it is, but in the first `excused` ms, as documented of the lie.
        """
        began = self.clock.now()
        self.order()
        for day in (0.0, 0.25, 0.5, 1, 2, 4, 7, 14, within):
            left = began + int(min(day, within) * DAY) - self.clock.now()
            if left > 0:
                self.calm(left / DAY, every)
            if self.clock.now() - began >= excused:
                self.assert_honest()
            if self.is_right():
                break
        self.calm(min(1, within), every)
        self.assert_right()
        said = self.says()
        assert said.complete, said
        assert said.healthy, said
        assert said.export == 0, said

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Do what a person with any SQLite tool could."""
        return self.folder.rows(statement, *values)

    def delete(self, symbol: str, first: int, count: int) -> list[int]:
        """Delete so many candles by hand, from the so manyth on; return their open times."""
        times = [row[0] for row in stored(self.database, symbol, "1m")[first : first + count]]
        self.sql(
            "DELETE FROM candles WHERE open_time BETWEEN ? AND ? "
            "AND series_id = (SELECT id FROM series WHERE symbol = ? AND timeframe = '1m')",
            *(times[0], times[-1], symbol),
        )  # fmt: skip
        return times

    def requests_since(self, number: int) -> int:
        return len(self.sandbox.requests) - number


MakeLife = Callable[..., Life]


@pytest.fixture(params=["bitfinex", "made"], name="venue")
def any_venue(request: pytest.FixtureRequest) -> str:
    """Ours, and a made-up exchange: where this is imported, every test is held with both."""
    return str(request.param)


@pytest.fixture
def exchange(venue: str, clock: SetClock) -> Iterator[Sandbox]:
    """An exchange with pairs of all sorts, without a rate limit, on the set clock."""
    pairs = [
        Pair("tBTCUSD"),
        Pair("tETHUSD"),
        Pair("tSPAUSD", density=0.1),
        Pair("tNEWUSD", listed=NOW - 9 * DAY - 12 * HOUR - 7 * MINUTE),
    ]
    by_symbol = {one.symbol: one for one in pairs}
    if venue == "made":
        with MadeUp(MadeUpMarket(by_symbol), clock, rule=RateRule(0)) as other, registered(other):
            yield other
    else:
        with Sandbox(Market(by_symbol), clock, rule=RateRule(0)) as running:
            yield running


@pytest.fixture
def life(tmp_path: Path, exchange: Sandbox, clock: SetClock) -> MakeLife:
    """Makes a life with one or more series."""

    def make(symbol: str = "tBTCUSD", days: str = "10", **settings: str) -> Life:
        if isinstance(exchange, MadeUp):
            # Every minute is a row there: more days would be more pages, and nothing else.
            symbol, days = ",".join(f"made:{one}" for one in symbol.split(",")), str(min(int(days), 40))
        return Life(tmp_path, exchange, clock, **{"SYMBOLS": symbol, "BACKFILL_DAYS": days, **settings})

    return make
