"""Timeframes to resample to: those of the exchange, and whatever else divides a day."""

import re

from mdata.domain.escape import quote
from mdata.domain.timeframe import DAY, HOUR, MINUTE, TIMEFRAMES, Timeframe

_PART_OF_A_DAY = re.compile(r"([1-9][0-9]{0,3})([mh])")


def parse_coarser(text: str, source: Timeframe) -> Timeframe:
    """Return the timeframe that `text` names (`4h`, `1D`, `1W`, `1M`), into which candles of `source` add up.

    Weeks begin on Monday, months on the 1st, parts of a day at midnight, all in UTC. Anything else raises ValueError
    with a sentence that can be shown to the user.
    """
    found = TIMEFRAMES.get(text) or _part_of_a_day(text)
    if found is None:
        raise ValueError(f"cannot resample to {quote(text)}; {_advice(text)}")
    if not _adds_up(source, found):
        raise ValueError(
            f"{source.name} candles cannot be aggregated to {found.name}: choose a multiple of {source.name}"
        )
    return found


def _part_of_a_day(text: str) -> Timeframe | None:
    found = _PART_OF_A_DAY.fullmatch(text)
    if not found:
        return None
    step = int(found[1]) * {"m": MINUTE, "h": HOUR}[found[2]]
    return Timeframe(text, step) if DAY % step == 0 else None


def _advice(text: str) -> str:
    if (upper := text.upper()) in TIMEFRAMES:
        return f"did you mean {upper}?"
    return "use a length that divides a day, such as 10m or 4h, or 1D, 1W, 1M"


def _adds_up(source: Timeframe, coarse: Timeframe) -> bool:
    if not source.step:
        return not coarse.step
    if not coarse.step:
        return DAY % source.step == 0
    return coarse.step % source.step == 0 and (coarse.anchor - source.anchor) % source.step == 0
