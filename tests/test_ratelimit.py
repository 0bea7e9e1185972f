"""The shared rate budget: real processes, one file."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from conftest import SetClock
from hypothesis import given
from hypothesis import strategies as st
from rate_workers import workers

from mdata.clock import SystemClock
from mdata.domain.budget import GRACE, State, Waiter
from mdata.domain.priority import Priority
from mdata.domain.retries import backoff, longest_block
from mdata.errors import NotNowError, NotPermittedError, SlotLostError
from mdata.ratefile import own_name
from mdata.ratelimit import RateLimit


def sendings(processes: list[subprocess.Popen[str]]) -> list[list[float]]:
    return [json.loads(process.communicate(timeout=60)[0]) for process in processes]


def test_eight_processes_share_one_budget(tmp_path: Path) -> None:
    delay, seconds = 0.05, 8.0
    each = sendings(workers(tmp_path / "state.json", delay, [2] * 8, seconds))
    every = sorted(instant for one in each for instant in one)
    gaps = [later - earlier for earlier, later in zip(every, every[1:], strict=False)]
    assert min(gaps) >= delay
    # Jain's index over the part of the time in which all of them were at work.
    begun = max(one[0] for one in each)
    counts = [sum(instant >= begun for instant in one) for one in each]
    assert sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts)) >= 0.98


def test_the_lowest_class_gets_every_fourth_slot(tmp_path: Path) -> None:
    update, repair, backfill = sendings(workers(tmp_path / "state.json", 0.05, [0, 0, 2], 5.0))
    begun = max(update[0], repair[0], backfill[0])
    high = sum(instant >= begun for one in (update, repair) for instant in one)
    low = sum(instant >= begun for instant in backfill)
    assert low >= (high + low) // 4 - 2
    assert low <= (high + low) // 4 + 4


def test_killed_waiters_cost_little(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    victims = workers(path, 0.05, [0] * 3, 60.0)
    for victim in victims:
        while "waiters" not in (path.read_text() if path.exists() else ""):
            pass
        victim.kill()
        victim.communicate()
    (sent,) = sendings(workers(path, 0.05, [2], 5.0))
    assert len(sent) >= 1 / 0.05, "three dead waiters may cost a second each, and no more"


STOPPED = """
import os, random, signal, sys
from pathlib import Path
from mdata.clock import SystemClock
from mdata.domain.priority import Priority
from mdata.errors import SlotLostError
from mdata.ratefile import own_name
from mdata.ratelimit import RateLimit
limit = RateLimit(Path(sys.argv[1]), 2.0, 60.0, SystemClock(), random.Random().uniform, 15)
limit.acquire(Priority.UPDATE, lambda: 1)
os.kill(os.getpid(), signal.SIGSTOP)
try:
    limit.sent()
except SlotLostError:
    limit.acquire(Priority.UPDATE, lambda: 1)
    limit.sent()
    print("again")
