"""`mdata cleanup --symbol X --all`: delete a series, after confirmation."""

from dataclasses import asdict
from typing import NoReturn

import typer

from mdata import render
from mdata.cli.asking import be_sure
from mdata.cli.entry import Answer, Kit, Options, conduct, duration
from mdata.cli.job_run import More, run_job_with_more
from mdata.config.values import timeframe as parse_timeframe
from mdata.domain.series import Series
from mdata.domain.suggest import did_you_mean
from mdata.domain.timeframe import Timeframe
from mdata.exchange.registry import parse_symbol, qualified
from mdata.jobs import cleanup as job
from mdata.jobs.cleanup import Removed
from mdata.running.context import Context, JobLog, Limits
from mdata.running.result import JobResult
from mdata.store.engine import Store
from mdata.store.opening import open_for_reading


def forget(
    given: Options, symbols: list[str], timeframes: list[str], wait_lock: str, *, is_plan: bool, is_sure: bool
) -> NoReturn:
    """Delete the given series, or only report what that would remove."""
    try:
        wanted = [parse_symbol(text) for text in symbols]
        grids = [parse_timeframe(text) for text in timeframes]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    patience = duration(wait_lock, "--wait-lock")

    def work(context: Context) -> tuple[JobResult, More]:
        doomed = _find(context.store, context.log, wanted, grids)
        if doomed and not is_sure:
            _tell(context.log, job.still_wanted(context.settings, doomed))
            question = f"Delete {_named(doomed)} with {job.plan_forgetting(context.store, doomed).candles} candles?"
            be_sure(question, "cleanup", "deleted")
        result, removed = job.forget(context, doomed, patience)
        return result, tell(removed)

    if is_plan:
        conduct("cleanup", given, lambda kit: _plan(kit, wanted, grids))
    else:
        run_job_with_more("cleanup", given, Limits(), wait_lock, work)


def tell(removed: Removed) -> More:
    """Return what a run reports about the rows that it removed."""
    words = f"removed_candles={removed.candles} freed_bytes={removed.bytes}"
    return More(words, {"removed": asdict(removed)})


def _plan(kit: Kit, symbols: list[str], grids: list[Timeframe]) -> Answer:
    store, removed, names = open_for_reading(kit.loaded.settings.database_path), Removed(), "nothing"
    if store is not None:
        with store:
            doomed = _find(store, kit.log, symbols, grids)
            removed, names = job.plan_forgetting(store, doomed), _named(doomed) or "nothing"
        _tell(kit.log, job.still_wanted(kit.loaded.settings, doomed))
    line = f"would delete {names}: {removed.candles} candles, {removed.gaps} gaps, {removed.revisions} revisions"
    return Answer(data={"dry_run": True, "removed": asdict(removed)}, show=lambda: render.line(line))


def _find(store: Store, log: JobLog, symbols: list[str], grids: list[Timeframe]) -> list[Series]:
    known = job.stored(store, symbols, grids)
    for symbol in symbols:
        if symbol not in {qualified(series.exchange, series.symbol) for series in known}:
            log.warning(f"no candles of {symbol} are stored{did_you_mean(symbol, job.stored_symbols(store))}")
    return known


def _tell(log: JobLog, names: list[str]) -> None:
    for name in names:
        log.warning(f"{name} is still in the settings: the next `mdata backfill` fetches it again")


def _named(doomed: list[Series]) -> str:
    return ", ".join(series.name for series in doomed)
