"""What an answer proves (law 3), case by case."""

from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.interval import Range
from mdata.domain.query import LONG_SILENCE, Page, Query, RefusedRow, changes, prove
from mdata.domain.silence import RECHECK_AGES, long_runs, recheck_at
from mdata.domain.timeframe import DAY, MINUTE, TIMEFRAMES

M1 = TIMEFRAMES["1m"]
T0 = 28_000_000 * MINUTE


def at(*minutes: int) -> list[tuple[int, float, float, float, float, float]]:
    return [(T0 + minute * MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0) for minute in minutes]


def span(start: int, end: int) -> Range:
    return Range(T0 + start * MINUTE, T0 + end * MINUTE)


def page(
    asked: Range,
    minutes: list[int],
    *,
    newest_first: bool = False,
    limit: int = 100,
    again: Range | None = None,
    refused: tuple[RefusedRow, ...] = (),
    witnesses: tuple[int, ...] = (),
) -> Page:
    query = Query("tBTCUSD", M1, asked, newest_first, limit, again, witnesses)
    return Page(query, at(*minutes), refused, len(minutes) + len(refused), asked.end)


def test_a_full_page_proves_up_to_its_last_row() -> None:
    assert prove(page(span(0, 1000), [3, 5, 9], limit=3)).proven == [span(0, 10)]
    assert prove(page(span(0, 1000), [3, 5, 9], limit=3, newest_first=True)).proven == [span(3, 1000)]


def test_a_shorter_page_proves_all_that_was_asked() -> None:
    assert prove(page(span(0, 30), [3, 5, 9])).proven == [span(0, 30)]
    assert prove(page(span(0, 30), [])).proven == [span(0, 30)]


def test_a_long_silence_at_the_far_end_is_asked_about_once_more() -> None:
    proof = prove(page(span(0, 10 + LONG_SILENCE), [9]))
    assert (proof.proven, proof.doubt) == ([span(0, 10)], span(10, 10 + LONG_SILENCE))
    proof = prove(page(span(0, 10 + LONG_SILENCE), [LONG_SILENCE], newest_first=True))
    assert (proof.proven, proof.doubt) == ([span(LONG_SILENCE, LONG_SILENCE + 10)], span(0, LONG_SILENCE))
    assert prove(page(span(0, 9 + LONG_SILENCE), [9])).doubt is None


def test_the_second_empty_answer_is_believed_and_a_second_cut_one_is_not() -> None:
    assert prove(page(span(0, 500), [])).proven == []
    assert prove(page(span(0, 500), [], again=span(0, 500))).proven == [span(0, 500)]
    proof = prove(page(span(0, 500), [2], again=span(0, 500)))
    assert (proof.proven, proof.doubt) == ([span(0, 3)], span(3, 500))


def test_witnesses_that_stay_away_void_the_proof() -> None:
    witness = (T0, T0 + 4 * MINUTE)
    assert prove(page(span(0, 5), [0, 2, 4], witnesses=witness)).proven == [span(0, 5)]
    assert prove(page(span(0, 5), [0, 2], witnesses=witness)).proven == []
    assert prove(page(span(0, 5), [], witnesses=witness)).proven == []


def test_intervals_of_refused_rows_stay_unknown_but_are_reached() -> None:
    refused = (RefusedRow(T0 + 7 * MINUTE, "", "", span(7, 8)),)
    proof = prove(page(span(0, 30), [3, 9], refused=refused))
    assert proof.proven == [span(0, 7), span(8, 30)]
    assert proof.reach == span(0, 30)


@given(st.sets(st.integers(0, 400), max_size=40), st.booleans(), st.booleans())
def test_nothing_is_proven_beyond_what_was_asked(minutes: set[int], newest_first: bool, again: bool) -> None:
    proof = prove(
        page(
            span(0, 401), sorted(minutes), newest_first=newest_first, again=span(0, 401) if again else None, limit=20
        )
    )
    for part in proof.proven:
        assert span(0, 401).contains(part)
    if len(minutes) <= 20:
        assert all(any(p.start <= row[0] < p.end for p in proof.proven) for row in at(*minutes))


def test_a_float_sum_in_another_order_is_no_change() -> None:
    old = [(T0, 1.0, 1.0, 1.0, 1.0, 0.1 + 0.2)]
    assert changes(old, [(T0, 1.0, 1.0, 1.0, 1.0, 0.3)]) == ([], [])
    assert changes(old, [(T0, 1.0, 2.0, 1.0, 1.0, 0.3)]) == (old, [])
    assert changes(old, []) == ([], old)


@given(st.sets(st.integers(0, 300)))
def test_long_runs_are_the_silent_stretches(minutes: set[int]) -> None:
    silent = [minute not in minutes for minute in range(301)]
    expected, begin = [], None
    for minute, is_silent in enumerate([*silent, False]):
        if is_silent and begin is None:
            begin = minute
        elif not is_silent and begin is not None:
            if minute - begin >= LONG_SILENCE:
                expected.append(span(begin, minute))
            begin = None
    assert long_runs(M1, span(0, 301), [row[0] for row in at(*sorted(minutes))]) == expected


def test_silences_are_asked_about_again_at_three_ages() -> None:
    asked = [0]
    while (due := recheck_at(0, asked[-1])) is not None:
        asked.append(due)
    assert asked[1:] == list(RECHECK_AGES)
    assert recheck_at(0, 31 * DAY) is None
