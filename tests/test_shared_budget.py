"""Real processes against an exchange with the true limit and ban, on a clock that runs five times as fast.

`make budget` runs the long ones: ten minutes of eight processes, and the hour after a refusal.
"""

import fcntl
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import pytest
from conftest import Folder, hurried

from mdata.clock import SystemClock
from mdata.domain.pace import Pace, Past
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import RateRule, Sandbox

SPEED = 5.0
TRUE_RULE = RateRule(per_minute=30, ban_seconds=60.0, extends=True)
LOW_RULE = RateRule(per_minute=10, ban_seconds=60.0, extends=True)
# Candles of many pairs close each minute: more requests than any budget has, and each answer a few rows.
MANY = [f"t{first}{second}AUSD" for first in "ABCDEFGH" for second in "ABCDEFGH"]


def folders(path: Path, sandbox: Sandbox, count: int, **settings: str) -> list[Folder]:
    """Return folders with a store each and one rate limit file for all, as one machine has one IP."""
    found = []
    for number in range(count):
        (path / str(number)).mkdir(parents=True)
        folder = Folder(path / str(number), sandbox)
        shared = str(path / "rate-limit.json")
        folder.settings.update(RATE_LIMIT_STATE_PATH=shared, RATE_LIMIT_MIN_BACKOFF_SECONDS="60", BACKFILL_DAYS="25")
        folder.settings.update(settings)
        found.append(folder)
    return found


def finish(processes: list[Popen[str]]) -> list[int]:
    for process in processes:
        process.communicate(timeout=200)
    return [process.returncode for process in processes]


class Crowd:
    """Eight processes with more work than the budget has, which are killed, paused and rebooted under their feet."""

    def __init__(self, path: Path, sandbox: Sandbox, **settings: str) -> None:
        self.sandbox, self.clock = sandbox, sandbox.clock
        self.folders = folders(path, sandbox, 8, SYMBOLS=",".join(MANY), BACKFILL_DAYS="1", **settings)
        self.state = path / "rate-limit.json"
        self.running: list[Popen[str]] = []
        self.rng = random.Random(13)

    def start(self, number: int) -> Popen[str]:
        # Those that serve a candle's next minute, and those that go deep.
        command = ("update", "backfill")[number % 2]
        grids = {"update": "1m", "backfill": "1h,3h,6h,12h,1D"}[command]
        return self.folders[number].start(command, TIMEFRAMES=grids)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self.running = [self.start(number) for number in range(len(self.folders))]
        try:
            yield
        finally:
            for process in self.running:
                process.kill()
                process.communicate()

    def work(self, seconds: float, kill_every: float) -> None:
        """Work for so many seconds of the exchange's time; whoever ends, or is killed, is followed by another."""
        end, next_kill = self.clock.boottime() + seconds, self.clock.boottime() + kill_every
        while self.clock.boottime() < end:
            if self.clock.boottime() >= next_kill:
                self.rng.choice(self.running).kill()
                next_kill += kill_every
            for number, process in enumerate(self.running):
                if process.poll() is not None:
                    process.communicate()
                    self.running[number] = self.start(number)
            time.sleep(0.02)

    def reboot(self) -> None:
        """Let the file be of another boot, as whoever comes up after one finds it."""
        with self.state.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            text = stream.read()
            found = json.loads(text)
            stream.seek(0)
            stream.write(json.dumps({**found, "boot_id": "before"}).encode().ljust(len(text)))


def ideal(pace: Pace, seconds: float) -> int:
    """Return how many requests leave in so many seconds when the burst is whole and nobody is ever late."""
    past, now, count = Past(), 1000.0, 0
    while now < 1000 + seconds:
        past, count = past.leaving(pace, now).arrived(now, now), count + 1
        now = past.ready_at(pace)
    return count


class Life(NamedTuple):
    """How many requests left while work was left; how many the sustained rate has there, and a faultless sender."""

    sent: int
    sustained: float
    ideal: int

    def __str__(self) -> str:
        shares = (
            f"{self.sent / self.sustained:.3f} of the sustained budget, {self.sent / self.ideal:.3f} of the ideal"
        )
        return f"{self.sent} requests, {shares}"


def live_through(path: Path, market: Market, pace: Pace, periods: int, seconds: float, pause: float = 70) -> Life:
    """Let eight processes work for so many periods, with pauses between them, and count."""
    settings = {"RATE_LIMIT_DELAY": str(pace.delay), "RATE_LIMIT_BURST": str(pace.burst)}
    spans: list[tuple[float, float]] = []
    with hurried(market, SPEED, TRUE_RULE) as (sandbox, clock):
        crowd = Crowd(path, sandbox, **settings, **clock)
        for period in range(periods):
            if period:
                crowd.clock.sleep(pause)
            with crowd.at_work():
                before = len(sandbox.requests)
                while len(sandbox.requests) == before:
                    time.sleep(0.01)
                began = sandbox.requests[before].boottime
                crowd.work(seconds / 2, kill_every=17)
                if period % 2:
                    crowd.reboot()
                crowd.work(seconds / 2, kill_every=17)
                ended = crowd.clock.boottime()
            spans.append((began, ended))
        requests = list(sandbox.requests)
    assert {one.status for one in requests} == {200}, "nobody is refused"
    at = [one.boottime for one in requests]
    assert max(sum(start <= other < start + 60 for other in at) for start in at) <= BITFINEX.window.most
    return Life(
        sum(began <= instant < ended for instant in at for began, ended in spans),
        sum((ended - began) / pace.sustained for began, ended in spans),
        sum(ideal(pace, ended - began) for began, ended in spans),
    )


