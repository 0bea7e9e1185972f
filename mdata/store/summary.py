"""What the ledger says about every series, at a cost that grows with its segments and not with its candles."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mdata.domain.coverage_bar import Known
from mdata.domain.doubt import Doubt
from mdata.domain.gaps import missing
from mdata.domain.interval import Range, clip, count_within, intersect, normal, subtract
from mdata.domain.series import Series
from mdata.domain.timeframe import DAY
from mdata.store import candles, coverage, doubts, silences
from mdata.store.connection import Connection
from mdata.store.coverage import Segment

# Silences shorter than this share of the wanted range fill no cell of any strip, and are not read.
_CELLS = 400


class Counts(NamedTuple):
    """The state of one series: times are ms UTC, counts are intervals of the wanted range.

    wanted = present + empty + provisional + unknown; final = present + empty. Among the unknown are the `lost` ones,
    the `doubted` (one answer called them silent), the `unobtainable`, the `backlog` (outside the hull, and to be had)
    and of that the `newer`, and what `verify` has `withdrawn`. `holes` are the others: unknown inside the hull, as
    `detect-gaps` would list them.
    `candles` counts all that are stored; `hull_end` is the end of the newest coverage, `early` how many candles have
    been provisional for more than a day, `silent_since` since when there has been a remarkable silence, if any.
    """

    first: int | None
    last: int | None
    candles: int
    wanted: Range
    final: int
    provisional: int
    empty: int
    unknown: int
    lost: int
    hull_end: int | None
    doubted: int = 0
    unobtainable: int = 0
    backlog: int = 0
    newer: int = 0
    withdrawn: int = 0
    early: int = 0
    silent_since: int | None = None
    holes: tuple[Range, ...] = ()

    @property
    def present(self) -> int:
        """Return how many intervals are final and have a candle."""
        return self.final - self.empty


def look(
    connection: Connection, series: Series, wanted: Range, *, silent: bool = False
) -> tuple[Counts, Known, list[Doubt]]:
    """Return what is known of a series, counted and in ranges, and its doubts.

    `silent`: with its silences, which a strip wants.
    """
    grid, segments = series.timeframe, coverage.segments(connection, series.id)
    lost, restored = candles.marks(connection, series.id)
    doubted, gone = doubts.of(connection, series.id), doubts.unobtainable(connection, series.id)
    covered = normal(segment.range for segment in segments)
    uncovered = subtract([wanted] if wanted.start < wanted.end else [], covered)
    known = Known(
        normal(segment.range for segment in segments if segment.kind == "final"),
        normal(segment.range for segment in segments if segment.kind == "provisional"),
        _silences(connection, series, wanted, segments) if silent else [],
        lost,
        intersect(uncovered, normal(doubt.range for doubt in doubted if doubt.kind == "silence")),
        intersect(uncovered, gone),
    )
    final, provisional = clip(known.final, *wanted), clip(known.provisional, *wanted)
    lost_final, lost_provisional = count_within(lost, final), count_within(lost, provisional)
    finally_known = sum(grid.count(*part) for part in final) - lost_final
    provisionally_known = sum(grid.count(*part) for part in provisional) - lost_provisional
    held = sum(
        _held(connection, series.id, segment, wanted, restored) for segment in segments if segment.kind == "final"
    )
    hull = Range(segments[0].start, segments[-1].end) if segments else None
    outside = subtract(subtract(uncovered, [hull] if hull else []), gone)
    last = candles.last_before(connection, series.id, 2**62)
    counts = Counts(
        first=candles.first_from(connection, series.id, -(2**62)),
        last=last,
        candles=sum(segment.candles for segment in segments) + len(restored),
        wanted=wanted,
        final=finally_known,
        provisional=provisionally_known,
        empty=finally_known - held,
        unknown=grid.count(*wanted) - finally_known - provisionally_known,
        lost=lost_final + lost_provisional,
        hull_end=segments[-1].end if segments else None,
        doubted=sum(grid.count(*part) for part in known.doubted),
        unobtainable=sum(grid.count(*part) for part in known.unobtainable),
        backlog=sum(grid.count(*part) for part in outside),
        withdrawn=sum(
            grid.count(*part)
            for part in intersect(uncovered, normal(doubt.range for doubt in doubted if doubt.kind == "withdrawn"))
        ),
        newer=sum(grid.count(*part) for part in outside if hull and part.start >= hull.end),
        early=_early(connection, series.id, segments, wanted.end - DAY),
        silent_since=_silent_since(connection, series, last, doubted),
        holes=tuple(find_holes(series, hull, covered, lost, gone)),
    )
    return counts, known, doubted


def find_holes(
    series: Series, hull: Range | None, covered: list[Range], lost: list[int], gone: list[Range]
) -> list[Range]:
    """Return the gaps that a series has now, by its coverage and its marks of lost candles alone."""
    if hull is None:
        return []
    kept = Range(series.cleaned_to or 0, 2**62)
    return missing(series.timeframe, hull, subtract([hull], normal([*covered, *gone])), lost, kept)


def _early(connection: Connection, series_id: int, segments: list[Segment], before: int) -> int:
    """Count the candles before an instant (ms UTC) that no settled answer has confirmed."""
    parts = (one.range.clip(one.start, before) for one in segments if one.kind == "provisional" and one.candles)
    return sum(candles.count(connection, series_id, part) for part in parts if part.start < part.end)


def _silent_since(connection: Connection, series: Series, last: int | None, doubted: list[Doubt]) -> int | None:
    """Return since when (ms UTC) there has been a silence that is remarkable, up to the newest answer."""
    if last is None:
        return None
    begins = series.timeframe.next(last)
    is_doubted = any(doubt.kind == "silence" and doubt.range.start == begins for doubt in doubted)
    return begins if is_doubted or silences.begins_at(connection, series.id, begins) else None


def _silences(connection: Connection, series: Series, wanted: Range, segments: list[Segment]) -> list[Range]:
    runs = silences.at_least(connection, series.id, (wanted.end - wanted.start) // _CELLS)
    bare = (segment.range for segment in segments if segment.kind == "final" and not segment.candles)
    return normal([*runs, *bare])


def _held(connection: Connection, series_id: int, segment: Segment, wanted: Range, restored: list[int]) -> int:
    """Count the candles of a segment in the wanted range: what sticks out is counted, a few minutes' worth."""
    inside = segment.range.clip(*wanted)
    if inside.end <= inside.start:
        return 0
    outside = subtract([segment.range], [inside]) if inside != segment.range else []
    sticking_out = sum(candles.count(connection, series_id, part) for part in outside)
    return segment.candles + count_within(restored, [segment.range]) - sticking_out


