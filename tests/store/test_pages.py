"""How an answer changes the store: what is told of it, what the stream may write, and what is kept of old values."""

from collections.abc import Callable
from pathlib import Path

import pytest
from answers import DENSE, LATER, M1, Judge, answer, at, candle, minute, refused, span

from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.domain.timeframe import month_index, month_start
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import digests
from mdata.store import series as table
from mdata.store.pages import Applied


def series_of(one: Judge) -> Series:
    found = table.find(one.store.connection, BITFINEX, "tBTCUSD", M1)
    assert found is not None
    return found


# --- what is told of an answer --------------------------------------------------------------------------------------


def test_of_an_answer_that_proves_nothing_only_the_refused_rows_are_told(one: Judge) -> None:
    one.holds(*DENSE, until=100)
    applied = one.hears(answer(span(97, 110), [], refused=(refused(105, 106),)))
    assert applied == Applied(
        written=0, changed=0, refused=1, repaired=0, empty=0, counts=False, is_news=False, rows=()
    )


def test_of_what_the_stream_has_shown_the_new_and_the_different_rows_are_told(one: Judge) -> None:
    rows = at(0, 1, 2)
    applied = one.sees(span(0, 4), rows)
    assert applied == Applied(
        written=3, changed=0, refused=0, repaired=0, empty=0, counts=True, is_news=False, rows=tuple(rows)
    )
    news = candle(1, 2.0, 5.0)
    assert one.sees(span(0, 4), [rows[0], news, rows[2]]).rows == (news,)


def test_candles_that_have_changed_and_candles_that_are_gone_are_counted_together(one: Judge) -> None:
    one.holds(*DENSE, until=100)
    rows = [candle(number, 2.0 if number in {45, 46} else 1.0) for number in range(40, 60) if number != 50]
    one.hears(answer(span(40, 60), rows, now=LATER))
    assert one.hears(answer(span(40, 60), rows, now=LATER + 1)).changed == 3


def nothing(one: Judge) -> None:
    """Leave everything as it is."""


def deleted(one: Judge) -> None:
    one.lose(50)


def doubted(one: Judge) -> None:
    one.hears(answer(span(40, 60), [row for row in at(*range(40, 60)) if row != candle(50)]))


def silent(one: Judge) -> None:
    one.hears(answer(span(97, 120), at(97, 98, 99)))


@pytest.mark.parametrize(
    ("before", "asked", "minutes", "is_news"),
    [
        (nothing, span(40, 60), range(40, 60), False),
        (deleted, span(40, 60), range(40, 60), True),
        (doubted, span(40, 60), range(40, 60), True),
        (nothing, span(97, 120), range(97, 100), True),
        (silent, span(97, 120), range(97, 100), True),
    ],
    ids=["nothing", "a lost candle is back", "a doubt is over", "a silence is told", "a silence is believed"],
)
def test_news_is_whatever_was_not_known_before(
    one: Judge, before: Callable[[Judge], None], asked: Range, minutes: range, is_news: bool
) -> None:
    one.holds(*DENSE, until=100)
    before(one)
    assert one.hears(answer(asked, at(*minutes), newest_first=True)).is_news is is_news


# --- the witness that a series keeps --------------------------------------------------------------------------------


def test_the_candle_that_is_kept_though_nothing_is_wanted_has_closed(tmp_path: Path) -> None:
    one = Judge(tmp_path / "b.db", wanted=500)
    one.hears(answer(span(500, 510), at(300, 400, 505), newest_first=True, is_open=True, now=505))
    assert one.minutes == [400]
    one.store.close()


def test_where_a_candle_is_stored_the_newest_row_is_kept_only_if_it_is_believed(one: Judge) -> None:
    one.holds(*DENSE, until=100)
    one.hears(answer(span(97, 100), [*at(97, 98), candle(99, 2.0)], now=LATER))
    assert one.stored == at(*DENSE)


# --- the stream -----------------------------------------------------------------------------------------------------


def test_the_stream_brings_nothing_back_that_was_cleaned_away(one: Judge) -> None:
    with one.store.write() as connection:
        table.clean_to(connection, 1, minute(50))
    one.sees(span(40, 60), at(*range(40, 60)))
    assert (one.minutes, one.provisional) == ([*range(50, 60)], [span(50, 60)])
    one.sees(span(30, 50), at(*range(30, 50)))
    assert (one.minutes, one.provisional) == ([*range(50, 60)], [span(50, 60)])


