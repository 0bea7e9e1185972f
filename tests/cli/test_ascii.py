"""Paths beyond ASCII where names and output are ASCII (`LC_ALL=C`, cron's and many containers'): all of it works."""

from pathlib import Path

import pytest
from conftest import Folder, stored

from mdata.sandbox.server import Sandbox

COMMANDS = [
    ["backfill"], ["detect-gaps"], ["repair"], ["verify"], ["cleanup", "--yes"], ["stream", "--for", "1s"],
    ["status"], ["status", "--json"], ["status", "--check"], ["config"], ["config", "--json"], ["jobs"], ["gaps"],
    ["logs"], ["symbols"], ["export"], ["export", "-o", "öut.csv", "--json"], ["init", "--here"],
    ["notify", "mdata-ä"],
    ["timers", "show"], ["timers", "show", "--cron"], ["--help"], ["backfill", "-s", "BTCä"], ["gäps"],
]  # fmt: skip


@pytest.fixture
def ascii_only(tmp_path: Path, live: Sandbox) -> Folder:
    path = tmp_path / "dätá"
    path.mkdir()
    folder = Folder(path, live)
    # Python would make UTF-8 of the plain C locale; that of others, say en_US.ISO-8859-1, it leaves as it is.
    folder.settings |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "BACKFILL_DAYS": "3"}
    return folder


@pytest.mark.parametrize("is_in_a_file", [True, False], ids=["env file", "environment"])
def test_a_store_with_another_name_is_found_and_told(ascii_only: Folder, is_in_a_file: bool) -> None:
    folder = ascii_only
    folder.database = folder.path / "störe.db"
    paths = {
        "DATABASE_PATH": str(folder.database),
        "RATE_LIMIT_STATE_PATH": str(folder.path / "räte.json"),
        "PROMETHEUS_TEXTFILE": str(folder.path / "prömetheus.prom"),
    }
    if is_in_a_file:
        env_file = folder.path / "ä.env"
        env_file.write_text("".join(f"{name}={path}\n" for name, path in paths.items()), encoding="utf-8")
        del folder.settings["DATABASE_PATH"], folder.settings["RATE_LIMIT_STATE_PATH"]
        folder.settings["MDATA_ENV_FILE"] = str(env_file)
    else:
        folder.settings |= paths
    for arguments in COMMANDS:
        ended = folder.run(*arguments)
        assert "Traceback" not in ended.err, (arguments, ended.err)
        assert ended.exit in {0, 2, 3, 78}, (arguments, ended.err)
        assert (ended.out + ended.err).isascii(), arguments
    for arguments in (["status"], ["config"], ["gaps"]):
        code, screen = folder.show(*arguments, TERM="xterm")
        assert code == 0, screen
        assert "Traceback" not in screen
    assert len(stored(folder.database, "tBTCUSD", "1m")) >= 3 * 1400
    assert {"öut.csv", "räte.json", "prömetheus.prom"} <= {path.name for path in folder.path.iterdir()}
