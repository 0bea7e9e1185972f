"""An exchange that is asked at random: what is final is right, whatever one answer lacks or changes."""

from pathlib import Path
from tempfile import TemporaryDirectory

from answers import LATER, Judge, answer, at, minute, span
from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.interval import clip, subtract
from mdata.domain.query import Page

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
