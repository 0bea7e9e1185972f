"""Write the tables of docs/reliability.md: each lie to each job, what is stored and said, and when it is corrected.

    lies_table.py docs/reliability.md

Every line is a life of its own, lived by the real commands against the sandbox on a clock that is set forward.
"""

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from adversary import Life
from conftest import DAY, NOW, SetClock, stored

from mdata.domain.timeframe import HOUR, MINUTE
from mdata.domain.times import human_duration
from mdata.sandbox.limit import RateRule
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox

DENSE, SPARSE = "tBTCUSD", "tSPAUSD"
# How many days are backfilled: some three pages of each.
DAYS = {DENSE: "20", SPARSE: "150"}
LIES: dict[str, dict[str, Any]] = {
    "`[]`": {"kind": "empty"},
    "`[]`, twice": {"kind": "empty", "times": 2},
    "the first half of the rows": {"kind": "cut"},
    "the last half of the rows": {"kind": "cut", "end": "near"},
    "1,000 rows at most": {"kind": "cap", "rows": 1000},
    "no rows in the middle": {"kind": "thinned"},
    "every third row left out": {"kind": "short", "every": 3},
    "the page of ten hours later": {"kind": "neighbour", "intervals": 600},
    "another pair's rows": {"kind": "other-pair", "of": "tETHUSD"},
    "1h candles instead of 1m": {"kind": "coarser"},
    "every row with the time of its neighbour": {"kind": "shifted"},
    "a first candle that is 145 days too late": {"kind": "late-first", "days": 145},
    "a row whose time is off by a millisecond": {"kind": "off-grid"},
    "a row that cannot be a candle": {"kind": "spoil", "column": 3, "value": 0},
}
# How long (ms) after the lie the timers fire, and how long the recheck has to find what is left.
LADDER = [*(HOUR * hours for hours in range(1, 25)), *(DAY * day for day in range(2, 96))]


class Line(NamedTuple):
    """What came of one lie: how much is wrong at once, what is said of it, when and by what it was healed."""

    lie: str
    job: str
    wrong: str
    said: str
    healed: str
    requests: str


def first_backfill(life: Life) -> None:
    life.do("backfill")


def later(command: str) -> Callable[[Life], None]:
    def lived(life: Life) -> None:
        life.do(command)

    return lived


def repair(life: Life) -> None:
    life.do("repair")


def stream(life: Life) -> None:
    life.really("stream", "--for", "2s", WS_CATCHUP_LOOKBACK_MINUTES="720")


def recheck(life: Life) -> None:
    life.do("verify", "--exchange", RECHECK_DAYS="1")


JOBS: dict[str, Callable[[Life], None]] = {
    "`backfill`, the first": first_backfill,
    "`backfill`, 12 h later": later("backfill"),
    "`update`, 12 h later": later("update"),
    "`repair`": repair,
    "`stream`, catching up": stream,
    "`verify --exchange`": recheck,
}


@contextmanager
def life_of(symbol: str) -> Iterator[Life]:
    pairs = [Pair(DENSE), Pair("tETHUSD"), Pair(SPARSE, density=0.1)]
    clock = SetClock()
    with (
        tempfile.TemporaryDirectory(prefix="mdata-lies-") as folder,
        Sandbox(Market({one.symbol: one for one in pairs}), clock, rule=RateRule(0)) as sandbox,
    ):
        yield Life(Path(folder), sandbox, clock, SYMBOLS=symbol, BACKFILL_DAYS=DAYS[symbol])


def prepare(life: Life, symbol: str, job: str) -> None:
    """Live until the job is to run."""
    if "first" in job:
        return
    life.do("backfill")
    if "12 h" in job or "stream" in job:
        life.clock.advance(12 * HOUR)
    if "repair" in job:
        life.delete(symbol, 4000, 400)
        life.do("detect-gaps")
    if "exchange" in job:
        life.clock.advance(2 * DAY)
        life.round()


def wrong(life: Life, symbol: str) -> str:
    missing, surplus, differing = life.wrong(symbol)
    counted = ((missing, "missing"), (surplus, "too many"), (differing, "different"))
    return ", ".join(f"{len(times):,} {what}" for times, what in counted if times) or "correct"


def said(life: Life) -> str:
    told = life.says()
    health = "healthy" if told.healthy else "not healthy"
    return f"{'complete' if told.complete else 'not complete'}, {health}, export {told.export}"


