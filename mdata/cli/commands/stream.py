"""`mdata stream`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct, duration

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from mdata.cli.candle_lines import Lines
    from mdata.domain.venue import Venue
    from mdata.exchange.protocols import Line
    from mdata.jobs.stream import Outside
    from mdata.streaming.stream_view import StreamView


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
            help="Stream for this long; default: STREAM_DURATION_MINUTES.",
            show_default=False,
        ),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Print each closed candle as a line of JSON when it is committed.")
    ] = False,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Store candles by WebSocket as they close, for a limited time.

    Catches up by REST at the start and after every disconnect. What it stores is provisional until `update` or
    `backfill` fetches it again by REST, after it has settled.
    """
    given = Options(env_file, common.both(symbols, symbol), timeframe, json, quiet, verbose)
    patience = duration(wait_lock, "--wait-lock")
    seconds = None if for_ is None else duration(for_, "--for")
    if seconds == 0:
        raise typer.BadParameter("a stream must run for at least one second", param_hint="--for")
    wants_table = not (json or lines or quiet or verbose)
    conduct("stream", given, lambda kit: _stream(kit, patience, seconds, wants_table, wants_lines=lines), is_job=True)


def _stream(kit: Kit, patience: int, seconds: int | None, wants_table: bool, *, wants_lines: bool) -> Answer:
    import threading

    from mdata.cli.closing import ending
    from mdata.cli.entry import closing_line, job_answer
    from mdata.cli.job_run import context
    from mdata.clock import HaltingClock
    from mdata.jobs.stream import stream as work
    from mdata.locks import command_lock
    from mdata.running.context import Limits

    settings, halt = kit.loaded.settings, threading.Event()
    lasting = settings.stream_duration_minutes * 60 if seconds is None else seconds
    ours = kit._replace(clock=HaltingClock(kit.clock, halt))
    with (
        command_lock(settings.database_path, "stream", patience, kit.clock),
        _table(ours, wanted=wants_table) as (ours, show),
        _lines(kit, wanted=wants_lines) as printed,
        context(ours, Limits(), shows_progress=False) as given,
    ):
        result = work(given, _outside(ours, halt, show, printed), lasting)
        line = ending(kit, given.store, result)
    closing_line(kit.log, result.exit, line)
    return job_answer(result)


def _outside(
    kit: Kit, halt: "threading.Event", show: "Callable[[StreamView], None]", printed: "Lines | None"
) -> "Outside":
    from mdata.chance import uniform
    from mdata.config.systemd import notify_socket
    from mdata.errors import UnreachableError
    from mdata.exchange import registry
    from mdata.jobs.stream import Outside
    from mdata.service_manager import Notifier

    settings, clock = kit.loaded.settings, kit.clock
    tell = (lambda *_: None) if printed is None else printed.tell

    def connect(venue: "Venue") -> "AbstractContextManager[Line]":
        open_stream = registry.adapter(venue).open_stream
        if open_stream is None:
            raise UnreachableError(f"{venue.title} has no stream of candles")
        return open_stream().connect(settings.stream_url(venue), clock.now)

    return Outside(connect, uniform, halt, Notifier(notify_socket()), show, tell)


@contextmanager
def _table(kit: Kit, *, wanted: bool) -> "Iterator[tuple[Kit, Callable[[StreamView], None]]]":
    """On a terminal, show a live table instead of log lines (except warnings), unless another output was chosen."""
    from mdata import config

    if not (wanted and sys.stdout.isatty() and sys.stderr.isatty() and config.wants_colour()):
        yield kit, lambda _: None
        return

    from mdata.live_display import live_table
    from mdata.logs import StderrLog

    with live_table() as show:
        # Text that is written to stderr appears above the table.
        yield kit._replace(log=StderrLog(sys.stderr, "WARNING", priorities=False)), show


@contextmanager
def _lines(kit: Kit, *, wanted: bool) -> "Iterator[Lines | None]":
    if not wanted:
        yield None
        return
    from mdata.cli.candle_lines import Lines

    with Lines(sys.stdout.fileno(), kit.log.warning) as printed:
        yield printed
