"""mdata keeps a complete local store of Bitfinex candles, and can prove that it is complete.

`mdata.open()` gives a reader of the store; docs/api.md tells what it can do. What is read by is imported when it is
asked for: every command line imports this package first.
"""

from mdata.version import __version__

# Type checkers take this name for true; importing the real one from `typing` would cost more than all the rest.
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
    from mdata.reading.reader import Reader, StoredSeries, open  # noqa: A004 - it is called `mdata.open`

__all__ = [
    "Candle", "Candles", "ConfigurationError", "IncompleteError", "MdataError", "MissingExtraError", "NotNowError",
    "NotPermittedError", "NotThereError", "Range", "Reader", "StorageError", "StoredSeries", "UsageError",
    "__version__", "open",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import what this package offers by name, at its first use."""
    from importlib import import_module

    for module in ("mdata.errors", "mdata.domain.interval", "mdata.reading.candles", "mdata.reading.reader"):
        if name in __all__ and (found := vars(import_module(module)).get(name)) is not None:
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names that this package offers."""
    return sorted({*globals(), *__all__})