class Gaps(NamedTuple):
    """The rows of `data_gaps`, of one series or of all: how many have each status; instants are ms UTC.

    `oldest_at` is when the oldest unresolved one was found, `next_attempt_at` when `repair` may ask next: None
    where nothing is open, 0 where something is due already.
    """

    open: int = 0
    repaired: int = 0
    empty: int = 0
    failed: int = 0
    oldest_at: int | None = None
    next_attempt_at: int | None = None

    @property
    def unresolved(self) -> int:
        """Return how many are open or given up: both count wherever health is judged."""
        return self.open + self.failed


def together(parts: Iterable[Gaps]) -> Gaps:
    """Return the gaps of several series, or of several statuses, as one."""
    found = list(parts)
    return Gaps(
        open=sum(one.open for one in found),
        repaired=sum(one.repaired for one in found),
        empty=sum(one.empty for one in found),
        failed=sum(one.failed for one in found),
        oldest_at=_earliest(one.oldest_at for one in found),
        next_attempt_at=_earliest(one.next_attempt_at for one in found),
    )


def _earliest(instants: Iterable[int | None]) -> int | None:
    return min((instant for instant in instants if instant is not None), default=None)


def gaps(connection: Connection) -> dict[int, Gaps]:
    """Return the gaps of every series that has had any, by its id."""
    rows = connection.execute(
        """SELECT series_id, status, count(*), min(detected_at), min(coalesce(next_attempt_at, 0))
           FROM data_gaps GROUP BY series_id, status"""
    )
    found: dict[int, Gaps] = {}
    for series_id, status, count, detected_at, next_attempt_at in rows.fetchall():
        more = Gaps(
            **{status: count},
            oldest_at=detected_at if status in {"open", "failed"} else None,
            next_attempt_at=next_attempt_at if status == "open" else None,
        )
        found[series_id] = together((found.get(series_id, Gaps()), more))
    return found


class LastRun(NamedTuple):
    """The newest run of a command, and the newest one that ended well (ms UTC).

    `exit` is that of the newest run that has ended; `requests` are those of the newest one, so far.
    """

    started_at: int
    outcome: str
    finished_at: int | None
    success_at: int | None
    exit: int | None
    requests: int


def last_runs(connection: Connection) -> dict[str, LastRun]:
    """Return the newest run of every command that has one, without walking through the others."""
    return {command: _last_run(connection, command) for command in _commands(connection)}


def _commands(connection: Connection) -> Iterator[str]:
    command = ""
    while True:
        (command,) = connection.execute(
            "SELECT min(command) FROM ingestion_jobs WHERE command > ?", (command,)
        ).fetchone()
        if command is None:
            return
        yield command


def _last_run(connection: Connection, command: str) -> LastRun:
    def newest(column: str, condition: str = "1") -> Any:
        row = connection.execute(
            f"SELECT {column} FROM ingestion_jobs WHERE command = ? AND {condition} "
            "ORDER BY started_at DESC, id DESC LIMIT 1",
            (command,),
        ).fetchone()
        return row[0] if row else None

    return LastRun(
        started_at=newest("started_at"),
        outcome=newest("outcome"),
        finished_at=newest("finished_at"),
        success_at=newest("finished_at", "outcome IN ('ok', 'partial')"),
        exit=newest("exit", "exit IS NOT NULL"),
        requests=newest("requests"),
    )


def file_size(connection: Connection) -> int:
    """Return the bytes of the database."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages * size)
