"""`mdata.open` of a lake: the same candles, and the same verdicts, as the store has that was published."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import NOW
from deltalake import DeltaTable
from lakes import APRIL, DAY, MAY

import mdata
from mdata.domain.interval import Range
from mdata.jobs.backfill import backfill
from mdata.jobs.publish import publish
from mdata.reading.lake import LakeReader
from mdata.running.context import Context
from mdata.store import doubts

MakeContext = Callable[..., Context]
HOUR = 3_600_000
JUNE = MAY + 31 * DAY


@pytest.fixture
def given(context: MakeContext, tmp_path: Path) -> tuple[mdata.Reader, LakeReader, str]:
    """A store, some days of which cannot be had any more, and the lake that it was published to."""
    made = context(SYMBOLS="BTCUSD,SPAUSD,NEWUSD", TIMEFRAMES="30m,1D,1W", BACKFILL_DAYS="80", PUBLISH_AFTER_DAYS="0")
    assert backfill(made).exit == 0
    with made.store.write() as connection:
        doubts.cannot_be_had(connection, 1, [Range(MAY + 5 * DAY, MAY + 7 * DAY)], NOW)
    lake = str(tmp_path / "lake")
    assert publish(made, lake)[0].exit == 0
    store, found = mdata.open(made.store.path), mdata.open(lake)
    assert isinstance(store, mdata.Reader)
    assert isinstance(found, LakeReader)
    return store, found, lake


RANGES = [
    (APRIL, MAY), (APRIL + 3 * HOUR, APRIL + 9 * HOUR), (MAY - DAY, MAY + DAY), (MAY + 4 * DAY, MAY + 8 * DAY),
    (MAY + 6 * DAY, MAY + 6 * DAY + HOUR), (APRIL, APRIL), (APRIL, JUNE),
]  # fmt: skip


@pytest.mark.parametrize("part", RANGES, ids=str)
def test_both_say_the_same(given: tuple[mdata.Reader, LakeReader, str], part: tuple[int, int]) -> None:
    store, lake, _ = given
    for symbol in ("BTCUSD", "SPAUSD", "NEWUSD"):
        for timeframe in ("30m", "1D"):
            one, other = store.candles(symbol, timeframe, *part), lake.candles(symbol, timeframe, *part)
            assert type(one) is type(other)
            for name in ("exchange", "symbol", "grid", "start", "end", "columns", "unknown", "provisional"):
                assert getattr(one, name) == getattr(other, name), name
            assert (one.unobtainable, one.complete, one.empty) == (other.unobtainable, other.complete, other.empty)
            assert one.close_before == other.close_before
            assert one.resample("1D" if timeframe == "30m" else "1W").columns == (
                other.resample("1D" if timeframe == "30m" else "1W").columns
            )


def test_what_is_not_published_is_unknown(given: tuple[mdata.Reader, LakeReader, str]) -> None:
    _, lake, _ = given
    found = lake.candles("BTCUSD", "30m", JUNE - DAY, JUNE + DAY)
    assert (found.unknown, len(found)) == ((Range(JUNE, JUNE + DAY),), 48)
    assert lake.candles("BTCUSD", "30m").end == JUNE
    assert lake.candles("NEWUSD", "30m", APRIL, MAY).complete, "there was nothing before its first candle"


def test_chunks_are_the_whole(given: tuple[mdata.Reader, LakeReader, str]) -> None:
    _, lake, _ = given
    whole = lake.candles("SPAUSD", "30m")
    parts = list(lake.chunks("SPAUSD", "30m", intervals=700))
    assert [row for part in parts for row in part] == list(whole)
    assert (parts[0].start, parts[-1].end) == (whole.start, whole.end)
    with pytest.raises(mdata.UsageError):
        lake.chunks("SPAUSD", "30m", intervals=0)


def test_what_is_published(given: tuple[mdata.Reader, LakeReader, str]) -> None:
    store, lake, _ = given
    names = [(one.symbol, one.timeframe) for one in store.series()]
    # No week that began after the new pair did is over.
    names.remove(("tNEWUSD", "1W"))
    assert [(one.symbol, one.timeframe) for one in lake.series()] == names
    with pytest.raises(mdata.NotThereError, match=r"nothing is published of tETHUSD 30m"):
        lake.candles("ETHUSD", "30m")


def test_what_another_tool_has_changed_is_unknown(given: tuple[mdata.Reader, LakeReader, str]) -> None:
    _, _, place = given
    DeltaTable(f"{place}/candles").delete(
        "symbol = 'tBTCUSD' AND timeframe = '30m' AND time = '2024-04-06T00:00:00Z'"
    )
    found = mdata.open(place).candles("BTCUSD", "30m", APRIL - DAY, MAY + DAY)
    assert found.unknown == (Range(APRIL, MAY),)


def test_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(mdata.NotThereError):
        mdata.open(tmp_path / "nothing")
    with pytest.raises(mdata.UsageError, match="a lake is a folder, or an address"):
        mdata.open("https://example.org/lake")


def test_a_store_is_opened_without_what_speaks_delta(given: tuple[mdata.Reader, LakeReader, str]) -> None:
    store, _, place = given
    code = "import sys; sys.modules['deltalake'] = None; import mdata; print(len(mdata.open(sys.argv[1]).series()))"
    run = [sys.executable, "-c", code]
    assert subprocess.run([*run, str(store.path)], capture_output=True, text=True, check=True).stdout == "9\n"
    ended = subprocess.run([*run, place], capture_output=True, text=True, check=False)
    assert re.search(r"MissingExtraError: deltalake is not installed: `.*` brings what a lake needs", ended.stderr)
