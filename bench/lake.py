"""Measure a lake, and write `docs/performance-lake.md`: `make bench-lake`."""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from deltalake import Schema
from deltalake.transaction import AddAction, create_table_with_add_actions

from bench.growth import ingests
from bench.measure import Cost, number
from bench.start import MDATA, process
from bench.stores import END, SERIES, Store, generate, symbol
from bench.table import markdown
from mdata.domain.publication import Author, Key, month_name
from mdata.domain.timeframe import DAY, month_start
from mdata.lake.lake import Lake
from mdata.lake.tables import TABLES, schema

REPORT = Path("docs/performance-lake.md")
RECIPES, LARGE, SPARK, OURS = (
    Path(f"{name}/bin/python").absolute() for name in (".envs/recipes", ".envs/lake", ".envs/spark", ".venv")
)
_MILLION = 1_000_000
# The largest lake that the exchange can fill: 500 pairs of ten years, month by month.
_PAIRS, _MONTHS = 500, 120

_INTRODUCTION = """
Written by `make bench-lake`; do not edit it by hand. The stores are made up: 20 series of one-minute candles, without
a gap. Absolute times depend on the machine: compare columns and rows.
"""
_SLOPES = """
Each command is one process. The stores differ only in the number of candles. The last line is what it takes to
judge a page and to store it; what a page costs from the answer to the disk is in [performance](performance.md). mdata
requests at most 27 pages a minute, which is 270,000 rows.
"""
_READERS = """
Measured on the largest of these lakes. Each engine runs in a process of its own; the figure is the median of five
runs, after one to warm up. *month* reads one month of one series, all columns; *everything* counts all rows and adds
up their volume. SQLite is the store itself; mdata proves each month while it reads it.
"""
_FILES = """
The log measured here names {files:,} files, as many as 500 pairs and ten years of one-minute candles would have; the
files themselves do not exist.
"""

_TIMED = """
import statistics, time, json

def timed(work):
    work()
    found = []
    for _ in range(5):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)

print(json.dumps([timed(one), timed(total)]))
"""

