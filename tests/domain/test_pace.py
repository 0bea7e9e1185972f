"""The two rules of the shared budget, held against a count by brute force; what is lost costs the burst alone."""

import json
import random
from pathlib import Path

import pytest
from conftest import SetClock
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mdata.domain.budget import CALM_SECONDS, State
from mdata.domain.pace import FLIGHT, SPACING, Pace, Past
from mdata.domain.priority import Priority
from mdata.errors import SlotLostError
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.ratelimit import RateLimit

DEFAULT = Pace(6.0, 15, BITFINEX.window)
NEW_KEYS = {"past", "calm_until", "calm_until_utc_ms", "booted_at_utc_s"}

MINUTE, MOST_PER_MINUTE = BITFINEX.window.seconds, BITFINEX.window.most
paces = st.builds(Pace, st.floats(2.0, 12.0), st.integers(1, 27), st.just(BITFINEX.window))
idle = st.sampled_from([0.0, 0.0, 0.0, 0.05, 1.0, 7.0, 30.0, 59.9, 61.0, 300.0])


def assert_rules(sent: list[float], pace: Pace, arrived: list[float] | None = None) -> None:
    """Count every stretch between two requests, and every minute, one by one."""
    for first, start in enumerate(sent):
        for last in range(first, len(sent)):
            count, span = last - first + 1, sent[last] - start
            assert count <= pace.burst + span / pace.delay + 1e-6, (count, span, pace)
    for earlier, later in zip(sent, sent[1:], strict=False):
        assert later - earlier >= SPACING - 1e-9
    at = sorted(arrived or sent)
    for begin in at:
        assert sum(begin <= other < begin + MINUTE - 1e-6 for other in at) <= MOST_PER_MINUTE


@given(paces, st.lists(st.tuples(idle, st.floats(0, 3), st.floats(0, 1), st.booleans()), min_size=1, max_size=80))
@settings(max_examples=200)
def test_neither_rule_is_broken_by_whatever_comes_between(
    pace: Pace, steps: list[tuple[float, float, float, bool]]
) -> None:
    """`steps`: idle before, seconds until the answer, when in them it arrives, and whether the answer is noted."""
    past, now = Past(), 1000.0
    sent: list[float] = []
    arrived: list[float] = []
    for before, seconds, share, is_answered in steps:
        now = max(now + before, past.ready_at(pace))
        past = past.leaving(pace, now).clamped(now, BITFINEX.window)
        sent.append(now)
        flight = seconds if is_answered else min(seconds, FLIGHT)
        arrived.append(now + flight * share)
        if is_answered:
            past = past.arrived(now, now + flight)
            now += flight
    assert_rules(sent, pace, arrived)


@given(paces, st.lists(st.floats(0, 20), min_size=1, max_size=40))
def test_what_is_unknown_is_taken_for_the_most_there_can_have_been(pace: Pace, before: list[float]) -> None:
    """Whatever has left in truth: what the fullest past allows, the true one allows, too."""
    past, now = Past(), 1000.0
    for idle_seconds in before:
        now = max(now + idle_seconds, past.ready_at(pace))
        past = past.leaving(pace, now).arrived(now, now)
    assumed = pace.fullest(now)
    for _ in range(40):
        ready = assumed.ready_at(pace)
        assert ready >= past.ready_at(pace) - 1e-6
        assumed, past = (one.leaving(pace, ready).arrived(ready, ready) for one in (assumed, past))


def test_the_defaults_send_25_in_no_minute_and_ten_on_average() -> None:
    past, now = Past(), 1000.0
    sent = []
    while now < 1600:
        now = past.ready_at(DEFAULT)
        past = past.leaving(DEFAULT, now).arrived(now, now)
        sent.append(now)
        now = max(now, 1000)
    counts = [sum(first <= other < first + 60 for other in sent) for first in sent]
    assert max(counts) == counts[0] == 25
    assert counts[40] == 10


@given(st.floats(2.0, 12.0), st.integers(1, 27), st.integers(1, 200))
def test_an_estimate_is_what_it_takes(delay: float, burst: int, requests: int) -> None:
    pace, past, now = Pace(delay, burst, BITFINEX.window), Past(), 1000.0
    for _ in range(requests):
        now = max(now, past.ready_at(pace))
        past = past.leaving(pace, now).arrived(now, now)
    assert pace.seconds(requests, burst) == pytest.approx(now - 1000, abs=MINUTE if delay < 2.3 else 2.0)


