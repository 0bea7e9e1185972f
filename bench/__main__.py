"""Measure everything, print the table, and write `docs/performance.md`."""

import argparse
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from bench import errands, growth, ingest, ledger, life, limiter, reading, start, stream, traffic, writers
from bench.stores import YEAR, Store, generate
from bench.table import HEAD, Row, markdown
from mdata.store.sqlite import SQLITE_VERSION

REPORT = Path("docs/performance.md")
# Libraries whose versions the report lists.
_BESIDE = ("typer", "httpx", "sqlite-utils", "pyrate-limiter", "adbc-driver-sqlite", "pyarrow", "pandas", "polars")

_INTRODUCTION = """
How fast mdata is, compared with a baseline on the same machine. `make bench` writes this page; do not edit it by
hand.

In the first table, mdata and its baseline were measured alternately in one run. The table shows the median of the
ratios of all rounds, and in brackets the middle half of them; the last column says which of the two limits is kept:
*aim*, only *require*, or none (*missed*). Absolute times only hold for this machine, ratios for others too.
*processor* is the ratio of processor time, which is comparable even if the machine has other work (see the load
below). The stores are generated: 20 series of one-minute candles with 1,000 gaps, of which 900 are stretches of three
minutes without an answer, and 100 are deleted candles.

`tests/project/test_cost.py` checks without a clock what these figures depend on: which modules a command imports, how
many statements, commits and pages of the log it takes, and how many more steps the statements need if there are ten
times as many candles.
"""

_LIFE = """
A page arrives compressed over HTTP on loopback and ends on the disk. The floor is the minimum that does the same
without validation and without a ledger. The rate limit of the exchange leaves at least two seconds between two
pages.
"""

_START = """
Each line is a process that goes one step further than the one before: the first column of figures is what this step
adds, *in all* is the whole process. Python and typer are the floor. The import lines are `python -c`, which ends with
the interpreter's own shutdown. The line *options, settings, open, ask, JSON* is the real command, which skips that
shutdown, so what it adds can be negative. A command imports nothing that it does not need. pip compiles modules when
it installs them; `uv` needs `--compile-bytecode` for that. Without compiled modules, a service that cannot write
beside them compiles them at every start.
"""

_GROWTH = """
The same work on stores that only differ in the number of candles. For what the ledger can answer, mdata reads one row
for each range in `coverage` and one for each gap. The cost of all other work grows with the data that it reads, and
`verify` reads everything. (In a larger store gaps are further apart, so fewer of them fit into the page of one
request.)
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no large store, and nothing is written")
    quick = parser.parse_args().quick
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mdata-bench-") as name:
        parts = _measure(Path(name), quick=quick)
    took = time.monotonic() - began
    about = f"{_machine()}; `make bench{'-quick' if quick else ''}` took {took / 60:.0f} min."
    print(about)
    if not quick:
        REPORT.write_text("\n".join(["# Performance", _INTRODUCTION, about, "", *parts]))


def _measure(folder: Path, *, quick: bool) -> list[str]:
    small = generate(folder / "small.db", 50_000, holes=900, lost=100)
    whole = generate(folder / "whole.db", 50_000)
    large = None if quick else generate(folder / "large.db", YEAR, holes=900, lost=100)
    rounds = 7 if quick else 25
    rows = start.rows(small, whole, rounds)
    rows += ingest.rows(_in(folder, "ingest"), 16 if quick else 60)
    rows += ledger.rows(small, large, rounds)
    rows += limiter.rows(_in(folder, "limiter"), 5 if quick else 20)
    rows += writers.rows(_in(folder, "writers"), 1 if quick else 5, 4 if quick else 12)
    rows += traffic.rows(_in(folder, "traffic"), 60 if quick else 365, 8 if quick else 40)
    rows += errands.rows(_in(folder, "errands"), 1 if quick else 5)
    rows += reading.rows(_in(folder, "reading"), 5 if quick else 15, 500_000 if quick else reading.WHOLE)
    rows += [*_stream(folder, quick=quick), *_elsewhere()]
    parts = ["## Goals", "", _shown(HEAD, [row.cells() for row in rows]), ""]
    pages, stages = life.page(_in(folder, "life"), 10 if quick else 60), life.start(small, rounds)
    parts += ["## One page's life", _LIFE, _shown(life.PAGE_HEAD, pages), ""]
    parts += ["## A start", _START, _shown(life.START_HEAD, stages), ""]
    stores = [small]
    if large is not None:
        stores += [generate(folder / "middle.db", 250_000, holes=900, lost=100), large]
    return [*parts, *_growth(stores, 3 if quick else 9)]


def _growth(stores: list[Store], rounds: int) -> list[str]:
    found = growth.rows(stores, rounds)
    return ["## Growth", _GROWTH, _shown(growth.head(stores), found), ""]


def _stream(folder: Path, *, quick: bool) -> list[Row]:
    """Measure the stream in real time, except in the quick run."""
    if quick:
        return [Row("stream: lag of the commit, memory", None, None, None, "not in the quick run")]
    return stream.rows(_in(folder, "stream"), 5)


def _elsewhere() -> list[Row]:
    return [Row("`freqtrade list-data` ÷ `status`", 15, 25, None, "`make bench-peers`", at_least=True)]


def _in(folder: Path, name: str) -> Path:
    inner = folder / name
    inner.mkdir()
    return inner


def _shown(head: list[str], rows: list[list[str]]) -> str:
    text = markdown(head, rows)
    print(text, end="\n\n", flush=True)
    return text


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    niceness = f", niceness {os.nice(0)}" if os.nice(0) else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(
        f"{name} {version(name)}"
        for name in ("typer", "httpx", "sqlite-utils", "pyrate-limiter", "adbc-driver-sqlite", "pandas", "polars")
    )
    return (
        f"Measured {time.strftime('%Y-%m-%d', time.gmtime())} on {os.cpu_count()} × {model}, {memory:.0f} GiB, "
        f"{platform.system()}, load {os.getloadavg()[1]:.1f}{niceness}; "
        f"Python {sys.version.split()[0]}, SQLite {SQLITE_VERSION}, {packages}"
    )


if __name__ == "__main__":
    main()
