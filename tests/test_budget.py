"""The arithmetic of the rate budget, and its queue played through by made-up processes."""

import heapq
import math
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mdata.domain.budget import Priority, State, Waiter, backoff, longest_block

DELAY = 6.0


def middle(low: float, high: float) -> float:
    return (low + high) / 2


@given(st.integers(1, 10**6), st.none() | st.floats(), st.floats(0, 5000))
def test_a_block_lasts_as_long_as_every_reason_asks_for(refusals: int, wish: float | None, minimum: float) -> None:
    wait = backoff(refusals, wish, minimum, middle)
    longest = max(900.0, minimum)
    reasons = [minimum, 120.0 if refusals > 6 else 2 * 2.0 ** (refusals - 1)]
    if wish is not None and not math.isnan(wish):
        reasons.append(wish)
    assert wait == min(longest, max(reasons) + 12.5 * min(1.0, minimum / 10))
    assert longest_block(minimum) == longest


def test_blocks_as_documented() -> None:
    assert [backoff(n, None, 0.0, middle) for n in range(1, 9)] == [2, 4, 8, 16, 32, 64, 120, 120]
    assert backoff(1, None, 60.0, lambda low, _: low) == 65
    assert backoff(1, None, 60.0, lambda _, high: high) == 80
    assert backoff(1, 63.0, 60.0, middle) == 75.5
    assert backoff(1, 86_400.0, 60.0, middle) == 900


@dataclass
class Player:
    """A process: waits, plans, sends, works on the answer, until it has sent enough or is killed."""

    me: Waiter
    wanted: int
    plans_for: float = 0.01
    works_for: float = 0.0
    killed_at: float = math.inf
    taken: list[float] = field(default_factory=list)
    ready_since: list[float] = field(default_factory=list)


def play(players: list[Player], late: float = 0.0) -> State:
    """Let the players go through the queue as `RateLimit` does; all clocks are one number."""
    state = State(-DELAY)
    calendar = [(player.me.since, number, "look") for number, player in enumerate(players)]
    heapq.heapify(calendar)
    for player in players:
        player.ready_since.append(player.me.since)
    while calendar:
        now, number, step = heapq.heappop(calendar)
        player = players[number]
        if now >= player.killed_at:
            continue
        state = state.clamped(now, 900.0)
        queued, look = state.queued(player.me, now, DELAY)
        if look > now:
            state = queued
            heapq.heappush(calendar, (look + late, number, "look"))
        elif step == "look":
            state = queued
            heapq.heappush(calendar, (now + player.plans_for, number, "take"))
        else:
            state = queued.taken(player.me, now)
            sent = state.sent(player.me, now, DELAY)
            assert sent is not None
            state = sent
            player.taken.append(now)
            if len(player.taken) < player.wanted:
                again = now + player.works_for
                player.me = Waiter(player.me.id, player.me.priority, again, again)
                player.ready_since.append(again)
                heapq.heappush(calendar, (again, number, "look"))
    return state


def player(number: int, priority: int, since: float, wanted: int, **more: float) -> Player:
    return Player(Waiter(str(number), priority, since, since), wanted, **more)


someone = st.tuples(
    st.sampled_from([0, 1, 2]),  # class
    st.floats(0, 60),  # begins
    st.integers(1, 12),  # requests
    st.sampled_from([0.001, 0.05, 0.4]),  # plans for
    st.sampled_from([0.0, 0.3, 8.0]),  # works for
    st.sampled_from([math.inf, math.inf, 5.0, 30.0]),  # killed at
)


@given(st.lists(someone, min_size=1, max_size=9), st.sampled_from([0.0, 0.005, 0.1]))
def test_slots_are_spaced_and_nobody_starves(
    crowd: list[tuple[int, float, int, float, float, float]], late: float
) -> None:
    players = [
        player(n, p, since, wanted, plans_for=plan, works_for=work, killed_at=kill)
        for n, (p, since, wanted, plan, work, kill) in enumerate(crowd)
    ]
    play(players, late)
    slots = sorted(instant for one in players for instant in one.taken)
    assert all(later - earlier >= DELAY - 1e-9 for earlier, later in pairwise(slots))
    for one in players:
        if one.killed_at == math.inf:
            assert len(one.taken) == one.wanted
    # Every death costs one slot at most, and so does each time that everybody was at work elsewhere.
    waits = [
        (ready, taken) for one in players for ready, taken in zip(one.ready_since, one.taken, strict=False)
    ]  # fmt: skip
    deaths = sum(one.killed_at < math.inf for one in players)
    lost = 0.0
    for earlier, later in pairwise(slots):
        waited = [max(ready, earlier + DELAY) for ready, taken in waits if earlier < taken and ready < later]
        lost += max(0.0, later - min(waited) - 0.4 - 2 * late)
    assert lost <= deaths * DELAY + 1e-6


