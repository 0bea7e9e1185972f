"""Processes that are killed, and what must be true of the store that they leave."""

import shutil
import signal
import subprocess

import pytest
from conftest import Folder, stored


def assert_sound(folder: Folder) -> None:
    assert folder.rows("PRAGMA integrity_check") == [("ok",)]
    disagreeing = folder.rows(
        """SELECT * FROM coverage WHERE candles <> (SELECT count(*) FROM candles WHERE series_id = coverage.series_id
           AND open_time >= start_time AND open_time < end_time)"""
    )
    assert disagreeing == []
    (uncovered,) = folder.rows(
        """SELECT count(*) FROM candles WHERE NOT EXISTS (SELECT 1 FROM coverage
           WHERE series_id = candles.series_id AND start_time <= open_time AND open_time < end_time)"""
    )
    assert uncovered == (0,)


def has_tables(folder: Folder) -> bool:
    """Whether the process came so far as to make the tables."""
    if not folder.database.exists() or not folder.database.stat().st_size:
        return False
    return folder.rows("SELECT count(*) FROM sqlite_master") != [(0,)]


def strace_fault() -> str | None:
    """Return why strace cannot kill a process here, or None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "strace may not trace here"


def killed_at(folder: Folder, write: int, *arguments: str) -> bool:
    """Run a command that is killed at its nth write to any file; return whether it came to that."""
    inject = f"inject=pwrite64:signal=SIGKILL:when={write}"
    folder.before = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", inject]
    ended = folder.run(*arguments)
    folder.before = []
    assert ended.exit in {-signal.SIGKILL, 128 + signal.SIGKILL, 0, 3}, ended.err
    return ended.exit not in {0, 3}


needs_strace = pytest.mark.skipif(strace_fault() is not None, reason=str(strace_fault()))


def prepared(folder: Folder) -> list[tuple[object, ...]]:
    """Make a store with three gaps, kept aside as `kept.db`; return the candles that it had before."""
    folder.settings.update(BACKFILL_DAYS="40", TIMEFRAMES="1D")
    assert folder.run("backfill").exit == 0
    held = stored(folder.database, "tBTCUSD", "1D")
    folder.rows("DELETE FROM candles WHERE open_time IN (?, ?, ?)", held[10][0], held[11][0], held[30][0])
    assert folder.run("detect-gaps", "--json").json["gaps_opened"] == 2
    assert folder.rows("PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]
    shutil.copy(folder.database, folder.path / "kept.db")
    return held


def bring_back(folder: Folder) -> None:
    for path in folder.path.glob("mdata.db*"):
        path.unlink()
    shutil.copy(folder.path / "kept.db", folder.database)


def kept_of(held: list[tuple[object, ...]], cut: int) -> list[tuple[object, ...]]:
    """Return what a retention keeps of the candles, without the one that was deleted by hand."""
    return [row for row in held if row[0] >= cut and row != held[30]]  # type: ignore[operator]
