"""Digests: a month that somebody has changed behind mdata's back is noticed, is unknown then, and is brought back."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from struct import pack

import pytest
from answers import Judge, answer, at, candle, minute, span
from conftest import DAY, SetClock, stored, with_settings
from gap_tools import delete
from tampering import tamper

from mdata.domain.interval import Range
from mdata.domain.timeframe import month_index, month_start
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.jobs.backfill import backfill
from mdata.jobs.cleanup import cleanup
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.repair import repair
from mdata.jobs.verify import plan, verify
from mdata.running.context import Context
from mdata.store import coverage, digests
from mdata.store import series as table

MakeContext = Callable[..., Context]
MAY = 1_714_521_600_000
APRIL = MAY - 30 * DAY
HOUR = 3_600_000


@pytest.fixture
def given(context: MakeContext) -> Context:
    """A store that holds April and May, and some of March, of a series of 1h; `verify` has kept its digests."""
    made = context(TIMEFRAMES="1h", BACKFILL_DAYS="70")
    assert backfill(made).exit == 0
    result, found = verify(made)
    assert (result.exit, found.months, found.doubts) == (0, 2, ())
    return made


def kept(context: Context) -> dict[int, digests.Digest]:
    return digests.of(context.store.connection, 1)


def test_months_that_are_wholly_final_get_a_digest(given: Context) -> None:
    assert {month: one.candles for month, one in kept(given).items()} == {APRIL: 720, MAY: 744}
    before = kept(given)
    result, found = verify(given)
    assert (result.exit, found.months, kept(given)) == (0, 2, before)


def test_the_digest_is_the_documented_one(given: Context) -> None:
    rows = [row for row in stored(given.store.path, "tBTCUSD", "1h") if APRIL <= row[0] < MAY]
    assert kept(given)[APRIL].digest == sha256(b"".join(pack("<q5d", *row) for row in rows)).digest()


CHANGES = {
    "open": "(open + 3 * low) / 4", "high": "high * 1.0000001", "low": "low * 0.9999999",
    "close": "(close + 3 * low) / 4", "volume": "volume * 1.0000001",
}  # fmt: skip


@pytest.mark.parametrize("column", CHANGES)
def test_a_value_changed_by_hand_is_noticed_and_repaired(given: Context, clock: SetClock, column: str) -> None:
    held, before = stored(given.store.path, "tBTCUSD", "1h"), kept(given)
    time = next(row[0] for row in held if row[0] >= APRIL + 3 * DAY and row[3] < min(row[1], row[4]))
    tamper(given.store.path, f"UPDATE candles SET {column} = {CHANGES[column]} WHERE open_time = {time}")
    assert stored(given.store.path, "tBTCUSD", "1h") != held
    planned = plan(given.settings, given.store)
    result, found = verify(given)
    assert result.exit == 3
    (doubt,) = found.doubts
    assert (doubt.start, doubt.end, doubt.intervals) == (APRIL, MAY, 720)
    assert "another program changed candles" in doubt.reason
    assert planned.doubts == found.doubts
    assert {*kept(given)} == {MAY}
    assert coverage.clipped(given.store.connection, 1, Range(APRIL, MAY)) == []
    detect_gaps(given)
    for _ in range(3):
        repair(given)
        clock.advance(61_000)
    assert stored(given.store.path, "tBTCUSD", "1h") == held
    again, found = verify(given)
    assert (again.exit, found.doubts, kept(given)) == (0, (), before)


def test_what_a_job_changes_drops_the_digest_and_is_no_damage(given: Context) -> None:
    delete(given, MAY + 50 * HOUR)
    assert {*kept(given)} == {APRIL, MAY}  # by no job
    detect_gaps(given)
    assert repair(given).exit == 0
    assert {*kept(given)} == {APRIL}
    result, found = verify(given)
    assert (result.exit, found.doubts, {*kept(given)}) == (0, (), {APRIL, MAY})


def test_a_month_that_misses_a_candle_has_no_digest(given: Context) -> None:
    delete(given, MAY + 50 * HOUR)
    verify(given)
    with given.store.read() as connection:
        series = table.find(connection, BITFINEX, "tBTCUSD", given.settings.timeframes[0])
        assert series is not None
        assert list(digests.final_months(connection, series)) == [APRIL]


def test_cleanup_forgets_the_digests_of_months_of_which_it_removes_something(given: Context) -> None:
    assert cleanup(with_settings(given, retention_days=40))[0].exit == 0
    assert {*kept(given)} == {MAY}


def test_no_digest_is_kept_that_was_computed_while_a_job_wrote_to_the_month(given: Context) -> None:
    with given.store.write() as connection:
        digests.drop(connection, 1, Range(APRIL, APRIL + 1))
        digests.announce(connection, 1, [APRIL], 0)
    series = table.find(given.store.connection, BITFINEX, "tBTCUSD", given.settings.timeframes[0])
    assert series is not None
    computed = digests.compute(given.store.connection, series, APRIL)
    with given.store.write() as connection:
        digests.drop(connection, 1, Range(MAY - HOUR, MAY + HOUR))  # as a job does that writes there
        digests.keep(connection, 1, [computed])
    assert kept(given) == {}


def test_a_digest_that_nobody_dropped_meanwhile_is_kept(given: Context) -> None:
    before = kept(given)
    with given.store.write() as connection:
        digests.drop(connection, 1, Range(APRIL, MAY))
        digests.announce(connection, 1, [APRIL, MAY], 0)
    assert kept(given)[APRIL].digest is None
    assert kept(given)[MAY] == before[MAY]
    series = table.find(given.store.connection, BITFINEX, "tBTCUSD", given.settings.timeframes[0])
    assert series is not None
    computed = [digests.compute(given.store.connection, series, month) for month in (APRIL, MAY)]
    with given.store.write() as connection:
        digests.keep(connection, 1, [computed[0], computed[1]._replace(digest=b"other")])
    assert kept(given) == before


# --- what pages do to digests ---------------------------------------------------------------------------------------


@pytest.fixture
def one(tmp_path: Path) -> Judge:
    return Judge(tmp_path / "a.db").holds(*range(100), until=100)


def month() -> int:
    return month_start(month_index(minute(0)))


def announced(judge: Judge) -> bool:
    return month() in digests.of(judge.store.connection, 1)


@pytest.fixture
def watched(one: Judge) -> Judge:
    with one.store.write() as connection:
        digests.announce(connection, 1, [month()], 0)
    return one


def test_an_answer_that_confirms_a_month_leaves_its_digest(watched: Judge) -> None:
    watched.hears(answer(span(0, 100), at(*range(100)), now=200))
    assert announced(watched)


@pytest.mark.parametrize(
    "rows",
    [[*at(*range(40, 60)), candle(60, 2.0)], at(*(n for n in range(40, 61) if n != 50))],
    ids=["changed", "gone"],
)
def test_a_second_answer_that_changes_a_final_row_drops_the_digest_and_a_first_one_does_not(
    watched: Judge, rows: list[tuple[int, float, float, float, float, float]]
) -> None:
    rows = [*rows, *at(61)]
    watched.hears(answer(span(40, 62), rows, now=200))
    assert announced(watched)
    watched.hears(answer(span(40, 62), rows, newest_first=True, now=200))
    assert len(watched.revisions) == 1
    assert not announced(watched)


def test_a_late_candle_drops_the_digest(tmp_path: Path) -> None:
    late = Judge(tmp_path / "b.db").holds(*range(0, 100, 2), until=100)
    with late.store.write() as connection:
        digests.announce(connection, 1, [month()], 0)
    late.hears(answer(span(40, 61), [*at(40), *at(41), *at(*range(42, 61, 2))], now=200))
    assert not announced(late)
