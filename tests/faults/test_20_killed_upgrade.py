"""An upgrade of an old store that is killed at any write leaves the old schema or the new one, and is finished."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Folder
from killing import killed_at, needs_strace
from old_stores import DATA, STORES, shape

from mdata.store.schema import SCHEMA_VERSION
from mdata.store.sqlite import sqlite3

pytestmark = needs_strace
CANDLES = "SELECT series_id, open_time, open, high, low, close, volume FROM candles ORDER BY 1, 2"
LEDGER = "SELECT * FROM coverage ORDER BY 1, 2"
MOST = 600


def put(folder: Folder, name: str) -> list[tuple[Any, ...]]:
    """Put an old store in place of whatever is there; return its candles."""
    for path in folder.path.glob("mdata.db*"):
        path.unlink()
    connection = sqlite3.connect(folder.database)
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.executescript((DATA / f"{name}.sql").read_text())
    connection.close()
    return folder.rows(CANDLES)


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("step", [17, pytest.param(2, marks=pytest.mark.slow)])
def test_the_schema_is_the_old_one_or_the_new_one(
    folder: Folder, name: str, step: int, record_property: Callable[[str, object], None]
) -> None:
    held, old = put(folder, name), shape(folder.database)
    (before,) = folder.rows("PRAGMA user_version")
    assert folder.run("detect-gaps").exit in {0, 3}
    new, ledger = shape(folder.database), folder.rows(LEDGER)
    kills = 0
    for write in range(1, MOST, step):
        put(folder, name)
        if not killed_at(folder, write, "detect-gaps"):
            break
        kills += 1
        found = shape(folder.database)
        assert found == (old if folder.rows("PRAGMA user_version") == [before] else new), write
        assert folder.rows(CANDLES) == held, write
        assert folder.run("detect-gaps").exit in {0, 3}
        assert shape(folder.database) == new, write
        assert folder.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)], write
        assert folder.rows(CANDLES) == held, write
        assert folder.rows("PRAGMA integrity_check") == [("ok",)]
        assert folder.rows(LEDGER) == ledger, write
    else:
        pytest.fail("there were more writes than this looks at")
    record_property("kills", kills)
    assert kills >= 2
