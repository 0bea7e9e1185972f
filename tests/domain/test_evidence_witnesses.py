"""What an answer proves: an answer is recognised by stored candles that come back, its witnesses."""

import pytest
from answers import DENSE, LATER, MakeJudge, answer, at, candle, span
from answers import judge as judge  # a fixture  # noqa: PLC0414

from mdata.domain.candle import Candle


def test_a_first_page_counts_and_is_unconfirmed(judge: MakeJudge) -> None:
    one = judge()
    assert one.hears(answer(span(0, 100), at(*DENSE))).counts
    assert (one.minutes, one.final, one.doubted("unconfirmed")) == ([*DENSE], [span(0, 100)], [span(0, 100)])


@pytest.mark.parametrize("back", [[99], [98, 99], [97], [99, 110]])
def test_one_witness_that_comes_back_unchanged_is_enough(judge: MakeJudge, back: list[int]) -> None:
    one = judge().holds(*DENSE, until=100)
    assert one.hears(answer(span(97, 120), at(*back))).counts


@pytest.mark.parametrize(
    "rows", [[], at(100, 101, 102), at(97, 98, 99, price=2.0), [candle(99, volume=1.1), *at(100, 101)]],
    ids=["nothing", "only new ones", "other values", "another volume"],
)  # fmt: skip
def test_without_a_witness_nothing_is_proven_and_nothing_doubted(judge: MakeJudge, rows: list[Candle]) -> None:
    one = judge().holds(*DENSE, until=100)
    before = one.stored
    assert not one.hears(answer(span(97, 200), rows)).counts
    assert (one.stored, one.final, one.provisional) == (before, [span(0, 100)], [])
    assert one.doubted("silence") == one.doubted("absent") == []
    assert one.doubted("unwitnessed") == [span(97, 200)]
    assert one.revisions == []


@pytest.mark.parametrize(
    ("newest_first", "remembered"), [(False, [97, 98, 99, 102]), (True, [95, 96, 97, 102])]
)  # fmt: skip
def test_of_an_answer_without_a_witness_the_rows_about_the_nearest_candles_and_one_that_is_new_are_remembered(
    judge: MakeJudge, newest_first: bool, remembered: list[int]
) -> None:
    one = judge().holds(*DENSE, until=100)
    one.hears(answer(span(95, 103), at(*range(95, 103), price=2.0), newest_first=newest_first))
    told = [doubt.candle for doubt in one.doubts("changed")]
    assert told == at(*remembered, price=2.0)


@pytest.mark.parametrize(
    ("same", "differing", "counts"), [(1, 3, True), (1, 4, False), (3, 4, False), (4, 4, True), (0, 1, False)]
)
def test_where_more_than_a_few_come_back_with_other_values_most_have_to_be_the_same(
    judge: MakeJudge, same: int, differing: int, counts: bool
) -> None:
    one = judge().holds(*range(same + differing), until=same + differing)
    rows = [*at(*range(same)), *at(*range(same, same + differing), price=2.0)]
    assert one.hears(answer(span(0, same + differing), rows)).counts is counts


def test_a_volume_that_differs_in_its_last_digits_is_a_witness_and_no_news(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    applied = one.hears(answer(span(99, 101), [candle(99, volume=1 + 1e-12), candle(100)]))
    assert (applied.counts, applied.written, applied.changed) == (True, 1, 0)
    assert one.stored[99] == candle(99)
    assert one.doubted("changed") == []


def test_of_what_the_stream_has_shown_the_open_time_is_witness_enough(judge: MakeJudge) -> None:
    one = judge()
    one.sees(span(0, 3), at(0, 1, 2))
    assert one.hears(answer(span(0, 5), at(0, 1, 2, 3, 4, price=2.0))).counts
    assert (one.stored, one.final, one.revisions) == (at(0, 1, 2, 3, 4, price=2.0), [span(0, 5)], [])


def test_an_answer_with_a_witness_ends_the_doubt_about_one_without(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    one.hears(answer(span(97, 120), []))
    one.hears(answer(span(97, 120), at(*range(97, 120))))
    assert one.doubted("unwitnessed") == []


@pytest.mark.parametrize(("newest_first", "after", "counts"), [(True, 0, True), (False, 0, False), (False, 1, True)])
def test_without_a_witness_what_two_independent_answers_have_in_common_counts(
    judge: MakeJudge, newest_first: bool, after: int, counts: bool
) -> None:
    one = judge().holds(*range(10), until=10)
    rows = at(*range(12), price=2.0)
    assert not one.hears(answer(span(0, 12), rows, now=LATER)).counts
    second = one.hears(answer(span(0, 12), rows, newest_first=newest_first, now=LATER + after))
    assert second.counts is counts
    if counts:
        # What one answer alone has said of a candle beyond the nearest is believed when a third says so too.
        one.hears(answer(span(0, 12), rows, newest_first=not newest_first, now=LATER + after + 1))
        assert one.stored == rows
        assert one.revisions == [("changed", number, 1.0) for number in range(10)]
        assert one.doubted("unwitnessed") == one.doubted("changed") == []


def test_a_second_answer_with_one_of_its_rows_confirms_a_first_page(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 100), at(*DENSE)))
    one.hears(answer(span(97, 110), at(*range(97, 110))))
    assert one.doubted("unconfirmed") == []
    assert one.final == [span(0, 110)]


