"""`import mdata`: candles in one line, and the ledger's verdict on exactly what was asked for."""

import multiprocessing
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from math import isclose
from pathlib import Path

import pytest
from conftest import DAY, UNPRIVILEGED, Folder, stored

import mdata
from mdata.clock import SystemClock
from mdata.domain.interval import Range, count_within
from mdata.domain.timeframe import MINUTE, TIMEFRAMES
from mdata.domain.times import iso

HOUR = 60 * MINUTE
M1 = TIMEFRAMES["1m"]


def cells(ranges: tuple[Range, ...]) -> set[int]:
    return {time for part in ranges for time in M1.open_times(*part)}


@pytest.fixture
def filled(folder: Folder) -> Folder:
    """A store of a dense and a thin pair, ten days of minutes and hours."""
    folder.settings.update(SYMBOLS="BTCUSD,SPAUSD", TIMEFRAMES="1m,1h", BACKFILL_DAYS="10")
    assert folder.run("backfill").exit == 0
    return folder


@pytest.fixture
def reader(filled: Folder) -> mdata.Reader:
    return mdata.open(filled.database)


def middle(filled: Folder, hours: int = 24) -> Range:
    """Return whole hours in the middle of what is stored."""
    start = stored(filled.database, "tBTCUSD", "1h")[60][0]
    return Range(start, start + hours * HOUR)


def test_what_is_stored_is_read_and_called_complete(filled: Folder, reader: mdata.Reader) -> None:
    held = stored(filled.database, "tBTCUSD", "1m")
    found = reader.candles("BTCUSD", "1m")
    assert found.complete
    assert found.require_complete() is found
    assert list(found) == held
    assert (len(found), found[0], found[-1], found[3:5]) == (len(held), held[0], held[-1], held[3:5])
    assert isinstance(found[0], mdata.Candle)
    assert found[0].close == held[0][4]
    assert (found.exchange, found.symbol, found.timeframe) == ("bitfinex", "tBTCUSD", "1m")
    assert "complete" in repr(found)


def test_the_series_are_told(filled: Folder, reader: mdata.Reader) -> None:
    found = reader.series()
    assert [(one.symbol, one.timeframe) for one in found] == [
        ("tBTCUSD", "1m"), ("tBTCUSD", "1h"), ("tSPAUSD", "1m"), ("tSPAUSD", "1h")
    ]  # fmt: skip
    for one in found:
        assert one.candles == len(stored(filled.database, one.symbol, one.timeframe))
        assert (one.start, one.end) == filled.rows(
            "SELECT min(start_time), max(end_time) FROM coverage JOIN series ON series.id = series_id "
            "WHERE symbol = ? AND timeframe = ?", one.symbol, one.timeframe,
        )[0]  # fmt: skip


