"""Silences at an end of an answer in detail: when one that has grown, or is short, is in doubt."""

import pytest
from answers import DENSE, LATER, LONG, Judge, answer, at, candle, span

from mdata.domain.doubt import Doubt
from mdata.store import doubts

WITNESSES = at(97, 98, 99)


@pytest.mark.parametrize(
    ("believed", "new", "is_doubted"),
    [(LONG, LONG, False), (LONG, LONG + 1, True), (LONG - 1, 10, True), (40, 30, True)],
)
def test_only_a_remarkable_silence_may_grow_without_a_doubt_and_only_by_its_length(
    one: Judge, believed: int, new: int, is_doubted: bool
) -> None:
    one.holds(*DENSE, until=100 + believed)
    grown = span(100 + believed, 100 + believed + new)
    one.hears(answer(span(97, 100 + believed + new), WITNESSES))
    assert one.doubted("silence") == [grown]
    assert one.provisional == ([] if is_doubted else [grown])


@pytest.mark.parametrize(("asked", "is_doubted"), [(60, False), (61, True)])
def test_a_short_silence_at_an_end_is_in_doubt_if_more_than_an_hour_was_requested(
    one: Judge, asked: int, is_doubted: bool
) -> None:
    one.holds(*DENSE, until=100)
    one.hears(answer(span(120 - asked, 120), at(*range(120 - asked, 100))))
    assert one.doubted("silence") == [span(100, 120)]
    assert one.provisional == ([] if is_doubted else [span(100, 120)])


def test_an_older_first_candle_says_nothing_about_a_silence_after_the_rows(one: Judge) -> None:
    with one.store.write() as connection:
        doubts.keep(connection, 1, [Doubt(span(2, 3), "first", "asc first", 0, 0, 1, candle(2))])
    for newest_first in (False, True):
        one.hears(
            answer(span(5, 120), at(*range(5, 100)), newest_first=newest_first, is_open=newest_first, now=LATER)
        )
    assert one.final == [span(5, 120)]


# --- of the 500 intervals beside a silence, 103 with a candle make an hour remarkable -------------------------------


@pytest.mark.parametrize(("traded", "is_doubted"), [(102, False), (103, True)])
@pytest.mark.parametrize("is_before", [False, True], ids=["after the rows", "before the rows"])
def test_only_the_500_intervals_next_to_a_silence_tell_how_busy_the_market_is(
    one: Judge, traded: int, is_doubted: bool, is_before: bool
) -> None:
    """There is one more row, 500 intervals away from the nearest."""
    away = [*range(0, 4 * traded, 4), 500]
    rows = at(*(LONG + number for number in away)) if is_before else at(*(500 - number for number in away))
    tail = span(0, LONG) if is_before else span(501, 501 + LONG)
    one.hears(answer(span(0, 501 + LONG), rows))
    assert one.doubted("silence") == [tail]
    assert one.provisional == ([] if is_doubted else [tail])
