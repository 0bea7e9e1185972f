"""Measure everything, print the table, and write `docs/performance.md`."""

import argparse
import tempfile
from pathlib import Path

from bench import start
from bench.stores import generate
from bench.table import HEAD, markdown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the large store, and write nothing")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="mdata-bench-") as name:
        folder = Path(name)
        small = generate(folder / "small.db", 50_000, holes=900, lost=100)
        whole = generate(folder / "whole.db", 50_000)
        rows = start.rows(small, whole, 7 if quick else 21)
        print(markdown(HEAD, [row.cells() for row in rows]))


if __name__ == "__main__":
    main()