def test_an_instant_is_text_a_datetime_or_milliseconds(filled: Folder, reader: mdata.Reader) -> None:
    start, end = middle(filled)
    wanted = [row for row in stored(filled.database, "tBTCUSD", "1m") if start <= row[0] < end]
    east = timezone(timedelta(hours=9))
    for pair in (
        (start, end),
        (iso(start), iso(end)),
        (datetime.fromtimestamp(start / 1000, UTC), datetime.fromtimestamp(end / 1000, east)),
    ):
        found = reader.candles("btc/usd", "1m", *pair)
        assert (list(found), found.start, found.end, found.complete) == (wanted, start, end, True)
    assert list(reader.candles("BTCUSD", "1m", start - 1, end + 1)) == [
        row for row in stored(filled.database, "tBTCUSD", "1m") if start <= row[0] <= end
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("BTC-USD", "1m"), "'BTC-USD' is not a trading pair"),
        (("BTCUSD", "1n"), "valid are 1m 5m"),
        (("BTCUSD", "1m", "soon"), "'soon' is not a date or time"),
        (("BTCUSD", "1m", "2024", "2023"), "before it begins"),
        (("BTCUSD", "1m", datetime(2024, 3, 1)), "has no time zone"),  # noqa: DTZ001 - that is the fault
        (("BTCUSD", "1m", -5), "is not a date or time"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_told_in_a_sentence(
    reader: mdata.Reader, arguments: tuple[str, str], sentence: str
) -> None:
    with pytest.raises(mdata.UsageError, match=sentence):
        reader.candles(*arguments)
    with pytest.raises(ValueError, match=sentence):
        reader.chunks(*arguments)


def test_what_is_not_stored_is_no_empty_table(filled: Folder, reader: mdata.Reader) -> None:
    with pytest.raises(
        mdata.NotThereError, match=r"no candles of bitfinex:tSPBUSD 1m are stored; did you mean bitfinex:tSPAUSD 1m\?"
    ):
        reader.candles("SPBUSD", "1m")
    with pytest.raises(mdata.NotThereError, match="`mdata backfill` creates one"):
        mdata.open(filled.path / "none.db")
    assert not (filled.path / "none.db").exists()
    (filled.path / "foreign.db").write_bytes(b"hello" * 1000)
    with pytest.raises(mdata.StorageError, match="not an SQLite database"):
        mdata.open(filled.path / "foreign.db")


def test_ends_that_are_given_are_never_clipped(filled: Folder, reader: mdata.Reader) -> None:
    known = reader.candles("BTCUSD", "1m")
    found = reader.candles("BTCUSD", "1m", known.start - DAY, known.end + DAY)
    assert (found.start, found.end) == (known.start - DAY, known.end + DAY)
    assert found.unknown == ((found.start, known.start), (known.end, found.end))
    assert not found.complete
    assert list(found) == list(known)
    assert "2880 of" in repr(found)
    filled.run("backfill", "-s", "NEWUSD", "-t", "1h", BACKFILL_DAYS="3000")
    young = reader.candles("NEWUSD", "1h", "2015", known.end - known.end % HOUR)
    assert young.complete
    ((start, first),) = young.empty[:1]
    assert (start, first) == (1_420_070_400_000, young[0].open_time)


def test_a_series_without_a_candle_is_unknown(filled: Folder, reader: mdata.Reader) -> None:
    now = SystemClock().now()
    filled.rows(
        "INSERT INTO series (exchange, symbol, timeframe, first_asked_at, wanted_start) VALUES (?, ?, ?, ?, ?)",
        "bitfinex", "tNONUSD", "1h", now, now - DAY,
    )  # fmt: skip
    found = reader.candles("NONUSD", "1h", now - now % HOUR - DAY, now - now % HOUR + DAY)
    assert (found.empty, found.unknown) == ((), ((found.start, found.end),))
    assert len(reader.candles("NONUSD", "1h")) == 0


def test_a_lost_candle_is_unknown_and_demanded_in_vain(filled: Folder, reader: mdata.Reader) -> None:
    start, end = middle(filled)
    lost = start + 7 * MINUTE
    filled.rows("DELETE FROM candles WHERE series_id = 1 AND open_time = ?", lost)
    found = reader.candles("BTCUSD", "1m", start, end)
    assert found.unknown == ((lost, lost + MINUTE),)
    assert found.empty == ()
    with pytest.raises(mdata.IncompleteError) as refused:
        found.require_complete()
    assert refused.value.ranges == found.unknown
    assert f"1 of 1440 intervals of bitfinex:tBTCUSD 1m is unknown: {iso(lost)} to" in str(refused.value)
    assert "`mdata repair`" in str(refused.value)
    assert reader.candles("BTCUSD", "1m", lost + MINUTE, end).complete


def test_every_interval_is_there_empty_provisional_or_unknown(filled: Folder, reader: mdata.Reader) -> None:
    filled.run("update", SETTLE_SECONDS="86400")
    held = stored(filled.database, "tSPAUSD", "1m")
    filled.rows("DELETE FROM candles WHERE series_id = 3 AND open_time IN (?, ?)", held[20][0], held[21][0])
    known = reader.candles("SPAUSD", "1m")
    found = reader.candles("SPAUSD", "1m", known.start - HOUR, known.end + HOUR)
    rows, empty, unknown = {one.open_time for one in found}, cells(found.empty), cells(found.unknown)
    assert found.provisional
    assert {held[20][0], held[21][0]} <= unknown
    assert not rows & empty
    assert not rows & unknown
    assert not empty & (unknown | cells(found.provisional))
    assert rows | empty | unknown | cells(found.provisional) == set(M1.open_times(found.start, found.end))


def test_what_is_read_while_others_write_is_from_one_state(folder: Folder) -> None:
    folder.settings["SYMBOLS"] = "SPAUSD"
    folder.run("backfill", "--max-requests", "3")
    reader = mdata.open(folder.database)
    # A page every second or so: six of them, and several looks between two.
    process = folder.start("backfill", BACKFILL_DAYS="400", RATE_LIMIT_DELAY="1")
    sizes = set()
    while process.poll() is None:
        found = reader.candles("SPAUSD", "1m", "-401d")
        silent = sum(M1.count(*part) for part in (*found.empty, *found.unknown, *found.provisional))
        assert len(found) + silent >= found.intervals
        assert count_within([one.open_time for one in found], found.unknown) == 0
        sizes.add(len(found))
    process.communicate()
    assert len(sizes) > 2


def test_parts_are_the_whole_and_each_has_its_verdict(filled: Folder, reader: mdata.Reader) -> None:
    start, end = middle(filled)
    filled.rows("DELETE FROM candles WHERE series_id = 1 AND open_time = ?", start + 100 * MINUTE)
    parts = list(reader.chunks("BTCUSD", "1m", start, end, intervals=90))
    whole = reader.candles("BTCUSD", "1m", start, end)
    assert [one for part in parts for one in part] == list(whole)
    assert [part.complete for part in parts] == [number != 1 for number in range(16)]
    assert all(one.end == other.start for one, other in pairwise(parts))
    assert (parts[0].start, parts[-1].end) == (start, end)
    with pytest.raises(mdata.UsageError):
        reader.chunks("BTCUSD", "1m", intervals=0)


def test_flat_candles_stand_for_proven_silence_only(filled: Folder, reader: mdata.Reader) -> None:
    start, end = middle(filled)
    before = [row for row in stored(filled.database, "tSPAUSD", "1m") if row[0] < start][-1]
    held = [row for row in stored(filled.database, "tSPAUSD", "1m") if start <= row[0] < end]
    lost = held[50][0]
    filled.rows("DELETE FROM candles WHERE series_id = 3 AND open_time = ?", lost)
    del held[50]
    source = reader.candles("SPAUSD", "1m", start, end)
    found = source.fill()
    rows, close, silence = {row[0]: row for row in held}, before[4], 0
    expected = []
    for time in M1.open_times(start, end):
        if time in rows:
            close = rows[time][4]
            expected.append(rows[time])
        elif time == lost:
            close = None
        elif close is not None:
            silence += 1
            expected.append((time, close, close, close, close, 0.0))
    assert list(found) == expected
    assert found.is_filled is not None
    assert sum(found.is_filled) == silence > 1000
    assert all(bool(flag) == (one.open_time not in rows) for flag, one in zip(found.is_filled, found, strict=True))
    assert (found.unknown, found.empty) == (source.unknown, source.empty)
    assert found.fill() is found
    assert source.is_filled is None
    parts = [part.fill() for part in reader.chunks("SPAUSD", "1m", start, end, intervals=7)]
    assert [one for part in parts for one in part] == expected


def test_before_the_first_candle_nothing_is_filled(filled: Folder, reader: mdata.Reader) -> None:
    filled.run("backfill", "-s", "NEWUSD", "-t", "1h", BACKFILL_DAYS="3000")
    found = reader.candles("NEWUSD", "1h", "2015")
    assert found.empty[0][0] == found.start
    assert found.fill()[0].open_time == found[0].open_time


def test_coarser_candles_are_those_of_the_exchange(folder: Folder) -> None:
    folder.settings.update(SYMBOLS="BTCUSD,SPAUSD", TIMEFRAMES="1m,15m,3h,1D,1W,1M", BACKFILL_DAYS="75")
    assert folder.run("backfill").exit == 0
    reader = mdata.open(folder.database)
    for symbol in ("BTCUSD", "SPAUSD"):
        source = reader.candles(symbol, "1m")
        for timeframe in ("15m", "3h", "1D", "1W", "1M"):
            found, own = source.resample(timeframe), reader.candles(symbol, timeframe, source.start, source.end)
            partial = cells(found.unknown)
            whole = [one for one in found if one.open_time not in partial]
            assert len(whole) >= {"15m": 2000, "3h": 590, "1D": 74, "1W": 9, "1M": 1}[timeframe]
            theirs = {one.open_time: one for one in own}
            for one in whole:
                assert one[:5] == theirs[one.open_time][:5]
                assert isclose(one.volume, theirs[one.open_time].volume, rel_tol=1e-9)
            inner = [one.open_time for one in own if one.open_time not in partial and one.open_time < found.end]
            assert [one.open_time for one in whole] == inner, timeframe
            assert (found.timeframe, found.symbol) == (timeframe, source.symbol)


def test_a_coarse_candle_that_lacks_a_part_is_told(filled: Folder, reader: mdata.Reader) -> None:
    start, _ = middle(filled)
    day = start - start % DAY + DAY
    lost = day + 5 * HOUR
    filled.rows("DELETE FROM candles WHERE series_id = 1 AND open_time = ?", lost)
    found = reader.candles("BTCUSD", "1m", day, day + 2 * DAY).resample("4h")
    assert [one.open_time for one in found] == [day + 4 * hours * HOUR for hours in range(12)]
    assert found.unknown == ((day + 4 * HOUR, day + 8 * HOUR),)
    with pytest.raises(mdata.IncompleteError, match="1 of 12 intervals of bitfinex:tBTCUSD 4h is unknown"):
        found.require_complete()
    cut = reader.candles("BTCUSD", "1m", day + 9 * HOUR, day + 23 * HOUR).resample("4h")
    assert cut.unknown == ((day + 8 * HOUR, day + 12 * HOUR), (day + 20 * HOUR, day + DAY))
    assert (cut.start, cut.end) == (day + 8 * HOUR, day + DAY)
    assert reader.candles("BTCUSD", "1m", day, day).resample("4h").intervals == 0


def test_silence_stays_silence_in_coarser_candles(filled: Folder, reader: mdata.Reader) -> None:
    start, end = middle(filled)
    source = reader.candles("SPAUSD", "1m", start, end)
    coarse = source.resample("5m")
    assert coarse.complete
    assert coarse.empty
    assert coarse.fill().is_filled is not None
    assert len(coarse.fill()) == 288
    early = source.fill().resample("5m")
    assert list(early) == list(coarse.fill())
    assert early.is_filled == coarse.fill().is_filled


@pytest.mark.parametrize(
    ("source", "timeframe", "sentence"),
    [
        ("1m", "7h", "divides a day"), ("1m", "4H", "divides a day"), ("1m", "1d", "did you mean 1D"),
        ("1h", "90m", "cannot be aggregated"), ("1h", "15m", "cannot be aggregated"), ("1m", "0m", "cannot resample"),
    ],
)  # fmt: skip
def test_what_candles_do_not_add_up_to_is_refused(
    reader: mdata.Reader, source: str, timeframe: str, sentence: str
) -> None:
    with pytest.raises(mdata.UsageError, match=sentence):
        reader.candles("BTCUSD", source).resample(timeframe)


def test_what_the_exchange_serves_no_more_is_not_complete(filled: Folder, reader: mdata.Reader) -> None:
    start, end = middle(filled)
    filled.rows("INSERT INTO unobtainable VALUES (1, ?, ?, ?)", start, start + HOUR, end)
    found = reader.candles("BTCUSD", "1m", start, end)
    assert found.unobtainable == ((start, start + HOUR),)
    assert (found.unknown, found.complete, len(found)) == ((), False, 1440)
    with pytest.raises(mdata.IncompleteError) as refused:
        found.require_complete()
    assert refused.value.ranges == found.unobtainable
    # What is stored is there though the ledger does not vouch for it; what is not, is unknown.
    filled.rows("DELETE FROM coverage WHERE series_id = 1")
    filled.rows("DELETE FROM candles WHERE series_id = 1 AND open_time = ?", start + MINUTE)
    found = reader.candles("BTCUSD", "1m", start, start + HOUR)
    assert (found.unknown, len(found)) == (((start + MINUTE, start + 2 * MINUTE),), 59)


def test_a_row_beside_the_grid_hides_no_silence(filled: Folder, reader: mdata.Reader) -> None:
    start, end = middle(filled)
    silent = reader.candles("SPAUSD", "1m", start, end).empty
    at = reader.candles("SPAUSD", "1m", start, end)[5].open_time
    filled.rows(
        "INSERT INTO candles SELECT series_id, open_time + 1, open, high, low, close, volume FROM candles "
        "WHERE series_id = 3 AND open_time = ?", at,
    )  # fmt: skip
    found = reader.candles("SPAUSD", "1m", start, end)
    assert found.empty == silent
    assert len(found.fill()) == 1441


def closes(path: Path) -> list[float]:
    return [one.close for one in mdata.open(path).candles("BTCUSD", "1m")]


def test_threads_and_forks_may_read_at_once(filled: Folder, reader: mdata.Reader) -> None:
    expected = [row[4] for row in stored(filled.database, "tBTCUSD", "1m")]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: [one.close for one in reader.candles("BTCUSD", "1m")], range(8)))
    assert found == [expected] * 8
    with multiprocessing.get_context("fork").Pool(2) as forks:
        assert forks.map(closes, [filled.database] * 4) == [expected] * 4
    assert closes(filled.database) == expected


