"""Judges a store that calls itself complete while a candle is missing.

mdata knows only the exchange's answers; this module also knows the truth. The reference lists, under "What complete
does not prove", which wrong answers may be believed, and by when mdata must have noticed each of them. If the answers
about the missing candle are such a case, the candle is *excused* until that time. Otherwise the store is *wrong*.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from conftest import DAY

from mdata.domain.interval import Range
from mdata.domain.timeframe import HOUR, MINUTE, TIMEFRAMES
from mdata.sandbox import rest
from mdata.sandbox.faults import Fault
from mdata.sandbox.rest import CandleRequest, Reply
from mdata.sandbox.server import Sandbox

# Silent intervals of 1m that are remarkable for sure, whatever is stored around, by the density of the pair.
SURELY_REMARKABLE = {1.0: 64, 0.1: 400}
# Fewer than these never are.
NEVER_REMARKABLE = 63


class Told(NamedTuple):
    """One answer about candles: when it was given, to what question, and of which open times it had rows."""

    at: int
    asked: CandleRequest
    times: tuple[int, ...]

    def hole(self, time: int) -> tuple[Range, bool] | None:
        """Return the silence of the answer that holds `time`, and whether rows enclose it; None if there is none."""
        place = bisect_left(self.times, time)
        before = self.times[place - 1] if place else None
        after = self.times[place] if place < len(self.times) else None
        if not self.asked.start <= time <= self.asked.end or after == time:
            return None
        if self.is_full and (before is None if self.asked.sort < 0 else after is None):
            return None  # beyond the last row of a full answer: it says nothing
        start = max(self.asked.start, 0) if before is None else before + MINUTE
        end = min(self.asked.end + 1, self.at) if after is None else after
        return Range(start, end), before is not None and after is not None

    @property
    def is_full(self) -> bool:
        """Whether it has as many rows as were asked for."""
        return len(self.times) >= self.asked.limit


class Overheard(Sandbox):
    """An exchange of which every answer about candles is noted."""

    def __init__(self, *arguments: object, **named: object) -> None:
        self.told: list[Told] = []
        super().__init__(*arguments, **named)  # type: ignore[arg-type]

    def answer(self, target: str) -> tuple[Reply, Fault | None]:
        reply, fault = super().answer(target)
        asked = rest.parse(target)
        if isinstance(asked, CandleRequest) and reply.status == 200 and asked.section == "hist":
            self._note(asked, reply)
        return reply, fault

    def _note(self, asked: CandleRequest, reply: Reply) -> None:
        try:
            rows = json.loads(reply.body)
            times = tuple(sorted(row[0] for row in rows))
        except (ValueError, TypeError, IndexError, KeyError):
            return  # what cannot be read proves nothing
        self.told.append(Told(self.clock.now(), asked, times))


class Excuse(NamedTuple):
    """Why a missing candle may be called there, and from when on an honest round must have brought it."""

    why: str
    noticed: int


def excuse(told: Iterable[Told], symbol: str, time: int, density: float) -> Excuse | None:
    """Return the best excuse for a candle of 1m that is missing from what is called complete; None: there is none."""
    found: list[Excuse] = []
    beyond: list[tuple[int, CandleRequest]] = []
    for one in told:
        if (one.asked.symbol, one.asked.timeframe) != (symbol, "1m") or one.at < time + MINUTE:
            continue
        silence = one.hole(time)
        if silence is None:
            continue
        (start, end), enclosed = silence
        length = TIMEFRAMES["1m"].count(start, end)
        if enclosed and length < SURELY_REMARKABLE[density]:
            found.append(Excuse("left out between good witnesses", one.at + 91 * DAY))
        if enclosed and length >= NEVER_REMARKABLE:
            found.append(Excuse("a remarkable silence, believed", one.at + DAY + HOUR))
        if not enclosed and length < SURELY_REMARKABLE[density]:
            found.append(Excuse("provisional", one.at + HOUR))
        if not enclosed and length >= NEVER_REMARKABLE:
            beyond += [(at, one.asked) for at, asked in beyond[-1:] if _independent(at, asked, one)]
            if beyond and _independent(*beyond[-1], one):
                days = 31 * DAY if one.asked.form == "first" else DAY
                found.append(Excuse("two lies that agree", one.at + days + HOUR))
            beyond.append((one.at, one.asked))
    return max(found, key=lambda one: one.noticed, default=None)


def _independent(at: int, asked: CandleRequest, one: Told) -> bool:
    """Whether an answer was asked in another form, with other bounds, or a minute later than an earlier one."""
    return one.at - at >= MINUTE or (asked.sort, asked.start, asked.end) != (
        one.asked.sort,
        one.asked.start,
        one.asked.end,
    )
