"""`mdata stream` as a process of its own, against an exchange whose clock runs faster than life."""

import json
import random
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Folder, stored, truth
from streams import PAIRS, compare, forming
from streams import fast as fast  # a fixture  # noqa: PLC0414

from mdata.domain.interval import Range
from mdata.domain.timeframe import DAY, MINUTE
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.ratelimit import RateLimit
from mdata.sandbox.market import Pair
from mdata.sandbox.wsfaults import StreamFault
from mdata.store import coverage
from mdata.store.opening import open_store


def test_from_nothing_to_a_store_that_one_update_makes_final(fast: Folder) -> None:
    ended = fast.run("stream", "--for", "3m", "--json")
    assert (ended.exit, ended.json["outcome"]) == (0, "ok"), ended.err
    assert ended.json["requests"] == len(PAIRS)  # the first candle of each; the snapshots did the rest
    assert ended.json["remaining"] == 0
    assert forming(fast) == 0
    compare(fast)
    assert fast.run("update").exit == 0
    status = fast.run("status", "--json").json
    assert [one["gaps_open"] for one in status["series"]] == [0, 0]
    compare(fast)


def test_lines_are_printed_as_they_are_committed(fast: Folder) -> None:
    ended = fast.run("stream", "--for", "3m", "--lines", "--json")
    *lines, last = map(json.loads, ended.out.splitlines())
    assert last["command"] == "stream"
    assert last["exit"] == 0
    newest = {(line["symbol"], line["open_time"]): line for line in lines}
    held = {(symbol, row[0]): row for symbol in PAIRS for row in stored(fast.database, symbol, "1m")}
    # REST has brought what came before; each candle that the stream itself has stored is a line.
    assert newest
    assert newest.keys() <= held.keys()
    for key, line in newest.items():
        assert tuple(line[name] for name in ("open", "high", "low", "close", "volume")) == held[key][1:]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_within_seconds_and_keeps_what_was_seen(
    fast: Folder, number: int, code: int, wait: Callable[..., None]
) -> None:
    process = fast.start("stream", "--for", "10h", "--json")
    wait(lambda: fast.database.exists() and fast.rows("SELECT count(*) FROM sqlite_master") != [(0,)])
    wait(lambda: fast.rows("SELECT count(*) FROM candles WHERE series_id = 1") > [(200,)])
    begin = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert time.monotonic() - begin < 10
    assert json.loads(out)["exit"] == code
    assert "Traceback" not in err
    compare(fast)
    assert fast.rows("SELECT outcome, exit FROM ingestion_jobs") == [("interrupted", code)]


def test_the_service_manager_is_told(fast: Folder) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(fast.path / "notify"))
        manager.settimeout(30)
        process = fast.start("stream", "--for", "2m", NOTIFY_SOCKET=str(fast.path / "notify"))
        told: list[Any] = []
        while not told or "STOPPING=1" not in told[-1]:
            told.append(manager.recv(4096).decode())
        assert process.wait(30) == 0
        process.communicate()
    assert told[0].startswith("READY=1\nSTATUS=")
    assert any(text.startswith("WATCHDOG=1\nSTATUS=2 of 2 channels, last candle 20") for text in told)
    assert sum("READY=1" in text for text in told) == 1


def test_life_is_proven_by_data_or_by_an_attempt_to_connect_and_by_nothing_else(fast: Folder) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(fast.path / "notify"))
        manager.settimeout(30)
        process = fast.start("stream", "--for", "10h", NOTIFY_SOCKET=str(fast.path / "notify"))
        while not manager.recv(4096).startswith(b"WATCHDOG=1"):
            pass
        silence = json.dumps({"kind": "ws-silence", "later": True})
        fast.sandbox.order([StreamFault.parse(silence, fast.sandbox.clock.now())])
        told, before = [manager.recv(4096).decode()], len(fast.sandbox.stream.log)
        while "STOPPING=1" not in told[-1]:
            told.append(manager.recv(4096).decode())
        assert process.wait(30) == 69
        process.communicate()
    attempts = sum(one.what == "handshake" for one in fast.sandbox.stream.log[before:])
    proofs = sum("WATCHDOG=1" in text for text in told)
    assert attempts > 2
    # The beginning and the end of each connection, and what had come before the silence.
    assert 2 < proofs <= 2 * attempts + 3
    assert proofs < len(told) - 1


def test_a_refused_channel_does_not_stop_the_others(fast: Folder) -> None:
    ended = fast.run("stream", "--for", "2m", "--json", SYMBOLS="BTCUSD,NOPUSD")
    assert ended.exit == 78
    assert "tNOPUSD 1m" in ended.json["reason"]
    assert "10300" in ended.json["reason"]
    assert len(stored(fast.database, "tBTCUSD", "1m")) > 200
    alone = fast.run("stream", "--for", "10h", "--json", SYMBOLS="NOPUSD")
    assert alone.exit == 78


