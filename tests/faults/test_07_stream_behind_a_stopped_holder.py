"""A stream whose store cannot be written to, because a stopped process holds the lock: it keeps what it sees."""

import signal
import time
from collections.abc import Callable

import pytest
from conftest import Folder
from holding import Watched, held
from killing import assert_sound
from streams import compare, fast

__all__ = ["fast"]

Wait = Callable[..., None]


def begun(folder: Folder, wait: Wait) -> Watched:
    """Return a stream that has stored something."""
    watched = Watched(folder, "stream", "--for", "8m")
    wait(lambda: folder.database.exists() and folder.rows("SELECT count(*) FROM sqlite_master") != [(0,)], 30)
    wait(lambda: folder.rows("SELECT count(DISTINCT series_id) FROM candles") == [(2,)], 30)
    return watched


def test_nothing_is_lost_when_the_holder_goes_on(fast: Folder, wait: Wait) -> None:
    watched = begun(fast, wait)
    with held(fast.path / "mdata.db.write.lock") as holder:
        watched.waits()
        holder.send_signal(signal.SIGCONT)
        holder.communicate("")
    assert watched.end() == 0, watched.text
    assert fast.rows("SELECT series_id FROM coverage GROUP BY series_id HAVING count(*) > 2") == []
    compare(fast)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(fast: Folder, wait: Wait, number: signal.Signals) -> None:
    watched = begun(fast, wait)
    with held(fast.path / "mdata.db.write.lock"):
        watched.waits()
        began = time.monotonic()
        watched.process.send_signal(number)
        assert watched.end() == 128 + number, watched.text
    assert time.monotonic() - began < 5
    assert "Traceback" not in watched.text
    assert_sound(fast)
