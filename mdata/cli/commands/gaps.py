"""`mdata gaps`."""

import sys
from typing import Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.completion import one_of
from mdata.cli.entry import Answer, Kit, Options, conduct, instant
from mdata.cli.stored import opened, tell_that_nothing_is_stored
from mdata.domain.gaps import STATUSES


def gaps(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    status: Annotated[
        str | None, typer.Option(help="Show only gaps with this status.", show_default=False, **one_of(STATUSES))
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Show only gaps that end after this instant.", show_default=False),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=common.MOST, help="Show the newest N.", show_default=False),
    ] = None,
    revisions: Annotated[
        bool,
        typer.Option("--revisions", help="Instead, list final candles that the exchange changed or withdrew later."),
    ] = False,
) -> None:
    """List gaps: open, repaired, proven empty, given up."""
    given = Options(env_file, common.both(symbols, symbol), timeframe, json)
    conduct("gaps", given, _revisions if revisions else lambda kit: _gaps(kit, given, status, since, limit))


def _gaps(kit: Kit, given: Options, status: str | None, since: str | None, limit: int | None) -> Answer:
    from mdata import lookups

    start = instant(since, "--since", kit.clock)
    settings = kit.loaded.settings
    symbols = list(settings.symbols) if given.symbols else []
    timeframes = [one.name for one in settings.timeframes] if given.timeframes else []
    rows = lookups.find_gaps(settings, status, symbols, timeframes, start, limit, kit.log.info)
    if rows is None:
        tell_that_nothing_is_stored(kit)
        return Answer(data={"gaps": []})
    if symbols and not rows:
        _tell_what_is_stored(kit, symbols)
    return Answer(data={"gaps": rows}, show=lambda: _show(rows))


def _tell_what_is_stored(kit: Kit, symbols: list[str]) -> None:
    """Say which of the requested symbols are not stored at all, and therefore have no gaps."""
    from mdata.domain.suggest import did_you_mean
    from mdata.jobs.cleanup import stored_symbols

    store = opened(kit)
    if store is not None:
        with store:
            known = stored_symbols(store)
        for symbol in symbols:
            if symbol not in known:
                kit.log.warning(f"no candles of {symbol} are stored{did_you_mean(symbol, known)}")


def _show(rows: list[dict[str, Any]]) -> None:
    from mdata import render
    from mdata.exchange.registry import qualified

    if not sys.stdout.isatty():
        columns = ["id", "symbol", "timeframe", "start", "end", "intervals", "status", "attempts", "reason"]
        columns.append("exchange")
        render.table(columns, [[row[column] for column in columns] for row in rows])
        return
    columns = ["id", "series", "start (UTC)", "end (UTC)", "intervals", "status", "attempts"]
    keys = ("start", "end", "intervals", "status", "attempts")
    names = [f"{qualified(row['exchange'], row['symbol'])} {row['timeframe']}" for row in rows]
    cells = [[row["id"], name, *map(row.get, keys)] for row, name in zip(rows, names, strict=True)]
    render.listing(columns, cells, [row["reason"] for row in rows])


def _revisions(kit: Kit) -> Answer:
    from mdata import json_views, render
    from mdata.store import revisions as table

    store = opened(kit)
    if store is None:
        return Answer(data={"revisions": []})
    with store, store.read() as connection:
        found = table.listed(connection)
    rows = json_views.revisions(found)
    columns = list(table.COLUMNS)
    return Answer(
        data={"revisions": rows}, show=lambda: render.table(columns, [[row[c] for c in columns] for row in rows])
    )
