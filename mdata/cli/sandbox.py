"""`mdata sandbox`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mdata.sandbox.market import Market


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Listen here on 127.0.0.1; 0 picks a free port.")] = 0,
    pair: Annotated[
        list[str] | None,
        typer.Option(help="A pair: tBTCUSD, tNEWUSD:listed=2024-03-01,density=0.1,hole=2024-05-01/2024-05-03."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another market.")] = 1,
    replay: Annotated[
        list[Path] | None, typer.Option(help="Serve recorded candles, moved by whole days to end just before now.")
    ] = None,
    rate_limit: Annotated[int, typer.Option(min=0, help="Requests a minute; 0 is no limit.")] = 30,
    ban: Annotated[float, typer.Option(min=0, help="Seconds of ban when it is exceeded.")] = 60.0,
    fault: Annotated[list[str] | None, typer.Option(help='What goes wrong: {"kind": "html", "times": 2}.')] = None,
    latency: Annotated[float, typer.Option(min=0, help="Seconds until each answer.")] = 0.0,
) -> None:
    """Serve a made-up Bitfinex on this machine, to rehearse with."""
    from mdata.clock import SystemClock
    from mdata.sandbox.faults import Fault
    from mdata.sandbox.server import RateRule, Sandbox

    try:
        market = _market(pair or ["tBTCUSD", "tETHUSD"], seed, replay or [], SystemClock().now())
        faults = [Fault.parse(text) for text in fault or []]
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    running = Sandbox(market, rule=RateRule(rate_limit, ban), faults=faults, latency=latency, port=port)
    sys.stdout.write(f"BITFINEX_REST_URL={running.rest_url}\nBITFINEX_WS_URL={running.ws_url}\n")
    sys.stdout.flush()
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        sys.stderr.write("mdata: the sandbox has ended\n")


def _market(pairs: list[str], seed: int, replays: list[Path], now: int) -> "Market":
    from mdata.sandbox.market import Market
    from mdata.sandbox.options import parse_pair
    from mdata.sandbox.replay import read_recording

    market = Market({found.symbol: found for found in map(parse_pair, pairs)}, seed)
    for path in replays:
        symbol, timeframe, candles = read_recording(path, now)
        market.recorded[symbol, timeframe] = candles
    return market
