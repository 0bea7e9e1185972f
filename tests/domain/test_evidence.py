"""What an answer proves: witnesses, enclosure, doubts, contradictions, refusals; by answers told to a real store."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from answers import LONG, M1, SHORT, Judge, answer, at, candle, minute, refused, span
from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.candle import Candle
from mdata.domain.doubt import Doubt
from mdata.domain.interval import Range, clip, normal, subtract
from mdata.domain.query import Page, RefusedRow, is_same
from mdata.domain.timeframe import MINUTE
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import doubts
from mdata.store import series as table
from mdata.store.pages import keep_refused

MakeJudge = Callable[..., Judge]
DENSE = range(100)
LATER = 1_000  # an hour at which everything below has settled long ago


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[MakeJudge]:
    opened: list[Judge] = []

    def make(wanted: int = 0) -> Judge:
        opened.append(Judge(tmp_path / f"{len(opened)}.db", wanted))
        return opened[-1]

    yield make
    for one in opened:
        one.store.close()


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


# --- contradictions -------------------------------------------------------------------------------------------------


def test_an_absent_candle_stays_until_a_second_answer_agrees_and_is_withdrawn_then(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    without = answer(span(40, 60), [row for row in at(*range(40, 60)) if row != candle(50)], now=LATER)
    one.hears(without)
    assert (one.minutes, one.doubted("absent"), one.revisions) == ([*DENSE], [span(50, 51)], [])
    one.hears(without)
    assert (one.minutes, one.revisions) == ([*DENSE], [])  # asked in the same form, in the same minute
    one.hears(without._replace(asked_at=minute(LATER + 1)))
    assert one.minutes == [number for number in DENSE if number != 50]
    assert (one.revisions, one.doubted("absent")) == ([("withdrawn", 50, 1.0)], [])
    assert (one.final, one.unobtainable) == ([span(0, 100)], [])


@pytest.mark.parametrize("gone", [41, 58])
def test_what_is_absent_beside_the_first_or_the_last_row_is_noticed(judge: MakeJudge, gone: int) -> None:
    one = judge().holds(*DENSE, until=100)
    one.hears(answer(span(40, 60), at(*(number for number in range(40, 60) if number != gone))))
    assert one.doubted("absent") == [span(gone, gone + 1)]


def test_what_no_row_encloses_because_one_was_refused_is_no_contradiction(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    one.hears(
        answer(span(40, 60), at(*range(45, 55)), refused=(refused(40, 41, minute(40)), refused(59, 60, minute(59))))
    )
    assert (one.minutes, one.doubted("absent")) == ([*DENSE], [])


def test_how_remarkable_a_silence_is_beside_few_rows_is_told_by_what_is_known_beyond_them(judge: MakeJudge) -> None:
    one = judge().holds(*range(0, 1000, 20), 999, until=1000)
    one.hears(answer(span(980, 1140), at(980, 999), now=LATER + 500))
    assert one.provisional == [span(1000, 1140)]


def test_what_the_stream_shows_again_is_counted_once(judge: MakeJudge) -> None:
    one = judge()
    for end in (3, 5, 5):
        one.sees(span(0, end), at(*range(end)))
    assert (one.provisional, one.minutes) == ([span(0, 5)], [*range(5)])


def test_two_candles_are_the_same_when_their_volumes_differ_in_the_last_digits_only() -> None:
    one = candle(5, 3.0, 0.1 + 0.2)
    assert is_same(one, candle(5, 3.0, 0.3))
    assert not is_same(one, candle(5, 3.0, 0.3001))
    assert not is_same(one, candle(5, 3.0 + 1e-12, 0.3))
    assert not is_same(one, candle(6, 3.0, 0.3))


def test_a_candle_that_comes_back_ends_the_doubt_that_it_is_absent(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    one.hears(answer(span(40, 60), [row for row in at(*range(40, 60)) if row != candle(50)]))
    one.hears(answer(span(40, 60), at(*range(40, 60)), newest_first=True))
    assert (one.minutes, one.doubted("absent"), one.revisions) == ([*DENSE], [], [])


def test_a_changed_candle_stays_until_a_second_answer_tells_the_same_values(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    told = {price: [*at(*range(40, 50)), candle(50, price), *at(*range(51, 60))] for price in (2.0, 3.0)}
    one.hears(answer(span(40, 60), told[2.0], now=LATER))
    assert (one.stored, one.doubted("changed")) == (at(*DENSE), [span(50, 51)])
    one.hears(answer(span(40, 60), told[3.0], newest_first=True, now=LATER))
    assert (one.stored, one.revisions) == (at(*DENSE), [])  # two that do not agree
    one.hears(answer(span(40, 60), told[3.0], newest_first=True, now=LATER))
    assert one.stored == at(*DENSE)
    one.hears(answer(span(40, 60), told[3.0], now=LATER))
    assert one.stored[50] == candle(50, 3.0)
    assert (one.revisions, one.doubted("changed")) == ([("changed", 50, 1.0)], [])


def test_a_candle_that_comes_back_as_it_was_ends_the_doubt_that_it_has_changed(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    told = answer(span(40, 60), [*at(*range(40, 50)), candle(50, 2.0), *at(*range(51, 60))], now=LATER)
    one.hears(told)
    one.hears(answer(span(40, 60), at(*range(40, 60)), newest_first=True, now=LATER))
    assert one.doubted("changed") == []
    one.hears(told._replace(asked_at=minute(LATER + 5)))
    assert one.stored == at(*DENSE)


def test_beside_what_gives_way_to_an_answer_its_contradictions_are_noticed(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 100), at(*range(50), *range(53, 100)), refused=(refused(50, 53),)))
    one.sees(span(50, 53), at(50, 51, 52))
    one.hears(answer(span(40, 60), [*at(*range(40, 51)), candle(51, 2.0), *at(52, 53, 54), candle(55, 3.0), *at(56)]))
    assert one.stored[51] == candle(51, 2.0)
    assert (one.stored[55], one.doubted("changed")) == (candle(55), [span(55, 56)])


def test_everything_else_in_an_answer_that_contradicts_is_stored(judge: MakeJudge) -> None:
    one = judge().holds(*range(0, 100, 2), until=100)
    one.hears(answer(span(40, 60), [candle(40), candle(41), candle(42, 2.0), *at(*range(46, 60, 2))]))
    assert one.stored == at(*sorted({*range(0, 100, 2), 41}))
    assert (one.doubted("absent"), one.doubted("changed")) == ([span(44, 45)], [span(42, 43)])


def test_a_streamed_candle_that_two_answers_lack_is_withdrawn_too(judge: MakeJudge) -> None:
    one = judge()
    one.sees(span(0, 20), at(*range(20)))
    told = [row for row in at(*range(20)) if row != candle(7)]
    one.hears(answer(span(0, 20), told, now=LATER))
    assert (one.minutes, one.provisional) == ([*range(20)], [span(7, 8)])
    assert one.final == [span(0, 7), span(8, 20)]
    one.hears(answer(span(0, 20), told, newest_first=True, now=LATER))
    assert (one.minutes, one.final) == ([number for number in range(20) if number != 7], [span(0, 20)])
    assert one.revisions == [("withdrawn", 7, 1.0)]


def test_a_lost_candle_stays_lost_until_two_answers_agree_that_there_is_none(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    one.lose(50)
    told = answer(span(40, 60), [row for row in at(*range(40, 60)) if row != candle(50)], now=LATER)
    applied = one.hears(told)
    assert (one.lost, one.doubted("absent"), applied.empty) == ([50], [span(50, 51)], 0)
    one.hears(told._replace(asked_at=minute(LATER + 1)))
    assert (one.lost, one.revisions, one.final) == ([], [], [span(0, 100)])


def test_a_lost_candle_that_comes_back_is_stored(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    one.lose(50)
    one.hears(answer(span(40, 60), at(*range(40, 60))))
    assert (one.lost, one.stored) == ([], at(*DENSE))


@pytest.mark.parametrize(("gone", "is_served"), [(SHORT, True), (LONG, False)])
def test_where_what_is_absent_leaves_a_remarkable_hole_the_candles_stay_and_the_range_is_unobtainable(
    judge: MakeJudge, gone: int, is_served: bool
) -> None:
    one = judge().holds(*range(200), until=200)
    told = answer(span(0, 200), at(*range(100), *range(100 + gone, 200)), now=LATER)
    one.hears(told)
    assert (one.minutes, one.doubted("absent")) == ([*range(200)], [span(100, 100 + gone)])
    one.hears(told._replace(asked_at=minute(LATER + 1)))
    assert one.doubted("absent") == []
    if is_served:
        assert len(one.minutes) == 200 - gone
        assert one.unobtainable == []
    else:
        assert (one.minutes, one.revisions) == ([*range(200)], [])
        assert one.unobtainable == [span(100, 100 + gone)]
        one.hears(told._replace(asked_at=minute(LATER + 2)))
        assert (one.minutes, one.doubted("absent")) == ([*range(200)], [])  # it is not asked about again
        one.hears(answer(span(0, 200), at(*range(200)), now=LATER + 3))
        assert one.unobtainable == []


def test_how_remarkable_a_hole_is_in_a_short_answer_is_told_by_what_is_known_around_it(judge: MakeJudge) -> None:
    one = judge().holds(*range(0, 2000, 20), until=2000)
    told = answer(span(700, 961), at(700, 720, 940, 960), now=LATER + 2000)
    one.hears(told)
    one.hears(told._replace(asked_at=told.asked_at + MINUTE))
    assert one.unobtainable == []
    assert [number for _, number, _ in one.revisions] == [*range(740, 940, 20)]


def test_what_an_answer_lacks_beyond_its_rows_is_no_contradiction(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    for newest_first in (False, True, False):
        one.hears(answer(span(0, 100), at(*range(30, 50)), newest_first=newest_first, now=LATER))
    assert (one.minutes, one.doubted("absent")) == ([*DENSE], [])


def test_beside_an_absent_candle_what_was_unknown_is_proven_unless_the_hole_is_remarkable(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 100), at(*range(50), *range(53, 100)), refused=(refused(50, 53),)))
    one.hears(answer(span(0, 100), at(*range(49), *range(54, 100))))
    assert (one.final, one.doubted("absent")) == ([span(0, 100)], [span(49, 54)])
    assert [*range(100)] != one.minutes == [*range(50), *range(53, 100)]


# --- refused rows ---------------------------------------------------------------------------------------------------


def test_whatever_a_refused_row_may_have_stood_for_is_unknown(judge: MakeJudge) -> None:
    one = judge()
    one.hears(answer(span(0, 20), at(*range(8), *range(12, 20)), refused=(refused(8, 12),)))
    assert one.final == [span(0, 8), span(12, 20)]
    assert one.provisional == []


def test_what_covered_a_refused_row_provisionally_covers_it_no_more(judge: MakeJudge) -> None:
    one = judge()
    one.sees(span(0, 20), at(*range(20)))
    one.hears(answer(span(0, 20), at(*range(8), *range(9, 20)), refused=(refused(8, 9, minute(8)),)))
    assert (one.final, one.provisional) == ([span(0, 8), span(9, 20)], [])


def test_what_was_final_stays_so_under_a_refused_row(judge: MakeJudge) -> None:
    one = judge().holds(*range(20), until=20)
    one.hears(answer(span(0, 20), at(*range(8), *range(9, 20)), refused=(refused(8, 9, minute(8)),), now=LATER))
    assert (one.final, one.minutes) == ([span(0, 20)], [*range(20)])


def test_a_refused_row_at_an_end_leaves_that_end_unknown(judge: MakeJudge) -> None:
    one = judge().holds(*DENSE, until=100)
    row = refused(104, 105, minute(104))
    one.hears(answer(span(97, 110), at(97, 98, 99), refused=(row,)))
    assert one.final == [span(0, 104)]
    assert one.provisional == [span(105, 110)]
    assert one.store.connection.execute("SELECT count(*) FROM rejected_rows").fetchone() == (1,)


@pytest.mark.parametrize(("sent", "kept"), [(2**63 - 1, 2**63 - 1), (2**63, None), (-(2**63), None), (None, None)])
def test_a_refused_row_is_kept_whatever_time_it_names(judge: MakeJudge, sent: int | None, kept: int | None) -> None:
    one = judge()
    with one.store.write() as connection:
        series = table.find(connection, BITFINEX, "tBTCUSD", M1)
        assert series is not None
        for number in (1, 2):
            keep_refused(connection, series, [RefusedRow(sent, "a row", "no candle", None)], number, "test")
    rows = one.store.connection.execute(
        "SELECT open_time, row, reason, seen_at, source FROM rejected_rows"
    ).fetchall()
    assert rows[-1] == (kept, "a row", "no candle", 2, "test")


def test_of_refused_rows_the_first_is_told_and_how_many_there_are() -> None:
    rows = refused(104, 105), refused(106, 107), refused(108, 109)
    assert answer(span(97, 110), [], refused=rows[:1]).refusal == "a row was rejected: no candle: row 104"
    told = "3 rows were rejected, the first one: no candle: row 104"
    assert answer(span(97, 110), [], refused=rows).refusal == told


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


# --- an exchange that is asked at random ----------------------------------------------------------------------------

END = 300
CELLS = frozenset(range(END))


Question = tuple[int, int, bool, int, bool]  # from, to, newest first, how many rows, without a start


@st.composite
def questions(draw: st.DrawFn) -> Question:
    start = draw(st.integers(0, END - 1))
    end = draw(st.integers(start + 1, END))
    return start, end, draw(st.booleans()), draw(st.sampled_from([10, 40, 10_000])), draw(st.booleans())


def told(truth: frozenset[int], question: Question, now: int) -> Page:
    start, end, newest_first, limit, is_open = question
    is_open &= newest_first
    rows = at(*(number for number in truth if (is_open or number >= start) and number < end))
    rows = rows[-limit:] if newest_first else rows[:limit]
    return answer(span(start, end), rows, newest_first=newest_first, limit=limit, is_open=is_open, now=now)


def final_minutes(one: Judge) -> set[int]:
    return {number for number in CELLS if clip(one.final, minute(number), minute(number + 1))}


def markets() -> st.SearchStrategy[frozenset[int]]:
    sparse = st.frozensets(st.integers(0, END - 1), min_size=1, max_size=60)
    return st.one_of(sparse, sparse.map(lambda silent: CELLS - silent), st.builds(holes, sparse, st.integers(0, END)))


def holes(silent: frozenset[int], at: int) -> frozenset[int]:
    """Return a dense market with an outage."""
    return (CELLS - silent - frozenset(range(at, at + 90))) or frozenset({0})


def is_right(one: Judge, truth: frozenset[int]) -> bool:
    final = final_minutes(one)
    return {number for number in one.minutes if number in final} == truth & final and not one.revisions


@given(markets(), st.lists(st.tuples(questions(), st.integers(1, 60)), min_size=1, max_size=8))
def test_an_honest_exchange_is_never_contradicted_and_two_answers_make_everything_final(
    truth: frozenset[int], asked: list[tuple[Question, int]]
) -> None:
    with TemporaryDirectory() as folder:
        one, now = Judge(Path(folder) / "a.db"), 0
        for question, later in asked:
            now += later
            one.hears(told(frozenset(number for number in truth if number < now), question, now))
            assert is_right(one, truth)
            assert one.doubted("absent") == one.unobtainable == []
            # Of an answer without a witness a new row is remembered: nothing is known there.
            assert not any(clip(one.final, *about) for about in one.doubted("changed"))
        for number, newest_first in enumerate((False, True, False)):
            one.hears(told(truth, (0, END, newest_first, 10_000, False), LATER + number))
        assert (one.final, frozenset(one.minutes)) == ([span(0, END)], truth)
        assert one.doubted("silence") == one.doubted("unconfirmed") == []
        one.store.close()


def cut(page: Page, keep: tuple[int, int]) -> Page:
    """Return an answer without its first and its last rows."""
    rows = page.candles[keep[0] : len(page.candles) - keep[1]]
    return page._replace(candles=rows, rows=len(rows))


@given(
    markets(), st.lists(questions(), min_size=2, max_size=8), st.integers(0, 7),
    st.one_of(st.just((END, 0)), st.tuples(st.integers(0, 200), st.integers(0, 200))),
)  # fmt: skip
def test_one_answer_that_is_empty_or_cut_makes_nothing_final_that_is_wrong(
    truth: frozenset[int], asked: list[Question], when: int, keep: tuple[int, int]
) -> None:
    with TemporaryDirectory() as folder:
        one = Judge(Path(folder) / "a.db")
        for number, question in enumerate(asked):
            page = told(truth, question, LATER + number)
            one.hears(cut(page, keep) if number == when % len(asked) else page)
            assert is_right(one, truth)
        one.store.close()


@given(
    markets(), st.lists(questions(), max_size=4), questions(), st.lists(questions(), max_size=4),
    st.sets(st.integers(0, END - 1)), st.sampled_from([1.0, 2.0]),
)  # fmt: skip
def test_one_answer_of_any_kind_changes_and_removes_no_final_candle(
    truth: frozenset[int],
    before: list[Question],
    lie: Question,
    after: list[Question],
    out: set[int],
    price: float,
) -> None:
    with TemporaryDirectory() as folder:
        one = Judge(Path(folder) / "a.db").holds(*truth, until=END)
        for number, question in enumerate([*before, lie, *after]):
            page = told(truth, question, LATER + number)
            if number == len(before):
                rows = [(row[0], price, *row[2:]) if row[0] in map(minute, out) else row for row in page.candles]
                kept = [row for row in rows if row[1] != 1.0 or row[0] not in map(minute, out)]
                page = page._replace(candles=kept, rows=len(kept))
            one.hears(page)
            assert (one.stored, one.revisions, one.unobtainable) == (at(*truth), [], [])
        assert subtract([span(0, END)], one.final) == []
        one.store.close()


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