def test_a_writer_in_the_same_process_keeps_its_lock(filled: Folder, tmp_path: Path) -> None:
    """A second copy of SQLite would let another process write now: see docs/design.md."""
    script = """
import sys, subprocess
from pathlib import Path
import mdata
from mdata.store.opening import open_store
path = Path(sys.argv[1])
other = '''
import sys
from mdata.store.sqlite import sqlite3
connection = sqlite3.connect(sys.argv[1], timeout=0.1, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print(error)
'''
with open_store(path) as store, store.write():
    assert len(mdata.open(path).candles("BTCUSD", "1m")) > 1000
    print(subprocess.run([sys.executable, "-c", other, path], capture_output=True, text=True, check=True).stdout)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, filled.database], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert ended.stdout.strip() == "database is locked"


def test_what_was_read_keeps_nobody_from_emptying_the_log(filled: Folder, reader: mdata.Reader) -> None:
    candles, parts = reader.candles("BTCUSD", "1m"), reader.chunks("BTCUSD", "1m", intervals=100)
    next(parts)
    filled.rows("INSERT INTO rejected_rows (series_id, row, reason, seen_at, source) VALUES (1, 'x', 'x', 1, 'x')")
    ((busy, *_),) = filled.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    assert busy == 0
    assert len(candles) > 14_000


COUNT = "import mdata, sys; print(len(mdata.open(sys.argv[1]).candles('BTCUSD', '1m')))"


@pytest.mark.parametrize("mode", [0o500, 0o700])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_folder_without_write_access_will_do(filled: Folder, mode: int, *, is_open: bool) -> None:
    shut = filled.path / "shut"
    shut.mkdir()
    filled.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    (shut / "mdata.db").write_bytes(filled.database.read_bytes())
    writer = None
    if is_open:
        # A service of another user has it open, and its log holds what is newest.
        code = (
            "import sys; from pathlib import Path; from mdata.store.opening import open_store\n"
            "store = open_store(Path(sys.argv[1]))\n"
            "with store.write() as c: c.execute('DELETE FROM candles WHERE series_id = 1 AND open_time % 120000')\n"
            "print('ready', flush=True); sys.stdin.read()"
        )
        writer = subprocess.Popen(
            [sys.executable, "-c", code, shut / "mdata.db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for path in shut.iterdir():
        path.chmod(0o400)
    shut.chmod(mode)
    ended = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "-c", COUNT, shut / "mdata.db"], capture_output=True, text=True, check=False
    )
    shut.chmod(0o700)
    if writer is not None:
        writer.communicate()
    expected = [row for row in stored(filled.database, "tBTCUSD", "1m") if not is_open or row[0] % 120_000 == 0]
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) == len(expected)


def test_the_settings_say_which_store_is_meant(filled: Folder) -> None:
    code = "import mdata; s = mdata.open(); print(s.path, len(s.candles('BTCUSD', '1h', '-3d')))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=filled.environ(),
        cwd=filled.path,
        capture_output=True,
        text=True,
        check=True,
    )
    path, count = ended.stdout.split()
    assert (path, int(count) >= 70) == (str(filled.database), True)


def test_importing_mdata_imports_next_to_nothing() -> None:
    def modules(code: str) -> set[str]:
        ended = subprocess.run(
            [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return set(ended.stdout.split())

    assert modules("import mdata") - modules("pass") == {"mdata", "mdata.version"}
    heavy = {"numpy", "pyarrow", "pandas", "polars", "typer", "httpx", "rich", "sqlite_utils"}
    assert not modules("import mdata; mdata.open, mdata.Candles") & heavy


def test_all_that_the_package_offers_is_there() -> None:
    for name in mdata.__all__:
        assert getattr(mdata, name) is not None
    assert set(mdata.__all__) <= set(dir(mdata))
    with pytest.raises(AttributeError, match="has no attribute 'opne'"):
        mdata.opne  # noqa: B018


@pytest.mark.parametrize(
    ("method", "missing"),
    [("numpy", "numpy"), ("arrow", "pyarrow"), ("polars", "polars"), ("pandas", "pandas")],
)
def test_a_missing_library_is_named_with_what_brings_it(filled: Folder, method: str, missing: str) -> None:
    code = (
        f"import sys; sys.modules['{missing}'] = None; import mdata; mdata.open().candles('BTCUSD', '1h').{method}()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=filled.environ(),
        cwd=filled.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(f"{missing} is not installed: run `.* -m pip install '{missing}>=[0-9.]+'`", ended.stderr)


RECIPES = Path(__file__).parents[2] / ".envs" / "recipes" / "bin" / "python"
FRAMES = """
import numpy, pandas, polars, pyarrow
import mdata

