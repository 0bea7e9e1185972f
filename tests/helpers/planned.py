"""Ledgers and doubts, in minutes, from which a plan is made."""

from typing import Any

from answers import M1, SETTLE, candle, minute, span

from mdata.domain.doubt import Doubt, DoubtKind
from mdata.domain.interval import Range
from mdata.domain.ledger import Ledger
from mdata.domain.series import Series
from mdata.domain.timeframe import MINUTE
from mdata.exchange.bitfinex.venue import BITFINEX

NOW = 1_000  # minutes since T0, when nothing else is said
SERIES = Series(1, BITFINEX, "tBTCUSD", M1, None, 0, minute(0), None, minute(900), minute(1000), minute(1000))


def doubt(
    start: int, end: int, kind: DoubtKind = "silence", form: str = "asc 0", at: float = NOW, answers: int = 1
) -> Doubt:
    asked_at = int(minute(0) + at * MINUTE)
    told = candle(start) if kind == "first" else None
    return Doubt(span(start, end), kind, form, asked_at, asked_at, answers, told)


def asc(number: int) -> str:
    return f"asc {minute(number)}"


def ledger(
    *doubts: Doubt, hull: tuple[int, int] | None = (100, 1000), to: int | None = 997, last: int | None = 999,
    now: float = NOW, unobtainable: tuple[Range, ...] = (), reaches: int | None = 990, **series: Any,
) -> Ledger:  # fmt: skip
    """Return a ledger of minutes; by default everything from 100 to now is known, and has just been asked."""
    return Ledger(
        SERIES._replace(**series),
        span(*hull) if hull else None,
        None if to is None else minute(to),
        None if reaches is None else minute(reaches),
        None if last is None else minute(last),
        doubts, unobtainable, int(minute(0) + now * MINUTE), SETTLE,
    )  # fmt: skip
