"""What the tests share: a sandbox exchange, the real command line in a folder of its own, and a clock to set."""

import json
import os
import pty
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, settings

from mdata.clock import RehearsalClock, SystemClock
from mdata.config import load
from mdata.domain.interval import Range
from mdata.domain.timeframe import TIMEFRAMES
from mdata.exchange.bitfinex.rest import Rest
from mdata.ratelimit import RateLimit
from mdata.running.context import Context, Limits
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import RateRule, Sandbox
from mdata.store.jobs import Origin
from mdata.store.opening import open_store

# The engine that mdata itself uses: two copies of SQLite in one process undo each other's file locks.
from mdata.store.sqlite import sqlite3

if TYPE_CHECKING:
    from answers import Judge

# What they assert is told as in a test.
pytest.register_assert_rewrite(*(path.stem for path in Path(__file__).parent.joinpath("helpers").glob("*.py")))

# Commands that run inside of a test's process leave descriptors open, as a process that ends would not.
_, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(_most, 65_536), _most))

# How long one example takes says more about the machine than about the code.
settings.register_profile("mdata", deadline=None)
# For mutants: the same few examples each time.
settings.register_profile(
    "few", deadline=None, max_examples=12, derandomize=True, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile("mdata")

MDATA = Path(sys.executable).with_name("mdata")
NOW = 1_717_243_443_000  # 2024-06-01 12:04:03 UTC
DAY = 86_400_000


# Root may do everything to any file; without these two powers it is held to modes as everybody is.
UNPRIVILEGED = (
    ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search"]
    if os.geteuid() == 0
    else []
)


class SetClock:
    """A clock that stands still until it is told, or slept, forward."""

    def __init__(self, now: int = NOW) -> None:
        self.wall, self.boot = now, 1000.0

    def now(self) -> int:
        return self.wall

    def boottime(self) -> float:
        return self.boot

    def boot_id(self) -> str:
        return "test"

    def sleep(self, seconds: float) -> None:
        self.boot += seconds
        self.wall += int(seconds * 1000)

    def real(self, seconds: float) -> float:
        """Whoever waits for this clock looks at it again soon: a test moves it."""
        return min(seconds, 0.01)

    def advance(self, milliseconds: int) -> None:
        self.wall += milliseconds
        self.boot += milliseconds / 1000


class SilentLog:
    """A log that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def debug(self, text: str) -> None:
        self.lines.append(text)

    info = notice = warning = error = debug


class Ended:
    """A finished command: exit code, stdout, stderr."""

    def __init__(self, finished: subprocess.CompletedProcess[str]) -> None:
        self.exit, self.out, self.err = finished.returncode, finished.stdout, finished.stderr

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


class Folder:
    """A folder with a store of its own, in which the installed command line is run as a user would."""

    def __init__(self, path: Path, sandbox: Sandbox) -> None:
        self.path, self.sandbox = path, sandbox
        self.database = path / "mdata.db"
        self.before: Sequence[str | Path] = []  # what the command line is run by: strace, setpriv
        self.settings = {
            "BITFINEX_REST_URL": sandbox.rest_url,
            "BITFINEX_WS_URL": sandbox.ws_url,
            "DATABASE_PATH": str(self.database),
            "RATE_LIMIT_STATE_PATH": str(path / "rate-limit.json"),
            "RATE_LIMIT_DELAY": "0",
            "RATE_LIMIT_BURST": "1",
            "RATE_LIMIT_MIN_BACKOFF_SECONDS": "0.05",
            "SYMBOLS": "BTCUSD",
            "TIMEFRAMES": "1m",
            "BACKFILL_DAYS": "30",
        }

    def environ(self, **settings: str) -> dict[str, str]:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.path), "LANG": "C.UTF-8"}
        return {**base, **self.settings, **settings}

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.before, MDATA, *arguments], env=self.environ(**settings), cwd=self.path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *arguments: str, **settings: str) -> Ended:
        return Ended(
            subprocess.run(
                [*self.before, MDATA, *arguments], env=self.environ(**settings), cwd=self.path, text=True,
                capture_output=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
            )
        )  # fmt: skip

    def start_into(self, stderr: IO[str], *arguments: str, environment: dict[str, str]) -> int:
        return subprocess.run(
            [MDATA, *arguments], env=environment, cwd=self.path, stderr=stderr, stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, timeout=120, check=False,
        ).returncode  # fmt: skip

    def json_in(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / name).read_text())
        return found

    def show(self, *arguments: str, typed: str = "", **settings: str) -> tuple[int, str]:
        """Run a command at a terminal; return its exit code and what the terminal shows."""
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [MDATA, *arguments], env=self.environ(**settings), cwd=self.path, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        os.write(master, typed.encode())
        shown = b""
        # Reading from a terminal that nobody holds open any more is an error, and here the end.
        with suppress(OSError):
            while part := os.read(master, 65_536):
                shown += part
        os.close(master)
        return process.wait(), shown.decode().replace("\r\n", "\n")

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.database) as connection:
            found = connection.execute(sql, values).fetchall()
        connection.close()
        return found


@contextmanager
def hurried(market: Market, speed: float, rule: RateRule | None = None) -> Iterator[tuple[Sandbox, dict[str, str]]]:
    """An exchange on a clock that runs so many times as fast as life, and the setting that shares it."""
    system = SystemClock()
    origin = system.now(), system.boottime(), speed
    with Sandbox(market, RehearsalClock(*origin), rule=rule) as sandbox:
        yield sandbox, {"MDATA_REHEARSAL": ",".join(map(repr, origin))}


def stored(database: Path, symbol: str, timeframe: str) -> list[tuple[Any, ...]]:
    """Return what the public view holds of a series."""
    connection = sqlite3.connect(database)
    rows = connection.execute(
        "SELECT open_time, open, high, low, close, volume FROM ohlcv WHERE symbol = ? AND timeframe = ? "
        "ORDER BY open_time",
        (symbol, timeframe),
    ).fetchall()
    connection.close()
    return rows


def truth(sandbox: Sandbox, symbol: str, timeframe: str, start: int, now: int) -> list[tuple[Any, ...]]:
    """Return what the exchange's ledger holds of a series from `start` on, closed at `now`."""
    return sandbox.market.candles(symbol, TIMEFRAMES[timeframe], Range(start, now), now)


@pytest.fixture
def one(tmp_path: Path) -> "Iterator[Judge]":
    """A store with one series, to which answers are told."""
    from answers import Judge

    found = Judge(tmp_path / "a.db")
    yield found
    found.store.close()


@pytest.fixture
def market() -> Market:
    return Market(
        {
            "tBTCUSD": Pair("tBTCUSD"),
            "tSPAUSD": Pair("tSPAUSD", density=0.1),
            "tNEWUSD": Pair("tNEWUSD", listed=NOW - 10 * DAY - 7 * 60_000),
        }
    )


@pytest.fixture
def venue() -> str:
    """The exchange of a life; tests that are to hold with any take `any_venue` of `adversary.py` in its place."""
    return "bitfinex"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def sandbox(market: Market, clock: SetClock) -> Iterator[Sandbox]:
    """An exchange on the set clock."""
    with Sandbox(market, clock) as running:
        yield running


@pytest.fixture
def live(market: Market) -> Iterator[Sandbox]:
    """An exchange on the real clock, for real processes."""
    with Sandbox(market) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, live: Sandbox) -> Folder:
    return Folder(tmp_path, live)


