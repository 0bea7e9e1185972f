"""What an answer proves: witnesses, enclosure, doubts; by answers told to a real store."""

import pytest
from answers import LONG, SHORT, MakeJudge, answer, at, candle, minute, refused, span
from answers import judge as judge  # a fixture  # noqa: PLC0414

from mdata.domain.candle import Candle
from mdata.domain.doubt import Doubt
from mdata.domain.interval import Range, normal
from mdata.domain.query import Page
from mdata.domain.timeframe import MINUTE
from mdata.store import doubts

DENSE = range(100)
LATER = 1_000  # an hour at which everything below has settled long ago


# --- witnesses ------------------------------------------------------------------------------------------------------


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


# --- enclosure ------------------------------------------------------------------------------------------------------


def test_an_answer_proves_what_lies_between_its_rows(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 50), at(10, 12, 30)))
    assert (one.final, one.minutes) == ([span(10, 31)], [10, 12, 30])
    assert one.provisional == [span(0, 10), span(31, 50)]


@pytest.mark.parametrize(
    ("newest_first", "final", "beyond"), [(False, span(10, 31), [span(0, 10)]), (True, span(10, 31), [span(31, 50)])]
)
def test_a_full_answer_says_nothing_of_what_lies_beyond_its_last_row(
    judge: MakeJudge, newest_first: bool, final: Range, beyond: list[Range]
) -> None:
    one = judge()
    one.hears(answer(span(0, 50), at(10, 12, 30), limit=3, newest_first=newest_first))
    assert (one.final, one.provisional, one.doubted("silence")) == ([final], beyond, beyond)


def test_what_had_not_settled_is_provisional_and_what_had_not_closed_is_dropped(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 21), at(*range(21)), now=20))
    assert (one.final, one.provisional, one.minutes) == ([span(0, 17)], [span(17, 20)], [*range(20)])


@pytest.mark.parametrize(("newest_first", "after"), [(True, 0), (False, 1)], ids=["from the other end", "later"])
@pytest.mark.parametrize("silent", [20, SHORT, LONG, 500])
def test_a_silence_at_an_end_is_believed_when_a_second_independent_answer_says_the_same(
    judge: MakeJudge, newest_first: bool, after: int, silent: int
) -> None:
    one, end = judge(), 100 + silent
    one.hears(answer(span(0, end), at(*DENSE), now=LATER))
    assert (one.final, one.doubted("silence")) == ([span(0, 100)], [span(100, end)])
    one.hears(answer(span(0, end), at(*DENSE), newest_first=newest_first, now=LATER + after))
    assert (one.final, one.doubted("silence")) == ([span(0, end)], [])


def test_two_answers_of_one_form_within_a_minute_are_one(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    told = answer(span(97, 200), at(97, 98, 99), now=LATER)
    for _ in range(3):
        one.hears(told)
    assert (one.final, one.doubted("silence")) == ([span(0, 100)], [span(100, 200)])
    assert one.doubts("silence")[0].answers == 3
    one.hears(told._replace(asked_at=minute(LATER + 1)))
    assert (one.final, one.doubted("silence")) == ([span(0, 200)], [])


def test_of_an_earlier_answer_only_what_had_settled_then_is_a_second_opinion(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 120), at(*DENSE), now=115))  # has settled up to 112
    one.hears(answer(span(97, 120), at(97, 98, 99), now=130))
    assert one.final == [span(0, 112)]
    one.hears(answer(span(97, 120), at(97, 98, 99), now=131))
    assert one.final == [span(0, 120)]


def test_rows_on_both_sides_enclose_a_silence_at_once(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    one.hears(answer(span(97, 500), at(97, 98, 99)))
    assert one.doubted("silence") == [span(100, 500)]
    one.hears(answer(span(97, 501), at(97, 98, 99, 500)))
    assert (one.final, one.doubted("silence")) == ([span(0, 501)], [])


def test_the_stream_is_a_second_opinion_about_a_silence(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    one.sees(span(100, 110), [])
    one.hears(answer(span(97, 110), at(97, 98, 99)))
    assert (one.final, one.doubted("silence")) == ([span(0, 110)], [])


def test_a_silence_of_which_rest_alone_has_told_is_not_taken_for_one_of_the_stream(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    told = answer(span(97, 110), at(97, 98, 99), now=LATER)
    one.hears(told)
    assert one.provisional == [span(100, 110)]
    one.hears(told)
    assert one.provisional == [span(100, 110)]


def test_the_row_from_before_the_wanted_range_encloses_its_old_end_and_is_dropped(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 100), at(-7, 50, 60, 99), newest_first=True, is_open=True))
    assert (one.final, one.minutes) == ([span(0, 100)], [50, 60, 99])
    assert one.doubted("silence") == []


def test_at_the_old_end_even_a_short_silence_is_doubted(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 100), at(*range(5, 100)), newest_first=True, is_open=True))
    assert (one.final, one.provisional, one.doubted("silence")) == ([span(5, 100)], [], [span(0, 5)])


