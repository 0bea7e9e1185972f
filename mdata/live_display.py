"""Live output on a terminal while a job runs: a progress bar, and the table of a stream."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mdata.domain.times import human_duration, iso
from mdata.logs import harmless

if TYPE_CHECKING:
    from rich.console import Group

    from mdata.running.context import Progress
    from mdata.streaming.stream_view import StreamView


@contextmanager
def progress_bar() -> "Iterator[Callable[[Progress], None]]":
    """Show the job's progress in a bar on stderr, with the time left at the shared rate.

    It appears with the first report: a job that fetches nothing, or that first waits for a confirmation, shows none.
    """
    from rich import progress as rich_progress
    from rich.console import Console

    bar = rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.TextColumn("{task.completed:.0f}/{task.total:.0f} requests, about {task.fields[left]} left"),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=1, left="?")

    def report(progress: "Progress") -> None:
        bar.start()
        bar.update(
            task,
            description=harmless(progress.at),
            completed=progress.done,
            total=progress.expected,
            left=human_duration(progress.seconds_left),
        )

    try:
        yield report
    finally:
        bar.stop()


@contextmanager
def live_table() -> "Iterator[Callable[[StreamView], None]]":
    """Show a table on the terminal that follows a stream; output on stderr meanwhile appears above it.

    A separate thread draws it, so that a paused terminal (Ctrl-S) does not block the stream.
    """
    import threading

    from rich.console import Console
    from rich.live import Live

    latest: list[StreamView] = []
    news, is_over = threading.Event(), threading.Event()

    def draw() -> None:
        while not is_over.is_set():
            news.wait()
            news.clear()
            for view in latest[-1:]:
                live.update(_stream_table(view), refresh=True)
            is_over.wait(0.25)

    def show(view: "StreamView") -> None:
        latest[:] = [view]
        news.set()

    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        drawer = threading.Thread(target=draw, daemon=True)
        drawer.start()
        try:
            yield show
        finally:
            is_over.set()
            news.set()
            drawer.join(2.0)


def _stream_table(view: "StreamView") -> "Group":
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("series", "price", "last closed candle", "close", "lag"):
        drawn.add_column(column, justify="right" if column in {"price", "close", "lag"} else "left", no_wrap=True)
    for one in view.series:
        closed = one.stored
        cells = [
            one.name,
            f"{one.newest[4]:g}" if one.newest else ("" if one.is_subscribed else "not connected"),
            iso(closed[0]) if closed else "",
            f"{closed[4]:g}" if closed else "",
            "" if one.lag_seconds is None else f"{one.lag_seconds} s",
        ]
        drawn.add_row(*map(Text, map(harmless, cells)))
    return Group(drawn, Text(f"{view.summary}; {human_duration(view.seconds_left)} left"))
