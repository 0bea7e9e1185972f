"""`mdata status`: the screen for people, JSON and tab-separated values for programs, and the health check."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct, duration
from mdata.errors import MdataError
from mdata.exit_codes import OK, WORK_REMAINS

if TYPE_CHECKING:
    from mdata.jobs.status import Status


class StatusWish(NamedTuple):
    """The options besides the common ones."""

    check: bool
    complete: bool
    max_lag: str | None
    max_gaps: int
    prometheus: Path | None
    narrowed: bool
    json: bool
    quiet: bool


def status(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    check: Annotated[bool, typer.Option("--check", help="End with 3 unless the store is healthy.")] = False,
    complete: Annotated[
        bool, typer.Option("--complete", help="Like --check, and also end with 3 until the backfill is complete.")
    ] = False,
    max_lag: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Allowed lag for --check; default: STATUS_MAX_LAG_MINUTES.")
    ] = None,
    max_gaps: Annotated[int, typer.Option(metavar="N", min=0, help="Number of open gaps that --check allows.")] = 0,
    prometheus: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write metrics for node_exporter's textfile collector.", show_default=False
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh the screen every two seconds; q quits.")] = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Show what is stored, what is missing, and how the jobs went.

    With --check it is a health check: it prints one line, and ends with 3 if a series has no data or lags too much,
    or if gaps are open. With --complete it also ends with 3 until the backfill is done.
    """
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    check = check or complete
    wish = StatusWish(check, complete, max_lag, max_gaps, prometheus, bool(given.symbols or timeframe), json, quiet)
    if watch and (check or json or prometheus):
        raise typer.BadParameter("it cannot be combined with --check, --json or --prometheus", param_hint="--watch")
    conduct("status", given, lambda kit: _watch(kit, wish) if watch else _status(kit, wish))


def _watch(kit: Kit, wish: StatusWish) -> Answer:
    from mdata.cli.status_screen import watch

    return watch(kit, narrowed=wish.narrowed)


def _status(kit: Kit, wish: StatusWish) -> Answer:
    """Return the answer; for a health check, ping the monitor first."""
    url = kit.loaded.settings.ping_url
    if not wish.check or url is None:
        return _read(kit, wish)
    from mdata import ping

    try:
        answer = _read(kit, wish)
    except MdataError as error:
        ping.send(url, error.exit_code, kit.log.warning)
        raise
    ping.send(url, answer.exit, kit.log.warning)
    return answer


def _read(kit: Kit, wish: StatusWish) -> Answer:
    from mdata import json_views, lookups
    from mdata.health import Tolerance, complaints, sentence
    from mdata.jobs.status import with_next_runs

    settings = kit.loaded.settings
    limit = settings.status_max_lag_minutes * 60 if wish.max_lag is None else duration(wish.max_lag, "--max-lag")
    file = wish.prometheus or (settings.prometheus_textfile if wish.check else None)
    is_screen = sys.stdout.isatty() and not (wish.json or wish.check or wish.prometheus)
    try:
        state = lookups.find_status(settings, kit.clock, kit.log.info, narrowed=wish.narrowed, silent=is_screen)
    except MdataError as error:
        if file is not None:
            _write_metrics(kit, file, None, limit, error.exit_code)
        raise
    limits = Tolerance(limit, wish.max_gaps, wish.complete, settings.rate_limit_delay)
    reason = "; ".join(complaints(state, limits))
    code = WORK_REMAINS if reason else OK
    if file is not None:
        _write_metrics(kit, file, state, limit, code)
    if is_screen or (wish.json and not wish.check):
        state = with_next_runs(state)
    data = json_views.status(state, lookups.budget(settings, kit.clock), limits)
    if not wish.check:
        return Answer(OK, None, data, lambda: _show(kit, state, wish))
    return Answer(code, reason or None, data, lambda: _say(reason, sentence(state, limits), wish))


def _write_metrics(kit: Kit, file: Path, state: "Status | None", max_lag: int, code: int) -> None:
    from mdata import lookups, metrics

    if state is None:
        families = metrics.of_a_check(kit.clock.now(), code)
    else:
        rate = lookups.budget(kit.loaded.settings, kit.clock)
        families = metrics.of_a_store(state, rate, max_lag, code)
    metrics.write(file, families)
    if file.suffix != ".prom":
        kit.log.warning(f"node_exporter only reads files whose names end in .prom, not {file}")


def _say(reason: str, sentence: str, wish: StatusWish) -> None:
    from mdata import render

    if reason or not wish.quiet:
        render.line(sentence)


def _show(kit: Kit, state: "Status", wish: StatusWish) -> None:
    from mdata import json_views, lookups, render
    from mdata.cli.status_screen import paint

    if wish.prometheus is not None:
        # When cron runs this command, it prints nothing.
        if sys.stdout.isatty():
            render.note(f"wrote the metrics to {wish.prometheus}")
    elif sys.stdout.isatty():
        sys.stdout.write(paint(kit, state))
    else:
        render.status(json_views.status(state, lookups.budget(kit.loaded.settings, kit.clock)))
        for warning in state.warnings:
            kit.log.warning(warning)
