"""Publishes the months of one series after another into a lake, even if other publishers do the same."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mdata.domain.columns import Columns
from mdata.domain.publication import (
    Author,
    Key,
    Month,
    Proof,
    Step,
    batches,
    decide,
    month_name,
    positions,
    prove,
    ready,
)
from mdata.domain.series import Series
from mdata.errors import StorageError
from mdata.lake.audit import damaged_months, faults
from mdata.lake.lake import Lake, Look
from mdata.lake.tables import SeriesRow
from mdata.lake.trouble import OvertakenError
from mdata.running.job import Job
from mdata.store import series as table
from mdata.store.columns import columns
from mdata.store.connection import Connection
from mdata.store.engine import Store
from mdata.store.publishing import known

# Intervals of one commit: two months of minutes, which bounds the memory of a run.
_AT_ONCE = 100_000
# How often a series is tried if others commit to it at the same time.
_TRIES = 20

_REASONS: dict[Step, str] = {
    "older": "the lake has it from a later answer",
    "narrower": "the lake has more of it",
    "cleaned": "a part of it was removed here by cleanup",
}


class Left(NamedTuple):
    """A month that was not published, so that the lake keeps its version, and why."""

    series: str
    month: str
    reason: str


@dataclass(frozen=True, slots=True)
class Published:
    """What a run did, or would do.

    `months` were published, with `candles` candles in all. `confirmed` months were there already and now have a later
    answer; `withdrawn` months have lost their proof; `waiting` months are over, but not completely final; `remaining`
    months can still be published.
    """

    months: int = 0
    candles: int = 0
    confirmed: int = 0
    withdrawn: int = 0
    waiting: int = 0
    remaining: int = 0
    left: tuple[Left, ...] = ()


class _Wish(NamedTuple):
    """What to do about a series: months to publish or to compare, and damaged months of the lake."""

    months: list[Month]
    damaged: set[int]

    def is_settled(self, look: Look) -> bool:
        return not self.months and not self.damaged and look.written == look.vouched


class Publisher:
    """One run: the lake it publishes to, its author, and what it has done so far."""

    def __init__(self, store: Store, url: str, until: int, origin: Author) -> None:
        self.store, self.url, self.until, self.origin = store, url, until, origin
        self.lake = Lake.find(url)
        self.can_write = False
        self.count: Counter[str] = Counter()
        self.left: list[Left] = []

    @property
    def told(self) -> Published:
        """Return what has been done so far."""
        return Published(**self.count, left=tuple(self.left))

    def look(self, key: Key) -> Look:
        """Return what the lake has of a series now; nothing if there is no lake yet."""
        return Look(key, {}, 0, 0) if self.lake is None else self.lake.look(key)

    def wish(self, series: Series, look: Look, left: list[Left]) -> _Wish:
        """Return what to do about a series, and add months that are left as they are to `left`."""
        damaged = set() if self.lake is None else damaged_months(self.lake, look)
        with self.store.read() as connection:
            ledger = known(connection, series, self.until)
        months, waiting = ready(ledger, self.until)
        self.count["waiting"] += len(waiting)
        wished = []
        for month in months:
            step = decide(month, look.proofs.get(month.month, ()), ledger, is_damaged=month.month in damaged)
            if step in {"publish", "compare"}:
                wished.append(month)
            elif step in _REASONS:
                left.append(Left(series.name, month_name(month.month), _REASONS[step]))
        return _Wish(wished, damaged)

    def publish(self, job: Job, series: Series) -> None:
        """Publish a series; if other publishers write in between, try again, `_TRIES` times in all."""
        key, waited = key_of(series), self.count["waiting"]
        for _ in range(_TRIES):
            self.count["waiting"], self.count["remaining"], left = waited, 0, list[Left]()
            look = self.look(key)
            wish = self.wish(series, look, left)
            if not wish.is_settled(look) and not self.can_write:
                self.lake, self.can_write = Lake.make(self.url, self.origin), True
                continue
            self.count["remaining"] = len(wish.months)
            try:
                self._publish(job, series, look, wish)
            except OvertakenError:
                continue
            self.left += left
            return

    def _publish(self, job: Job, series: Series, look: Look, wish: _Wish) -> None:
        grid, mended = series.timeframe, {month.month for month in wish.months} & wish.damaged
        sound = {month: proofs for month, proofs in look.proofs.items() if month not in wish.damaged}
        look = look._replace(proofs=sound)
        for group in batches(wish.months, grid, _AT_ONCE):
            job.check_time()
            look = self._publish_group(series, look, group)
            self.count["remaining"] -= len(group)
        if self.lake is not None and (wish.damaged - mended or look.written != look.vouched):
            self.lake.replace_coverage(look, _all(look.proofs), look.written, self.origin)
            self.count["withdrawn"] += len(wish.damaged - mended)

    def _publish_group(self, series: Series, look: Look, group: Sequence[Month]) -> Look:
        """Write the candles that have changed, then the proofs; return what the lake contains then."""
        if self.lake is None:
            raise StorageError(f"the lake {self.url} is not open for writing")
        with self.store.read() as connection:
            months, held = _read(connection, series, group, self.until)
        grid = series.timeframe
        proofs = {month.month: prove(grid, month, held, self.origin) for month in months}
        news = [month for month in months if _facts(proofs[month.month]) != _facts(look.proofs.get(month.month, ()))]
        if look.written != look.vouched:
            # A publisher wrote candles and was killed, or has not written their proof yet. Those candles may already
            # be the ones that we want to publish, so write only the months that differ.
            lacking = {month for month, _ in faults(self.lake, look._replace(proofs=proofs), proofs)}
            news = [month for month in news if month.month in lacking]
        number = look.written
        if news:
            rows = _of_months(held, news)
            self.lake.replace_candles(look, news, rows, self.origin)
            number += 1
            self.count.update(months=len(news), candles=len(rows.open_time))
        self.count["confirmed"] += len(months) - len(news)
        merged = {**look.proofs, **proofs}
        self.lake.replace_coverage(look, _all(merged), number, self.origin)
        return Look(look.key, merged, number, number)

    def publish_series(self) -> None:
        """Publish what the ledger knows of each series, if that has changed or if months were published."""
        with self.store.read() as connection:
            rows = [_series_row(series, self.origin) for series in table.every(connection)]
        rows.sort(key=lambda row: row.key)
        there = [] if self.lake is None else [row for row in self.lake.series() if row.store == self.origin.store]
        has_news = [_lasting(row) for row in rows] != [_lasting(row) for row in there]
        if not rows or not (has_news or self.count["months"] or self.count["confirmed"]):
            return
        if self.lake is None or not self.can_write:
            self.lake, self.can_write = Lake.make(self.url, self.origin), True
        for _ in range(_TRIES):
            try:
                self.lake.replace_series(rows, self.origin)
            except OvertakenError:
                continue
            return


def _read(connection: Connection, series: Series, group: Sequence[Month], until: int) -> tuple[list[Month], Columns]:
    """Return those of these months that can still be published, in their present state, and their candles."""
    months, _ = ready(known(connection, series, until), until)
    wanted, held = {month.month: month.parts for month in group}, Columns.none()
    # Cleanup may have removed some in the meantime.
    months = [month for month in months if wanted.get(month.month) == month.parts]
    for month in months:
        part = columns(connection, series.id, month.range)
        held.take(part, 0, len(part.open_time))
    return months, held


def _of_months(held: Columns, months: Sequence[Month]) -> Columns:
    found = Columns.none()
    for month in months:
        found.take(held, *positions(held, month.month))
    return found


def _facts(proofs: Sequence[Proof]) -> list[tuple[object, ...]]:
    return [proof.fact for proof in sorted(proofs)]


def _all(proofs: dict[int, list[Proof]]) -> list[Proof]:
    return [proof for those in proofs.values() for proof in those]


def key_of(series: Series) -> Key:
    """Return the name of a series in a lake."""
    return Key(series.exchange, series.symbol, series.timeframe.name)


def _series_row(series: Series, origin: Author) -> SeriesRow:
    return SeriesRow(
        key_of(series), series.first_candle, series.wanted_start, series.cleaned_to, series.answered_at, *origin
    )


def _lasting(row: SeriesRow) -> tuple[object, ...]:
    """Return the part of a row whose change needs a commit."""
    return row[:4]
