"""Eight processes against an exchange with the true kind of limit: nobody is banned, or one refusal stops all."""

from collections.abc import Callable
from pathlib import Path

from conftest import Folder

from mdata.sandbox.market import Market
from mdata.sandbox.server import RateRule, Sandbox


def folders(tmp_path: Path, sandbox: Sandbox, count: int, **settings: str) -> list[Folder]:
    """Return folders with a store each and one rate limit file for all, as one machine has one IP."""
    found = []
    for number in range(count):
        path = tmp_path / str(number)
        path.mkdir()
        folder = Folder(path, sandbox)
        shared = str(tmp_path / "rate-limit.json")
        folder.settings.update(RATE_LIMIT_STATE_PATH=shared, BACKFILL_DAYS="40", **settings)
        found.append(folder)
    return found


def test_within_the_limit_nobody_is_refused(tmp_path: Path, market: Market) -> None:
    delay = 0.15
    with Sandbox(market, rule=RateRule(per_minute=400)) as sandbox:
        processes = [one.start("backfill") for one in folders(tmp_path, sandbox, 8, RATE_LIMIT_DELAY=str(delay))]
        for process in processes:
            process.communicate(timeout=120)
        assert [process.returncode for process in processes] == [0] * 8
        at = [one.boottime for one in sandbox.requests]
    assert not any(one.in_ban for one in sandbox.requests)
    assert len(at) >= 8 * 7
    # Arrivals jitter on a busy machine; over the whole run the rate must be that of the budget all the same.
    assert (len(at) - 1) * delay <= at[-1] - at[0] + 1.0
    assert (len(at) - 1) * delay >= 0.6 * (at[-1] - at[0])


def test_after_one_refusal_nobody_asks_until_the_ban_is_over(
    tmp_path: Path, market: Market, wait: Callable[..., None]
) -> None:
    with Sandbox(market, rule=RateRule(per_minute=20, ban_seconds=2.0)) as sandbox:
        settings = {"RATE_LIMIT_DELAY": "0.05", "RATE_LIMIT_MIN_BACKOFF_SECONDS": "3"}
        processes = [one.start("backfill") for one in folders(tmp_path, sandbox, 8, **settings)]
        wait(lambda: any(one.status == 429 for one in sandbox.requests), 30)
        refused = next(one for one in sandbox.requests if one.status == 429)
        wait(lambda: sandbox.clock.boottime() > refused.boottime + 2.5)
        late = folders(tmp_path / "0", sandbox, 1, **settings)[0]
        late.settings["RATE_LIMIT_STATE_PATH"] = str(tmp_path / "rate-limit.json")
        started_in_the_block = late.run("backfill", "--max-runtime", "0s")
        assert started_in_the_block.exit in {3, 75}
        for process in processes:
            process.terminate()
            process.communicate()
        during = [one for one in sandbox.requests if refused.boottime + 0.3 < one.boottime < refused.boottime + 3]
    assert during == []


def test_backfill_gets_its_share_beside_updates(tmp_path: Path, market: Market) -> None:
    with Sandbox(market) as sandbox:
        settings = {"RATE_LIMIT_DELAY": "0.1"}
        all_of_them = folders(tmp_path, sandbox, 4, **settings)
        backfill = all_of_them[0].start("backfill", "--max-requests", "7")
        updates = [one.start("update", "--max-requests", "7") for one in all_of_them[1:]]
        for process in (backfill, *updates):
            process.communicate(timeout=60)
    assert backfill.returncode in {0, 3}
