"""Processes that share one rate budget."""

import subprocess
import sys
from pathlib import Path

WORKER = """
import json, random, sys, time
from pathlib import Path
from mdata.clock import SystemClock
from mdata.domain.priority import Priority
from mdata.errors import SlotLostError
from mdata.ratelimit import RateLimit
class Clock(SystemClock):
    def boottime(self):
        self.last = super().boottime()  # the newest reading: in `sent`, the instant that the file holds
        return self.last
path, delay, priority, seconds = Path(sys.argv[1]), float(sys.argv[2]), Priority(int(sys.argv[3])), float(sys.argv[4])
clock = Clock()
limit = RateLimit(path, delay, 0.2, clock, random.Random().uniform)
sent, end = [], clock.boottime() + seconds
try:
    while clock.boottime() < end:
        limit.acquire(priority, lambda: 1, end)
        try:
            limit.sent()
        except SlotLostError:
            continue
        sent.append(clock.last)
except TimeoutError:
    pass
print(json.dumps(sent))
"""


def workers(path: Path, delay: float, classes: list[int], seconds: float) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), str(delay), str(priority), str(seconds)],
            stdout=subprocess.PIPE, text=True,
        )
        for priority in classes
    ]  # fmt: skip
