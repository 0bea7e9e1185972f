"""`status`: what is stored, what is missing, how the jobs went, and whether that is healthy."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mdata.config import Settings
from mdata.domain.coverage_bar import KnownRanges
from mdata.domain.doubt import Doubt
from mdata.domain.quiet import ABSENT_FOR, is_quiet
from mdata.domain.series import Series
from mdata.exit_codes import CONFIGURATION
from mdata.fetching.wanted import Target, target_of, targets
from mdata.locks import holder
from mdata.running.commands import JOBS
from mdata.store import gap_counts, summary
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.engine import Store
from mdata.store.gap_counts import GapCounts
from mdata.store.last_runs import LastRun, last_runs
from mdata.store.mending import missing_triggers
from mdata.store.schema import SCHEMA_VERSION
from mdata.store.sqlite import SQLITE_VERSION, wal_reset_warning
from mdata.store.summary import Counts
from mdata.store.watch import file_status
from mdata.timers import owner as note
from mdata.timers.owner import Marker

if TYPE_CHECKING:
    from collections.abc import Iterable

# How many names a message lists; the others are only counted.
_NAMED = 3
# How long (s) systemd may take to report when the timers run next.
_PATIENCE = 2.0


class SeriesState(NamedTuple):
    """One series: what is stored, what is wanted, its gaps, and how far behind it is (seconds).

    `is_retired`: it is no longer in the settings, so it is shown but not judged. `is_quiet`: the exchange has
    answered without a candle for more than 30 days, or has had none at all for a day, so it is requested only once a
    day and never called stale. `is_delisted`: the exchange no longer serves anything of it. `is_confirmed`: more than
    one answer supports what is stored.
    """

    series: Series
    counts: Counts
    known: KnownRanges
    gaps: GapCounts
    lag_seconds: int
    is_retired: bool
    is_quiet: bool
    is_delisted: bool = False
    is_confirmed: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether nothing wanted is unknown, no gap is unresolved, and a second answer has confirmed the first."""
        return self.counts.unknown == 0 and self.gaps.unresolved == 0 and self.is_confirmed and not self.has_no_data

    @property
    def has_no_data(self) -> bool:
        """Whether something is wanted of the series but nothing is stored."""
        return self.counts.hull_end is None and self.counts.wanted.end > self.counts.wanted.start

    def is_stale(self, max_lag: int) -> bool:
        """Whether it lags by more than `max_lag` seconds, and is neither quiet nor delisted nor without data."""
        return self.lag_seconds > max_lag and not (self.is_quiet or self.is_delisted or self.has_no_data)


class Status(NamedTuple):
    """Everything `status` shows, at `now` (ms UTC); `absent` are configured series that nothing is known of.

    `running` maps each command that is running now to when it began (ISO 8601, None: unknown); until `blocked_until`
    the rate limit allows no requests.
    """

    now: int
    series: list[SeriesState]
    absent: list[Target]
    gaps: GapCounts
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
    missing_triggers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def collect(
    settings: Settings, store: Store | None, now: int, *, narrowed: bool = False, silent: bool = False
) -> Status:
    """Read the state of the store in one transaction; the store may not exist yet.

    `narrowed` leaves out series that are not in the settings; `silent` adds the silences for a coverage bar.
    """
    path = settings.database_path
    state = Status(
        now, [], [], GapCounts(), {}, _running(path), path, 0, 0, 0, SQLITE_VERSION, marker=note.read(path)
    )  # fmt: skip
    if store is not None:
        with store.read() as connection:
            state = _read(connection, settings, state, narrowed=narrowed, silent=silent)
            state = state._replace(missing_triggers=tuple(missing_triggers(connection)))
    known = [target_of(one.series) for one in state.series]
    absent = sorted((one for one in targets(settings) if one not in known), key=lambda one: one.name)
    state = state._replace(absent=absent)
    return state._replace(warnings=tuple(_warnings(state)))


