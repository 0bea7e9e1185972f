"""A file and a log that belong together are never called strangers, and strangers are always told apart.

Real sequences of what happens to a store: transactions of ours and of others, checkpoints whole and in part, readers
in the way, VACUUM, closing, killed processes, power cuts in the middle of a checkpoint.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mdata.domain.lineage import File, LoggedMarks, Mark, belong_together, follows
from mdata.errors import StorageError
from mdata.store import identity, pairing, wal_file
from mdata.store.engine import Store
from mdata.store.opening import open_store
from mdata.store.sqlite import sqlite3

STEPS = 60


class Life:
    """A store at work, and copies of it made by every means there is."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path, self.rng = folder / "mdata.db", random.Random(seed)
        self.folder, self.copies = folder, list[Path]()
        self.store = open_store(self.path)
        self.readers: list[sqlite3.Connection] = []
        self.rows = 0

    @property
    def log(self) -> Path:
        return self.path.with_name("mdata.db-wal")

    def foreign(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, timeout=0)

    def ours(self) -> None:
        with self.store.write() as connection:
            for _ in range(self.rng.randrange(1, 60)):
                self.rows += 1
                connection.execute("INSERT INTO candles VALUES (1, ?, 1, 1, 1, 1, 1)", (self.rows,))

    def deletion(self) -> None:
        with self.store.write() as connection:
            connection.execute("DELETE FROM candles WHERE open_time % 7 = ?", (self.rng.randrange(7),))

    def failed(self) -> None:
        """Spill pages of a transaction into the log, and roll it back."""
        self.store.connection.execute("PRAGMA cache_size = 4")
        rows = [(n,) for n in range(2000)] + [("text",)]
        with pytest.raises(sqlite3.DatabaseError), self.store.write() as connection:
            connection.executemany("INSERT OR IGNORE INTO candles VALUES (2, ?, 1, 1, 1, 1, 1)", rows)

    def others(self) -> None:
        connection = self.foreign()
        connection.execute("INSERT OR IGNORE INTO candles VALUES (3, abs(random()) % 100000, 1, 1, 1, 1, 1)")
        connection.close()

    def index(self) -> None:
        connection = self.foreign()
        name = f"extra_{self.rng.randrange(4)}"
        with_or_without = "DROP INDEX IF EXISTS" if self.rng.random() < 0.5 else "CREATE INDEX IF NOT EXISTS"
        on = "" if with_or_without.startswith("DROP") else " ON candles (close)"
        connection.execute(f"{with_or_without} {name}{on}")
        connection.close()

    def checkpoint(self) -> None:
        connection = self.foreign()
        how = self.rng.choice(["PASSIVE", "RESTART", "TRUNCATE"])
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute(f"PRAGMA wal_checkpoint({how})").fetchall()
        connection.close()

    def our_checkpoint(self) -> None:
        self.store.checkpoint()

    def vacuum(self) -> None:
        if not self.readers:
            connection = self.foreign()
            connection.execute("VACUUM")
            connection.close()

    def reader(self) -> None:
        if len(self.readers) < 2:
            connection = self.foreign()
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM candles").fetchone()
            self.readers.append(connection)

    def reader_leaves(self) -> None:
        while self.readers:
            self.readers.pop().close()

    def reopened(self) -> None:
        self.store.close()
        self.store = open_store(self.path)

    def killed(self) -> None:
        """Go on from what a process that was killed now leaves: the files, without their index."""
        self.reader_leaves()
        left = self.folder / "left"
        left.mkdir(exist_ok=True)
        self.lie(left, self.path, self.log)
        self.store.close()
        for file in self.folder.glob("mdata.db-*"):
            if not file.name.endswith(".lock"):
                file.unlink()
        self.lie(self.folder, left / "mdata.db", left / "mdata.db-wal")
        self.store = open_store(self.path)

    def copied(self) -> None:
        """Make a copy as people make them."""
        copy = self.folder / f"copy-{len(self.copies)}.db"
        connection = self.foreign()
        match self.rng.randrange(3):
            case 0:
                connection.execute("VACUUM INTO ?", (str(copy),))
            case 1:
                target = sqlite3.connect(copy)
                connection.backup(target)
                target.close()
            case 2 if not self.readers:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                shutil.copy(self.path, copy)
        connection.close()
        if copy.exists():
            self.copies.append(copy)

    def lie(self, folder: Path, database: Path, log: Path) -> Path:
        """Lay these two beside each other in a folder, as they are."""
        for name, source in (("mdata.db", database), ("mdata.db-wal", log), ("mdata.db-shm", None)):
            (folder / name).unlink(missing_ok=True)
            if source is not None and source.exists():
                shutil.copy(source, folder / name)
        return folder / "mdata.db"

    def step(self, *, alone: bool = False) -> None:
        """Do anything; `alone`: no other program writes, which only looks, copies and checkpoints."""
        does: list[Callable[[], None]] = [
            self.ours, self.ours, self.ours, self.deletion, self.failed, self.checkpoint, self.our_checkpoint,
            self.reader, self.reader_leaves, self.reopened, self.killed, self.copied,
        ]  # fmt: skip
        self.rng.choice([*does, *(() if alone else (self.others, self.index, self.vacuum))])()

    def end(self) -> None:
        self.reader_leaves()
        self.store.close()


