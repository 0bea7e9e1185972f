"""The verdict on an answer in detail: its newest row, what is served again, what a wrong first page leaves behind."""

from pathlib import Path

import pytest
from answers import LATER, Judge, answer, at, candle, minute, refused, span

from mdata.domain.candle import Candle
from mdata.domain.interval import Range

# --- the newest row of an answer that reaches up to now -------------------------------------------------------------


def test_the_newest_row_of_an_answer_up_to_now_is_provisional_until_one_like_it_comes_again(one: Judge) -> None:
    one.holds(*range(10), until=10)
    one.hears(answer(span(7, 20), at(*range(7, 14)), now=20))  # has settled up to 17
    assert (one.final, one.provisional) == ([span(0, 13)], [span(13, 20)])
    one.hears(answer(span(11, 20), at(*range(11, 14)), newest_first=True, now=20))
    assert (one.final, one.provisional) == ([span(0, 17)], [span(17, 20)])


def test_a_newest_row_that_comes_again_with_other_values_stays_provisional(one: Judge) -> None:
    one.holds(*range(10), until=10)
    one.hears(answer(span(7, 20), at(*range(7, 14)), now=20))
    again = [*at(11, 12), candle(13, 2.0)]
    one.hears(answer(span(11, 20), again, newest_first=True, now=20))
    assert (one.final, one.provisional) == ([span(0, 13), span(14, 17)], [span(13, 14), span(17, 20)])
    assert one.stored[13] == candle(13, 2.0)
    one.hears(answer(span(11, 20), again, now=20))
    assert one.final == [span(0, 17)]


def test_a_newest_row_that_is_final_stays_final(one: Judge) -> None:
    one.holds(*range(14), until=14)
    one.hears(answer(span(7, 20), [*at(*range(7, 13)), candle(13, 2.0)], now=20))
    assert (one.final, one.stored[13]) == ([span(0, 14)], candle(13))
    assert one.doubted("changed") == [span(13, 14)]


def test_a_newest_row_is_final_if_a_newer_candle_is_known(one: Judge) -> None:
    one.holds(*range(10), until=10)
    one.sees(span(15, 16), at(15))
    one.hears(answer(span(7, 20), at(*range(7, 14)), now=20))
    assert one.final == [span(0, 14)]


@pytest.mark.parametrize(("end", "final"), [(17, [span(0, 14)]), (18, [span(0, 13)])])
def test_an_answer_about_what_has_settled_does_not_reach_up_to_now(one: Judge, end: int, final: list[Range]) -> None:
    one.holds(*range(10), until=10)
    one.hears(answer(span(7, end), at(*range(7, 14)), now=20))
    assert one.final == final


def test_a_newest_row_that_has_only_just_settled_is_provisional_too(one: Judge) -> None:
    one.holds(*range(10), until=10)
    one.hears(answer(span(7, 20), at(*range(7, 14)), now=17))  # has settled up to 14
    assert (one.final, one.provisional) == ([span(0, 13)], [span(13, 17)])


def test_a_newest_row_that_is_the_only_candle_known_is_confirmed_by_it(one: Judge) -> None:
    one.sees(span(13, 14), at(13))
    one.hears(answer(span(10, 20), at(13), now=20))
    assert one.final == [span(13, 14)]


def test_a_row_that_a_refused_one_follows_is_not_the_newest(one: Judge) -> None:
    one.holds(*range(10), until=10)
    one.hears(answer(span(7, 20), at(*range(7, 13)), refused=(refused(13, 14, minute(13)),), now=20))
    assert (one.final, one.provisional) == ([span(0, 13)], [span(14, 20)])


def test_a_newest_row_where_silence_was_believed_is_stored_at_once(one: Judge) -> None:
    one.holds(*range(13), until=14)
    one.hears(answer(span(7, 20), at(*range(7, 14)), now=20))
    assert (one.minutes, one.final) == ([*range(14)], [span(0, 14)])


@pytest.mark.parametrize(("wanted", "provisional"), [(13, span(13, 20)), (14, span(14, 20))])
def test_a_newest_row_is_covered_if_it_is_wanted(tmp_path: Path, wanted: int, provisional: Range) -> None:
    one = Judge(tmp_path / "b.db", wanted)
    one.hears(answer(span(7, 20), at(*range(7, 14)), now=20))
    assert (one.final, one.provisional) == ([], [provisional])
    one.store.close()


# --- answers that bring no witness, and the first one -------------------------------------------------------------


def test_of_the_rows_that_are_new_in_an_answer_without_a_witness_the_newest_that_has_settled_is_remembered(
    one: Judge,
) -> None:
    one.holds(*range(0, 14, 2), until=14)
    rows = [*at(5, 7, 9), candle(10, 2.0), *at(18)]
    assert not one.hears(answer(span(0, 20), rows, now=21)).counts  # has settled up to 18
    assert [(doubt.range, doubt.candle) for doubt in one.doubts("changed")] == [
        (span(9, 10), candle(9)),
        (span(10, 11), candle(10, 2.0)),
    ]


def test_a_new_row_at_the_beginning_of_what_is_wanted_is_remembered_and_none_before_it(one: Judge) -> None:
    one.holds(*range(5, 20), until=20)
    one.hears(answer(span(-5, 20), at(-1), now=LATER))
    assert one.doubted("changed") == []
    one.hears(answer(span(-5, 20), at(-1, 0), now=LATER))
    assert one.doubted("changed") == [span(0, 1)]


def test_a_first_page_is_unconfirmed_from_its_first_to_its_last_row_whatever_was_refused_between(one: Judge) -> None:
    rows = at(*(number for number in range(20) if number not in {5, 12}))
    one.hears(answer(span(0, 20), rows, refused=(refused(5, 6), refused(12, 13))))
    assert one.final == [span(0, 5), span(6, 12), span(13, 20)]
    assert one.doubted("unconfirmed") == [span(0, 20)]


# --- unobtainable history -------------------------------------------------------------------------------------------


def unobtainable(one: Judge) -> Judge:
    """Let the exchange have stopped serving the minutes from 100 to 160."""
    one.holds(*range(200), until=200)
    for now in (0, 1):
        one.hears(answer(span(0, 200), at(*range(100), *range(160, 200)), now=LATER + now))
    assert one.unobtainable == [span(100, 160)]
    return one


@pytest.mark.parametrize(
    ("rows", "is_served"),
    [(range(90, 100), False), (range(90, 101), True), (range(159, 170), True), (range(160, 170), False)],
)
def test_one_row_shows_that_unobtainable_history_is_served_again(one: Judge, rows: range, is_served: bool) -> None:
    unobtainable(one).hears(answer(span(rows.start, rows.stop), at(*rows), now=LATER + 2))
    assert one.unobtainable == ([] if is_served else [span(100, 160)])


# --- a first page that was wrong ------------------------------------------------------------------------------------


def test_a_wrong_first_page_is_no_reason_to_take_the_answers_that_replace_it_for_truncated(one: Judge) -> None:
    wrong: list[Candle] = at(*range(0, 100, 10), price=9.0)
    one.hears(answer(span(0, 100), wrong, now=LATER))
    one.hears(answer(span(40, 80), at(*range(45, 75)), now=LATER))
    one.hears(answer(span(0, 100), at(*range(45, 75)), newest_first=True, now=LATER))
    assert one.minutes == [*range(45, 75)]
    assert one.doubted("silence") == [span(0, 45), span(75, 100)]
