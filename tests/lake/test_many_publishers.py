"""Many publishers of one lake, killed at random: nothing is lost, twice, or believed of the wrong one."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from deltalake import DeltaTable
from servers import BUCKET, credentials, moto, needs_moto

from mdata.domain.interval import Range
from mdata.domain.publication import cells_of
from mdata.domain.timeframe import DAY, TIMEFRAMES, month_index, month_start
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox
from mdata.store.sqlite import sqlite3

SYMBOLS, GRIDS = ("tBTCUSD", "tETHUSD", "tSPAUSD"), ("30m", "3h")
SERIES = len(SYMBOLS) * len(GRIDS)


@contextmanager
def exchange() -> Iterator[Sandbox]:
    pairs = {symbol: Pair(symbol, density=0.2 if symbol == "tSPAUSD" else 1.0) for symbol in SYMBOLS}
    with Sandbox(Market(pairs)) as found:
        yield found


def store(path: Path, sandbox: Sandbox, name: str, **more: str) -> Folder:
    (path / name).mkdir()
    found = Folder(path / name, sandbox)
    found.settings.update(
        SYMBOLS="BTCUSD,ETHUSD,SPAUSD",
        TIMEFRAMES=",".join(GRIDS),
        BACKFILL_DAYS="130",
        PUBLISH_AFTER_DAYS="0",
        **more,
    )
    assert found.run("backfill").exit == 0
    return found


def publishers(path: Path, sandbox: Sandbox) -> list[Folder]:
    """Make five stores: one that is older than what the exchange has revised since, three alike, one cleaned."""
    older = store(path, sandbox, "older")
    now = int(time.time() * 1000)
    for grid in GRIDS:
        # In the newest whole month, which all of them have.
        month = month_start(month_index(now) - 1)
        time_ = TIMEFRAMES[grid].floor(month + 10 * DAY)
        sandbox.market.revised["tBTCUSD", grid, time_] = (time_, 9.0, 9.5, 8.5, 9.0, 9.0)
    alike = [store(path, sandbox, name) for name in ("one", "two", "three")]
    cleaned = store(path, sandbox, "cleaned")
    assert cleaned.run("cleanup", "--yes", RETENTION_DAYS="75").exit == 0
    return [older, *alike, cleaned]


def run_and_kill(made: list[Folder], lake: str, kills: int, rng: random.Random, environ: dict[str, str]) -> int:
    """Have all publish at once, killing some at random, until each has ended well; return how many were killed."""
    killed = 0
    left: dict[subprocess.Popen[str], tuple[Folder, float | None]] = {}
    pending = list(made)
    while pending or left:
        while pending:
            folder = pending.pop()
            process = subprocess.Popen(
                [*folder_command(lake)], env=folder.environ(**environ), cwd=folder.path,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            # Most of a publisher's life is its start.
            left[process] = folder, time.monotonic() + rng.uniform(0.3, 4.0) if killed + len(left) < kills else None
        time.sleep(0.005)
        for process, (folder, end) in list(left.items()):
            if end is not None and time.monotonic() > end and process.poll() is None:
                process.send_signal(signal.SIGKILL)
            if process.poll() is not None:
                _, err = process.communicate()
                del left[process]
                assert process.returncode in {0, -signal.SIGKILL}, err
                if process.returncode:
                    killed += 1
                    pending.append(folder)
    return killed


def folder_command(lake: str) -> list[str]:
    from conftest import MDATA

    return [str(MDATA), "publish", lake, "--quiet"]


def options_of(environ: dict[str, str]) -> dict[str, str] | None:
    return environ or None


def in_lake(lake: str, environ: dict[str, str]) -> list[tuple[Any, ...]]:
    table = DeltaTable(f"{lake}/candles", storage_options=options_of(environ)).to_pyarrow_table()
    return sorted(
        (
            row["symbol"],
            row["timeframe"],
            int(row["time"].timestamp() * 1000),
            row["open"],
            row["close"],
            row["volume"],
        )
        for row in table.to_pylist()
    )


def in_store(folder: Folder) -> list[tuple[Any, ...]]:
    """Return the candles of all months that are over."""
    connection = sqlite3.connect(folder.database)
    rows = connection.execute("SELECT symbol, timeframe, open_time, open, close, volume FROM ohlcv").fetchall()
    connection.close()
    month = month_start(month_index(int(time.time() * 1000)))
    return sorted(row for row in rows if row[2] < month)


def assert_is_all_there(lake: str, made: list[Folder], killed: int, environ: dict[str, str]) -> None:
    best = made[1]
    assert in_lake(lake, environ) == in_store(best), "as the later stores have it, no candle twice"
    checked = best.run("lake", "check", lake, "--json", **environ).json["checked"]
    assert (checked["faults"], checked["series"]) == ([], SERIES)
    # Where two stores hold other candles of a month, one may replace what the other is about to vouch for, and be
    # replaced itself: in the two series that were revised.
    table = DeltaTable(f"{lake}/candles", storage_options=options_of(environ))
    assert needless(table) <= killed + 2 * len(GRIDS)
    rows = DeltaTable(f"{lake}/coverage", storage_options=options_of(environ)).to_pyarrow_table().to_pylist()
    proven: dict[tuple[str, str], list[Range]] = {}
    for row in rows:
        part = Range(*(int(row[name].timestamp() * 1000) for name in ("start", "end")))
        proven.setdefault((row["symbol"], row["timeframe"]), []).append(part)
        assert row["kind"] == "final"
    month = month_start(month_index(int(time.time() * 1000)) - 1)
    for (symbol, grid), parts in proven.items():
        ((start, end),) = best.rows(
            """SELECT min(start_time), max(end_time) FROM coverage JOIN series ON series.id = series_id
               WHERE symbol = ? AND timeframe = ? AND kind = 'final'""",
            symbol, grid,
        )  # fmt: skip
        assert min(part.start for part in parts) == start
        assert max(part.end for part in parts) == cells_of(TIMEFRAMES[grid], month).end <= end
        assert sum(part.end - part.start for part in parts) == max(part.end for part in parts) - start
    assert len(proven) == SERIES


def needless(table: DeltaTable) -> int:
    """Return how many commits have brought nothing that was not there: no month for the first time, no revision."""
    found = 0
    seen: set[tuple[str, str, int]] = set()
    for entry in sorted(table.history(), key=lambda entry: entry["version"]):
        if "mdata.series" not in entry:
            continue
        months = {(entry["mdata.series"], month, 0) for month in entry["mdata.months"].split(", ")}
        if months <= seen:
            # A month that was revised comes twice.
            months = {(series, month, 1) for series, month, _ in months if series.startswith("tBTCUSD")}
        found += months <= seen
        seen |= months
    return found


def scenario(path: Path, lake: str, kills: int, environ: dict[str, str], seed: int) -> int:
    rng, total, number = random.Random(seed), 0, 0
    with exchange() as sandbox:
        made = publishers(path, sandbox)
        while total < kills or not number:
            number += 1
            here = f"{lake}-{number}"
            killed = run_and_kill(made, here, min(12, kills - total), rng, environ)
            total += killed
            # Whoever was left waiting for nothing has nothing left to do.
            for folder in made:
                ended = folder.run("publish", here, **environ)
                assert ended.exit == 0, ended.err
            assert_is_all_there(here, made, killed, environ)
    return total


def test_in_a_folder(tmp_path: Path) -> None:
    assert scenario(tmp_path, str(tmp_path / "lake"), 6, {}, seed=1) >= 4


@pytest.mark.lake
@pytest.mark.parametrize("seed", [2])
def test_fifty_kills_in_a_folder(tmp_path: Path, seed: int) -> None:
    assert scenario(tmp_path, str(tmp_path / "lake"), 50, {}, seed) >= 50


@pytest.mark.lake
@needs_moto
def test_fifty_kills_in_an_object_store(tmp_path: Path) -> None:
    (tmp_path / "moto").mkdir()
    with moto(tmp_path / "moto") as port:
        assert scenario(tmp_path, f"s3://{BUCKET}/lake", 50, credentials(port), seed=3) >= 50
    assert os.getpid()