def content(path: Path) -> list[tuple[object, ...]]:
    """Return what SQLite makes of a file and the log beside it; damage is an error."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("SELECT * FROM candles ORDER BY 1, 2").fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("seed", range(5))
def test_what_a_kill_or_a_power_cut_leaves_is_never_called_strange(tmp_path: Path, seed: int) -> None:
    life = Life(tmp_path, seed)
    aside = tmp_path / "aside"
    aside.mkdir()
    for _ in range(STEPS):
        before = life.path.read_bytes() if life.log.exists() else b""
        life.step()
        pairing.check(life.path)
        pairing.check(life.lie(aside, life.path, life.log))
        if before and life.log.exists() and life.log.stat().st_size:
            # A checkpoint that the power cut short: any of its pages is on the disk, and all are in the log still.
            size, now = 4096, life.path.read_bytes()
            old = before.ljust(len(now), b"\0")
            mixed = b"".join(
                (now if life.rng.random() < 0.5 else old)[at : at + size] for at in range(0, len(now), size)
            )
            torn = life.lie(aside, life.path, life.log)
            torn.write_bytes(mixed)
            whole = life.lie(tmp_path / "aside", life.path, life.log)
            expected = content(whole)
            torn = life.lie(aside, life.path, life.log)
            torn.write_bytes(mixed)
            if can_be_mended(torn, expected):
                torn = life.lie(aside, life.path, life.log)
                torn.write_bytes(mixed)
                pairing.check(torn)
    life.end()


def are_strangers(path: Path) -> bool:
    try:
        pairing.check(path)
    except StorageError:
        return True
    return False


def can_be_mended(path: Path, expected: list[tuple[object, ...]]) -> bool:
    """Whether SQLite, given this file and its log, finds what was committed: the log has not begun anew meanwhile."""
    try:
        return content(path) == expected
    except (AssertionError, sqlite3.DatabaseError):
        return False


@pytest.mark.parametrize("seed", range(100, 104))
def test_a_copy_put_under_a_log_is_found_or_harmless(tmp_path: Path, seed: int) -> None:
    life = Life(tmp_path, seed)
    aside = tmp_path / "aside"
    aside.mkdir()
    found = harmless = 0
    for _ in range(STEPS):
        life.step(alone=True)
        if not life.copies or not life.log.exists() or wal_file.read_log(life.log) is None:
            continue
        newest = content(life.lie(aside, life.path, life.log))
        path = life.lie(aside, life.rng.choice(life.copies[-3:]), life.log)
        if are_strangers(path):
            found += 1
        else:
            # The same pages as the file itself: the log makes the newest state of it.
            assert content(path) == newest
            harmless += 1
    life.end()
    assert found > harmless


def test_the_log_of_another_store_is_found(tmp_path: Path) -> None:
    logs = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        life = Life(tmp_path / name, 1)
        life.store.checkpoint()
        life.ours()
        logs.append((life, life.path.read_bytes(), life.log.read_bytes()))
    aside = tmp_path / "mdata.db"
    aside.write_bytes(logs[0][1])
    aside.with_name("mdata.db-wal").write_bytes(logs[1][2])
    for life, *_ in logs:
        life.end()
    with pytest.raises(StorageError, match="do not belong together"):
        open_store(aside)


def mark(generation: int, *, id_: str = "a", of: int | None = None) -> Mark:
    return Mark(id_, generation, generation * 10, (generation - 1) * 10 if of is None else of, 7)


def test_the_rule() -> None:
    first, newest = mark(5), mark(8)
    log = LoggedMarks(first, newest, {50, 60, 70, 80}, {7})
    unknown = log._replace(cookies=None)
    assert [belong_together(File(mark(number), 7), log) for number in range(3, 10)] == [
        False, True, True, True, True, True, False
    ]  # fmt: skip
    assert not belong_together(File(mark(5, id_="b"), 7), log)
    assert not belong_together(File(mark(6), 1), log), "made by .backup"
    assert belong_together(File(mark(6), 1), unknown), "another program may have changed the schema"
    assert not belong_together(File(None, 0), log)
    assert belong_together(File(None, 0), LoggedMarks(mark(1), mark(2), {10, 20}, {7}))


def test_what_follows() -> None:
    assert follows(mark(5), None)
    assert follows(mark(5), mark(4))
    assert follows(mark(9), mark(4)), "others wrote in between"
    assert not follows(mark(4), mark(5)), "it fell"
    assert not follows(mark(5), mark(5))
    assert not follows(mark(5, of=1), mark(4)), "another branch"
    assert not follows(mark(5, id_="b"), mark(4))


def test_a_store_has_an_id_and_counts_its_writes(tmp_path: Path) -> None:
    with open_store(tmp_path / "mdata.db") as store:
        began = identity.read(store.connection)
        assert began is not None
        assert (began.generation, began.previous, len(began.id)) == (1, 0, 32)
        for _ in range(3):
            with store.write():
                pass
        with pytest.raises(RuntimeError), store.write():
            raise RuntimeError
        now = identity.read(store.connection)
        assert now is not None
        assert (now.id, now.generation) == (began.id, 4)
        log = wal_file.read_log(tmp_path / "mdata.db-wal")
        assert log is not None
        assert (log.first, log.newest) == (began, now)
        assert log.cookies == set(store.connection.execute("PRAGMA schema_version").fetchone())
    assert isinstance(store, Store)
