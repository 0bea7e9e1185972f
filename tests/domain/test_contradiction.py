"""Contradictions in detail: which doubts an answer ends, and how it tells whether a hole is remarkable."""

from pathlib import Path

import pytest
from answers import DENSE, LATER, LONG, Judge, answer, at, candle, minute, refused, span
from made_up import VENUE, adapter_of

from mdata.domain.candle import Candle
from mdata.domain.query import Page, RefusedRow
from mdata.exchange import registry


def without(start: int, end: int, *gone: int, now: int = LATER) -> Page:
    """Return an answer of dense minutes that lacks some."""
    return answer(span(start, end), at(*(number for number in range(start, end) if number not in gone)), now=now)


def test_an_answer_ends_no_doubt_about_candles_that_it_is_not_about(one: Judge) -> None:
    one.holds(*DENSE, until=100)
    one.hears(without(40, 60, 45))
    one.hears(answer(span(20, 30), [*at(*range(20, 25)), candle(25, 2.0), *at(*range(26, 30))], now=LATER))
    for now in (0, 1):  # two answers agree about another candle
        one.hears(without(70, 90, 80, now=LATER + now))
    assert one.revisions == [("withdrawn", 80, 1.0)]
    assert (one.doubted("absent"), one.doubted("changed")) == ([span(45, 46)], [span(25, 26)])


def test_of_two_absent_candles_only_the_one_that_two_answers_lack_is_withdrawn(one: Judge) -> None:
    one.holds(*DENSE, until=100)
    one.hears(without(40, 60, 50))
    one.hears(without(40, 60, 50, 51, now=LATER + 1))
    assert one.revisions == [("withdrawn", 50, 1.0)]
    assert one.doubted("absent") == [span(51, 52)]
    one.hears(without(40, 60, 50, 51, now=LATER + 2))
    assert one.revisions == [("withdrawn", 50, 1.0), ("withdrawn", 51, 1.0)]


# --- whether a hole is remarkable: an hour is, if more than a fifth of the intervals around it have candles ---------

# Two stretches of ten candles, with the hole of an hour between them.
BESIDE = (*range(60, 70), *range(130, 140))
WHOLE = range(60, 140)


def agree(one: Judge, rows: list[Candle], end: int, *rejected: RefusedRow) -> None:
    """Let two independent answers about everything tell the same."""
    for now in (0, 1):
        one.hears(answer(span(0, end), rows, refused=rejected, now=LATER + now))


def test_the_silence_up_to_the_first_and_the_last_row_of_an_answer_tells_how_busy_the_market_is(one: Judge) -> None:
    """Of 141 intervals 22 have candles, and an hour without any is not special; without either end, 21 of 81 have."""
    one.holds(0, *WHOLE, 200, until=201)
    agree(one, at(0, *BESIDE, 200), 201)
    assert one.unobtainable == []
    assert one.minutes == [0, *BESIDE, 200]


def test_what_lies_between_a_row_and_a_refused_one_does_not_tell_how_busy_the_market_is(one: Judge) -> None:
    one.holds(*WHOLE, until=140)
    agree(one, at(*BESIDE), 201, refused(0, 1, minute(0)), refused(200, 201, minute(200)))
    assert one.unobtainable == [span(70, 70 + LONG)]
    assert one.minutes == [*WHOLE]


def test_rows_of_silence_before_and_after_the_candles_tell_how_busy_the_market_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.ADAPTERS, VENUE.name, adapter_of(VENUE))
    one = Judge(tmp_path / "b.db", venue=VENUE)
    for now, held in enumerate((WHOLE, BESIDE, BESIDE)):
        silent = {*range(201)}.difference(held)
        one.hears(answer(span(0, 201), at(*held), venue=VENUE, silent=silent, now=LATER + now))
    assert one.unobtainable == []
    assert one.minutes == [*BESIDE]
    one.store.close()


def test_an_answer_with_500_intervals_beside_the_hole_tells_alone_how_busy_the_market_is(one: Judge) -> None:
    """A third of its intervals have candles; with the 500 silent ones before it, it would be a sixth."""
    third = range(501, 1101, 3)
    one.holds(0, *third, until=third[-1] + 1)
    rows = at(*(number for number in third if not 750 <= number < 750 + LONG))
    for now in (0, 1):
        one.hears(answer(span(501, third[-1] + 1), rows, now=LATER * 2 + now))
    assert len(one.unobtainable) == 1
    assert one.revisions == []
