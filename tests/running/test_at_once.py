"""All commands at once, on one store, while candles are deleted by hand and connections are cut."""

import random

from conftest import Folder, stored, truth
from killing import assert_sound
from streams import fast

from mdata.sandbox.wsfaults import StreamFault
from mdata.store.sqlite import sqlite3

__all__ = ["fast"]

COMMANDS = (["backfill"], ["update"], ["detect-gaps"], ["repair"], ["cleanup", "--yes"])


def lose(folder: Folder, rng: random.Random) -> None:
    """Delete some of the newest candles, final or provisional, as a person would."""
    with sqlite3.connect(folder.database, timeout=30) as connection:
        times = connection.execute("SELECT series_id, open_time FROM candles ORDER BY open_time DESC LIMIT 400")
        connection.executemany(
            "DELETE FROM candles WHERE series_id = ? AND open_time = ?", rng.sample(times.fetchall(), 5)
        )
    connection.close()


def test_every_command_beside_a_stream_loses_nothing(fast: Folder) -> None:
    rng = random.Random(11)
    fast.settings["RATE_LIMIT_DELAY"] = "0.5"
    fast.sandbox.stream.faults = [
        StreamFault.parse('{"kind": "ws-drop", "after": 70, "every": 110}', fast.sandbox.clock.now())
    ]
    assert fast.run("backfill").exit == 0
    streaming = fast.start("stream", "--for", "5m", "--json")
    for number in range(8):
        lose(fast, rng)
        beside = [fast.start(*command, "--json") for command in rng.sample(COMMANDS, 3)]
        for process in beside:
            out, err = process.communicate(timeout=120)
            assert process.returncode in {0, 3}, (number, out, err)
    out, err = streaming.communicate(timeout=120)
    assert streaming.returncode == 0, (out, err)
    fast.sandbox.clock.sleep(180)  # what was streamed last has settled
    for command in ("backfill", "detect-gaps", "repair"):
        ended = fast.run(command, "--json")
        assert ended.exit in {0, 3}, ended.out
    assert_sound(fast)
    status = fast.run("status", "--json").json
    for series in status["series"]:
        assert (series["unknown"], series["gaps_open"]) == (0, 0), series
    assert fast.rows("SELECT count(*) FROM data_gaps WHERE status = 'empty' AND candles > 0") == [(0,)]
    rows = fast.rows("SELECT symbol, wanted_start, frontier FROM series")
    for symbol, start, frontier in rows:
        held = [row for row in stored(fast.database, symbol, "1m") if start <= row[0] < frontier]
        expected = [row for row in truth(fast.sandbox, symbol, "1m", start, frontier) if row[0] < frontier]
        assert held == expected
