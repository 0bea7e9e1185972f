"""mdata keeps a complete local store of Bitfinex candles, and can prove that it is complete.

`mdata.open()` returns a reader of the store; docs/api.md describes it. The reader is only imported when it is used,
because every command imports this package first.
"""

from mdata.version import __version__

# Type checkers treat this name as true; importing `TYPE_CHECKING` from `typing` would take longer than all other
# imports here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from mdata.domain.interval import Range
    from mdata.errors import (
        ConfigurationError,
        IncompleteError,
        MdataError,
        MissingExtraError,
        NotNowError,
        NotPermittedError,
        NotThereError,
        StorageError,
        UsageError,
    )
    from mdata.reading.candles import Candle, Candles
    from mdata.reading.opening import open  # noqa: A004 - it is called `mdata.open`
    from mdata.reading.reader import Reader, StoredSeries

__all__ = [
    "Candle", "Candles", "ConfigurationError", "IncompleteError", "MdataError", "MissingExtraError", "NotNowError",
    "NotPermittedError", "NotThereError", "Range", "Reader", "StorageError", "StoredSeries", "UsageError",
    "__version__", "open",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import a public name of this package at its first use."""
    from importlib import import_module

    for module in (
        "mdata.errors",
        "mdata.domain.interval",
        "mdata.reading.candles",
        "mdata.reading.reader",
        "mdata.reading.opening",
    ):
        if name in __all__ and (found := vars(import_module(module)).get(name)) is not None:
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names of this package."""
    return sorted({*globals(), *__all__})
