"""The sandbox's WebSocket side, truthful: every shape of message, over a real socket, on a clock that stands."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from conftest import MDATA, NOW, SetClock, truth
from stream_client import BTC, MINUTE, Client, client, pass_time
from stream_client import exchange as exchange  # a fixture  # noqa: PLC0414
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from mdata.clock import RehearsalClock, SystemClock
from mdata.domain.interval import Range
from mdata.domain.timeframe import TIMEFRAMES
from mdata.sandbox.limit import RateRule
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.rest import row
from mdata.sandbox.server import Sandbox, StreamRule, parse_fault


def test_first_comes_an_info_event(sandbox: Sandbox) -> None:
    with connect(sandbox.ws_url, compression=None) as socket:
        info = json.loads(socket.recv(timeout=10))
    assert info == {"event": "info", "version": 2, "serverId": info["serverId"], "platform": {"status": 1}}


def test_events_are_answered_in_kind(sandbox: Sandbox, clock: SetClock) -> None:
    with client(sandbox) as told:
        assert told.ask(event="ping", cid=1234) == {"event": "pong", "ts": clock.now(), "cid": 1234}
        assert told.ask(event="ping") == {"event": "pong", "ts": clock.now()}
        assert told.ask(event="conf", flags=131_072) == {"event": "conf", "status": "OK", "flags": 131_072}
        asked = {"channel": "candles", "key": BTC, "subId": "mine"}
        subscribed = told.ask(event="subscribe", **asked)
        number = subscribed["chanId"]
        assert subscribed == {"event": "subscribed", "chanId": number, **asked}
        assert told.hear()[0] == number
        assert told.ask(event="unsubscribe", chanId=number) == {
            "event": "unsubscribed", "status": "OK", "chanId": number,
        }  # fmt: skip
        told.socket.send(['{"event":', '"ping"', ',"cid":3}'])
        assert told.hear()["cid"] == 3
        told.subscribe()
        told.socket.send("this is no JSON")
        told.socket.send("[0, 1]")
        told.socket.send("[" * 100_000)
        told.socket.send(b'{"event":"ping"}')
        assert told.hush() == []


def test_what_cannot_be_had_is_refused_and_the_socket_stays(exchange: Callable[..., Sandbox]) -> None:
    with client(exchange(stream_rule=StreamRule(channels=2))) as told:
        subscribe = {"event": "subscribe", "channel": "candles"}

        def refused(**event: Any) -> tuple[int, str]:
            answer = told.ask(**event)
            assert answer["event"] == "error"
            assert {name: answer.get(name) for name in event if name != "event"} == {
                name: value for name, value in event.items() if name != "event"
            }
            return answer["code"], answer["msg"]

        assert refused(**subscribe, key="trade:1m:tNOTUSD", subId="7") == (10300, "symbol: invalid")
        assert refused(**subscribe, key="trade:4h:tBTCUSD") == (10300, "key: invalid")
        assert refused(**subscribe, key="nonsense") == (10300, "key: invalid")
        assert refused(event="subscribe", channel="weather", key=BTC) == (10300, "channel: unknown")
        number, _ = told.subscribe()
        assert refused(**subscribe, key=BTC, chanId=number) == (10301, "subscribe: dup")
        told.subscribe("trade:5m:tBTCUSD")
        assert refused(**subscribe, key="trade:1h:tBTCUSD") == (10305, "subscribe: limit")
        assert refused(event="unsubscribe", chanId="9" * 5000) == (10400, "unsubscribe: invalid")
        assert refused(event="unsubscribe", chanId=1) == (10400, "unsubscribe: invalid")
        assert told.ask(event="nope")["code"] == 10000
        assert told.ask(event="ping")["event"] == "pong"


@pytest.mark.parametrize("timeframe", ["1m", "5m", "1h", "1D", "1M"])
def test_the_snapshot_is_the_newest_candles_newest_first(sandbox: Sandbox, timeframe: str) -> None:
    grid = TIMEFRAMES[timeframe]
    with client(sandbox) as told:
        _, snapshot = told.subscribe(f"trade:{timeframe}:tSPAUSD")
    walk = sandbox.market.walk("tSPAUSD", grid, Range(0, NOW + 1), NOW)
    assert snapshot == [row(candle) for candle in reversed(list(walk)[-240:])]
    assert len(snapshot) == (240 if timeframe in {"1m", "5m", "1h"} else grid.count(snapshot[-1][0], NOW) + 1)


def test_a_pair_without_candles_has_an_empty_snapshot(sandbox: Sandbox) -> None:
    sandbox.market.pairs["tFUTUSD"] = Pair("tFUTUSD", listed=NOW + 1_000_000)
    with client(sandbox) as told:
        assert told.subscribe("trade:1m:tFUTUSD")[1] == []


@pytest.mark.parametrize(("symbol", "timeframe"), [("tBTCUSD", "1m"), ("tSPAUSD", "1m"), ("tSPAUSD", "5m")])
def test_the_last_update_of_a_closed_candle_is_the_ledgers(
    sandbox: Sandbox, clock: SetClock, symbol: str, timeframe: str
) -> None:
    with client(sandbox) as told:
        number, snapshot = told.subscribe(f"trade:{timeframe}:{symbol}")
        heard = pass_time(clock, told, 25)
    updates = [(at, message[1]) for at, message in heard if message[1] != "hb"]
    assert all(message[0] == number for _, message in heard)
    latest = {row[0]: row for row in snapshot} | {row[0]: row for _, row in updates}
    start = snapshot[-1][0]
    expected = truth(sandbox, symbol, timeframe, start, clock.now())
    closed = [latest[time] for time in sorted(latest) if TIMEFRAMES[timeframe].next(time) <= clock.now()]
    assert closed == [row(candle) for candle in expected]
    # Each update is the whole candle as REST shows it at that time.
    for at, update in updates[:20]:
        within = Range(update[0], update[0] + 1)
        assert update == row(next(sandbox.market.walk(symbol, TIMEFRAMES[timeframe], within, at)))


def test_the_previous_candle_comes_again_after_the_next_has_begun(sandbox: Sandbox, clock: SetClock) -> None:
    with client(sandbox) as told:
        told.subscribe()
        heard = pass_time(clock, told, 3)
    times = [message[1][0] for _, message in heard if message[1] != "hb"]
    assert sorted(times) != times
    assert times == [time for time in times if time >= times[0] - MINUTE]
    firsts = [times.index(time) for time in sorted(set(times))[1:]]
    assert all(times[first + 1] == times[first] - MINUTE for first in firsts)


def test_heartbeats_come_on_one_tick_busy_or_quiet(sandbox: Sandbox, clock: SetClock) -> None:
    sandbox.market.pairs["tFUTUSD"] = Pair("tFUTUSD", listed=NOW + 10**9)
    with client(sandbox) as told:
        busy, _ = told.subscribe()
        quiet, _ = told.subscribe("trade:1m:tFUTUSD")
        heard = pass_time(clock, told, 2)
    beats = {number: [at for at, message in heard if message == [number, "hb"]] for number in (busy, quiet)}
    assert beats[busy] == beats[quiet]
    assert [b - a for a, b in zip(beats[busy], beats[busy][1:], strict=False)] == [15_000] * 7
    assert not [message for _, message in heard if message[0] == quiet and message[1] != "hb"]


def test_flags_append_a_number_and_the_time_to_every_array(sandbox: Sandbox, clock: SetClock) -> None:
    with client(sandbox) as told:
        assert told.ask(event="conf", flags=65_536 + 32_768)["flags"] == 98_304
        told.say(event="subscribe", channel="candles", key=BTC)
        assert told.hear()["event"] == "subscribed"
        snapshot = told.hear()
        assert snapshot[2:] == [1, clock.now()]
        heard = pass_time(clock, told, 1)
    assert [message[2] for _, message in heard] == list(range(2, len(heard) + 2))
    assert all(at - 1_000 <= message[3] <= at for at, message in heard)
    assert any(message[1] == "hb" for _, message in heard)


def test_a_channels_number_is_of_one_connection(sandbox: Sandbox) -> None:
    numbers = set()
    for _ in range(3):
        with client(sandbox) as told:
            numbers.add(told.subscribe()[0])
    assert len(numbers) == 3


def test_a_revision_is_told_to_who_listens(sandbox: Sandbox, clock: SetClock) -> None:
    with client(sandbox) as told, client(sandbox) as other:
        number, snapshot = told.subscribe()
        other.subscribe("trade:5m:tBTCUSD")
        open_time = snapshot[5][0]
        values = [10, 12.5, 9, 11, 3]
        httpx.post(
            f"http://127.0.0.1:{sandbox.port}/sandbox/revisions",
            json=[["tBTCUSD", "1m", open_time, values], ["tBTCUSD", "1m", snapshot[6][0], None]],
        ).raise_for_status()
        assert told.hear() == [number, [open_time, 10, 11, 12.5, 9, 3]]
        assert told.hush() == other.hush() == []
    assert truth(sandbox, "tBTCUSD", "1m", open_time, clock.now())[0] == (open_time, *values)


def test_a_socket_that_asks_for_nothing_is_broken_off_after_a_minute(
    sandbox: Sandbox, clock: SetClock, wait: Callable[..., None]
) -> None:
    with client(sandbox) as idle, client(sandbox) as subscribed:
        subscribed.subscribe()
        clock.advance(59_000)
        assert idle.hush() == []
        clock.advance(59_000)
        assert idle.hush() == []
        clock.advance(61_000)
        with pytest.raises(ConnectionClosedError) as closed:
            idle.hear()
        assert closed.value.rcvd is None
        subscribed.hush()
    wait(lambda: [one.status for one in sandbox.stream.log if one.what == "closed"] == [1006, 1000])


def test_too_many_connects_are_refused_for_a_minute(exchange: Callable[..., Sandbox], clock: SetClock) -> None:
    sandbox = exchange(stream_rule=StreamRule(RateRule(3, 60.0, extends=False)))
    for _ in range(3):
        with client(sandbox):
            pass
    for seconds in (0, 30, 29):
        clock.advance(seconds * 1000)
        with pytest.raises(InvalidStatus) as refused:
            connect(sandbox.ws_url)
        assert refused.value.response.status_code == 429
    clock.advance(2_000)
    with client(sandbox):
        pass
    log = httpx.get(f"http://127.0.0.1:{sandbox.port}/sandbox/connections").json()
    assert [one["status"] for one in log if one["what"] == "handshake"] == [101] * 3 + [429] * 3 + [101]


def test_what_is_no_handshake_is_told_so(sandbox: Sandbox) -> None:
    assert httpx.get(f"http://127.0.0.1:{sandbox.port}/ws/2").status_code == 426


def test_the_end_of_the_sandbox_closes_the_connections(exchange: Callable[..., Sandbox]) -> None:
    sandbox = exchange()
    with client(sandbox) as told:
        told.subscribe()
        sandbox._server.server_close()
        with pytest.raises(ConnectionClosedError):
            told.hear()


def test_a_recording_is_streamed_at_its_own_time(sandbox: Sandbox, clock: SetClock) -> None:
    start = NOW // MINUTE * MINUTE
    recorded = [(start + number * MINUTE, 10.0, 12.0, 9.0, 11.0, 1.5 + number) for number in (-2, -1, 1, 2, 4)]
    sandbox.market.recorded["tRECUSD", "1m"] = recorded
    with client(sandbox) as told:
        _, snapshot = told.subscribe("trade:1m:tRECUSD")
        assert snapshot == [row(recorded[1]), row(recorded[0])]
        heard = pass_time(clock, told, 3)
    candles = [message[1] for _, message in heard if message[1] != "hb"]
    # The second of two neighbours brings the first once more; after a quiet minute there is none to bring.
    assert candles == [row(recorded[2]), row(recorded[3]), row(recorded[2])]


def test_a_client_that_does_not_read_holds_up_nobody_else(
    sandbox: Sandbox, clock: SetClock, wait: Callable[..., None]
) -> None:
    with connect(sandbox.ws_url, compression=None, max_queue=1, max_size=None, close_timeout=0.1):
        # More than the network holds on the way.
        sandbox.order([parse_fault('{"kind": "ws-big", "bytes": 50000000}', clock.now())])
        wait(lambda: sandbox.stream.log[-1].what == "ws-big")
        clock.advance(1)
        with client(sandbox) as told:
            told.subscribe()
            assert pass_time(clock, told, 1)
    wait(lambda: [one.what for one in sandbox.stream.log].count("closed") == 2)


def test_twenty_five_series_keep_up_with_a_clock_600_times_as_fast_as_life(market: Market) -> None:
    names = [f"tP{number:02}USD" for number in range(25)]
    market.pairs |= {name: Pair(name, density=0.3 + number % 3) for number, name in enumerate(names)}
    clock = RehearsalClock(NOW, SystemClock().boottime(), 600)
    keys: dict[Any, Any] = {}
    latest: dict[tuple[Any, Any], Any] = {}
    with Sandbox(market, clock) as sandbox, client(sandbox) as told:
        told.say(event="conf", flags=32_768)
        for name in names:
            told.say(event="subscribe", channel="candles", key=f"trade:1m:{name}")
        start = clock.now()
        sent = start
        while sent < start + 30 * MINUTE:
            message = told.hear()
            if isinstance(message, dict):
                keys[message.get("chanId")] = message.get("key")
                continue
            number, payload, sent = message
            rows = [payload] if payload != "hb" and payload and not isinstance(payload[0], list) else payload
            latest |= {(keys[number][9:], one[0]): one for one in rows if payload != "hb"}
        # Half an hour is three seconds; a pump that lags falls behind by more than this even on a busy machine.
        assert clock.now() - sent < 10 * MINUTE
        for name in names:
            expected = truth(sandbox, name, "1m", start - 60 * MINUTE, start + 29 * MINUTE)
            assert [latest.get((name, candle[0])) for candle in expected] == [row(candle) for candle in expected]


def test_the_command_serves_rest_and_websocket_on_one_port() -> None:
    process = subprocess.Popen(
        [MDATA, "sandbox", "--speed", "60", "--channels", "1", "--fault", '{"kind": "ws-drop", "after": 60}'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        rest, stream, _ = (process.stdout.readline().split("=", 1)[1].strip() for _ in range(3))
        assert stream == rest.replace("http:", "ws:").replace("/v2", "/ws/2")
        with connect(stream, compression=None) as socket:
            told = Client(socket)
            assert told.hear()["event"] == "info"
            told.subscribe()
            assert told.ask(event="subscribe", channel="candles", key="trade:5m:tBTCUSD")["code"] == 10305
            with pytest.raises(ConnectionClosedError):
                told.until(lambda _: False)
        wrong = subprocess.run([MDATA, "sandbox", "--fault", '{"kind": "ws-rain"}'], capture_output=True, check=False)
        assert wrong.returncode == 2
        assert b"there is no fault 'ws-rain'" in wrong.stderr
    finally:
        process.terminate()
        process.communicate(timeout=10)
