"""The coverage strip against a strip drawn interval by interval."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.coverage_bar import KnownRanges, draw
from mdata.domain.interval import Range, normal
from mdata.domain.timeframe import TIMEFRAMES, Timeframe

NOW = 1_717_243_380_000


@st.composite
def ledgers(draw_one: st.DrawFn) -> tuple[Timeframe, Range, KnownRanges, dict[int, str]]:
    """A wanted range, what the ledger says around it, and the verdict on each of its intervals by grid index."""
    grid = TIMEFRAMES[draw_one(st.sampled_from(["1m", "1D", "1W", "1M"]))]
    wanted_count, before, after = (
        draw_one(st.integers(0, 90)),
        draw_one(st.integers(0, 9)),
        draw_one(st.integers(0, 9)),
    )
    start = grid.shift(NOW, -200)
    verdicts = draw_one(
        st.lists(
            st.sampled_from(["present", "empty", "provisional", "unknown", "lost"]),
            min_size=before + wanted_count + after, max_size=before + wanted_count + after,
        )
    )  # fmt: skip
    at = {grid.index(start) + place: verdict for place, verdict in enumerate(verdicts)}

    def ranges(*kinds: str) -> list[Range]:
        return normal(Range(grid.open_time(i), grid.open_time(i + 1)) for i, kind in at.items() if kind in kinds)

    known = KnownRanges(
        ranges("present", "empty", "lost"), ranges("provisional"), ranges("empty"),
        [grid.open_time(i) for i, kind in at.items() if kind == "lost"],
    )  # fmt: skip
    wanted = Range(grid.shift(start, before), grid.shift(start, before + wanted_count))
    return grid, wanted, known, {i: at[i] for i in range(grid.index(wanted.start), grid.index(wanted.end))}


def expected(verdicts: list[str]) -> str:
    kinds = set(verdicts)
    if "lost" in kinds:
        return "lost"
    if "unknown" in kinds:
        return "unknown" if kinds == {"unknown"} else "partly unknown"
    if "provisional" in kinds:
        return "provisional"
    return "empty" if kinds == {"empty"} else "present"


@given(ledgers(), st.integers(1, 100))
def test_every_cell_shows_the_worst_of_its_intervals(
    ledger: tuple[Timeframe, Range, KnownRanges, dict[int, str]], width: int
) -> None:
    grid, wanted, known, at = ledger
    cells = draw(grid, wanted, known, width)
    verdicts = [at[index] for index in sorted(at)]
    if not verdicts:
        assert cells == []
        return
    assert len(cells) == width
    if width <= len(verdicts):
        edges = [i * len(verdicts) // width for i in range(width + 1)]
        assert cells == [expected(verdicts[a:b]) for a, b in pairwise(edges)]
    else:
        # Stretched: every interval shows, in order, and none but its own verdict.
        runs = [expected([verdict]) for verdict in verdicts]
        assert [cells[-(-i * width // len(verdicts))] for i in range(len(verdicts))] == runs
        assert set(cells) == set(runs)


@given(ledgers(), st.integers(1, 100))
def test_a_hole_of_one_interval_is_never_hidden(
    ledger: tuple[Timeframe, Range, KnownRanges, dict[int, str]], width: int
) -> None:
    grid, wanted, known, at = ledger
    cells = set(draw(grid, wanted, known, width))
    assert ("lost" in cells) == ("lost" in at.values())
    if "unknown" in at.values():
        assert cells & {"unknown", "partly unknown", "lost"}
    elif "lost" not in at.values():
        assert not cells & {"unknown", "partly unknown"}


def test_no_width_is_no_strip() -> None:
    grid = TIMEFRAMES["1m"]
    assert draw(grid, Range(NOW, grid.shift(NOW, 5)), KnownRanges([], [], [], []), 0) == []


def test_a_decade_of_minutes_is_drawn_from_two_segments() -> None:
    grid = TIMEFRAMES["1m"]
    start, hole = grid.shift(NOW, -5_000_000), grid.shift(NOW, -1_000)
    known = KnownRanges([Range(start, hole), Range(grid.next(hole), NOW)], [], [], [])
    cells = draw(grid, Range(start, NOW), known, 50)
    assert cells == ["present"] * 49 + ["partly unknown"]
