"""What a forward pass asks next: from the frontier to now, from the other end, or not at all."""

import pytest
from answers import M1, minute, span
from planned import NOW, SERIES, asc, doubt, ledger

from mdata.domain.interval import Range
from mdata.domain.planning import (
    Wish,
    around_gap,
    backward,
    catch_up,
    first_page,
    forward,
    second_answer,
    whole_first_page,
)
from mdata.domain.query import MORE_WITNESSES, WITNESSES
from mdata.domain.quiet import is_quiet
from mdata.domain.timeframe import DAY, HOUR, MINUTE


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
