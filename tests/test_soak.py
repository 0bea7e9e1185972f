"""Hours of streaming in minutes: cuts, silence, maintenance, disorder and kills; then one update, and store = ledger.

The short forms run with every `make test`; `make soak` runs the long ones (`SOAK_HOURS`, `SOAK_SPEED`).
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Folder, stored, truth
from test_kill import assert_sound

from mdata.clock import RehearsalClock, SystemClock
from mdata.sandbox.limit import RateRule
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox
from mdata.sandbox.wsfaults import StreamFault
from mdata.store.sqlite import sqlite3

HOUR = 3600
# 2024-06-01 02:00 UTC: what is wanted since midnight lies within the first snapshot, and ten hours later it is noon.
ORIGIN = 1_717_207_200_000
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


class Soak:
    """25 series of a made-up market on a fast clock, unkindly served, and `mdata stream` started as by its timer."""

    def __init__(self, path: Path, sandbox: Sandbox, origin: tuple[int, float, float]) -> None:
        self.folder, self.clock, self.peak_rss = Folder(path, sandbox), sandbox.clock, 0
        self.exits: list[int] = []
        self.folder.settings.update(
            MDATA_REHEARSAL=",".join(map(repr, origin)), BACKFILL_DAYS="0", RATE_LIMIT_DELAY="2",
            RATE_LIMIT_MIN_BACKOFF_SECONDS="10", SYMBOLS=",".join(sandbox.market.symbols()), TIMEFRAMES="1m",
        )  # fmt: skip

    def start(self, seconds: int) -> subprocess.Popen[str]:
        return self.folder.start("stream", "--for", str(seconds), "--json", "--quiet")

    def watch(self, process: subprocess.Popen[str], is_enough: Callable[[], bool] = lambda: False) -> None:
        """Wait for the end of a run, and note its memory; kill it when it is enough."""
        while process.poll() is None:
            self.peak_rss = max(self.peak_rss, _rss(process.pid))
            if is_enough():
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.05)
        _, err = process.communicate(timeout=60)
        assert "Traceback" not in err, err
        self.exits.append(process.returncode)

    def finish(self) -> int:
        """Stream for a last quiet while, update once, compare with the ledger; return the requests that it took."""
        self.folder.sandbox.order([])
        self.watch(self.start(40))
        if self.exits[-1] == 69:  # the hurried clock left it no time to subscribe: its timer would start it again
            self.watch(self.start(40))
        assert self.exits[-1] == 0
        closed = self.clock.now() // 60_000 * 60_000
        ended = self.folder.run("update", "--json")
        assert ended.exit == 0, ended.err
        assert_sound(self.folder)
        assert self.folder.rows("SELECT count(*) FROM data_gaps") == [(0,)]
        now, symbols = self.clock.now(), self.folder.sandbox.market.symbols()
        for symbol, wanted_start in self.folder.rows("SELECT symbol, wanted_start FROM series"):
            symbols.remove(symbol)
            parts = self.folder.rows(
                """SELECT start_time, end_time FROM coverage JOIN series ON series.id = series_id
                   WHERE symbol = ? ORDER BY start_time""", symbol,
            )  # fmt: skip
            # Nothing is unknown: what is covered begins where it is wanted from, and has no hole.
            assert parts[0][0] <= wanted_start
            assert parts[-1][1] >= closed
            assert [end for _, end in parts[:-1]] == [start for start, _ in parts[1:]]
            held = stored(self.folder.database, symbol, "1m")
            assert held[-1][0] + 60_000 <= now, "a forming candle was stored"
            expected = truth(self.folder.sandbox, symbol, "1m", parts[0][0], now)
            assert held == [row for row in expected if row[0] < parts[-1][1]]
        assert symbols == []
        return len(self.folder.sandbox.requests)


def _rss(pid: int) -> int:
    """Return a process's peak of resident memory, bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


@contextmanager
def soak(path: Path, series: int, speed: float) -> Iterator[Soak]:
    symbols = [f"tA{chr(65 + number // 26)}{chr(65 + number % 26)}USD" for number in range(series)]
    pairs = {symbol: Pair(symbol, density=(1.0, 0.5, 0.05)[number % 3]) for number, symbol in enumerate(symbols)}
    origin = ORIGIN, SystemClock().boottime(), speed
    with Sandbox(Market(pairs), RehearsalClock(*origin), rule=RateRule(60, 60.0)) as sandbox:
        yield Soak(path, sandbox, origin)


def order(running: Soak, faults: Sequence[object]) -> None:
    now = running.clock.now()
    running.folder.sandbox.order([StreamFault.parse(json.dumps(one), now) for one in faults])


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
        assert "another program has held" in err
        running.finish()