"""


def test_who_is_stopped_with_a_slot_costs_a_second_and_gets_another_later(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.json", SystemClock()
    stopped = subprocess.Popen([sys.executable, "-c", STOPPED, str(path)], stdout=subprocess.PIPE, text=True)
    os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
    limit = RateLimit(path, 2.0, 60.0, clock, random.Random(1).uniform, 15)
    began = clock.boottime()
    for _ in range(3):
        limit.acquire(Priority.UPDATE, lambda: 1)
        limit.sent()
    assert 1.0 <= clock.boottime() - began < 2.0, "a second for who is stopped, and 0.1 s for each of the others"
    limit.acquire(Priority.UPDATE, lambda: 1)
    stopped.send_signal(signal.SIGCONT)
    clock.sleep(0.3)
    limit.sent()
    assert stopped.communicate(timeout=20)[0] == "again\n"
    assert len(json.loads(path.read_text())["past"]["arrivals"]) == 5


def test_a_block_holds_for_processes_started_later(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.json", SystemClock()
    seconds = RateLimit(path, 0.01, 1.0, clock, random.Random(1).uniform).refused(None)
    assert seconds > 1
    until = clock.boottime() + seconds
    (sent,) = sendings(workers(path, 0.01, [0], seconds + 1.5))
    assert sent
    assert sent[0] >= until - 0.5


@pytest.mark.parametrize("hours", [-1, 1, 24 * 365])
def test_a_set_clock_stalls_nobody_and_buys_no_burst(tmp_path: Path, hours: int) -> None:
    clock = SetClock()
    limit = RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(1).uniform)
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
    seconds = RateLimit(path, 6.0, 60.0, clock, random.Random(1).uniform).refused(120.0)
    rebooted = SetClock(clock.wall + int(hours * 3_600_000))
    rebooted.boot = 5.0
    rebooted.boot_id = lambda: "another boot"  # type: ignore[method-assign]
    RateLimit(path, 6.0, 60.0, rebooted, random.Random(1).uniform).acquire(Priority.UPDATE, lambda: 1)
    waited = rebooted.boot - 5.0
    assert waited <= longest_block(60.0) + 6
    if hours >= 0:
        assert waited >= seconds - hours * 3600 - 0.1


BROKEN = [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"boot_id":"test"}', b"0" * 200_000, b"[" * 5000]


@given(st.sampled_from(BROKEN) | st.binary(max_size=300) | st.integers(-(10**18), 10**18).map(
    lambda n: json.dumps({"boot_id": "test", "blocked_until_utc_ms": n, "last": n, "sender": "",
                          "blocked_until": n / 7, "refusals": n, "passed": 1, "waiters": [], "offered_to": "x",
                          "offered_at": n, "connects": [n]}).encode()))  # fmt: skip
def test_a_damaged_file_costs_one_delay_or_a_capped_block(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:  # noqa: E501 # fmt: skip
    path = tmp_path_factory.mktemp("state") / "state.json"
    path.write_bytes(content)
    clock = SetClock()
    limit = RateLimit(path, 6.0, 60.0, clock, random.Random(1).uniform)
    before = clock.boot
    limit.acquire(Priority.BACKFILL, lambda: 1)
    limit.sent()
    assert clock.boot - before <= longest_block(60.0)
    before = clock.boot
    limit.acquire(Priority.BACKFILL, lambda: 1)
    assert clock.boot - before >= 5.9


def test_a_plan_that_finds_nothing_leaves_the_slot(tmp_path: Path) -> None:
    clock = SetClock()
    limit = RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(1).uniform)
    assert limit.acquire(Priority.UPDATE, lambda: None) is None
    at = clock.boot
    assert limit.acquire(Priority.UPDATE, lambda: "now") == "now"
    assert clock.boot == at


def test_nobody_queues_for_a_slot_that_is_free(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    limit = RateLimit(path, 6.0, 60.0, SetClock(), random.Random(1).uniform)
    assert limit.acquire(Priority.UPDATE, lambda: not path.exists())
    assert json.loads(path.read_text())["waiters"] == []


def test_nobody_plans_before_its_slot(tmp_path: Path) -> None:
    clock = SetClock()
    limit = RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(1).uniform)
    planned: list[float] = []
    began = clock.boot
    for _ in range(3):
        limit.acquire(Priority.UPDATE, lambda: planned.append(clock.boot - began) or True)  # type: ignore[func-returns-value]
        limit.sent()
    assert planned == [0, 6, 12]


def test_who_loses_a_free_slot_while_it_plans_queues_for_the_next(tmp_path: Path) -> None:
    clock, path = SetClock(), tmp_path / "state.json"
    slow, other = (RateLimit(path, 6.0, 60.0, clock, random.Random(seed).uniform) for seed in (1, 2))
    queued: list[int] = []

    def plan() -> bool:
        if not queued:
            other.acquire(Priority.BACKFILL, lambda: True)
            other.sent()
        queued.append(len(json.loads(path.read_text())["waiters"]))
        return True

    began = clock.boot
    slow.acquire(Priority.UPDATE, plan)
    slow.sent()
    assert (queued, clock.boot - began) == ([0, 1], 6)


def test_who_queues_while_another_plans_goes_first(tmp_path: Path) -> None:
    clock = SetClock()
    slow, other = (
        RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(seed).uniform) for seed in (1, 2)
    )

    def plan() -> bool:
        if clock.boot == began:
            assert other._try_turn(urgent, None) is None
        return True

    began = clock.boot
    urgent = Waiter(own_name(random.Random(3).uniform), int(Priority.UPDATE), began)
    slow.acquire(Priority.BACKFILL, plan)
    assert clock.boot - began == pytest.approx(GRACE, abs=0.1), "the other did not take its turn for so long"


def test_a_process_that_dies_between_slot_and_request_costs_one_slot(tmp_path: Path) -> None:
    clock = SetClock()
    dead, alive = (
        RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(seed).uniform) for seed in (1, 2)
    )
    dead.acquire(Priority.UPDATE, lambda: 1)
    at = clock.boot
    alive.acquire(Priority.UPDATE, lambda: 1)
    assert clock.boot <= at + 6


def test_who_is_not_ready_in_time_has_lost_the_slot(tmp_path: Path) -> None:
    clock = SetClock()
    slow, other = (
        RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(seed).uniform) for seed in (1, 2)
    )
    slow.acquire(Priority.UPDATE, lambda: 1)
    other.acquire(Priority.UPDATE, lambda: 1)
    with pytest.raises(SlotLostError):
        slow.sent()
    other.sent()
    at = clock.boot
    with pytest.raises(SlotLostError):
        slow.sent()
    slow.acquire(Priority.UPDATE, lambda: 1)
    slow.sent()
    assert clock.boot == at + 6
    slow.acquire(Priority.UPDATE, lambda: 1)
    clock.advance(3000)
    slow.sent()
    at = clock.boot
    other.acquire(Priority.UPDATE, lambda: 1)
    assert clock.boot == at + 6, "a slot begins when the request before it left, not when that was allowed"


def test_a_block_holds_back_who_has_a_slot_already(tmp_path: Path) -> None:
    clock = SetClock()
    ready, refused = (
        RateLimit(tmp_path / "state.json", 0.0, 60.0, clock, random.Random(seed).uniform) for seed in (1, 2)
    )
    refused.acquire(Priority.UPDATE, lambda: 1)
    refused.sent()
    ready.acquire(Priority.UPDATE, lambda: 1)
    until = clock.boot + refused.refused(None)
    with pytest.raises(SlotLostError):
        ready.sent()
    ready.acquire(Priority.UPDATE, lambda: 1)
    ready.sent()
    assert clock.boot == pytest.approx(until)


def test_refusals_of_requests_that_were_under_way_are_one_event(tmp_path: Path) -> None:
    clock = SetClock()
    limit = RateLimit(tmp_path / "state.json", 0.0, 60.0, clock, random.Random(1).uniform)
    for _ in range(5):
        limit.refused(None)
    assert limit.peek().refusals == 1
    clock.sleep(100)
    limit.refused(None)
    assert limit.peek().refusals == 2
    limit.answered()
    assert limit.peek().refusals == 0


def test_processes_with_different_delays_each_keep_their_own(tmp_path: Path) -> None:
    clock = SetClock()
    short, long = (
        RateLimit(tmp_path / "state.json", delay, 60.0, clock, random.Random(1).uniform) for delay in (1.0, 6.0)
    )
    at = []
    for limit in (short, long, short, long):
        limit.acquire(Priority.UPDATE, lambda: 1)
        limit.sent()
        at.append(clock.boot)
    assert [later - earlier for earlier, later in zip(at, at[1:], strict=False)] == [6, 1, 6]


def test_a_block_from_the_far_future_runs_out_for_short_runs_too(tmp_path: Path) -> None:
    clock = SetClock()
    RateLimit(tmp_path / "state.json", 6.0, 86_400.0, clock, random.Random(1).uniform).refused(None)
    limit = RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(1).uniform)
    began = clock.boot
    for _ in range(10_000):
        try:
            limit.acquire(Priority.UPDATE, lambda: 1, clock.boot + 5)
        except NotNowError:
            clock.sleep(30)
        else:
            break
    assert clock.boot - began <= longest_block(60.0) + 60


def test_the_file_never_gets_shorter(tmp_path: Path) -> None:
    """A text that is cut to length after it was written is damaged in between, and a block would be forgotten."""
    clock, path = SetClock(), tmp_path / "state.json"
    limit = RateLimit(path, 6.0, 60.0, clock, random.Random(1).uniform)
    for _ in range(30):
        limit.connect()
    longest = path.stat().st_size
    clock.sleep(100)
    limit.refused(None)
    text = path.read_bytes()
    assert len(text) == longest > len(text.rstrip())
    assert json.loads(text)["refusals"] == 1


@pytest.mark.parametrize("is_sent", [True, False])
def test_who_failed_tries_again_a_delay_later_and_others_do_not_wait_for_that(tmp_path: Path, is_sent: bool) -> None:
    clock = SetClock()
    unlucky, other = (
        RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(seed).uniform, 15) for seed in (1, 2)
    )
    began = clock.boot
    for number in range(3):
        unlucky.acquire(Priority.UPDATE, lambda: 1)
        assert clock.boot == pytest.approx(began + 6 * number)
        if is_sent:
            unlucky.sent()
        unlucky.failed()
    with pytest.raises(TimeoutError):
        unlucky.acquire(Priority.UPDATE, lambda: 1, clock.boot + 5)
    at = clock.boot
    other.acquire(Priority.UPDATE, lambda: 1)
    assert clock.boot - at <= 1.1


def test_deadlines(tmp_path: Path) -> None:
    clock = SetClock()
    limit = RateLimit(tmp_path / "state.json", 6.0, 60.0, clock, random.Random(1).uniform)
    limit.acquire(Priority.UPDATE, lambda: 1)
    with pytest.raises(TimeoutError):
        limit.acquire(Priority.UPDATE, lambda: 1, clock.boot + 1)
    limit.refused(None)
    with pytest.raises(NotNowError, match="until 20"):
        limit.acquire(Priority.UPDATE, lambda: 1, clock.boot + 1)
    assert limit.peek().blocked_until is not None


def test_a_path_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("folder", "link"):
        limit = RateLimit(tmp_path / name, 6.0, 60.0, SetClock(), random.Random(1).uniform)
        with pytest.raises(NotPermittedError, match=name):
            limit.acquire(Priority.UPDATE, lambda: 1)


def test_threads_of_one_process_share_one_object(tmp_path: Path) -> None:
    limit = RateLimit(tmp_path / "state.json", 0.0, 60.0, SystemClock(), random.Random(1).uniform)
    for _ in range(20):
        threads = [threading.Thread(target=limit.refused, args=(None,)) for _ in range(2)]
        threads += [threading.Thread(target=limit.connect)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    kept = json.loads((tmp_path / "state.json").read_bytes())
    assert (len(kept["connects"]), kept["refusals"]) == (20, 1)


def test_connects_are_twenty_a_minute(tmp_path: Path) -> None:
    clock = SetClock()
    limit = RateLimit(tmp_path / "state.json", 0.0, 60.0, clock, random.Random(1).uniform)
    at = []
    for _ in range(50):
        limit.connect()
        at.append(clock.boot)
    assert all(later - earlier >= 60 for earlier, later in zip(at, at[20:], strict=False))


@given(st.integers(1, 60), st.none() | st.floats(0, 10**6), st.floats(0, 5000))
def test_backoff_grows_within_its_bounds(refusals: int, retry_after: float | None, minimum: float) -> None:
    wait = backoff(refusals, retry_after, minimum, lambda low, high: (low + high) / 2)
    assert minimum <= wait <= longest_block(minimum)
    assert wait >= min(retry_after or 0, longest_block(minimum))
    assert backoff(refusals + 1, retry_after, minimum, lambda low, _: low) >= min(wait, minimum)


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=60))
def test_order_of_service(classes: list[int]) -> None:
    state = State(0.0)
    for number, priority in enumerate(classes):
        state = state.queued(Waiter(str(number), priority, float(number)))
    served = []
    while (head := state.head()) is not None:
        served.append(head)
        state = state.granted(head, 0.0)
    assert Counter(one.id for one in served) == Counter(map(str, range(len(classes))))
    for priority in set(classes):
        own = [one.since for one in served if one.priority == priority]
        assert own == sorted(own), "first come, first served within a class"
    low = max(classes)
    for position in range(len(served) - 3):
        if any(one.priority == low for one in served[position + 4 :]):
            assert any(one.priority == low for one in served[position : position + 4])