def test_every_timeframe(fast: Folder) -> None:
    names = "1m,5m,15m,30m,1h,3h,6h,12h,1D,1W,1M"
    listed = fast.sandbox.clock.now() - 40 * DAY
    fast.sandbox.market.pairs["tNEWUSD"] = Pair("tNEWUSD", listed=listed)
    # Long enough for a request about each of them.
    ended = fast.run("stream", "--for", "5m", "--json", SYMBOLS="NEWUSD", TIMEFRAMES=names, BACKFILL_DAYS="400")
    assert ended.exit == 0, ended.err
    rows = fast.rows(
        """SELECT timeframe, min(start_time), max(end_time) FROM coverage JOIN series ON series.id = series_id
           GROUP BY timeframe"""
    )
    assert {name for name, *_ in rows} == set(names.split(","))
    for name, start, end in rows:
        held = [row for row in stored(fast.database, "tNEWUSD", name) if start <= row[0] < end]
        assert held
        assert held == truth(fast.sandbox, "tNEWUSD", name, start, end)


def test_two_streams_of_one_store_do_not_overlap(fast: Folder, wait: Callable[..., None]) -> None:
    process = fast.start("stream", "--for", "10h")
    wait((fast.path / "mdata.db.stream.lock").exists)
    wait(lambda: fast.database.exists() and fast.rows("SELECT count(*) FROM sqlite_master") != [(0,)])
    ended = fast.run("stream", "--wait-lock", "0s", "--json")
    assert ended.exit == 75
    assert f"process {process.pid}" in ended.json["reason"]
    process.terminate()
    process.communicate()


def test_nobody_there(fast: Folder) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        ended = fast.run("stream", "--json", BITFINEX_WS_URL=f"ws://127.0.0.1:{taken.getsockname()[1]}/ws/2")
    assert (ended.exit, ended.json["retryable"]) == (69, True)
    assert "45 s" in ended.json["reason"]
    assert "cannot be reached" in ended.json["reason"]
    assert "Traceback" not in ended.err


def test_a_connection_waits_for_those_that_other_processes_have_opened(fast: Folder) -> None:
    clock = fast.sandbox.clock
    others = RateLimit(fast.path / "rate-limit.json", 1.0, 1.0, clock, random.Random(1).uniform)
    began = clock.now()
    assert BITFINEX.stream is not None
    for _ in range(BITFINEX.stream.connects):
        others.connect()
    clock.sleep(40)
    fast.run("stream", "--for", "1m")
    first = next(one for one in fast.sandbox.stream.log if one.what == "handshake")
    assert first.at - began >= 60_000


def test_a_wrong_path_is_named(fast: Folder) -> None:
    ended = fast.run("stream", "--json", BITFINEX_WS_URL=f"ws://127.0.0.1:{fast.sandbox.port}/elsewhere")
    assert ended.exit == 76
    assert "BITFINEX_WS_URL" in ended.json["reason"]


def test_what_the_snapshot_does_not_reach_is_asked_for_back_to_the_frontier(fast: Folder) -> None:
    fast.run("backfill", SYMBOLS="BTCUSD")
    ((frontier,),) = fast.rows("SELECT frontier FROM series")
    settings = {"SYMBOLS": "BTCUSD", "WS_CATCHUP_LOOKBACK_MINUTES": "600"}
    ended = fast.run("stream", "--for", "1m", "--json", **settings)
    assert (ended.exit, ended.json["requests"]) == (0, 0), "all is known: there is nothing to ask"
    # A snapshot of 1m candles reaches four hours back: what is missing before that is asked for, in one request.
    hole = Range(frontier - 400 * MINUTE, frontier - 300 * MINUTE)
    with open_store(fast.database) as store, store.write() as connection:
        coverage.cut(connection, 1, hole)
        connection.execute("DELETE FROM candles WHERE open_time >= ? AND open_time < ?", hole)
        connection.execute("UPDATE series SET frontier = frontier - 36000000")
    before = len(fast.sandbox.requests)
    ended = fast.run("stream", "--for", "1m", "--json", **settings | {"WS_CATCHUP_LOOKBACK_MINUTES": "280"})
    assert (ended.exit, ended.json["requests"]) == (0, 0), "it lies further back than a stream looks"
    ended = fast.run("stream", "--for", "1m", "--json", **settings)
    assert (ended.exit, ended.json["requests"]) == (0, 1), ended.err
    assert len(fast.sandbox.requests) == before + 1
    assert fast.rows("SELECT count(*) FROM coverage") == [(2,)]
    compare(fast)
