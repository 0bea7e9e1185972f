"""Faults of WebSocket connections on demand: a schedule that depends on the clock alone.

A fault is a small JSON object: `{"kind": "ws-drop", "after": 60, "every": 300}`. Seconds are those of the sandbox's
clock: `after` is counted from when the fault was set, `every` repeats it, and `times` limits the repetitions. Kinds
of faults that last for a while also have the key `for`: their duration in seconds. `symbol` and `timeframe` limit
faults of single channels.
"""

from dataclasses import dataclass
from typing import Any

from mdata.sandbox.channels import Subject
from mdata.sandbox.faults import spelled

PREFIX = "ws-"
_FOREVER = 1e12
_PLAN: dict[str, Any] = {"after": 0.0, "every": 0.0, "times": 0, "symbol": "", "timeframe": ""}
# Every kind with its parameters and their defaults: first those that happen at one instant, then those that last.
KINDS: dict[str, dict[str, Any]] = {
    "ws-drop": {"code": 1006},
    "ws-restart": {"notice": 0.0, "code": 1012},
    "ws-maintenance": {"notice": 0.0, "for": 60.0, "resume": 5.0, "code": 1012},
    "ws-late": {"intervals": 3},
    "ws-flood": {"messages": 200},
    "ws-big": {"bytes": (1 << 20) + 1},
    "ws-binary": {},
    "ws-bad-utf8": {},
    "ws-masked": {},
    "ws-unknown": {},
    "ws-silence": {"for": _FOREVER, "later": False},
    "ws-reorder": {"for": _FOREVER},
    "ws-duplicate": {"for": _FOREVER},
    "ws-early": {"for": _FOREVER},
    "ws-refuse": {"for": _FOREVER, "handshakes": 2**53, "status": 429},
    "ws-accept-close": {"for": _FOREVER, "handshakes": 2**53, "code": 1012},
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """Recurring times (ms UTC): the first, then one every `period` ms, `times` in total."""

    first: int
    period: int = 0
    times: int = 1

    def latest(self, at: int) -> int | None:
        """Return the last of these times that is not after `at`."""
        if at < self.first:
            return None
        return self.first + (
            min((at - self.first) // self.period, self.times - 1) * self.period if self.period else 0
        )

    def following(self, at: int) -> int | None:
        """Return the first of these times after `at`."""
        if at < self.first:
            return self.first
        number = (at - self.first) // self.period + 1 if self.period else self.times
        return self.first + number * self.period if number < self.times else None


@dataclass(eq=False, slots=True)
class StreamFault:
    """One fault, when it happens, and for which channels; durations among the parameters are seconds."""

    kind: str
    schedule: Schedule
    parameters: dict[str, Any]
    symbol: str = ""
    timeframe: str = ""

    @classmethod
    def parse(cls, text: str, now: int) -> "StreamFault":
        """Return the fault in a JSON object, set at `now` (ms UTC); raise ValueError if it is not a fault."""
        kind, found = spelled(text, KINDS, '{"kind": "ws-drop", "every": 60}')
        given = _PLAN | KINDS[kind]
        for name, value in found.items():
            if name not in given:
                raise ValueError(f"the fault {kind} has no {name!r}; it has {', '.join(given)}")
            if not _is_like(value, given[name]):
                raise ValueError(f"{name} of the fault {kind} cannot be {value!r}")
        given |= found
        period = round(given["every"] * 1000)
        times = given["times"] or (2**53 if period else 1)
        schedule = Schedule(now + round(given["after"] * 1000), period, times)
        own = {name: given[name] for name in KINDS[kind]}
        return cls(kind, schedule, own, given["symbol"], given["timeframe"])

    def concerns(self, subject: Subject) -> bool:
        """Whether the fault affects this channel."""
        return self.symbol in {"", subject.symbol} and self.timeframe in {"", subject.timeframe}

    def begun(self, at: int) -> int | None:
        """Return since when (ms UTC) the fault has been active at this instant; None if it is not active."""
        start = self.schedule.latest(at)
        return start if start is not None and at < start + self._ms("for") else None

    def is_closed(self, at: int) -> bool:
        """Whether the fault keeps the exchange closed for maintenance at this instant."""
        return self._is_between(at, self._ms("notice"), self._ms("notice") + self._ms("for"))

    def is_resuming(self, at: int) -> bool:
        """Whether the exchange is open again at this instant, but has not announced it yet."""
        opened = self._ms("notice") + self._ms("for")
        return self._is_between(at, opened, opened + self._ms("resume"))

    def next_acts(self, later_than: int) -> tuple[int, list[str]] | None:
        """Return when (ms UTC, after `later_than`) the fault next acts on open connections, and how, in order."""
        found = [
            (start + offset, act)
            for act, offset in self._acts()
            if (start := self.schedule.following(later_than - offset)) is not None
        ]
        soonest = min((at for at, _ in found), default=None)
        return None if soonest is None else (soonest, [act for at, act in found if at == soonest])

    def _acts(self) -> list[tuple[str, int]]:
        """Return the fault's actions on open connections, each with its offset (ms) from the scheduled time."""
        notice = self._ms("notice")
        if self.kind == "ws-restart":
            return [("20051", 0), ("ws-drop", notice)]
        if self.kind == "ws-maintenance":
            return [("20060", 0), ("ws-drop", notice), ("20061", notice + self._ms("for") + self._ms("resume"))]
        return [] if "for" in self.parameters else [(self.kind, 0)]

    def _is_between(self, at: int, begin: int, end: int) -> bool:
        start = self.schedule.latest(at - begin) if self.kind == "ws-maintenance" else None
        return start is not None and at < start + end

    def _ms(self, name: str) -> int:
        return round(float(self.parameters.get(name, 0)) * 1000)


def _is_like(value: Any, default: Any) -> bool:
    """Whether a parameter's value has the type of its default, and is not negative."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    kinds = (int, float) if isinstance(default, float) else type(default)
    return isinstance(value, kinds) and (isinstance(value, str) or 0 <= value <= _FOREVER or value == default)
