"""Bitfinex's facts: from its documents or, if these say nothing, measured on recordings of 2013 to 2025.

It has no 4h candles, and its 7D candles have been broken since 2016: most contain only one day.
"""

from mdata.domain.pace import Window
from mdata.domain.timeframe import TIMEFRAMES
from mdata.domain.venue import Channels, Venue

BITFINEX = Venue(
    name="bitfinex",
    title="Bitfinex",
    rest_url="https://api-pub.bitfinex.com/v2",
    ws_url="wss://api-pub.bitfinex.com/ws/2",
    timeframes=tuple(TIMEFRAMES.values()),
    refused=(
        ("4h", "Bitfinex has no 4h candles: use 1h, 3h or 6h"),
        ("7d", "Bitfinex's 7D candles have been broken since 2016: use 1W"),
        ("14d", "Bitfinex's 14D candles cannot be trusted: use 1W or 1D"),
    ),
    page_rows=10_000,
    # `sort` determines which end is kept, and the order of the rows.
    anchor="asked",
    order="asked",
    lower="inclusive",
    upper="inclusive",
    silence="omitted",
    settle_seconds=120,
    depth=None,
    # Bitfinex's current documents say 30 a minute for candles, older ones 90; a client that sends more is blocked for
    # 60 s.
    window=Window(seconds=60.0, documented=30, most=27),
    # Bitfinex documents 25 channels for a connection in one place and 30 in another. Heartbeats come every 15 s on
    # every channel, busy or quiet; a channel is dead after two missing ones.
    stream=Channels(per_connection=25, connects=20, spacing=5.0, dead_after=35.0),
)
