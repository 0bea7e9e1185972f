"""A stream that runs for hours of a fast clock."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from conftest import Folder, stored, truth
from killing import assert_sound

from mdata.clock import RehearsalClock, SystemClock
from mdata.sandbox.limit import RateRule
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox
from mdata.sandbox.wsfaults import StreamFault

# 2024-06-01 02:00 UTC: what is wanted since midnight lies within the first snapshot, and ten hours later it is noon.
ORIGIN = 1_717_207_200_000


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