def _read(connection: Connection, settings: Settings, state: Status, *, narrowed: bool, silent: bool) -> Status:
    configured = targets(settings)
    settle, gaps, found = settings.settle, gap_counts.of_every_series(connection), []
    for series in table.every(connection):
        is_retired = target_of(series) not in configured
        if narrowed and is_retired:
            continue
        counts, known, doubts = summary.look(connection, series, series.wanted(state.now, settle), silent=silent)
        found.append(
            SeriesState(
                series, counts, known, gaps.get(series.id, GapCounts()), _lag(series, counts, state.now - settle),
                is_retired, _is_quiet(series, counts, doubts),
                is_delisted=bool(known.unobtainable) and known.unobtainable[-1].end == counts.wanted.end,
                is_confirmed=not any(doubt.kind == "unconfirmed" for doubt in doubts),
            )
        )  # fmt: skip
    wal = file_status(state.path.with_name(f"{state.path.name}-wal"))
    return state._replace(
        series=found,
        gaps=gap_counts.together(one.gaps for one in found),
        jobs=last_runs(connection),
        bytes=summary.file_size(connection),
        wal_bytes=wal.st_size if wal else 0,
        schema_version=SCHEMA_VERSION,
    )


def _lag(series: Series, counts: Counts, settled: int) -> int:
    """Return how many seconds ago the first interval after the newest coverage settled; 0 if it has not yet."""
    start, end = counts.wanted
    newest = max(counts.hull_end, start) if counts.hull_end is not None else start
    return max(0, settled - series.timeframe.next(newest)) // 1000 if newest < end else 0


def _is_quiet(series: Series, counts: Counts, doubts: list[Doubt]) -> bool:
    """Whether the exchange has long answered without a candle; a series without answers is stale, not quiet."""
    if counts.last is None:
        return any(doubt.kind == "silence" and doubt.asked_at - doubt.since >= ABSENT_FOR for doubt in doubts)
    return counts.hull_end is not None and is_quiet(series.timeframe, counts.last, counts.hull_end)


def _running(path: Path) -> dict[str, str | None]:
    found = {command: holder(path, command) for command in JOBS}
    return {command: by.since for command, by in found.items() if by is not None}


def outcome(state: Status, command: str) -> str:
    """Return how the newest run of a command went; a run that never ended and is not running was interrupted."""
    last = state.jobs[command]
    return "interrupted" if last.outcome == "running" and command not in state.running else last.outcome


def with_next_runs(state: Status) -> Status:
    """Return the status with the next run of every timer, if systemd timers use the store.

    If systemd does not answer soon, the next runs stay unknown.
    """
    if state.marker is None:
        return state
    from mdata.timers import manager

    found = manager.elapses(state.marker, _PATIENCE)
    return state if found is None else state._replace(next_runs={one.job: one.next_at for one in found})


def _warnings(state: Status) -> list[str]:
    """Return warnings, one sentence each."""
    found = []
    if state.absent:
        text = f"no candles of {named(one.name for one in state.absent)} are stored yet"
        found.append(f"{text}{with_advice(state)}")
    if state.missing_triggers:
        found.append(
            f"another program has removed the triggers {' and '.join(state.missing_triggers)}, without which deleted "
            "candles are not noticed: run `mdata verify`, which restores them and counts all candles"
        )
    if state.marker is not None and state.marker.is_outdated():
        found.append(
            f"the systemd units were written by an older mdata ({state.marker.version}): "
            "run `mdata timers install` again"
        )
    warning = wal_reset_warning(state.sqlite_version)
    if warning is not None:
        found.append("; ".join(warning))
    return found


def with_advice(state: Status) -> str:
    """Return the end of a sentence about configured series without candles: what to do about them."""
    last = state.jobs.get("backfill")
    if state.absent and last is not None and last.exit == CONFIGURATION:
        # Another backfill would end in the same way: according to the record, the exchange does not know the pair.
        return f", and the last backfill ended with {last.exit}: see `mdata jobs`, correct SYMBOLS"
    return ": run `mdata backfill`"


def named(names: "Iterable[str]") -> str:
    """Return the first few names, and how many more there are."""
    first, rest = list(names)[:_NAMED], list(names)[_NAMED:]
    if rest:
        return f"{', '.join(first)} and {len(rest)} more"
    return " and ".join(filter(None, (", ".join(first[:-1]), first[-1])))
