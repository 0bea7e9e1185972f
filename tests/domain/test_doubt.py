"""Doubts: which answers are a second opinion, what a doubt keeps of older ones, and when it may be asked about."""

import pytest
from answers import candle, minute, span
from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.doubt import Doubt, DoubtKind, merged
from mdata.domain.interval import Range
from mdata.domain.query import Query
from mdata.domain.retries import INDEPENDENT_AFTER, MOST_ANSWERS
from mdata.domain.timeframe import HOUR, MINUTE, TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX

ABOUT = span(0, 10)
ASC, DESC = "asc 0", "desc 900"


def doubt(
    about: Range = ABOUT, kind: DoubtKind = "silence", form: str = ASC, at: int = 0, answers: int = 1, since: int = 0
) -> Doubt:
    return Doubt(about, kind, form, since, at, answers)


@pytest.mark.parametrize(
    ("form", "later", "is_independent"),
    [
        (ASC, 0, False), (ASC, MINUTE - 1, False), (ASC, MINUTE, True), (ASC, 30 * MINUTE, True),
        (DESC, 0, True), (DESC, -5, True), ("asc 60000", 0, True), (ASC, -MINUTE, False),
    ],
)  # fmt: skip
def test_independent_is_what_was_asked_in_another_form_or_a_minute_later(
    form: str, later: int, is_independent: bool
) -> None:
    assert INDEPENDENT_AFTER == MINUTE
    assert doubt(at=100 * MINUTE).is_independent_of(form, 100 * MINUTE + later) is is_independent


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ((span(0, 10), False), (span(0, 20), False), True), ((span(0, 10), False), (span(1, 10), False), False),
        ((span(0, 10), True), (span(5, 10), True), True), ((span(0, 10), True), (span(0, 11), True), False),
        ((span(0, 10), False), (span(0, 10), True), False),
    ],
)  # fmt: skip
def test_the_form_of_a_request_is_its_end_and_the_bound_from_which_rows_are_counted(
    one: tuple[Range, bool], other: tuple[Range, bool], is_same: bool
) -> None:
    first, second = (Query(BITFINEX, "tBTCUSD", TIMEFRAMES["1m"], *question, 10_000) for question in (one, other))
    assert (first.form == second.form) is is_same
    assert doubt(form=first.form).was_newest_first is one[1]


def test_a_doubt_about_something_new_is_kept_as_it_is() -> None:
    new = doubt(span(5, 8), at=9, since=9)
    assert merged(new, []) == new
    assert merged(new, [doubt(span(8, 20)), doubt(span(0, 5)), doubt(span(0, 20), "absent")]) == new


def test_a_doubt_keeps_since_when_it_has_been_said_and_how_often() -> None:
    known = [
        doubt(span(0, 5), at=3 * MINUTE, since=1, answers=2),
        doubt(span(5, 9), at=4 * MINUTE, since=2, answers=5),
    ]
    new = doubt(span(4, 6), form=DESC, at=5 * MINUTE, since=5 * MINUTE)
    assert merged(new, known) == new._replace(since=1, answers=6)


def test_an_answer_that_only_repeats_the_last_one_makes_nobody_wait_longer() -> None:
    known = doubt(at=0)
    again = doubt(at=MINUTE - 1, since=MINUTE - 1)
    assert merged(again, [known]) == again._replace(since=0, asked_at=0, answers=2)
    later = doubt(at=MINUTE, since=MINUTE)
    assert merged(later, [known]) == later._replace(since=0, answers=2)


def test_what_a_repeated_answer_adds_was_said_when_it_came() -> None:
    wider = doubt(span(0, 11), at=9, since=9)
    assert merged(wider, [doubt()]).asked_at == 9
    other = doubt(kind="changed", at=9, since=9)._replace(candle=candle(0, 2.0))
    assert merged(other, [other._replace(candle=candle(0, 3.0), asked_at=0)]).asked_at == 9
    assert merged(other, [other._replace(asked_at=0)]).asked_at == 0


@pytest.mark.parametrize(
    ("answers", "waits"),
    [(1, 0), (2, 0), (3, 1 * HOUR), (4, 6 * HOUR), (5, 24 * HOUR), (6, 24 * HOUR), (50, 24 * HOUR)],
)
def test_after_three_answers_a_doubt_waits_as_a_gap_does(answers: int, waits: int) -> None:
    assert MOST_ANSWERS == 3
    one = doubt(at=1000, answers=answers)
    assert one.is_due(1000) is (waits == 0)
    assert one.is_due(1000 + waits)
    assert one.is_due(1000 + waits - 1) is (waits == 0)


def test_a_doubt_that_a_clock_ahead_has_noted_down_does_not_wait_for_that_clock() -> None:
    assert doubt(at=minute(0), answers=9).is_due(minute(0) - 1)


@given(st.integers(1, 40), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_doubt_is_due_within_a_day_of_its_last_answer(answers: int, asked_at: int, later: int) -> None:
    one = doubt(at=asked_at, answers=answers)
    assert one.is_due(asked_at + 24 * HOUR + later)
