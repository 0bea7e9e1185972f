"""The recipes of docs/howto.md, run as they stand there, against a store in the place where a user has it."""

import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import MDATA, Folder

from mdata.clock import SystemClock
from mdata.domain.interval import Range
from mdata.sandbox.market import Pair

HERE = Path(__file__).parents[2]
RECIPES = HERE / ".envs" / "recipes" / "bin" / "python"


class Block(NamedTuple):
    heading: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(page: str) -> list[Block]:
    found, heading = [], ""
    text = (HERE / "docs" / page).read_text()
    for match in re.finditer(r"^#+ ([^\n]+)$|^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        heading = match[1] or heading
        if match[2]:
            found.append(Block(heading, match[2], match[3]))
    return found


CONSOLE = [one for one in blocks("howto.md") if one.language == "console"]
PYTHON = [one for one in blocks("howto.md") if one.language == "python"]
API = [one for one in blocks("api.md") if one.language == "python"]


@pytest.fixture
def home(folder: Folder) -> Folder:
    """Store three days of two pairs, one of them silent at times, where the settings of a user have it."""
    now = SystemClock().now()
    # Four hours: at a density of 0.1, two are remarkable at some times of the day only.
    hours = Range(now - 32 * 3_600_000, now - 28 * 3_600_000)
    folder.sandbox.market.pairs["tSPAUSD"] = Pair("tSPAUSD", density=0.1, holes=(hours,))
    folder.database = folder.path / ".local" / "share" / "mdata" / "mdata.db"
    folder.settings |= {"DATABASE_PATH": str(folder.database), "SYMBOLS": "BTCUSD,SPAUSD", "BACKFILL_DAYS": "3"}
    env_file = folder.path / ".config" / "mdata" / "mdata.env"
    env_file.parent.mkdir(parents=True)
    env_file.write_text("".join(f"{name}={value}\n" for name, value in folder.settings.items()))
    assert folder.run("backfill").exit == 0
    folder.settings = {}
    return folder


def shell(home: Folder, command: str) -> subprocess.CompletedProcess[str]:
    environment = home.environ()
    environment["PATH"] = f"{MDATA.parent}:{environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", command], cwd=home.path, env=environment, text=True, capture_output=True, check=False,
        timeout=120,
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3 here: `apt install sqlite3`")
@pytest.mark.parametrize("block", CONSOLE, ids=lambda one: one.heading)
def test_what_is_typed_works(home: Folder, block: Block) -> None:
    for command in block.commands:
        ended = shell(home, command)
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        assert "Traceback" not in ended.stderr
        if command.startswith("sqlite3 -header -column"):
            assert len(ended.stdout.splitlines()) > 2, f"{command} found nothing"


def test_the_spreadsheet_has_every_candle(home: Folder) -> None:
    (block,) = [one for one in CONSOLE if "spreadsheet" in one.heading]
    shell(home, block.commands[0])
    lines = (home.path / "btcusd.csv").read_text().splitlines()
    ((count,),) = home.rows("SELECT count(*) FROM ohlcv WHERE symbol = 'tBTCUSD'")
    assert lines[0] == "exchange,symbol,timeframe,open_time,time,open,high,low,close,volume"
    assert len(lines) == count + 1


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3 here: `apt install sqlite3`")
def test_the_copy_is_as_complete_as_the_store(home: Folder) -> None:
    (block,) = [one for one in CONSOLE if "Back it up" in one.heading]
    shell(home, block.commands[0])
    told = [home.run("status", "--json", DATABASE_PATH=path).json["series"]
            for path in (str(home.database), str(home.path / "copy.db"))]  # fmt: skip
    for copied, own in zip(*told, strict=True):
        assert (copied["candles"], copied["empty"]) == (own["candles"], own["empty"])


def run_python(home: Folder, block: Block) -> list[str]:
    ended = subprocess.run(
        [RECIPES, "-c", block.text], cwd=home.path, env=home.environ(), text=True, capture_output=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


needs_recipes = pytest.mark.skipif(
    not RECIPES.exists(), reason="pandas, Polars and DuckDB are not installed: run `make recipes`"
)


@needs_recipes
@pytest.mark.parametrize("block", PYTHON, ids=lambda one: one.heading)
def test_python_recipes_see_every_candle(home: Folder, block: Block) -> None:
    rows = home.rows("SELECT close FROM ohlcv WHERE symbol = 'tBTCUSD' ORDER BY open_time")
    count, close = run_python(home, block)[-1].split()
    assert (int(count), float(close)) == (len(rows), rows[-1][0])


@needs_recipes
@pytest.mark.parametrize("block", API, ids=lambda one: one.heading)
def test_the_examples_of_the_read_api_run(home: Folder, block: Block) -> None:
    assert run_python(home, block)


@needs_recipes
def test_the_read_api_tells_what_the_page_says(home: Folder) -> None:
    rows = home.rows("SELECT count(*) FROM ohlcv WHERE symbol = 'tBTCUSD'")
    shown = {block.heading: run_python(home, block) for block in API}
    assert shown["Reading from Python"][0] == "1440 True"
    assert "intervals of bitfinex:tBTCUSD 1m are unknown: " in shown["Is it all there?"][0]
    minutes, filled, made_up = map(int, shown["Coarser, and without holes"][0].split())
    assert minutes + made_up == filled > 1000
    assert shown["More than memory holds"] == [str(rows[0][0])]


def test_the_monitor_is_called_as_the_recipe_says(home: Folder) -> None:
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            called.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as monitor:
        thread = threading.Thread(target=monitor.serve_forever, args=(0.02,))
        thread.start()
        url = f"http://127.0.0.1:{monitor.server_address[1]}/0f3a"
        assert home.run("status", "--check", PING_URL=url).exit == 0
        sick = home.run("status", "--check", PING_URL=url, SYMBOLS="NEWUSD")
        monitor.shutdown()
        thread.join()
    assert sick.exit == 3
    assert "0f3a" not in sick.out + sick.err
    assert called == ["/0f3a", "/0f3a/3"]


def test_no_recipe_got_lost() -> None:
    headings = " ".join(one.heading for one in (*CONSOLE, *PYTHON))
    assert all(word in headings for word in ("SQLite", "pandas", "Polars", "DuckDB", "browser", "exit code"))
