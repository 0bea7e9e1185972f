"""The tutorial, typed into a real shell as it stands on the page, against a real sandbox and the real clock."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import MDATA, Folder

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
# Somebody who reads is slow enough; a script is not.
PATIENCE = "for i in $(seq 600); do grep -q WS_URL sandbox.env && break; sleep 0.1; done"


def test_the_first_steps_of_the_readme(folder: Folder) -> None:
    readme = TUTORIAL.parent.parent.joinpath("README.md").read_text()
    (steps,) = re.findall(r"```console\n\$ make install .*?\n(.*?)```", readme, re.DOTALL)
    urls = {name: value for name, value in folder.settings.items() if name.startswith("BITFINEX")}
    folder.settings = {**urls, "RATE_LIMIT_DELAY": "0", "BACKFILL_DAYS": "2"}
    commands = [line.removeprefix("$ mdata ").partition("#")[0].split() for line in steps.splitlines()]
    assert [words[0] for words in commands] == ["init", "backfill", "backfill", "status"]
    for words in commands:
        # The sandbox of the tests has no tETHUSD.
        ended = folder.run(*words, SYMBOLS="BTCUSD")
        assert ended.exit == 0, ended.err
    assert (folder.path / ".config/mdata/mdata.env").exists()
    assert (folder.path / ".local/share/mdata/mdata.db").exists()


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3 here: `apt install sqlite3`")
def test_the_tutorial_works_as_it_is_written(folder: Folder) -> None:
    blocks = re.findall(r"```console\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    commands = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert "mdata repair" in commands
    *typed, last = [PATIENCE if one == "sleep 2" else one for one in commands]
    assert last == "kill %1"
    # A command that is to fail says so itself: `…; echo "exit $?"`.
    checked = [one if one.endswith(("&", '"exit $?"')) else f"{one} || exit 1" for one in typed]
    script = ["trap 'kill %1' EXIT", *checked, "mdata status --json > end.json"]
    environment = {"PATH": f"{MDATA.parent}:{folder.environ()['PATH']}", "HOME": str(folder.path)}
    ended = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=folder.path, env=environment, text=True, capture_output=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "exit 3" in ended.stdout.splitlines()
    (opened,) = re.findall(r"detect-gaps outcome=ok .* gaps_opened=(\d+)", ended.stderr)
    assert 28 <= int(opened) <= 31, "three minutes in every 25 hours of 30 days and a part of today"
    assert re.search(rf"repair outcome=ok .* gaps_repaired={opened}\b", ended.stderr), ended.stderr
    state = folder.json_in("end.json")
    assert [one["symbol"] for one in state["series"]] == ["tBTCUSD", "tETHUSD"]
    assert all(one["complete"] for one in state["series"])
    eth = state["series"][1]
    assert eth["empty"] >= 120, "two hours stood still"
