"""`mdata sandbox`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mdata.clock import Clock
    from mdata.sandbox.market import Market


def sandbox(
    port: Annotated[
        int,
        typer.Option(metavar="PORT", min=0, max=65535, help="Listen on this port of 127.0.0.1; 0 picks a free one."),
    ] = 0,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PAIR", help="A pair: tBTCUSD, tNEWUSD:listed=2024-03-01,density=0.1,hole=2024-05-01/2024-05-03."
        ),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="INSTANT", help="When pairs without `listed` started to trade.")
    ] = "2024",
    seed: Annotated[int, typer.Option(metavar="N", help="Each seed makes a different market.")] = 1,
    replay: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Serve recorded candles, moved by whole days so that they end just before now."
        ),
    ] = None,
    at_own_time: Annotated[
        bool, typer.Option("--at-own-time", help="Serve recorded candles at their original times.")
    ] = False,
    rate_limit: Annotated[int, typer.Option(metavar="N", min=0, help="Requests per minute; 0 means no limit.")] = 30,
    ban: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Seconds of ban when the limit is exceeded.")
    ] = 60.0,
    ban_extends: Annotated[bool, typer.Option(help="Whether requests during a ban extend it.")] = True,
    connects: Annotated[
        int, typer.Option(metavar="N", min=0, help="WebSocket connects per minute; 0 means no limit.")
    ] = 20,
    channels: Annotated[int, typer.Option(metavar="N", min=1, help="Channels per WebSocket connection.")] = 25,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JSON",
            help='A fault: {"kind": "html", "times": 2}, {"kind": "ws-drop", "every": 60}; repeatable.',
        ),
    ] = None,
    latency: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Seconds before each answer.")] = 0.0,
    speed: Annotated[
        float,
        typer.Option(metavar="FACTOR", min=0.001, max=100_000, help="How many times faster than real time it runs."),
    ] = 1.0,
) -> None:
    """Run a simulated Bitfinex on this machine, to try things out."""
    from mdata.sandbox.server import RateRule, Sandbox, StreamRule, parse_fault

    clock, settings = _clock(speed)
    try:
        market = _market(pair, since, seed, clock.now())
        _replay(market, replay or [], clock.now(), at_own_time=at_own_time)
        faults = [parse_fault(text, clock.now()) for text in fault or []]
        rule = RateRule(rate_limit, ban, ban_extends)
        stream = StreamRule(RateRule(connects, extends=False), channels)
        running = Sandbox(market, clock, rule=rule, faults=faults, latency=latency, port=port, stream_rule=stream)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    sys.stdout.write(f"BITFINEX_REST_URL={running.rest_url}\nBITFINEX_WS_URL={running.ws_url}\n{settings}")
    sys.stdout.flush()
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        sys.stderr.write("mdata: the sandbox has stopped\n")


def _clock(speed: float) -> "tuple[Clock, str]":
    """Return the clock, and the setting that gives other mdata processes the same clock."""
    from mdata.clock import RehearsalClock, SystemClock

    system = SystemClock()
    if speed == 1:
        return system, ""
    wall, boot = system.now(), system.boottime()
    return RehearsalClock(wall, boot, speed), f"MDATA_REHEARSAL={wall},{boot!r},{speed!r}\n"


def _market(pairs: list[str] | None, since: str, seed: int, now: int) -> "Market":
    from mdata.domain.times import parse_instant
    from mdata.sandbox.market import Market
    from mdata.sandbox.options import parse_pair

    listed = parse_instant(since, now)
    found = [parse_pair(text, now, listed) for text in pairs or ["tBTCUSD", "tETHUSD"]]
    return Market({one.symbol: one for one in found}, seed)


def _replay(market: "Market", paths: list[Path], now: int, *, at_own_time: bool) -> None:
    from mdata.sandbox.replay import read_recording

    for path in paths:
        symbol, timeframe, candles = read_recording(path, now, at_own_time=at_own_time)
        market.recorded[symbol, timeframe] = candles
