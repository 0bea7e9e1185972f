"""`/candles.json`: the candles of a range in as many buckets as a chart has room for, and their verdicts."""

import json
import threading
from collections import OrderedDict
from typing import Any

from mdata.clock import Clock
from mdata.config import Settings, values
from mdata.domain import view as charts
from mdata.domain.escape import quote
from mdata.domain.interval import Range
from mdata.domain.series import Series
from mdata.domain.timeframe import Timeframe
from mdata.domain.times import parse_instant
from mdata.errors import MdataError
from mdata.exchange import registry
from mdata.exit_codes import USAGE
from mdata.running.result import envelope
from mdata.store import series as table
from mdata.store.connection import Connection
from mdata.store.opening import open_for_reading
from mdata.store.view import span, state, view
from mdata.web.parameters import Parameters, one, refuse_others

PATH = "/candles.json"
_PARAMETERS = ("symbol", "timeframe", "start", "end", "bucket")
# Cached answers, some 100 kB each.
_KEPT = 32


class CandleAnswers:
    """Answers requests for candles, and caches aggregated answers until their series changes."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._kept: OrderedDict[tuple[Any, ...], tuple[tuple[Any, ...], bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, parameters: Parameters) -> tuple[int, bytes]:
        """Return the HTTP status and the JSON for a request."""
        try:
            refuse_others(parameters, _PARAMETERS)
            return 200, self._found(parameters)
        except ValueError as error:
            return 400, _json(envelope("candles", USAGE, str(error), {}))
        except MdataError as error:
            return 503, _json(envelope("candles", error.exit_code, str(error), {}))

    def _found(self, parameters: Parameters) -> bytes:
        name, timeframe = _named(parameters)
        now = self._clock.now()
        asked = [one(parameters, name, lambda text: parse_instant(text, now)) for name in ("start", "end")]
        store = open_for_reading(self._settings.database_path)
        if store is None:
            raise ValueError("nothing is stored yet")
        with store, store.read() as connection:
            series = table.find(connection, *registry.resolve(name), timeframe)
            if series is None:
                raise ValueError(f"no candles of {name} {timeframe.name} are stored")
            wanted = series.wanted(now, self._settings.settle)
            whole = span(connection, series, wanted)
            shown = Range(*(end if given is None else given for end, given in zip(whole, asked, strict=True)))
            bucket = _bucket(parameters, timeframe, shown)
            shown = charts.aligned(bucket, shown)
            if bucket == timeframe:
                return _json(_told(connection, series, whole, shown, bucket))
            # The range grows with the clock, but the answer changes only when it reaches into another bucket.
            key = (series.id, shown, bucket.name, bucket.ceil(whole.end))
            now_is = state(connection, series)
            kept = self._kept_of(key, now_is)
            if kept is None:
                kept = _json(_told(connection, series, whole, shown, bucket))
                self._keep(key, now_is, kept)
            return kept

    def _kept_of(self, key: tuple[Any, ...], now_is: tuple[Any, ...]) -> bytes | None:
        with self._lock:
            was, body = self._kept.get(key, (None, None))
            if was != now_is:
                return None
            self._kept.move_to_end(key)
            return body

    def _keep(self, key: tuple[Any, ...], now_is: tuple[Any, ...], body: bytes) -> None:
        with self._lock:
            self._kept[key] = now_is, body
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


def _told(connection: Connection, series: Series, whole: Range, shown: Range, bucket: Timeframe) -> dict[str, Any]:
    found = view(connection, series, whole, shown, bucket)
    return envelope(
        "candles",
        0,
        None,
        {
            "exchange": series.exchange,
            "symbol": series.symbol,
            "timeframe": series.timeframe.name,
            "bucket": bucket.name,
            "step": bucket.step,
            "start": shown.start,
            "end": shown.end,
            "span": whole,
            "candles": found.rows,
            "stretches": found.stretches,
            "revised": found.revised,
        },
    )


def _named(parameters: Parameters) -> tuple[str, Timeframe]:
    """Return the pair and the timeframe of the one requested series."""
    symbols = one(parameters, "symbol", values.symbols)
    timeframes = one(parameters, "timeframe", values.timeframes)
    if not symbols or not timeframes or len(symbols) > 1 or len(timeframes) > 1:
        raise ValueError("select one series: ?symbol=BTCUSD&timeframe=1m")
    return symbols[0], timeframes[0]


def _bucket(parameters: Parameters, timeframe: Timeframe, shown: Range) -> Timeframe:
    """Return the requested grid, or the finest that does not have too many intervals."""
    if shown.start >= shown.end:
        raise ValueError("start must be earlier than end")
    names = {grid.name: grid for grid in charts.buckets(timeframe)}
    name = one(parameters, "bucket", str)
    if name is not None and name not in names:
        raise ValueError(f"bucket: {quote(name)} is not one of {', '.join(names)}")
    bucket = charts.choose(timeframe, shown) if name is None else names[name]
    if (count := charts.count(bucket, shown)) > charts.MOST:
        raise ValueError(
            f"this range has {count:,} intervals of {bucket.name}, but an answer contains at most {charts.MOST:,}: "
            f"use a shorter range or a coarser bucket"
        )
    return bucket


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
