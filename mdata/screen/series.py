"""What the screen shows of each series: figures, and a strip of its wanted range.

A series takes one line if the terminal is wide enough for a strip beside the figures, two if it is not, and four if
not even the figures fit side by side.
"""

from itertools import groupby
from typing import Literal, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from mdata.domain.coverage_bar import Cell, draw
from mdata.domain.times import iso
from mdata.fetching.wanted import target_of
from mdata.jobs.status import SeriesState
from mdata.logs import harmless
from mdata.screen.words import folded, last_seen, short_duration

# If a strip beside the figures would be shorter than this, it goes below them.
_LEAST_STRIP = 24
_LONGEST_STRIP = 100

_GLYPHS: dict[Cell, tuple[str, str, str]] = {
    # The sign of a cell in Unicode and ASCII, and its colour, which says the same as the sign.
    "present": ("█", "#", "green"),
    "empty": ("▁", "_", "cyan"),
    "provisional": ("▄", "~", "yellow"),
    "in doubt": ("?", "?", "yellow"),
    "unobtainable": ("╌", "-", "dim"),
    "partly unknown": ("▒", ":", "red"),
    "unknown": ("·", ".", "red"),
    "lost": ("×", "x", "bold red"),
}

_HEADINGS = ("series", "first", "last (UTC)", "lag", "present", "empty", "provis.", "unknown", "gaps")
_FIGURES = ("present", "empty", "provisional", "unknown", "gaps")
# The first columns are aligned to the left, figures to the right.
_TEXTS = 3

Row = list[Text]


class Layout(NamedTuple):
    """Where the strip goes, the widths of the strip and of the columns, and the space between columns."""

    strip: Literal["beside", "below", "stacked"]
    length: int
    columns: list[int]
    gap: int
    width: int


def layout(rows: list[Row], width: int) -> Layout:
    """Return the layout of rows of figures on a terminal `width` columns wide."""
    headings = [Text(heading) for heading in _HEADINGS]
    columns = [max(cell_len(cell.plain) for cell in column) for column in zip(headings, *rows, strict=True)]
    beside = width - sum(columns) - 2 * len(columns)
    if beside >= _LEAST_STRIP:
        return Layout("beside", min(beside, _LONGEST_STRIP), columns, 2, width)
    below = min(width - 2, _LONGEST_STRIP)
    for gap in (2, 1):
        if sum(columns) + gap * (len(columns) - 1) <= width:
            return Layout("below", below, columns, gap, width)
    return Layout("stacked", below, columns, 1, width)


def figures(one: SeriesState, max_lag: int, now: int) -> Row:
    """Return the figures of a series; `max_lag` (s) is the largest acceptable lag."""
    counts = one.counts
    return [
        Text(harmless(target_of(one.series).as_written), style="bold"),
        Text("-" if counts.first is None else iso(counts.first)[:10]),
        Text(last_seen(counts.last, now)),
        _lag(one, max_lag),
        Text(f"{counts.present:,}"),
        Text(f"{counts.empty:,}"),
        Text(f"{counts.provisional:,}"),
        Text(f"{counts.unknown:,}", style="red" if counts.unknown else ""),
        Text(f"{one.gaps.unresolved:,}", style="red" if one.gaps.unresolved else ""),
    ]


def _lag(one: SeriesState, max_lag: int) -> Text:
    if one.is_retired:
        return Text("retired", style="dim")
    if one.is_delisted:
        return Text("delisted", style="dim")
    if one.is_quiet:
        return Text("quiet", style="dim")
    if one.has_no_data:
        return Text("no data", style="red")
    return Text(short_duration(one.lag_seconds), style="red" if one.is_stale(max_lag) else "")


def heading(plan: Layout) -> list[Text]:
    """Return the headings, if the series are in columns."""
    if plan.strip == "stacked":
        return []
    line = _line([Text(heading) for heading in _HEADINGS], plan)
    if plan.strip == "beside":
        line.append("  wanted range")
    line.stylize("dim")
    return [line]


def block(one: SeriesState, row: Row, plan: Layout, *, unicode: bool) -> list[Text]:
    """Return the lines of one series."""
    strip = _strip(one, plan.length, unicode=unicode)
    if plan.strip == "beside":
        return [_line(row, plan).append("  ").append_text(strip)]
    below = Text("  ").append_text(strip)
    if plan.strip == "below":
        return [_line(row, plan), below]
    name, first, last, lag, *counts = row
    told = [Text(f"{what} ").append_text(count) for what, count in zip(_FIGURES, counts, strict=True)]
    return [
        Text("  ").join([name, Text("lag ").append_text(lag)]),
        Text(f"  {first.plain} to {last.plain} UTC"),
        *folded(told, plan.width, ", ", "  "),
        below,
    ]


def legend(width: int, *, unicode: bool) -> list[Text]:
    """Return the meaning of the signs in the strips."""
    marks = [Text().append("wanted range, oldest first:", style="dim")]
    for cell, (glyph, plain, style) in _GLYPHS.items():
        marks.append(Text().append(glyph if unicode else plain, style=style).append(f" {cell}", style="dim"))
    return folded(marks, width, "  ", "")


def _line(row: Row, plan: Layout) -> Text:
    line = Text()
    for place, (cell, size) in enumerate(zip(row, plan.columns, strict=True)):
        padding = " " * (size - cell_len(cell.plain))
        line.append(" " * plan.gap if place else "")
        line.append_text(cell).append(padding) if place < _TEXTS else line.append(padding).append_text(cell)
    return line


def _strip(one: SeriesState, length: int, *, unicode: bool) -> Text:
    if one.counts.last is None:
        return Text("the exchange has no candles for it yet"[: max(0, length)], style="dim")
    drawn = Text()
    for cell, run in groupby(draw(one.series.timeframe, one.counts.wanted, one.known, length)):
        glyph, plain, style = _GLYPHS[cell]
        drawn.append((glyph if unicode else plain) * len(list(run)), style=style)
    return drawn
