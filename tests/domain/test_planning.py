"""What is asked next: backward, the first candle, second answers, what a stream catches up with."""

from typing import Any

import pytest
from answers import minute, span
from planned import NOW, asc, doubt, ledger

from mdata.domain.estimate import Estimate, estimate
from mdata.domain.ledger import Ledger, backlog, doubted_outside
from mdata.domain.planning import (
    Wish,
    around_gap,
    asks_beyond_forward,
    asks_first,
    backward,
    behind,
    catch_up,
    contradicted,
    first_page,
    second_answer,
    whole_first_page,
)
from mdata.domain.timeframe import DAY, MINUTE, TIMEFRAMES

# --- backward -------------------------------------------------------------------------------------------------------


def test_what_is_wanted_before_the_hull_is_asked_from_its_newest_end_without_a_start() -> None:
    assert backward(ledger()) == Wish(span(0, 100), newest_first=True, is_open=True)
    assert backward(ledger(doubt(90, 100, "unwitnessed"))) == Wish(
        span(0, 100), newest_first=True, is_open=True, witnesses=500
    )


@pytest.mark.parametrize(
    "given",
    [
        ledger(hull=None, to=None), ledger(wanted_start=minute(100)), ledger(cleaned_to=minute(100)),
        ledger(first_candle=minute(100), first_asked_at=minute(NOW)),
        ledger(unobtainable=(span(0, 100),)), ledger(unobtainable=(span(50, 100),)),
    ],
    ids=["nothing covered", "nothing wanted", "cleaned", "begins there", "not served", "not served beside it"],
)  # fmt: skip
def test_nothing_is_asked_before_the_hull_where_nothing_can_be_had(given: Ledger) -> None:
    assert backward(given) is None
    assert not asks_first(given)


def test_what_lies_between_unobtainable_history_and_the_hull_is_asked() -> None:
    for gone in (span(0, 50), span(20, 50)):
        assert backward(ledger(unobtainable=(gone,))) == Wish(span(0, 100), newest_first=True, is_open=True)


def test_where_history_seems_to_begin_the_first_candle_is_asked_for_before_anything_else() -> None:
    silence = doubt(0, 100, form=f"desc {minute(100)}")
    assert backward(ledger(silence)) is None
    assert asks_first(ledger(silence))
    assert not asks_first(ledger())
    assert not asks_first(ledger(doubt(0, 90)))  # of what does not border on the hull an answer told before


@pytest.mark.parametrize("more", [{"wanted_start": minute(100)}, {"unobtainable": (span(0, 100),)}])
def test_the_first_candle_is_not_asked_for_if_nothing_older_can_be_had(more: dict[str, Any]) -> None:
    assert not asks_first(ledger(doubt(50, 100), **more))


def test_an_older_first_candle_than_the_hull_has_the_silence_asked_about_once_more() -> None:
    silence, older = doubt(0, 100), doubt(50, 51, "first")
    assert backward(ledger(silence, older)) == Wish(span(0, 100), newest_first=True, is_open=True)
    assert not asks_first(ledger(silence, older))
    assert backward(ledger(silence._replace(answers=3), older)) is None


def test_a_first_candle_that_is_not_older_than_the_hull_is_asked_for_again() -> None:
    silence = doubt(0, 100)
    for start in (100, 200):
        assert backward(ledger(silence, doubt(start, start + 1, "first"))) is None
        assert asks_first(ledger(silence, doubt(start, start + 1, "first")))
    assert not asks_first(ledger(silence, doubt(200, 201, "first", answers=3)))


def test_a_known_first_candle_is_asked_for_again_every_month_and_when_it_has_settled() -> None:
    now = minute(NOW)
    for asked_at, asks in ((now - 30 * DAY, True), (now - 30 * DAY + 1, False), (now, False)):
        assert asks_first(ledger(first_candle=minute(-50_000), first_asked_at=asked_at)) is asks
    # A first candle of 990 has settled at 994.
    for asked_at, asks in ((minute(993), True), (minute(994), False), (minute(995), False)):
        assert asks_first(ledger(first_candle=minute(990), first_asked_at=asked_at)) is asks
    assert not asks_first(ledger(first_candle=minute(990), first_asked_at=minute(992), now=993))
    assert asks_first(ledger(first_candle=minute(990), first_asked_at=minute(992), now=994))


