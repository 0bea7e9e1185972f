"""`mdata verify`: the whole store against its ledger."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct

if TYPE_CHECKING:
    from mdata.cli.job_run import More
    from mdata.jobs.verify import Verified
    from mdata.running.context import Context
    from mdata.running.result import JobResult


def verify(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    exchange: Annotated[
        bool, typer.Option("--exchange", help="Compare 1/RECHECK_DAYS of the stored history with the exchange.")
    ] = False,
    dry_run: common.DryRun = False,
    max_runtime: common.MaxRuntime = None,
    max_requests: common.MaxRequests = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Read the whole store and find damage.

    Lets SQLite check the file, counts the candles of every range that the exchange has answered for, and looks for
    rows that cannot be candles. What differs from the ledger becomes unknown: `backfill` fetches it again, or
    `detect-gaps` lists it and `repair` fetches it. Keeps a digest of each month, to detect changes by other programs.
    Sends no requests, except with --exchange: then it compares a part of the stored history with the exchange; daily
    runs compare everything once within RECHECK_DAYS.
    """
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    if dry_run:
        conduct("verify", given, _plan_exchange if exchange else _plan)
    else:
        from mdata.cli.job_run import limits_of, run_job_with_more

        limits = limits_of(max_runtime, max_requests)
        run_job_with_more("verify", given, limits, wait_lock, _compare if exchange else _work)


def _compare(context: "Context") -> "tuple[JobResult, More]":
    from dataclasses import asdict

    from mdata.cli.job_run import More
    from mdata.fetching.recheck import recheck

    result, compared = recheck(context)
    words = f"compared={compared.candles} pages={compared.pages}"
    return result, More(words, {"compared": asdict(compared)})


def _plan_exchange(kit: Kit) -> Answer:
    from dataclasses import asdict

    from mdata import render
    from mdata.fetching.recheck import Compared, plan
    from mdata.store.opening import open_for_reading

    store, found = open_for_reading(kit.loaded.settings.database_path), Compared()
    if store is not None:
        with store:
            found = plan(kit.loaded.settings, store)
    text = f"{found.requests} requests would compare {found.candles:,} candles; all history has {found.pages} pages"
    return Answer(data={"dry_run": True, "compared": asdict(found)}, show=lambda: render.line(text))


def _work(context: "Context") -> "tuple[JobResult, More]":
    from mdata.cli.job_run import More
    from mdata.jobs.verify import verify as work

    result, found = work(context)
    words = f"candles={found.candles} refused_rows={found.refused} doubts={len(found.doubts)}"
    return result, More(words, _data(found), lambda: _show(found))


def _plan(kit: Kit) -> Answer:
    from mdata.jobs.verify import Verified, plan
    from mdata.store.mending import missing_triggers
    from mdata.store.opening import open_for_reading

    store, found = open_for_reading(kit.loaded.settings.database_path, kit.log.info), Verified()
    if store is not None:
        with store:
            found = plan(kit.loaded.settings, store)
            for name in missing_triggers(store.connection):
                kit.log.warning(f"the trigger {name} is missing: the next job that writes restores it")
    return Answer(data={"dry_run": True, **_data(found)}, show=lambda: _show(found))


def _data(found: "Verified") -> dict[str, Any]:
    from dataclasses import asdict

    return {"verified": {**asdict(found), "doubts": _doubts(found)}}


def _doubts(found: "Verified") -> list[dict[str, Any]]:
    from dataclasses import asdict

    from mdata.domain.times import iso

    return [{**asdict(doubt), "start": iso(doubt.start), "end": iso(doubt.end)} for doubt in found.doubts]


def _show(found: "Verified") -> None:
    import sys

    from mdata import render
    from mdata.exchange.registry import qualified

    doubts = _doubts(found)
    if not sys.stdout.isatty():
        # When cron runs this command, it prints nothing about a sound store.
        if doubts:
            render.table([*doubts[0]], [[*doubt.values()] for doubt in doubts])
        return
    render.line(
        f"{found.candles:,} candles; {found.refused} rows cannot be candles, {found.unvouched} candles are outside "
        f"all covered ranges, {len(doubts)} covered ranges differ from what was recorded"
    )
    if doubts:
        keys = ("start", "end", "intervals", "recorded", "stored")
        names = [f"{qualified(doubt['exchange'], doubt['symbol'])} {doubt['timeframe']}" for doubt in doubts]
        cells = [[name, *map(doubt.get, keys)] for name, doubt in zip(names, doubts, strict=True)]
        columns = ["series", "start (UTC)", "end (UTC)", "intervals", "recorded", "stored"]
        render.listing(columns, cells, [doubt["reason"] for doubt in doubts])
