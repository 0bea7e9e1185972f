"""The crontab of `timers show --cron`, run line by line as cron would: no environment, no words on success."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MDATA, Folder

from mdata.clock import RehearsalClock, SystemClock
from mdata.domain.times import DAY_SECONDS, MINUTE_SECONDS
from mdata.flock.lock import FileLock
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox

SPEED = 120.0
LINE = re.compile(r"(@reboot|\S+ \S+ \S+ \S+ \S+) (.*)")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Folder]:
    """A home whose name wants quoting, an env file in it, and an exchange that runs faster than life."""
    system = SystemClock()
    origin = system.now(), system.boottime(), SPEED
    with Sandbox(Market({"tBTCUSD": Pair("tBTCUSD")}), RehearsalClock(*origin)) as sandbox:
        folder = Folder(tmp_path / "a 100% home", sandbox)
        folder.path.mkdir()
        settings = {
            **folder.settings, "MDATA_REHEARSAL": ",".join(map(repr, origin)), "BACKFILL_DAYS": "1",
            "STREAM_DURATION_MINUTES": "2", "RETENTION_DAYS": "30", "REST_UPDATE_ENABLED": "true",
        }  # fmt: skip
        (folder.path / "mdata.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        folder.settings = {}
        yield folder


def crontab(home: Folder) -> list[tuple[str, str]]:
    ended = home.run("timers", "show", "--cron", "--env-file", str(home.path / "mdata.env"))
    assert (ended.exit, ended.err) == (0, "")
    lines = [line for line in ended.out.splitlines() if not line.startswith("#")]
    assert all(line.count("%") == line.count(r"\%") for line in lines), "cron ends a command at a bare %"
    found = [LINE.fullmatch(line) for line in lines]
    return [(one[1], one[2].replace(r"\%", "%")) for one in found if one]


def run(home: Folder, command: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        ["env", "-i", f"HOME={home.path}", "PATH=/usr/bin:/bin", "sh", "-c", command],
        cwd=home.path, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


def test_every_line_works_and_says_nothing(home: Folder) -> None:
    lines = crontab(home)
    jobs = [re.search(r"/mdata'? ([a-z-]+)", command) for _, command in lines]
    assert [one and one[1] for one in jobs] == [
        "backfill", "backfill", "update", "detect-gaps", "repair", "stream", "cleanup", "verify", "status",
    ]  # fmt: skip
    for _, command in lines:
        assert str(MDATA) in command
        assert run(home, command) == (0, "", ""), command
    done = {row[0] for row in home.rows("SELECT DISTINCT command FROM ingestion_jobs WHERE outcome = 'ok'")}
    assert done == {"backfill", "update", "detect-gaps", "repair", "stream", "cleanup", "verify"}


def test_a_second_stream_leaves_without_a_word(home: Folder) -> None:
    (command,) = (command for _, command in crontab(home) if " stream " in command)
    lock = FileLock(home.database.with_name("mdata.db.stream.lock"))
    assert lock.acquire(0)
    try:
        assert run(home, command) == (75, "", "")
    finally:
        lock.close()


def test_failures_are_mailed(home: Folder) -> None:
    env_file = home.path / "mdata.env"
    (command,) = {command for _, command in crontab(home) if " backfill " in command}
    env_file.write_text("BACKFILL_DAYS=six\n")
    code, out, err = run(home, command)
    assert (code, out) == (78, "")
    assert "BACKFILL_DAYS is invalid" in err


@pytest.mark.parametrize(("settings", "job", "expected"), [
    ({}, "backfill", ["4 * * * *", "@reboot"]),
    ({"BACKFILL_INTERVAL_MINUTES": "90", "BACKFILL_ON_STARTUP": "false"}, "backfill",
     ["4 0-23/3 * * *", "34 1-23/3 * * *"]),
    ({"GAP_REPAIR_INTERVAL_MINUTES": str(7 * DAY_SECONDS // MINUTE_SECONDS)}, "repair", ["12 0 * * 1"]),
    ({"UPDATE_INTERVAL_SECONDS": "5"}, "update", ["* * * * *"]),
    ({"REST_UPDATE_ENABLED": "false"}, "update", []),
    ({"RETENTION_DAYS": "0"}, "cleanup", []),
    ({}, "cleanup", ["20 4 * * *"]),
    ({}, "status", ["14-59/15 * * * *"]),
])  # fmt: skip
def test_when(home: Folder, settings: dict[str, str], job: str, expected: list[str]) -> None:
    env_file = home.path / "mdata.env"
    kept = [line for line in env_file.read_text().splitlines() if line.split("=")[0] not in settings]
    env_file.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in settings.items())]) + "\n")
    assert [when for when, command in crontab(home) if f" {job} " in command] == expected
