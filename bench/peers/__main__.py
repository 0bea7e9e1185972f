"""Let every tool fetch the same month, with and without faults, and compare its store with the exchange."""

import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from bench.measure import Cost, Spread, against, cost, in_turn, number, walls
from bench.peers.tools import MODERN, OLD, PAIRS, TOOLS, Place, Rows, Tool
from bench.start import process
from bench.stores import generate
from bench.table import markdown
from mdata.clock import SystemClock
from mdata.domain.interval import Range
from mdata.domain.timeframe import DAY, HOUR, MINUTE, TIMEFRAMES
from mdata.sandbox.faults import Fault
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import RateRule, Sandbox

REPORT = Path("docs/performance-peers.md")
M1 = TIMEFRAMES["1m"]
HEAD = ["tool", "requests", "refused", "seconds", "CPU s", "peak MiB", "MB on disk", "exit",
        "rows", "missing", "wrong", "forming", "twice"]  # fmt: skip

_INTRODUCTION = """
The same task, done by mdata and by other tools. `make bench-peers` writes this page; do not edit it by hand.

Every tool fetches the same thirty days of one-minute candles of two pairs. One pair has a candle in every minute;
the other trades in three minutes out of ten, and once not at all for five hours. Each tool has its own exchange,
`mdata sandbox`, with the limits that Bitfinex documents (30 requests a minute, and a ban of 60 s for more) and 0.2
s before each answer. Then the stored candles are compared with the exchange's ledger one by one, from 08:00 UTC of
the second day (where crypto-candlesticks begins) to the minute in which the tool was started.

*missing*: the exchange has the candle, the tool does not; *wrong*: different values, or no such candle; *forming*:
stored before the minute was over, with values that changed later; *twice*: more than one row for a minute; *exit*:
the exit code of the last process.
"""

_CALM = "Nothing goes wrong on the exchange's side."
_TROUBLE = """
Three things go wrong once each, all of which have been seen in practice: an answer ends after 700 rows although
there are more; a rate-limit error comes with HTTP status 200; and one request is answered with 503, maintenance.
"""
_BEHIND = """
- mdata sends a burst of 15 requests after a pause, and one request per 6 s from then on. After a refusal it waits
  for at least a minute, and sends no burst for an hour. With `RATE_LIMIT_BURST=1` it waits for the delay before
  every request, which accounts for most of its seconds. It asks again if an answer does not prove enough.
- ccxt treats a rate-limit error with status 200 as a page without candles, which ends the usual loop: the rest of
  the pair is missing, and nothing says so. A loop that stores every row also stores the forming candle.
- freqtrade requests windows of fixed length, and takes a short answer, or that error, for the whole window. What is
  missing stays missing, because the next run continues after the newest candle. It drops the newest candle of each
  answer.
- crypto-candlesticks mixes up the columns (Bitfinex sends open, *close*, high, low), requests one day at a time,
  stores the edges of days twice, and ends with a traceback at the first answer that is not a list of candles.
"""
_FAULTS = (
    '{"kind": "cap", "rows": 700, "times": 1, "after": 1}',
    '{"kind": "rate-limit-200", "times": 1, "after": 5}',
    '{"kind": "maintenance", "times": 1, "after": 7}',
)


def main() -> None:
    parts = ["# Compared with other tools", _INTRODUCTION]
    with tempfile.TemporaryDirectory(prefix="mdata-peers-") as name:
        folder = Path(name)
        for title, text, faults in (("Calm", _CALM, ()), ("Trouble", _TROUBLE, _FAULTS)):
            rows = []
            for tool in TOOLS:
                rows.append(_measure(folder / title, tool, faults))
                print(" | ".join(rows[-1]), flush=True)
            parts += [f"## {title}", "", text.strip(), "", markdown(HEAD, rows), ""]
            if not faults:
                parts += [_against_the_fastest(rows), ""]
        parts += ["## Why", _BEHIND, "## Start-up", "", _start(folder), ""]
    parts.append(_about())
    REPORT.write_text("\n".join(parts) + "\n")


