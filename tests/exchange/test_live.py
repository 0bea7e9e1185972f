"""What may be concluded from a candles channel: generated streams, reordered, repeated, interleaved, with silence."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdata.domain.candle import Candle
from mdata.domain.claim import Claim, Faulty
from mdata.domain.interval import Range, normal
from mdata.domain.timeframe import MINUTE, TIMEFRAMES, Timeframe
from mdata.exchange.bitfinex.channel import GRACE, KEPT, MOST_REFUSED, TOLERANCE, Channel
from mdata.exchange.bitfinex.connection import DEAD_AFTER, MOST_EARLY, Session
from mdata.exchange.bitfinex.protocol import Frame, Message, Notice, NotSubscribed, Subscribed

M1 = TIMEFRAMES["1m"]
T0 = 1_717_243_440_000  # 2024-06-01 12:04:00 UTC


def candle(time: int, volume: float, price: float = 100.0) -> Candle:
    return (time, price, price + 1, price - 1, price, volume)


@dataclass
class Kept:
    """What a writer has stored of a channel, claim by claim."""

    candles: dict[int, Candle] = field(default_factory=dict)
    covered: list[Range] = field(default_factory=list)

    def store(self, claims: list[Claim]) -> None:
        for part, rows in claims:
            assert part.start < part.end
            for row in rows:
                assert part.start <= row[0] < part.end
                # Never an older state over a newer one.
                assert row[5] >= self.candles.get(row[0], row)[5]
                self.candles[row[0]] = row
            self.covered = normal([*self.covered, part])


def flush(channel: Channel, kept: Kept, now: int) -> list[Claim]:
    claims = channel.due(now)
    kept.store(claims)
    channel.mark(claims)
    return claims


def test_a_candle_is_stored_when_the_next_one_appears() -> None:
    channel, kept = Channel(M1), Kept()
    channel.snapshot([candle(T0 - MINUTE, 5), candle(T0, 1)], T0 + 1000)
    assert flush(channel, kept, T0 + 1000) == [(Range(T0 - MINUTE, T0), [candle(T0 - MINUTE, 5)])]
    channel.update(candle(T0, 3), T0 + 30_000)
    assert channel.due(T0 + 59_000) == []
    channel.update(candle(T0 + MINUTE, 1), T0 + MINUTE + 50)
    assert flush(channel, kept, T0 + MINUTE + 60) == [(Range(T0, T0 + MINUTE), [candle(T0, 3)])]
    channel.update(candle(T0, 4), T0 + MINUTE + 1500)
    assert flush(channel, kept, T0 + MINUTE + 1600) == [(Range(T0, T0 + MINUTE), [candle(T0, 4)])]
    channel.update(candle(T0, 3), T0 + MINUTE + 1700)
    assert channel.due(T0 + MINUTE + 1800) == []


def test_a_quiet_interval_is_covered_after_a_heartbeat_and_a_grace_and_silence_proves_nothing() -> None:
    channel, kept = Channel(M1), Kept()
    channel.snapshot([candle(T0, 1)], T0 + 1000)
    channel.beat(T0 + MINUTE + 100)
    assert channel.due(T0 + MINUTE + GRACE - 1) == []
    assert flush(channel, kept, T0 + MINUTE + GRACE) == [(Range(T0, T0 + MINUTE), [candle(T0, 1)])]
    assert channel.due(T0 + 60 * MINUTE) == []
    channel.beat(T0 + 4 * MINUTE)
    assert flush(channel, kept, T0 + 5 * MINUTE) == [(Range(T0 + MINUTE, T0 + 4 * MINUTE), [])]


def test_without_a_snapshot_it_speaks_for_what_began_under_its_eyes() -> None:
    channel, kept = Channel(M1), Kept()
    channel.snapshot([], T0 + 20_000)
    channel.update(candle(T0, 7), T0 + 30_000)
    channel.beat(T0 + 3 * MINUTE)
    assert flush(channel, kept, T0 + 4 * MINUTE) == [(Range(T0 + MINUTE, T0 + 3 * MINUTE), [])]


def test_a_snapshot_that_comes_late_still_reaches_back() -> None:
    channel, kept = Channel(M1), Kept()
    channel.beat(T0 + 1000)
    channel.update(candle(T0 + MINUTE, 1), T0 + MINUTE + 1000)
    channel.update(candle(T0 + 2 * MINUTE, 1), T0 + 2 * MINUTE + 1000)
    flush(channel, kept, T0 + 2 * MINUTE + 1000)
    channel.snapshot([candle(T0 - MINUTE, 2), candle(T0, 2), candle(T0 + MINUTE, 2)], T0 + 2 * MINUTE + 2000)
    flush(channel, kept, T0 + 2 * MINUTE + 3000)
    assert kept.covered == [Range(T0 - MINUTE, T0 + 2 * MINUTE)]
    assert [kept.candles[T0 + n * MINUTE][5] for n in (-1, 0, 1)] == [2, 2, 2]


@pytest.mark.parametrize(
    "bad", [Faulty(T0, "[...]", "a candle must have six values"), candle(T0, -1.0), (T0, 1.0, 0.5, 2.0, 1.0, 1.0)]
)
def test_a_bad_row_makes_its_interval_unknown_until_a_sound_one_comes(bad: Candle | Faulty) -> None:
    channel, kept = Channel(M1), Kept()
    channel.snapshot([candle(T0 - MINUTE, 1), candle(T0, 1)], T0 + 1000)
    channel.update(bad, T0 + 2000)
    channel.update(candle(T0 + MINUTE, 1), T0 + MINUTE)
    flush(channel, kept, T0 + MINUTE)
    assert kept.covered == [Range(T0 - MINUTE, T0)]
    assert len(channel.refused) == 1
    channel.update(candle(T0, 2), T0 + MINUTE + 500)
    flush(channel, kept, T0 + MINUTE + 500)
    assert kept.covered == [Range(T0 - MINUTE, T0 + MINUTE)]


def test_an_interval_that_stays_spoiled_is_never_claimed() -> None:
    channel, kept = Channel(M1), Kept()
    channel.snapshot([candle(T0 - MINUTE, 1), candle(T0, 1)], T0 + 1000)
    channel.update(candle(T0, -1.0), T0 + 2000)
    for minute in range(1, 2 * KEPT):
        channel.update(candle(T0 + minute * MINUTE, 1), T0 + minute * MINUTE)
        flush(channel, kept, T0 + minute * MINUTE)
    assert kept.covered == [Range(T0 - MINUTE, T0), Range(T0 + MINUTE, T0 + (2 * KEPT - 1) * MINUTE)]


@pytest.mark.parametrize("timeframe", TIMEFRAMES.values(), ids=TIMEFRAMES)
def test_every_grid_is_claimed_from_its_oldest_row_to_its_last_close(timeframe: Timeframe) -> None:
    channel, now = Channel(timeframe), T0 + 1000
    times = [timeframe.shift(now, -number) for number in range(40)]
    channel.snapshot([candle(time, 1) for time in times], now)
    ((part, rows),) = channel.due(now)
    assert part == Range(times[-1], times[0])
    assert [row[0] for row in rows] == times[:0:-1]


def test_a_bad_row_without_a_time_spoils_the_forming_interval_and_the_one_before() -> None:
    channel, kept = Channel(M1), Kept()
    channel.snapshot([candle(T0 - 2 * MINUTE, 1), candle(T0, 1)], T0 + 1000)
    channel.update(Faulty(None, '["x"]', "the open time is not an integer"), T0 + MINUTE + 1000)
    channel.beat(T0 + 3 * MINUTE)
    flush(channel, kept, T0 + 4 * MINUTE)
    assert kept.covered == [Range(T0 - 2 * MINUTE, T0), Range(T0 + 2 * MINUTE, T0 + 3 * MINUTE)]


def test_a_snapshot_is_believed_from_after_its_newest_bad_row() -> None:
    channel, kept = Channel(M1), Kept()
    rows = [candle(T0 - n * MINUTE, 1) for n in range(10)]
    channel.snapshot([*rows[:3], Faulty(rows[3][0], "x", "x"), *rows[4:]], T0 + 1000)
    flush(channel, kept, T0 + 2000)
    assert kept.covered == [Range(T0 - 2 * MINUTE, T0)]
    unreadable = Channel(M1)
    unreadable.snapshot([*rows, Faulty(None, "x", "x")], T0 + 1000)
    assert unreadable.due(T0 + 2000) == []
    assert unreadable.start == T0 + MINUTE


def test_rows_from_the_future_and_from_long_ago_are_left_aside() -> None:
    channel = Channel(M1)
    channel.snapshot([candle(T0 - n * MINUTE, 1) for n in range(240)], T0 + 1000)
    channel.mark(channel.due(T0 + 1000))
    for time in (T0 + 10 * MINUTE, T0 + 10**12, T0 - 500 * MINUTE, T0 - 100 * MINUTE, T0 + MINUTE):
        channel.update(candle(time, 9), T0 + MINUTE - TOLERANCE - 1)
    assert channel.due(T0 + MINUTE - TOLERANCE) == []
    assert channel.newest == candle(T0, 1)


def test_memory_is_bounded_whatever_is_sent() -> None:
    channel, rng, at = Channel(M1), random.Random(5), T0
    for _ in range(20_000):
        at += rng.randrange(2000)
        time = M1.floor(at) - rng.randrange(-5, 5000) * MINUTE
        rows: list[Candle | Faulty] = [candle(time, rng.random()), Faulty(time, "x", "x"), Faulty(None, "y", "y")]
        channel.update(rng.choice(rows), at)
        channel.mark(channel.due(at))
    assert max(len(channel._candles), len(channel._stored), len(channel._spoiled)) <= KEPT + 2
    assert len(channel._done) <= KEPT + 2
    assert len(channel.refused) == MOST_REFUSED


# --- generated streams ----------------------------------------------------------------------------------------------

KEYS = {"trade:1m:tBTCUSD": M1, "trade:5m:tBTCUSD": TIMEFRAMES["5m"], "trade:1m:tSPAUSD": M1}


@dataclass(frozen=True)
class Scenario:
    """Messages with their times of arrival, ascending, and the last state of every candle per channel."""

    messages: list[tuple[int, Message]]
    truth: dict[str, dict[int, Candle]]
    end: int


def _scenario(rng: random.Random) -> Scenario:
    """Make trades, tell them whole-candle by whole-candle, then delay, repeat and interleave what was told."""
    numbers = dict(zip(KEYS, rng.sample(range(1, 400_000), len(KEYS)), strict=True))
    messages: list[tuple[int, int, Message]] = []
    truth: dict[str, dict[int, Candle]] = {}
    length = rng.randrange(3, 15) * MINUTE
    disorder = rng.choice([0, 0, 5_000, 90_000])
    for key, grid in KEYS.items():
        opened = T0 + rng.randrange(20_000)
        states: dict[int, Candle] = {}
        trades = sorted(rng.randrange(-10 * MINUTE, length) for _ in range(rng.randrange(60)))
        told: list[tuple[int, Candle]] = []
        for offset in trades:
            time = grid.floor(T0 + offset)
            before = states.get(time, candle(time, 0.0))
            states[time] = candle(time, before[5] + rng.choice([0.1, 2.5, 1e-8]), 100 + rng.random())
            told.append((T0 + offset, states[time]))
        history = {row[0]: row for at, row in told if at <= opened}
        ack = opened + rng.choice([0, 300])
        messages.append((ack, 0, Subscribed(key, numbers[key])))
        snapshot = tuple(sorted(history.values(), reverse=True))
        messages.append((opened + 100, 1, Frame(numbers[key], snapshot, is_snapshot=True)))
        for at, row in told:
            if at > opened:
                times = [at + 200 + rng.randrange(disorder + 1) for _ in range(rng.choice([1, 1, 1, 2]))]
                messages += [(time, 2, Frame(numbers[key], (row,))) for time in times]
        messages += [(at, 2, Frame(numbers[key], None)) for at in range(opened + 15_000, T0 + length, 15_000)]
        truth[key] = states
    for _ in range(rng.randrange(5)):
        stranger = Frame(rng.randrange(10**6, 10**7), rng.choice([None, (candle(T0, 1e9),)]))
        messages.append((T0 + rng.randrange(length), 2, stranger))
    messages.sort(key=lambda one: one[:2])
    end = max(messages[-1][0], T0 + length)
    return Scenario([(at, message) for at, _, message in messages], truth, end)


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**32))
def test_generated_streams_end_as_the_exchange_knows_them(seed: int) -> None:
    rng = random.Random(seed)
    scenario = _scenario(rng)
    session = Session.of(KEYS, T0 / 1000)
    kept = {key: Kept() for key in KEYS}
    for at, message in scenario.messages:
        session.take(message, at, at / 1000)
        if rng.random() < 0.5:
            for key, channel in session.channels.items():
                claims = channel.due(at)
                for part, _rows in claims:
                    # Nothing is claimed that is not over, or that the channel has not shown to be over.
                    assert part.end <= KEYS[key].floor(at)
                    assert part.end <= (channel.seen_at or 0)
                if rng.random() < 0.9:  # else the transaction failed: the claims stay due
                    kept[key].store(claims)
                    channel.mark(claims)
    for key, channel in session.channels.items():
        flush(channel, kept[key], scenario.end + GRACE)
        assert channel.due(scenario.end + GRACE) == []
        start, end = channel.start, channel.closed_to(scenario.end + GRACE)
        assert start is not None
        assert end is not None
        assert kept[key].covered == ([Range(start, end)] if start < end else [])
        expected = {time: row for time, row in scenario.truth[key].items() if start <= time < end}
        assert kept[key].candles == expected


@given(st.lists(st.sampled_from([0.1, 0.5, 2.0, 7.0]), min_size=1, max_size=12), st.randoms())
def test_the_order_of_arrival_does_not_matter(volumes: list[float], rng: random.Random) -> None:
    channel, kept = Channel(M1), Kept()
    channel.snapshot([candle(T0 - MINUTE, 1)], T0)
    for volume in volumes:
        channel.update(candle(T0, volume), T0 + 1000)
        if rng.random() < 0.3:
            channel.update(candle(T0 + MINUTE, 1), T0 + MINUTE + 100)
            flush(channel, kept, T0 + MINUTE + 100)
    channel.beat(T0 + 2 * MINUTE)
    flush(channel, kept, T0 + 3 * MINUTE)
    assert kept.candles[T0][5] == max(volumes)


# --- the connection -------------------------------------------------------------------------------------------------


def test_a_connection_dies_of_one_silent_channel() -> None:
    session = Session.of(KEYS, 0.0)
    for number, key in enumerate(KEYS):
        session.take(Subscribed(key, number), T0, 1.0)
    for second in range(15, 300, 15):
        for number in (0, 1):
            session.take(Frame(number, None), T0 + second * 1000, float(second))
        fault = session.fault(float(second))
        assert (fault is not None) == (second - 1 > DEAD_AFTER)
        if fault:
            assert "trade:1m:tSPAUSD" in fault
            assert "trade:1m:tBTCUSD" not in fault


def test_a_connection_dies_of_an_answer_that_does_not_come_and_of_notices() -> None:
    session = Session.of(KEYS, 0.0)
    assert session.fault(DEAD_AFTER) is None
    assert "did not answer" in (session.fault(DEAD_AFTER + 1) or "")
    session.take(Notice(20060), T0, 0.0)
    session.take(Notice(42), T0, 0.0)
    assert session.fault(1.0) is None
    for code in (20051, 20061):
        other = Session.of(KEYS, 0.0)
        other.take(Notice(code), T0, 0.0)
        assert str(code) in (other.fault(1.0) or "")


def test_a_refused_channel_does_not_hold_up_the_others() -> None:
    first, second, third = KEYS
    session = Session.of(KEYS, 0.0)
    session.take(NotSubscribed(first, 10300, "symbol: invalid"), T0, 0.0)
    session.take(NotSubscribed("trade:1m:tELSEUSD", 10300, "symbol: invalid"), T0, 0.0)
    session.take(NotSubscribed("", 10000, "event: invalid"), T0, 0.0)
    session.take(Subscribed(second, 2), T0, 0.0)
    session.take(NotSubscribed(second, 10301, "subscribe: dup"), T0, 0.0)
    before = session.is_answered
    session.take(Subscribed(third, 3), T0, 0.0)
    assert (before, session.is_answered) == (False, True)
    assert set(session.refused) == {first}
    assert session.subscribed == [second, third]
    assert session.fault(DEAD_AFTER + 0.0) is None


def test_frames_of_strangers_are_not_kept() -> None:
    session = Session.of(KEYS, 0.0)
    for number in range(10_000):
        session.take(Frame(number, (candle(T0, 1.0),)), T0, 0.0)
        session.take(Subscribed(f"trade:1m:tX{number}USD", number), T0, 0.0)
    assert len(session._early) == MOST_EARLY
    assert session._keys == {}
    for number, key in enumerate(KEYS):
        for again in range(50):
            session.take(Subscribed(key, number + 1000 * again), T0, 0.0)
    session.take(Frame(1, (candle(T0, 1.0),)), T0, 0.0)
    assert (len(session._keys), len(session._early)) == (len(KEYS), 0)
