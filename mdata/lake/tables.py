"""The tables of a lake: their columns, and how rows are converted to Arrow and back."""

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mdata.domain.candle import VALUES
from mdata.domain.columns import Columns
from mdata.domain.publication import Key, Proof, month_name, month_named
from mdata.lake.arrow import numbers
from mdata.lake.trouble import library

if TYPE_CHECKING:
    from arro3.core import Table as Arrow
    from deltalake import Schema


class LakeTable(NamedTuple):
    """A table: its columns with their types, the columns that its files are partitioned by, and its constraints."""

    columns: dict[str, str]
    partition_by: tuple[str, ...]
    constraints: dict[str, str] = {}  # noqa: RUF012 - nobody changes it


_KEY = {"exchange": "string", "timeframe": "string", "symbol": "string"}
TABLES = {
    "candles": LakeTable(
        {**_KEY, "period": "string", "time": "timestamp", **dict.fromkeys(VALUES, "double")},
        ("exchange", "timeframe", "symbol", "period"),
        {"candle": "high >= low AND volume >= 0"},
    ),
    "coverage": LakeTable(
        {
            **_KEY, "month": "string", "start": "timestamp", "end": "timestamp", "kind": "string",
            "intervals": "long", "candles": "long", "digest": "string", "as_of": "timestamp", "store": "string",
            "host": "string", "version": "string",
        },
        ("exchange", "timeframe", "symbol"),
    ),
    "series": LakeTable(
        {
            **_KEY, "first_candle": "timestamp", "wanted_start": "timestamp", "cleaned_to": "timestamp",
            "as_of": "timestamp", "store": "string", "host": "string", "version": "string",
        },
        ("store",),
    ),
}  # fmt: skip


class SeriesRow(NamedTuple):
    """What a store knows of a series, a row of the table `series`; times are ms UTC.

    `as_of` is the newest instant up to which the exchange has answered about it.
    """

    key: Key
    first_candle: int | None
    wanted_start: int
    cleaned_to: int | None
    as_of: int | None
    store: str
    host: str
    version: str


def schema(table: LakeTable) -> "Schema":
    """Return the Delta schema of a table."""
    deltalake = library("deltalake")
    fields = [deltalake.Field(name, kind) for name, kind in table.columns.items()]
    return deltalake.Schema(fields)


def table_of(columns: dict[str, Sequence[Any]], kinds: dict[str, str]) -> "Arrow":
    """Return an Arrow table; times are ms UTC, and are stored as µs."""
    arro3 = library("arro3.core")
    made = {
        name: _times(arro3, values) if kinds[name] == "timestamp" else _values(arro3, values, kinds[name])
        for name, values in columns.items()
    }
    return arro3.Table.from_pydict(made)


def _values(arro3: Any, values: Sequence[Any], kind: str) -> Any:
    if isinstance(values, array):
        return arro3.Array.from_buffer(values)
    types = {"string": arro3.DataType.string, "long": arro3.DataType.int64, "double": arro3.DataType.float64}
    return arro3.Array(values, types[kind]())


def _times(arro3: Any, values: Sequence[int | None]) -> Any:
    kind = arro3.DataType.timestamp("us", tz="UTC")
    micros = [None if value is None else value * 1000 for value in values]
    return arro3.Array(micros, arro3.DataType.int64()).cast(kind)


def candle_rows(key: Key, periods: Sequence[str], columns: Columns) -> "Arrow":
    """Return candles as rows of the table `candles`; `periods` has the period of each."""
    kinds, count = TABLES["candles"].columns, len(columns.open_time)
    found: dict[str, Sequence[Any]] = {name: [getattr(key, name)] * count for name in _KEY}
    found |= {"period": periods, "time": columns.open_time, **{name: getattr(columns, name) for name in VALUES}}
    return table_of(found, kinds)


def candles_of(rows: "Arrow") -> Columns | None:
    """Return candles from an Arrow table with times as 64-bit µs; None if a value is missing."""
    found = Columns.none()
    if not rows.num_rows:
        return found
    for name, column in zip(("time", *VALUES), found, strict=True):
        values = rows.column(name).combine_chunks()
        if values.null_count:
            return None
        column.extend(numbers(values, column.typecode))
    return found._replace(open_time=array("q", [time // 1000 for time in found.open_time]))


def proof_rows(key: Key, proofs: Sequence[Proof]) -> "Arrow":
    """Return proofs of a series as rows of the table `coverage`."""
    found: dict[str, Sequence[Any]] = {name: [getattr(key, name)] * len(proofs) for name in _KEY}
    found["month"] = [month_name(proof.month) for proof in proofs]
    for name in Proof._fields[1:]:
        found[name] = [getattr(proof, name) for proof in proofs]
    return table_of(found, TABLES["coverage"].columns)


def asked(table: str) -> str:
    """Return the columns of a table for a query that returns plain numbers (times in µs) and texts."""
    casts = {"timestamp": 'CAST("{0}" AS BIGINT) AS "{0}"', "string": 'CAST("{0}" AS VARCHAR) AS "{0}"'}
    return ", ".join(casts.get(kind, '"{0}"').format(name) for name, kind in TABLES[table].columns.items())


def proofs_of(rows: "Arrow") -> list[tuple[Key, Proof]]:
    """Return proofs from the rows of a query of the columns that `asked` returns."""
    found = {name: rows.column(name).to_pylist() for name in TABLES["coverage"].columns}
    keys = map(Key, found["exchange"], found["symbol"], found["timeframe"])
    found |= {name: [time // 1000 for time in found[name]] for name in ("start", "end", "as_of")}
    found["month"] = [month_named(name) for name in found["month"]]
    return list(zip(keys, map(Proof, *(found[name] for name in Proof._fields)), strict=True))


def series_rows(rows: Sequence[SeriesRow]) -> "Arrow":
    """Return what is known of series as rows of the table `series`."""
    found: dict[str, Sequence[Any]] = {name: [getattr(row.key, name) for row in rows] for name in _KEY}
    for name in SeriesRow._fields[1:]:
        found[name] = [getattr(row, name) for row in rows]
    return table_of(found, TABLES["series"].columns)


def series_of(rows: "Arrow") -> list[SeriesRow]:
    """Return what is known of series from the rows of a query of the columns that `asked` returns."""
    found = {name: rows.column(name).to_pylist() for name in TABLES["series"].columns}
    keys = map(Key, found["exchange"], found["symbol"], found["timeframe"])
    times = ("first_candle", "wanted_start", "cleaned_to", "as_of")
    found |= {name: [None if time is None else time // 1000 for time in found[name]] for name in times}
    return list(map(SeriesRow, keys, *(found[name] for name in SeriesRow._fields[1:])))
