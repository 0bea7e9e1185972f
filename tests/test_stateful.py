"""Any sequence of jobs, deletions, crashes, outages and revisions ends with store = exchange, and honest gaps."""

import random
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import DAY, SetClock, SilentLog, stored, truth
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from test_gaps import delete, gap_ranges
from test_verify import tamper

from mdata.config import load
from mdata.domain.interval import Range
from mdata.domain.live import Claim
from mdata.domain.timeframe import TIMEFRAMES
from mdata.exchange.rest import Rest
from mdata.jobs.backfill import backfill
from mdata.jobs.cleanup import cleanup
from mdata.jobs.context import Context, Limits
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.repair import repair
from mdata.jobs.update import update
from mdata.jobs.verify import verify
from mdata.ratelimit import RateLimit
from mdata.sandbox.faults import Fault
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox
from mdata.store import candles, coverage
from mdata.store import series as table
from mdata.store.engine import open_store
from mdata.store.jobs import Origin
from mdata.store.pages import apply_live

MINUTE = 60_000
SYMBOLS = ("tBTCUSD", "tSPAUSD")


class StoreMachine(RuleBasedStateMachine):
    """Drives a store and an exchange on one set clock; the exchange's ledger is the truth."""

    @initialize()
    def begin(self) -> None:
        self.clock = SetClock()
        self.folder = Path(tempfile.mkdtemp(prefix="mdata-stateful-"))
        pairs = {"tBTCUSD": Pair("tBTCUSD"), "tSPAUSD": Pair("tSPAUSD", density=0.1)}
        self.sandbox = Sandbox(Market(pairs), self.clock).__enter__()
        self.changed: set[tuple[str, int]] = set()
        self.withdrawn: set[tuple[str, int]] = set()
        self.context = self._open()

    def _open(self) -> Context:
        loaded = load(
            overrides={
                "BITFINEX_REST_URL": self.sandbox.rest_url, "BITFINEX_WS_URL": self.sandbox.ws_url,
                "DATABASE_PATH": str(self.folder / "mdata.db"), "RATE_LIMIT_DELAY": "0", "BACKFILL_DAYS": "1",
                "RATE_LIMIT_STATE_PATH": str(self.folder / "rate.json"), "RATE_LIMIT_MIN_BACKOFF_SECONDS": "1",
                "SYMBOLS": ",".join(SYMBOLS), "GAP_REPAIR_MAX_REPAIRS_PER_RUN": "50", "RATE_LIMIT_MAX_RETRIES": "1",
            },
            environ={"HOME": str(self.folder)},
        )  # fmt: skip
        store = open_store(loaded.settings.database_path)
        self.rest = Rest(self.sandbox.rest_url, self.clock, lambda _: None)
        budget = RateLimit(loaded.settings.rate_limit_state_path, 0, 1, self.clock, random.Random(1))
        return Context(
            loaded.settings, self.clock, store, budget, lambda: self.rest, SilentLog(),
            Origin(1, "here", "test", None, "0"), Limits(),
        )  # fmt: skip

    def teardown(self) -> None:
        if hasattr(self, "context"):
            self.settle_and_compare()
            self.context.store.close()
            self.rest.close()
            self.sandbox.__exit__()
            shutil.rmtree(self.folder)

    @rule(minutes=st.integers(1, 3000))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(minutes * MINUTE)

    @rule(job=st.sampled_from([backfill, update, detect_gaps, repair]), most=st.none() | st.integers(0, 3))
    def run_a_job(self, job: Any, most: int | None) -> None:
        assert job(replace(self.context, limits=Limits(max_requests=most))).exit in {0, 3, 65, 69, 75, 76}

    @rule(days=st.integers(1, 5))
    def ask_by_name(self, days: int) -> None:
        backfill(self.context, since=self.clock.now() - days * DAY)

    @rule(days=st.integers(1, 3))
    def clean_up(self, days: int) -> None:
        changed = replace(self.context, settings=self.context.settings._replace(retention_days=days))
        assert cleanup(changed)[0].exit == 0

    @rule(symbol=st.sampled_from(SYMBOLS), start=st.floats(0, 1), count=st.integers(1, 80))
    def delete_by_hand(self, symbol: str, start: float, count: int) -> None:
        times = [row[0] for row in stored(self.context.store.path, symbol, "1m")]
        first = int(start * len(times))
        delete(self.context, *times[first : first + count], symbol=symbol)

    @rule(symbol=st.sampled_from(SYMBOLS), start=st.floats(0, 1), count=st.integers(1, 20), times=st.integers(1, 3))
    def delete_and_put_back(self, symbol: str, start: float, count: int, times: int) -> None:
        rows = stored(self.context.store.path, symbol, "1m")
        first = int(start * len(rows))
        for _ in range(times):
            delete(self.context, *(row[0] for row in rows[first : first + count]), symbol=symbol)
            with self.context.store.write() as connection:
                series = table.find(connection, symbol, TIMEFRAMES["1m"])
                if series is not None:
                    connection.executemany(
                        f"INSERT INTO candles VALUES ({series.id}, ?, ?, ?, ?, ?, ?)", rows[first : first + count]
                    )

    @rule()
    def crash(self) -> None:
        self.context.store.close()
        self.rest.close()
        self.context = self._open()

    @rule(
        kind=st.sampled_from(["cloudflare", "rate-limit-429", "truncated", "nan", "outside", "spoil"]),
        times=st.integers(1, 3),
    )
    def exchange_stumbles(self, kind: str, times: int) -> None:
        self.sandbox.faults = [Fault(kind, times=times)]
        self.run_a_job(backfill, None)
        self.run_a_job(repair, None)
        self.sandbox.faults = []

    @rule(kind=st.sampled_from(["empty", "shifted"]))
    def exchange_lies_to_repair(self, kind: str) -> None:
        self.sandbox.faults = [Fault(kind, times=1)]
        self.run_a_job(repair, None)
        self.sandbox.faults = []

    @rule(symbol=st.sampled_from(SYMBOLS), length=st.integers(1, 600), is_late=st.booleans())
    def stream_shows(self, symbol: str, length: int, is_late: bool) -> None:
        grid, now = TIMEFRAMES["1m"], self.clock.now()
        end = grid.closed_end(now)
        part = Range(grid.shift(end, -length), end)
        shown = truth(self.sandbox, symbol, "1m", *part)
        if is_late and shown:  # of one candle the last trades have not come yet, of another none
            middle = len(shown) // 2
            time, first, *_ = shown[-1]
            shown = [*shown[:middle], *shown[middle + 1 : -1], (time, first, first, first, first, 1e-9)]
        with self.context.store.write() as connection:
            series = table.find(connection, symbol, grid)
            if series is not None:
                apply_live(connection, series, [Claim(part, shown)], now)

    @rule(symbol=st.sampled_from(SYMBOLS), start=st.floats(0, 0.99), count=st.integers(1, 80))
    def make_a_hole(self, symbol: str, start: float, count: int) -> None:
        """As refused rows leave one, or a run that was killed while it caught up."""
        times = [row[0] for row in stored(self.context.store.path, symbol, "1m")]
        chosen = times[int(start * len(times)) :][:count]
        with self.context.store.write() as connection:
            series = table.find(connection, symbol, TIMEFRAMES["1m"])
            if series is not None and chosen:
                candles.forget_restored(connection, series.id)
                coverage.cut(connection, series.id, Range(chosen[0], chosen[-1] + MINUTE))
                candles.delete(connection, series.id, chosen)

    @rule(
        symbol=st.sampled_from(SYMBOLS),
        start=st.floats(0, 0.99),
        how=st.sampled_from(["DELETE FROM candles", "UPDATE candles SET open_time = open_time + 1",
                             "UPDATE candles SET high = low / 2",
                             "INSERT INTO candles SELECT series_id, open_time + 1, 1, 1, 1, 1, 1 FROM candles"]),
    )  # fmt: skip
    def damage_and_verify(self, symbol: str, start: float, how: str) -> None:
        times = [row[0] for row in stored(self.context.store.path, symbol, "1m")]
        if times:
            (series_id,) = self.context.store.connection.execute(
                "SELECT id FROM series WHERE symbol = ?", (symbol,)
            ).fetchone()
            time = times[int(start * len(times))]
            tamper(self.context.store.path, f"{how} WHERE series_id = {series_id} AND open_time = {time}")
            assert verify(self.context)[0].exit in {0, 3}
            assert verify(self.context)[0].exit == 0

    @rule(symbol=st.sampled_from(SYMBOLS), minutes=st.integers(1, 200))
    def outage(self, symbol: str, minutes: int) -> None:
        pair = self.sandbox.market.pairs[symbol]
        now = self.clock.now() // MINUTE * MINUTE + MINUTE
        self.sandbox.market.pairs[symbol] = replace(pair, holes=(*pair.holes, Range(now, now + minutes * MINUTE)))
        self.clock.advance(minutes * MINUTE)

    @rule(symbol=st.sampled_from(SYMBOLS), back=st.integers(1, 400))
    def revision(self, symbol: str, back: int) -> None:
        times = [row[0] for row in stored(self.context.store.path, symbol, "1m")]
        if times:
            time = times[-min(back, len(times))]
            self.sandbox.market.revised[symbol, "1m", time] = (time, 9.0, 9.0, 9.0, 9.0, 9.0)
            self.changed.add((symbol, time))
            self.withdrawn.discard((symbol, time))

    @rule(symbol=st.sampled_from(SYMBOLS), back=st.integers(1, 400))
    def withdrawal(self, symbol: str, back: int) -> None:
        """A candle that the exchange takes away again is kept, and reported where it is noticed."""
        times = [row[0] for row in stored(self.context.store.path, symbol, "1m")]
        if times:
            time = times[-min(back, len(times))]
            self.sandbox.market.revised[symbol, "1m", time] = None
            self.withdrawn.add((symbol, time))

    @invariant()
    def coverage_counts_its_candles(self) -> None:
        if not hasattr(self, "context"):
            return
        wrong = self.context.store.connection.execute(
            # What was lost and put back by hand is counted by the next job that looks at it.
            """SELECT * FROM coverage WHERE candles <> (SELECT count(*) FROM candles WHERE series_id =
               coverage.series_id AND open_time >= start_time AND open_time < end_time AND NOT EXISTS
               (SELECT 1 FROM lost_candles AS lost WHERE lost.series_id = candles.series_id
                AND lost.open_time = candles.open_time))"""
        ).fetchall()
        assert wrong == []

    def settle_and_compare(self) -> None:
        """Let everything due be done, then compare store and ledger, revised final candles excepted."""
        # A day: what was answered with nothing at all is asked for daily.
        self.clock.advance(DAY + 10 * MINUTE)
        assert backfill(self.context).exit == 0
        for _ in range(12):
            detect_gaps(self.context)
            if repair(self.context, retry_failed=True).exit == 0:
                break
            self.clock.advance(DAY)
            assert backfill(self.context).exit == 0
        detect_gaps(self.context)
        assert gap_ranges(self.context) == gap_ranges(self.context, "failed") == []
        rows = self.context.store.connection.execute(
            "SELECT symbol, max(wanted_start, coalesce(cleaned_to, 0)) FROM series"
        )
        for symbol, start in rows.fetchall():
            held = stored(self.context.store.path, symbol, "1m")
            expected = truth(self.sandbox, symbol, "1m", start, self.clock.now())
            held = [row for row in held if (symbol, row[0]) not in self.withdrawn]
            assert [row[0] for row in held] == [row[0] for row in expected]
            differing = {(symbol, row[0]) for row, other in zip(held, expected, strict=True) if row != other}
            assert differing <= self.changed


StoreMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStore = StoreMachine.TestCase
