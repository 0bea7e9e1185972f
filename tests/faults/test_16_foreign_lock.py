"""Another tool has begun to write and was left open (`BEGIN EXCLUSIVE`): it is waited for, aloud and not for ever."""

import os
import signal
import time
from collections.abc import Callable

import pytest
from conftest import Folder
from filled_store import filled as filled  # a fixture  # noqa: PLC0414
from holding import WRITERS, Watched, exclusive, holds
from killing import assert_sound

Record = Callable[[str, object], None]


@pytest.mark.parametrize("command", WRITERS)
def test_max_runtime_bounds_the_wait(filled: Folder, command: str, record_property: Record) -> None:
    with exclusive(filled.database):
        watched = Watched(filled, *WRITERS[command], "--max-runtime", "4s")
        assert watched.end() == 75, watched.text
    record_property("longest silence of a waiting command (s)", round(watched.silence, 2))
    record_property("longest overrun of --max-runtime (s)", round(watched.seconds - 4, 2))
    assert watched.silence <= 3
    assert watched.seconds <= 6
    assert f"(process {os.getpid()}, running since" in watched.text, watched.text
    assert filled.run(*WRITERS[command]).exit in {0, 3}
    assert_sound(filled)


@pytest.mark.slow
def test_it_is_waited_for_a_minute_and_no_wait_adds_to_another(filled: Folder) -> None:
    with exclusive(filled.database):
        waiting = [Watched(filled, *arguments) for arguments in WRITERS.values()]
        ended = [one.end() for one in waiting]
    assert ended == [75] * len(waiting), [one.text for one in waiting]
    assert all(60 <= one.seconds <= 64 for one in waiting), [one.seconds for one in waiting]
    assert all(one.silence <= 3 for one in waiting)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait(filled: Folder, number: signal.Signals, record_property: Record) -> None:
    with exclusive(filled.database):
        watched = Watched(filled, "backfill")
        watched.waits()
        sent = watched.now
        watched.process.send_signal(number)
        assert watched.end() == 128 + number, watched.text
    record_property("longest answer to a signal (s)", round(watched.seconds - sent, 2))
    assert watched.seconds - sent <= 1.5


def test_what_was_fetched_is_kept_until_the_other_has_ended(filled: Folder) -> None:
    requests = len(filled.sandbox.requests)
    with exclusive(filled.database):
        watched = Watched(filled, "backfill")
        watched.waits()
    assert watched.end() == 0, watched.text
    assert len(filled.sandbox.requests) - requests <= 2, "nothing is asked for twice"
    assert_sound(filled)


def test_who_waits_for_it_keeps_nobody_from_the_write_lock(filled: Folder, wait: Callable[..., None]) -> None:
    """It could not be stopped by Ctrl-Z meanwhile, and who waits behind it would be told of the wrong one."""
    with exclusive(filled.database):
        watched = Watched(filled, "backfill")
        watched.waits()
        for _ in range(5):
            wait(lambda: not holds(watched.process.pid, filled.path / "mdata.db.write.lock"), 1)
            wait(lambda: holds(watched.process.pid, filled.path / "mdata.db.write.lock"), 1)
    assert watched.end() == 0, watched.text


def test_readers_do_not_mind(filled: Folder) -> None:
    with exclusive(filled.database):
        for arguments in (["status"], ["gaps"], ["jobs"], ["export"]):
            began = time.monotonic()
            assert filled.run(*arguments).exit in {0, 3}
            assert time.monotonic() - began < 4, "readers would wait for five seconds"
