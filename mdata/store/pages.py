"""Applies an answer to the store in one transaction: candles, their coverage, doubts, gaps and marks.

Everything here happens inside the caller's transaction, so that a process killed at any instant leaves either the
whole page or none of it. What an answer proves is decided in `domain.evidence`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mdata.domain.candle import VALUES, Candle, is_older
from mdata.domain.claim import Claim, Faulty
from mdata.domain.contradiction import within
from mdata.domain.evidence import Verdict, judge
from mdata.domain.interval import END_OF_TIME, Range, intervals_of, normal, subtract
from mdata.domain.query import Page, RefusedRow
from mdata.domain.series import Series
from mdata.store import answered, candles, coverage, digests, doubts, silences
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.gaps import close_answered
from mdata.store.known import read_known


@dataclass(frozen=True, slots=True)
class Applied:
    """What an answer changed: rows that are new or different, final candles that changed or vanished, closed gaps.

    `is_news`: something is known now that was not known before. `rows` are the new or different rows themselves, if
    they came from the stream.
    """

    written: int = 0
    changed: int = 0
    refused: int = 0
    repaired: int = 0
    empty: int = 0
    counts: bool = True
    is_news: bool = False
    rows: tuple[Candle, ...] = ()


def apply_page(connection: Connection, series: Series, page: Page, settle: int, source: str) -> Applied:
    """Store what a REST answer proves, and what it puts in doubt.

    Candles that had not closed are dropped. Candles that are not wanted, or that cleanup has removed in the meantime
    (according to `series`, which the caller read in this transaction), are not stored. `settle` is in ms.
    """
    candles.forget_restored(connection, series.id, page.query.range)
    known = read_known(connection, series, page, settle)
    verdict, now = judge(page, known, settle), page.asked_at
    keep_refused(connection, series, page.refused, now, source)
    table.answered(connection, series.id, now)
    doubts.end(connection, series.id, verdict.ended)
    doubts.keep(connection, series.id, verdict.doubts)
    if not verdict.counts:
        return Applied(counts=False, refused=len(page.refused))
    covered = normal([*known.final, *known.provisional])
    for part in verdict.unknown:
        coverage.cut(connection, series.id, part, "provisional")
    for part in verdict.distrusted:
        coverage.cut(connection, series.id, part)
        candles.delete(connection, series.id, candles.open_times(connection, series.id, part))
        candles.forget_lost(connection, series.id, part)
        silences.forget_within(connection, series.id, part)
        digests.drop(connection, series.id, part)
    _keep_revisions(connection, series, verdict, now, source)
    written = sum(_make_final(connection, series, part, verdict, now) for part in verdict.final)
    for part in verdict.provisional:
        rows, _ = make_provisional(connection, series, part, within(page.candles, part))
        written += len(rows)
    doubts.end_answered(connection, series.id, verdict.final)
    doubts.served_again(connection, series.id, verdict.served)
    doubts.cannot_be_had(connection, series.id, verdict.unobtainable, now)
    answered.note(connection, series.id, [*verdict.final, *verdict.unobtainable], now)
    _keep_a_witness(connection, series, page)
    told = normal([*verdict.final, *verdict.provisional])
    closing = close_answered(connection, series, _without(told, verdict.lost, series), now)
    return Applied(
        written,
        len(verdict.changed) + len(verdict.withdrawn),
        len(page.refused),
        closing.repaired,
        closing.empty,
        is_news=bool(
            written
            or verdict.distrusted
            # The end of an `unwitnessed` doubt alone is no news. It only shows that the answer to a request with more
            # witnesses contained some of them. The next request includes only the usual few witnesses again, and its
            # answer may contain none of these, like the answer that raised the doubt.
            or any(doubt.kind != "unwitnessed" for doubt in verdict.ended)
            or subtract(told, covered)
            or subtract(verdict.final, known.final)
        ),
    )


def _without(answered: list[Range], lost: list[int], series: Series) -> list[Range]:
    return subtract(answered, intervals_of(series.timeframe, lost))


def _keep_a_witness(connection: Connection, series: Series, page: Page) -> None:
    """Store the newest candle even if no candle of the series is wanted: later answers are checked against it."""
    end = page.query.timeframe.closed_end(page.asked_at)
    newest = next((row for row in reversed(page.candles) if row[0] < end), None)
    if newest is not None and candles.last_before(connection, series.id, END_OF_TIME) is None:
        candles.upsert(connection, series.id, [newest])


def apply_live(connection: Connection, series: Series, claims: list[Claim], now: int) -> Applied:
    """Store closed candles of a channel of the stream, as provisional, and close the gaps that it covers.

    Everything that is not wanted (according to `wanted_start` and `cleaned_to` of `series`, which the caller read in
    this transaction) is left out. `now` is ms UTC.
    """
    floor = max(series.wanted_start, series.cleaned_to or series.wanted_start)
    covered: list[Range] = []
    rows: list[Candle] = []
    for claim in claims:
        part = claim.range.clip(floor, claim.range.end)
        if part.start < part.end:
            news, parts = make_provisional(connection, series, part, within(claim.candles, part))
            rows += news
            covered += parts
    closing = close_answered(connection, series, normal(covered), now)
    return Applied(len(rows), repaired=closing.repaired, empty=closing.empty, rows=tuple(rows))


def make_provisional(
    connection: Connection, series: Series, covered: Range, rows: list[Candle]
) -> tuple[list[Candle], list[Range]]:
    """Store closed candles that may still change; return the new or different ones, and what is now provisional.

    Whatever is final in the range stays as it is, lost candles included. A candle also stays as it is if `rows`
    contain only an earlier state of it, from a cache or a late message. `rows` are ascending and inside `covered`.
    """
    candles.forget_restored(connection, series.id, covered)
    parts = subtract([covered], coverage.clipped(connection, series.id, covered, "final"))
    if parts:
        table.confirm_from(connection, series.id, parts[0].start)
    written: list[Candle] = []
    for part in parts:
        _drop_unvouched(connection, series, part, rows)
        held = {candle[0]: candle for candle in candles.stored(connection, series.id, part)}
        news = [row for row in within(rows, part) if held.get(row[0]) != row]
        news = [row for row in news if not is_older(row, held.get(row[0], row))]
        before = _count_covered(connection, series.id, part)
        candles.upsert(connection, series.id, news)
        candles.forget_lost(connection, series.id, part)
        gained = candles.count(connection, series.id, part) - before
        coverage.add(connection, series.id, part, "provisional", gained)
        written += news
    return written, parts


def _make_final(connection: Connection, series: Series, part: Range, verdict: Verdict, now: int) -> int:
    """Store a settled range as final; return how many rows are new or different."""
    rows = within(verdict.candles, part)
    # Without coverage, the triggers do not mark a deleted candle as lost.
    coverage.cut(connection, series.id, part)
    gone: list[int] = []
    held = candles.open_times(connection, series.id, part)
    if held:
        kept = {row[0] for row in rows}
        gone = [time for time in held if time not in kept]
        candles.delete(connection, series.id, gone)
        written = candles.upsert(connection, series.id, rows)
    else:
        written = candles.insert(connection, series.id, rows)
    if gone or written:
        digests.drop(connection, series.id, part)
    candles.forget_lost(connection, series.id, part, but=verdict.lost)
    coverage.add(connection, series.id, part, "final", len(rows))
    times = [row[0] for row in rows]
    if series.venue.writes_silence:
        told = (time for time in verdict.silent if part.start <= time < part.end)
        silences.remember_outages(connection, series, part, sorted({*times, *told}), now)
    else:
        silences.remember(connection, series, part, times, now)
    return written


def _drop_unvouched(connection: Connection, series: Series, part: Range, rows: list[Candle]) -> None:
    """Delete stored candles outside coverage that an answer about their range does not contain."""
    for bare in coverage.uncovered(connection, series.id, part):
        told = {row[0] for row in within(rows, bare)}
        times = candles.open_times(connection, series.id, bare)
        candles.delete(connection, series.id, [time for time in times if time not in told])


def _count_covered(connection: Connection, series_id: int, part: Range) -> int:
    """Return how many candles are in the covered parts of `part`."""
    held = coverage.clipped(connection, series_id, part)
    return sum(candles.count(connection, series_id, covered) for covered in held)


_REVISION = ("series_id", "open_time", "kind", *VALUES, "seen_at", "source")


def _keep_revisions(connection: Connection, series: Series, verdict: Verdict, now: int, source: str) -> None:
    kinds = [("changed", one) for one in verdict.changed] + [("withdrawn", one) for one in verdict.withdrawn]
    connection.executemany(
        f"""INSERT OR IGNORE INTO candle_revisions ({", ".join(_REVISION)})
            VALUES ({", ".join("?" for _ in _REVISION)})""",
        [(series.id, candle[0], kind, *candle[1:], now, source) for kind, candle in kinds],
    )


def keep_refused(
    connection: Connection, series: Series, refused: Iterable[RefusedRow | Faulty], now: int, source: str
) -> None:
    """Store rejected rows for inspection; if a row comes again, only its time is updated."""
    connection.executemany(
        """INSERT INTO rejected_rows (series_id, open_time, row, reason, seen_at, source) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at, source = excluded.source""",
        [(series.id, _storable(row.open_time), row.text, row.reason, now, source) for row in refused],
    )


def _storable(open_time: int | None) -> int | None:
    """Return an open time that was sent, or None if SQLite could not store it."""
    return open_time if open_time is not None and abs(open_time) < 2**63 else None