c = mdata.open().candles("SPAUSD", "1m", {start}, {end})
for candles in (c, c.fill()):
    names = ["time", "open", "high", "low", "close", "volume"] + (["is_filled"] if candles.is_filled else [])
    rows = [tuple(one) for one in candles]
    numbers = candles.numpy()
    assert list(numbers) == names
    assert numbers["time"].dtype == "datetime64[ms]" and numbers["close"].dtype == "float64"
    assert numpy.shares_memory(numbers["close"], numpy.frombuffer(candles.columns.close))
    table, frame, data = candles.arrow(), candles.polars(), candles.pandas()
    assert table.column_names == frame.columns == list(data.columns) == names
    assert table.schema.field("time").type == pyarrow.timestamp("ms", "UTC")
    assert frame.schema["time"] == polars.Datetime("ms", "UTC")
    assert str(data["time"].dtype) == "datetime64[ms, UTC]"
    assert {{table.schema.field(n).type for n in names[1:6]}} == {{pyarrow.float64()}}
    assert [d.kind for d in data.dtypes[1:6]] == ["f"] * 5
    for found in (
        zip(*([v.item() for v in column] for column in list(numbers.values())[1:6])),
        zip(*(column.to_pylist() for column in table.columns[1:6])),
        (row[1:6] for row in frame.iter_rows()),
        (tuple(row)[1:6] for row in data.itertuples(index=False)),
    ):
        assert list(found) == [row[1:] for row in rows]
    times = [row[0] for row in rows]
    assert numbers["time"].astype("int64").tolist() == times
    assert table["time"].cast(pyarrow.int64()).to_pylist() == times
    assert frame["time"].dt.epoch("ms").to_list() == times
    assert (data["time"].astype("int64")).tolist() == times
    if candles.is_filled:
        flags = [bool(flag) for flag in candles.is_filled]
        assert numbers["is_filled"].tolist() == table["is_filled"].to_pylist() == flags
        assert frame["is_filled"].to_list() == data["is_filled"].tolist() == flags
    data["close"] += 1
    try:
        numbers["close"][0] = 1
    except ValueError:
        pass
    else:
        raise AssertionError("what is shared was written to")
    assert [tuple(one) for one in candles] == rows
print(len(c))
"""


@pytest.mark.skipif(not RECIPES.exists(), reason="pandas and Polars are not installed: run `make recipes`")
def test_the_shapes_of_other_libraries(filled: Folder) -> None:
    start, end = middle(filled)
    ended = subprocess.run(
        [RECIPES, "-c", FRAMES.format(start=start, end=end)], env=filled.environ(), cwd=filled.path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 100
