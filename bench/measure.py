"""Measures pieces of work in turn, and whole processes with what they use; shows medians and their spread."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several measurements, and the bounds of their middle half."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self) -> str:
        if self.low == self.high:
            return number(self.median)
        return f"{number(self.median)} ({number(self.low)}–{number(self.high)})"


def number(value: float) -> str:
    """Format a number with three significant digits, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    for digits in range(6):
        if abs(value) >= 10.0 ** (1 - digits):
            return f"{value:.{digits + 1}f}".rstrip("0").rstrip(".")
    return f"{value:.1e}"


# `-P`: the installed package is measured, even if the current folder is a checkout.
PYTHON = (sys.executable, "-P", "-c")
QUIET: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)


class Cost(NamedTuple):
    """What a whole process took: wall seconds, processor seconds, and its peak memory in MiB."""

    wall: float
    cpu: float
    memory: float
    exit: int


def in_turn(rounds: int, *works: Callable[[], T]) -> list[list[T]]:
    """Do all works once to warm up, then in turn; return the results of each, round by round."""
    for work in works:
        work()
    found: list[list[T]] = [[] for _ in works]
    for _ in range(rounds):
        for measured, work in zip(found, works, strict=True):
            measured.append(work())
    return found


def ratio(one: Sequence[float], other: Sequence[float]) -> Spread:
    """Return the ratio of the two, round by round, because what slows the machine slows both."""
    return Spread.of([a / b for a, b in zip(one, other, strict=True)])


def walls(costs: Sequence[Cost]) -> list[float]:
    """Return the wall seconds."""
    return [cost.wall for cost in costs]


def against(one: Sequence[Cost], other: Sequence[Cost]) -> tuple[Spread, str]:
    """Return the ratio of the wall times, and a text with the ratio of the processor times.

    The latter is valid even if the machine has other work.
    """
    processor = ratio([cost.cpu for cost in one], [cost.cpu for cost in other])
    return ratio(walls(one), walls(other)), f"processor {processor.median:.2f}"


def seconds(work: Callable[[], object]) -> float:
    """Return how long a work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def cost(arguments: Sequence[str | Path], environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Cost:
    """Run a process to its end, and return what it used according to the system; its output is dropped."""
    begin = time.perf_counter()
    process = subprocess.Popen(arguments, env=environ, cwd=cwd, **QUIET)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, process.returncode)
