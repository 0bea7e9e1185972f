"""The note beside the store that says who schedules it."""

from pathlib import Path

import pytest

from mdata.units import marker
from mdata.units.manager import journal
from mdata.units.marker import Marker

SYSTEM = Marker("system", "root", Path("/etc/systemd/system"), Path("/etc/mdata/mdata.env"), "0.1.0")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    database = tmp_path / "mdata.db"
    assert marker.read(database) is None
    for one in (SYSTEM, Marker("user", "ann", Path("/home/ann/.config/systemd/user"), None, "1.20.3")):
        marker.write(database, one)
        assert marker.read(database) == one
    assert (tmp_path / "mdata.db.timers.json").exists()
    marker.remove(database)
    marker.remove(database)
    assert marker.read(database) is None


DAMAGED = [
    "", "{", "[]", "null", "\x00", '"user"', '{"manager": "user"}',
    '{"manager": "cron", "user": "", "unit_folder": "/", "env_file": null, "version": "1"}',
    '{"manager": "user", "user": "", "unit_folder": "x", "env_file": null, "version": "1"}',
]  # fmt: skip


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_note_says_nothing(tmp_path: Path, damaged: str) -> None:
    database = tmp_path / "mdata.db"
    marker.marker_path(database).write_text(damaged)
    assert marker.read(database) is None


@pytest.mark.parametrize(("written", "tool", "outdated"), [
    ("0.1.0", "0.1.0", False), ("0.1.0", "0.1.1", True), ("0.9.0", "0.10.0", True), ("2.0", "1.9.9", False),
])  # fmt: skip
def test_older_units_are_told(written: str, tool: str, outdated: bool) -> None:
    assert Marker("user", "ann", Path("/u"), None, written).is_outdated(tool) is outdated


def test_the_journal_is_that_of_the_right_manager() -> None:
    assert journal("user", "repair") == ["journalctl", "--user", "--unit=mdata-repair.service"]
    assert journal("system") == ["journalctl", "--unit=mdata-*"]
