"""The note beside the store that says who schedules it."""

from pathlib import Path

import pytest

from mdata.timers import owner
from mdata.timers.manager import journal
from mdata.timers.owner import Marker

SYSTEM = Marker("system", "root", Path("/etc/systemd/system"), Path("/etc/mdata/mdata.env"), "0.1.0")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    database = tmp_path / "mdata.db"
    assert owner.read(database) is None
    for one in (SYSTEM, Marker("user", "ann", Path("/home/ann/.config/systemd/user"), None, "1.20.3")):
        owner.write(database, one)
        assert owner.read(database) == one
    assert (tmp_path / "mdata.db.timers.json").exists()
    owner.remove(database)
    owner.remove(database)
    assert owner.read(database) is None


DAMAGED = [
    "", "{", "[]", "null", "\x00", '"user"', '{"manager": "user"}',
    '{"manager": "cron", "user": "", "unit_folder": "/", "env_file": null, "version": "1"}',
    '{"manager": "user", "user": "", "unit_folder": "x", "env_file": null, "version": "1"}',
]  # fmt: skip


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_note_says_nothing(tmp_path: Path, damaged: str) -> None:
    database = tmp_path / "mdata.db"
    owner.marker_path(database).write_text(damaged)
    assert owner.read(database) is None


@pytest.mark.parametrize(("written", "tool", "outdated"), [
    ("0.1.0", "0.1.0", False), ("0.1.0", "0.1.1", True), ("0.9.0", "0.10.0", True), ("2.0", "1.9.9", False),
])  # fmt: skip
def test_older_units_are_told(written: str, tool: str, outdated: bool) -> None:
    assert Marker("user", "ann", Path("/u"), None, written).is_outdated(tool) is outdated


def test_the_journal_is_that_of_the_right_manager() -> None:
    assert journal("user", "repair") == ["journalctl", "--user", "--unit=mdata-repair.service"]
    assert journal("system") == ["journalctl", "--unit=mdata-*"]
