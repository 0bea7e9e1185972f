"""Another tool reads without an end: jobs go on, the log grows by what they write alone, and it is told of."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from conftest import Folder
from killing import assert_sound

from mdata.store.sqlite import sqlite3

Record = Callable[[str, object], None]


@contextmanager
def reader(folder: Folder) -> Iterator[None]:
    """Read as a tool does that was left open in the middle of a result."""
    connection = sqlite3.connect(folder.database, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM candles").fetchone()
    try:
        yield
    finally:
        connection.close()


def log_of(folder: Folder) -> int:
    path = folder.path / "mdata.db-wal"
    return path.stat().st_size if path.exists() else 0


def told_size(folder: Folder) -> int:
    found: int = folder.run("status", "--json").json["database"]["wal_bytes"]
    return found


@pytest.mark.parametrize("runs", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_runs_that_have_little_to_write_add_little(folder: Folder, runs: int, record_property: Record) -> None:
    folder.settings.update(BACKFILL_DAYS="2")
    assert folder.run("backfill").exit == 0
    with reader(folder):
        assert folder.run("update").exit == 0
        begin, longest = log_of(folder), 0.0
        for number in range(runs):
            began = time.monotonic()
            assert folder.run(("update", "backfill", "detect-gaps")[number % 3]).exit == 0
            longest = max(longest, time.monotonic() - began)
        grown = (log_of(folder) - begin) / runs
        assert told_size(folder) == log_of(folder) > 0
    record_property("bytes of log for each run", round(grown))
    record_property("longest run (s)", round(longest, 2))
    assert grown <= 40 * 4120, "forty pages of the database"
    assert longest <= 10, "nobody waits for the reader"
    assert folder.run("update").exit == 0
    assert log_of(folder) == 0, "the first run after the reader has ended empties it"
    assert_sound(folder)


def test_the_log_holds_no_more_than_what_was_written_and_it_is_told_of(
    folder: Folder, record_property: Record
) -> None:
    folder.settings.update(BACKFILL_DAYS="2")
    assert folder.run("backfill").exit == 0
    before = folder.database.stat().st_size
    with reader(folder):
        assert folder.run("backfill", BACKFILL_DAYS="200").exit == 0
        size = log_of(folder)
        assert size > 2**20
        # For a person, for a program, and with what to do about it.
        assert re.search(r"[\d.]+ MB of log", folder.show("status", BACKFILL_DAYS="200")[1])
        assert told_size(folder) == size
        findings = folder.run("doctor", "--json", BACKFILL_DAYS="200").json["findings"]
        (told,) = [one for one in findings if one["id"] == "store.log"]
        assert told["state"] in {"ok", "note"}
        assert "MB" in told["text"]
        assert folder.run("export", "--output", "x.csv", BACKFILL_DAYS="200").exit in {0, 3}
    assert folder.run("backfill", BACKFILL_DAYS="200").exit == 0
    assert log_of(folder) == 0
    grown = folder.database.stat().st_size - before
    record_property("bytes of log for each byte of data", round(size / grown, 2))
    assert size <= 3 * grown
    assert_sound(folder)