def test_the_dead_cost_one_slot_however_many() -> None:
    dead = [player(n, 0, 0.0, 99, killed_at=6.001 + 0.01 * (n % 3)) for n in range(7)]
    alive = player(7, 2, 1.0, 3)
    play([*dead, alive])
    others = [instant for one in dead for instant in one.taken]
    assert len(others) == 1
    assert alive.taken[0] - others[0] <= 2 * DELAY


def test_first_come_first_served_and_fair_shares() -> None:
    players = [player(n, 2, n * 0.1, 25, plans_for=0.01 + 0.02 * (n % 2), works_for=1.0) for n in range(8)]
    play(players, late=0.002)
    order = sorted((instant, number) for number, one in enumerate(players) for instant in one.taken)
    assert [number for _, number in order] == [*range(8)] * 25
    waits = [
        taken - ready for one in players for ready, taken in zip(one.ready_since[2:], one.taken[2:], strict=True)
    ]  # fmt: skip
    assert max(waits) <= 1.05 * 8 * DELAY


@given(st.sets(st.sampled_from([0, 1, 2]), min_size=1), st.integers(1, 3))
def test_every_fourth_slot_goes_to_the_lowest_class_that_waits(classes: set[int], each: int) -> None:
    crowd = [player(10 * c + n, c, 0.0, 40) for c in sorted(classes) for n in range(each)]
    play(crowd)
    slots = sorted((instant, one.me.priority) for one in crowd for instant in one.taken)
    served = [priority for _, priority in slots]
    for start in range(len(served) - 5):
        ahead = set(served[start:])
        # All classes wait as long as they are still to be served later.
        if max(served[start + 4 :]) == max(ahead):
            assert max(ahead) in served[start : start + 4]
        assert all(one in served[start : start + 5] for one in ahead if one in served[start + 5 :])
    shares = [served[:40].count(one) for one in sorted(classes)]
    assert shares[0] == max(shares)


def test_a_higher_class_takes_the_slot_that_a_lower_one_plans_for() -> None:
    backfill, update = Waiter("b", Priority.BACKFILL, 0.0, 0.0), Waiter("u", Priority.UPDATE, 0.1, 0.1)
    state, look = State(-DELAY).queued(backfill, 0.0, DELAY)
    assert look == 0.0
    state, look = state.queued(update, 0.1, DELAY)
    assert look == 0.1
    state, look = state.queued(backfill, 0.2, DELAY)
    assert look > 0.2
    state, look = state.taken(update, 0.3).queued(backfill, look, DELAY)
    assert look == 0.3 + DELAY


def test_who_lost_its_slot_may_not_send() -> None:
    slow, quick = Waiter("s", 2, 0.0, 0.0), Waiter("q", 2, 0.1, 0.1)
    granted = State(-DELAY).taken(slow, 0.0)
    in_time = granted.sent(slow, 5.0, DELAY)
    assert in_time is not None
    assert in_time.opens(DELAY) == 11.0
    assert in_time.sent(slow, 5.1, DELAY) is None, "a slot is for one request"
    assert granted.taken(quick, 6.0).sent(slow, 7.0, DELAY) is None
    assert granted.refused(1.0, 60.0).sent(slow, 2.0, DELAY) is None
    late = granted.sent(slow, 100.0, DELAY)
    assert late is not None, "nobody else has sent meanwhile"
    assert late.opens(DELAY) == 106.0


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12), st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9))
def test_no_stored_number_stalls_anybody(last: float, blocked: float, count: int, back: float) -> None:
    me = Waiter("me", 2, 500.0, 500.0)
    crowd = (Waiter("x", 0, -1e9, back), Waiter("y", 2, back, 1e9))
    state = State(last, "x", blocked, count, (count, count, count), crowd, (back,) * 30)
    now, looks, look = 500.0, 0, math.inf
    while look > now:
        if look < math.inf:
            now = look
        state, look = state.clamped(now, 900.0).queued(me, now, DELAY)
        looks += 1
    assert now <= 500.0 + 900.0 + DELAY + 10
    assert looks < 400


@given(st.lists(st.floats(0, 10), max_size=80), st.booleans())
def test_connects_are_twenty_a_minute(pauses: list[float], known: bool) -> None:
    now = 1000.0
    state = State(now) if known else State.unknown(now)
    at = []
    for pause in pauses:
        now += pause
        while True:
            state, free = state.clamped(now, 900.0).connected(now)
            if free <= now:
                break
            now = free
        at.append(now)
    assert all(later - earlier > 60 for earlier, later in zip(at, at[20:], strict=False))
    if not known:
        assert sum(instant <= 1030 for instant in at) <= 11, "an unknown past is no licence for a burst"
