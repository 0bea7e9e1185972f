"""`status`: what the store holds, what is missing, and whether that is healthy."""

from pathlib import Path
from typing import NamedTuple

from mdata.config import Settings
from mdata.domain.planning import is_quiet
from mdata.domain.series import Series
from mdata.store import overview
from mdata.store import series as table
from mdata.store.engine import SCHEMA_VERSION, SQLITE_VERSION, Store
from mdata.store.overview import Counts, LastRun


class SeriesState(NamedTuple):
    """One series: what is stored, what is wanted, and how far behind it is (seconds)."""

    series: Series
    counts: Counts
    lag_seconds: int
    is_retired: bool
    is_quiet: bool

    @property
    def is_complete(self) -> bool:
        """Whether nothing wanted is unknown and no gap is open."""
        return self.counts.unknown == 0 and self.counts.gaps == 0


class Status(NamedTuple):
    """Everything `status` shows, at `now` (ms UTC); `absent` are configured series that nothing is known of."""

    now: int
    series: list[SeriesState]
    absent: list[str]
    gaps: dict[str, int]
    jobs: dict[str, LastRun]
    path: Path
    bytes: int
    wal_bytes: int
    schema_version: int
    sqlite_version: str


def collect(settings: Settings, store: Store | None, now: int) -> Status:
    """Read the state of the store, or of none yet, in one consistent look."""
    configured = {(symbol, timeframe.name) for symbol in settings.symbols for timeframe in settings.timeframes}
    if store is None:
        absent = sorted(f"{symbol} {timeframe}" for symbol, timeframe in configured)
        no_gaps = {"open": 0, "repaired": 0, "empty": 0, "failed": 0}
        return Status(now, [], absent, no_gaps, {}, settings.database_path, 0, 0, 0, SQLITE_VERSION)
    with store.read() as connection:
        states = []
        for series in table.every(connection):
            wanted = series.wanted(now, settings.settle_seconds * 1000)
            counts = overview.counts(connection, series, wanted)
            states.append(_state(series, counts, configured, now, settings.settle_seconds * 1000))
        known = {(state.series.symbol, state.series.timeframe.name) for state in states}
        absent = sorted(f"{symbol} {timeframe}" for symbol, timeframe in configured - known)
        gaps, jobs = overview.gaps_by_status(connection), overview.last_runs(connection)
        size, _ = overview.file_sizes(connection)
    wal = store.path.with_name(store.path.name + "-wal")
    wal_bytes = wal.stat().st_size if wal.exists() else 0
    return Status(now, states, absent, gaps, jobs, store.path, size, wal_bytes, SCHEMA_VERSION, SQLITE_VERSION)


def _state(series: Series, counts: Counts, configured: set[tuple[str, str]], now: int, settle: int) -> SeriesState:
    grid, (start, end) = series.timeframe, counts.wanted
    newest = max(counts.hull_end, start) if counts.hull_end is not None else start
    lag = now - settle - grid.next(newest) if newest < end else 0
    last = counts.last if counts.last is not None else series.first_candle
    return SeriesState(
        series,
        counts,
        max(0, lag) // 1000,
        (series.symbol, series.timeframe.name) not in configured,
        # As far as anybody has asked: what nobody asks about is stale, and not quiet.
        last is None or (counts.hull_end is not None and is_quiet(grid, last, counts.hull_end)),
    )


def complaints(status: Status, max_lag: int, max_gaps: int) -> list[str]:
    """Return why the store is not healthy, a sentence each; nothing when it is. `max_lag` is in seconds."""
    found = [f"{name} has no data" for name in status.absent]
    gaps = 0
    for state in status.series:
        if state.is_retired:
            continue
        gaps += state.counts.gaps
        if state.counts.hull_end is None and state.series.first_candle is not None:
            found.append(f"{state.series.name} has no data")
        elif state.lag_seconds > max_lag and not state.is_quiet:
            found.append(f"{state.series.name} is {state.lag_seconds // 60} min behind (limit {max_lag // 60} min)")
    if gaps > max_gaps:
        found.append(f"{gaps} gaps are open (limit {max_gaps})")
    return found
