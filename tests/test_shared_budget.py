"""Real processes against an exchange with the true limit and ban, on a clock that runs five times as fast."""

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from conftest import Folder, hurried

from mdata.clock import SystemClock
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import RateRule, Sandbox

SPEED = 5.0
TRUE_RULE = RateRule(per_minute=30, ban_seconds=60.0, extends=True)


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


def test_within_the_limit_nobody_is_refused_and_the_budget_is_used(tmp_path: Path, market: Market) -> None:
    delay = 2.1
    with hurried(market, SPEED, TRUE_RULE) as (sandbox, clock):
        processes = [
            one.start("backfill") for one in folders(tmp_path, sandbox, 8, RATE_LIMIT_DELAY=str(delay), **clock)
        ]
        assert finish(processes) == [0] * 8
        at = [one.boottime for one in sandbox.requests]
    assert {one.status for one in sandbox.requests} == {200}
    assert len(at) >= 8 * 5
    used = (len(at) - 1) * delay / (at[-1] - at[0])
    # What arrives is not quite what was sent: the first and the last may have been late on their way.
    assert 0.95 <= used <= 1.01


def test_after_one_refusal_nobody_asks_until_the_ban_is_over(
    tmp_path: Path, market: Market, wait: Callable[..., None]
) -> None:
    with hurried(market, SPEED, TRUE_RULE) as (sandbox, clock):
        settings = {"RATE_LIMIT_DELAY": "1.0", **clock}
        processes = [one.start("backfill") for one in folders(tmp_path / "early", sandbox, 8, **settings)]
        wait(lambda: any(one.status == 429 for one in sandbox.requests), 60)
        (late,) = folders(tmp_path / "late", sandbox, 1, **settings)
        late.settings["RATE_LIMIT_STATE_PATH"] = str(tmp_path / "early" / "rate-limit.json")
        wait(lambda: late.run("status", "--json").json["rate_limit"]["blocked_until"] is not None)
        before = len(sandbox.requests)
        started_in_the_block = late.run("backfill", "--json", "--max-runtime", "25s")
        assert (started_in_the_block.exit, started_in_the_block.json["requests"]) == (75, 0)
        assert len(sandbox.requests) == before
        assert finish(processes) == [0] * 8
    refused = [one.boottime for one in sandbox.requests if one.status == 429 or one.in_ban]
    # On a busy machine others may be under way before the first refusal is read and stored: two seconds of life.
    assert refused[-1] - refused[0] < 2 * SPEED, "one refusal stops all of them, and what comes after is welcome"


def test_a_clock_that_is_an_hour_wrong_stalls_nobody_and_buys_no_burst(tmp_path: Path, market: Market) -> None:
    system, delay = SystemClock(), 0.3
    with Sandbox(market) as sandbox:
        all_of_them = folders(tmp_path, sandbox, 3, RATE_LIMIT_DELAY=str(delay), BACKFILL_DAYS="20")
        wall, boot = system.now(), system.boottime()
        for folder, hours in zip(all_of_them, (0, -1, 1), strict=True):
            folder.settings["MDATA_REHEARSAL"] = f"{wall + hours * 3_600_000},{boot!r},1.0"
        assert finish([one.start("backfill") for one in all_of_them]) == [0] * 3
        at = [one.boottime for one in sandbox.requests]
    assert len(at) >= 3 * 4
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