class Machine:
    """Processes that share one file, on a clock that the test moves; `sent` are true seconds since the beginning."""

    def __init__(self, folder: Path, pace: Pace) -> None:
        self.path, self.pace = folder / "state.json", pace
        self.clock, self.before = SetClock(), -1000.0
        self.sent: list[float] = []
        self.boots = self.processes = 0

    def process(self) -> RateLimit:
        self.processes += 1
        rng = random.Random(self.processes)
        return RateLimit(self.path, self.pace.delay, 60.0, self.clock, rng.uniform, self.pace.burst)

    def ask(self, priority: Priority, *, is_answered: bool) -> None:
        limit = self.process()
        limit.acquire(priority, lambda: 1)
        limit.sent()
        self.sent.append(self.before + self.clock.boot)
        if is_answered:
            limit.answered()

    def reboot(self) -> None:
        self.boots += 1
        self.before += self.clock.boot - 1.0
        self.clock.boot = 1.0
        name = f"boot {self.boots}"
        self.clock.boot_id = lambda: name  # type: ignore[method-assign]

    def write_as_before(self) -> None:
        """What a process of the version before leaves: it knows the old keys alone."""
        if self.path.exists():
            found = json.loads(self.path.read_text())
            text = json.dumps({key: value for key, value in found.items() if key not in NEW_KEYS})
            self.path.write_text(text)


STEPS = [
    "update",
    "backfill",
    "update",
    "backfill",
    "unanswered",
    "dies",
    "idle",
    "lost",
    "garbled",
    "reboot",
    "before",
]


@given(paces, st.lists(st.tuples(st.sampled_from(STEPS), idle), min_size=1, max_size=50))
@example(DEFAULT, [("update", 0.0)] * 15 + [("lost", 0.0)] + [("update", 0.0)] * 5)
@example(DEFAULT, [("update", 0.0)] * 15 + [("before", 0.0)] + [("update", 0.0)] * 5)
@example(Pace(2.0, 15, BITFINEX.window), [("update", 0.0)] * 27 + [("reboot", 0.0)] + [("update", 0.0)] * 30)
@example(Pace(2.0, 27, BITFINEX.window), [("dies", 0.0), ("update", 0.0)] * 27)
@settings(max_examples=60)
def test_neither_kills_nor_losses_nor_reboots_break_a_rule(
    tmp_path_factory: pytest.TempPathFactory, pace: Pace, steps: list[tuple[str, float]]
) -> None:
    machine = Machine(tmp_path_factory.mktemp("state"), pace)
    for step, seconds in steps:
        if step == "idle":
            machine.clock.sleep(seconds)
        elif step == "dies":
            machine.process().acquire(Priority.UPDATE, lambda: 1)
        elif step == "lost":
            machine.path.unlink(missing_ok=True)
        elif step == "garbled":
            machine.path.write_bytes(b"{")
            machine.process().answered()
        elif step == "reboot":
            machine.reboot()
        elif step == "before":
            machine.write_as_before()
        else:
            machine.ask(
                Priority.BACKFILL if step == "backfill" else Priority.UPDATE, is_answered=step != "unanswered"
            )
    assert_rules(machine.sent, pace)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, DEFAULT)


def asked(machine: Machine, count: int, priority: Priority = Priority.UPDATE) -> list[float]:
    """Return the seconds between so many requests, one after the other."""
    begin = [machine.clock.boot]
    for _ in range(count):
        machine.ask(priority, is_answered=True)
    at = [*begin, *(time - machine.before for time in machine.sent[-count:])]
    return [round(later - earlier, 3) for earlier, later in zip(at, at[1:], strict=False)]


def test_fifteen_leave_at_once_and_then_one_in_a_delay(machine: Machine) -> None:
    assert asked(machine, 18) == [0.0, *[0.1] * 14, 4.6, 6.0, 6.0]
    machine.clock.sleep(60)
    assert asked(machine, 11) == [0.0, *[0.1] * 9, 5.1]


def test_a_first_use_has_the_burst_and_a_lost_file_has_not(machine: Machine) -> None:
    assert machine.process().peek().free_now == 15
    asked(machine, 3)
    machine.clock.sleep(1000)
    machine.path.unlink()
    assert machine.process().peek().free_now == 0
    assert asked(machine, 3) == [6.0, 6.0, 6.0]
    machine.path.write_bytes(b"")
    assert asked(machine, 2) == [6.0, 6.0]
    machine.clock.sleep(90)
    assert machine.process().peek().free_now == 15


