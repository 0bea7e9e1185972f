"""`mdata detect-gaps`, `mdata repair` and `mdata gaps`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct, instant
from mdata.cli.words import one_of
from mdata.domain.gaps import STATUSES

if TYPE_CHECKING:
    from mdata.store.engine import Store


def detect_gaps(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    max_runtime: common.MaxRuntime = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Find what is missing inside what was fetched.

    That is: intervals that nobody has answered for, and candles that were deleted since. Asks the exchange nothing;
    `mdata gaps` lists what was found, `mdata repair` brings it back.
    """
    from mdata.cli.jobs import limits_of, run_job
    from mdata.jobs.detect_gaps import detect_gaps as work

    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    run_job("detect-gaps", given, limits_of(max_runtime, None), wait_lock, work)


def repair(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    dry_run: common.DryRun = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try those again that were given up.")] = False,
    max_runtime: common.MaxRuntime = None,
    max_requests: common.MaxRequests = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Ask again about gaps that are due; close them on proof only.

    Newest first, in the fewest requests, GAP_REPAIR_MAX_REPAIRS_PER_RUN at most. A gap that an answer left unproven
    is asked about again after 1, 6, 24 hours and so on, and given up after 8 times.
    """
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    if dry_run:
        conduct("repair", given, lambda frame: _plan(frame, retry_failed=retry_failed))
    from mdata.cli.jobs import limits_of, run_job
    from mdata.jobs.repair import repair as work

    limits = limits_of(max_runtime, max_requests)
    run_job("repair", given, limits, wait_lock, lambda context: work(context, retry_failed=retry_failed))


def gaps(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    status: Annotated[
        str | None, typer.Option(help="Only gaps of this status.", show_default=False, **one_of(STATUSES))
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Only gaps that end after this instant.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=common.MOST, help="At most so many, the newest.", show_default=False),
    ] = None,
    revisions: Annotated[
        bool, typer.Option("--revisions", help="List final candles that came back different instead.")
    ] = False,
) -> None:
    """List the gaps: found, repaired, proven empty, given up."""
    given = Options(env_file, common.both(symbols, symbol), timeframe, json)
    if revisions:
        conduct("gaps", given, _revisions)
    conduct("gaps", given, lambda frame: _gaps(frame, given, status, since, limit))


def _gaps(frame: Frame, given: Options, status: str | None, since: str | None, limit: int | None) -> Answer:
    from mdata import shapes

    start = instant(since, "--since", frame.clock)
    settings = frame.loaded.settings
    named = list(settings.symbols) if given.symbols else []
    timeframes = [one.name for one in settings.timeframes] if given.timeframes else []
    rows = shapes.find_gaps(settings, status, named, timeframes, start, limit, frame.log.info)
    if rows is None:
        _tell_that_nothing_is_stored(frame)
        return Answer(data={"gaps": []})
    if named and not rows:
        _tell_what_is_stored(frame, named)
    return Answer(data={"gaps": rows}, show=lambda: _show(rows))


def _tell_what_is_stored(frame: Frame, symbols: list[str]) -> None:
    """Say which of the symbols asked about are not stored at all: they have no gaps either."""
    from mdata.domain.near import did_you_mean
    from mdata.jobs.forget import stored_symbols

    store = _opened(frame)
    if store is not None:
        with store:
            known = stored_symbols(store)
        for symbol in symbols:
            if symbol not in known:
                frame.log.warning(f"nothing of {symbol} is stored{did_you_mean(symbol, known)}")


def _opened(frame: Frame) -> "Store | None":
    from mdata.store.engine import open_for_reading

    store = open_for_reading(frame.loaded.settings.database_path, frame.log.info)
    if store is None:
        _tell_that_nothing_is_stored(frame)
    return store


def _tell_that_nothing_is_stored(frame: Frame) -> None:
    frame.log.warning("nothing is stored yet: run `mdata backfill`")


def _show(rows: list[dict[str, Any]]) -> None:
    from mdata import render
    from mdata.exchange.registry import qualified

    if not sys.stdout.isatty():
        columns = [
            "id",
            "symbol",
            "timeframe",
            "start",
            "end",
            "intervals",
            "status",
            "attempts",
            "reason",
            "exchange",
        ]
        render.table(columns, [[row[column] for column in columns] for row in rows])
        return
    columns = ["id", "series", "start (UTC)", "end (UTC)", "intervals", "status", "attempts"]
    keys = ("start", "end", "intervals", "status", "attempts")
    names = [f"{qualified(row['exchange'], row['symbol'])} {row['timeframe']}" for row in rows]
    cells = [[row["id"], name, *map(row.get, keys)] for row, name in zip(rows, names, strict=True)]
    render.listing(columns, cells, [row["reason"] for row in rows])


def _revisions(frame: Frame) -> Answer:
    from mdata import render, shapes
    from mdata.store import revisions as table

    store = _opened(frame)
    if store is None:
        return Answer(data={"revisions": []})
    with store, store.read() as connection:
        found = table.listed(connection)
    rows = shapes.revisions(found)
    columns = list(table.COLUMNS)
    return Answer(
        data={"revisions": rows}, show=lambda: render.table(columns, [[row[c] for c in columns] for row in rows])
    )


def _plan(frame: Frame, *, retry_failed: bool) -> Answer:
    from dataclasses import asdict, replace

    from mdata import render
    from mdata.domain.budget import Priority
    from mdata.domain.moment import human_duration
    from mdata.jobs.repair import NOTHING, plan
    from mdata.shapes import budget

    settings, store, found = frame.loaded.settings, _opened(frame), NOTHING
    if store is not None:
        with store:
            found = plan(settings, store, frame.clock.now(), retry_failed=retry_failed)
    cost = found.estimate
    cost = replace(cost, seconds=budget(settings, frame.clock).seconds_for(cost.requests, Priority.REPAIR))
    data = {
        "dry_run": True,
        "gaps_due": found.gaps,
        "silences_due": found.silences,
        "intervals": found.intervals,
        **asdict(cost),
    }
    text = (
        f"{found.gaps} gaps ({found.intervals} intervals) and {found.silences} long silences are due: at most "
        f"{cost.requests} requests, {human_duration(cost.seconds)} at the shared rate, "
        f"{cost.bytes / 1e6:.1f} MB"
    )
    return Answer(data=data, show=lambda: render.line(text))