def test_of_a_series_without_a_candle_the_first_one_is_asked_for_when_an_answer_has_been_empty() -> None:
    given: dict[str, Any] = {"hull": None, "to": None, "last": None}
    assert not asks_first(ledger(**given))
    assert asks_first(ledger(doubt(0, 1000), **given))
    assert asks_first(ledger(doubt(0, 1000), doubt(7, 8, "first"), **given))
    assert not asks_first(ledger(doubt(0, 1000), doubt(7, 8, "first", answers=3), **given))


# --- second answers -------------------------------------------------------------------------------------------------


def test_the_first_page_of_a_series_is_reached_over_until_an_answer_has_some_of_its_rows() -> None:
    assert second_answer(ledger()) is None
    first = doubt(100, 1000, "unconfirmed")
    assert second_answer(ledger(first)) == Wish(span(997, 1001), newest_first=False)
    assert second_answer(ledger(first, to=None)) == Wish(span(0, 1001), newest_first=False)
    assert second_answer(ledger(first, last=None)) is None


def test_a_first_page_of_which_no_row_came_back_is_asked_again_as_a_whole_from_the_other_end() -> None:
    first = doubt(100, 1000, "unconfirmed", form=f"desc {minute(1001)}")
    failed = doubt(990, 1000, "unwitnessed", form=asc(990))
    assert whole_first_page(ledger(first)) is None
    assert whole_first_page(ledger(failed)) is None
    assert whole_first_page(ledger(first, failed)) == Wish(span(100, 1000), newest_first=True, witnesses=0)
    other = failed._replace(form="desc 5")
    assert whole_first_page(ledger(first, other)) == Wish(span(100, 1000), newest_first=False, witnesses=0)
    assert whole_first_page(ledger(first, failed._replace(answers=3))) is None


def test_what_answers_contradict_is_asked_about_while_it_is_due() -> None:
    assert contradicted(ledger(doubt(900, 1000), doubt(5, 6, "first"))) == ([], False)
    absent, changed = doubt(100, 110, "absent"), doubt(110, 120, "changed")
    assert contradicted(ledger(absent, changed)) == ([span(100, 120)], True)
    assert contradicted(ledger(absent, changed._replace(answers=3))) == ([span(100, 110)], True)
    newest_first = changed._replace(form="desc 9")
    assert contradicted(ledger(absent, newest_first)) == ([span(100, 120)], False)
    assert contradicted(ledger(absent._replace(form="desc 9"), changed)) == ([span(100, 120)], True)


# --- a stream's catch-up, and gaps ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "asks"),
    [
        (ledger(wanted_start=minute(100)), False),
        (ledger(), True),  # what is wanted before the hull
        (ledger(doubt(0, 100)), True),  # the first candle
        (ledger(doubt(900, 1000, "unconfirmed"), wanted_start=minute(100)), True),  # a second answer
        (ledger(doubt(900, 910, "absent"), wanted_start=minute(100)), True),  # a contradiction
        (ledger(doubt(900, 910, "absent", "desc 9"), wanted_start=minute(100)), True),
        (ledger(doubt(900, 1000), wanted_start=minute(100), now=NOW + 5), False),  # a matter of the forward pass
    ],
)
def test_what_the_forward_pass_does_not_ask_for(given: Ledger, asks: bool) -> None:
    assert asks_beyond_forward(given) is asks


def test_a_stream_catches_up_with_what_is_unknown_back_to_the_frontier() -> None:
    given = ledger(to=900, now=NOW)
    assert behind(given, [span(920, 930)], minute(990), DAY) == [span(900, 920), span(930, 990)]
    assert catch_up(given, [span(920, 930)], minute(990), DAY) == Wish(span(900, 990), newest_first=False)
    assert catch_up(given, [span(900, 990)], minute(990), DAY) is None
    assert behind(given, [], minute(900), DAY) == []


