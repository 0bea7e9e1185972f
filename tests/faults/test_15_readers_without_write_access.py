"""Scenario 15: a store whose folder may not be written is read all the same, and it is said how."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import UNPRIVILEGED, Folder
from killing import needs_strace
from serving import Served

from mdata.store.sqlite import sqlite3

LOOKS = [
    ["status", "--json"], ["export"], ["gaps", "--json"], ["jobs", "--json"], ["verify", "--dry-run", "--json"],
]  # fmt: skip
LOGS = ["no log", "an empty log", "a log", "a log and its index"]


@pytest.fixture
def theirs(folder: Folder) -> Iterator[Folder]:
    """A store in a folder of its own, filled, with a row in its log that the file does not hold."""
    place = folder.path / "theirs"
    place.mkdir()
    (folder.path / "tmp").mkdir()
    folder.database = place / "mdata.db"
    folder.settings |= {"DATABASE_PATH": str(folder.database), "TMPDIR": str(folder.path / "tmp")}
    folder.settings |= {"BACKFILL_DAYS": "3", "TIMEFRAMES": "1h"}
    assert folder.run("backfill").exit == 0
    yield folder
    place.chmod(0o755)


def leave(folder: Folder, log: str) -> None:
    """Leave the store as a crash, or a snapshot in the midst of a run, does; and take the right to write away."""
    place, crashed = folder.database.parent, folder.path / "crashed"
    if log in {"a log", "a log and its index"}:
        crashed.mkdir()
        connection = sqlite3.connect(folder.database, isolation_level=None)
        connection.execute("UPDATE series SET wanted_start = wanted_start + 3600000")
        for file in place.glob("mdata.db*"):
            shutil.copy(file, crashed)
        connection.close()
        for file in crashed.iterdir():
            shutil.copy(file, place)
        if log == "a log":
            (place / "mdata.db-shm").unlink()
    elif log == "an empty log":
        (place / "mdata.db-wal").touch()
    for file in place.iterdir():
        file.chmod(0o444)
    place.chmod(0o555)
    folder.before = list(UNPRIVILEGED)
    probe = subprocess.run([*UNPRIVILEGED, "touch", place / "x"], capture_output=True, check=False)
    if probe.returncode == 0:
        pytest.skip("nothing can be made read-only for this user")


def contents(place: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in place.iterdir()}


@pytest.mark.parametrize("log", LOGS)
def test_every_look_says_what_it_says_with_write_access(theirs: Folder, log: str) -> None:
    leave(theirs, log)
    before = contents(theirs.database.parent)
    # A copy in a folder that may be written: what SQLite makes of the very same bytes.
    beside = theirs.path / "beside"
    shutil.copytree(theirs.database.parent, beside)
    for file in (beside, *beside.iterdir()):
        file.chmod(0o755)
    words = {"a log": "private copy", "a log and its index": None}.get(log, "without locks")
    for look in LOOKS:
        found = theirs.run(*look)
        expected = theirs.run(*look, DATABASE_PATH=str(beside / "mdata.db"))
        assert found.exit == expected.exit == 0, (look, found.err)
        told = found.out.replace(str(theirs.database), str(beside / "mdata.db"))
        assert steady(told) == steady(expected.out), look
        assert (words or "") in found.err, (look, found.err)
        assert len(found.err.splitlines()) == len(expected.err.splitlines()) + (words is not None), found.err
    assert contents(theirs.database.parent) == before
    assert list((theirs.path / "tmp").iterdir()) == []


def steady(text: str) -> str:
    """Leave out what differs between two looks at equal stores: how old the newest candle is, how large the files."""
    return re.sub(r'"(lag_seconds|bytes|wal_bytes)": \d+', "", text)


@pytest.mark.parametrize("log", LOGS)
def test_serve_reads_it_and_what_is_written_later(theirs: Folder, log: str) -> None:
    leave(theirs, log)
    with Served(theirs) as server:
        ask = "SELECT wanted_start / 3600000 FROM series"
        hour = server.sql(ask).json["rows"][0][0]
        assert server.ask("/status").status == 200
        assert server.ask("/mdata/ohlcv").status == 200
        # Whoever may write goes on meanwhile.
        theirs.database.parent.chmod(0o755)
        connection = sqlite3.connect(theirs.database)
        with connection:
            connection.execute("UPDATE series SET wanted_start = wanted_start + 36000000")
        connection.close()
        theirs.database.parent.chmod(0o555)
        for _ in range(8):
            assert server.sql(ask).json["rows"] == [[hour + 10]]
        assert server.ask("/status").status == 200
        code, err = server.end()
    assert (code, "Traceback" in err) == (143, False)
    assert list((theirs.path / "tmp").iterdir()) == []


LOOK = """
import sys
from pathlib import Path
from mdata.errors import NotNowError
from mdata.store.snapshot import look

