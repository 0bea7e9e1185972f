"""Applying an answer to the store: candles, the coverage that vouches for them, gaps and marks, all at once.

Everything here happens inside the caller's transaction, so that a process killed at any instant leaves
either the whole page or nothing of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mdata.domain.candle import Candle, is_older
from mdata.domain.interval import Range, clip, normal, subtract
from mdata.domain.live import Claim
from mdata.domain.message import Faulty
from mdata.domain.query import Page, Proof, RefusedRow, changes
from mdata.domain.series import Series
from mdata.store import candles, coverage, silences
from mdata.store import series as table
from mdata.store.engine import Connection
from mdata.store.gaps import close_answered


@dataclass(frozen=True, slots=True)
class Applied:
    """What an answer changed: rows new or different, final candles that differ or vanished, gaps closed.

    `rows` are the new or different ones themselves, where they came from the stream.
    """

    written: int = 0
    changed: int = 0
    refused: int = 0
    repaired: int = 0
    empty: int = 0
    rows: tuple[Candle, ...] = ()


def apply_page(connection: Connection, series: Series, page: Page, proof: Proof, settle: int, source: str) -> Applied:
    """Store what a REST answer proves: final where it was settled when asked, provisional up to the newest close.

    Candles that had not closed are dropped. What cleanup removed meanwhile (`cleaned_to` of `series`, which
    the caller read in this transaction) is not brought back. `settle` is in ms.
    """
    timeframe, now = series.timeframe, page.asked_at
    closed, settled = timeframe.closed_end(now), timeframe.closed_end(now, settle)
    floor = series.cleaned_to if series.cleaned_to is not None else -(2**63)
    final = clip(proof.proven, floor, settled)
    provisional = clip(proof.proven, max(floor, settled), closed)
    written = changed = 0
    for part in final:
        rows = _within(page.candles, part)
        part_written, part_changed = _make_final(connection, series, part, rows, now, source)
        written, changed = written + part_written, changed + part_changed
    covered: list[Range] = []
    for part in provisional:
        rows, parts = make_provisional(connection, series, part, _within(page.candles, part))
        written += len(rows)
        covered += parts
    keep_refused(connection, series, page.refused, now, source)
    closing = close_answered(connection, series, normal([*final, *covered]), now)
    return Applied(written, changed, len(page.refused), closing.repaired, closing.empty)


def apply_live(connection: Connection, series: Series, claims: list[Claim], now: int) -> Applied:
    """Store what a channel of the stream has shown to be closed, provisionally, and close the gaps that it covers.

    What is not wanted (`wanted_start` and `cleaned_to` of `series`, which the caller read in this transaction) is
    left out. `now` is ms UTC.
    """
    floor = max(series.wanted_start, series.cleaned_to or series.wanted_start)
    covered: list[Range] = []
    rows: list[Candle] = []
    for claim in claims:
        part = claim.range.clip(floor, claim.range.end)
        if part.start < part.end:
            news, parts = make_provisional(connection, series, part, _within(claim.candles, part))
            rows += news
            covered += parts
    closing = close_answered(connection, series, normal(covered), now)
    return Applied(len(rows), repaired=closing.repaired, empty=closing.empty, rows=tuple(rows))


def make_provisional(
    connection: Connection, series: Series, covered: Range, rows: list[Candle]
) -> tuple[list[Candle], list[Range]]:
    """Store closed candles that may still change; return those new or different, and what is provisional by it.

    Whatever is final in the range stays as it is, a lost candle included, and so does a candle of which `rows` hold
    an earlier state: an answer from a cache, or a message that came late. `rows` are ascending and inside `covered`.
    """
    candles.forget_restored(connection, series.id, covered)
    parts = subtract([covered], coverage.clipped(connection, series.id, covered, "final"))
    if parts:
        table.confirm_from(connection, series.id, parts[0].start)
    written: list[Candle] = []
    for part in parts:
        held = {candle[0]: candle for candle in candles.stored(connection, series.id, part)}
        news = [row for row in _within(rows, part) if held.get(row[0]) != row]
        news = [row for row in news if not is_older(row, held.get(row[0], row))]
        before = _count_covered(connection, series.id, part)
        candles.upsert(connection, series.id, news)
        candles.forget_lost(connection, series.id, part)
        gained = candles.count(connection, series.id, part) - before
        coverage.add(connection, series.id, part, "provisional", gained)
        written += news
    return written, parts


def _make_final(
    connection: Connection, series: Series, part: Range, rows: list[Candle], now: int, source: str
) -> tuple[int, int]:
    """Store a settled range as answered; return rows written and final candles that differ or vanished."""
    candles.forget_restored(connection, series.id, part)
    was_final = coverage.clipped(connection, series.id, part, "final")
    old = [candle for held in was_final for candle in candles.stored(connection, series.id, held)]
    differing, vanished = changes(old, [row for held in was_final for row in _within(rows, held)])
    _keep_revisions(connection, series, differing, vanished, now, source)
    coverage.cut(connection, series.id, part, "provisional")
    _remove_unanswered(connection, series, subtract([part], was_final), rows)
    written = candles.upsert(connection, series.id, rows)
    candles.forget_lost(connection, series.id, part)
    held_now = len(rows) + len(vanished)
    coverage.add(connection, series.id, part, "final", held_now - len(old))
    times = [row[0] for row in rows]
    if vanished:
        times = sorted([*times, *(candle[0] for candle in vanished)])
    silences.remember(connection, series, part, times, now)
    return written, len(differing) + len(vanished)


def _remove_unanswered(connection: Connection, series: Series, parts: list[Range], rows: list[Candle]) -> None:
    """Delete what is stored in `parts`, never final before, and not among the rows of the answer."""
    for part in parts:
        held = candles.open_times(connection, series.id, part)
        if held:
            answered = {row[0] for row in rows}
            candles.delete(connection, series.id, [time for time in held if time not in answered])


def _count_covered(connection: Connection, series_id: int, part: Range) -> int:
    """Return how many candles lie in `part` where it is covered already."""
    held = coverage.clipped(connection, series_id, part)
    return sum(candles.count(connection, series_id, covered) for covered in held)


def _within(rows: list[Candle], part: Range) -> list[Candle]:
    """Return the rows (ascending) whose open time lies in `part`."""
    if rows and part.start <= rows[0][0] and rows[-1][0] < part.end:
        return rows
    return [row for row in rows if part.start <= row[0] < part.end]


def _keep_revisions(
    connection: Connection,
    series: Series,
    differing: list[Candle],
    vanished: list[Candle],
    now: int,
    source: str,
) -> None:
    kinds = [("changed", candle) for candle in differing] + [("missing", candle) for candle in vanished]
    connection.executemany(
        """INSERT OR IGNORE INTO candle_revisions
           (series_id, open_time, kind, open, high, low, close, volume, seen_at, source)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [(series.id, candle[0], kind, *candle[1:], now, source) for kind, candle in kinds],
    )


def keep_refused(
    connection: Connection, series: Series, refused: Iterable[RefusedRow | Faulty], now: int, source: str
) -> None:
    """Keep rows that cannot be candles, for people to look at; the same row again only gets a new time."""
    connection.executemany(
        """INSERT INTO rejected_rows (series_id, open_time, row, reason, seen_at, source) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at, source = excluded.source""",
        [(series.id, _storable(row.open_time), row.text, row.reason, now, source) for row in refused],
    )


def _storable(open_time: int | None) -> int | None:
    """Return an open time that was sent, or None for one that no database could hold."""
    return open_time if open_time is not None and abs(open_time) < 2**63 else None
