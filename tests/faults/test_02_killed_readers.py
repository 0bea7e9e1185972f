"""A look at the store that is killed, while a job writes and while none does, is missed by nobody."""

import random
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from conftest import Folder, stored, truth
from killing import assert_sound

LOOKS = (["status"], ["status", "--json"], ["status", "--check"], ["export", "--output", "x.csv"], ["gaps"], ["jobs"])
Record = Callable[[str, object], None]


@pytest.fixture
def busy(folder: Folder) -> Iterator[Folder]:
    """A store into which a job writes all the time."""
    folder.settings.update(BACKFILL_DAYS="2")
    assert folder.run("backfill").exit == 0
    process = folder.start("backfill", BACKFILL_DAYS="2000", RATE_LIMIT_DELAY="0.05")
    yield folder
    assert process.poll() is None, "the job was to write all the time"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err


def kill_looks(folder: Folder, kills: int, seed: int) -> int:
    """Start so many looks and kill each at a random instant; return how many were killed before their end."""
    rng, killed = random.Random(seed), 0
    for number in range(kills):
        process = folder.start(*LOOKS[number % len(LOOKS)])
        time.sleep(rng.uniform(0.02, 0.35))
        process.kill()
        process.communicate()
        assert process.returncode in {-signal.SIGKILL, 0, 3}
        killed += process.returncode == -signal.SIGKILL
    return killed


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_look_disturbs_no_job(busy: Folder, kills: int, record_property: Record) -> None:
    record_property("kills", kill_looks(busy, kills, 2))
    assert_sound(busy)
    held = stored(busy.database, "tBTCUSD", "1m")
    expected = truth(busy.sandbox, "tBTCUSD", "1m", held[0][0], busy.sandbox.clock.now())
    assert held == expected[: len(held)]


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_look_leaves_a_log_that_is_emptied(folder: Folder, kills: int, record_property: Record) -> None:
    """A reader's lock on the log ends with it: nobody waits for a dead one, and nothing is written by looking."""
    folder.settings.update(BACKFILL_DAYS="2")
    assert folder.run("backfill").exit == 0
    before = folder.database.read_bytes()
    record_property("kills", kill_looks(folder, kills, 3))
    assert folder.database.read_bytes() == before
    assert folder.run("backfill", BACKFILL_DAYS="4").exit == 0
    log = folder.path / "mdata.db-wal"
    assert not log.exists() or log.stat().st_size == 0
    assert_sound(folder)
