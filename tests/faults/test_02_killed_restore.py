"""A restore or a backup that is killed at any call leaves the old store or the new one, and can be run again."""

from collections.abc import Callable

import pytest
from conftest import Folder
from copies import content
from killing import assert_sound, strace_fault

CALLS = "openat,rename,link,linkat,unlink,fsync,fdatasync,pwrite64,ftruncate,chmod,fchmod,chown"

pytestmark = pytest.mark.skipif(strace_fault() is not None, reason=str(strace_fault()))


def killed_at(folder: Folder, call: int, path: str, *arguments: str) -> bool:
    """Run a command that is killed at its nth call that concerns a path; return whether it came to that."""
    folder.before = [
        "strace", "-f", "-qq", "-o", "/dev/null", "-P", path, "-e", f"inject={CALLS}:signal=SIGKILL:when={call}"
    ]  # fmt: skip
    ended = folder.run(*arguments)
    folder.before = []
    assert ended.exit in {0, 137, -9}, ended.err
    return ended.exit != 0


@pytest.fixture
def full(folder: Folder) -> Folder:
    folder.settings["BACKFILL_DAYS"] = "2"
    assert folder.run("backfill").exit == 0
    assert folder.run("backup", "copy.db").exit == 0
    assert folder.run("backfill", BACKFILL_DAYS="3").exit == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("target", ["mdata.db", "mdata.db-wal", ""])
def test_a_killed_restore(full: Folder, target: str, record_property: Callable[[str, object], None]) -> None:
    new, kills = content(full.path / "copy.db")["candles"], 0
    for call in range(1, 40):
        old = content(full.database)["candles"]
        if not killed_at(full, call, str(full.path / target), "restore", "copy.db", "--yes"):
            break
        kills += 1
        # An old log beside the new file is refused, and nothing else can be left.
        state = full.run("status", "--json")
        assert state.exit in {0, 74}, state.err
        if state.exit == 0:
            assert content(full.database)["candles"] in (old, new)
            assert_sound(full)
        assert full.run("restore", "copy.db", "--yes").exit == 0
        assert content(full.database)["candles"] == new
        kept = sorted(full.path.glob("*.before-*"))
        assert kept
        for path in (*kept, *full.path.glob(".mdata.db.*")):
            path.unlink()
        assert full.run("backfill", BACKFILL_DAYS="3").exit == 0
    else:
        pytest.fail("there were more calls than this looks at")
    record_property("kills", kills)
    assert kills or target == "mdata.db-wal"


def test_a_killed_backup_leaves_no_half_of_one(full: Folder) -> None:
    now = content(full.database)["candles"]
    for call in range(1, 30):
        if not killed_at(full, call, str(full.path / "new.db"), "backup", "new.db"):
            break
        assert not (full.path / "new.db").exists() or content(full.path / "new.db")["candles"] == now
        (full.path / "new.db").unlink(missing_ok=True)
    assert content(full.path / "new.db")["candles"] == now
    assert content(full.database)["candles"] == now
