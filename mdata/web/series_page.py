"""The page of a series: its counts, a chart, a calendar, its gaps and its revisions."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote as escaped
from urllib.parse import urlencode

from mdata.clock import Clock
from mdata.config import Settings, values
from mdata.domain import view as charts
from mdata.domain.candle import VALUES
from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.domain.times import iso
from mdata.exchange import registry
from mdata.store import gaps, revisions, summary
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.opening import open_for_reading
from mdata.store.view import span
from mdata.web.calendar import SIGNS, calendar
from mdata.web.metadata import DATABASE
from mdata.web.parameters import Parameters, one, refuse_others

# Rows of each list; a link leads to the whole list.
_LISTED = 50


def address(symbol: str, timeframe: str) -> str:
    """Return the address of the page of a series."""
    return f"/series/{escaped(symbol, safe='')}/{timeframe}"


def series_page(
    named: Mapping[str, str], parameters: Parameters, settings: Settings, clock: Clock
) -> dict[str, Any] | None:
    """Return the content of the page of a series, None if it is not stored; raise ValueError for bad parameters."""
    refuse_others(parameters, ("year",))
    year = one(parameters, "year", values.whole(1970, 9999))
    (name, *more), (timeframe, *finer) = values.symbols(named["symbol"]), values.timeframes(named["timeframe"])
    if more or finer:
        raise ValueError("a page shows one series")
    store = open_for_reading(settings.database_path)
    if store is None:
        return None
    with store, store.read() as connection:
        series = table.find(connection, *registry.resolve(name), timeframe)
        if series is None:
            return None
        wanted = series.wanted(clock.now(), settings.settle)
        return _told(connection, series, wanted, year)


def _told(connection: Connection, series: Series, wanted: Range, year: int | None) -> dict[str, Any]:
    counts, known, *_ = summary.look(connection, series, wanted, silent=True)
    whole = span(connection, series, wanted)
    pair = series.venue, series.symbol
    siblings = [one for one in table.every(connection) if (one.venue, one.symbol) == pair]
    name, timeframe = registry.qualified(series.exchange, series.symbol), series.timeframe.name
    found = gaps.listed(connection, None, [(series.exchange, series.symbol)], [timeframe], None, _LISTED)
    return {
        "symbol": name,
        "timeframe": timeframe,
        "counts": counts,
        "is_complete": not counts.unknown and not any(gap.status in {"open", "failed"} for gap in found),
        "span": whole,
        "first": _minute(counts.first),
        "last": _minute(counts.last),
        "signs": {cell: sign for cell, sign in SIGNS.items() if sign},
        "calendar": calendar(series.timeframe, _days_of(whole, wanted), known, year),
        "buckets": [one.name for one in charts.buckets(series.timeframe)],
        "others": [
            {"name": one.timeframe.name, "address": address(name, one.timeframe.name)}
            for one in siblings
            if one.timeframe != series.timeframe
        ],
        "gaps": [_gap(one) for one in found],
        "revisions": [
            {**one, "time": _minute(one["open_time"]), "seen": _minute(one["seen_at"])}
            for one in revisions.listed_of(connection, series.id, _LISTED)
        ],
        "csv": csv_address(series, whole),
        "sql": sql_address(series, whole),
        "all_gaps": f"/{DATABASE}/data_gaps?{urlencode({'series_id': series.id})}",
        "all_revisions": f"/{DATABASE}/candle_revisions?{urlencode({'series_id': series.id})}",
    }


def _days_of(whole: Range, wanted: Range) -> Range:
    """Return the range whose days are shown: the wanted one, because what is no longer wanted has no verdict."""
    return wanted if wanted.start < wanted.end else whole


def csv_address(series: Series, shown: Range) -> str:
    """Return the address of the candles of a range as CSV."""
    asked = {
        "exchange": series.exchange, "symbol": series.symbol, "timeframe": series.timeframe.name,
        "open_time__gte": shown.start, "open_time__lt": shown.end, "_stream": 1, "_sort": "open_time",
    }  # fmt: skip
    return f"/{DATABASE}/ohlcv.csv?{urlencode(asked)}"


def sql_address(series: Series, shown: Range) -> str:
    """Return the address of the query that finds the candles of a range."""
    sql = (
        f"select time, {', '.join(VALUES)} from ohlcv\n"
        f"where exchange = '{series.exchange}' and symbol = '{series.symbol}' and timeframe = "
        f"'{series.timeframe.name}'\n  and open_time >= {shown.start} and open_time < {shown.end}\norder by open_time"
    )
    return f"/{DATABASE}?{urlencode({'sql': sql})}"


def _gap(gap: gaps.GapRow) -> dict[str, Any]:
    return {
        **gap._asdict(),
        "begins": _minute(gap.start),
        "ends": _minute(gap.end),
        "next": _minute(gap.next_attempt_at) if gap.status == "open" else None,
        "date": iso(gap.start)[:10],
    }


def _minute(instant: int | None) -> str | None:
    """Return a time in the usual form, to the minute."""
    return None if instant is None else iso(instant)[:16].replace("T", " ")