@pytest.fixture
def limited(market: Market) -> Iterator[Sandbox]:
    """An exchange on the real clock with a rate limit and a ban of its own."""
    with Sandbox(market, rule=RateRule(per_minute=600, ban_seconds=2.0)) as running:
        yield running


@pytest.fixture
def context(tmp_path: Path, sandbox: Sandbox, clock: SetClock) -> Iterator[Callable[..., Context]]:
    """Makes contexts for jobs on the set clock: real store, real sockets, real rate limit file."""
    opened: list[Any] = []

    def make(limits: Limits = Limits(), **settings: str) -> Context:  # noqa: B008 - frozen
        base = {
            "BITFINEX_REST_URL": sandbox.rest_url,
            "BITFINEX_WS_URL": sandbox.ws_url,
            "DATABASE_PATH": str(tmp_path / "mdata.db"),
            "RATE_LIMIT_STATE_PATH": str(tmp_path / "rate-limit.json"),
            "RATE_LIMIT_DELAY": "0",
            "RATE_LIMIT_BURST": "1",
            "SYMBOLS": "BTCUSD",
            "BACKFILL_DAYS": "30",
        }
        loaded = load(overrides={**base, **settings}, environ={"HOME": str(tmp_path)})
        store = open_store(loaded.settings.database_path)
        log = SilentLog()
        rest = Rest(sandbox.rest_url, clock, log.warning)
        opened.extend((store, rest))
        budget = RateLimit(
            loaded.settings.rate_limit_state_path, loaded.settings.rate_limit_delay,
            loaded.settings.rate_limit_min_backoff_seconds, clock, random.Random(1).uniform,
        )  # fmt: skip
        origin = Origin(os.getpid(), "here", "test", None, "0")
        return Context(loaded.settings, clock, store, lambda _: budget, lambda _: rest, log, origin, limits)

    yield make
    for one in opened:
        one.close()


def with_settings(context: Context, **changed: Any) -> Context:
    """Return a context whose settings differ."""
    return context._replace(settings=context.settings._replace(**changed))


@pytest.fixture
def wait() -> Callable[..., None]:
    """Waits until a condition holds; fails after ten seconds."""

    def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the condition did not come about"
            time.sleep(0.01)

    return until


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the figures that tests have recorded, whoever of the processes ran them."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ())]
    found = sorted((one.nodeid, one.user_properties) for one in reports if one.user_properties)
    if found:
        terminalreporter.section("figures")
    for test, figures in found:
        told = ", ".join(f"{name}: {figure}" for name, figure in figures)
        terminalreporter.write_line(f"{test.removeprefix('tests/')}  {told}")
