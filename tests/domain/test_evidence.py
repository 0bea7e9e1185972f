"""What an answer proves: enclosure, silences, doubts; by answers told to a real store."""

import pytest
from answers import DENSE, LATER, LONG, SHORT, MakeJudge, answer, at, candle, minute, refused, span
from answers import judge as judge  # a fixture  # noqa: PLC0414

from mdata.domain.doubt import Doubt
from mdata.domain.interval import Range, normal
from mdata.domain.query import Page
from mdata.domain.timeframe import MINUTE
from mdata.store import doubts

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
