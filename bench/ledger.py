"""What the ledger answers without reading candles: gaps and status, on a small store and on a large one."""

from collections.abc import Callable

from bench.measure import Cost, Spread, against, in_turn, number, ratio, seconds, walls
from bench.start import nothing, process
from bench.stores import Store
from bench.table import Row
from mdata.jobs.detect_gaps import find_missing
from mdata.store import series as table
from mdata.store.audit import count_segments
from mdata.store.opening import open_for_reading
from mdata.store.sqlite import sqlite3

_LAG = """SELECT count(*) FROM (SELECT open_time - lag(open_time) OVER (ORDER BY open_time) AS step
          FROM candles WHERE series_id = ?) WHERE step <> 60000"""


def rows(small: Store, large: Store | None, rounds: int) -> list[Row]:
    """Measure gap detection and status; without a large store, its figures are left out."""
    goals = [
        ("`detect-gaps` query over 10.5 M rows ÷ per-series SQL LAG", 1 / 500, 1 / 1000),
        ("`detect-gaps`, whole process, 10.5 M rows, 1,000 gaps, 100 of them lost candles ÷ pass", 15, 9),
        ("`detect-gaps` at 10.5 M rows ÷ at 1 M (with the same number of covered ranges and gaps)", 1.3, 1.05),
        ("`status` at 10.5 M rows ÷ at 1 M (with the same number of covered ranges and gaps)", 1.3, 1.05),
        ("deep audit (row counts against the ledger) ÷ COUNT(*) per series", 3, 2),
    ]
    measured: list[tuple[Spread | None, str]] = [(None, "not in the quick run")] * 4
    if large is not None:
        measured = [_query(large), *_processes(small, large, rounds)]
    measured.append(_audit(large or small))
    return [Row(goal, require, aim, *found) for (goal, require, aim), found in zip(goals, measured, strict=True)]


def _query(store: Store) -> tuple[Spread, str]:
    opened = open_for_reading(store.path)
    assert opened is not None
    found: list[int] = []

    def ours() -> float:
        found.clear()
        return seconds(lambda: found.extend(len(find_missing(opened.connection, one)) for one in every))

    with opened:
        every = table.every(opened.connection)
        (times,) = in_turn(9, ours)
        lag = seconds(lambda: [opened.connection.execute(_LAG, (one.id,)).fetchone() for one in every])
    took = Spread.of(times).median
    return Spread.of([took / lag]), f"{number(took * 1000)} ms against {number(lag * 1000)} ms, {sum(found):,} gaps"


def _audit(store: Store) -> tuple[Spread, str]:
    """Measure the counts of `verify` against the minimum that counts all rows, and the whole command as well."""
    opened = open_for_reading(store.path)
    assert opened is not None
    ask = opened.connection.execute
    with opened:
        every = table.every(opened.connection)
        counted, counts, whole = in_turn(
            5,
            lambda: seconds(lambda: [count_segments(opened.connection, one.id) for one in every]),
            lambda: seconds(
                lambda: [
                    ask("SELECT count(*) FROM candles WHERE series_id = ?", (one.id,)).fetchone() for one in every
                ]
            ),
            lambda: process(store.environ(), "verify", "--dry-run")().wall,
        )
    found = Spread.of(counted).median, Spread.of(counts).median, Spread.of(whole).median
    told = (
        f"{number(found[0])} s against {number(found[1])} s; `verify`, SQLite's own check too, {number(found[2])} s"
    )
    return ratio(counted, counts), told


def _processes(small: Store, large: Store, rounds: int) -> list[tuple[Spread, str]]:
    """Measure whole processes: finding gaps for the first time, finding listed gaps again, `status`."""
    passed, first, again = in_turn(rounds, nothing, _detection(large), process(large.environ(), "detect-gaps"))
    found, processor = against(first, passed)
    listed = ratio(walls(again), walls(passed)).median
    rows = [(found, f"{processor}; if all gaps are listed already: {listed:.1f}")]
    small_one, large_one = in_turn(rounds, _detection(small), _detection(large))
    rows.append(against(large_one, small_one))
    small_one, large_one = in_turn(
        rounds, *(process(store.environ(), "status", "--json") for store in (small, large))
    )
    return [*rows, against(large_one, small_one)]


def _detection(store: Store) -> Callable[[], Cost]:
    """Return a work that finds all gaps of a store for the first time."""
    run = process(store.environ(), "detect-gaps")

    def first() -> Cost:
        with sqlite3.connect(store.path) as connection:
            connection.execute("DELETE FROM data_gaps")
        connection.close()
        return run()

    return first
