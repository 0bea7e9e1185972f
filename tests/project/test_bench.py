"""The benchmark still runs: each of its parts once, on stores so small that nothing is measured."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = """
import sys
from pathlib import Path
from bench import errands, growth, ingest, ledger, life, reading, start, table, traffic, writers
from bench.stores import generate
folder = Path(sys.argv[1])
small, whole = generate(folder / "small.db", 12_000, holes=40, lost=20), generate(folder / "whole.db", 12_000)
rows = [*start.rows(small, whole, 1), *ingest.rows(folder, 4), *ledger.rows(small, small, 1)]
rows += [*writers.rows(folder, 1, 1), traffic.requests(folder, 2, "dense", 1.0, 3), errands.update(folder, 1)]
(folder / "reading").mkdir()
rows += reading.rows(folder / "reading", 1, 20_000, others=())
stages = [*life.page(folder, 2), *life.start(small, 1), *growth.rows([small], 1)]
print(table.markdown(table.HEAD, [row.cells() for row in rows]))
print(table.markdown(["a", "b", "c", "d"], stages))
"""


def test_every_part_of_the_benchmark_runs(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PARTS, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    assert len(finished.stdout.splitlines()) > 30
