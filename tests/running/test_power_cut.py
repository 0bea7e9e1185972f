"""The power fails at any instant: what was committed stays, and the store is sound.

The system calls of a real backfill are recorded. A disk that loses its power has everything that was synced, and of
the rest any part, sector by sector and in any order; such disks are made up, and the store on them is opened.
"""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Folder
from killing import assert_sound, has_tables, strace_fault

SECTOR = 512
CALL = re.compile(r'(\w+)\((?:\d+<([^>]*)>|"([^"]*)")(?:, "([^"]*)")?(?:, (\d+))?(?:, (\d+))?.*\) += (-?\d+)')


class Call(NamedTuple):
    """One system call that changes or syncs a file: a write of `data` at `offset`, a cut to `offset`, …"""

    name: str
    path: str
    data: bytes
    offset: int


def unescaped(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def recorded(folder: Folder, *arguments: str) -> list[Call]:
    """Run a command and return what it did to the database and its logs."""
    trace = folder.path / "trace"
    calls = "trace=pwrite64,ftruncate,unlink,fsync,fdatasync"
    folder.before = ["strace", "-f", "-qq", "-y", "-xx", "-s", "100000", "-o", trace, "-e", calls]
    assert folder.run(*arguments).exit == 0
    folder.before = []
    found = []
    for line in trace.read_text().splitlines():
        parsed = CALL.search(line)
        assert parsed, line[:200]
        name, opened, named, data, first, second, result = parsed.groups()
        path = Path(unescaped(opened or named).decode())
        is_ours = path.name.startswith("mdata.db") and path.suffix != ".lock" and not path.name.endswith("-shm")
        if int(result) >= 0 and (is_ours or path == folder.path):
            offset = int(second or 0) if name == "pwrite64" else int(first or 0)
            found.append(Call(name, path.name if is_ours else ".", unescaped(data or ""), offset))
    return found


def changed(content: bytes | None, call: Call, keep: float, rng: random.Random) -> bytes | None:
    """Return a file after a call of which each sector reaches the disk with the probability `keep`."""
    if call.name == "unlink":
        return None if rng.random() < keep else content
    held = bytearray(content or b"")
    if call.name == "ftruncate":
        return bytes(held[: call.offset]) if rng.random() < keep else content
    for start in range(0, len(call.data), SECTOR):
        if rng.random() < keep:
            begin, piece = call.offset + start, call.data[start : start + SECTOR]
            held.extend(bytes(max(0, begin + len(piece) - len(held))))
            held[begin : begin + len(piece)] = piece
    return bytes(held)


def disk_after(calls: list[Call], keep: float, rng: random.Random) -> dict[str, bytes]:
    """Return the files that a disk has when its power fails after these calls."""
    synced: dict[str, bytes | None] = {}
    pending: dict[str, list[Call]] = {}
    for call in calls:
        if call.name not in {"fsync", "fdatasync"}:
            pending.setdefault(call.path, []).append(call)
            continue
        for path in [call.path] if call.path != "." else [*pending]:
            # Syncing the folder makes the removal of a file last, and nothing of what is written into it.
            last = max((n + 1 for n, one in enumerate(pending.get(path, [])) if one.name == "unlink"), default=0)
            done = pending.get(path, [])[: last if call.path == "." else None]
            for one in done:
                synced[path] = changed(synced.get(path), one, 1.0, rng)
            pending[path] = pending.get(path, [])[len(done) :]
    for path, calls_left in pending.items():
        for one in calls_left:
            synced[path] = changed(synced.get(path), one, keep, rng)
    return {path: content for path, content in synced.items() if content is not None}


def rows_of(folder: Folder, files: dict[str, bytes]) -> set[tuple[object, ...]]:
    """Put these files into a folder, open the store in it, and return its candles, which must be sound."""
    folder.path.mkdir(exist_ok=True)
    for old in folder.path.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder.path / name).write_bytes(content)
    if not has_tables(folder):
        return set()
    assert_sound(folder)
    return set(folder.rows("SELECT series_id, open_time, open, high, low, close, volume FROM candles"))


def commit_ends(calls: list[Call]) -> set[int]:
    """Return after how many calls a transaction is written whole: its last page follows a header that says so."""
    return {
        number + 2
        for number, call in enumerate(calls)
        if call.path.endswith("-wal") and len(call.data) == 24 and call.data[4:8] != bytes(4)
    }


@pytest.mark.skipif(strace_fault() is not None, reason=str(strace_fault()))
def test_the_power_fails_at_any_instant(
    folder: Folder, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder.settings.update(TIMEFRAMES="1h,1D", BACKFILL_DAYS="10")
    calls = recorded(folder, "backfill")
    assert sum(call.name in {"fsync", "fdatasync"} for call in calls) > 15
    rng, cut = random.Random(5), Folder(tmp_path / "cut", folder.sandbox)
    acknowledged: set[tuple[object, ...]] = set()
    committed: set[tuple[object, ...]] = set()
    ends = commit_ends(calls)
    assert len(ends) >= 6
    for count in range(len(calls) + 1):
        if count < len(calls) and calls[count].path.endswith("-wal") and calls[count].name == "pwrite64":
            # Whoever writes on has been told that all before is committed: then it is on the disk.
            acknowledged = committed
            assert rows_of(cut, disk_after(calls[:count], 0.0, rng)) >= acknowledged
        if count in ends:
            committed = rows_of(cut, disk_after(calls[:count], 1.0, rng))
        for keep in (rng.choice([0.0, 0.1]), 0.5, rng.choice([0.9, 1.0])):
            assert rows_of(cut, disk_after(calls[:count], keep, rng)) >= acknowledged, (count, keep)
    record_property("power cuts", 3 * (len(calls) + 1))
    assert len(acknowledged) > 240
    assert rows_of(cut, disk_after(calls, 0.0, rng)) == set(
        folder.rows("SELECT series_id, open_time, open, high, low, close, volume FROM candles")
    ), "what a run that has ended well has stored is on the disk"
