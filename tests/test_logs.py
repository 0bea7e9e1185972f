"""`mdata logs`: the journal of a run from the manager that started it, and the row of a run started by hand."""

import os
from pathlib import Path

import pytest
from conftest import MDATA, Folder

from mdata.timers import owner
from mdata.timers.owner import Marker

ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def journalctl(folder: Folder) -> Folder:
    """Put a journalctl on the PATH that says how it was called: there is no journal where tests run."""
    script = folder.path / "bin" / "journalctl"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    script.chmod(0o755)
    folder.settings["PATH"] = f"{script.parent}:{os.environ['PATH']}"
    return folder


def run_as_a_unit(folder: Folder, *arguments: str) -> None:
    with (folder.path / "journal").open("w") as journal:
        status = os.fstat(journal.fileno())
        environment = folder.environ(JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}", INVOCATION_ID=ID)
        folder.start_into(journal, *arguments, environment=environment)


def test_without_a_run_there_is_nothing_to_open(journalctl: Folder) -> None:
    ended = journalctl.run("logs")
    assert (ended.exit, ended.out) == (0, "")
    assert "no job has run yet: run `mdata backfill`" in ended.err
    journalctl.run("backfill", BACKFILL_DAYS="1")
    assert "repair has not run yet" in journalctl.run("logs", "repair").err


@pytest.mark.parametrize("manager", ["user", "system"])
def test_the_journal_comes_from_the_manager_that_ran_the_job(journalctl: Folder, manager: str) -> None:
    run_as_a_unit(journalctl, "update")
    owner.write(journalctl.database, Marker(manager, "somebody", Path("/etc/systemd/system"), None, "0.1.0"))
    asked = journalctl.run("logs", "update").out.split()
    assert ("--user" in asked) == (manager == "user")
    assert f"_SYSTEMD_INVOCATION_ID={ID}" in asked
    told = journalctl.run("logs", "--json").json
    assert (told["job"]["command"], told["job"]["invocation_id"]) == ("update", ID)
    assert f"_SYSTEMD_INVOCATION_ID={ID}" in told["lines"]


def test_a_run_by_hand_has_no_journal_and_shows_its_row(journalctl: Folder) -> None:
    # A terminal that systemd started has such an id too, and hands it on.
    journalctl.run("backfill", BACKFILL_DAYS="1", INVOCATION_ID=ID, JOURNAL_STREAM="9:9999")
    ended = journalctl.run("logs", "backfill")
    assert ended.exit == 0
    assert "started by hand" in ended.err
    assert "outcome\tok" in ended.out
    assert journalctl.run("logs", "--json").json["lines"] is None


@pytest.mark.parametrize(
    ("said", "code", "advice"),
    [
        ("No journal files were opened due to insufficient permissions.", 77, "usermod -aG systemd-journal"),
        ("Failed to open files: \x1b[31mBad message", 78, "Bad message"),
    ],
)
def test_a_journal_that_cannot_be_read_is_no_bug(journalctl: Folder, said: str, code: int, advice: str) -> None:
    run_as_a_unit(journalctl, "update")
    script = journalctl.path / "bin" / "journalctl"
    script.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    for arguments in (["logs"], ["logs", "--json"]):
        ended = journalctl.run(*arguments)
        assert ended.exit == code, ended.err
        assert advice in ended.err
        assert "\x1b" not in ended.err


def test_a_machine_without_journalctl_is_told(folder: Folder) -> None:
    run_as_a_unit(folder, "update")
    for arguments in (["logs"], ["logs", "--json"]):
        ended = folder.run(*arguments, PATH=str(MDATA.parent))
        assert ended.exit == 78
        assert f"_SYSTEMD_INVOCATION_ID={ID}" in ended.err