_ENGINES: dict[str, tuple[Path, str]] = {
    "SQLite": (
        RECIPES,
        """
import sqlite3
db = sqlite3.connect("file:{store}?mode=ro", uri=True)
ID = "(SELECT id FROM series WHERE symbol = '{symbol}')"
one = lambda: db.execute(
    f"SELECT * FROM candles WHERE series_id = {{ID}} AND open_time >= {start} AND open_time < {end}").fetchall()
total = lambda: db.execute("SELECT count(*), sum(volume) FROM candles").fetchall()
""",
    ),
    "mdata (`mdata.open`)": (
        OURS,
        """
import mdata
lake = mdata.open("{lake}")
one = lambda: lake.candles("{symbol}", "1m", "{start}", "{end}")
total = lambda: [sum(part.columns.volume) for series in lake.series()
                 for part in lake.chunks(series.symbol, "1m", intervals=500_000)]
""",
    ),
    "Polars": (
        RECIPES,
        """
import polars as pl
rows = pl.scan_delta("{lake}/candles")
one = lambda: rows.filter(pl.col("symbol") == "{symbol}", pl.col("period") == "{month}").collect()
total = lambda: rows.select(pl.len(), pl.col("volume").sum()).collect()
""",
    ),
    "DuckDB": (
        RECIPES,
        """
import duckdb
from duckdb_extensions import import_extension
import_extension("delta")
db = duckdb.connect()
db.execute("LOAD delta")
rows = "delta_scan('{lake}/candles')"
one = lambda: db.sql(f"SELECT epoch_ms(time), open, high, low, close, volume FROM {{rows}} "
                     "WHERE symbol = '{symbol}' AND period = '{month}'").fetchnumpy()
total = lambda: db.sql(f"SELECT count(*), sum(volume) FROM {{rows}}").fetchall()
""",
    ),
    "pandas": (
        RECIPES,
        """
from deltalake import DeltaTable
table = DeltaTable("{lake}/candles")
one = lambda: table.to_pandas(filters=[("symbol", "=", "{symbol}"), ("period", "=", "{month}")])
total = lambda: table.to_pandas(columns=["volume"])["volume"].sum()
""",
    ),
    "ClickHouse (chdb)": (
        LARGE,
        """
import chdb
db = chdb.session.Session()
rows = "deltaLakeLocal('{lake}/candles')"
one = lambda: db.query(f"SELECT time, open, high, low, close, volume FROM {{rows}} "
                       "WHERE symbol = '{symbol}' AND period = '{month}'", "Arrow").bytes()
total = lambda: str(db.query(f"SELECT count(), sum(volume) FROM {{rows}}"))
""",
    ),
    "Spark SQL (Sail)": (
        LARGE,
        """
from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession
server = SparkConnectServer()
server.start()
spark = SparkSession.builder.remote(f"sc://127.0.0.1:{{server.listening_address[1]}}").getOrCreate()
spark.read.format("delta").load("{lake}/candles").createOrReplaceTempView("candles")
one = lambda: spark.sql("SELECT * FROM candles WHERE symbol = '{symbol}' AND period = '{month}'").toPandas()
total = lambda: spark.sql("SELECT count(*), sum(volume) FROM candles").collect()
""",
    ),
    "Spark (the Parquet files)": (
        SPARK,
        """
from deltalake import DeltaTable
from pyspark.sql import SparkSession
spark = (SparkSession.builder.master("local[*]")
         .config("spark.sql.sources.partitionColumnTypeInference.enabled", False).getOrCreate())
files = DeltaTable("{lake}/candles").file_uris()
spark.read.option("basePath", "{lake}/candles").parquet(*files).createOrReplaceTempView("candles")
one = lambda: spark.sql("SELECT * FROM candles WHERE symbol = '{symbol}' AND period = '{month}'").collect()
total = lambda: spark.sql("SELECT count(*), sum(volume) FROM candles").collect()
""",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lake", description=__doc__)
    parser.add_argument("--millions", default="1,10,50", help="how many candles the stores hold")
    sizes = [int(part) for part in parser.parse_args().millions.split(",")]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mdata-lake-") as name:
        folder, columns = Path(name), []
        for millions in sizes:
            print(f"{millions} M candles", flush=True)
            # In a process of its own: a process that this one starts is charged with the memory of this one.
            with ProcessPoolExecutor(1, get_context("spawn")) as other:
                store = other.submit(generate, folder / f"{millions}.db", millions * _MILLION // SERIES).result()
            columns.append(_slopes(store))
        readers = _readers(store)
        files = _many_files(folder / "many")
    took = (time.monotonic() - began) / 60
    head = ["work", *(f"{millions} M candles" for millions in sizes), "largest ÷ smallest"]
    slopes = [[work, *(number(one[work]) for one in columns), number(columns[-1][work] / columns[0][work])]
              for work in columns[0]]  # fmt: skip
    parts = [
        "# A lake, measured", _INTRODUCTION, _about(took),
        "## How cost grows", _SLOPES, markdown(head, slopes), "",
        "## Who reads it, and how fast", _READERS, markdown(["engine", "month, s", "everything, s"], readers), "",
        "## The largest lake", _FILES.format(files=_PAIRS * _MONTHS), markdown(["work", "s"], files), "",
    ]  # fmt: skip
    REPORT.write_text("\n".join(parts))


def _about(took: float) -> str:
    load = os.getloadavg()[2]
    return f"{os.cpu_count()} cores, load {load:.0f} in the last 15 min; `make bench-lake` took {took:.0f} min.\n"


def _slopes(store: Store) -> dict[str, float]:
    """Return what each command costs on a store, and what its candles take."""
    lake = store.path.with_suffix(".lake")
    environ = store.environ(PUBLISH_AFTER_DAYS="0", LAKE_URL=str(lake))
    found = {"SQLite, MB per million candles": store.path.stat().st_size / store.rows}
    for name, arguments in (
        ("detect-gaps", ["detect-gaps"]), ("verify", ["verify"]), ("publish", ["publish"]),
        ("publish again, with nothing to do", ["publish"]), ("lake check", ["lake", "check"]),
        ("lake status", ["lake", "status"]),
    ):  # fmt: skip
        cost: Cost = process(environ, *arguments)()
        found[f"`{name}`, s" if name != "publish again, with nothing to do" else f"{name}, s"] = cost.wall
        if name in {"publish", "lake check"}:
            found[f"`{name}`, s per million candles"] = cost.wall / store.rows * _MILLION
            found[f"`{name}`, peak MiB"] = cost.memory
    files = [path.stat().st_size for path in lake.rglob("*.parquet")]
    found["lake, MB per million candles"] = sum(files) / store.rows
    found["lake, files"] = len(files)
    fresh = store.path.with_suffix(".fresh")
    cost = process({**environ, "DATABASE_PATH": str(fresh)}, "lake", "restore")()
    found["`lake restore`, s"] = cost.wall
    fresh.unlink()
    found["ingest of a page of 10,000 candles, ms"] = statistics.median(ingests(store, 5)) * 1000
    return found


def _readers(store: Store) -> list[list[str]]:
    month = month_start((2025 * 12) + 11)
    given = {
        "store": store.path, "lake": store.path.with_suffix(".lake"), "symbol": symbol(3), "month": month_name(month),
        "start": month, "end": END,
    }  # fmt: skip
    found = []
    for name, (python, text) in _ENGINES.items():
        if not python.exists():
            found.append([name, "not installed", "not installed"])
            continue
        # A file, for Spark looks for itself where it is given a text.
        script = store.path.with_suffix(".py")
        script.write_text(text.format(**given) + _TIMED)
        ended = subprocess.run(
            [python, script], capture_output=True, text=True, check=False, timeout=1800,
            cwd=store.path.parent,
        )  # fmt: skip
        if ended.returncode:
            raise RuntimeError(ended.stderr)
        found.append([name, *map(number, json.loads(ended.stdout.splitlines()[-1]))])
    return found


def _many_files(folder: Path) -> list[list[str]]:
    """Return what a log costs that names as many files as there can be."""
    lake, table = str(folder), TABLES["candles"]
    Lake.make(lake, Author("bench", "bench", "0"))
    adds = [_file(pair, month) for pair in range(_PAIRS) for month in range(_MONTHS)]
    found = []

    def timed(name: str, seconds: float) -> None:
        found.append([name, number(seconds)])

    begin = time.perf_counter()
    create_table_with_add_actions(
        f"{lake}/candles", Schema.from_json(schema(table).to_json()), adds, mode="overwrite",
        partition_by=list(table.partition_by),
    )  # fmt: skip
    timed("one commit of all files", time.perf_counter() - begin)
    opened = Lake.find(lake)
    assert opened is not None
    begin = time.perf_counter()
    opened.tables["candles"].create_checkpoint()
    timed("a checkpoint", time.perf_counter() - begin)
    timed("open the lake", _median(lambda: Lake.find(lake)))
    key = Key("bitfinex", "tP007USD", "1m")
    timed("look at one series", _median(lambda: opened.look(key)))

    def held() -> None:
        again = Lake.find(lake)
        assert again is not None
        again.held()

    timed("open it, and go through the files of all series, as `publish` does once", _median(held))
    environ = {"PATH": os.environ["PATH"], "HOME": lake, "LAKE_URL": lake}
    begin = time.perf_counter()
    subprocess.run([MDATA, "lake", "status"], env=environ, check=True, capture_output=True)
    timed("`mdata lake status`", time.perf_counter() - begin)
    return found


def _file(pair: int, month: int) -> AddAction:
    start = month_start(2015 * 12 + month)
    values = {"exchange": "bitfinex", "timeframe": "1m", "symbol": f"tP{pair:03}USD", "period": month_name(start)}
    path = "/".join(f"{name}={value}" for name, value in values.items())
    stats = json.dumps({"numRecords": 43_200, "minValues": {}, "maxValues": {}, "nullCount": {}})
    return AddAction(f"{path}/part-0.parquet", 900_000, values, start + 31 * DAY, data_change=True, stats=stats)


def _median(work: object) -> float:
    found = []
    for _ in range(5):
        begin = time.perf_counter()
        work()  # type: ignore[operator]
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


if __name__ == "__main__":
    main()
