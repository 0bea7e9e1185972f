"""The shared rate budget: what one slot costs, and how fairly eight processes share it."""

import itertools
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.measure import Spread, in_turn, number, seconds
from bench.table import Row
from mdata.clock import SystemClock
from mdata.domain.priority import Priority
from mdata.ratelimit import RateLimit

_DELAY = 0.05
_PROCESSES = 8


def rows(folder: Path, duration: float) -> list[Row]:
    """Measure slots that are free at once, then eight processes that acquire slots for `duration` seconds."""
    return [_acquire(folder), *_share(folder, duration)]


def _budget(path: Path, delay: float) -> RateLimit:
    return RateLimit(path, delay, 60.0, SystemClock(), random.Random().uniform)


def _acquire(folder: Path) -> Row:
    from pyrate_limiter import Limiter, Rate, SQLiteBucket

    budget = _budget(folder / "limit.json", 0.0)
    bucket = SQLiteBucket.init_from_file([Rate(1_000_000, 1000)], db_path=str(folder / "limit.db"))
    limiter = Limiter(bucket)

    def acquire() -> object:
        return budget.acquire(Priority.UPDATE, lambda: True)

    measured = in_turn(
        500, lambda: seconds(acquire), lambda: seconds(budget.sent),
        lambda: seconds(lambda: limiter.try_acquire("candles")),
    )  # fmt: skip
    limiter.close()
    acquired, sent, theirs = map(statistics.median, measured)
    told = (
        f"{number(acquired * 1e6)} µs against {number(theirs * 1e6)} µs; checking the slot again when the request is "
        f"sent takes another {number(sent * 1e6)} µs"
    )
    goal = "limiter: acquiring a free slot ÷ pyrate-limiter SQLiteBucket, p50"
    return Row(goal, 1 / 5, 1 / 40, Spread.of([acquired / theirs]), told)


def _share(folder: Path, duration: float) -> list[Row]:
    path, begin = folder / "shared.json", time.clock_gettime(time.CLOCK_BOOTTIME) + 2.0
    command = [sys.executable, "-m", "bench.limiter", str(path), str(begin), str(begin + duration)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(_PROCESSES)]
    found = [json.loads(process.communicate()[0]) for process in running]
    counts = [len(times) for times in found]
    jain = sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts))
    sent = sorted(time for times in found for time, _ in times)
    waits = sorted(wait for times in found for _, wait in times[1:])
    p99 = waits[int(len(waits) * 0.99)]
    # Two processes need a tenth of a millisecond to read the clock one after the other.
    too_early = sum(later - earlier < _DELAY - 1e-4 for earlier, later in itertools.pairwise(sent))
    told = f"{_PROCESSES} processes, a slot each {_DELAY * 1000:.0f} ms, {len(sent)} slots"
    return [
        Row("limiter: fairness (Jain) within a class", 0.98, 0.99, Spread.of([jain]), told, at_least=True),
        Row("limiter: wait p99 ÷ ideal", 1.5, 1.1, Spread.of([p99 / (_DELAY * _PROCESSES)]),
            f"{number(p99 * 1000)} ms, ideal {number(_DELAY * _PROCESSES * 1000)} ms"),
        Row("limiter: slots granted too early", 0, 0, Spread.of([too_early])),
    ]  # fmt: skip


def _ask(path: Path, begin: float, end: float) -> list[tuple[float, float]]:
    """Take slots from `begin` to `end` (boot time); return when each was taken, and how long the wait was."""
    clock, budget, taken = SystemClock(), _budget(path, _DELAY), []
    clock.sleep(begin - clock.boottime())
    while (asked := clock.boottime()) < end:
        budget.acquire(Priority.UPDATE, lambda: True)
        budget.sent()
        now = clock.boottime()
        taken.append((now, now - asked))
    return taken


if __name__ == "__main__":
    print(json.dumps(_ask(Path(sys.argv[1]), *map(float, sys.argv[2:]))))
