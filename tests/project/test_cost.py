"""What a command costs, counted without a clock: modules imported, statements, rows looked at, bytes written."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from conftest import DAY, NOW, Folder

from mdata.cli.main import COMMANDS
from mdata.domain.candle import Candle
from mdata.domain.interval import Range
from mdata.domain.query import Page, Query
from mdata.domain.timeframe import MINUTE, TIMEFRAMES
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.jobs.backfill import backfill
from mdata.jobs.detect_gaps import detect_gaps
from mdata.jobs.repair import plan
from mdata.jobs.status import collect
from mdata.jobs.update import update
from mdata.running.context import Context
from mdata.store import candles, coverage
from mdata.store import series as table
from mdata.store.engine import Store
from mdata.store.pages import apply_page

MakeContext = Callable[..., Context]
M1 = TIMEFRAMES["1m"]
END = M1.closed_end(NOW)

# What may come from outside the standard library when nothing is due: the command line, and the store's engine.
LIGHT = {"mdata", "typer", "annotated_doc", "shellingham", "pysqlite3"}
# Heavy parts of the standard library that nothing of this needs.
HEAVY = {"asyncio", "http", "logging", "multiprocessing", "concurrent", "socket", "ssl", "unittest", "urllib.request"}


def imported(folder: Folder, *arguments: str, **settings: str) -> set[str]:
    """Run Python and return the names of all modules that it imported, by its own account."""
    finished = subprocess.run(
        [sys.executable, "-v", *arguments], env=folder.environ(**settings), cwd=folder.path,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert finished.returncode in {0, 3}, finished.stderr
    return set(re.findall(r"^import '([^']+)' #", finished.stderr, re.MULTILINE))


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--json"], ["status", "--check"], ["backfill", "--json"], ["update"], ["detect-gaps", "--json"],
        ["repair"], ["cleanup", "--yes"], ["gaps"], ["jobs", "--json"], ["config"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_run_with_nothing_due_imports_nothing_heavy(folder: Folder, arguments: list[str]) -> None:
    settings = {"BACKFILL_DAYS": "0", "TIMEFRAMES": "1M"}
    assert folder.run("backfill", **settings).exit == 0
    # What a virtual environment has imported at each start of Python is none of ours.
    modules = imported(folder, "-m", "mdata", *arguments, **settings) - imported(folder, "-c", "")
    outside = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    assert not outside - LIGHT
    assert not {name for name in modules for heavy in HEAVY if f"{name}.".startswith(f"{heavy}.")}
    names = {command.replace("-", "_") for command in COMMANDS}
    assert {name for name in names if f"mdata.cli.commands.{name}" in modules} == {arguments[0].replace("-", "_")}


def test_a_new_store_imports_neither_pandas_nor_numpy_where_they_are_installed(folder: Folder) -> None:
    installed = folder.path / "installed"
    installed.mkdir()
    for name in ("pandas", "numpy"):
        (installed / f"{name}.py").write_text("raise SystemExit(9)")
    assert folder.run("backfill", BACKFILL_DAYS="1", PYTHONPATH=str(installed)).exit == 0


class Meter:
    """What SQLite was asked on a connection, and how many steps its machine took for it (in hundreds)."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.steps = 0

    def step(self) -> None:
        self.steps += 100

    def count(self, verb: str) -> int:
        return sum(statement.startswith(verb) for statement in self.statements)


@contextmanager
def metered(store: Store) -> Iterator[Meter]:
    meter = Meter()
    store.connection.set_trace_callback(meter.statements.append)
    store.connection.set_progress_handler(meter.step, 100)
    yield meter
    store.connection.set_trace_callback(None)
    store.connection.set_progress_handler(None, 0)


def candles_before(end: int, count: int) -> list[Candle]:
    return [(end + (number - count) * MINUTE, 1.5, 2.5, 0.5, 1.25, 3.0 + number) for number in range(count)]


def fill(context: Context, rows: int, gaps: int) -> None:
    """Make a ledger of one series: `rows` candles to the newest closed one, `gaps` of them deleted by hand."""
    start = END - rows * MINUTE
    with context.store.write() as connection:
        table.introduce(connection, BITFINEX, "tBTCUSD", M1, start)
        table.begins_at(connection, 1, start, NOW)
        table.move_frontier(connection, 1, END, END)
        candles.upsert(connection, 1, candles_before(END, rows))
        coverage.add(connection, 1, Range(start, END), "final", rows)
    with context.store.write() as connection:
        candles.delete(connection, 1, [END - 5 * number * MINUTE for number in range(1, gaps + 1)])


@pytest.fixture
def ledgers(context: MakeContext, tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, Context]:
    """Two stores that differ in nothing but the number of candles: ten thousand, a hundred thousand."""
    made = [
        context(BACKFILL_DAYS="0", DATABASE_PATH=str(tmp_path_factory.mktemp("ledger") / "mdata.db"))
        for _ in range(2)
    ]
    for one, rows in zip(made, (10_000, 100_000), strict=True):
        fill(one, rows, gaps=30)
    return made[0], made[1]