def test_a_stream_leaves_the_rest_to_other_jobs() -> None:
    assert behind(ledger(to=900, wanted_start=minute(950)), [], minute(990), DAY) == [span(950, 990)]
    assert behind(ledger(to=None), [], minute(990), 60 * MINUTE) == [span(940, 990)]
    assert behind(ledger(to=900, unobtainable=(span(910, 980),)), [], minute(990), DAY) == [
        span(900, 910), span(980, 990)
    ]  # fmt: skip


def test_what_a_stream_was_told_to_be_silent_it_asks_about_from_the_other_end() -> None:
    for form, newest_first in ((asc(890), True), ("desc 7", False)):
        given = ledger(doubt(950, 990, form=form), to=900)
        assert catch_up(given, [], minute(990), DAY) == Wish(span(900, 990), newest_first=newest_first)
    assert catch_up(ledger(doubt(990, 1000), to=900), [], minute(990), DAY) == Wish(
        span(900, 990), newest_first=False
    )


@pytest.mark.parametrize(
    ("has_older", "has_newer", "tries", "newest_first"),
    [
        (True, False, 0, False), (True, False, 1, True), (True, False, 2, False), (False, True, 0, True),
        (False, True, 1, False), (True, True, 0, True), (True, True, 1, False), (False, False, 0, True),
    ],
)  # fmt: skip
def test_a_gap_is_asked_about_from_where_candles_are_stored_and_every_other_time_from_the_other_end(
    has_older: bool, has_newer: bool, tries: int, newest_first: bool
) -> None:
    wish = around_gap(ledger(), span(5, 9), has_older=has_older, has_newer=has_newer, tries=tries)
    assert wish == Wish(span(5, 9), newest_first=newest_first)


# --- how much there is to do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "intervals"),
    [
        (ledger(), 100), (ledger(hull=(0, 1000)), 0), (ledger(hull=None), 997), (ledger(hull=(100, 900)), 197),
        (ledger(unobtainable=(span(50, 70),)), 80), (ledger(cleaned_to=minute(90)), 10),
        (ledger(wanted_start=minute(2000)), 0), (ledger(first_candle=minute(40)), 60),
    ],
)  # fmt: skip
def test_the_backlog_is_what_is_wanted_outside_the_hull_and_may_be_had(given: Ledger, intervals: int) -> None:
    assert backlog(given) == intervals


def test_of_the_backlog_some_was_called_silent_once() -> None:
    assert doubted_outside(ledger()) == 0
    assert doubted_outside(ledger(doubt(0, 100))) == 100
    assert doubted_outside(ledger(doubt(0, 50, "unwitnessed"), doubt(40, 120))) == 60
    assert doubted_outside(ledger(doubt(900, 1100), hull=(100, 900))) == 97
    assert doubted_outside(ledger(doubt(5, 10), hull=None)) == 5


@pytest.mark.parametrize(
    ("intervals", "is_new", "requests"),
    [(0, False, 0), (1, False, 1), (10_000, False, 1), (10_001, False, 2), (10_001, True, 3)],
)
def test_an_estimate_counts_pages(intervals: int, is_new: bool, requests: int) -> None:
    assert estimate(intervals, 2.0, 10_000, is_new=is_new) == Estimate(requests, requests * 2.0, intervals * 65)


def test_estimates_add_up() -> None:
    assert Estimate(1, 2.0, 3) + Estimate(10, 20.0, 30) == Estimate(11, 22.0, 33)


def test_weeks_and_months_have_a_first_page_that_ends_with_the_forming_one() -> None:
    for name in ("1W", "1M"):
        grid, now = TIMEFRAMES[name], minute(NOW)
        wish = first_page(grid, grid.floor(now - 90 * DAY), now)
        assert wish.part.end == grid.next(now)
