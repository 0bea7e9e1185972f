"""The wire format of Bitfinex's WebSocket: turns a decoded frame into messages about channels.

Facts restated from the exchange's documents and from recordings of 2018 to 2026: data frames are arrays
`[CHANNEL, PAYLOAD, …]`, events are objects; a heartbeat's payload is `"hb"`, a snapshot's a list of rows, an
update's one flat row; the flag TIMESTAMP adds the exchange's clock (ms) as the last element of every data frame.
"""

from typing import Any

from mdata.domain.candle import Candle
from mdata.domain.claim import Faulty
from mdata.domain.timeframe import DAY
from mdata.exchange.bitfinex.protocol import Frame, Message, Notice, NotSubscribed, Subscribed
from mdata.exchange.bitfinex.wire import candle_of, shortened, time_of

TIMESTAMP = 32_768
# The code for a subscription that exists already, which is not a refusal.
_TWICE = 10_301
_LONGEST_TEXT = 200


def subscription(key: str) -> dict[str, str]:
    """Return the event that asks for a channel."""
    return {"event": "subscribe", "channel": "candles", "key": key}


def key_of(symbol: str, timeframe: str) -> str:
    """Return the key of a series' channel: `trade:1m:tBTCUSD`."""
    return f"trade:{timeframe}:{symbol}"


def stamp_of(message: Message) -> int | None:
    """Return the exchange's own clock (ms UTC) if the message contains it."""
    return message.stamp if isinstance(message, Frame) else None


def read_message(payload: Any, now: int) -> Message | None:
    """Return the message of a frame, or None for an irrelevant or unknown one; `now` is ms UTC.

    A last element that is an instant within a day of `now` is the exchange's clock.
    """
    if isinstance(payload, dict):
        return _event(payload)
    if not isinstance(payload, list) or len(payload) < 2 or type(payload[0]) is not int:
        return None
    number, content, stamp = payload[0], payload[1], _stamp(payload[2:], now)
    if content == "hb":
        return Frame(number, None, stamp=stamp)
    if not isinstance(content, list):
        return None
    if content and not isinstance(content[0], list):
        return Frame(number, (_row(content),), stamp=stamp)
    return Frame(number, tuple(map(_row, content)), is_snapshot=True, stamp=stamp)


def _event(event: dict[str, Any]) -> Message | None:
    kind, key, code = event.get("event"), event.get("key"), event.get("code")
    if kind == "subscribed" and isinstance(key, str) and type(event.get("chanId")) is int:
        return Subscribed(key, event["chanId"])
    if kind == "error" and isinstance(key, str) and code != _TWICE:
        text = str(event.get("msg", ""))[:_LONGEST_TEXT]
        return NotSubscribed(key, code if type(code) is int else 0, text)
    if kind == "info" and type(code) is int:
        return Notice(code)
    return None


def _row(row: Any) -> Candle | Faulty:
    found = candle_of(row)
    return Faulty(time_of(row), shortened(row), found) if isinstance(found, str) else found


def _stamp(tail: list[Any], now: int) -> int | None:
    # A sequence number, which another flag adds, is not an instant near now.
    if tail and type(tail[-1]) is int and abs(tail[-1] - now) < DAY:
        return int(tail[-1])
    return None