def test_an_answer_of_no_rows_about_nothing_known_covers_nothing_however_often_it_comes(judge: MakeJudge) -> None:
    one = judge()
    for number in range(4):
        one.hears(answer(span(0, 500), [], newest_first=bool(number % 2), now=LATER + number))
        assert (one.final, one.provisional, one.doubted("silence")) == ([], [], [span(0, 500)])
    assert one.doubts("silence")[0].answers == 4
    assert one.doubts("silence")[0].since == minute(LATER)


@pytest.mark.parametrize("newest_first", [False, True])
def test_where_a_stored_candle_beyond_its_rows_does_not_come_back_an_answer_says_nothing_of_that_end(
    judge: MakeJudge, newest_first: bool
) -> None:
    one = judge().holds(*DENSE, until=100)
    one.hears(answer(span(200, 300), []))  # of other candles nothing is known here
    before = one.final, one.provisional, one.doubted("silence")
    one.hears(answer(span(0, 100), at(*range(40, 60)), newest_first=newest_first))
    assert (one.final, one.provisional, one.doubted("silence")) == before
    assert one.doubted("absent") == []
    assert one.minutes == [*DENSE]


# --- remarkable silences --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("silent", "is_doubted"), [(SHORT - 4, False), (SHORT, True), (LONG, True)])
def test_a_remarkable_silence_at_an_end_is_unknown_and_a_shorter_one_provisional(
    judge: MakeJudge, silent: int, is_doubted: bool
) -> None:
    """In the answer to a question of more than an hour, one that is shorter but improbable is unknown, too."""
    one = judge().holds(*DENSE, until=100)
    tail = span(100, 100 + silent)
    one.hears(answer(span(97, 100 + silent), at(97, 98, 99)))
    assert one.provisional == ([] if is_doubted else [tail])
    assert one.doubted("silence") == [tail]


def test_how_busy_the_market_is_beside_a_silence_is_told_by_the_500_intervals_next_to_it(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 1000 + LONG), at(*range(0, 500, 20), *range(500, 1000))))
    assert (one.provisional, one.doubted("silence")) == ([], [span(1000, 1000 + LONG)])


@pytest.mark.parametrize(("silent", "is_doubted"), [(100, False), (600, True)])
def test_so_it_is_before_the_rows(judge: MakeJudge, silent: int, is_doubted: bool) -> None:
    one = judge()
    rows = at(*range(silent, silent + 501, 20), *range(silent + 510, silent + 1000))
    one.hears(answer(span(0, silent + 1000), rows))
    assert one.provisional == ([] if is_doubted else [span(0, silent)])


def test_a_silence_that_is_told_of_again_keeps_since_when_and_how_often(judge: MakeJudge) -> None:
    one = judge(wanted=-100)
    for asked in (50, 40):
        one.hears(answer(span(asked, 100), at(*range(60, 100)), newest_first=True, now=LATER))
    for asked in (120, 130):
        one.hears(answer(span(60, asked), at(*range(60, 100)), now=LATER))
    assert [(doubt.range, doubt.answers) for doubt in one.doubts("silence")] == [
        (span(40, 60), 2),
        (span(100, 130), 2),
    ]


@pytest.mark.parametrize(("first", "is_believed"), [(5, True), (4, False), (2, False)])
def test_where_the_exchange_names_an_older_first_candle_no_silence_before_the_rows_is_believed(
    judge: MakeJudge, first: int, is_believed: bool
) -> None:
    one = judge()
    told = answer(span(0, 100), at(*range(5, 100)), newest_first=True, is_open=True, now=LATER)
    one.hears(told)
    with one.store.write() as connection:
        doubts.keep(connection, 1, [Doubt(span(first, first + 1), "first", "asc first", 0, 0, 1, candle(first))])
    one.hears(told._replace(asked_at=minute(LATER + 5)))
    assert one.final == [span(0 if is_believed else 5, 100)]


def test_in_a_sparse_market_an_hour_is_not_remarkable(judge: MakeJudge) -> None:
    one = judge().holds(*range(0, 1000, 20), until=1000)  # a candle in 20 minutes: 270 silent ones are remarkable
    one.hears(answer(span(940, 1081), at(940, 960, 980), now=LATER + 500))
    assert one.provisional == [span(1000, 1081)]
    one = judge().holds(*range(0, 1000, 20), until=1000)
    one.hears(answer(span(940, 1300), at(940, 960, 980), now=LATER + 500))
    assert (one.provisional, one.doubted("silence")) == ([], [span(1000, 1300)])


