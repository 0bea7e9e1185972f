"""A lake as publishers and readers see it: three Delta tables that change by whole commits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from mdata.domain.candle import VALUES
from mdata.domain.columns import Columns
from mdata.domain.interval import Range
from mdata.domain.publication import Author, Key, Month, Proof, month_name, period_of, positions
from mdata.domain.timeframe import TIMEFRAMES, month_index, month_start
from mdata.errors import NotThereError
from mdata.lake.conditions import in_periods, in_ranges, instant_text, of_series, text
from mdata.lake.delta import application, commit_of, open_or_make, open_table, replace_rows
from mdata.lake.held import Held, files_of, together
from mdata.lake.place import names, probe
from mdata.lake.tables import (
    TABLES,
    SeriesRow,
    asked,
    candle_rows,
    candles_of,
    proof_rows,
    proofs_of,
    series_of,
    series_rows,
)
from mdata.lake.trouble import library, told

if TYPE_CHECKING:
    from deltalake import DeltaTable


class Look(NamedTuple):
    """What the lake has of a series at one moment: its proofs by month, and the numbers of its newest commits.

    The commits of candles are numbered for each series: `written` is the number of the newest one, `vouched` the
    number of the one that the newest coverage describes. They differ if a publisher has written candles but not (or
    not yet) their coverage.
    """

    key: Key
    proofs: dict[int, list[Proof]]
    written: int
    vouched: int


@dataclass(slots=True)
class Lake:
    """An existing lake. Commits are based on a `look`; they are refused if the series has changed since."""

    url: str
    tables: "dict[str, DeltaTable]"
    _held: dict[tuple[Key, str], Held] | None = None
    _vouched_at: dict[Key, int] = field(default_factory=dict)

    @classmethod
    def find(cls, url: str) -> Self | None:
        """Return the lake at `url` for reading; None if nothing was ever published there."""
        with told(url):
            try:
                return cls(url, {name: open_table(url, name) for name in TABLES})
            except library("deltalake.exceptions").TableNotFoundError:
                return None

    @classmethod
    def opened(cls, url: str) -> Self:
        """Return the lake at `url` for reading; raise NotThereError if nothing was ever published."""
        found = cls.find(url)
        if found is None:
            raise NotThereError(f"nothing is published in {url} yet: run `mdata publish {url}`")
        return found

    @classmethod
    def make(cls, url: str, origin: Author) -> Self:
        """Return the lake at `url` for writing, created if there is none; refuse a place that may lose commits."""
        probe(url)
        with told(url):
            return cls(url, {name: open_or_make(url, name, origin) for name in TABLES})

    def look(self, key: Key) -> Look:
        """Return what the lake has of a series now."""
        with told(self.url):
            # Refresh the candles first and the coverage second. Publishers also write the candles first. Only if a
            # publisher writes both between the two refreshes does the coverage describe candles that are not loaded;
            # a commit based on this look is then refused.
            for name in ("candles", "coverage"):
                self.tables[name].update_incremental()
            written, vouched = (
                self.tables[name].transaction_version(application(key)) or 0 for name in ("candles", "coverage")
            )
            rows = self._rows("coverage", asked("coverage"), of_series(key))
            proofs: dict[int, list[Proof]] = {}
            for _, proof in sorted(proofs_of(rows)):
                proofs.setdefault(proof.month, []).append(proof)
            return Look(key, proofs, written, vouched)

    def proofs(self) -> dict[Key, dict[int, list[Proof]]]:
        """Return the proofs of every series, by month."""
        with told(self.url):
            found: dict[Key, dict[int, list[Proof]]] = {}
            for key, proof in sorted(proofs_of(self._rows("coverage", asked("coverage"), "TRUE"))):
                found.setdefault(key, {}).setdefault(proof.month, []).append(proof)
            return found

    def candles(self, key: Key, periods: Sequence[str], within: Range | None = None) -> Columns | None:
        """Return the candles of these partitions, ascending; None if a candle lacks a value.

        With `within`, only those that open in this range.
        """
        where = f"{of_series(key)} AND {in_periods(periods)}"
        where += "" if within is None else f" AND {in_ranges([within])}"
        columns = ", ".join(['CAST("time" AS BIGINT) AS "time"', *(f'"{name}"' for name in VALUES)])
        with told(self.url):
            return candles_of(self._rows("candles", columns, f"{where} ORDER BY 1"))

    def close_before(self, key: Key, instant: int) -> tuple[int, float] | None:
        """Return open time and close of the last candle before `instant` (ms UTC), if there is one."""
        columns = 'CAST("time" AS BIGINT) AS "time", "close"'
        where = f"{of_series(key)} AND time < {instant_text(instant)}"
        with told(self.url):
            rows = self._rows("candles", columns, f"{where} ORDER BY 1 DESC LIMIT 1")
            if not rows.num_rows:
                return None
            return rows.column("time").to_pylist()[0] // 1000, rows.column("close").to_pylist()[0]

    def held(self) -> dict[tuple[Key, str], Held]:
        """Return what each partition of candles contains according to the log; looked up only once."""
        if self._held is None:
            with told(self.url):
                self._held, there = {}, names(self.url, "candles")
                for path, key, period, one in files_of(self.tables["candles"]):
                    found = one if path in there else one._replace(rows=None)
                    self._held[key, period] = together(self._held.get((key, period)), found)
                for _, key, _, one in files_of(self.tables["coverage"]):
                    self._vouched_at[key] = max(one.modified, self._vouched_at.get(key, 0))
        return self._held

    def suspects(self, look: Look) -> set[int]:
        """Return the months that may not contain what is vouched for, because something else was written there."""
        if look.written != look.vouched:
            return set(look.proofs)
        held, grid = self.held(), TIMEFRAMES[look.key.timeframe]
        said: dict[str, int] = {}
        for month, proofs in look.proofs.items():
            period = period_of(grid, month)
            said[period] = said.get(period, 0) + sum(proof.candles for proof in proofs)
        strange = set()
        for period, candles in said.items():
            there = held.get((look.key, period), Held(0, 0, 0))
            if there.rows != candles or there.modified > self._vouched_at.get(look.key, 0):
                strange.add(period)
        return {month for month in look.proofs if period_of(grid, month) in strange}

    def replace_candles(self, look: Look, months: Sequence[Month], columns: Columns, origin: Author) -> None:
        """Replace all candles that the lake has of whole months with these.

        Raise OvertakenError, with nothing changed, if another program has written to the series since `look`.
        """
        grid = TIMEFRAMES[look.key.timeframe]
        periods = [period_of(grid, month.month) for month in months]
        where = f"{of_series(look.key)} AND {in_periods(periods)}"
        written = {month.month for month in months}
        if any(period_of(grid, month) in periods for month in look.proofs if month not in written):
            # The other months of the year stay as they are.
            where += f" AND {in_ranges([_span(month.month) for month in months])}"
        of_each: list[str] = []
        for month, period in zip(months, periods, strict=True):
            first, last = positions(columns, month.month)
            of_each += [period] * (last - first)
        rows = candle_rows(look.key, of_each, columns)
        named = ", ".join(month_name(month.month) for month in months)
        commit = commit_of(origin, look.key, look.written + 1, named)
        replace_rows(self.url, self.tables["candles"], rows, where, commit)

    def replace_coverage(self, look: Look, proofs: Iterable[Proof], number: int, origin: Author) -> None:
        """Replace all proofs of a series with these; `number` is that of the commit of their candles.

        Raise OvertakenError, with nothing changed, if another program has written proofs of the series since `look`.
        """
        rows = proof_rows(look.key, sorted(proofs))
        commit = commit_of(origin, look.key, number, "")
        replace_rows(self.url, self.tables["coverage"], rows, of_series(look.key), commit)

    def series(self) -> list[SeriesRow]:
        """Return what each publishing store knows of its series."""
        with told(self.url):
            rows = series_of(self._rows("series", asked("series"), "TRUE"))
            return sorted(rows, key=lambda row: (row.key, row.store))

    def newest_series(self) -> dict[Key, SeriesRow]:
        """Return what is known of each series, from the store that has the newest answer."""
        return {row.key: row for row in sorted(self.series(), key=lambda row: row.as_of or 0)}

    def replace_series(self, rows: Sequence[SeriesRow], origin: Author) -> None:
        """Replace all rows that the lake has of this store with these."""
        with told(self.url):
            self.tables["series"].update_incremental()
        where, commit = f"store = {text(origin.store)}", commit_of(origin, None, 0, "")
        replace_rows(self.url, self.tables["series"], series_rows(rows), where, commit)

    def _rows(self, table: str, columns: str, where: str) -> Any:
        query = library("deltalake").QueryBuilder().register(table, self.tables[table])
        return query.execute(f"SELECT {columns} FROM {table} WHERE {where}").read_all()  # noqa: S608 - values are quoted


def _span(month: int) -> Range:
    return Range(month, month_start(month_index(month) + 1))
