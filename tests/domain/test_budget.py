"""The state of the shared budget: whose turn is next, what a slot reserves, and what no state may do to others."""

import pytest

from mdata.domain.budget import CALM_SECONDS, State, Waiter, kept, patience, reconnect_delay
from mdata.domain.pace import Pace, Past
from mdata.domain.priority import Priority
from mdata.exchange.bitfinex.venue import BITFINEX

PACE = Pace(6.0, 15, BITFINEX.window)
EVEN = Pace(6.0, 1, BITFINEX.window)
NOW = 1000.0
QUARTER = 900.0  # the longest block
UPDATE, REPAIR, BACKFILL, RECHECK = Priority.UPDATE, Priority.REPAIR, Priority.BACKFILL, Priority.RECHECK

# All of the burst was spent a while ago, and has become available again.
RESTED = State(500.0, past=Past(15.0, 500.0))


def waiter(name: str, priority: int, since: float = NOW) -> Waiter:
    return Waiter(name, priority, since)


def test_the_classes_keep_their_numbers_because_processes_of_other_versions_write_them() -> None:
    assert {one.name: one.value for one in Priority} == {"UPDATE": 0, "REPAIR": 1, "BACKFILL": 2, "RECHECK": 3}


def test_a_state_that_says_nothing_holds_nobody_back() -> None:
    fresh = State(NOW)
    assert (fresh.sender, fresh.offered_to, fresh.waiters, fresh.connects) == ("", "", (), ())
    assert (fresh.refusals, fresh.passed) == (0, 0)
    assert fresh.blocked_until == fresh.calm_until == fresh.offered_at == 0
    assert fresh.past == Past(0.0, 0.0, ())


def test_of_an_unknown_past_only_the_burst_is_assumed() -> None:
    assert State.unknown(NOW, PACE) == State(NOW, past=PACE.fullest(NOW))


# --- when a request may leave ---------------------------------------------------------------------------------------


def test_until_it_is_calm_again_requests_are_evenly_spaced_and_a_tenth_further_apart() -> None:
    state = RESTED._replace(calm_until=NOW)
    assert state.pace_at(PACE, NOW - 0.001) == Pace(pytest.approx(6.6), 1, BITFINEX.window)  # type: ignore[arg-type]
    assert state.pace_at(PACE, NOW) == PACE


@pytest.mark.parametrize(("priority", "count"), [(UPDATE, 0), (REPAIR, 0), (BACKFILL, 3), (RECHECK, 3)])
def test_a_burst_of_the_lower_classes_leaves_three_requests_to_the_others(priority: Priority, count: int) -> None:
    assert kept(priority) == count
    # Eleven of fifteen are spent: one more may leave at once, unless three are left to others (12 + 3 = 15).
    for spent in (11, 12):
        ready = State(NOW, past=Past(spent, NOW)).ready_at(PACE, priority, NOW)
        assert ready == pytest.approx(NOW + (6.0 if spent + count == 15 else 0.1))


@pytest.mark.parametrize(("blocked_until", "ready"), [(0.0, NOW + 6), (NOW + 5, NOW + 6), (NOW + 7, NOW + 7)])
def test_nothing_leaves_before_a_block_has_ended(blocked_until: float, ready: float) -> None:
    state = State(NOW, past=Past(1.0, NOW), blocked_until=blocked_until)
    assert state.ready_at(EVEN, UPDATE, NOW) == ready


def test_a_slot_that_is_granted_counts_as_used() -> None:
    free = RESTED._replace(last=NOW)
    assert free.spent(EVEN) == RESTED.past
    assert free.ready_at(EVEN, UPDATE, NOW) <= NOW
    granted = free._replace(sender="one")
    assert granted.spent(EVEN) == RESTED.past.leaving(EVEN, NOW)
    assert granted.ready_at(EVEN, UPDATE, NOW) == NOW + 6


def test_a_slot_is_kept_for_a_second_or_one_delay_if_that_is_shorter() -> None:
    assert patience(PACE) == 1.0
    assert patience(PACE._replace(delay=0.25)) == 0.25


