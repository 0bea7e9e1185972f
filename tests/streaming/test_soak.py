"""Hours of streaming in minutes: cuts, silence, maintenance, disorder and kills; then one update, and store = ledger.

The short forms run with every `make test`; `make soak` runs the long ones (`SOAK_HOURS`, `SOAK_SPEED`).
"""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from conftest import Folder, stored, truth
from killing import assert_sound
from soaking import Soak, order, soak

from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox
from mdata.sandbox.wsfaults import StreamFault
from mdata.store.sqlite import sqlite3

HOUR = 3600
FAULTS = [
    {"kind": "ws-drop", "after": 100, "every": 230},
    {"kind": "ws-drop", "after": 1700, "every": 3100, "code": 1011},
    {"kind": "ws-restart", "after": 900, "every": 3600, "notice": 5},
    {"kind": "ws-silence", "after": 500, "every": 1900, "for": 60},
    {"kind": "ws-reorder"},
    {"kind": "ws-duplicate"},
    {"kind": "ws-early"},
    {"kind": "ws-late", "after": 70, "every": 210},
    {"kind": "ws-unknown", "after": 40, "every": 400},
    {"kind": "ws-binary", "after": 2000, "every": 7000},
    {"kind": "ws-bad-utf8", "after": 3000, "every": 7000},
    {"kind": "ws-big", "after": 4000, "every": 7000},
    {"kind": "ws-masked", "after": 5000, "every": 7000},
    {"kind": "ws-accept-close", "after": 1300, "every": 5000, "for": 20},
    {"kind": "ws-refuse", "after": 2500, "every": 9000, "for": 40, "status": 503},
    {"kind": "ws-maintenance", "after": 1500, "every": 15_000, "notice": 20, "for": 420, "resume": 5},
]  # fmt: skip


def check_hours(path: Path, hours: float, speed: float, series: int) -> Soak:
    with soak(path, series, speed) as running:
        order(running, FAULTS)
        end = running.clock.now() + int(hours * HOUR * 1000)
        while (left := end - running.clock.now()) > 0:
            running.watch(running.start(max(60, min(HOUR, left // 1000))))
            assert running.exits[-1] in {0, 69}, running.exits
        requests = running.finish()
        # One for the first candle and one page of the update each; the snapshots did the rest.
        assert requests <= 2 * series + 5 * hours + 5, requests
        assert running.peak_rss < 120 * 2**20
        refused = [one for one in running.folder.sandbox.stream.log if one.what == "handshake" and one.status == 429]
        assert refused == []
    return running


def check_kills(path: Path, kills: int, speed: float, series: int) -> None:
    rng = random.Random(11)
    with soak(path, series, speed) as running:
        order(running, FAULTS)
        while len(running.exits) < kills:
            until = time.monotonic() + rng.uniform(0.3, 2.5)
            running.watch(running.start(HOUR), lambda until=until: time.monotonic() > until)  # type: ignore[misc]
            if running.folder.database.exists() and running.folder.database.stat().st_size:
                assert_sound(running.folder)
        assert -signal.SIGKILL in running.exits
        running.finish()
        dead = running.folder.rows("SELECT count(*) FROM ingestion_jobs WHERE outcome = 'running'")
        assert dead == [(0,)]


def test_twelve_minutes_of_cuts_silence_and_disorder(tmp_path: Path) -> None:
    check_hours(tmp_path, hours=0.2, speed=60, series=25)


def test_killed_at_ten_random_instants(tmp_path: Path) -> None:
    check_kills(tmp_path, kills=10, speed=60, series=5)


@pytest.mark.soak
def test_hours_of_cuts_silence_and_disorder(tmp_path: Path) -> None:
    running = check_hours(
        tmp_path, float(os.environ.get("SOAK_HOURS", "10")), float(os.environ.get("SOAK_SPEED", "60")), series=25
    )
    log = running.folder.sandbox.stream.log
    connects = sum(one.what == "handshake" for one in log)
    candles = running.folder.rows("SELECT count(*) FROM candles")[0][0]
    print(  # noqa: T201 - the figures of docs/stream.md
        f"\n{len(running.exits)} runs, {connects} connects, {candles} candles stored, "
        f"{len(running.folder.sandbox.requests)} REST requests, peak {running.peak_rss / 2**20:.0f} MiB"
    )


@pytest.mark.soak
def test_killed_at_fifty_random_instants(tmp_path: Path) -> None:
    check_kills(tmp_path, kills=50, speed=60, series=25)


@pytest.mark.soak
def test_three_minutes_of_life_through_a_cut(tmp_path: Path) -> None:
    """No clock but the machine's own: closed candles, seconds after their close, through a cut and a silence."""
    with Sandbox(Market({"tBTCUSD": Pair("tBTCUSD"), "tETHUSD": Pair("tETHUSD", density=0.6)})) as sandbox:
        folder = Folder(tmp_path, sandbox)
        folder.settings.update(SYMBOLS="BTCUSD,ETHUSD", BACKFILL_DAYS="0")
        faults = [{"kind": "ws-drop", "after": 65}, {"kind": "ws-late", "after": 100}]
        now = sandbox.clock.now()
        sandbox.order([StreamFault.parse(json.dumps(one), now) for one in faults])
        process = folder.start("stream", "--for", "185s", "--json")
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert_sound(folder)
        now = sandbox.clock.now()
        for symbol in sandbox.market.symbols():
            held = stored(folder.database, symbol, "1m")
            assert held == truth(sandbox, symbol, "1m", held[0][0], now)[: len(held)]
            ((end,),) = folder.rows(
                "SELECT max(end_time) FROM coverage JOIN series ON series.id = series_id WHERE symbol = ?", symbol
            )
            assert now - end < 2 * 60_000


@pytest.mark.soak
def test_a_database_that_another_program_holds(tmp_path: Path) -> None:
    """Held for longer than a statement waits (30 s of life): the stream goes on, and stores it all afterwards."""
    with soak(tmp_path, series=3, speed=20) as running:
        running.watch(running.start(60))
        process = running.start(1500)
        other = sqlite3.connect(running.folder.database, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(45)
        other.execute("COMMIT")
        other.close()
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "another program has locked" in err
        running.finish()
