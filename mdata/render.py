"""Output: tables and colours for a terminal, tab-separated values for a pipe."""

import re
import sys
from typing import TYPE_CHECKING, Any

from mdata.domain.times import human_duration
from mdata.logs import harmless

if TYPE_CHECKING:
    from rich.text import Text

    from mdata.fetching.wanted import Planned

_MINUTE = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d):[\d.]+Z$")
_INSTANT = re.compile(r"^(\d{4}-\d\d-\d\d)T([\d:.]+Z)$")


def line(text: str) -> None:
    """Print one line of data."""
    sys.stdout.write(harmless(text) + "\n")


def note(text: str) -> None:
    """Print a message, which is not data, on stderr."""
    sys.stderr.write(harmless(text) + "\n")


def table(columns: list[str], rows: list[list[Any]]) -> None:
    """Print rows: aligned under headings on a terminal, tab-separated with a heading line in a pipe."""
    texts = [["" if cell is None else harmless(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in [columns, *texts]:
            sys.stdout.write("\t".join(row) + "\n")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    # Columns without any value are left out to save room, unless the table has no rows.
    shown = [position for position in range(len(columns)) if not rows or any(row[position] for row in texts)]
    for position in shown:
        is_number = bool(rows) and all(isinstance(row[position], int | float) for row in rows)
        has_instants = any(_INSTANT.match(row[position]) for row in texts)
        drawn.add_column(
            columns[position].replace("_", " "),
            justify="right" if is_number else "left",
            overflow="fold",
            # In a narrow terminal, lines break at blanks: in sentences, headings, and after a date.
            min_width=len("2026-11-02") if has_instants else None,
        )
    for row in texts:
        drawn.add_row(*(Text(_INSTANT.sub(r"\1 \2", row[position])) for position in shown))
    Console(highlight=False).print(drawn)


def table_with_exchange(columns: list[str], rows: list[list[Any]]) -> None:
    """Print rows whose last column is the exchange, which a person reads in the name of a series already."""
    if sys.stdout.isatty():
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    table(columns, rows)


def listing(columns: list[str], rows: list[list[Any]], sentences: list[str | None]) -> None:
    """Print rows for a person, each with its sentence below it; columns without a value other than 0 are left out.

    Instants are shown to the minute, so that a line fits an ordinary terminal.
    """
    if not rows:
        note("none")
        return
    import shutil
    from textwrap import wrap

    texts = [[_MINUTE.sub(r"\1 \2", "" if cell is None else harmless(str(cell))) for cell in row] for row in rows]
    shown = [position for position in range(len(columns)) if any(row[position] for row in rows)]
    widths = {position: max(len(row[position]) for row in [columns, *texts]) for position in shown}
    numbers = {position for position in shown if isinstance(rows[0][position], int)}
    room = max(20, shutil.get_terminal_size().columns - 4)
    for row, sentence in zip([columns, *texts], [None, *sentences], strict=True):
        cells = (row[at].rjust(widths[at]) if at in numbers else row[at].ljust(widths[at]) for at in shown)
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
        sys.stdout.writelines(f"    {part}\n" for part in wrap(harmless(sentence or ""), room))


def painted(lines: "list[Text]", width: int) -> str:
    """Return lines formatted for a terminal of `width` columns, with colours if it supports them."""
    from rich.console import Console

    console = Console(highlight=False, width=width)
    with console.capture() as captured:
        for text in lines:
            console.print(text, no_wrap=True, overflow="ignore", crop=False)
    return captured.get()


def plan_table(planned: "list[Planned]") -> None:
    """Show what a run would fetch: sizes in MB on a terminal, in bytes in a pipe."""
    is_person = sys.stdout.isatty()
    rows = [
        [
            *(one.target.as_written, one.intervals, one.estimate.requests, human_duration(one.estimate.seconds)),
            *(f"{one.estimate.bytes / 1e6:.1f} MB" if is_person else one.estimate.bytes, one.target.venue.name),
        ]
        for one in planned
    ]
    table_with_exchange(
        ["series", "unknown intervals", "requests", "time", "size" if is_person else "bytes", "exchange"], rows
    )
    requests = sum(one.estimate.requests for one in planned)
    seconds = sum(one.estimate.seconds for one in planned)
    total = sum(one.estimate.bytes for one in planned)
    note(f"at most {requests} requests, {human_duration(seconds)} at the shared rate, {total / 1e6:.1f} MB")


def status(data: dict[str, Any]) -> None:
    """Print the state of every series as tab-separated values."""
    columns = ["symbol", "timeframe", "first", "last", "candles", "empty", "provisional", "unknown", "gaps", "lag"]
    table([*columns, "state", "exchange"], [_series_row(one) for one in data["series"]])


def _series_row(one: dict[str, Any]) -> list[Any]:
    state = "retired" if one["retired"] else ("complete" if one["complete"] else "incomplete")
    return [
        *(one["symbol"], one["timeframe"], one["first"], one["last"], one["candles"]),
        *(one["empty"], one["provisional"], one["unknown"], one["gaps_open"]),
        *(human_duration(one["lag_seconds"]), state, one["exchange"]),
    ]