@pytest.mark.parametrize(
    ("delay", "ago", "is_kept"), [(6.0, 0.5, True), (6.0, 1.0, False), (0.25, 0.125, True), (0.25, 0.25, False)]
)
def test_a_slot_that_is_not_used_in_time_is_free_again(delay: float, ago: float, is_kept: bool) -> None:
    pace = PACE._replace(delay=delay)
    state = State(NOW - ago, sender="one")
    assert state.without_late_sender(pace, NOW) == (state if is_kept else state._replace(sender=""))
    assert state._replace(sender="").without_late_sender(pace, NOW) == state._replace(sender="")


@pytest.mark.parametrize(
    ("sender", "granted_at", "blocked_until", "may"),
    [
        ("me", NOW, 0.0, True), ("me", NOW - 500, 0.0, True), ("", NOW - 500, 0.0, True),
        ("other", NOW, 0.0, False), ("other", NOW - 2, 0.0, True),
        ("me", NOW, NOW, True), ("me", NOW, NOW + 0.001, False),
    ],
)  # fmt: skip
def test_who_got_a_slot_may_send_unless_a_block_has_begun_or_another_has_the_slot(
    sender: str, granted_at: float, blocked_until: float, may: bool
) -> None:
    state = RESTED._replace(sender=sender, last=granted_at, blocked_until=blocked_until)
    assert state.may_send(waiter("me", UPDATE), PACE, NOW) is may


def test_who_comes_late_may_send_only_if_the_rules_allow_it() -> None:
    state = State(NOW - 1, past=Past(15.0, NOW - 1))
    assert not state.may_send(waiter("me", UPDATE), PACE, NOW)
    assert state.may_send(waiter("me", UPDATE), PACE, NOW + 5)


def test_a_request_that_has_left_is_counted_at_the_pace_that_applies() -> None:
    state = RESTED._replace(sender="me", waiters=(waiter("other", UPDATE),))
    assert state.left_by_request(PACE, NOW) == state._replace(
        last=NOW, sender="", past=RESTED.past.leaving(PACE, NOW)
    )
    calm = state._replace(calm_until=NOW + 1, past=Past(1.0, NOW - 3.3))
    assert calm.left_by_request(PACE, NOW).past.level == pytest.approx(1.5), "half a delay of 6.6 s has passed"


@pytest.mark.parametrize(
    ("blocked_until", "calm_until", "blocked", "calm"),
    [
        (0.0, 0.0, NOW + 60, NOW + 3660),
        (NOW + 70, 0.0, NOW + 70, NOW + 3670),
        (0.0, NOW + 4000, NOW + 60, NOW + 4000),
    ],
)
def test_after_a_refusal_nobody_sends_for_a_while_and_nobody_bursts_for_another_hour(
    blocked_until: float, calm_until: float, blocked: float, calm: float
) -> None:
    assert CALM_SECONDS == 3600
    state = RESTED._replace(blocked_until=blocked_until, calm_until=calm_until)
    assert state.blocked(60.0, NOW) == state._replace(blocked_until=blocked, calm_until=calm)


# --- whose turn is next ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed", "classes", "turn"),
    [
        (0, [BACKFILL, UPDATE, REPAIR], UPDATE), (2, [BACKFILL, UPDATE, REPAIR], UPDATE),
        (3, [UPDATE, BACKFILL, REPAIR], BACKFILL), (4, [UPDATE, BACKFILL, REPAIR], BACKFILL),
        (3, [UPDATE, REPAIR], REPAIR), (3, [UPDATE], UPDATE), (0, [BACKFILL], BACKFILL),
        (0, [RECHECK, BACKFILL], BACKFILL), (3, [UPDATE, RECHECK, REPAIR], REPAIR), (3, [RECHECK, UPDATE], UPDATE),
        (0, [RECHECK], RECHECK), (3, [RECHECK], RECHECK),
    ],
)  # fmt: skip
def test_the_highest_class_goes_first_and_the_lowest_but_rechecks_after_three_others(
    passed: int, classes: list[Priority], turn: Priority
) -> None:
    waiters = tuple(waiter(one.name, one) for one in classes)
    assert State(NOW, passed=passed, waiters=waiters).head() == waiter(turn.name, turn)


def test_within_a_class_the_longest_wait_goes_first() -> None:
    waiters = (
        waiter("b", REPAIR, 20.0),
        waiter("a", REPAIR, 10.0),
        waiter("c", REPAIR, 30.0),
        waiter("d", BACKFILL, 1.0),
    )
    assert State(NOW, waiters=waiters).head() == waiters[1]
    assert State(NOW).head() is None