LOOKS: dict[str, Callable[[Context], object]] = {
    "status": lambda given: collect(given.settings, given.store, given.clock.now()),
    "detect-gaps": detect_gaps,
    "detect-gaps again": detect_gaps,
    "repair --dry-run": lambda given: plan(given.settings, given.store, given.clock.now()),
    "update": update,
    "backfill": backfill,
}


def test_what_the_ledger_can_answer_costs_the_same_at_any_number_of_candles(ledgers: tuple[Context, Context]) -> None:
    for name, look in LOOKS.items():
        meters = []
        for given in ledgers:
            with metered(given.store) as meter:
                look(given)
            meters.append(meter)
        few, many = meters
        assert len(few.statements) == len(many.statements) > 0, name
        # A deeper tree takes a few steps more.
        assert many.steps <= few.steps * 1.1 + 1000, name


def test_no_statement_walks_through_all_candles(ledgers: tuple[Context, Context]) -> None:
    given = ledgers[0]
    with metered(given.store) as meter:
        for look in LOOKS.values():
            look(given)
    verbs = ("SELECT", "INSERT", "UPDATE", "DELETE")
    asked = {statement for statement in meter.statements if statement.startswith(verbs)}
    assert len(asked) > 20
    for statement in asked:
        steps = given.store.connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        assert not [step for *_, step in steps if step.startswith("SCAN") and "candles" in step], statement


def test_status_asks_a_fixed_number_of_questions_for_each_series(context: MakeContext) -> None:
    given = context()
    fill(given, 10_000, gaps=0)
    counts = []
    for segments in (1, 20, 200):
        with given.store.write() as connection:
            coverage.cut(connection, 1, Range(0, END))
            for number in range(segments):
                end = END - number * 5 * MINUTE
                coverage.add(connection, 1, Range(end - MINUTE, end), "final", 1)
        with metered(given.store) as meter:
            collect(given.settings, given.store, given.clock.now())
        counts.append(len(meter.statements))
    assert counts[0] == counts[1] == counts[2] < 20


@pytest.mark.parametrize("job", [detect_gaps, update, backfill])
def test_a_run_with_nothing_due_commits_once(context: MakeContext, job: Callable[[Context], object]) -> None:
    given = context(BACKFILL_DAYS="0")
    fill(given, 1000, gaps=0)
    with metered(given.store) as meter:
        job(given)
    assert meter.count("COMMIT") == 1


def test_a_page_costs_one_commit_and_the_same_statements_whatever_it_holds(context: MakeContext) -> None:
    given = context()
    fill(given, 10, gaps=0)
    asked = []
    for rows, end in ((1000, END - DAY), (10_000, END - 9 * DAY)):
        want_from(given, end - rows * MINUTE)
        with metered(given.store) as meter:
            store_page(given, rows, end)
        assert meter.count("COMMIT") == 1
        asked.append([statement for statement in meter.statements if not statement.startswith("INSERT INTO candles")])
    assert len(asked[0]) == len(asked[1]) < 36


def test_space_is_given_back_in_steps_between_which_others_may_write(context: MakeContext) -> None:
    given = context()
    fill(given, 300_000, gaps=0)
    with given.store.write() as connection:
        coverage.cut(connection, 1, Range(0, END))
        connection.execute("DELETE FROM candles")
    given.store.checkpoint()
    before = given.store.path.stat().st_size
    (free,) = given.store.connection.execute("PRAGMA freelist_count").fetchone()
    with metered(given.store) as meter:
        freed = given.store.shrink()
    assert freed == before - given.store.path.stat().st_size > before * 0.9
    assert meter.count("PRAGMA incremental_vacuum(2000)") == -(-free // 2000) > 1
    assert given.store.connection.execute("PRAGMA freelist_count").fetchone() == (0,)


def test_a_second_pass_writes_no_candle(context: MakeContext) -> None:
    given = context()
    fill(given, 10, gaps=0)
    want_from(given, END - DAY - 10_000 * MINUTE)
    store_page(given, 10_000, END - DAY)
    given.store.checkpoint()
    store_page(given, 10_000, END - DAY)
    log = given.store.path.with_name(f"{given.store.path.name}-wal")
    (size,) = given.store.connection.execute("PRAGMA page_size").fetchone()
    # The ledger's own pages at most, in a log that holds each with a header of 24 bytes; candles fill 150.
    assert log.stat().st_size <= 32 + 3 * (size + 24)
    changes = given.store.connection.total_changes
    with given.store.write() as connection:
        assert candles.upsert(connection, 1, candles_before(END - DAY, 10_000)) == 0
    assert given.store.connection.total_changes == changes + 1, "the row that counts the transactions"


def want_from(given: Context, start: int) -> None:
    with given.store.write() as connection:
        table.want_again_from(connection, 1, start)


def store_page(given: Context, rows: int, end: int) -> None:
    held = candles_before(end, rows)
    query = Query(BITFINEX, "tBTCUSD", M1, Range(held[0][0], end), newest_first=True, limit=10_000)
    page = Page(query, held, (), rows, NOW)
    with given.store.write() as connection:
        series = table.find(connection, BITFINEX, "tBTCUSD", M1)
        assert series is not None
        apply_page(connection, series, page, given.settle, "backfill")
