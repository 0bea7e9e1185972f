"""Time zones, summer time, leap years, lengths of months: grid and store are the same wherever a machine stands."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import DAY, Folder

from mdata.clock import RehearsalClock, SystemClock
from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.timeframe import TIMEFRAMES, Timeframe
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox

HOUR = DAY // 24
# Half-hour and quarter-hour offsets, a summer time of half an hour, a zone that left out a day, one at +14.
ZONES = [
    "UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia",
    "Pacific/Kiritimati", "America/St_Johns",
]  # fmt: skip
LOCALES = ["C", "C.UTF-8", "POSIX"]
FEW = ["UTC", "Europe/London", "Asia/Kathmandu"]
in_zones = pytest.mark.parametrize(
    "zones", [pytest.param(FEW, id="few"), pytest.param(ZONES, marks=pytest.mark.slow, id="all")]
)

pytestmark = pytest.mark.skipif(
    any(not Path("/usr/share/zoneinfo", zone).exists() for zone in ZONES), reason="there are no time zones here"
)


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp() * 1000)


START, END = at(2013, 1, 1), at(2031, 1, 1)

GRID = """
import hashlib, sys, time
from mdata.domain.times import iso, parse_instant
from mdata.domain.timeframe import TIMEFRAMES
start, end = int(sys.argv[1]), int(sys.argv[2])
digest = hashlib.sha256()
for timeframe in TIMEFRAMES.values():
    digest.update(b"%d" % timeframe.count(timeframe.ceil(start), timeframe.floor(end)))
    for hour in range(start, end, 3 * 3_600_000):
        for instant in (hour - 1, hour):
            digest.update(b"%d %d " % (timeframe.floor(instant), timeframe.next(instant)))
for day in range(start, end, 86_400_000):
    text = iso(day + 5_400_000)
    assert parse_instant(text, 0) == parse_instant(text[:16] + "Z", 0) == day + 5_400_000
    assert parse_instant(text[:10], 0) == day
    digest.update(text.encode())
