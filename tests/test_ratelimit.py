"""The shared rate budget: real processes, one file."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import SetClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdata.clock import SystemClock
from mdata.domain.budget import Priority, State, longest_block
from mdata.errors import NotNowError, NotPermittedError, StorageError
from mdata.ratelimit import RateLimit

# Each line is the instant at which a request leaves, as the budget itself has read it from the clock.
WORKER = """
import random, sys
from pathlib import Path
from mdata.clock import SystemClock
from mdata.domain.budget import Priority
from mdata.ratelimit import RateLimit

class Clock(SystemClock):
    def boottime(self):
        self.read = super().boottime()
        return self.read

path, delay, priority, seconds = Path(sys.argv[1]), float(sys.argv[2]), Priority(int(sys.argv[3])), float(sys.argv[4])
clock = Clock()
limit = RateLimit(path, delay, 0.2, clock, random.Random())
end = clock.boottime() + seconds
try:
    while clock.boottime() < end:
        limit.acquire(priority, lambda: 1, end)
        limit.sent()
        print(clock.read, flush=True)
except TimeoutError:
    pass
"""


def workers(path: Path, delay: float, classes: list[int], seconds: float) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), str(delay), str(priority), str(seconds)],
            stdout=subprocess.PIPE, text=True,
        )
        for priority in classes
    ]  # fmt: skip


def sendings(processes: list[subprocess.Popen[str]]) -> list[list[float]]:
    return [[float(line) for line in process.communicate(timeout=60)[0].split()] for process in processes]


def spacing(each: list[list[float]]) -> float:
    every = sorted(instant for one in each for instant in one)
    return min((later - earlier for earlier, later in pairwise(every)), default=math.inf)


def test_eight_processes_share_one_budget(tmp_path: Path) -> None:
    delay, seconds = 0.15, 9.0
    each = sendings(workers(tmp_path / "state.json", delay, [2] * 8, seconds))
    assert spacing(each) > delay - 1e-6
    every = sorted(instant for one in each for instant in one)
    assert (len(every) - 1) * delay >= 0.95 * (every[-1] - every[0])
    # Fairness by Jain's index, over the part of the time in which all of them were at work.
    begun = max(one[0] for one in each)
    counts = [sum(instant >= begun for instant in one) for one in each]
    assert sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts)) >= 0.98


def test_stopped_and_killed_processes_break_no_rule(tmp_path: Path) -> None:
    delay, path = 0.05, tmp_path / "state.json"
    steady = workers(path, delay, [1, 2], 6.0)
    ended: list[list[float]] = []
    dice = random.Random(7)
    for _ in range(12):
        (victim,) = workers(path, delay, [0], 60.0)
        assert victim.stdout is not None
        first = float(victim.stdout.readline())
        time.sleep(dice.uniform(0, 2 * delay))
        victim.send_signal(signal.SIGSTOP)
        time.sleep(dice.uniform(0, 2 * delay))
        victim.send_signal(dice.choice([signal.SIGCONT, signal.SIGKILL]))
        time.sleep(dice.uniform(0, 2 * delay))
        victim.kill()
        ended.append([first, *map(float, victim.communicate()[0].split())])
    each = sendings(steady)
    assert spacing([*each, *ended]) > delay - 1e-6
    # The two that were left alone went on: without the others they have all slots but those of the dying.
    for one in each:
        assert max(later - earlier for earlier, later in pairwise(one)) < 40 * delay
    alone = [instant for one in each for instant in one if instant > max(end[-1] for end in ended) + 4 * delay]
    if alone:
        assert (len(alone) - 1) * delay >= 0.85 * (max(alone) - min(alone))


def test_the_lowest_class_gets_every_fourth_slot(tmp_path: Path) -> None:
    update, repair, backfill = sendings(workers(tmp_path / "state.json", 0.05, [0, 0, 2], 5.0))
    begun = max(update[0], repair[0], backfill[0])
    high = sum(instant >= begun for one in (update, repair) for instant in one)
    low = sum(instant >= begun for instant in backfill)
    assert low >= (high + low) // 4 - 2
    assert low <= (high + low) // 4 + 4


def test_waiters_killed_in_the_queue_cost_one_slot(tmp_path: Path, wait: Callable[..., None]) -> None:
    path, clock = tmp_path / "state.json", SystemClock()
    limit = RateLimit(path, 1.0, 0.2, clock, random.Random(1))
    limit.acquire(Priority.UPDATE, lambda: 1)
    limit.sent()
    victims = workers(path, 1.0, [0] * 5, 60.0)
    wait(lambda: limit.peek().waiting == len(victims))
    for victim in victims:
        victim.kill()
        victim.communicate()
    last = json.loads(path.read_text())["last"]
    limit.acquire(Priority.BACKFILL, lambda: 1)
    assert clock.boottime() - last <= 2 * 1.0 + 0.2


def test_a_block_holds_for_processes_started_later(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.json", SystemClock()
    seconds = RateLimit(path, 0.01, 1.0, clock, random.Random(1)).refused(None)
    assert seconds > 1
    until = clock.boottime() + seconds
    each = sendings(workers(path, 0.01, [0, 1, 2], seconds + 0.5))
    assert all(one and one[0] >= until for one in each)


@pytest.mark.parametrize("hours", [-1, 1, 24 * 365])
def test_a_set_clock_stalls_nobody_and_buys_no_burst(tmp_path: Path, hours: int) -> None:
    clock = SetClock()
    limit = RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(1))
    limit.acquire(Priority.BACKFILL, lambda: 1)
    limit.sent()
    clock.wall += hours * 3_600_000
    before = clock.boot
    limit.acquire(Priority.BACKFILL, lambda: 1)
    assert 5.9 <= clock.boot - before <= 6.1


@pytest.mark.parametrize("hours", [-1, 0, 0.01])
def test_a_block_lasts_over_a_reboot_within_its_cap(tmp_path: Path, hours: float) -> None:
    clock = SetClock()
    path = tmp_path / "state.json"
    seconds = RateLimit(path, 6.0, 60.0, clock, random.Random(1)).refused(120.0)
    rebooted = SetClock(clock.wall + int(hours * 3_600_000))
    rebooted.boot = 5.0
    rebooted.boot_id = lambda: "another boot"  # type: ignore[method-assign]
    RateLimit(path, 6.0, 60.0, rebooted, random.Random(1)).acquire(Priority.UPDATE, lambda: 1)
    waited = rebooted.boot - 5.0
    assert waited <= longest_block(60.0) + 6
    if hours >= 0:
        assert waited >= seconds - hours * 3600 - 0.1


def test_a_plan_may_be_overtaken_and_a_block_ends_every_grant(tmp_path: Path) -> None:
    clock, path = SetClock(), tmp_path / "state.json"
    slow = RateLimit(path, 6.0, 60.0, clock, random.Random(1))
    quick = RateLimit(path, 6.0, 60.0, clock, random.Random(1))
    slow.acquire(Priority.BACKFILL, lambda: 1)
    clock.boot += 20
    quick.acquire(Priority.BACKFILL, lambda: 1)
    quick.sent()
    sent = clock.boot
    slow.sent()
    assert clock.boot - sent >= 6, "the slot was lost meanwhile"
    quick.acquire(Priority.BACKFILL, lambda: 1)
    seconds = slow.refused(None)
    blocked = clock.boot
    quick.sent()
    assert clock.boot - blocked >= seconds
    quick.acquire(Priority.BACKFILL, lambda: 1, clock.boot + 30)
    slow.refused(None)
    with pytest.raises(NotNowError, match="blocks every request until 20"):
        quick.sent()


def test_two_delays_on_one_file(tmp_path: Path) -> None:
    clock, path = SetClock(), tmp_path / "state.json"
    careful = RateLimit(path, 6.0, 60.0, clock, random.Random(1))
    hasty = RateLimit(path, 1.0, 60.0, clock, random.Random(1))
    hasty.acquire(Priority.BACKFILL, lambda: 1)
    hasty.sent()
    sent = clock.boot
    careful.acquire(Priority.BACKFILL, lambda: 1)
    assert clock.boot - sent >= 6
    careful.sent()
    sent = clock.boot
    hasty.acquire(Priority.BACKFILL, lambda: 1)
    assert 1 <= clock.boot - sent < 1.1


def test_a_block_from_the_future_ends_for_runs_that_cannot_wait(tmp_path: Path) -> None:
    clock, path = SetClock(), tmp_path / "state.json"
    RateLimit(path, 6.0, 60.0, clock, random.Random(1)).refused(None)
    path.write_text(json.dumps({**json.loads(path.read_text()), "blocked_until": 1e12}))
    runs = 0
    while True:
        clock.advance(60_000)
        try:
            RateLimit(path, 6.0, 60.0, clock, random.Random(1)).acquire(Priority.UPDATE, lambda: 1, clock.boot + 30)
        except NotNowError:
            runs += 1
            assert runs < 17, "the cap of 15 minutes has passed"
        else:
            break
    assert runs > 10


NUMBERS = (
    st.sampled_from([math.nan, math.inf, -math.inf, 0, -1, 10**400, True, None, "6", [], {}])
    | st.integers(-(10**18), 10**18)
    | st.floats()
)
FIELDS = ["last", "holder", "blocked_until", "blocked_until_utc_ms", "refusals", "passed", "waiters", "connects"]
BROKEN = [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"boot_id":"test"}', b"0" * 200_000, b"[" * 4000, b" " * 9999]


def damaged(sound: bytes, field: str, value: object, *, within: bool) -> bytes:
    found = json.loads(sound)
    if within and isinstance(found[field], list) and found[field]:
        found[field][0] = value if not isinstance(found[field][0], list) else ["x", 0, value, value]
    else:
        found[field] = value
    return json.dumps(found).encode()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    # With a waiter and a connect in it.
    path, clock = tmp_path_factory.mktemp("sound") / "state.json", SetClock()
    limit = RateLimit(path, 6.0, 60.0, clock, random.Random(1))
    limit.connect()
    seen: list[bytes] = []
    limit.acquire(Priority.BACKFILL, lambda: seen.append(path.read_bytes()))
    assert json.loads(seen[0])["waiters"]
    return seen[0]


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=st.sampled_from(BROKEN)
    | st.binary(max_size=300)
    | st.tuples(st.sampled_from(FIELDS), NUMBERS, st.booleans())
    | st.integers(0, 300)
)
def test_a_damaged_file_costs_one_delay_or_a_capped_block(
    tmp_path_factory: pytest.TempPathFactory, sound: bytes, content: bytes | tuple[str, object, bool] | int
) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    if isinstance(content, tuple):
        content = damaged(sound, content[0], content[1], within=content[2])
    elif isinstance(content, int):
        content = sound[:content]
    path.write_bytes(content)
    clock = SetClock()
    limit = RateLimit(path, 6.0, 60.0, clock, random.Random(1))
    before = clock.boot
    limit.acquire(Priority.BACKFILL, lambda: 1)
    limit.sent()
    assert clock.boot - before <= longest_block(60.0) + 7
    if clock.boot - before > 13:
        assert b"blocked_until" in content, "only a block that is written down may last"
    limit.connect()
    before = clock.boot
    limit.acquire(Priority.BACKFILL, lambda: 1)
    assert clock.boot - before >= 5.9


def test_a_plan_that_finds_nothing_leaves_the_slot(tmp_path: Path) -> None:
    clock = SetClock()
    limit = RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(1))
    assert limit.acquire(Priority.UPDATE, lambda: None) is None
    at = clock.boot
    assert limit.acquire(Priority.UPDATE, lambda: "now") == "now"
    assert clock.boot == at


def test_deadlines(tmp_path: Path) -> None:
    clock = SetClock()
    limit = RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(1))
    limit.acquire(Priority.UPDATE, lambda: 1)
    with pytest.raises(TimeoutError):
        limit.acquire(Priority.UPDATE, lambda: 1, clock.boot + 1)
    limit.refused(None)
    with pytest.raises(NotNowError, match="until 20"):
        limit.acquire(Priority.UPDATE, lambda: 1, clock.boot + 1)
    assert limit.peek().blocked_until is not None


def test_the_disk_being_full_is_said_in_a_sentence(tmp_path: Path) -> None:
    limit = RateLimit(tmp_path / "state.json", 6.0, 60.0, SetClock(), random.Random(1))
    limit.connect()
    os.close(limit._lock.fd)
    assert os.open("/dev/full", os.O_RDWR) == limit._lock.fd
    with pytest.raises(StorageError, match=r"cannot write .*state\.json: No space left"):
        limit._write(State(0.0), 0.0)
    limit._lock.close()


def test_a_path_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("folder", "link"):
        limit = RateLimit(tmp_path / name, 6.0, 60.0, SetClock(), random.Random(1))
        with pytest.raises(NotPermittedError, match=name):
            limit.acquire(Priority.UPDATE, lambda: 1)


def test_connects_are_twenty_a_minute(tmp_path: Path) -> None:
    clock = SetClock()
    limit = RateLimit(tmp_path / "state.json", 0.0, 60.0, clock, random.Random(1))
    at = []
    for _ in range(50):
        limit.connect()
        at.append(clock.boot)
    assert all(later - earlier >= 60 for earlier, later in zip(at, at[20:], strict=False))
