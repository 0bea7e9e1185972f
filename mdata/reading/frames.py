"""Candles in the shapes of other libraries, each imported when it is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdata.errors import MissingExtraError

if TYPE_CHECKING:
    from mdata.reading.candles import Candles

_PRICES = ("open", "high", "low", "close", "volume")
# Library → what to install.
_REQUIREMENTS = {"numpy": "numpy>=2", "pyarrow": "pyarrow>=18", "polars": "polars>=1.30", "pandas": "pandas>=2.2"}


def library(name: str) -> Any:
    """Import a library that mdata does not bring along; say how to install it where it is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        from mdata import extras

        raise MissingExtraError(
            f"{name} is not installed: `{extras.install(_REQUIREMENTS[name])}` brings it"
        ) from error


def numpy(candles: "Candles") -> dict[str, Any]:
    """Return the columns as arrays that share the memory of `candles`; therefore they may not be written to."""
    np = library("numpy")
    columns = candles.columns
    found = {"time": np.frombuffer(columns.open_time, "int64").view("datetime64[ms]")}
    found |= {name: np.frombuffer(getattr(columns, name), "float64") for name in _PRICES}
    if candles.is_filled is not None:
        found["is_filled"] = np.frombuffer(candles.is_filled, "bool")
    for array in found.values():
        array.flags.writeable = False
    return found


def arrow(candles: "Candles") -> Any:
    """Return a table that shares the memory of `candles`."""
    pa = library("pyarrow")
    count, columns = len(candles), candles.columns

    def array(kind: Any, column: Any) -> Any:
        return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(column)])

    found = {"time": array(pa.timestamp("ms", "UTC"), columns.open_time)}
    found |= {name: array(pa.float64(), getattr(columns, name)) for name in _PRICES}
    if candles.is_filled is not None:
        found["is_filled"] = array(pa.uint8(), candles.is_filled).cast(pa.bool_())
    return pa.table(found)


def polars(candles: "Candles") -> Any:
    """Return a data frame of Polars."""
    pl = library("polars")
    columns = numpy(candles)
    times = pl.Series("time", columns.pop("time").view("int64")).cast(pl.Datetime("ms", "UTC"))
    return pl.DataFrame([times, *(pl.Series(name, values) for name, values in columns.items())])


def pandas(candles: "Candles") -> Any:
    """Return a data frame of pandas."""
    pd = library("pandas")
    columns = numpy(candles)
    times = pd.DatetimeIndex(columns.pop("time")).tz_localize("UTC")
    return pd.DataFrame({"time": times, **columns})
