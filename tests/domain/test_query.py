"""Requests as an exchange can answer them, and what an answer says of itself: its span, its rows, its holes."""

import pytest
from answers import M1, T0, answer, at, candle, minute, refused, span
from made_up import VENUE as MADE_UP

from mdata.domain.interval import Range
from mdata.domain.query import Page, Query, fitted, is_same
from mdata.domain.venue import Anchor, Lower
from mdata.exchange.bitfinex.venue import BITFINEX

LIMIT, PAGE_ROWS = 7, 10


def query(start: int, end: int, *, newest_first: bool, is_open: bool = False, anchor: Anchor = "asked") -> Query:
    venue = BITFINEX._replace(anchor=anchor, page_rows=PAGE_ROWS)
    return Query(venue, "tBTCUSD", M1, span(start, end), newest_first, LIMIT, is_open)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(
    ("lower", "is_open", "is_unbounded"),
    [
        ("inclusive", False, False),
        ("exclusive", False, False),
        ("containing", False, True),
        ("inclusive", True, True),
    ],
)
def test_rows_before_the_range_may_come_only_if_the_start_is_not_named_or_may_be_inside_of_an_interval(
    lower: Lower, is_open: bool, is_unbounded: bool, newest_first: bool
) -> None:
    asked = query(5, 9, newest_first=newest_first, is_open=is_open)
    asked = asked._replace(venue=asked.venue._replace(lower=lower))
    assert Query(*asked[:-1]).is_open is False, "a request names its start unless it is said that it does not"
    assert asked.within == (Range(0, minute(9)) if is_unbounded else span(5, 9))


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize(
    ("anchor", "newest_first"), [("asked", True), ("asked", False), ("newest", True), ("oldest", False)]
)
def test_a_request_whose_answer_keeps_the_end_that_is_asked_for_is_sent_as_it_is(
    anchor: Anchor, newest_first: bool, is_open: bool
) -> None:
    asked = query(0, 100, newest_first=newest_first, is_open=is_open, anchor=anchor)
    assert fitted(asked) == asked


@pytest.mark.parametrize(
    ("anchor", "newest_first", "is_open", "sent", "sent_newest_first"),
    [
        # The other end would be kept: what is cut fits on a page, and it does not matter which end is kept.
        ("newest", False, False, span(0, 10), True), ("oldest", True, False, span(90, 100), False),
        ("oldest", True, True, span(90, 100), False),
        # Nothing may be longer than a page.
        ("refuses", False, False, span(0, 10), False), ("refuses", True, False, span(90, 100), True),
        ("refuses", True, True, span(90, 100), True),
    ],
)  # fmt: skip
def test_a_request_whose_answer_would_keep_the_other_end_or_be_refused_is_cut_to_a_page(
    anchor: Anchor, newest_first: bool, is_open: bool, sent: Range, sent_newest_first: bool
) -> None:
    asked = query(0, 100, newest_first=newest_first, is_open=is_open, anchor=anchor)
    expected = asked._replace(range=sent, newest_first=sent_newest_first, limit=PAGE_ROWS, is_open=False)
    assert fitted(asked) == expected


@pytest.mark.parametrize("anchor", ["newest", "oldest", "refuses"])
def test_what_fits_on_a_page_is_not_widened_but_if_its_start_is_open(anchor: Anchor) -> None:
    for newest_first in (True, False):
        assert fitted(query(95, 100, newest_first=newest_first, anchor=anchor)).range == span(95, 100)
    cut = fitted(query(95, 100, newest_first=True, is_open=True, anchor="refuses"))
    assert cut.range == span(90, 100), "the row before the range encloses its older end"


@pytest.mark.parametrize(("rows", "is_full"), [(2, False), (3, True), (4, True)])
def test_an_answer_with_as_many_rows_as_asked_for_is_full(rows: int, is_full: bool) -> None:
    assert answer(span(0, 9), at(*range(rows)), limit=3).is_full is is_full


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (answer(span(0, 99), []), None),
        (answer(span(0, 99), at(5)), span(5, 6)),
        (answer(span(0, 99), at(5, 7, 20)), span(5, 21)),
        # Refused rows count if they have a time, and if that is on the grid.
        (answer(span(0, 99), [], refused=(refused(3, 4, minute(3)),)), span(3, 4)),
        (
            answer(span(0, 99), at(5, 6, 7), refused=(refused(3, 4, minute(3)), refused(9, 10, minute(9)))),
            span(3, 10),
        ),
        (answer(span(0, 99), at(5), refused=(refused(3, 4), refused(9, 10, minute(9) + 1))), span(5, 6)),
        (answer(span(0, 99), [], refused=(refused(3, 4),)), None),
        # Rows of silence do, too.
        (answer(span(0, 99), [], venue=MADE_UP, silent=[4, 7, 11]), span(4, 12)),
        (answer(span(0, 99), at(5, 6, 20), venue=MADE_UP, silent=[7, 8, 9]), span(5, 21)),
        (answer(span(0, 99), at(7, 8, 9), venue=MADE_UP, silent=[2, 10, 12]), span(2, 13)),
    ],
)
def test_an_answer_spans_what_is_between_its_oldest_and_its_newest_row(page: Page, expected: Range | None) -> None:
    assert page.span == expected


def test_an_answer_has_rows_at_the_times_of_its_candles_and_of_its_silence() -> None:
    assert answer(span(0, 99), at(2, 5)).times == [minute(2), minute(5)]
    written = answer(span(0, 99), at(2, 5), venue=MADE_UP, silent=[1, 3, 9])
    assert written.times == [minute(number) for number in (1, 2, 3, 5, 9)]


def test_only_where_silence_is_written_a_missing_row_is_a_hole() -> None:
    assert answer(span(0, 99), at(2, 5, 6)).holes == []
    # Between 2 and 5 only 3 has a row; 0, 1 and what follows 8 are outside of the rows.
    page = answer(span(0, 99), at(2, 5, 6, 8), venue=MADE_UP, silent=[3])
    assert page.holes == [span(4, 5), span(7, 8)]


def test_the_message_about_rejected_rows_quotes_the_first() -> None:
    rows = (refused(3, 4), refused(5, 6), refused(7, 8))
    assert answer(span(0, 99), [], refused=rows[1:2]).refusal == "a row was rejected: no candle: row 5"
    for count in (2, 3):
        told = f"{count} rows were rejected, the first one: no candle: row 3"
        assert answer(span(0, 99), [], refused=rows[:count]).refusal == told


@pytest.mark.parametrize("changed", range(6))
def test_a_candle_is_the_same_only_if_all_of_its_values_are(changed: int) -> None:
    one = (T0, 1.0, 2.0, 0.5, 1.5, 10.0)
    other = tuple(value * 2 if number == changed else value for number, value in enumerate(one))
    assert is_same(one, one)
    assert not is_same(one, other)  # type: ignore[arg-type]


def test_volumes_are_the_same_up_to_a_billionth() -> None:
    one = candle(5, volume=1000.0)
    assert is_same(one, candle(5, volume=1000.0 + 0.9e-6))
    assert not is_same(one, candle(5, volume=1000.0 + 1.1e-6))
    assert not is_same(one, candle(5, price=1.0 + 0.9e-9, volume=1000.0))