def heal(life: Life) -> tuple[str, int]:
    """Let the timers fire until all is right; return when and by what that was, and the requests until then."""
    began, done = life.clock.now(), 0
    commands = ("backfill", "detect-gaps", "repair", "verify --exchange")
    if life.is_right():
        return "at once", len(life.sandbox.requests)
    for after in LADDER:
        life.clock.wall, life.clock.boot = began + after, life.clock.boot + (after - done) / 1000
        done = after
        for command in commands if after >= DAY else commands[:3]:
            before = len(life.sandbox.requests)
            life.do(*command.split())
            if len(life.sandbox.requests) > before and life.is_right():
                return f"after {human_duration(after / 1000)}, by `{command}`", len(life.sandbox.requests)
    return "**never**", len(life.sandbox.requests)


def honest_requests(life: Life, until: int, job: Callable[[Life], None]) -> int:
    """Return how many requests the same life takes when nobody lies."""
    began = life.clock.now()
    job(life)
    done = 0
    for after in LADDER:
        if began + after > until:
            break
        life.clock.wall, life.clock.boot = began + after, life.clock.boot + (after - done) / 1000
        done = after
        life.round()
        if after >= DAY:
            life.do("verify", "--exchange")
    return len(life.sandbox.requests)


def line(symbol: str, lie: str, job: str) -> Line | None:
    """Live one life; None where that job never asks what the lie is about."""
    with life_of(symbol) as life:
        prepare(life, symbol, job)
        seen = len(life.sandbox.requests)
        life.order({"times": 1, **LIES[lie]})
        JOBS[job](life)
        if not any(one.fault for one in life.sandbox.requests[seen:]):
            return None
        life.order()
        at_once, told = wrong(life, symbol), said(life)
        healed, requests = heal(life)
        until = life.clock.now()
    with life_of(symbol) as life:
        prepare(life, symbol, job)
        honest = honest_requests(life, until, JOBS[job])
    return Line(lie, job, at_once, told, healed, f"{requests - honest:+d}")


def late(life: Life, symbol: str, length: int, seconds: int) -> None:
    end = life.clock.now() - 10 * MINUTE
    life.order({"kind": "late", "symbol": symbol, "start": end - length, "end": end, "seconds": seconds})


def take(life: Life, symbol: str, back: int, values: tuple[float, ...] | None) -> None:
    rows = [row[0] for row in stored(life.database, symbol, "1m") if row[0] < NOW - back]
    for time in rows[-3:]:
        life.sandbox.market.revised[symbol, "1m", time] = None if values is None else (time, *values)


NINES = (9.0, 9.0, 9.0, 9.0, 9.0)
MINDS: dict[str, tuple[Callable[[Life, str], None], bool]] = {
    "30 min of candles appear a minute after they were requested": (
        lambda life, one: late(life, one, 30 * MINUTE, 60),
        True,
    ),
    "6 h of candles appear two days late": (lambda life, one: late(life, one, 6 * HOUR, 2 * 86_400), True),
    "three candles of an hour ago are revised": (lambda life, one: take(life, one, HOUR, NINES), False),
    "three candles of an hour ago are withdrawn": (lambda life, one: take(life, one, HOUR, None), False),
    "three candles of three days ago are revised": (lambda life, one: take(life, one, 3 * DAY, NINES), False),
    "three candles of three days ago are withdrawn": (lambda life, one: take(life, one, 3 * DAY, None), False),
}


def mind(symbol: str, name: str) -> Line:
    """Live one life in which the exchange changes its mind, after all had been stored."""
    change, is_asked = MINDS[name]
    with life_of(symbol) as life:
        life.do("backfill")
        if is_asked:
            life.clock.advance(7 * HOUR)
        change(life, symbol)
        if is_asked:
            life.do("backfill")
            life.clock.advance(2 * MINUTE)
        at_once, told = wrong(life, symbol), said(life)
        healed, _ = heal(life)
    return Line(name, "–", at_once, told, healed, "–")


def tables() -> Iterator[str]:
    head = "| answer | to | stored then | reported then | corrected | more requests |\n|---|---|---|---|---|---|"
    for symbol, title in (
        (DENSE, "A pair with a candle in every minute"),
        (SPARSE, "A pair with a candle in one minute of ten"),
    ):
        yield f"\n**{title}**\n\n{head}"
        for lie in LIES:
            for job in JOBS:
                if found := line(symbol, lie, job):
                    yield f"| {' | '.join(found)} |"
        for name in MINDS:
            yield f"| {' | '.join(mind(symbol, name))} |"


def main(path: Path) -> None:
    text, rows = path.read_text(encoding="utf-8"), []
    for row in tables():
        rows.append(row)
        sys.stderr.write(f"{row}\n")
    begin, end = "<!-- begin: make lies-table -->", "<!-- end -->"
    new = re.sub(f"{begin}.*?{end}", lambda _: "\n".join((begin, *rows, end)), text, flags=re.DOTALL)
    path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