@pytest.mark.parametrize(
    ("granted", "others", "passed"),
    [
        # The lowest class that waits has had its turn.
        (BACKFILL, [UPDATE], 0), (UPDATE, [], 0), (REPAIR, [UPDATE], 0), (RECHECK, [], 0), (BACKFILL, [RECHECK], 0),
        # It has been passed over once more.
        (UPDATE, [BACKFILL], 3), (UPDATE, [REPAIR], 3), (REPAIR, [BACKFILL, UPDATE], 3), (REPAIR, [RECHECK], 3),
    ],
)  # fmt: skip
def test_it_is_counted_how_often_the_lowest_class_was_passed_over(
    granted: Priority, others: list[Priority], passed: int
) -> None:
    me = waiter("me", granted)
    waiting = tuple(waiter(f"other {one}", one) for one in others)
    state = State(1.0, passed=2, waiters=(*waiting, me), offered_to="me", offered_at=5.0)
    assert state.granted(me, NOW) == State(NOW, sender="me", passed=passed, waiters=waiting)


def test_a_waiter_queues_once_and_leaves_as_a_whole() -> None:
    one, other = waiter("one", UPDATE), waiter("other", REPAIR)
    state = State(NOW).queued(one).queued(other)
    assert state.waiters == (one, other)
    assert state.queued(one) == state
    assert state.left("one").waiters == (other,)
    assert state.left("nobody") == state


def test_a_turn_begins_when_it_is_first_offered() -> None:
    state = State(1.0, waiters=(waiter("one", UPDATE),))
    offered = state.offered(NOW)
    assert offered == state._replace(offered_to="one", offered_at=NOW)
    assert offered.offered(NOW + 5) == offered
    other = offered.left("one").queued(waiter("other", UPDATE))
    assert other.offered(NOW + 5) == other._replace(offered_to="other", offered_at=NOW + 5)
    assert State(1.0).offered(NOW) == State(1.0)


# --- what no state may do -------------------------------------------------------------------------------------------


def test_what_a_clock_that_was_ahead_has_written_stalls_nobody() -> None:
    ahead = State(
        last=NOW + 1, blocked_until=NOW + QUARTER + 1, waiters=(waiter("early", UPDATE, NOW + 1),),
        offered_to="x", offered_at=NOW + 1, connects=(NOW + 1,), past=Past(99.0, NOW + 1),
        calm_until=NOW + QUARTER + CALM_SECONDS + 1,
    )  # fmt: skip
    assert ahead.clamped(NOW, QUARTER, BITFINEX.window) == State(
        last=NOW, blocked_until=NOW + QUARTER, offered_to="x", offered_at=NOW, past=Past(27.0, NOW),
        calm_until=NOW + QUARTER + CALM_SECONDS,
    )  # fmt: skip


def test_what_the_rules_allow_is_kept() -> None:
    allowed = State(
        last=NOW, sender="me", blocked_until=NOW + QUARTER, refusals=5, passed=2,
        waiters=(waiter("one", UPDATE, NOW),), offered_to="one", offered_at=NOW,
        connects=(NOW - 59.999, NOW - 5, NOW), past=Past(27.0, NOW), calm_until=NOW + QUARTER + CALM_SECONDS,
    )  # fmt: skip
    assert allowed.clamped(NOW, QUARTER, BITFINEX.window) == allowed
    earlier = RESTED._replace(blocked_until=NOW - 1, calm_until=NOW - 1, offered_at=NOW - 1)
    assert earlier.clamped(NOW, QUARTER, BITFINEX.window) == earlier


def test_connects_are_forgotten_after_a_minute_and_their_time_on_the_way() -> None:
    state = RESTED._replace(connects=(NOW - 63, NOW - 62, NOW - 61, NOW - 60))
    assert state.clamped(NOW, QUARTER, BITFINEX.window).connects == (NOW - 61, NOW - 60)


# --- a lost connection ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "since_last", "seconds"),
    [(0, 0.0, 5), (0, 4.5, 1), (0, 300.0, 1), (3, 0.0, 8), (3, 300.0, 8), (2, 0.5, 4.5), (2, 2.0, 4), (99, 0.0, 60)],
)
def test_a_connection_is_opened_again_after_the_pause_and_five_seconds_after_it_was_opened(
    failures: int, since_last: float, seconds: float
) -> None:
    assert reconnect_delay(failures, since_last, 5.0, lambda _, high: high) == seconds
