"""What a command costs, counted without a clock: modules imported, statements, rows looked at, bytes written."""

import re
import subprocess
import sys

import pytest
from conftest import Folder

from mdata.cli.main import COMMANDS

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
    assert {name for name in COMMANDS.values() if f"mdata.cli.{name}" in modules} == {COMMANDS[arguments[0]]}