def test_the_growth_of_a_silence_that_was_believed_is_not_doubted(judge: MakeJudge) -> None:
    one, witnesses = judge().holds(*DENSE, until=100), at(97, 98, 99)
    one.hears(answer(span(97, 165), witnesses, now=168))
    assert (one.provisional, one.final) == ([], [span(0, 100)])
    one.hears(answer(span(97, 165), witnesses, newest_first=True, now=168))
    assert one.final == [span(0, 165)]
    for end in (166, 170, 200, 300):
        one.hears(answer(span(97, end), witnesses, now=end + 3))
        assert normal([*one.final, *one.provisional]) == [span(0, end)]


# --- what is easily overlooked --------------------------------------------------------------------------------------


def test_what_was_never_fetched_of_an_unobtainable_range_is_unknown(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    one.hears(answer(span(97, 150), at(97, 98, 99, 149), refused=(refused(100, 149),)))
    one.hears(answer(span(149, 300), at(*range(149, 300))))
    assert one.final == [span(0, 100), span(149, 300)]
    told = answer(span(0, 300), at(*range(50), *range(200, 300)), now=LATER)
    one.hears(told)
    assert one.final == [span(0, 100), span(149, 300)]
    one.hears(told._replace(asked_at=minute(LATER + 1)))
    assert one.unobtainable == [span(50, 200)]
    assert (one.final, one.revisions) == ([span(0, 100), span(149, 300)], [])
    assert one.minutes == [*range(100), *range(149, 300)]


def test_a_first_page_of_which_nothing_is_ever_seen_again_gives_way_to_what_two_others_tell(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 100), at(*range(1, 100, 2)), now=LATER))
    even = at(*range(94, 110, 2))
    assert not one.hears(answer(span(94, 110), even, now=LATER)).counts
    one.hears(answer(span(1, 100), at(*range(2, 100, 2)), newest_first=True, now=LATER))
    for number in (1, 2):  # the rows at its two ends, which nobody vouches for any more, go like any that is absent
        one.hears(answer(span(0, 110), at(*range(0, 110, 2)), now=LATER + number))
    assert one.minutes == [*range(0, 110, 2)]
    assert one.doubted("unconfirmed") == one.doubted("unwitnessed") == []


def test_new_rows_that_two_independent_answers_have_in_common_count_though_no_old_one_came_back(
    judge: MakeJudge,
) -> None:
    one = judge().holds(*DENSE, until=100)
    told = answer(span(0, 300), at(*range(150, 300)), now=LATER)
    assert not one.hears(told).counts
    assert not one.hears(told).counts
    assert one.hears(told._replace(asked_at=minute(LATER + 1))).counts
    assert one.minutes == [*DENSE, *range(150, 300)]
    assert one.final == [span(0, 100), span(150, 300)]
    assert one.doubted("unwitnessed") == []


def test_what_a_repeated_answer_adds_to_a_doubt_is_not_yet_said_twice(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)

    def without(*gone: int) -> Page:
        return answer(span(40, 60), at(*(n for n in range(40, 60) if n not in gone)), now=LATER)

    one.hears(without(50))
    one.hears(without(50, 51)._replace(asked_at=minute(LATER) + MINUTE // 2))
    one.hears(without(50, 51)._replace(asked_at=minute(LATER + 1)))
    assert 51 in one.minutes
    one.hears(without(50, 51)._replace(asked_at=minute(LATER + 2)))
    assert one.revisions == [("withdrawn", 50, 1.0), ("withdrawn", 51, 1.0)]


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_lost_candle_at_an_end_stays_lost_until_two_answers_agree(judge: MakeJudge, newest_first: bool) -> None:
    one = judge().holds(*DENSE, until=100)
    one.lose(99)
    told = answer(span(90, 100), at(*range(90, 99)), newest_first=newest_first, now=LATER)
    one.hears(told)
    assert one.lost == [99]
    one.hears(told)
    assert one.lost == [99]
    one.hears(told._replace(asked_at=minute(LATER + 1)))
    assert (one.lost, one.final) == ([], [span(0, 100)])


# --- what is wanted -------------------------------------------------------------------------------------------------


def test_of_a_series_of_which_nothing_is_wanted_yet_the_newest_candle_is_kept_as_a_witness(judge: MakeJudge) -> None:
    one = judge(wanted=500)
    one.hears(answer(span(500, 510), at(7, 300), newest_first=True, is_open=True))
    assert one.minutes == [300]
    assert one.hears(answer(span(300, 520), at(300, 310))).counts
    assert one.minutes == [300]
    assert one.hears(answer(span(300, 520), at(300, 515))).counts
    assert (one.minutes, one.final) == ([300, 515], [span(500, 516)])


def test_nothing_before_what_is_wanted_is_covered_or_stored(judge: MakeJudge) -> None:
    one = judge(wanted=50)
    one.hears(answer(span(0, 100), at(*DENSE)))
    assert (one.minutes, one.final) == ([*range(50, 100)], [span(50, 100)])