def test_a_reboot_costs_the_burst(machine: Machine) -> None:
    asked(machine, 3)
    machine.clock.sleep(1000)
    machine.reboot()
    assert asked(machine, 3) == [0.0, 6.0, 6.0]


def test_backfill_leaves_three_to_the_others_and_takes_its_turn_in_the_refill(machine: Machine) -> None:
    assert asked(machine, 14, Priority.BACKFILL) == [0.0, *[0.1] * 11, 4.9, 6.0]
    assert asked(machine, 3) == [0.1, 0.1, 0.1]
    # The three are not filled up again while somebody waits.
    assert asked(machine, 3, Priority.BACKFILL) == [6.0, 6.0, 6.0]


def test_no_minute_has_more_than_27_whatever_the_settings(tmp_path: Path) -> None:
    machine = Machine(tmp_path, Pace(2.0, 27, BITFINEX.window))
    asked(machine, 100)
    assert machine.sent[27] - machine.sent[0] == pytest.approx(60)
    assert_rules(machine.sent, machine.pace)


def test_a_slot_that_was_never_used_is_given_again_within_a_second(machine: Machine) -> None:
    asked(machine, 5)
    machine.process().acquire(Priority.UPDATE, lambda: 1)
    assert asked(machine, 11)[0] <= 1.1
    assert machine.process().peek().free_now == 0, "fifteen have left, and the one that did not is not counted"
    assert len(json.loads(machine.path.read_text())["past"]["arrivals"]) == 16


def test_who_got_a_slot_keeps_it_for_a_second_while_others_are_in_a_hurry(machine: Machine) -> None:
    slow, other = machine.process(), machine.process()
    slow.acquire(Priority.UPDATE, lambda: 1)
    machine.clock.sleep(0.5)
    with pytest.raises(TimeoutError):
        other.acquire(Priority.UPDATE, lambda: 1, machine.clock.boot - 1)
    slow.sent()
    slow.acquire(Priority.UPDATE, lambda: 1)
    other.acquire(Priority.UPDATE, lambda: 1)
    with pytest.raises(SlotLostError):
        slow.sent()
    other.sent()


def test_after_a_refusal_nobody_bursts_for_an_hour_over_a_reboot_too(machine: Machine) -> None:
    asked(machine, 4)
    block = machine.process().refused(None)
    assert machine.process().peek().calm_until is not None
    assert asked(machine, 4) == [pytest.approx(block, abs=0.01), 6.6, 6.6, 6.6]
    machine.clock.sleep(1000)
    assert asked(machine, 3) == [0.0, 6.6, 6.6]
    machine.reboot()
    machine.clock.sleep(1000)
    assert asked(machine, 3) == [0.6, 6.6, 6.6]
    machine.clock.sleep(CALM_SECONDS)
    assert machine.process().peek().calm_until is None
    assert asked(machine, 3) == [0.0, 0.1, 0.1]


def test_what_the_version_before_wrote_is_read_and_costs_the_burst(machine: Machine) -> None:
    asked(machine, 3)
    machine.process().refused(None)
    machine.clock.sleep(200)
    machine.write_as_before()
    assert machine.process().peek().refusals == 1
    assert machine.process().peek().free_now == 1, "it may have forgotten a refusal"
    assert asked(machine, 2) == [0.0, 6.6]


def test_the_version_before_can_read_what_this_one_writes(machine: Machine) -> None:
    asked(machine, 3)
    found = json.loads(machine.path.read_text())
    old = set(State._fields) - {"past", "calm_until"} | {"boot_id", "blocked_until_utc_ms"}
    assert old <= set(found)
    assert found["last"] == machine.clock.boot
    assert found["sender"] == ""


def test_processes_with_different_settings_each_keep_their_own(tmp_path: Path) -> None:
    even = Machine(tmp_path, Pace(6.0, 1, BITFINEX.window))
    burst = Machine(tmp_path, DEFAULT)
    burst.clock = even.clock
    asked(burst, 20)
    assert asked(even, 2) == [6.0, 6.0]
    assert asked(burst, 2) == [6.0, 6.0], "what one has spent, the other does not give back"
    even.clock.sleep(30)
    assert asked(burst, 6) == [0.0, 0.1, 0.1, 0.1, 0.1, pytest.approx(5.6)]
    assert asked(even, 2) == [6.0, 6.0]
