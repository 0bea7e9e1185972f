"""`mdata cleanup --symbol X --all`: forget a series, after asking."""

from dataclasses import asdict
from typing import NoReturn

import typer

from mdata import render
from mdata.cli.frame import Answer, Frame, Options, conduct, duration
from mdata.cli.jobs import More, run_job_with_more
from mdata.cli.upkeep import be_sure, tell
from mdata.config.values import timeframe as parse_timeframe
from mdata.domain.near import did_you_mean
from mdata.domain.series import Series
from mdata.domain.timeframe import Timeframe
from mdata.exchange.registry import parse_symbol, qualified
from mdata.jobs import forget as job
from mdata.jobs.cleanup import Removed
from mdata.jobs.context import Context, Limits, Log
from mdata.jobs.result import JobResult
from mdata.store.engine import Store, open_for_reading


def forget(
    given: Options, symbols: list[str], timeframes: list[str], wait_lock: str, *, is_plan: bool, is_sure: bool
) -> NoReturn:
    """Forget the named series, or only say what that would remove."""
    try:
        wanted = [parse_symbol(text) for text in symbols]
        grids = [parse_timeframe(text) for text in timeframes]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if is_plan:
        conduct("cleanup", given, lambda frame: _plan(frame, wanted, grids))
    patience = duration(wait_lock, "--wait-lock")

    def work(context: Context) -> tuple[JobResult, More]:
        doomed = _find(context.store, context.log, wanted, grids)
        if doomed and not is_sure:
            _tell(context.log, job.still_wanted(context.settings, doomed))
            be_sure(f"Forget {_named(doomed)}, {job.plan(context.store, doomed).candles} candles?")
        result, removed = job.forget(context, doomed, patience)
        return result, tell(removed)

    run_job_with_more("cleanup", given, Limits(), wait_lock, work)


def _plan(frame: Frame, symbols: list[str], grids: list[Timeframe]) -> Answer:
    store, removed, names = open_for_reading(frame.loaded.settings.database_path), Removed(), "nothing"
    if store is not None:
        with store:
            doomed = _find(store, frame.log, symbols, grids)
            removed, names = job.plan(store, doomed), _named(doomed) or "nothing"
        _tell(frame.log, job.still_wanted(frame.loaded.settings, doomed))
    line = f"would forget {names}: {removed.candles} candles, {removed.gaps} gaps, {removed.revisions} revisions"
    return Answer(data={"dry_run": True, "removed": asdict(removed)}, show=lambda: render.line(line))


def _find(store: Store, log: Log, symbols: list[str], grids: list[Timeframe]) -> list[Series]:
    known = job.find(store, symbols, grids)
    for symbol in symbols:
        if symbol not in {qualified(series.exchange, series.symbol) for series in known}:
            log.warning(f"nothing of {symbol} is stored{did_you_mean(symbol, job.stored_symbols(store))}")
    return known


def _tell(log: Log, names: list[str]) -> None:
    for name in names:
        log.warning(f"{name} is in the settings still: the next `mdata backfill` fetches it anew")


def _named(doomed: list[Series]) -> str:
    return ", ".join(series.name for series in doomed)
