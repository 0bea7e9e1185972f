"""What `mdata export` writes, read back by the tools that it is written for."""

import gzip
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DAY, MDATA, Ended, Folder, stored
from exported import rows_of

import mdata
from mdata.domain.freqtrade import file_of
from mdata.domain.timeframe import MINUTE
from mdata.domain.times import iso
from mdata.exchange.bitfinex.ccxt import ccxt_pair
from mdata.reading.formats import COLUMNS
from mdata.reading.kinds import Kind, file_name, kind_of

HOUR = 60 * MINUTE
RECIPES = Path(__file__).parents[2] / ".envs" / "recipes" / "bin" / "python"
needs_recipes = pytest.mark.skipif(
    not RECIPES.exists(), reason="pandas, Polars and DuckDB are not installed: run `make recipes`"
)


@pytest.fixture
def filled(folder: Folder) -> Folder:
    """A store of a dense and a thin pair, more than a look's worth of minutes."""
    folder.settings.update(SYMBOLS="BTCUSD,SPAUSD", TIMEFRAMES="1m", BACKFILL_DAYS="8")
    assert folder.run("backfill").exit == 0
    return folder


def read_by(script: str, folder: Folder, *arguments: str | Path) -> Any:
    ended = subprocess.run(
        [RECIPES, "-c", script, *arguments], cwd=folder.path, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


# Each prints [names, types, rows], a row being [symbol, time in ms, open, high, low, close, volume].
READERS = {
    "pandas": """
import sys, json, pandas
path = sys.argv[1]
read = {"csv": pandas.read_csv, "jsonl": lambda p: pandas.read_json(p, lines=True, precise_float=True),
        "parquet": pandas.read_parquet, "feather": pandas.read_feather}[sys.argv[2]]
d = read(path)
d["time"] = pandas.to_datetime(d["time"], utc=True).astype("datetime64[ms, UTC]")
names, kinds = list(d.columns), [str(t) for t in d.dtypes]
d["time"] = d["time"].astype("int64")
""",
    "polars": """
import sys, json, polars
path = sys.argv[1]
read = {"csv": polars.read_csv, "jsonl": polars.read_ndjson, "parquet": polars.read_parquet,
        "feather": polars.read_ipc}[sys.argv[2]]
d = read(path)
names, kinds = d.columns, [str(t) for t in d.dtypes]
if d.schema["time"] == polars.String:
    d = d.with_columns(polars.col("time").str.to_datetime(time_zone="UTC"))
d = d.with_columns(polars.col("time").dt.epoch("ms")).to_dict(as_series=False)
""",
    "duckdb": """
import sys, json, duckdb
path = sys.argv[1]
read = {"csv": "read_csv", "jsonl": "read_json", "parquet": "read_parquet"}[sys.argv[2]]
c = duckdb.sql(f"SELECT * FROM {read}('{path}')")
names, kinds = c.columns, [str(t) for t in c.types]
d = duckdb.sql("SELECT * REPLACE (epoch_ms(time::TIMESTAMPTZ) AS time) FROM c").fetchall()
d = dict(zip(names, zip(*d)))
""",
    "pyarrow": """
import sys, json, pyarrow.parquet, pyarrow.feather, pyarrow as pa
path = sys.argv[1]
read = {"parquet": pyarrow.parquet.read_table, "feather": pyarrow.feather.read_table}[sys.argv[2]]
t = read(path)
names, kinds = t.column_names, [str(f.type) for f in t.schema]
d = t.set_column(4, "time", t["time"].cast(pa.int64())).to_pydict()
""",
}
PRINT = """
rows = list(zip(*(list(d[n]) for n in ("symbol", "time", "open", "high", "low", "close", "volume"))))
print(json.dumps([names, kinds, rows], default=lambda v: v.item()))
"""


@needs_recipes
@pytest.mark.parametrize(
    ("name", "tools"),
    [
        ("all.csv", ("pandas", "polars", "duckdb")), ("all.csv.gz", ("pandas", "polars", "duckdb")),
        ("all.csv.zst", ("polars", "duckdb")), ("all.jsonl", ("pandas", "polars", "duckdb")),
        ("all.jsonl.zst", ("duckdb",)), ("all.parquet", ("pandas", "polars", "duckdb", "pyarrow")),
        ("all.feather", ("pandas", "polars", "pyarrow")),
    ],
)  # fmt: skip
def test_each_format_is_read_by_the_tools_it_is_for(filled: Folder, name: str, tools: tuple[str, ...]) -> None:
    ended = filled.run("export", "-o", name)
    assert ended.exit == 0, ended.err
    expected = [[symbol, *row] for symbol in ("tBTCUSD", "tSPAUSD") for row in stored(filled.database, symbol, "1m")]
    for tool in tools:
        names, kinds, rows = read_by(READERS[tool] + PRINT, filled, name, name.split(".")[1])
        assert names == list(COLUMNS), tool
        assert rows == expected, tool
        if name.endswith(("parquet", "feather")):
            told = {
                "pandas": "datetime64[ms, UTC]", "polars": "Datetime(time_unit='ms', time_zone='UTC')",
                "duckdb": "TIMESTAMP WITH TIME ZONE", "pyarrow": "timestamp[ms, tz=UTC]",
            }  # fmt: skip
            assert kinds[4] == told[tool]


@needs_recipes
def test_parquet_says_whether_it_is_complete(filled: Folder) -> None:
    held = stored(filled.database, "tBTCUSD", "1m")
    lost = held[200][0]
    filled.rows("DELETE FROM candles WHERE series_id = 1 AND open_time IN (?, ?)", lost, held[11_000][0])
    assert filled.run("export", "BTCUSD", "SPAUSD", "-o", "all.parquet").exit == 3
    script = """
import sys, json, pyarrow.parquet
file = pyarrow.parquet.ParquetFile(sys.argv[1])
print(json.dumps([json.loads(file.metadata.metadata[b"mdata"]), file.num_row_groups]))
"""
    about, groups = read_by(script, filled, "all.parquet")
    first, second = about["series"]
    assert (first["symbol"], first["complete"], first["unknown"]) == ("tBTCUSD", False, 2)
    assert first["unknown_ranges"][0] == [iso(lost), iso(lost + MINUTE)]
    assert (second["symbol"], second["complete"], second["unknown_ranges"]) == ("tSPAUSD", True, [])
    assert (first["start"], first["candles"]) == (iso(held[0][0]), len(held) - 2)
    assert groups == 1, "small parts make one group of rows"


def test_lines_of_json_are_complete_objects(filled: Folder) -> None:
    lines = filled.run("export", "SPAUSD", "--format", "jsonl").out.splitlines()
    held = stored(filled.database, "tSPAUSD", "1m")
    assert len(lines) == len(held)
    first = json.loads(lines[0])
    assert list(first) == list(COLUMNS)
    assert list(first.values()) == ["bitfinex", "tSPAUSD", "1m", held[0][0], iso(held[0][0]), *held[0][1:]]


def test_symbols_may_stand_alone_or_behind_an_option(filled: Folder) -> None:
    for arguments in (("btcusd",), ("-s", "BTCUSD"), ("BTC/USD", "-s", "tBTCUSD")):
        found = {row["symbol"] for row in rows_of(filled.run("export", *arguments, "--since", "-1d").out)}
        assert found == {"tBTCUSD"}
    assert filled.run("export", "BTC-USD").exit == 78


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("a.csv", None, Kind("csv")), ("a.csv.gz", None, Kind("csv", "gz")), ("a.csv.zst", "csv", Kind("csv", "zst")),
        ("a.jsonl", None, Kind("jsonl")), ("a", None, Kind("csv")), ("a", "parquet", Kind("parquet")),
        ("a.gz", None, Kind("csv", "gz")), ("a.gz", "jsonl", Kind("jsonl", "gz")), ("", None, Kind("csv")),
        ("a.b.feather", None, Kind("feather")), ("bitfinex-tBTCUSD-1m.parquet", None, Kind("parquet")),
    ],
)  # fmt: skip
def test_a_name_tells_the_format(name: str, given: str | None, kind: Kind) -> None:
    assert kind_of(name, given) == kind


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-o", "a.xlsx"), "mdata cannot write .xlsx files"),
        (("-o", "a.parqet"), "did you mean parquet?"),
        (("-o", "a.csv", "-f", "parquet"), "is the name of a csv file, but --format says parquet"),
        (("-o", "a.parquet.gz"), "is already compressed"),
        (("-o", "a.freqtrade"), "mdata cannot write .freqtrade files"),
        (("-f", "parquet"), "cannot be written to stdout"),
        (("-f", "excel"), "is not one of csv, jsonl"),
        (("-f", "freqtrade"), "give that folder with --output"),
        (("-f", "freqtrade", "-o", "mdata.db"), "reads its data from a folder"),
        (("--resample", "7h"), "divides a day"),
        (("--resample", "4h", "-t", "1m", "-t", "1h"), "which of 1m, 1h should be resampled?"),
    ],
)
def test_what_cannot_be_written_is_wrong_usage(filled: Folder, arguments: tuple[str, ...], sentence: str) -> None:
    before = sorted(filled.path.iterdir())
    ended = filled.run("export", *arguments)
    assert (ended.exit, ended.out) == (2, "")
    assert sentence in " ".join(ended.err.replace("│", " ").split())
    assert sorted(filled.path.iterdir()) == before


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.csv.zst", "folder/"])
def test_a_missing_extra_is_named(filled: Folder, name: str) -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from mdata.cli.main import run; run()"
    more = ("--format", "freqtrade") if name == "folder/" else ()
    ended = subprocess.run(
        [sys.executable, "-c", code, "export", "-o", name, *more], env=filled.environ(), cwd=filled.path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 78, ended.stderr
    assert re.search(r"pyarrow is not installed: run `\S+ -m pip install 'pyarrow>=18'`", ended.stderr)
    assert "Traceback" not in ended.stderr
    assert not (filled.path / name).is_file()


def test_coarser_candles_and_flat_ones_may_be_had(filled: Folder) -> None:
    reader = mdata.open(filled.database)
    whole = reader.candles("SPAUSD", "1m")
    start, end = whole.start, whole.end - whole.end % (4 * HOUR)
    ended = filled.run("export", "SPAUSD", "--resample", "4h", "--fill", "-o", "a.csv", "--json")
    assert ended.exit == 0, ended.err
    expected = reader.candles("SPAUSD", "1m", start, end).resample("4h").fill()
    rows = rows_of((filled.path / "a.csv").read_text())
    assert [(int(row["open_time"]), float(row["close"])) for row in rows] == [(one[0], one[4]) for one in expected]
    assert list(rows[0]) == [*COLUMNS, "is_filled"]
    assert {row["timeframe"] for row in rows} == {"4h"}
    (told,) = ended.json["series"]
    assert (told["timeframe"], told["end"], told["complete"]) == ("4h", iso(end), True)
    assert told["candles"] + told["filled"] == told["intervals"] == len(rows)
    minutes = filled.run("export", "SPAUSD", "--fill", "--until", iso(end))
    flags = [row["is_filled"] for row in rows_of(minutes.out)]
    assert flags.count("true") == sum(whole.fill().is_filled or b"") - sum(
        flag for flag, one in zip(whole.fill().is_filled or b"", whole.fill(), strict=True) if one.open_time >= end
    )


def test_coarse_candles_that_lack_a_part_end_with_3(filled: Folder) -> None:
    held = stored(filled.database, "tBTCUSD", "1m")
    filled.rows("DELETE FROM candles WHERE series_id = 1 AND open_time = ?", held[5000][0])
    ended = filled.run("export", "BTCUSD", "--resample", "1D")
    assert ended.exit == 3
    assert "1 of 8 intervals of bitfinex:tBTCUSD 1D is unknown" in ended.err
    until = iso(held[5000][0] - held[5000][0] % DAY)
    assert filled.run("export", "BTCUSD", "--resample", "1D", "--until", until).exit == 0


def test_many_series_make_a_folder_of_files(filled: Folder) -> None:
    filled.sandbox.market.pairs["tAVAX:USD"] = filled.sandbox.market.pairs["tSPAUSD"]
    settings = {"SYMBOLS": "BTCUSD,AVAX/USD", "TIMEFRAMES": "1h", "BACKFILL_DAYS": "2"}
    assert filled.run("backfill", **settings).exit == 0
    for place in ("new/deep/", "new/deep"):
        ended = filled.run("export", "-f", "parquet", "-o", place, "--json", **settings)
        assert ended.exit == 0, ended.err
        assert len(ended.json["series"]) == 2
    names = {"bitfinex-tBTCUSD-1h.parquet", "bitfinex-tAVAX_USD-1h.parquet"}
    assert {path.name for path in (filled.path / "new" / "deep").iterdir()} == names
    assert filled.run("export", "BTCUSD", "-o", "new/").exit == 0
    text = (filled.path / "new" / "bitfinex-tBTCUSD-1m.csv").read_text()
    assert text == filled.run("export", "BTCUSD").out
    assert file_name("bitfinex", "tAVAX:USD", "1m", Kind("csv")) == "bitfinex-tAVAX_USD-1m.csv"


def test_a_packed_file_is_whole_or_not_there(filled: Folder, wait: Callable[..., None]) -> None:
    for name in ("all.csv.gz", "all.parquet", "all.feather", "all.csv.zst"):
        process = filled.start("export", "-o", name)
        wait(lambda name=name, process=process: list(filled.path.glob(f".{name}*")) or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
        assert (process.returncode, err) == (143, ""), name
        assert not list(filled.path.glob(f"*{name}*"))
        assert not list(filled.path.glob(f".*{name}*"))
    assert filled.run("export", "-o", "all.csv.gz").exit == 0
    assert gzip.decompress((filled.path / "all.csv.gz").read_bytes()).decode() == filled.run("export").out


def test_a_full_disk_is_told_for_every_format(filled: Folder) -> None:
    # A limit on the size of files is a disk that is full, for one process.
    for name in ("a.csv", "a.csv.gz", "a.csv.zst", "a.jsonl", "a.parquet", "a.feather"):
        ended = subprocess.run(
            ["bash", "-c", f"trap '' XFSZ; ulimit -f 40; exec {MDATA} export -o {name}"],
            env=filled.environ(), cwd=filled.path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 74, (name, ended.stderr)
        assert f"cannot write {filled.path / name}" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert "Exception ignored" not in ended.stderr
        assert not (filled.path / name).exists()


def test_pairs_are_named_as_freqtrade_names_them(filled: Folder) -> None:
    assert ccxt_pair("tBTCUSD") == ("BTC", "USD")
    assert ccxt_pair("tBTCUST") == ("BTC", "USDT")
    assert ccxt_pair("tDUSK:USD") == ("DUSK", "USD")
    assert file_of(*ccxt_pair("tAVAX:UST"), "1M") == "AVAX_USDT-1Mo.feather"
    assert file_of(*ccxt_pair("tBTCUSD"), "1D") == "BTC_USD-1d.feather"
    ended = filled.run("export", "BTCF0/USTF0", "-f", "freqtrade", "-o", "data")
    assert ended.exit == 2
    assert "is a derivative" in ended.err
    # What Bitfinex renamed and what it calls so today would share a file.
    twice: Ended = filled.run("export", "XBTUSD", "BTCUSD", "-f", "freqtrade", "-o", "data")
    assert twice.exit == 2
    said = " ".join(twice.err.replace("│", " ").split())
    assert "two series would be written to the same file BTC_USD-1m.feather" in said
    assert not (filled.path / "data").exists()
