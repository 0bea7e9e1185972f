"""`mdata chart`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.completion import complete_timeframe
from mdata.cli.entry import Answer, Kit, Options, conduct, instant
from mdata.exit_codes import OK, WORK_REMAINS

if TYPE_CHECKING:
    from mdata.jobs.chart import Chart, ChartWish

# Terminal lines besides prices: title, volume, ledger, times, legend, the next prompt.
_OTHER_LINES = 9
_LEAST_ROWS, _MOST_ROWS = 6, 24


def chart(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: Annotated[
        str | None,
        typer.Option(
            "--timeframe", "-t", metavar="TIMEFRAME",
            help="Draw candles of this timeframe; aggregate them if they are not stored.",
            show_default=False, autocompletion=complete_timeframe,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Start here (2024-03, -2d); default: what fits.", show_default=False),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="End here; default: the newest candle.", show_default=False)
    ] = None,
    json: common.Json = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:  # fmt: skip
    """Draw candles, and what is known of them, in the terminal.

    Each column is one interval, with its volume and the verdict of the ledger below. With --since alone, the interval
    is chosen so that the whole range fits.
    """
    given = Options(env_file, common.both(symbols, symbol), None, json, quiet, verbose)
    conduct("chart", given, lambda kit: _chart(kit, timeframe, since, until))


def _chart(kit: Kit, timeframe: str | None, since: str | None, until: str | None) -> Answer:
    from mdata.jobs.chart import look
    from mdata.store.opening import open_for_reading

    settings, found, missing = kit.loaded.settings, [], []
    wish = _wish(kit, timeframe, since, until)
    store = open_for_reading(settings.database_path, kit.log.info)
    if store is None:
        return _nothing(kit, list(settings.symbols), timeframe)
    with store:
        for symbol in settings.symbols:
            one = look(store, settings, symbol, wish, kit.clock.now())
            if one is None:
                missing.append(symbol)
            else:
                found.append(one)
    answer = Answer(OK, None, {"charts": [_told(one) for one in found]}, lambda: _show(found))
    return _nothing(kit, missing, timeframe, answer) if missing else answer


def _wish(kit: Kit, timeframe: str | None, since: str | None, until: str | None) -> "ChartWish":
    from shutil import get_terminal_size

    from mdata.config import values
    from mdata.jobs.chart import ChartWish
    from mdata.screen.chart import AXIS

    start, end = instant(since, "--since", kit.clock), instant(until, "--until", kit.clock)
    if start is not None and start >= (kit.clock.now() if end is None else end):
        raise typer.BadParameter("--since must be earlier than --until")
    try:
        grids = values.timeframes(timeframe) if timeframe else (None,)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeframe") from error
    if len(grids) > 1:
        raise typer.BadParameter("a chart has only one timeframe", param_hint="--timeframe")
    return ChartWish(start, end, grids[0], max(10, get_terminal_size().columns - AXIS))


def _nothing(kit: Kit, symbols: list[str], timeframe: str | None, answer: Answer | None = None) -> Answer:
    """Return the answer for pairs without anything to draw."""
    what = f"{', '.join(symbols)}{f' for {timeframe}' if timeframe else ''}"
    reason = f"no candles of {what} are stored: run `mdata backfill`"
    kit.log.error(reason)
    return Answer(
        WORK_REMAINS, reason, answer.data if answer else {"charts": []}, answer.show if answer else lambda: None
    )


def _show(charts: "list[Chart]") -> None:
    from shutil import get_terminal_size

    from mdata import config, render
    from mdata.screen.chart import draw, legend

    width, height = get_terminal_size()
    unicode = config.wants_unicode(sys.stdout)
    rows = max(_LEAST_ROWS, min(_MOST_ROWS, height - _OTHER_LINES))
    for one in charts:
        sys.stdout.write(render.painted(draw(one, rows, width, unicode=unicode), width) + "\n")
    if charts:
        sys.stdout.write(render.painted(legend(charts, width, unicode=unicode), width))


def _told(one: "Chart") -> dict[str, Any]:
    from mdata.domain.times import iso

    return {
        "exchange": one.series.exchange,
        "symbol": one.series.symbol,
        "timeframe": one.bucket.name,
        "source": one.series.timeframe.name,
        "start": iso(one.shown.start),
        "end": iso(one.shown.end),
        "candles": [[iso(time), *values] for time, *values in one.view.rows],
        "stretches": [[iso(start), iso(end), verdict] for start, end, verdict in one.view.stretches],
    }
