"""The sandbox's WebSocket side, unkind on demand: every fault over a real socket, on a clock that stands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import NOW, SetClock
from hypothesis import given
from hypothesis import strategies as st
from ordering import order
from stream_client import BTC, MINUTE, Client, client, exchange, pass_time
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from mdata.sandbox.server import Sandbox
from mdata.sandbox.wsfaults import KINDS, Schedule, StreamFault

__all__ = ["exchange"]


def updates(heard: list[Any]) -> list[Any]:
    return [message[1] for _, message in heard if isinstance(message, list) and message[1] != "hb"]


def closing_code(told: Client) -> int:
    """Hear until the end; give the closing code."""
    with pytest.raises(ConnectionClosed) as closed:
        told.until(lambda _: False)
    return closed.value.rcvd.code if closed.value.rcvd else 1006


def handshake(sandbox: Sandbox) -> int:
    try:
        with connect(sandbox.ws_url):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


@given(
    first=st.integers(0, 10**6), period=st.integers(0, 10**4), times=st.integers(1, 100), at=st.integers(-100, 10**7)
)
def test_a_schedule_is_the_instants_it_lists(first: int, period: int, times: int, at: int) -> None:
    schedule = Schedule(first, period, times if period else 1)
    instants = [first + number * period for number in range(times if period else 1)]
    assert schedule.latest(at) == max((one for one in instants if one <= at), default=None)
    assert schedule.following(at) == min((one for one in instants if one > at), default=None)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"kind": "ws-rain"}, "there is no fault 'ws-rain'; there are ws-drop"),
        ({"kind": "ws-drop", "for": 5}, "the fault ws-drop has no 'for'; it has after, every, times"),
        ({"kind": "ws-drop", "after": -1}, "after of the fault ws-drop cannot be -1"),
        ({"kind": "ws-silence", "later": 1}, "later of the fault ws-silence cannot be 1"),
        ({"kind": "ws-refuse", "status": "503"}, "status of the fault ws-refuse cannot be '503'"),
        ({"kind": "ws-drop", "every": True}, "every of the fault ws-drop cannot be True"),
    ],
)
def test_a_fault_that_is_none_is_refused_with_a_sentence(fault: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        StreamFault.parse(json.dumps(fault), NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_ordered_with_its_own_defaults(kind: str) -> None:
    fault = StreamFault.parse(json.dumps({"kind": kind, **KINDS[kind]}), NOW)
    assert fault.parameters == KINDS[kind]


def test_every_kind_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


def test_a_cut_now_and_one_every_minute(sandbox: Sandbox, clock: SetClock) -> None:
    with client(sandbox) as told:
        told.subscribe()
        order(sandbox, {"kind": "ws-drop", "every": 60, "times": 2})
        assert closing_code(told) == 1006
    clock.advance(1_000)
    with client(sandbox) as told:
        told.subscribe()
        clock.advance(58_000)
        told.hush()
        clock.advance(1_500)
        assert closing_code(told) == 1006
    with client(sandbox) as told:
        told.subscribe()
        clock.advance(3 * MINUTE)
        told.hush()


def test_a_restart_is_announced(sandbox: Sandbox, clock: SetClock) -> None:
    with client(sandbox) as told:
        order(sandbox, {"kind": "ws-restart", "after": 10, "notice": 5})
        assert told.hush() == []
        clock.advance(11_000)
        assert told.hear() == {"event": "info", "code": 20051, "msg": "stopping, please reconnect"}
        clock.advance(5_000)
        assert closing_code(told) == 1012


def test_a_stall_seizes_the_channels_that_are_open(sandbox: Sandbox, clock: SetClock) -> None:
    with client(sandbox) as told:
        stalled, _ = told.subscribe()
        other, _ = told.subscribe("trade:5m:tBTCUSD")
        clock.advance(1)
        order(sandbox, {"kind": "ws-silence", "timeframe": "1m", "for": 120})
        told.hush()
        heard = pass_time(clock, told, 1)
        assert {message[0] for _, message in heard} == {other}
        with client(sandbox) as anew:
            fresh, snapshot = anew.subscribe()
            assert len(snapshot) == 240
            assert {message[0] for _, message in pass_time(clock, anew, 1)} == {fresh}
            told.hush()
            assert {message[0] for _, message in pass_time(clock, told, 1)} == {stalled, other}


def test_a_stall_may_seize_later_channels_too(sandbox: Sandbox, clock: SetClock) -> None:
    order(sandbox, {"kind": "ws-silence", "later": True})
    with client(sandbox) as told:
        assert told.ask(event="subscribe", channel="candles", key=BTC)["event"] == "subscribed"
        assert pass_time(clock, told, 1) == []


def test_maintenance_closes_everything_for_a_time(sandbox: Sandbox, clock: SetClock) -> None:
    status = f"{sandbox.rest_url}/platform/status"
    with client(sandbox) as told:
        order(sandbox, {"kind": "ws-maintenance", "notice": 10, "for": 60, "resume": 5})
        assert told.hear()["code"] == 20060
        clock.advance(9_000)
        told.hush()
        assert httpx.get(status).json() == [1]
        clock.advance(1_000)
        assert closing_code(told) == 1012
    for seconds in (0, 59):
        clock.advance(seconds * 1000)
        assert handshake(sandbox) == 503
        assert httpx.get(status).json() == [0]
        refused = httpx.get(f"{sandbox.rest_url}/candles/{BTC}/hist")
        assert (refused.status_code, refused.json()) == (503, ["error", 20060, "maintenance"])
    clock.advance(1_000)
    with connect(sandbox.ws_url) as socket:
        told = Client(socket)
        assert told.hear()["platform"] == {"status": 0}
        told.subscribe()
        clock.advance(4_000)
        told.hush()
        clock.advance(1_000)
        assert told.until(lambda message: isinstance(message, dict))[-1]["code"] == 20061
        assert httpx.get(status).json() == [1]
        # Subscriptions from before the end are void.
        assert pass_time(clock, told, 1) == []
        told.subscribe()
        assert pass_time(clock, told, 1)


def test_updates_come_in_a_wrong_order(sandbox: Sandbox, clock: SetClock) -> None:
    def volumes() -> list[float]:
        with client(sandbox) as told:
            told.subscribe("trade:1h:tBTCUSD")
            return [update[5] for update in updates(pass_time(clock, told, 3))]

    truthful = volumes()
    order(sandbox, {"kind": "ws-reorder"})
    reordered = volumes()
    assert truthful == sorted(truthful)
    assert reordered[::2] != reordered[1::2]
    assert reordered != sorted(reordered)
    assert [b for pair in zip(reordered[1::2], reordered[::2], strict=False) for b in pair] == sorted(
        reordered[: len(reordered) // 2 * 2]
    )


def test_updates_come_twice(sandbox: Sandbox, clock: SetClock) -> None:
    order(sandbox, {"kind": "ws-duplicate", "symbol": "tBTCUSD"})
    with client(sandbox) as told:
        told.subscribe()
        spared, _ = told.subscribe("trade:1m:tNEWUSD")
        heard = pass_time(clock, told, 2)
    twice = updates([(at, message) for at, message in heard if message[0] != spared])
    once = updates([(at, message) for at, message in heard if message[0] == spared])
    assert twice[::2] == twice[1::2]
    assert twice
    assert once == [update for number, update in enumerate(once) if update not in once[:number] or number > 1]


def test_older_candles_are_updated_late(sandbox: Sandbox, clock: SetClock) -> None:
    with client(sandbox) as told:
        number, snapshot = told.subscribe()
        order(sandbox, {"kind": "ws-late", "intervals": 7})
        assert told.hear() == [number, snapshot[7]]
        assert told.hush() == []
    assert clock.now() == NOW


def test_the_acknowledgement_may_come_after_the_first_data(sandbox: Sandbox) -> None:
    order(sandbox, {"kind": "ws-early"})
    with client(sandbox) as told:
        number, snapshot = told.ask(event="subscribe", channel="candles", key=BTC)
        assert len(snapshot) == 240
        assert told.hear() == {"event": "subscribed", "chanId": number, "channel": "candles", "key": BTC}


@pytest.mark.parametrize("status", [408, 429, 503])
def test_so_many_handshakes_are_refused(sandbox: Sandbox, status: int) -> None:
    order(sandbox, {"kind": "ws-refuse", "status": status, "handshakes": 3})
    assert [handshake(sandbox) for _ in range(4)] == [status] * 3 + [101]


def test_connections_are_accepted_and_closed(sandbox: Sandbox, clock: SetClock) -> None:
    order(sandbox, {"kind": "ws-accept-close", "for": 60, "code": 1012})
    for _ in range(3):
        with connect(sandbox.ws_url) as socket:
            assert closing_code(Client(socket)) == 1012
    clock.advance(MINUTE)
    with client(sandbox) as told:
        told.hush()


@pytest.mark.parametrize(("kind", "code"), [("ws-big", 1009), ("ws-bad-utf8", 1007), ("ws-masked", 1002)])
def test_what_no_client_need_bear_ends_the_connection(sandbox: Sandbox, kind: str, code: int) -> None:
    with client(sandbox) as told:
        order(sandbox, {"kind": kind})
        with pytest.raises(ConnectionClosedError) as closed:
            told.hear()
        assert closed.value.sent is not None
        assert closed.value.sent.code == code


def test_a_big_message_is_one_byte_too_big(sandbox: Sandbox) -> None:
    with connect(sandbox.ws_url, max_size=None) as socket:
        socket.recv(timeout=10)
        order(sandbox, {"kind": "ws-big"})
        assert len(socket.recv(timeout=10)) == 2**20 + 1


def test_a_binary_message_comes(sandbox: Sandbox) -> None:
    with client(sandbox) as told:
        order(sandbox, {"kind": "ws-binary"})
        assert isinstance(told.socket.recv(timeout=10), bytes)


def test_unknown_messages_come_and_known_ones_have_more_elements(sandbox: Sandbox) -> None:
    with client(sandbox) as told:
        number, snapshot = told.subscribe()
        order(sandbox, {"kind": "ws-unknown"})
        heard = [told.hear(), *told.hush()]
    assert [1, [1, 2, 3, 4, 5, 6]] in heard
    assert {"event": "weather", "msg": "fine"} in heard
    assert [number, [*snapshot[0], "more", None]] in heard


def test_a_flood_is_so_many_messages_a_second(sandbox: Sandbox, clock: SetClock) -> None:
    with client(sandbox) as told:
        told.subscribe()
        told.subscribe("trade:5m:tBTCUSD")
        order(sandbox, {"kind": "ws-flood", "every": 1, "times": 3, "messages": 300})
        heard = updates([(0, message) for message in [told.hear(), *told.hush()]])
        assert len(heard) == 300
        heard += updates(pass_time(clock, told, 1, step=500))
    assert 900 <= len(heard) < 920


def test_what_was_done_is_in_the_log(sandbox: Sandbox, clock: SetClock, wait: Callable[..., None]) -> None:
    with client(sandbox) as told:
        told.subscribe()
        order(sandbox, {"kind": "ws-drop"})
        closing_code(told)
    log = f"http://127.0.0.1:{sandbox.port}/sandbox/connections"
    wait(lambda: httpx.get(log).json()[-1]["what"] == "closed")
    lines = [(one["connection"], one["what"], one["status"], one["key"]) for one in httpx.get(log).json()]
    assert lines == [
        (1, "handshake", 101, None), (1, "subscribe", 0, BTC), (1, "ws-drop", 0, None), (1, "closed", 1006, None),
    ]  # fmt: skip
    assert httpx.get(log, params={"from": 3}).json()[0]["at"] == clock.now()