digest.update(b"%d" % parse_instant("-7d", end))
print(digest.hexdigest(), time.strftime("%z", time.localtime(1_720_000_000)))
"""


@in_zones
def test_the_grid_is_the_same_in_every_zone(zones: list[str], record_property: Callable[[str, object], None]) -> None:
    found = {}
    for number, zone in enumerate(zones):
        environment = {"TZ": zone, "LC_ALL": LOCALES[number % len(LOCALES)], "PATH": os.environ["PATH"]}
        told = subprocess.run(
            [sys.executable, "-c", GRID, str(START), str(END)], env=environment, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        found[zone] = told.stdout.split()
    assert len({digest for digest, _ in found.values()}) == 1, found
    assert len({offset for _, offset in found.values()}) == len(zones), "the zones took effect"
    record_property("zones", len(zones))
    record_property("instants", 2 * (END - START) // (3 * HOUR) * len(TIMEFRAMES))


def calendar(timeframe: Timeframe) -> list[int]:
    """Return all open times of 2013 to 2030 as the standard library's calendar has them, for days and longer."""
    days = [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range((END - START) // DAY)]
    wanted = {
        "1D": days,
        "1W": [day for day in days if day.isoweekday() == 1],
        "1M": [day for day in days if day.day == 1],
    }
    return [int(day.timestamp() * 1000) for day in wanted[timeframe.name]]


def test_the_grid_is_that_of_the_calendar() -> None:
    for timeframe in TIMEFRAMES.values():
        if timeframe.name in {"1m", "5m"}:
            continue
        times = list(timeframe.open_times(timeframe.ceil(START), timeframe.ceil(END)))
        if timeframe.name in {"1D", "1W", "1M"}:
            assert times == calendar(timeframe)
        else:
            assert times == list(range(START, END, timeframe.step))
    # 9,466,560 minutes: counted, and looked at where a day begins or a clock is changed.
    minute = TIMEFRAMES["1m"]
    assert minute.count(START, END) == (END - START) // 60_000
    for day in range(START, END, DAY):
        assert minute.previous(day) == day - 60_000
        assert minute.is_aligned(day)
        assert not minute.is_aligned(day + 1)


def made_up(timeframe: Timeframe) -> list[Candle]:
    """Return a candle for every interval but each seventh, cheaply."""
    times = timeframe.open_times(timeframe.ceil(START), timeframe.floor(END))
    return [(time, 1.5, 2.5, 0.5, float(1 + number % 2), 3.0) for number, time in enumerate(times) if number % 7]


def content(folder: Folder) -> tuple[str, int]:
    """Return a digest of candles and ledger, and how many candles there are."""
    rows: list[tuple[Any, ...]] = folder.rows("SELECT * FROM ohlcv ORDER BY symbol, timeframe, open_time")
    ledger = folder.rows(
        "SELECT symbol, timeframe, start_time, end_time, kind, candles FROM coverage JOIN series ON id = series_id "
        "ORDER BY symbol, timeframe, start_time"
    )
    return hashlib.sha256(repr((rows, ledger)).encode()).hexdigest(), len(rows)


def stored_in(zone: str, number: int, path: Path, market: Market, now: int, **settings: str) -> tuple[str, int]:
    """Backfill on a machine that stands in `zone`, at `now`; return what is stored."""
    path.mkdir()
    # Slow enough that every zone's run sees the same newest interval.
    origin = now, SystemClock().boottime(), 1.0
    with Sandbox(market, RehearsalClock(*origin)) as exchange:
        folder = Folder(path, exchange)
        folder.settings |= {"MDATA_REHEARSAL": ",".join(map(repr, origin)), "TZ": zone, **settings}
        folder.settings["LC_ALL"] = LOCALES[number % len(LOCALES)]
        ended = folder.run("backfill")
        assert ended.exit == 0, ended.err
        assert folder.run("detect-gaps", "--json").json["gaps_opened"] == 0
        assert folder.run("status", "--json").json["series"][0]["complete"] is True
    return content(folder)


@in_zones
def test_eighteen_years_are_stored_the_same_in_every_zone(
    zones: list[str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    names = ("6h", "12h", "1D", "1W", "1M")
    recorded = {("tBTCUSD", name): made_up(TIMEFRAMES[name]) for name in names}
    market = Market({"tBTCUSD": Pair("tBTCUSD", listed=START)}, recorded=recorded)
    days = str((END - START) // DAY)
    found = {
        zone: stored_in(
            zone,
            number,
            tmp_path / str(number),
            market,
            END + 600_000,
            TIMEFRAMES=",".join(names),
            BACKFILL_DAYS=days,
        )
        for number, zone in enumerate(zones)
    }
    assert len(set(found.values())) == 1, found
    (_, count) = found["UTC"]
    assert count == sum(map(len, recorded.values()))
    record_property("candles in each store", count)


@pytest.mark.slow
@pytest.mark.parametrize("change", [at(2030, 3, 31, 1, 30), at(2030, 11, 3, 6, 30), at(2028, 2, 29, 12, 5)])
def test_minutes_around_a_change_of_clocks_are_stored_the_same(tmp_path: Path, change: int) -> None:
    """London's spring, New York's autumn, a leap day; every timeframe that the exchange has."""
    market = Market({"tBTCUSD": Pair("tBTCUSD", listed=change - 3 * DAY)})
    found = {
        zone: stored_in(
            zone, number, tmp_path / str(number), market, change, TIMEFRAMES=",".join(TIMEFRAMES), BACKFILL_DAYS="2"
        )
        for number, zone in enumerate(ZONES)
    }
    assert len(set(found.values())) == 1, found
    minutes = market.candles("tBTCUSD", TIMEFRAMES["1m"], Range(change - change % DAY - 2 * DAY, change), change)
    assert found["UTC"][1] > len(minutes) - 5
