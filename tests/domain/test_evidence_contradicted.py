"""What an answer proves against the store: contradictions and refused rows; by answers told to a real store."""

import pytest
from answers import DENSE, LATER, LONG, M1, SHORT, MakeJudge, answer, at, candle, minute, refused, span
from answers import judge as judge  # a fixture  # noqa: PLC0414

from mdata.domain.query import RefusedRow, is_same
from mdata.domain.timeframe import MINUTE
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.store import series as table
from mdata.store.pages import keep_refused

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
