"""Any sequence of jobs, lies, deletions, outages and changes of mind ends with store = exchange; meanwhile, honest.

`make lives` lives 2,000 of them and prints the figures (`LIVES=100` for fewer).
"""

import json
import os
import shutil
import tempfile
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from adversary import SETTLE, Finished, Life
from conftest import DAY, SetClock, stored
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from oracle import NEVER_REMARKABLE, Overheard, excuse
from tampering import tamper

from mdata.domain.claim import Claim
from mdata.domain.contradiction import is_in
from mdata.domain.interval import Range
from mdata.domain.timeframe import MINUTE, TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.sandbox.limit import RateRule
from mdata.sandbox.market import Market, Pair
from mdata.store import candles, coverage
from mdata.store import series as table
from mdata.store.opening import open_store
from mdata.store.pages import apply_live

SYMBOLS = ("tBTCUSD", "tSPAUSD")
GRID = TIMEFRAMES["1m"]
COMMANDS = ["backfill", "update", "detect-gaps", "repair", "verify"]
LIES: list[dict[str, Any]] = [
    {"kind": "empty"},
    {"kind": "cut", "keep": 0.5},
    {"kind": "cut", "keep": 0.05},
    {"kind": "cut", "keep": 0.7, "end": "near"},
    {"kind": "cap", "rows": 100},
    {"kind": "thinned"},
    {"kind": "thinned", "every": 3},
    {"kind": "short", "every": 5},
    {"kind": "neighbour", "intervals": 30},
    {"kind": "neighbour", "intervals": 500},
    {"kind": "other-pair", "of": "tETHUSD"},
    {"kind": "other-pair", "of": "tSPAUSD"},
    {"kind": "coarser"},
    {"kind": "shifted"},
    {"kind": "late-first", "days": 140},
    {"kind": "off-grid"},
    {"kind": "off-grid", "milliseconds": 1},
    {"kind": "spoil", "column": 3, "value": 0},
]
symbols = st.sampled_from(SYMBOLS)
# What happened in all lives, for `make lives` to print.
FIGURES: Counter[str] = Counter()


