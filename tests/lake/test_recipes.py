"""The recipes of docs/lake.md, run as they stand there; their answers are those of the SQLite store."""

import json
import math
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from deltalake import DeltaTable

from mdata.domain.interval import Range
from mdata.domain.publication import cells_of, month_name, month_named
from mdata.domain.timeframe import DAY, TIMEFRAMES, month_index, month_start
from mdata.sandbox.market import Pair

ROOT = Path(__file__).parents[2]
RECIPES, LAKE, SPARK = (ROOT / ".envs" / name / "bin" / "python" for name in ("recipes", "lake", "spark"))
GRIDS = ("1m", "1h", "1W")

# What makes of each engine's rows lists of plain values.
PLAIN = """
import json as _json


def _plain(rows):
    if hasattr(rows, "collect"):
        rows = rows.collect()
    if hasattr(rows, "itertuples"):
        rows = rows.itertuples(index=False)
    elif hasattr(rows, "rows"):
        rows = rows.rows()
    return [[getattr(value, "item", lambda value=value: value)() for value in row] for row in rows]


def _total(row):
    if hasattr(row, "rows"):
        row = row.rows()[0]
    return [float(value) for value in row]


# Of a table with the times of the engine, only the prices are compared.
_one = [row[-5:] for row in _plain(one)]
print(_json.dumps({"months": _plain(months), "proven": _plain(proven), "one": _one, "total": _total(total)}))
"""


def recipe(heading: str) -> str:
    text = (ROOT / "docs" / "lake.md").read_text()
    found = re.search(rf"^### {heading}\n.*?^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def published(folder: Folder) -> Folder:
    """A lake of a busy pair, one with a colon in its name, and one that is silent for a month, with a hole."""
    last = month_start(month_index(int(time.time() * 1000)) - 1)
    silent = Range(month_start(month_index(last) - 1), last)
    folder.sandbox.market.pairs |= {
        "tAVAX:USD": Pair("tAVAX:USD", density=0.05),
        "tSPAUSD": Pair("tSPAUSD", density=0.02, holes=(silent,)),
    }
    folder.settings.update(
        SYMBOLS="BTCUSD,AVAX/USD,SPAUSD", TIMEFRAMES=",".join(GRIDS), BACKFILL_DAYS="75", PUBLISH_AFTER_DAYS="0"
    )
    # A silence is believed by a second answer.
    folder.run("backfill")
    folder.run("backfill")
    # Of one month a part cannot be had any more.
    folder.rows(
        "INSERT INTO unobtainable SELECT id, ?, ?, 1 FROM series WHERE symbol = 'tBTCUSD' AND timeframe = '1h'",
        last + 3 * DAY, last + 4 * DAY,
    )  # fmt: skip
    assert folder.run("publish", "lake").exit == 0
    return folder


def expected(folder: Folder) -> dict[str, Any]:
    """Return what the store says, by ways of its own."""
    status = folder.run("lake", "status", "lake", "--json").json["lake"]
    months: list[list[Any]] = []
    total, volume, proven = 0, [], []
    now = int(time.time() * 1000)
    for one in status:
        grid, first = TIMEFRAMES[one["timeframe"]], one["first"]
        rows = folder.rows(
            "SELECT open_time, low, high, volume FROM ohlcv WHERE symbol = ? AND timeframe = ?",
            one["symbol"], one["timeframe"],
        )  # fmt: skip
        ((wanted,),) = folder.rows(
            "SELECT wanted_start FROM series WHERE symbol = ? AND timeframe = ?", one["symbol"], one["timeframe"]
        )
        index = month_index(wanted)
        while cells_of(grid, month_start(index)).end <= now:
            month = month_start(index)
            index += 1
            cells, name = cells_of(grid, month), month_name(month)
            held = [row for row in rows if max(cells.start, wanted) <= row[0] < cells.end]
            if name < first:
                continue
            total += len(held)
            volume += [row[3] for row in held]
            if held:
                low, high = min(row[1] for row in held), max(row[2] for row in held)
                months.append(["bitfinex", one["symbol"], grid.name, name, len(held), low, high])
            is_marked = (one["symbol"], grid.name, month) == ("tBTCUSD", "1h", month_start(month_index(now) - 1))
            if wanted <= cells.start and not is_marked:
                proven.append(["bitfinex", one["symbol"], grid.name, name])
    month = month_named(max(proven)[3])
    one_month = folder.rows(
        """SELECT open, high, low, close, volume FROM ohlcv
           WHERE symbol = 'tBTCUSD' AND timeframe = '1m' AND open_time >= ? AND open_time < ? ORDER BY open_time""",
        *cells_of(TIMEFRAMES["1m"], month),
    )  # fmt: skip
    return {
        "months": sorted(months), "proven": sorted(proven), "one": [[*row] for row in one_month],
        "total": [total, math.fsum(volume)],
    }  # fmt: skip


def assert_agrees(folder: Folder, heading: str, python: Path) -> None:
    (folder.path / "recipe.py").write_text(recipe(heading) + PLAIN)
    ended = subprocess.run(
        [python, "recipe.py"], cwd=folder.path, env=folder.environ(), capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found, wanted = json.loads(ended.stdout.splitlines()[-1]), expected(folder)
    assert sorted(found["months"]) == wanted["months"]
    assert sorted(found["proven"]) == wanted["proven"]
    assert found["one"] == wanted["one"]
    assert found["total"][0] == wanted["total"][0]
    assert math.isclose(found["total"][1], wanted["total"][1], rel_tol=1e-9)


@pytest.mark.skipif(not RECIPES.exists(), reason="Polars, DuckDB and pandas are not installed: run `make recipes`")
@pytest.mark.parametrize("heading", ["Polars", "DuckDB", "pandas"])
def test_engines_that_are_small(published: Folder, heading: str) -> None:
    assert_agrees(published, heading, RECIPES)


@pytest.mark.lake
@pytest.mark.skipif(not LAKE.exists(), reason="chdb and Sail are not installed: run `make lake`")
@pytest.mark.parametrize("heading", ["ClickHouse", "Spark SQL"])
def test_engines_that_are_large(published: Folder, heading: str) -> None:
    assert_agrees(published, heading, LAKE)


@pytest.mark.lake
@pytest.mark.skipif(not SPARK.exists(), reason="Spark is not installed: run `make spark`")
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java 17 or later")
def test_spark_reads_the_files_that_the_log_names(published: Folder) -> None:
    # A second version of a month: its old file stays in the folder.
    published.rows("UPDATE candles SET close = close + 1 WHERE volume > 0.5 AND close < high - 1")
    published.rows("UPDATE answered_months SET answered_at = answered_at + 1")
    assert published.run("publish", "lake").exit == 0
    candles = published.path / "lake" / "candles"
    assert len(list(candles.rglob("*.parquet"))) > len(DeltaTable(str(candles)).file_uris())
    assert_agrees(published, "Spark without Delta", SPARK)


def test_mdata_itself(published: Folder) -> None:
    now = int(time.time() * 1000)
    last, end = (month_name(month_start(month_index(now) - before)) for before in (1, 0))
    text = recipe("mdata itself").replace("2024-03", last).replace("2024-04", end)
    (published.path / "recipe.py").write_text(f"{text}\nprint(len(series), len(candles), candles.complete)")
    ended = subprocess.run(
        [sys.executable, "recipe.py"], cwd=published.path, env=published.environ(), capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    count = TIMEFRAMES["1m"].count(*cells_of(TIMEFRAMES["1m"], month_named(last)))
    assert ended.stdout == f"9 {count} True\n"
