"""The shared budget as the text of its file, and back: if the file is damaged, the burst counts as used."""

import json
from math import isfinite
from typing import Any, NamedTuple

from mdata.domain.budget import CALM_SECONDS, State, Waiter
from mdata.domain.pace import Pace, Past

# The exceptions that the parsing of damaged, foreign or hostile text may raise.
_DAMAGED = (ValueError, KeyError, TypeError, OverflowError, RecursionError, AttributeError)
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


class Instant(NamedTuple):
    """An instant by both clocks: seconds of this boot's boot time, and ms UTC."""

    boot_id: str
    now: float
    wall: int

    def of(self, wall: Any, longest: float) -> float:
        """Convert an instant recorded in another boot (ms UTC) to boot time, at most `longest` s from now."""
        return self.now + min(max(0.0, (_number(wall) - self.wall) / 1000), longest)

    @property
    def booted_at(self) -> int:
        """Return when this boot began, by the wall clock (seconds UTC): this relates the times of two boots."""
        return round(self.wall / 1000 - self.now)

    def noted(self, boottime: float) -> int:
        """Return a future boot time as ms UTC; 0 if it has passed."""
        return self.wall + int((boottime - self.now) * 1000) if boottime > self.now else 0


def encode(state: State, here: Instant) -> bytes:
    """Return the text of a state, with the keys of the previous version, whose programs read the file too."""
    kept = {
        "boot_id": here.boot_id,
        "booted_at_utc_s": here.booted_at,
        "blocked_until_utc_ms": here.noted(state.blocked_until),
        "calm_until_utc_ms": here.noted(state.calm_until),
        **state._asdict(),
    }
    kept["waiters"] = [waiter._asdict() for waiter in state.waiters]
    kept["past"] = state.past._asdict()
    return _ENCODER.encode(kept).encode()


def decode(text: bytes, here: Instant, pace: Pace, longest_block: float) -> State:
    """Parse a state and clamp it; if the sent requests are not in it, assume the maximum at `pace`."""
    try:
        found = json.loads(text)
        if found["boot_id"] != here.boot_id:
            return _of_another_boot(found, here, pace, longest_block)
        return _of_this_boot(found, here, pace).clamped(here.now, longest_block, pace.window)
    except _DAMAGED:
        return State.unknown(here.now, pace)


def _of_another_boot(found: dict[str, Any], here: Instant, pace: Pace, longest_block: float) -> State:
    """Return a state of another boot: a block is converted by the wall clock, and the burst counts as spent."""
    state = State.unknown(here.now, pace)._replace(
        blocked_until=here.of(found["blocked_until_utc_ms"], longest_block),
        refusals=int(_number(found["refusals"])),
        calm_until=here.now + CALM_SECONDS,
    )
    if "past" not in found:
        return state
    return state._replace(
        past=_past_of_another_boot(found, here, pace),
        calm_until=here.of(found["calm_until_utc_ms"], CALM_SECONDS + longest_block),
    )


def _past_of_another_boot(found: dict[str, Any], here: Instant, pace: Pace) -> Past:
    # One second is added, because the begin of a boot is only known to the second.
    shift = _number(found["booted_at_utc_s"]) + 1 - here.booted_at
    past = _past(found["past"])
    # The newest request counts as sent at most one delay ago: setting the clock must not allow a burst.
    at = max(past.at + shift, here.now - pace.delay)
    arrivals = (min(time / 1000 + shift, here.now) for time in past.arrivals)
    return Past(float(pace.burst), at, tuple(int(time * 1000) for time in arrivals)).clamped(here.now, pace.window)


def _of_this_boot(found: dict[str, Any], here: Instant, pace: Pace) -> State:
    last = _number(found["last"])
    return State(
        last=last,
        sender=str(found["sender"]),
        blocked_until=_number(found["blocked_until"]),
        refusals=int(_number(found["refusals"])),
        passed=int(_number(found["passed"])),
        waiters=tuple(
            Waiter(str(one["id"]), int(one["priority"]), _number(one["since"])) for one in found["waiters"]
        ),
        offered_to=str(found["offered_to"]),
        offered_at=_number(found["offered_at"]),
        connects=tuple(sorted(map(_number, found["connects"]))),
        # If these keys are missing, a program of the previous version wrote the file: it records neither what was
        # sent nor until when bursts are off.
        past=_past(found["past"]) if "past" in found else pace.fullest(min(last, here.now)),
        calm_until=_number(found["calm_until"]) if "calm_until" in found else here.now + CALM_SECONDS,
    )


def _past(found: dict[str, Any]) -> Past:
    return Past(_number(found["level"]), _number(found["at"]), tuple(map(int, found["arrivals"])))


def _number(value: Any) -> float:
    number = float(value)
    if not isfinite(number):
        raise ValueError(value)
    return number
