"""What an answer proves where silence is a row: the row does, and a row that is missing is no silence."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from answers import M1, Judge, answer, at, candle, minute, span
from made_up import VENUE, adapter_of

from mdata.domain.doubt import Doubt
from mdata.domain.query import Page
from mdata.domain.timeframe import HOUR
from mdata.domain.venue import Venue
from mdata.exchange import registry
from mdata.exchange.page import read_one_by_one
from mdata.store import doubts, silences


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    monkeypatch.setitem(registry.ADAPTERS, VENUE.name, adapter_of(VENUE))
    given = Judge(tmp_path / "store.db", venue=VENUE)
    yield given
    given.store.close()


def told(start: int, end: int, *candles: int, without: tuple[int, ...] = (), **more: object) -> Page:
    """Return an answer about these minutes: candles in some, silence in the others, no row `without`."""
    silent = [one for one in range(start, end) if one not in {*candles, *without}]
    return answer(span(start, end), at(*candles), venue=VENUE, silent=silent, **more)  # type: ignore[arg-type]


def test_rows_of_silence_are_proven_empty_and_no_candles(judge: Judge) -> None:
    judge.hears(told(0, 100, 3, 50, 97))
    assert judge.final == [span(0, 100)]
    assert judge.minutes == [3, 50, 97]
    ((counted,),) = judge.store.connection.execute("SELECT sum(candles) FROM coverage").fetchall()
    assert counted == 3


def test_a_whole_page_of_silence_is_proof_however_long(judge: Judge) -> None:
    judge.hears(told(0, 500, 1))
    judge.hears(told(490, 4000))
    assert judge.final == [span(0, 4000)]
    assert silences.due(judge.store.connection, 1, minute(10**6)) == []


def test_what_has_not_settled_is_provisional_silence_too(judge: Judge) -> None:
    judge.hears(told(0, 100, 1, now=100))
    assert judge.final == [span(0, 97)]
    assert judge.provisional == [span(97, 100)]


def test_rows_of_silence_up_to_now_are_proof_without_any_candle(judge: Judge) -> None:
    judge.hears(told(0, 14)._replace(query=told(0, 20).query, asked_at=minute(20)))  # has settled up to 17
    assert judge.final == [span(0, 14)]


@pytest.mark.parametrize("length", [1, 30, 200])
def test_a_missing_row_is_unknown_until_a_second_answer_lacks_it_too(judge: Judge, length: int) -> None:
    lacking = tuple(range(300, 300 + length))
    judge.hears(told(0, 1000, 5, 700, without=lacking))
    assert judge.final == [span(0, 300), span(300 + length, 1000)]
    judge.hears(told(0, 1010, 5, 700, without=lacking))
    assert judge.final == [span(0, 1010)]
    assert judge.minutes == [5, 700]


def test_the_same_answer_once_more_is_no_second_one(judge: Judge) -> None:
    for _ in range(3):
        judge.hears(told(0, 100, 5, without=(50,), now=200))
    assert judge.final == [span(0, 50), span(51, 100)]
    judge.hears(told(0, 100, 5, without=(50,), now=202))
    assert judge.final == [span(0, 100)]


def test_a_row_that_was_missing_and_comes_is_stored(judge: Judge) -> None:
    judge.hears(told(0, 100, 5, without=(50, 51)))
    judge.hears(told(0, 110, 5, 50))
    assert judge.final == [span(0, 110)]
    assert judge.minutes == [5, 50]


@pytest.mark.parametrize("lacking", [(98, 99), (0, 1)])
def test_a_missing_row_at_an_end_is_covered_by_nothing(judge: Judge, lacking: tuple[int, ...]) -> None:
    judge.hears(told(0, 100, 50, without=lacking))
    expected = [one for one in range(100) if one not in lacking]
    assert judge.final == [span(expected[0], expected[-1] + 1)]
    assert judge.provisional == []


def test_a_silence_in_the_place_of_a_candle_changes_nothing_until_a_second_answer_says_so(judge: Judge) -> None:
    judge.hears(told(0, 100, 40, 50, 60))
    judge.hears(told(0, 101, 40, 60))
    assert judge.minutes == [40, 50, 60]
    judge.hears(told(0, 102, 40, 60))
    assert judge.minutes == [40, 60]
    assert judge.final == [span(0, 102)]
    ((kind, time),) = judge.store.connection.execute("SELECT kind, open_time FROM candle_revisions").fetchall()
    assert (kind, time) == ("withdrawn", minute(50))


def test_a_busy_stretch_that_turns_into_silence_is_history_that_is_served_no_more(judge: Judge) -> None:
    judge.hears(told(0, 400, *range(400)))
    for end in (401, 402):
        judge.hears(told(0, end, *range(100), *range(300, end)))
    assert judge.minutes == [*range(402)]
    assert judge.store.connection.execute("SELECT count(*) FROM candle_revisions").fetchone() == (0,)


def test_a_candle_in_the_place_of_a_silence_is_stored_at_once(judge: Judge) -> None:
    """A silence is no value that a second answer has to change."""
    judge.hears(told(0, 100, 3))
    judge.hears(told(0, 101, 3, 60))
    assert judge.minutes == [3, 60]


def test_an_answer_of_silence_alone_about_stored_candles_proves_nothing(judge: Judge) -> None:
    judge.hears(told(0, 100, *range(0, 100, 2)))
    applied = judge.hears(told(90, 200))
    assert not applied.counts
    assert judge.final == [span(0, 100)]


def test_silence_that_comes_back_vouches_for_an_answer(judge: Judge) -> None:
    judge.hears(told(0, 100, 3))
    applied = judge.hears(told(90, 200, 150))
    assert applied.counts
    assert judge.final == [span(0, 200)]


def test_a_candle_that_was_deleted_by_hand_is_put_back(judge: Judge) -> None:
    judge.hears(told(0, 100, 3, 50))
    judge.store.connection.execute("DELETE FROM candles WHERE open_time = ?", (minute(50),))
    assert judge.lost == [50]
    judge.hears(told(0, 101, 3, 50))
    assert judge.minutes == [3, 50]
    assert (judge.lost, judge.final) == ([], [span(0, 101)])


def test_rows_without_volume_are_refused_where_silence_is_not_written() -> None:
    query = told(0, 3).query

    def read(venue: Venue) -> Page:
        rows = [list(candle(0)), [*candle(1)[:5], 0.0], list(candle(2))]
        asked = query._replace(venue=venue)
        return read_one_by_one(asked, rows, minute(10), tuple, lambda row: row[0])

    page = read(VENUE)
    assert (len(page.candles), page.silent, page.refused, page.holes) == (2, (minute(1),), (), [])
    page = read(VENUE._replace(silence="omitted"))
    assert (len(page.candles), page.silent) == (2, ())
    assert [row.reason for row in page.refused] == ["the volume is not positive"]


def test_every_interval_is_a_hole_that_has_no_row() -> None:
    page = told(0, 10, 2, without=(4, 5, 8))
    assert page.holes == [span(4, 6), span(8, 9)]
    assert page.times == [minute(one) for one in (0, 1, 2, 3, 6, 7, 9)]
    assert M1.count(*(page.span or (0, 0))) == 10


@pytest.mark.parametrize(("first", "is_silence"), [(None, True), (19, True), (20, False), (25, False)])
def test_before_the_first_candle_that_the_exchange_names_missing_rows_are_no_silence(
    judge: Judge, first: int | None, is_silence: bool
) -> None:
    if first is not None:
        with judge.store.write() as connection:
            doubts.keep(connection, 1, [Doubt(span(first, first + 1), "first", "asc first", 0, 0, 1, candle(first))])
    page = told(0, 100, *range(20, 100), without=tuple(range(20)))
    judge.hears(page)
    judge.hears(page._replace(asked_at=page.asked_at + HOUR))
    assert judge.final == [span(0 if is_silence else 20, 100)]
