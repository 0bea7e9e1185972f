"""`mdata timers install` where no systemd answers: what it would do, and what it refuses before that."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import MDATA, Folder


@pytest.fixture
def home(folder: Folder) -> Folder:
    """A home with an env file, where no systemd can be reached."""
    settings = {**folder.settings, "BACKFILL_ON_STARTUP": "false"}
    (folder.path / "mdata.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    folder.settings = {"MDATA_ENV_FILE": str(folder.path / "mdata.env"), "XDG_RUNTIME_DIR": str(folder.path)}
    return folder


def test_without_systemd_nothing_is_installed(home: Folder) -> None:
    ended = home.run("timers", "install", "--user", "--json")
    assert (ended.exit, ended.json["outcome"]) == (78, "failed")
    assert "does not answer here; `mdata timers show --cron`" in ended.json["reason"]
    assert not (home.path / ".config").exists()
    assert list(home.path.glob("*.timers.json")) == []


def test_a_dry_run_names_every_file_and_writes_none(home: Folder) -> None:
    ended = home.run("timers", "install", "--user", "--dry-run", "--json")
    assert ended.exit == 0, ended.err
    folder = home.path / ".config" / "systemd" / "user"
    written = [Path(one).relative_to(folder) for one in ended.json["written"]]
    assert Path("mdata-repair.service") in written
    assert Path("mdata-repair.timer.d/50-mdata.conf") in written
    assert "mdata-.service.d/10-system.conf" not in map(str, written), "a user's manager cannot keep these promises"
    assert ended.json["env_file"] == str(home.path / "mdata.env")
    assert not folder.exists()
    shown = home.run("timers", "install", "--user", "--dry-run")
    assert f"would have written {folder}/mdata-repair.service\n" in shown.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be a user without a home")
def test_a_user_without_a_home_is_told_so(home: Folder) -> None:
    stranger = [
        "setpriv",
        "--reuid=12345",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]
    home.before = [*stranger]
    ended = home.run("timers", "install", "--user", "--dry-run", "--json", HOME="")
    assert (ended.exit, "Traceback" in ended.err) == (78, False), ended.err
    assert "this user has no home folder" in ended.json["reason"]


def test_what_only_this_terminal_sees_is_told(home: Folder) -> None:
    ended = home.run("timers", "install", "--user", "--dry-run", SYMBOLS="ETHUSD", BACKFILL_DAYS="3")
    assert ended.exit == 0
    assert "the units do not see variables that are only set in this terminal: SYMBOLS, BACKFILL_DAYS" in ended.err
    # Another store than the units would have is refused.
    ended = home.run("timers", "install", "--user", "--dry-run", DATABASE_PATH=str(home.path / "other.db"))
    assert ended.exit == 78
    assert f"the units would use {home.database}, but this terminal uses {home.path / 'other.db'}" in ended.err


def test_an_env_file_must_stay(home: Folder) -> None:
    finished = subprocess.run(
        ["bash", "-c", f"{MDATA} timers install --user --dry-run --env-file <(cat mdata.env)"],
        cwd=home.path, env=home.environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 78
    assert "need a permanent env file" in finished.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is asked further")
def test_the_system_needs_its_user(home: Folder) -> None:
    import pwd

    if any(one.pw_name == "mdata" for one in pwd.getpwall()):
        pytest.skip("this machine has a user mdata")
    ended = home.run("timers", "install", "--system", "--dry-run")
    assert ended.exit == 78
    assert "the system's units need a user mdata" in ended.err
    assert "make install-system" in ended.err


def test_usage(home: Folder) -> None:
    assert home.run("timers", "install", "--user", "--system").exit == 2
    assert home.run("timers").exit == 2
    assert home.run("timers", "start").exit == 2
    ended = home.run("timers", "uninstall", "--user")
    assert ended.exit == 0
    assert "there are no units of mdata in" in ended.err


def test_show_says_that_nothing_is_installed(home: Folder) -> None:
    ended = home.run("timers", "show", "--json")
    assert ended.exit == 0
    assert (ended.json["manager"], ended.json["answers"]) == (None, False)
    assert [one["job"] for one in ended.json["timers"] if one["enabled"]] == [
        "backfill", "detect-gaps", "repair", "stream", "recheck", "status",
    ]  # fmt: skip
    assert "no timers are installed for this store" in ended.err
    lines = home.run("timers", "show").out.splitlines()
    assert lines[0].split("\t") == ["job", "every", "next", "last", "outcome", "exit", "log"]
    assert len(lines) == 1 + len(ended.json["timers"])