def read(connection):
    (found,) = connection.execute("SELECT wanted_start FROM series").fetchone()
    print(found, flush=True)
    sys.stdin.readline()
    return found

try:
    print("in the end", look(Path(sys.argv[1]), read), flush=True)
except NotNowError as error:
    print(error, flush=True)
"""


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_what_was_read_without_locks_while_somebody_wrote_is_read_again(theirs: Folder, writes: int) -> None:
    leave(theirs, "no log")
    looking = subprocess.Popen(
        [*UNPRIVILEGED, sys.executable, "-c", LOOK, theirs.database],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert looking.stdin is not None
    assert looking.stdout is not None
    first = int(looking.stdout.readline())
    for write in range(1, writes + 1):
        theirs.database.parent.chmod(0o755)
        connection = sqlite3.connect(theirs.database)
        with connection:
            connection.execute("UPDATE series SET wanted_start = ?", (first + write,))
        connection.close()
        theirs.database.parent.chmod(0o555)
        looking.stdin.write("\n")
        looking.stdin.flush()
        told = looking.stdout.readline()
        if write < 3:
            assert int(told) == first + write
    if writes == 3:
        assert "was changed while it was read without locks" in told
        looking.communicate(timeout=60)
    else:
        assert looking.communicate("\n", timeout=60)[0] == f"in the end {first + writes}\n"


@needs_strace
def test_an_export_in_parts_makes_one_copy(theirs: Folder) -> None:
    theirs.before = []
    assert theirs.run("backfill", TIMEFRAMES="1m", BACKFILL_DAYS="20").exit == 0
    leave(theirs, "a log")
    calls = theirs.path / "calls"
    theirs.before = ["strace", "-f", "-qq", "-e", "trace=mkdir", "-o", calls, *theirs.before]
    ended = theirs.run("export", TIMEFRAMES="1m,1h")
    assert ended.exit == 0
    assert len(ended.out.splitlines()) > 20_000, "three parts at least"
    assert ended.err.count("private copy") == 1
    assert calls.read_text().count("/tmp/mdata-") == 1


def test_without_room_for_a_copy_it_says_so(theirs: Folder) -> None:
    leave(theirs, "a log")
    room = theirs.path / "room"
    room.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", room], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.decode().strip()}")
    try:
        refused = theirs.run("status", TMPDIR=str(room))
        left = list(room.iterdir())
    finally:
        subprocess.run(["umount", "--lazy", room], check=True)
    assert (refused.exit, refused.out, left) == (77, "", [])
    assert "a copy needs" in refused.err
    assert "set TMPDIR" in refused.err
    assert len(refused.err.splitlines()) == 1


def test_a_log_that_may_not_be_read_is_told(theirs: Folder) -> None:
    leave(theirs, "a log")
    (theirs.database.parent / "mdata.db-wal").chmod(0)
    refused = theirs.run("status")
    assert (refused.exit, refused.out) == (77, "")
    assert "mdata.db-wal" in refused.err
    assert list((theirs.path / "tmp").iterdir()) == []


def test_a_copy_closes_no_descriptor_of_the_database(theirs: Folder) -> None:
    """Closing one would take SQLite's locks on it away from whoever has it open in the same process."""
    from mdata.errors import NotPermittedError
    from mdata.store import reading

    leave(theirs, "a log")

    def opened() -> int:
        return sum(link.resolve() == theirs.database for link in list(Path("/proc/self/fd").iterdir()))

    before = opened()
    for _ in range(3):
        copy = reading.detour(theirs.database, NotPermittedError("as a test has it"))
        assert copy.file.read_bytes() == theirs.database.read_bytes()
        copy.leave()
        assert not copy.file.exists()
    assert opened() == before + 1
