"""The rules of gaps: what is missing, what an answer leaves of a gap, and how long the next attempt waits."""

import pytest
from answers import M1, minute, span
from hypothesis import given
from hypothesis import strategies as st

from mdata.cli.commands.repair import repair
from mdata.domain.gaps import Gap, Status, after_attempt, judge, missing
from mdata.domain.interval import Range
from mdata.domain.retries import ASK_AGAIN, MOST_ATTEMPTS
from mdata.domain.timeframe import HOUR, TIMEFRAMES

ALWAYS = Range(-(2**62), 2**62)
NOW = minute(0)


def gap(about: Range, status: Status = "open", next_at: int | None = None) -> Gap:
    return Gap(7, about, status, 0, 0, next_at)


def test_what_is_unknown_inside_the_hull_and_lost_anywhere_is_missing() -> None:
    uncovered, lost = [span(-10, 5), span(20, 30), span(90, 200)], [minute(40), minute(41), minute(50), minute(300)]
    expected = [span(0, 5), span(20, 30), span(40, 42), span(50, 51), span(90, 100), span(300, 301)]
    assert missing(M1, span(0, 100), uncovered, lost, ALWAYS) == expected
    assert missing(M1, span(0, 100), uncovered, lost, span(25, 41)) == [span(25, 30), span(40, 41)]
    assert missing(M1, None, uncovered, lost, ALWAYS) == []


def test_of_a_lost_row_off_the_grid_the_interval_is_missing() -> None:
    assert missing(M1, span(0, 100), [], [minute(7) + 1], ALWAYS) == [span(7, 8)]
    grid = TIMEFRAMES["1M"]
    start = grid.floor(NOW)
    assert missing(grid, Range(start, NOW), [], [NOW], ALWAYS) == [Range(start, grid.next(start))]


def test_an_answer_leaves_of_a_gap_what_it_does_not_prove() -> None:
    found = judge(gap(span(10, 20)), [span(0, 12), span(15, 16), span(18, 30)])
    assert found.left == [span(12, 15), span(16, 18)]
    assert found.answered == [span(10, 12), span(15, 16), span(18, 20)]
    assert found.gap.id == 7


@pytest.mark.parametrize(("attempts", "hours"), [(1, 1), (2, 6), (3, 24), (4, 24), (MOST_ATTEMPTS - 1, 24)])
def test_each_attempt_waits_longer(attempts: int, hours: int) -> None:
    assert after_attempt(attempts, NOW) == ("open", NOW + hours * HOUR)


def test_a_gap_is_given_up_after_eight_attempts() -> None:
    assert MOST_ATTEMPTS == 8
    assert after_attempt(8, NOW) == after_attempt(9, NOW) == ("failed", None)


@pytest.mark.parametrize(
    ("next_at", "is_due"),
    [
        (None, True), (NOW, True), (NOW - 1, True), (NOW + 1, False), (NOW + 24 * HOUR, False),
        (NOW + 24 * HOUR + 1, True),  # a clock that ran ahead has noted that down
    ],
)  # fmt: skip
def test_a_gap_is_due_when_it_has_waited(next_at: int | None, is_due: bool) -> None:
    assert gap(span(0, 1), next_at=next_at).is_due(NOW) is is_due
    for status in ("repaired", "empty", "failed"):
        assert not gap(span(0, 1), status, next_at).is_due(NOW)


@given(st.integers(1, 20))
def test_no_gap_waits_for_longer_than_a_day(attempts: int) -> None:
    _, instant = after_attempt(attempts, NOW)
    assert instant is None or NOW < instant <= NOW + 24 * HOUR


def test_the_help_of_repair_tells_the_rules() -> None:
    hours = ", ".join(str(wait // HOUR) for wait in ASK_AGAIN)
    told = " ".join((repair.__doc__ or "").split())
    assert f"after {hours} hours and so on, and given up after {MOST_ATTEMPTS} attempts" in told
