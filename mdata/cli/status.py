"""`mdata status`."""

from typing import Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct, duration


def status(
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 3 unless the store is healthy.")] = False,
    max_lag: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Limit for --check; else STATUS_MAX_LAG_MINUTES.")
    ] = None,
    max_gaps: Annotated[int, typer.Option(min=0, help="Open gaps that --check lets pass.")] = 0,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Show what the store holds, what is missing, how far behind it is, and how the jobs went."""
    given = Options(env_file, symbol, timeframe, json, quiet, verbose)
    conduct("status", given, lambda frame: _status(frame, max_lag, max_gaps, is_check=check))


def _status(frame: Frame, max_lag: str | None, max_gaps: int, *, is_check: bool) -> Answer:
    from mdata import shapes
    from mdata.jobs.status import complaints

    settings = frame.loaded.settings
    limit = settings.status_max_lag_minutes * 60 if max_lag is None else duration(max_lag, "--max-lag")
    state = shapes.find_status(settings, frame.clock)
    data = shapes.status(state, shapes.budget(settings, frame.clock))
    reason = "; ".join(complaints(state, limit, max_gaps)) if is_check else ""
    return Answer(3 if reason else 0, reason or None, data, lambda: _show(frame, data, reason, is_check=is_check))


def _show(frame: Frame, data: dict[str, Any], reason: str, *, is_check: bool) -> None:
    from mdata import render

    if is_check:
        render.line(reason or "healthy")
        return
    render.status(data)
    for name in data["absent"]:
        frame.log.warning(f"nothing is stored of {name} yet: run `mdata backfill`")
