"""Candles as files: each format is written in parts, so that memory use does not grow with the number of candles."""

import csv
import gzip
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol, TextIO

from mdata.domain.candle import VALUES
from mdata.domain.timeframe import DAY, HOUR, MINUTE
from mdata.domain.times import iso
from mdata.reading.candles import Candles
from mdata.reading.frames import library
from mdata.reading.kinds import Kind

NAMES = ("exchange", "symbol", "timeframe")
COLUMNS = (*NAMES, "open_time", "time", *VALUES)
# How many rows are compressed together: with fewer, reading is slower; with more, writing needs more memory.
_ROWS_OF_A_GROUP = 131_072


class Writer(Protocol):
    """A file that is being written."""

    def write(self, candles: Candles) -> None:
        """Add the candles of a part."""
        ...

    def close(self, about: Mapping[str, Any]) -> None:
        """Write what is still buffered, and the metadata `about` if the format supports it."""
        ...


@contextmanager
def text_writer(kind: Kind, stream: TextIO, *, fill: bool) -> Iterator[Writer]:
    """Yield a writer of text to a stream, which the caller closes."""
    yield _Csv(stream, fill=fill) if kind.format == "csv" else _JsonLines(stream)


@contextmanager
def writer(kind: Kind, stream: BinaryIO, *, fill: bool) -> Iterator[Writer]:
    """Yield a writer to a file; a missing library is reported before anything is written."""
    if not kind.is_text:
        kinds: dict[str, Callable[..., _Arrow]] = {"parquet": _Parquet, "feather": _Feather, "freqtrade": _Freqtrade}
        yield kinds[kind.format](stream, fill=fill)
        return
    with _packed(kind.compression, stream) as packed:
        text = io.TextIOWrapper(packed, "utf-8", newline="")
        try:
            with text_writer(kind, text, fill=fill) as found:
                yield found
        finally:
            # The caller closes the stream underneath.
            text.detach()


@contextmanager
def _packed(compression: str, stream: BinaryIO) -> Iterator[Any]:
    if compression == "gz":
        # Without a time stamp, the same candles always give the same file.
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0) as packed:
            yield packed
    elif compression == "zst":
        with library("pyarrow").CompressedOutputStream(stream, "zstd") as packed:
            yield packed
    else:
        yield stream


class _Csv:
    def __init__(self, stream: TextIO, *, fill: bool) -> None:
        self._rows = csv.writer(stream, lineterminator="\n").writerows
        # The heading is written with the first row, or at the end, so that nothing is written if the store cannot be
        # read.
        self._head = [(*COLUMNS, "is_filled") if fill else COLUMNS]

    def write(self, candles: Candles) -> None:
        self._begin()
        columns, names = candles.columns, (candles.exchange, candles.symbol, candles.timeframe)
        values = [columns.open_time, _texts(candles), *columns[1:]]
        if candles.is_filled is not None:
            values.append("true" if flag else "false" for flag in candles.is_filled)
        self._rows((*names, *row) for row in zip(*values, strict=True))

    def close(self, about: Mapping[str, Any]) -> None:  # noqa: ARG002 - CSV has no place for metadata
        self._begin()

    def _begin(self) -> None:
        self._rows(self._head)
        self._head = []


class _JsonLines:
    def __init__(self, stream: TextIO) -> None:
        self._write = stream.write

    def write(self, candles: Candles) -> None:
        dumps = json.dumps
        names = {name: getattr(candles, name) for name in NAMES}
        flags = candles.is_filled
        for position, (time, candle) in enumerate(zip(_texts(candles), candles, strict=True)):
            open_time, *prices = candle
            row = {**names, "open_time": open_time, "time": time, **dict(zip(VALUES, prices, strict=True))}
            if flags is not None:
                row["is_filled"] = bool(flags[position])
            self._write(f"{dumps(row)}\n")

    def close(self, about: Mapping[str, Any]) -> None:
        """Do nothing: every line is complete."""


def _texts(candles: Candles) -> Iterator[str]:
    """Yield the open times as text, in the format of the view `ohlcv`."""
    days: dict[int, str] = {}
    clocks: dict[int, str] = {}
    for time in candles.columns.open_time:
        day, clock = divmod(time, DAY)
        if day not in days:
            days[day] = iso(day * DAY)[:11]
        if clock not in clocks:
            clocks[clock] = f"{clock // HOUR:02}:{clock // MINUTE % 60:02}:{clock // 1000 % 60:02}Z"
        yield days[day] + clocks[clock]


class _Arrow(ABC):
    """The common part of the Arrow formats: parts are collected until they fill a row group."""

    def __init__(self, stream: BinaryIO, *, fill: bool) -> None:
        self._arrow = library("pyarrow")
        self._parts: list[Any] = []
        self._held = 0
        self._file = self._open(stream, self._schema(fill=fill))

    def _schema(self, *, fill: bool) -> Any:
        pa = self._arrow
        fields = [(name, pa.string()) for name in NAMES]
        fields += [("open_time", pa.int64()), ("time", pa.timestamp("ms", "UTC"))]
        fields += [(name, pa.float64()) for name in VALUES]
        return pa.schema([*fields, ("is_filled", pa.bool_())] if fill else fields)

    @abstractmethod
    def _open(self, stream: BinaryIO, schema: Any) -> Any:
        """Return the library's writer of this format."""

    def _table(self, candles: Candles) -> Any:
        pa, found = self._arrow, candles.arrow()
        names = {name: pa.repeat(pa.scalar(getattr(candles, name)), len(candles)) for name in NAMES}
        times = found["time"].combine_chunks()
        columns = {name: found[name] for name in found.column_names[1:]}
        return pa.table({**names, "open_time": times.view(pa.int64()), "time": times, **columns})

    def write(self, candles: Candles) -> None:
        self._parts.append(self._table(candles))
        self._held += len(candles)
        if self._held >= _ROWS_OF_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._parts:
            self._file.write_table(self._arrow.concat_tables(self._parts).combine_chunks())
        self._parts, self._held = [], 0

    def close(self, about: Mapping[str, Any]) -> None:
        self._flush()
        self._describe(about)
        self._file.close()

    def _describe(self, about: Mapping[str, Any]) -> None:  # noqa: B027 - most have nothing to add
        """Write the metadata; Arrow files have no place for metadata that is only known at the end."""


class _Parquet(_Arrow):
    def _open(self, stream: BinaryIO, schema: Any) -> Any:
        library("pyarrow")
        from pyarrow.parquet import ParquetWriter

        return ParquetWriter(stream, schema, compression="zstd", use_dictionary=list(NAMES))

    def _describe(self, about: Mapping[str, Any]) -> None:
        self._file.add_key_value_metadata({"mdata": json.dumps(about)})


class _Feather(_Arrow):
    def _open(self, stream: BinaryIO, schema: Any) -> Any:
        ipc = self._arrow.ipc
        return ipc.new_file(stream, schema, options=ipc.IpcWriteOptions(compression="lz4"))


class _Freqtrade(_Feather):
    """The format of freqtrade: `date` and the prices, one series per file."""

    def _schema(self, *, fill: bool) -> Any:  # noqa: ARG002 - filled candles are not marked there
        pa = self._arrow
        return pa.schema([("date", pa.timestamp("ms", "UTC")), *((name, pa.float64()) for name in VALUES)])

    def _table(self, candles: Candles) -> Any:
        found = candles.arrow().select(["time", *VALUES])
        return found.rename_columns(["date", *VALUES])
