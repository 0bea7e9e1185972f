"""Tab in real shells: symbols and timeframes of the store, words, and silence where there is nothing to say."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import MDATA, Folder
from tab_key import press_tab


@pytest.fixture
def stored(folder: Folder) -> Folder:
    folder.run("backfill", SYMBOLS="BTCUSD,SPAUSD", TIMEFRAMES="1h,1D", BACKFILL_DAYS="3")
    return folder


@pytest.mark.parametrize(("words", "offered"), [
    (["sta"], ["status"]),
    (["status", "-s", ""], ["tBTCUSD", "tSPAUSD"]),
    (["status", "--symbol", "tS"], ["tSPAUSD"]),
    (["backfill", "-s", "B"], ["BTCUSD"]),
    (["repair", "-s", "spa"], ["spausd"]),
    (["status", "-s", "ETH"], []),
    (["status", "-t", ""], ["1h", "1D"]),
    (["gaps", "-t", "3"], ["30m", "3h"]),
    (["gaps", "--status", "f"], ["failed"]),
    (["jobs", "--command", "det"], ["detect-gaps"]),
    (["logs", "re"], ["repair"]),
    (["backfill", "--max-re"], ["--max-requests"]),
])  # fmt: skip
def test_tab_offers_what_fits(stored: Folder, words: list[str], offered: list[str]) -> None:
    assert press_tab(stored, *words) == offered


def test_tab_knows_the_store_that_an_option_names(stored: Folder) -> None:
    elsewhere = stored.path / "other.env"
    elsewhere.write_text(f"DATABASE_PATH={stored.database}\n")
    nowhere = str(stored.path / "nowhere.db")
    assert press_tab(stored, "status", "-s", "tS", DATABASE_PATH=nowhere) == []
    del stored.settings["DATABASE_PATH"]
    assert press_tab(stored, "status", "--env-file", str(elsewhere), "-s", "tS") == ["tSPAUSD"]


def test_tab_knows_what_the_exchange_lists_once_it_was_asked(stored: Folder) -> None:
    assert press_tab(stored, "backfill", "-s", "tN") == []
    assert stored.run("symbols").exit == 0
    assert press_tab(stored, "backfill", "-s", "tN") == ["tNEWUSD"]


@pytest.mark.parametrize("settings", [
    {}, {"TIMEFRAMES": "4h"}, {"DATABASE_PATH": "/proc/1/mem"}, {"MDATA_ENV_FILE": "/nowhere.env"},
])  # fmt: skip
def test_tab_neither_fails_nor_prints_without_a_store(folder: Folder, settings: dict[str, Any]) -> None:
    assert press_tab(folder, "status", "-s", "tB", **settings) in ([], ["tBTCUSD"])
    assert "1h" in press_tab(folder, "status", "-t", "", **settings)
    assert not folder.database.exists()
    (folder.path / "page.db").write_text("no database")
    assert press_tab(folder, "status", "-s", "t", DATABASE_PATH=str(folder.path / "page.db")) == ["tBTCUSD"]


def test_tab_imports_nothing_heavy(stored: Folder) -> None:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n"
        "sys.argv = ['mdata']\n"
        "from mdata.cli.main import run\nrun()\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=stored.path, capture_output=True, text=True, check=False, timeout=60,
        env=stored.environ(_MDATA_COMPLETE="complete_bash", COMP_WORDS="mdata\nstatus\n-s\nt", COMP_CWORD="3"),
    )  # fmt: skip
    assert finished.stdout.split() == ["tBTCUSD", "tSPAUSD"]
    heavy = {"httpx", "rich.console", "tenacity", "websockets", "sqlite_utils", "pydantic", "asyncio", "pandas"}
    assert not heavy & set(finished.stderr.split())


@pytest.mark.parametrize(("shell", "ask"), [
    ("zsh", "_MDATA_COMPLETE=complete_zsh _TYPER_COMPLETE_ARGS='mdata status -s t' mdata"),
    ("fish", "_MDATA_COMPLETE=source_fish mdata | source; complete -C 'mdata status -s t'"),
])  # fmt: skip
def test_other_shells_get_the_same(stored: Folder, shell: str, ask: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here: `apt install {shell}`")
    environment = stored.environ()
    environment["PATH"] = f"{MDATA.parent}:{environment['PATH']}"
    finished = subprocess.run(
        [shell, "-c", ask], env=environment, cwd=stored.path, text=True, capture_output=True, check=False, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
    assert "tBTCUSD" in finished.stdout
    assert "tSPAUSD" in finished.stdout


def test_completion_installs_itself(folder: Folder) -> None:
    environment = folder.environ(SHELL="/bin/bash")
    environment["PATH"] = f"{MDATA.parent}:{environment['PATH']}"
    for _ in range(2):
        subprocess.run(
            ["bash", "-c", "mdata --install-completion; true"], env=environment, cwd=folder.path, check=True
        )
    (script,) = Path(folder.path, ".bash_completions").iterdir()
    assert Path(folder.path, ".bashrc").read_text().count(str(script)) == 1
