"""Another tool holds the database for a minute, and every command meets it: each waits, then does its work."""

import time
from collections.abc import Callable

import pytest
from conftest import Folder
from filled_store import filled
from holding import WRITERS, Watched, exclusive
from killing import assert_sound

__all__ = ["filled"]
Record = Callable[[str, object], None]


@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_everybody_waits_aloud_and_then_does_its_work(filled: Folder, seconds: int, record_property: Record) -> None:
    requests = len(filled.sandbox.requests)
    with exclusive(filled.database):
        began = time.monotonic()
        waiting = {name: Watched(filled, *arguments, "--max-runtime", "3m") for name, arguments in WRITERS.items()}
        for one in waiting.values():
            one.waits()
        time.sleep(max(0, began + seconds - time.monotonic()))
        assert all(one.process.poll() is None for one in waiting.values())
    ended = {name: one.end() for name, one in waiting.items()}
    silence = max(one.silence for one in waiting.values())
    record_property("longest silence of a waiting command (s)", round(silence, 2))
    record_property("commands that waited", len(waiting))
    # `repair` may find work left that another of them has just opened.
    assert set(ended.values()) <= {0, 3}, {name: one.text for name, one in waiting.items()}
    assert ended["backfill"] == ended["update"] == 0
    # They all start at once here, and every one of them is slow to.
    assert silence <= 5
    assert len(filled.sandbox.requests) - requests <= 8, "nothing is asked for twice"
    assert_sound(filled)
