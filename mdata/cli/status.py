"""`mdata status`: the screen for people, JSON and tab-separated values for programs, and the health check."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct, duration

if TYPE_CHECKING:
    from mdata.jobs.status import Status


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for beside the common options."""

    check: bool
    max_lag: str | None
    max_gaps: int
    prometheus: Path | None
    narrowed: bool
    json: bool
    quiet: bool


def status(
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 3 unless the store is healthy.")] = False,
    max_lag: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Limit for --check; else STATUS_MAX_LAG_MINUTES.")
    ] = None,
    max_gaps: Annotated[int, typer.Option(metavar="N", min=0, help="Open gaps that --check lets pass.")] = 0,
    prometheus: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write metrics for node_exporter's textfile collector.", show_default=False
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds; q leaves.")] = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Show what is stored, what is missing, and how the jobs went.

    With --check it is the health check: one line, and exit 3 when a series has no data or is too far behind, or gaps
    are open.
    """
    given = Options(env_file, symbol, timeframe, json, quiet, verbose)
    wish = Wish(check, max_lag, max_gaps, prometheus, bool(symbol or timeframe), json, quiet)
    if watch and (check or json or prometheus):
        raise typer.BadParameter("it goes with neither --check, --json nor --prometheus", param_hint="--watch")
    if watch:
        from mdata.cli.watch import watch as watch_it

        conduct("status", given, lambda frame: watch_it(frame, narrowed=wish.narrowed))
    conduct("status", given, lambda frame: _status(frame, wish))


def _status(frame: Frame, wish: Wish) -> Answer:
    from mdata import shapes
    from mdata.jobs.status import complaints, with_next_runs

    settings = frame.loaded.settings
    limit = settings.status_max_lag_minutes * 60 if wish.max_lag is None else duration(wish.max_lag, "--max-lag")
    is_screen = sys.stdout.isatty() and not (wish.json or wish.check or wish.prometheus)
    state = shapes.find_status(settings, frame.clock, narrowed=wish.narrowed, silent=is_screen)
    if is_screen or (wish.json and not wish.check):
        state = with_next_runs(state)
    data = shapes.status(state, shapes.budget(settings, frame.clock))
    reason = "; ".join(complaints(state, limit, wish.max_gaps)) if wish.check else ""
    return Answer(3 if reason else 0, reason or None, data, lambda: _show(frame, state, wish, reason))


def _show(frame: Frame, state: "Status", wish: Wish, reason: str) -> None:
    from mdata import render, shapes

    if wish.check:
        if reason or not wish.quiet:
            render.line(reason or "healthy")
    elif sys.stdout.isatty():
        sys.stdout.write(paint(frame, state))
    else:
        render.status(shapes.status(state, shapes.budget(frame.loaded.settings, frame.clock)))
        for warning in state.warnings:
            frame.log.warning(warning)


def paint(frame: Frame, state: "Status", *, height: int | None = None) -> str:
    """Return the screen, as wide as the terminal is; with a `height`, of no more lines than that."""
    from shutil import get_terminal_size

    from mdata import config, render, screen, shapes

    settings, width = frame.loaded.settings, get_terminal_size().columns
    composed = screen.compose(
        state,
        shapes.budget(settings, frame.clock),
        settings.status_max_lag_minutes * 60,
        width,
        unicode=config.wants_unicode(sys.stdout),
        hint="" if height is None else "q leaves",
    )
    return render.painted(composed.lines() if height is None else composed.cut(height), width)