class StoreMachine(RuleBasedStateMachine):
    """Drives a store and an exchange on one set clock; the exchange's ledger is the truth."""

    @initialize(days=st.sampled_from(["1", "1", "2", "8"]))
    def begin(self, days: str) -> None:
        FIGURES["lives"] += 1
        self.clock, self.path = SetClock(), Path(tempfile.mkdtemp(prefix="mdata-stateful-"))
        pairs = {
            "tBTCUSD": Pair("tBTCUSD"),
            "tSPAUSD": Pair("tSPAUSD", density=0.1),
            "tETHUSD": Pair("tETHUSD"),
        }
        self.sandbox = Overheard(Market(pairs), self.clock, rule=RateRule(0)).__enter__()
        self.life = Life(
            self.path, self.sandbox, self.clock, SYMBOLS=",".join(SYMBOLS), BACKFILL_DAYS=days,
            RATE_LIMIT_MAX_RETRIES="0", RATE_LIMIT_MIN_BACKOFF_SECONDS="0",
        )  # fmt: skip
        # When the exchange, or somebody, made the store differ in these candles, so that a recheck has to find it.
        self.changed: dict[tuple[str, int], int] = {}
        self.rounds: list[int] = []

    def teardown(self) -> None:
        if hasattr(self, "life"):
            try:
                self.settle_and_compare()
            finally:
                self.sandbox.__exit__()
                shutil.rmtree(self.path)

    # What mdata does

    @rule(minutes=st.integers(1, 3000))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(minutes * MINUTE)

    @rule(command=st.sampled_from(COMMANDS), most=st.none() | st.integers(0, 3))
    def run_a_job(self, command: str, most: int | None) -> None:
        self.run(command, most)

    def run(self, command: str, most: int | None = None) -> Finished:
        """Run a job, honestly answered or not."""
        limit = [] if most is None or command in {"detect-gaps", "verify"} else ["--max-requests", str(most)]
        ended = self.life.do(command, *limit)
        assert ended.exit in {0, 3, 65, 69, 75, 76}, ended.err
        # A refusal blocks for seconds.
        self.clock.advance(1000 * 60 if ended.exit == 75 else 0)
        return ended

    @rule(days=st.floats(0.1, 3))
    def calm(self, days: float) -> None:
        """Let the timers fire for a while, all answers honest."""
        for _ in range(max(1, int(days * 2))):
            self.clock.advance(int(DAY * days / max(1, int(days * 2))))
            self.life.round()
            self.rounds.append(self.clock.now())

    @rule(days=st.integers(1, 5))
    def ask_by_name(self, days: int) -> None:
        self.life.do("backfill", "--since", str(self.clock.now() - days * DAY))

    @rule(days=st.integers(1, 3))
    def clean_up(self, days: int) -> None:
        assert self.life.do("cleanup", "--yes", RETENTION_DAYS=str(days)).exit == 0

    # What people do

    @rule(symbol=symbols, start=st.floats(0, 1), count=st.integers(1, 80))
    def delete_by_hand(self, symbol: str, start: float, count: int) -> None:
        held = self.held(symbol)
        if held:
            self.life.delete(symbol, min(int(start * len(held)), len(held) - 1), count)

    @rule(symbol=symbols, start=st.floats(0, 1), count=st.integers(1, 20), times=st.integers(1, 3))
    def delete_and_put_back(self, symbol: str, start: float, count: int, times: int) -> None:
        held = self.held(symbol)
        first = min(int(start * len(held)), len(held) - 1)
        for _ in range(times if held else 0):
            self.life.delete(symbol, first, count)
            for row in held[first : first + count]:
                self.life.sql(
                    "INSERT INTO candles SELECT id, ?, ?, ?, ?, ?, ? FROM series WHERE symbol = ?", *row, symbol
                )

    @rule(
        symbol=symbols,
        start=st.floats(0, 0.99),
        how=st.sampled_from(["DELETE FROM candles", "UPDATE candles SET open_time = open_time + 1",
                             "UPDATE candles SET high = low / 2",
                             "INSERT INTO candles SELECT series_id, open_time + 1, 1, 1, 1, 1, 1 FROM candles"]),
    )  # fmt: skip
    def damage_and_verify(self, symbol: str, start: float, how: str) -> None:
        times = [row[0] for row in self.held(symbol)]
        if times:
            ((number,),) = self.life.sql("SELECT id FROM series WHERE symbol = ?", symbol)
            time = times[int(start * len(times))]
            tamper(self.life.database, f"{how} WHERE series_id = {number} AND open_time = {time}")
            assert self.life.do("verify").exit in {0, 3}
            assert self.life.do("verify").exit == 0

    @rule(symbol=symbols, start=st.floats(0, 0.99), count=st.integers(1, 80))
    def make_a_hole(self, symbol: str, start: float, count: int) -> None:
        """As a run that was killed while it caught up leaves one."""
        times = [row[0] for row in self.held(symbol)]
        chosen = times[int(start * len(times)) :][:count]
        if not chosen:
            return
        with open_store(self.life.database) as store, store.write() as connection:
            series = table.find(connection, BITFINEX, symbol, GRID)
            if series is not None:
                candles.forget_restored(connection, series.id)
                coverage.cut(connection, series.id, Range(chosen[0], chosen[-1] + MINUTE))
                candles.delete(connection, series.id, chosen)

    # What the exchange does

    @rule(
        lie=st.sampled_from(LIES),
        command=st.sampled_from(["backfill", "backfill", "update", "repair"]),
        asks=st.sampled_from([None, None, "forward", "backward"]),
        symbol=st.sampled_from([None, *SYMBOLS]),
        after=st.integers(0, 2),
        times=st.integers(1, 3),
    )
    def lie(
        self, lie: dict[str, Any], command: str, asks: str | None, symbol: str | None, after: int, times: int
    ) -> None:
        FIGURES["lies ordered"] += 1
        narrowed = {name: value for name, value in (("asks", asks), ("symbol", symbol)) if value is not None}
        if lie["kind"] == "late-first":
            narrowed.pop("asks", None)
        seen = len(self.sandbox.requests)
        self.life.order({**lie, **narrowed, "after": after, "times": times})
        self.run(command)
        self.life.order()
        self.note_false_rows(seen)
        FIGURES["lies told"] += sum(one.fault is not None for one in self.sandbox.requests[seen:])

    @rule(
        kind=st.sampled_from(["cloudflare", "rate-limit-429", "truncated", "nan", "outside"]), times=st.integers(1, 3)
    )
    def stumble(self, kind: str, times: int) -> None:
        self.life.order({"kind": kind, "times": times})
        self.run("backfill")
        self.run("repair")
        self.life.order()

    @rule(
        symbol=symbols, back=st.integers(1, 300), length=st.integers(1, 300), command=st.sampled_from(COMMANDS[:2]),
        kind=st.sampled_from(["late", "unserved"]),
    )  # fmt: skip
    def withhold(self, symbol: str, back: int, length: int, command: str, kind: str) -> None:
        """Candles that are not served for a while."""
        end = GRID.floor(self.clock.now()) - back * MINUTE
        self.life.order({"kind": kind, "symbol": symbol, "start": end - length * MINUTE, "end": end})
        self.run(command)
        self.clock.advance(2 * MINUTE)
        self.run(command)
        self.life.order()

    @rule(kind=st.sampled_from(["revised", "slow"]), every=st.integers(1, 5), minutes=st.integers(1, 6))
    def change_soon_after(self, kind: str, every: int, minutes: int) -> None:
        self.life.order({"kind": kind, "every": every, "seconds": 240})
        for _ in range(minutes):
            self.clock.advance(MINUTE)
            self.run("update")
        self.life.order()
        if kind == "revised":
            self.note_changes(self.clock.now() - 15 * MINUTE, self.clock.now())

    @rule(symbol=symbols, length=st.integers(1, 600), is_late=st.booleans())
    def stream_shows(self, symbol: str, length: int, is_late: bool) -> None:
        now, end = self.clock.now(), GRID.closed_end(self.clock.now())
        part = Range(GRID.shift(end, -length), end)
        shown = self.sandbox.market.candles(symbol, GRID, part, now)
        if is_late and shown:  # of one candle the last trades have not come yet, of another none
            middle = len(shown) // 2
            time, first, *_ = shown[-1]
            shown = [*shown[:middle], *shown[middle + 1 : -1], (time, first, first, first, first, 1e-9)]
        if not self.life.database.exists():
            return
        with open_store(self.life.database) as store, store.write() as connection:
            series = table.find(connection, BITFINEX, symbol, GRID)
            if series is not None:
                apply_live(connection, series, [Claim(part, shown)], now)
                # Provisional: what it lacks, or has too early, is asked for once more.
                self.note_changes(*part)

    @rule(symbol=symbols, minutes=st.integers(1, 200))
    def outage(self, symbol: str, minutes: int) -> None:
        pair = self.sandbox.market.pairs[symbol]
        now = self.clock.now() // MINUTE * MINUTE + MINUTE
        self.sandbox.market.pairs[symbol] = replace(pair, holes=(*pair.holes, Range(now, now + minutes * MINUTE)))
        self.clock.advance(minutes * MINUTE)

    @rule(symbol=symbols, back=st.integers(1, 400), how=st.sampled_from(["revised", "withdrawn", "back"]))
    def change_of_mind(self, symbol: str, back: int, how: str) -> None:
        times = [row[0] for row in self.held(symbol)]
        if not times:
            return
        time, revised = times[-min(back, len(times))], self.sandbox.market.revised
        if how == "back":
            revised.pop((symbol, "1m", time), None)
        else:
            revised[symbol, "1m", time] = (time, 9.0, 9.0, 9.0, 9.0, 9.0) if how == "revised" else None
        self.changed[symbol, time] = self.clock.now()

    # What must hold

    @invariant()
    def coverage_counts_its_candles(self) -> None:
        if not hasattr(self, "life") or not self.life.database.exists():
            return
        wrong = self.life.sql(
            # What was lost and put back by hand is counted by the next job that looks at it.
            """SELECT * FROM coverage WHERE candles <> (SELECT count(*) FROM candles WHERE series_id =
               coverage.series_id AND open_time >= start_time AND open_time < end_time AND NOT EXISTS
               (SELECT 1 FROM lost_candles AS lost WHERE lost.series_id = candles.series_id
                AND lost.open_time = candles.open_time))"""
        )
        assert wrong == []

    @invariant()
    @precondition(lambda self: hasattr(self, "life") and self.life.database.exists())
    def complete_is_said_of_nothing_but_what_is_excused(self) -> None:
        for one in self.life.do("status", "--json").json["series"]:
            if one["complete"]:
                FIGURES["complete was said"] += 1
                missing, surplus, differing = self.life.wrong(one["symbol"])
                # Most of them have one excuse in common.
                for time in {*missing[:: max(1, len(missing) // 25)], *missing[-1:]}:
                    self.assert_excused(one["symbol"], time)
                # What is provisional may still change, and is fetched again.
                later = self.provisional(one["symbol"])
                strange = [time for time in (*surplus, *differing) if not is_in(time, later)]
                assert {(one["symbol"], time) for time in strange} <= self.changed.keys()

    def assert_excused(self, symbol: str, time: int) -> None:
        if (symbol, time) in self.changed:
            return
        found = excuse(self.sandbox.told, symbol, time, self.sandbox.market.pairs[symbol].density)
        assert found is not None, f"{symbol} {time} is missing, and nobody said that there is none"
        late = [at for at in self.rounds if at >= found.noticed]
        # An answer that came early is asked for once more; whatever else is due takes a round or two.
        assert len(late) <= 2, f"{symbol} {time} is missing ({found.why}) and should have been noticed"
        FIGURES[f"excused: {found.why}"] += 1

    # Helpers

    def provisional(self, symbol: str) -> list[Range]:
        rows = self.life.sql(
            """SELECT start_time, end_time FROM coverage JOIN series ON series.id = series_id
               WHERE symbol = ? AND kind = 'provisional'""",
            symbol,
        )
        return [Range(*row) for row in rows]

    def held(self, symbol: str) -> list[tuple[Any, ...]]:
        return stored(self.life.database, symbol, "1m") if self.life.database.exists() else []

    def note_changes(self, start: int, end: int) -> None:
        """Remember what is stored otherwise than in the ledger since the exchange showed it so."""
        for symbol in SYMBOLS:
            if self.life.database.exists():
                missing, surplus, differing = self.life.wrong(symbol)
                for time in (*missing, *surplus, *differing):
                    if start <= time < end:
                        self.changed.setdefault((symbol, time), self.clock.now())

    def note_false_rows(self, seen: int) -> None:
        """Remember rows that were stored because a lie had them."""
        if any(one.fault for one in self.sandbox.requests[seen:]) and self.life.database.exists():
            for symbol in SYMBOLS:
                _, surplus, differing = self.life.wrong(symbol)
                for time in (*surplus, *differing):
                    self.changed.setdefault((symbol, time), self.clock.now())

    def settle_and_compare(self) -> None:
        """Let all timers fire, the recheck among them, until store and ledger agree for two days, ten at most."""
        self.life.order()
        # A pair asked by a lie for its first candle is asked again every month.
        self.clock.advance(32 * DAY)
        days_right = 0
        for _ in range(10):
            self.clock.advance(DAY)
            self.life.round()
            self.life.do("repair", "--retry-failed")
            assert self.life.do("verify", "--exchange", RECHECK_DAYS="2").exit in {0, 3}
            days_right = days_right + 1 if self.is_right() else 0
            if days_right == 2:
                break
        self.life.round()
        FIGURES["requests"] += len(self.sandbox.requests)
        for symbol in SYMBOLS:
            missing, surplus, differing = self.life.wrong(symbol)
            assert missing == ()
            assert differing == ()
            assert list(filter(self.is_withdrawn(symbol), surplus)) == []
        said = self.life.says()
        assert said.complete, said
        assert said.healthy, said

    def is_right(self) -> bool:
        """Whether store and ledger agree, and the store is said to be complete."""
        found = {symbol: self.life.wrong(symbol) for symbol in SYMBOLS}
        if any(one.missing or one.differing for one in found.values()):
            return False
        said = self.life.do("status", "--json").json["series"]
        is_complete = len(said) == len(SYMBOLS) and all(one["complete"] for one in said)
        return is_complete and not any(
            any(map(self.is_withdrawn(one), wrong.surplus)) for one, wrong in found.items()
        )

    def is_withdrawn(self, symbol: str) -> Callable[[int], bool]:
        """Tell which candles the exchange took away should be gone.

        Where so much is missing that the exchange may have lost it, they stay for good reason.
        """
        start = self.life.series()[0][2]
        times = [row[0] for row in self.sandbox.market.candles(symbol, GRID, Range(start, 2**53), self.clock.now())]

        def is_alone(time: int) -> bool:
            before, after = bisect_left(times, time), bisect_right(times, time)
            oldest = times[before - 1] if before else start
            newest = times[after] if after < len(times) else self.clock.now() - SETTLE
            return GRID.count(oldest, newest) <= NEVER_REMARKABLE

        return is_alone


PARTS, STEPS = int(os.environ.get("LIVES_PARTS", "40")), int(os.environ.get("LIVES_STEPS", "12"))


def lives(count: int) -> settings:
    """Return how so many lives are led."""
    # Without a database: a life that fails must not be lived again in every part.
    return settings(
        max_examples=count, stateful_step_count=STEPS, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


# The same few lives each time: `make lives` leads the others.
StoreMachine.TestCase.settings = settings(lives(4), derandomize=True, phases=[Phase.explicit, Phase.generate])
TestStore = StoreMachine.TestCase


@pytest.mark.lives
@pytest.mark.parametrize("part", range(PARTS))
def test_many_lives(part: int) -> None:
    """A part of `make lives`, always the same; its figures go into a file."""
    FIGURES.clear()
    machine = seed(part)(type("StoreMachine", (StoreMachine,), {}))
    run_state_machine_as_test(machine, settings=lives(int(os.environ.get("LIVES", "2000")) // PARTS))
    if folder := os.environ.get("LIVES_FIGURES"):
        (Path(folder) / f"{part}.json").write_text(json.dumps(FIGURES))


# What random search reaches rarely.
PINNED: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "nothing, once, for a whole first backfill": [
        ("lie", {"lie": {"kind": "empty"}, "command": "backfill", "asks": None, "symbol": None, "after": 0,
                 "times": 1}),
    ],
    "nothing twice at the introduction": [
        ("lie", {"lie": {"kind": "empty"}, "command": "backfill", "asks": None, "symbol": "tBTCUSD", "after": 0,
                 "times": 2}),
        ("calm", {"days": 1}),
    ],
    "nothing over streamed candles": [
        ("calm", {"days": 0.2}),
        ("time_passes", {"minutes": 50}),
        ("stream_shows", {"symbol": "tBTCUSD", "length": 50, "is_late": False}),
        ("lie", {"lie": {"kind": "empty"}, "command": "update", "asks": "forward", "symbol": "tBTCUSD", "after": 0,
                 "times": 1}),
    ],
    "a late first candle, then more is wanted": [
        ("lie", {"lie": {"kind": "late-first", "days": 151}, "command": "backfill", "asks": None, "symbol": None,
                 "after": 0, "times": 1}),
        ("ask_by_name", {"days": 5}),
        ("calm", {"days": 1}),
    ],
    "filled in after it was proven empty": [
        ("calm", {"days": 0.2}),
        ("time_passes", {"minutes": 90}),
        ("withhold", {"symbol": "tBTCUSD", "back": 5, "length": 30, "command": "update", "kind": "late"}),
        ("calm", {"days": 0.1}),
    ],
    "withdrawn, and back, and withdrawn": [
        ("calm", {"days": 0.2}),
        ("change_of_mind", {"symbol": "tSPAUSD", "back": 9, "how": "withdrawn"}),
        ("calm", {"days": 0.5}),
        ("change_of_mind", {"symbol": "tSPAUSD", "back": 9, "how": "back"}),
        ("calm", {"days": 0.5}),
    ],
    "a hidden cap while a gap is repaired": [
        ("calm", {"days": 0.2}),
        ("delete_by_hand", {"symbol": "tBTCUSD", "start": 0.2, "count": 80}),
        ("run_a_job", {"command": "detect-gaps", "most": None}),
        ("lie", {"lie": {"kind": "cap", "rows": 10}, "command": "repair", "asks": None, "symbol": None, "after": 0,
                 "times": 3}),
    ],
    "coarser rows for the first page": [
        ("lie", {"lie": {"kind": "coarser"}, "command": "backfill", "asks": "backward", "symbol": "tSPAUSD",
                 "after": 0, "times": 1}),
        ("calm", {"days": 1}),
    ],
    "another pair's first page": [
        ("lie", {"lie": {"kind": "other-pair", "of": "tETHUSD"}, "command": "backfill", "asks": "backward",
                 "symbol": "tBTCUSD", "after": 0, "times": 1}),
        ("calm", {"days": 1}),
    ],
    "a row beside the grid, then a hole beside it": [
        ("calm", {"days": 0.2}),
        ("time_passes", {"minutes": 300}),
        ("lie", {"lie": {"kind": "off-grid"}, "command": "update", "asks": "forward", "symbol": "tBTCUSD",
                 "after": 0, "times": 1}),
        ("make_a_hole", {"symbol": "tBTCUSD", "start": 0.9, "count": 3}),
        ("calm", {"days": 0.5}),
    ],
    "cleanup, then a lie about what is left": [
        ("calm", {"days": 0.2}),
        ("clean_up", {"days": 1}),
        ("lie", {"lie": {"kind": "empty"}, "command": "backfill", "asks": None, "symbol": None, "after": 0,
                 "times": 3}),
        ("ask_by_name", {"days": 3}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", PINNED)
@pytest.mark.parametrize(
    "days", [pytest.param("1", marks=pytest.mark.slow), pytest.param("8", marks=pytest.mark.slow)]
)
def test_a_life_that_chance_seldom_makes(name: str, days: str) -> None:
    machine = StoreMachine()
    machine.begin(days)
    try:
        for step, given in PINNED[name]:
            getattr(machine, step)(**given)
            machine.coverage_counts_its_candles()
            if machine.life.database.exists():
                machine.complete_is_said_of_nothing_but_what_is_excused()
    finally:
        machine.teardown()
