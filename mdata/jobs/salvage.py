"""`lake restore`: a fresh store from a lake's proven months, which then need not be requested again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mdata.config import Settings
from mdata.domain.columns import Columns
from mdata.domain.interval import Range, normal
from mdata.domain.publication import Key, Proof, month_name, period_of, positions
from mdata.domain.series import Series
from mdata.errors import ConfigurationError, NotThereError, StorageError
from mdata.exchange import registry
from mdata.fetching.wanted import targets
from mdata.files import make_folder, shared_mode
from mdata.jobs.lake import DamagedMonth, Report
from mdata.lake.audit import faults
from mdata.lake.lake import Lake, Look
from mdata.lake.tables import SeriesRow
from mdata.mounts import refuse_remote
from mdata.store import answered, candles, copying, coverage, doubts
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.engine import Store
from mdata.store.opening import open_store
from mdata.store.watch import file_status

# Rows per SQL statement.
_SLICE = 20_000


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What a fresh store was created from, or would be; `faults` are months that differ from their proof."""

    series: int
    months: int
    candles: int
    faults: tuple[DamagedMonth, ...]


def plan(settings: Settings, url: str) -> Salvaged:
    """Return what is available for the series of the settings, without reading the candles or writing."""
    _refuse(settings)
    wanted = _wanted(settings, Lake.opened(url))
    proofs = [those for _, of_series, _ in wanted for those in of_series.values()]
    return Salvaged(len(wanted), len(proofs), sum(one.candles for those in proofs for one in those), ())


def salvage(settings: Settings, url: str, warn: Callable[[str], None], report: Report) -> Salvaged:
    """Create a store at DATABASE_PATH from the proven months of the settings' series.

    Raise ConfigurationError if there is a store already, NotThereError if the lake has nothing of these series. A run
    that is killed leaves no store behind.
    """
    _refuse(settings)
    lake, database = Lake.opened(url), settings.database_path
    wanted, found = _wanted(settings, lake), list[DamagedMonth]()
    make_folder(database.parent)
    months = count = 0
    with copying.temporary(database) as path:
        with open_store(path, warn) as store:
            for number, (key, proofs, row) in enumerate(wanted):
                report(number, len(wanted))
                sound, wrong = _sound(lake, key, proofs)
                found += wrong
                count += _fill(store, lake, key, sound, row)
                months += len(sound)
            store.checkpoint(over=0)
        path.chmod(shared_mode(database.parent))
        copying.sync(path)
        copying.place(path, database, over=False)
    return Salvaged(len(wanted), months, count, tuple(found))


def _refuse(settings: Settings) -> None:
    database = settings.database_path
    refuse_remote(database, "DATABASE_PATH")
    if file_status(database) is not None:
        raise ConfigurationError(
            f"{database} exists already and was not changed: a store is only created from a lake if there is none yet"
        )


_Wanted = list[tuple[Key, dict[int, list[Proof]], SeriesRow | None]]


def _wanted(settings: Settings, lake: Lake) -> _Wanted:
    """Return what the lake has of the settings' series; the last field is the lake's newest row about the series."""
    every, rows = lake.proofs(), lake.newest_series()
    named = {Key(one.venue.name, one.symbol, one.timeframe.name) for one in targets(settings)}
    found: _Wanted = [(key, proofs, rows.get(key)) for key, proofs in sorted(every.items()) if key in named]
    if not found:
        raise NotThereError(f"{lake.url} has nothing of the pairs and timeframes in the settings: check SYMBOLS")
    return found


def _sound(lake: Lake, key: Key, proofs: dict[int, list[Proof]]) -> tuple[dict[int, list[Proof]], list[DamagedMonth]]:
    wrong = dict(faults(lake, Look(key, proofs, 0, 0), proofs))
    told = [DamagedMonth(key.symbol, key.timeframe, month_name(month), reason) for month, reason in wrong.items()]
    return {month: those for month, those in proofs.items() if month not in wrong}, told


def _fill(store: Store, lake: Lake, key: Key, proofs: dict[int, list[Proof]], row: SeriesRow | None) -> int:
    """Write a series and its ledger in one transaction; return how many candles it has."""
    rows = sorted(proof for those in proofs.values() for proof in those)
    if not rows:
        return 0
    with store.write() as connection:
        series = _introduce(connection, key, rows, row)
        count = sum(_write(connection, series, part) for part in _candles(lake, series, key, sorted(proofs)))
        for proof in rows:
            if proof.kind == "final":
                coverage.add(connection, series.id, Range(proof.start, proof.end), "final", proof.candles)
            else:
                doubts.cannot_be_had(connection, series.id, [Range(proof.start, proof.end)], proof.as_of)
            answered.note(connection, series.id, [Range(proof.start, proof.end)], proof.as_of)
        _settle(connection, series, rows, row)
    return count


def _introduce(connection: Connection, key: Key, rows: list[Proof], row: SeriesRow | None) -> Series:
    venue, grid = registry.stored_grid(key.exchange, key.timeframe)
    table.introduce(connection, venue, key.symbol, grid, row.wanted_start if row else rows[0].start)
    series = table.find(connection, venue, key.symbol, grid)
    if series is None:
        raise StorageError(
            f"{key.name} of {key.exchange} cannot be stored: this mdata does not support that exchange"
        )
    return series


def _candles(lake: Lake, series: Series, key: Key, months: list[int]) -> Iterator[Columns]:
    """Yield the candles of these months, partition by partition."""
    periods: dict[str, list[int]] = {}
    for month in months:
        periods.setdefault(period_of(series.timeframe, month), []).append(month)
    for period, those in periods.items():
        held, part = lake.candles(key, [period]), Columns.none()
        if held is None:
            raise StorageError(f"{lake.url} was changed while it was read: run this again")
        for month in those:
            part.take(held, *positions(held, month))
        yield part


def _write(connection: Connection, series: Series, held: Columns) -> int:
    for first in range(0, len(held.open_time), _SLICE):
        rows = list(zip(*(column[first : first + _SLICE] for column in held), strict=True))
        candles.upsert(connection, series.id, rows)
    return len(held.open_time)


def _settle(connection: Connection, series: Series, rows: list[Proof], row: SeriesRow | None) -> None:
    """Store what else is known: which candle is the exchange's first, what cleanup removed, and the frontier."""
    as_of = max(proof.as_of for proof in rows)
    if row is not None:
        asked_at = row.as_of or as_of if row.first_candle is not None else 0
        table.begins_at(connection, series.id, row.first_candle, asked_at)
        if row.cleaned_to is not None:
            # The lake may have candles that cleanup removed from the store: they are restored, and are wanted again.
            table.clean_to(connection, series.id, min(row.cleaned_to, rows[0].start))
    proven = normal(Range(proof.start, proof.end) for proof in rows)
    table.move_frontier(connection, series.id, proven[0].end, proven[0].end)
    table.answered(connection, series.id, as_of)