@pytest.fixture
def busy_market() -> Market:
    return Market({name: Pair(name) for name in MANY})


def test_bursts_kills_and_reboots_break_no_limit(tmp_path: Path, busy_market: Market) -> None:
    life = live_through(tmp_path, busy_market, Pace(2.0, 15, BITFINEX.window), periods=2, seconds=50, pause=40)
    assert life.sent >= 0.9 * life.ideal


@pytest.mark.soak
@pytest.mark.parametrize("pace", [Pace(*pace, BITFINEX.window) for pace in ((6.0, 15), (2.0, 15), (2.4, 20))])
def test_ten_minutes_of_bursts_kills_and_reboots(tmp_path: Path, busy_market: Market, pace: Pace) -> None:
    life = live_through(tmp_path, busy_market, pace, periods=2, seconds=300)
    print(f"{pace}: {life}")  # noqa: T201 - for `make budget`
    assert life.sent >= 0.99 * life.sustained


def refused(sandbox: Sandbox) -> list[float]:
    return [one.boottime for one in sandbox.requests if one.status == 429 or one.in_ban]


def test_after_one_refusal_nobody_asks_until_the_ban_is_over(
    tmp_path: Path, market: Market, wait: Callable[..., None]
) -> None:
    with hurried(market, SPEED, LOW_RULE) as (sandbox, clock):
        settings = {"RATE_LIMIT_DELAY": "6", "RATE_LIMIT_BURST": "15", "BACKFILL_DAYS": "5", **clock}
        processes = [one.start("backfill") for one in folders(tmp_path / "early", sandbox, 8, **settings)]
        wait(lambda: refused(sandbox), 60)
        (late,) = folders(tmp_path / "late", sandbox, 1, **settings)
        late.settings["RATE_LIMIT_STATE_PATH"] = str(tmp_path / "early" / "rate-limit.json")
        wait(lambda: late.run("status", "--json").json["rate_limit"]["blocked_until"] is not None)
        before = len(sandbox.requests)
        started_in_the_block = late.run("backfill", "--json", "--max-runtime", "25s")
        assert (started_in_the_block.exit, started_in_the_block.json["requests"]) == (75, 0)
        assert len(sandbox.requests) == before
        assert finish(processes) == [0] * 8
    # On a busy machine others may be under way before the first refusal is read and stored: two seconds of life.
    at = refused(sandbox)
    assert at[-1] - at[0] < 2 * SPEED, "one refusal stops all of them, and from then on nobody bursts"


@pytest.mark.soak
def test_an_exchange_with_a_third_of_the_limit_refuses_once_and_then_not_for_an_hour(
    tmp_path: Path, busy_market: Market
) -> None:
    speed = 20.0
    with hurried(busy_market, speed, LOW_RULE) as (sandbox, clock):
        crowd = Crowd(tmp_path, sandbox, RATE_LIMIT_DELAY="6", RATE_LIMIT_BURST="15", **clock)
        with crowd.at_work():
            crowd.work(3600 + 60, kill_every=600)
        found, at = refused(sandbox), [one.boottime for one in sandbox.requests]
    print(f"{len(at)} requests in {(at[-1] - at[0]) / 60:.0f} minutes, {len(found)} refused")  # noqa: T201
    assert found[-1] - found[0] < 2 * speed


def test_a_clock_that_is_an_hour_wrong_stalls_nobody_and_buys_no_burst(tmp_path: Path, market: Market) -> None:
    system, delay = SystemClock(), 0.3
    with Sandbox(market) as sandbox:
        all_of_them = folders(tmp_path, sandbox, 3, RATE_LIMIT_DELAY=str(delay), BACKFILL_DAYS="20")
        wall, boot = system.now(), system.boottime()
        for folder, hours in zip(all_of_them, (0, -1, 1), strict=True):
            folder.settings["MDATA_REHEARSAL"] = f"{wall + hours * 3_600_000},{boot!r},1.0"
        assert finish([one.start("backfill") for one in all_of_them]) == [0] * 3
        at = [one.boottime for one in sandbox.requests]
    assert len(at) >= 3 * 3
    assert len(at) - 1 <= (at[-1] - at[0]) / delay + 0.5
    assert at[-1] - at[0] < 30


def test_backfill_gets_its_fourth_slot_while_updates_saturate_the_budget(tmp_path: Path) -> None:
    names = [f"t{first}{second}AUSD" for first in "ABCDEF" for second in "ABCDE"]
    market = Market({name: Pair(name) for name in ("tBTCUSD", *names)})
    with Sandbox(market) as sandbox:
        backfill, *updates = folders(tmp_path, sandbox, 3, RATE_LIMIT_DELAY="0.2", BACKFILL_DAYS="1")
        # Small pages, so that it is back in the queue before its next turn.
        backfill.settings["TIMEFRAMES"] = "15m,30m,1h,3h,6h,12h,1D"
        busy = [one.start("update", SYMBOLS=",".join(names)) for one in updates]
        code = finish([backfill.start("backfill", "--max-requests", "9")])
        for process in busy:
            assert process.poll() is None, "the updates were to last longer"
            process.terminate()
        finish(busy)
        whose = ["tBTCUSD" in one.target for one in sandbox.requests]
    assert code in ([0], [3])
    own = [position for position, is_backfill in enumerate(whose) if is_backfill]
    assert len(own) >= 9
    # Of every four slots one; on a busy machine a turn may pass while the backfill still stores its page.
    assert own[-1] - own[0] <= 4 * (len(own) - 1) + 4
