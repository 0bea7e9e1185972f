"""What is asked next: forward, backward, the first candle, second answers, what a stream catches up with."""

from typing import Any

import pytest
from answers import M1, SETTLE, candle, minute, span

from mdata.domain.doubt import Doubt, DoubtKind
from mdata.domain.estimate import Estimate, estimate
from mdata.domain.interval import Range
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
    forward,
    second_answer,
    whole_first_page,
)
from mdata.domain.query import MORE_WITNESSES, WITNESSES
from mdata.domain.quiet import is_quiet
from mdata.domain.series import Series
from mdata.domain.timeframe import DAY, HOUR, MINUTE, TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX

NOW = 1_000  # minutes since T0, when nothing else is said
SERIES = Series(1, BITFINEX, "tBTCUSD", M1, None, 0, minute(0), None, minute(900), minute(1000), minute(1000))


def doubt(
    start: int, end: int, kind: DoubtKind = "silence", form: str = "asc 0", at: float = NOW, answers: int = 1
) -> Doubt:
    asked_at = int(minute(0) + at * MINUTE)
    told = candle(start) if kind == "first" else None
    return Doubt(span(start, end), kind, form, asked_at, asked_at, answers, told)


def asc(number: int) -> str:
    return f"asc {minute(number)}"


def ledger(
    *doubts: Doubt, hull: tuple[int, int] | None = (100, 1000), to: int | None = 997, last: int | None = 999,
    now: float = NOW, unobtainable: tuple[Range, ...] = (), reaches: int | None = 990, **series: Any,
) -> Ledger:  # fmt: skip
    """Return a ledger of minutes; by default everything from 100 to now is known, and has just been asked."""
    return Ledger(
        SERIES._replace(**series),
        span(*hull) if hull else None,
        None if to is None else minute(to),
        None if reaches is None else minute(reaches),
        None if last is None else minute(last),
        doubts, unobtainable, int(minute(0) + now * MINUTE), SETTLE,
    )  # fmt: skip


# --- forward --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirm", [False, True])
def test_nothing_is_asked_while_no_interval_has_closed(confirm: bool) -> None:
    assert forward(ledger(), confirm=confirm) is None
    assert forward(ledger(now=NOW + 0.99), confirm=confirm) is None


@pytest.mark.parametrize("confirm", [False, True])
def test_when_one_has_closed_everything_from_the_frontier_to_the_forming_interval_is_asked(confirm: bool) -> None:
    assert forward(ledger(now=NOW + 1), confirm=confirm) == Wish(span(997, 1002), newest_first=False)


def test_what_is_not_wanted_is_not_asked_about() -> None:
    given = ledger(to=None, now=NOW + 1, wanted_start=minute(950))
    assert forward(given, confirm=True) == Wish(span(950, 1002), newest_first=False)
    given = ledger(to=940, now=NOW + 1, wanted_start=minute(950))
    assert forward(given, confirm=True) == Wish(span(950, 1002), newest_first=False)
    given = ledger(to=None, now=NOW + 1, wanted_start=minute(2000))
    assert forward(given, confirm=True) is None


def test_with_confirm_what_has_settled_and_is_not_final_is_asked() -> None:
    given = ledger(to=996)  # what closed by 997 has settled at 1000
    assert forward(given, confirm=False) is None
    assert forward(given, confirm=True) == Wish(span(996, 1001), newest_first=False)


def test_a_merely_provisional_silence_is_never_a_reason_to_ask() -> None:
    silence = doubt(950, 1000, form=asc(940))
    assert forward(ledger(silence, to=950, last=949, reaches=940), confirm=True) is None
    partly = doubt(950, 990, form=asc(940))
    assert forward(ledger(partly, to=950, last=949, reaches=940), confirm=True) is not None


def test_the_newest_candle_waits_for_its_confirmation_only_if_a_silence_after_it_was_told() -> None:
    silence = doubt(950, 1000, form=asc(940))
    assert forward(ledger(silence, to=949, last=949, reaches=940), confirm=True) is None
    assert forward(ledger(to=996, last=996), confirm=True) == Wish(span(996, 1001), newest_first=False)


def test_what_is_final_up_to_now_is_not_asked_again() -> None:
    assert forward(ledger(to=1000, asked_to=minute(990)), confirm=True) is None
    assert forward(ledger(to=1000, asked_to=None), confirm=True) is None


def test_only_a_first_page_and_the_backward_pass_name_no_start() -> None:
    unconfirmed = doubt(100, 1000, "unconfirmed")
    given = ledger(unconfirmed, doubt(990, 1000, "unwitnessed"), to=900, now=NOW + 1)
    bounded = [
        forward(given, confirm=True), second_answer(given), whole_first_page(given),
        catch_up(given, [], minute(990), DAY), around_gap(given, span(5, 9), has_older=True, has_newer=True, tries=0),
    ]  # fmt: skip
    assert [wish and wish.is_open for wish in bounded] == [False] * 5
    assert [wish and wish.is_open for wish in (backward(given), first_page(M1, minute(0), minute(9)))] == [True] * 2


def test_a_silence_that_had_not_settled_when_it_was_told_is_asked_about_when_it_has() -> None:
    silence = doubt(950, 1000, form=asc(940), at=990)
    assert forward(ledger(silence, to=950, last=949, reaches=940), confirm=True) is not None
    assert forward(ledger(silence, to=950, last=949, reaches=940), confirm=False) is None


