"""`status`: what the store holds, what is missing, how the jobs went, and whether that is healthy."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mdata.config import Settings
from mdata.domain.moment import human_duration, iso
from mdata.domain.planning import is_quiet
from mdata.domain.series import Series
from mdata.domain.strip import Known
from mdata.errors import NEXT_ATTEMPT
from mdata.jobs import JOBS
from mdata.locks import holder
from mdata.store import overview
from mdata.store import series as table
from mdata.store.engine import SCHEMA_VERSION, Connection, Store
from mdata.store.overview import Counts, Gaps, LastRun
from mdata.store.sqlite import SQLITE_VERSION, has_wal_reset_bug
from mdata.store.watch import file_status
from mdata.units import marker as note
from mdata.units.marker import Marker

if TYPE_CHECKING:
    from collections.abc import Iterable

# So many names stand in a sentence; of the others it tells the number.
_NAMED = 3
# How long (s) systemd may take to tell when the timers run next.
_PATIENCE = 2.0


class SeriesState(NamedTuple):
    """One series: what is stored, what is wanted, its gaps, and how far behind it is (seconds).

    `is_retired`: it is no longer in the settings, shown and not judged. `is_quiet`: the exchange has answered for
    30 days and more without a candle, so it is asked once a day only, and never called stale.
    """

    series: Series
    counts: Counts
    known: Known
    gaps: Gaps
    lag_seconds: int
    is_retired: bool
    is_quiet: bool

    @property
    def is_complete(self) -> bool:
        """Whether nothing wanted is unknown and no gap is open."""
        return self.counts.unknown == 0 and self.gaps.unresolved == 0

    @property
    def has_no_data(self) -> bool:
        """Whether nothing is stored of a series of which something is wanted."""
        return self.counts.hull_end is None and self.counts.wanted.end > self.counts.wanted.start

    def is_stale(self, max_lag: int) -> bool:
        """Whether it lags more than `max_lag` seconds behind, and should not."""
        return self.lag_seconds > max_lag and not self.is_quiet and not self.has_no_data


class Status(NamedTuple):
    """Everything `status` shows, at `now` (ms UTC); `absent` are configured series that nothing is known of.

    `running` tells since when (ISO 8601, None: unknown) each command that is at work now has been; `blocked_until`
    for how long the rate limit lets nobody ask.
    """

    now: int
    series: list[SeriesState]
    absent: list[str]
    gaps: Gaps
    jobs: dict[str, LastRun]
    running: dict[str, str | None]
    path: Path
    bytes: int
    wal_bytes: int
    schema_version: int
    sqlite_version: str
    marker: Marker | None = None
    next_runs: dict[str, int | None] | None = None
    blocked_until: int | None = None
    warnings: tuple[str, ...] = ()


def collect(
    settings: Settings, store: Store | None, now: int, *, narrowed: bool = False, silent: bool = False
) -> Status:
    """Read the state of the store, or of none yet, in one consistent look.

    `narrowed`: leave out what the settings do not name. `silent`: with the silences that a strip wants.
    """
    path = settings.database_path
    state = Status(
        now, [], [], Gaps(), {}, _running(path), path, 0, 0, 0, SQLITE_VERSION, marker=note.read(path)
    )  # fmt: skip
    if store is not None:
        with store.read() as connection:
            state = _read(connection, settings, state, narrowed=narrowed, silent=silent)
    known = {one.series.name for one in state.series}
    wanted = [f"{symbol} {timeframe.name}" for symbol in settings.symbols for timeframe in settings.timeframes]
    state = state._replace(absent=sorted(name for name in wanted if name not in known))
    return state._replace(warnings=tuple(_warnings(state)))


def _read(connection: Connection, settings: Settings, state: Status, *, narrowed: bool, silent: bool) -> Status:
    configured = {(symbol, timeframe) for symbol in settings.symbols for timeframe in settings.timeframes}
    settle, gaps, found = settings.settle_seconds * 1000, overview.gaps(connection), []
    for series in table.every(connection):
        is_retired = (series.symbol, series.timeframe) not in configured
        if narrowed and is_retired:
            continue
        counts, known = overview.look(connection, series, series.wanted(state.now, settle), silent=silent)
        found.append(
            SeriesState(
                series, counts, known, gaps.get(series.id, Gaps()), _lag(series, counts, state.now - settle),
                is_retired, _is_quiet(series, counts),
            )
        )  # fmt: skip
    wal = file_status(state.path.with_name(f"{state.path.name}-wal"))
    return state._replace(
        series=found,
        gaps=overview.together(one.gaps for one in found),
        jobs=overview.last_runs(connection),
        bytes=overview.file_size(connection),
        wal_bytes=wal.st_size if wal else 0,
        schema_version=SCHEMA_VERSION,
    )


def _lag(series: Series, counts: Counts, settled: int) -> int:
    """Return for how many seconds the oldest settled interval after the newest coverage has been settled."""
    start, end = counts.wanted
    newest = max(counts.hull_end, start) if counts.hull_end is not None else start
    return max(0, settled - series.timeframe.next(newest)) // 1000 if newest < end else 0


def _is_quiet(series: Series, counts: Counts) -> bool:
    """Whether the exchange has answered for long without a candle; what nobody asks about is stale, and not quiet."""
    last = counts.last if counts.last is not None else series.first_candle
    return last is None or (counts.hull_end is not None and is_quiet(series.timeframe, last, counts.hull_end))


def _running(path: Path) -> dict[str, str | None]:
    found = {command: holder(path, command) for command in JOBS}
    return {command: by.since for command, by in found.items() if by is not None}


def outcome(state: Status, command: str) -> str:
    """Return how the newest run of a command went; one that never ended and is not at work was interrupted."""
    last = state.jobs[command]
    return "interrupted" if last.outcome == "running" and command not in state.running else last.outcome


def with_next_runs(state: Status) -> Status:
    """Return the status with the next run of every timer, where a systemd manager schedules the store.

    Where that does not answer soon, the next runs stay unknown.
    """
    if state.marker is None:
        return state
    from mdata.units import manager

    found = manager.elapses(state.marker, _PATIENCE)
    return state if found is None else state._replace(next_runs={one.job: one.next_at for one in found})


def _warnings(state: Status) -> list[str]:
    """Return what somebody should look at, a sentence each."""
    found = []
    if state.absent:
        found.append(f"nothing is stored of {_named(state.absent)} yet: run `mdata backfill`")
    if state.marker is not None and state.marker.is_outdated():
        found.append(
            f"the systemd units were written by mdata {state.marker.version}, which is older than this one: "
            "run `mdata timers install` again"
        )
    if has_wal_reset_bug(state.sqlite_version):
        found.append(
            f"SQLite {state.sqlite_version} can lose pages when two programs write at once; mdata's own jobs take "
            "turns and are safe, but let no other program write to the store, or run `pip install pysqlite3`"
        )
    return found


def complaints(state: Status, max_lag: int, max_gaps: int) -> list[str]:
    """Return why the store is not healthy, what to do and when, a sentence each; nothing when it is healthy.

    `max_lag` is in seconds.
    """
    judged = [one for one in state.series if not one.is_retired]
    found, attempts = [], []
    if missing := [*state.absent, *(one.series.name for one in judged if one.has_no_data)]:
        found.append(f"{_named(missing)} {'has' if len(missing) == 1 else 'have'} no data: run `mdata backfill`")
        attempts.append(0)
    if stale := sorted((one for one in judged if one.is_stale(max_lag)), key=lambda one: -one.lag_seconds):
        names = _named([one.series.name for one in stale])
        lag, limit = human_duration(stale[0].lag_seconds), human_duration(max_lag)
        behind = f"is {lag} behind" if len(stale) == 1 else f"are up to {lag} behind"
        found.append(f"{names} {behind} (limit {limit}): run `mdata update`")
        attempts.append(0)
    gaps = overview.together(one.gaps for one in judged)
    if gaps.unresolved > max_gaps:
        found.append(_about_gaps(gaps, max_gaps))
        attempts.append(gaps.next_attempt_at or 0)
    return [*found, _next_attempt(state, min(attempts))] if found else []


def _about_gaps(gaps: Gaps, max_gaps: int) -> str:
    text = f"{gaps.unresolved} {'gap is' if gaps.unresolved == 1 else 'gaps are'} open"
    if gaps.failed:
        text += f", {gaps.failed} of them given up"
    return f"{text} (limit {max_gaps}): run `mdata repair{'' if gaps.open else ' --retry-failed'}`"


def _next_attempt(state: Status, earliest: int) -> str:
    instant = max(earliest, state.blocked_until or 0)
    return f"{NEXT_ATTEMPT} {f'at {iso(instant)}' if instant > state.now else 'at once'}"


def _named(names: "Iterable[str]") -> str:
    first, rest = list(names)[:_NAMED], list(names)[_NAMED:]
    if rest:
        return f"{', '.join(first)} and {len(rest)} more"
    return " and ".join(filter(None, (", ".join(first[:-1]), first[-1])))