def _measure(parent: Path, tool: Tool, faults: tuple[str, ...]) -> list[str]:
    folder = parent / str(TOOLS.index(tool))
    folder.mkdir(parents=True)
    now = SystemClock().now()
    listed = now - now % DAY - 40 * DAY
    hole = Range(listed + 30 * DAY + 3 * HOUR, listed + 30 * DAY + 8 * HOUR)
    pairs = Pair("tBTCUSD", listed), Pair("tSPAUSD", listed, density=0.3, holes=(hole,))
    market = Market({pair.symbol: pair for pair in pairs})
    since = now - now % DAY - 29 * DAY + 8 * HOUR
    failing = [Fault.parse(fault) for fault in faults]
    with Sandbox(market, rule=RateRule(30), faults=failing, latency=0.2) as sandbox:
        place = Place(folder, sandbox.port, since)
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TZ": "UTC", "LANG": "C.UTF-8", **tool.environ(place)}
        costs = [cost(command, env, folder) for command in tool.commands(place)]
        stored = {symbol: tool.read(place, symbol) for symbol in PAIRS}
        asked = sandbox.requests
    later = SystemClock().now() + 10 * MINUTE
    found = [0, 0, 0, 0, 0]
    for symbol, rows in stored.items():
        truth = market.candles(symbol, M1, Range(since, later), later)
        judged = _judge([row for row in rows if row[0] >= since], {row[0]: row for row in truth}, now)
        found = [sum(pair) for pair in zip(found, judged, strict=True)]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    refused = sum(request.status == 429 or request.in_ban for request in asked)
    used = _together(costs)
    figures = [used.wall, used.cpu, used.memory, size / 1e6]
    return [
        tool.name,
        str(len(asked)),
        str(refused),
        *map(number, figures),
        str(used.exit),
        *map("{:,}".format, found),
    ]


def _against_the_fastest(rows: list[list[str]]) -> str:
    """Compare mdata at its defaults with the fastest of the others that stored everything."""
    seconds = {row[0]: float(row[3]) for row in rows if row[9] == "0"}
    ours, peers = seconds[TOOLS[0].name], {name: taken for name, taken in seconds.items() if "mdata" not in name}
    fastest = min(peers, key=lambda name: peers[name])
    found = f"{TOOLS[0].name} ÷ {fastest}: {number(ours / peers[fastest])}"
    return f"{found}; required: at most 0.6; aim: 0.4."


def _judge(rows: Rows, truth: dict[int, tuple[float, ...]], began: int) -> tuple[int, int, int, int, int]:
    """Return how many rows there are, and how many are missing, wrong, stored too early, or duplicated."""
    times = {int(row[0]) for row in rows}
    settled = [time for time in truth if M1.next(time) <= began]
    differing = {int(row[0]) for row in rows if not _is_true(row, truth.get(int(row[0])))}
    early = {time for time in differing if M1.next(time) > began}
    missing = sum(time not in times for time in settled)
    return len(rows), missing, len(differing - early), len(early), len(rows) - len(times)


def _is_true(row: list[float], true: tuple[float, ...] | None) -> bool:
    return true is not None and all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(row, true, strict=True))


def _together(costs: list[Cost]) -> Cost:
    return Cost(
        sum(one.wall for one in costs), sum(one.cpu for one in costs),
        max(one.memory for one in costs), costs[-1].exit,
    )  # fmt: skip


def _start(folder: Path) -> str:
    """Compare listing what is stored: `mdata status` of a million candles, `freqtrade list-data` of none."""
    store = generate(folder / "status.db", 50_000, holes=900, lost=100)
    (folder / "user").mkdir()
    command = [str(MODERN / "freqtrade"), "list-data", "--exchange", "bitfinex", "--userdir", str(folder / "user")]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    ours, theirs = in_turn(7, process(store.environ(), "status", "--json"), lambda: cost(command, env, folder))
    ratio_of, processor = against(theirs, ours)
    found = Spread.of(walls(theirs)).median, Spread.of(walls(ours)).median
    return (
        f"`freqtrade list-data` ÷ `mdata status --json`: {ratio_of} ({processor}; "
        f"{found[0] * 1000:.0f} ms and {found[1] * 1000:.0f} ms); required: at least 15; aim: 25."
    )


def _about() -> str:
    listed = [f"mdata {version('mdata-candles')}"]
    for python, packages in ((MODERN, ("ccxt", "pandas", "freqtrade")), (OLD, ("crypto-candlesticks",))):
        code = f"from importlib.metadata import version\nfor one in {packages!r}: print(one, version(one))"
        found = subprocess.run([python / "python", "-c", code], check=True, capture_output=True, text=True)
        listed += found.stdout.splitlines()
    return (
        f"Measured {time.strftime('%Y-%m-%d', time.gmtime())} on {os.cpu_count()} cores, {platform.system()}, "
        f"load {os.getloadavg()[1]:.1f}; Python {sys.version.split()[0]}, {', '.join(listed)}. "
        "ccxt and freqtrade were pointed at the local exchange by their settings. crypto-candlesticks has its "
        "addresses in the code, so a wrapper redirects its requests and answers its request for the list of symbols."
    )


if __name__ == "__main__":
    main()