@pytest.mark.parametrize("confirm", [False, True])
def test_a_doubted_silence_is_asked_about_from_the_other_end(confirm: bool) -> None:
    silence = doubt(900, 1000, form=asc(890))
    given = ledger(silence, hull=(100, 900), to=900, last=899, reaches=890)
    assert forward(given, confirm=confirm, revisit=DAY) == Wish(span(900, 1001), newest_first=True)


def test_a_doubted_silence_that_was_told_from_the_other_end_is_asked_about_from_here() -> None:
    silence = doubt(900, 1000, form=f"desc {minute(1001)}")
    given = ledger(silence, hull=(100, 900), to=900, last=899, reaches=890)
    assert forward(given, confirm=True) == Wish(span(900, 1001), newest_first=False)


def test_a_doubt_that_three_answers_left_waits() -> None:
    silence = doubt(900, 1000, form=asc(890), answers=3)
    given = ledger(silence, hull=(100, 900), to=900, last=899, reaches=890)
    assert forward(given, confirm=True) is None
    later = given._replace(now=given.now + HOUR)
    assert forward(later._replace(series=SERIES._replace(asked_to=later.now)), confirm=True) is not None


def test_where_nothing_is_covered_the_silence_from_the_frontier_on_is_asked_about() -> None:
    silence = doubt(0, 1000)
    given = ledger(silence, hull=None, to=None, last=999, reaches=0)
    assert forward(given, confirm=False) is not None
    assert forward(ledger(doubt(5, 1000), hull=None, to=None, last=999, reaches=0), confirm=False) is None


def test_a_pass_begins_a_day_before_the_frontier_unless_a_silence_is_to_be_asked_about() -> None:
    assert forward(ledger(now=NOW + 1), confirm=True, revisit=DAY) == Wish(
        span(997, 1002), newest_first=False, revisit_from=minute(997) - DAY
    )
    silence = doubt(997, 1000, form="asc 0")
    provisional = forward(ledger(silence, now=NOW + 1), confirm=True, revisit=DAY)
    assert provisional == Wish(span(997, 1002), newest_first=False, revisit_from=minute(997) - DAY)
    doubted = forward(ledger(silence, now=NOW + 1, hull=(100, 997)), confirm=True, revisit=DAY)
    assert doubted == Wish(span(997, 1002), newest_first=False)


def test_after_an_answer_without_a_witness_the_next_one_reaches_over_a_page_of_them() -> None:
    wish = forward(ledger(doubt(990, 1000, "unwitnessed"), now=NOW + 1), confirm=True)
    assert wish is not None
    assert (WITNESSES, MORE_WITNESSES, wish.witnesses) == (3, 500, 500)


@pytest.mark.parametrize(("days", "quiet"), [(30, False), (31, True)])
def test_a_pair_without_a_candle_for_30_days_is_quiet(days: int, quiet: bool) -> None:
    newest = minute(0)
    assert is_quiet(M1, newest, newest + MINUTE + days * DAY) is quiet
    assert is_quiet(M1, newest, newest + MINUTE + 30 * DAY) is False


def test_a_quiet_pair_is_asked_once_a_day() -> None:
    answered = (100, 500 + 40 * 1440)
    given = ledger(last=500, hull=answered, now=answered[1])
    for ago, is_asked in ((DAY - 1, False), (DAY, True)):
        series = SERIES._replace(answered_at=given.now - ago)
        assert (forward(given._replace(series=series), confirm=True) is not None) is is_asked


def test_a_pair_is_quiet_only_where_the_exchange_has_answered() -> None:
    given = ledger(last=500, hull=(100, 501), now=500 + 40 * 1440)._replace(series=SERIES._replace(answered_at=2**50))
    assert not given.is_quiet
    assert forward(given, confirm=True) is not None


def test_a_pair_that_is_not_served_any_more_is_asked_once_a_day() -> None:
    gone = (span(200, 300), Range(minute(1000), 2**53))
    given = ledger(unobtainable=gone, now=NOW + 60)
    assert given.is_delisted
    assert given.is_quiet
    assert forward(given, confirm=True) is None
    assert forward(given._replace(now=minute(NOW) + DAY), confirm=True) is not None
    assert not ledger(unobtainable=(span(900, 1000),)).is_delisted


def test_a_series_without_a_candle_is_asked_for_its_newest_page() -> None:
    given = ledger(hull=None, to=None, last=None, reaches=0)
    assert forward(given, confirm=False) == first_page(M1, minute(0), minute(NOW))
    assert first_page(M1, minute(0), minute(NOW)) == Wish(span(0, 1001), newest_first=True, is_open=True)
    assert forward(ledger(hull=None, to=None, last=None, wanted_start=minute(NOW)), confirm=True) is None


@pytest.mark.parametrize(("since", "quiet"), [(DAY - MINUTE, False), (DAY, True)])
def test_a_listed_pair_without_any_candle_is_quiet_after_a_day_of_the_same_answer(since: int, quiet: bool) -> None:
    absent = doubt(0, 1000)._replace(since=minute(NOW) - since)
    given = ledger(absent, hull=None, to=None, last=None, reaches=0)
    assert given.is_quiet is quiet
    assert (forward(given, confirm=True) is None) is quiet
    assert not ledger(hull=None, to=None, last=None).is_quiet


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
