"""Candles as objects of other libraries, each imported when first used."""

from importlib import import_module
from typing import Any

from mdata import extras
from mdata.domain.candle import VALUES
from mdata.domain.columns import Columns
from mdata.errors import MissingExtraError

# Library → the requirement to install.
_WANTED = {"numpy": extras.NUMPY, "pyarrow": extras.PYARROW, "polars": extras.POLARS, "pandas": extras.PANDAS}


def library(name: str) -> Any:
    """Import a library that mdata does not depend on; MissingExtraError says how to install a missing one."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingExtraError(f"{name} is not installed: run `{extras.install(_WANTED[name])}`") from error


def numpy(candles: Columns, is_filled: bytearray | None) -> dict[str, Any]:
    """Return the columns as arrays that share the memory of `candles`, and are therefore read-only."""
    np = library("numpy")
    found = {"time": np.frombuffer(candles.open_time, "int64").view("datetime64[ms]")}
    found |= {name: np.frombuffer(getattr(candles, name), "float64") for name in VALUES}
    if is_filled is not None:
        found["is_filled"] = np.frombuffer(is_filled, "bool")
    for array in found.values():
        array.flags.writeable = False
    return found


def arrow(candles: Columns, is_filled: bytearray | None) -> Any:
    """Return a table that shares the memory of `candles`."""
    pa = library("pyarrow")
    count = len(candles.open_time)

    def array(kind: Any, column: Any) -> Any:
        return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(column)])

    found = {"time": array(pa.timestamp("ms", "UTC"), candles.open_time)}
    found |= {name: array(pa.float64(), getattr(candles, name)) for name in VALUES}
    if is_filled is not None:
        found["is_filled"] = array(pa.uint8(), is_filled).cast(pa.bool_())
    return pa.table(found)


def polars(candles: Columns, is_filled: bytearray | None) -> Any:
    """Return a Polars data frame."""
    pl = library("polars")
    columns = numpy(candles, is_filled)
    times = pl.Series("time", columns.pop("time").view("int64")).cast(pl.Datetime("ms", "UTC"))
    return pl.DataFrame([times, *(pl.Series(name, values) for name, values in columns.items())])


def pandas(candles: Columns, is_filled: bytearray | None) -> Any:
    """Return a pandas data frame."""
    pd = library("pandas")
    columns = numpy(candles, is_filled)
    times = pd.DatetimeIndex(columns.pop("time")).tz_localize("UTC")
    return pd.DataFrame({"time": times, **columns})
