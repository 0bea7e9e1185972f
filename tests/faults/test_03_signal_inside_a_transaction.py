"""SIGTERM that comes while a transaction is written ends in a commit or a rollback, never between, and is told."""

from collections.abc import Callable

import pytest
from conftest import DAY, Folder, stored, truth
from killing import assert_sound, has_tables, needs_strace

pytestmark = needs_strace
Record = Callable[[str, object], None]
MOST = 400


def terminated_at(folder: Folder, write: int) -> int:
    """Run a backfill that gets SIGTERM at its nth write to the database or its log; return the exit code."""
    paths = [option for name in ("mdata.db", "mdata.db-wal") for option in ("-P", str(folder.path / name))]
    inject = f"inject=pwrite64:signal=SIGTERM:when={write}"
    folder.before = ["strace", "-f", "-qq", "-o", "/dev/null", *paths, "-e", "trace=pwrite64", "-e", inject]
    ended = folder.run("backfill", "--json")
    folder.before = []
    assert "Traceback" not in ended.err, (write, ended.err)
    assert ended.exit in {0, 143}, (write, ended.exit, ended.err)
    assert ended.exit == 0 or "run `mdata backfill` again" in ended.err, (write, ended.err)
    return ended.exit


def check(folder: Folder, write: int) -> int:
    code = terminated_at(folder, write)
    recorded = []
    if has_tables(folder):
        assert_sound(folder)
        recorded = folder.rows("SELECT outcome, exit FROM ingestion_jobs")
        # Where it comes after the work, while the log is emptied, that is done and written down as done.
        assert recorded in ([], [("ok", 0)], [("interrupted", 143)]), (write, recorded)
        assert code or recorded == [("ok", 0)], (write, recorded)
    again = folder.run("backfill", "--wait-lock", "0")
    assert again.exit == 0, (write, again.err)
    assert_sound(folder)
    today = (now := folder.sandbox.clock.now()) - now % DAY
    assert stored(folder.database, "tBTCUSD", "1D") == truth(folder.sandbox, "tBTCUSD", "1D", today - 3 * DAY, today)
    assert folder.rows("SELECT outcome FROM ingestion_jobs") == [(outcome,) for outcome, _ in recorded] + [("ok",)]
    for path in folder.path.glob("mdata.db*"):
        path.unlink()
    return code


@pytest.mark.parametrize(("step", "least"), [(11, 4), pytest.param(1, 50, marks=pytest.mark.slow)])
def test_it_is_rolled_back_or_committed_and_the_run_says_so(
    folder: Folder, step: int, least: int, record_property: Record
) -> None:
    folder.settings.update(BACKFILL_DAYS="3", TIMEFRAMES="1D")
    codes: list[int] = []
    for write in range(1, MOST, step):
        codes.append(check(folder, write))
        if codes[-2:] == [0, 0]:
            break
    else:
        pytest.fail("there were more writes than this looks at")
    record_property("SIGTERM inside a transaction", codes.count(143))
    assert codes.count(143) >= least