def test_where_the_stream_fills_holes_before_the_frontier_it_moves_back_to_the_first_of_them(one: Judge) -> None:
    rows = at(*(number for number in DENSE if number not in {20, 40}))
    one.hears(answer(span(0, 100), rows, refused=(refused(20, 21), refused(40, 41))))
    with one.store.write() as connection:
        table.move_frontier(connection, 1, minute(100), minute(100))
    one.sees(span(30, 35), at(*range(30, 35)))  # is final
    assert series_of(one).frontier == minute(100)
    one.sees(span(0, 100), at(*DENSE))
    assert one.provisional == [span(20, 21), span(40, 41)]
    assert series_of(one).frontier == minute(20)


@pytest.mark.parametrize(("volume", "is_stored"), [(0.5, False), (1.0, True), (1.5, True)])
def test_an_earlier_state_of_a_candle_does_not_replace_a_later_one(
    one: Judge, volume: float, is_stored: bool
) -> None:
    one.sees(span(0, 3), at(0, 1, 2))
    told = candle(1, 2.0, volume)
    assert one.sees(span(0, 3), [candle(0), told, candle(2)]).rows == ((told,) if is_stored else ())
    assert one.stored == [candle(0), told if is_stored else candle(1), candle(2)]


def test_what_another_program_stored_where_nothing_is_known_goes_unless_an_answer_has_it(one: Judge) -> None:
    one.store.connection.executemany("INSERT INTO candles VALUES (1, ?, ?, ?, ?, ?, ?)", at(1, 2, 3))
    applied = one.sees(span(0, 3), at(0, 1))
    assert (one.minutes, applied.rows) == ([0, 1, 3], (candle(0),))


# --- the digest of a month ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "before", "is_kept"),
    [
        ([0, 2, 4, 6, 8], 0, True), ([0, 2, 3, 4, 6, 8], 0, False), ([0, 2, 3, 4, 6, 8], 1, True),
        ([0, 2, 6, 8], 0, True), ([0, 2, 6, 8], 1, False), ([0, 2, 6, 8], 2, True),
    ],
)  # fmt: skip
def test_an_answer_that_adds_or_removes_a_final_candle_drops_the_digest_of_the_month(
    one: Judge, told: list[int], before: int, is_kept: bool
) -> None:
    """A candle is added at once, and removed by the second answer that lacks it."""
    one.holds(0, 2, 4, 6, 8, until=10)
    for now in range(before):
        one.hears(answer(span(0, 10), at(*told), now=LATER + now))
    month = month_start(month_index(minute(0)))
    with one.store.write() as connection:
        digests.announce(connection, 1, [month], minute(LATER))
    one.hears(answer(span(0, 10), at(*told), now=LATER + before))
    assert [*digests.of(one.store.connection, 1)] == ([month] if is_kept else [])


def test_of_a_wrong_first_page_nothing_is_left_where_the_answer_that_replaces_it_proves_nothing(one: Judge) -> None:
    one.hears(answer(span(0, 100), at(*range(0, 100, 10), price=9.0), now=LATER))
    one.lose(80)
    with one.store.write() as connection:
        digests.announce(connection, 1, [month_start(month_index(minute(0)))], minute(LATER))
    rows = at(*range(45, 75))
    one.hears(answer(span(40, 80), rows, now=LATER))
    one.hears(answer(span(0, 100), rows, newest_first=True, now=LATER))
    assert (one.stored, one.final, one.lost) == (rows, [span(45, 75)], [])
    assert digests.of(one.store.connection, 1) == {}


# --- what is kept of old values -------------------------------------------------------------------------------------


def test_all_values_of_a_candle_that_has_changed_or_is_gone_are_kept(one: Judge) -> None:
    held: list[Candle] = [(minute(number), 2.0, 4.0, 1.0, 3.0, 5.0) for number in range(10)]
    one.hears(answer(span(0, 10), held, now=LATER))
    later = [(*row[:5], 6.0) if row[0] == minute(5) else row for row in held if row[0] != minute(7)]
    for now in (1, 2):
        one.hears(answer(span(0, 10), later, now=LATER + now))
    rows = one.store.connection.execute(
        """SELECT kind, open_time, open, high, low, close, volume, seen_at, source FROM candle_revisions
           ORDER BY open_time"""
    ).fetchall()
    assert rows == [
        ("changed", *held[5], minute(LATER + 2), "test"),
        ("withdrawn", *held[7], minute(LATER + 2), "test"),
    ]
