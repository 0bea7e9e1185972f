"""`mdata stream`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct, duration

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from mdata.cli.lines import Lines
    from mdata.domain.venue import Venue
    from mdata.exchange.adapter import Line
    from mdata.jobs.standing import View
    from mdata.jobs.stream import Outside


def stream(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="Stream for this long; else STREAM_DURATION_MINUTES.",
            show_default=False,
        ),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Print closed candles as JSON Lines, as they are committed.")
    ] = False,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Store candles as they close, by WebSocket, for a while.

    It catches up by REST first, and after every cut. What it stores is provisional: `update` and `backfill` confirm
    it when it has settled.
    """
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    patience = duration(wait_lock, "--wait-lock")
    seconds = None if for_ is None else duration(for_, "--for")
    if seconds == 0:
        raise typer.BadParameter("a stream lasts at least a second", param_hint="--for")
    wants_table = not (json or lines or quiet or verbose)
    conduct(
        "stream", given, lambda frame: _stream(frame, patience, seconds, wants_table, wants_lines=lines), is_job=True
    )


def _stream(frame: Frame, patience: int, seconds: int | None, wants_table: bool, *, wants_lines: bool) -> Answer:
    import threading

    from mdata.cli.endings import ending
    from mdata.cli.frame import closing_line, job_answer
    from mdata.cli.jobs import context
    from mdata.clock import HaltingClock
    from mdata.jobs.context import Limits
    from mdata.jobs.stream import stream as work
    from mdata.locks import command_lock

    settings, halt = frame.loaded.settings, threading.Event()
    lasting = settings.stream_duration_minutes * 60 if seconds is None else seconds
    ours = frame._replace(clock=HaltingClock(frame.clock, halt))
    with (
        command_lock(settings.database_path, "stream", patience, frame.clock),
        _table(ours, wanted=wants_table) as (ours, show),
        _lines(frame, wanted=wants_lines) as printed,
        context(ours, Limits(), shows_progress=False) as given,
    ):
        result = work(given, _outside(ours, halt, show, printed), lasting)
        line = ending(frame, given.store, result)
    closing_line(frame.log, result.exit, line)
    return job_answer(result)


def _outside(
    frame: Frame, halt: "threading.Event", show: "Callable[[View], None]", printed: "Lines | None"
) -> "Outside":
    import random

    from mdata.config.systemd import notify_socket
    from mdata.errors import UnreachableError
    from mdata.exchange import registry
    from mdata.jobs.stream import Outside
    from mdata.notify import Notifier

    settings, clock = frame.loaded.settings, frame.clock
    tell = (lambda *_: None) if printed is None else printed.tell

    def connect(venue: "Venue") -> "AbstractContextManager[Line]":
        open_stream = registry.adapter(venue).open_stream
        if open_stream is None:
            raise UnreachableError(f"{venue.title} has no stream of candles")
        return open_stream().connect(settings.stream_url(venue), clock.now)

    return Outside(connect, random.SystemRandom().uniform, halt, Notifier(notify_socket()), show, tell)


@contextmanager
def _table(frame: Frame, *, wanted: bool) -> "Iterator[tuple[Frame, Callable[[View], None]]]":
    """Show a live table, in the place of all log lines but warnings, to a person on a terminal who wants no other."""
    from mdata import config

    if not (wanted and sys.stdout.isatty() and sys.stderr.isatty() and config.wants_colour()):
        yield frame, lambda _: None
        return

    from mdata.logs import StderrLog
    from mdata.render import live_table

    with live_table() as show:
        # The table moves what is written to stderr above itself.
        yield frame._replace(log=StderrLog(sys.stderr, "WARNING", priorities=False)), show


@contextmanager
def _lines(frame: Frame, *, wanted: bool) -> "Iterator[Lines | None]":
    if not wanted:
        yield None
        return
    from mdata.cli.lines import Lines

    with Lines(sys.stdout.fileno(), frame.log.warning) as printed:
        yield printed
