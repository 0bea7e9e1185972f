"""How the simulated exchange changes its mind: candles that appear late, with other values at first, or no longer.

A lie is written like a fault: `{"kind": "late", "symbol": "tBTCUSD", "start": "2024-05-01", "end": "2024-05-02"}`.
It changes everything that is served, by REST and by the stream, until other faults are set; the ledger that
`Market.candles` reads stays the truth.
"""

from dataclasses import dataclass
from typing import Any

from mdata.domain.candle import Candle
from mdata.domain.timeframe import TIMEFRAMES, Timeframe
from mdata.domain.times import parse_instant
from mdata.sandbox.faults import spelled

_END_OF_TIME = 2**53
_NARROWING: dict[str, Any] = {"after": 0.0, "symbol": "", "timeframe": "", "start": 0, "end": _END_OF_TIME}
# Every kind with its parameters and their defaults.
KINDS: dict[str, dict[str, Any]] = {
    "late": {"seconds": 60.0},
    "revised": {"seconds": 240.0, "every": 1},
    "slow": {"seconds": 240.0, "every": 1},
    "unserved": {},
}


@dataclass(eq=False, slots=True)
class Lie:
    """A lie about the candles of [start, end), told from `begins` on (all ms UTC); `every`: only each nth interval.

    `late`: they all appear `seconds` after the first of them was left out. `slow`: each appears `seconds` after it
    closed. `revised`: they have other values until `seconds` after they closed. `unserved`: they never appear again.
    """

    kind: str
    begins: int
    symbol: str
    timeframe: str
    start: int
    end: int
    seconds: float = 0.0
    every: int = 1
    left_out_at: int | None = None

    @classmethod
    def parse(cls, text: str, now: int) -> "Lie":
        """Return the lie in a JSON object, set at `now` (ms UTC); raise ValueError if it is not a lie."""
        kind, found = spelled(text, KINDS, '{"kind": "late", "start": "2024-05-01", "end": "2024-05-02"}')
        given = _NARROWING | KINDS[kind]
        for name, value in found.items():
            if name not in given:
                raise ValueError(f"the fault {kind} has no {name!r}; it has {', '.join(given)}")
            given[name] = _read(kind, name, value, given[name], now)
        begins = now + round(given.pop("after") * 1000)
        return cls(kind, begins, **given)

    def told(self, symbol: str, timeframe: Timeframe, candle: Candle, now: int) -> Candle | None:
        """Return a candle as it is served at `now`, or None if it is left out."""
        open_time = candle[0]
        if now < self.begins or not self.start <= open_time < self.end:
            return candle
        if self.symbol not in {"", symbol} or self.timeframe not in {"", timeframe.name}:
            return candle
        if timeframe.index(open_time) % self.every:
            return candle
        if self.kind == "unserved":
            return None
        if self.kind == "late":
            # The forming candle is served even if it will be left out later.
            if self.left_out_at is None and timeframe.next(open_time) <= now:
                self.left_out_at = now
            return None if self.left_out_at is None or now < self._ends(self.left_out_at) else candle
        if now >= self._ends(timeframe.next(open_time)):
            return candle
        return None if self.kind == "slow" else _at_first(candle)

    def _ends(self, since: int) -> int:
        return since + round(self.seconds * 1000)


def _at_first(candle: Candle) -> Candle:
    """Return a candle without its later trades."""
    open_time, open_, high, low, _, volume = candle
    return (open_time, open_, high, low, open_, volume / 2)


def _read(kind: str, name: str, value: Any, default: Any, now: int) -> Any:
    if name in {"start", "end"} and isinstance(value, int | str) and not isinstance(value, bool):
        return parse_instant(str(value), now)
    if name == "timeframe" and value not in TIMEFRAMES:
        raise ValueError(f"timeframe of the fault {kind} cannot be {value!r}")
    kinds = (int, float) if isinstance(default, float) else type(default)
    if isinstance(value, bool) or not isinstance(value, kinds) or (name == "every" and value < 1):
        raise ValueError(f"{name} of the fault {kind} cannot be {value!r}")
    return value