def test_a_first_page_that_two_other_answers_contradict_is_distrusted_as_a_whole(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 100), at(*range(0, 100, 10), price=9.0), now=LATER))  # coarser rows
    assert not one.hears(answer(span(80, 110), at(*range(80, 110)), now=LATER)).counts
    assert (one.minutes, one.doubted("unconfirmed")) == ([*range(0, 100, 10)], [span(0, 91)])
    assert one.hears(answer(span(0, 91), at(*range(91)), newest_first=True, now=LATER)).counts
    assert one.stored == at(*range(91))
    assert one.final == [span(0, 91)]
    assert one.doubted("unconfirmed") == one.doubted("unwitnessed") == one.unobtainable == []
    one.hears(answer(span(80, 110), at(*range(80, 110)), now=LATER + 1))
    assert (one.stored, one.doubted("changed")) == (at(*range(110)), [])


def test_what_other_answers_told_of_silences_outlives_a_first_page_that_is_distrusted(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 100), at(*range(0, 100, 10), price=9.0), newest_first=True, now=LATER))
    one.hears(answer(span(300, 400), [], now=LATER))
    one.hears(answer(span(80, 110), at(*range(80, 110)), now=LATER))
    one.hears(answer(span(0, 91), at(*range(91)), newest_first=True, now=LATER))
    assert one.stored == at(*range(91))
    assert one.doubted("silence") == [span(300, 400)]


def test_a_first_page_is_believed_when_the_whole_of_it_comes_again(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 100), at(*DENSE), now=LATER))
    one.hears(answer(span(97, 110), at(*range(97, 110), price=2.0), now=LATER))
    one.hears(answer(span(0, 100), at(*DENSE), newest_first=True, now=LATER))
    assert (one.stored, one.doubted("unconfirmed"), one.doubted("unwitnessed")) == (at(*DENSE), [], [])


def test_coarser_rows_do_not_come_back_as_the_minutes_of_a_stream(judge: MakeJudge) -> None:
    """Every sixtieth minute that the stream has shown is the time of an hour: that is no witness."""
    one = judge(0)
    one.sees(span(1200, 1440), at(*range(1200, 1440)))
    hours = at(*range(0, 1440, 60))
    assert not one.hears(answer(span(0, 1440), hours, newest_first=True, now=LATER + 1000)).counts
    assert one.final == []
    assert one.hears(answer(span(0, 1440), at(*range(1440)), newest_first=True, now=LATER + 1001)).counts
    assert one.final == [span(0, 1440)]


@pytest.mark.parametrize(("back", "counts"), [(4, True), (3, False)])
def test_half_of_the_candles_that_only_the_stream_has_shown_must_come_back(
    judge: MakeJudge, back: int, counts: bool
) -> None:
    one = judge(0)
    one.sees(span(50, 58), at(*range(50, 58)))
    rows = at(*range(40), *range(50, 50 + back - 1), 57)
    assert one.hears(answer(span(0, 100), rows)).counts is counts


def test_that_an_answer_is_recognised_again_is_no_news(judge: MakeJudge) -> None:
    """Else it and the one that was not recognised would take turns for ever."""
    one = judge(0)
    one.hears(answer(span(0, 100), at(*range(100))))
    one.hears(answer(span(50, 60), at(*range(50, 60))))
    assert not one.hears(answer(span(50, 60), [], now=LATER)).counts
    assert one.doubted("unwitnessed") == [span(50, 60)]
    again = one.hears(answer(span(40, 60), at(*range(40, 60)), now=LATER + 1))
    assert (again.counts, again.is_news, one.doubted("unwitnessed")) == (True, False, [])
    one.hears(answer(span(50, 60), at(*range(50, 55), *range(56, 60)), now=LATER + 2))
    assert one.doubted("absent") == [span(55, 56)]
    assert one.hears(answer(span(50, 60), at(*range(50, 60)), now=LATER + 3)).is_news
