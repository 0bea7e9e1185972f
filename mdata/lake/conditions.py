"""SQL conditions on the tables of a lake; values are quoted here."""

from collections.abc import Iterable

from mdata.domain.interval import Range
from mdata.domain.publication import Key
from mdata.domain.times import iso


def text(value: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def instant_text(time: int) -> str:
    """Return an instant (ms UTC) as an SQL literal."""
    return f"'{iso(time)}'"


def of_series(key: Key) -> str:
    """Return the condition that picks the rows of a series."""
    return " AND ".join(f"{name} = {text(value)}" for name, value in key._asdict().items())


def in_periods(periods: Iterable[str]) -> str:
    """Return the condition that picks the rows of these partitions."""
    return f"period IN ({', '.join(text(period) for period in sorted(set(periods)))})"


def in_ranges(ranges: Iterable[Range]) -> str:
    """Return the condition that picks the candles that open in one of these ranges."""
    parts = (f"(time >= {instant_text(start)} AND time < {instant_text(end)})" for start, end in ranges)
    return f"({' OR '.join(parts)})"
