"""The chart of `mdata chart`: a column for each interval, prices above, volume and the ledger's verdicts below."""

from typing import NamedTuple

from rich.text import Text

from mdata.domain.candle import Candle
from mdata.domain.timeframe import DAY
from mdata.domain.times import iso
from mdata.domain.view import Verdict
from mdata.exchange.registry import qualified
from mdata.jobs.chart import Chart
from mdata.screen.words import folded

VOLUME_ROWS = 3
# Room for the prices at the right.
AXIS = 11
# Columns between two times that are written below the chart.
_TICK = 17

# What half of a cell contains: nothing, a wick, or the body. The signs are for the upper and the lower half.
_NOTHING, _WICK, _BODY = range(3)
_ROSE = {
    (0, 0): " ", (1, 1): "│", (2, 2): "┃", (0, 1): "╷", (1, 0): "╵", (0, 2): "╻", (2, 0): "╹", (1, 2): "╽",
    (2, 1): "╿",
}  # fmt: skip
_FELL = _ROSE | {(2, 2): "█", (0, 2): "▄", (2, 0): "▀", (1, 2): "▄", (2, 1): "▀"}
_BARS = " ▁▂▃▄▅▆▇█"
_SIGNS: dict[Verdict, tuple[str, str, str]] = {
    "lost": ("×", "x", "bold red"),
    "unknown": ("·", ".", "red"),
    "in doubt": ("?", "?", "yellow"),
    "unobtainable": ("╌", "-", "dim"),
    "provisional": ("▄", "~", "yellow"),
    "empty": ("▁", "_", "cyan"),
}
_PRESENT = ("█", "#", "green")


class _Column(NamedTuple):
    """One interval: its candle and its verdict, if it has one."""

    open_time: int
    candle: Candle | None
    verdict: Verdict | None


def draw(chart: Chart, rows: int, width: int, *, unicode: bool) -> list[Text]:
    """Return the lines of a chart whose prices take `rows` lines."""
    columns = _columns(chart)
    candles = [column.candle for column in columns if column.candle]
    if not candles:
        return [*_title(chart, candles, width), Text("no candle in this range"), *_ledger(columns, unicode=unicode)]
    return [
        *_title(chart, candles, width),
        *_prices(columns, candles, rows, unicode=unicode),
        *_volumes(columns, candles, unicode=unicode),
        *_ledger(columns, unicode=unicode),
        _times(columns, chart.bucket.step),
    ]


def legend(charts: list[Chart], width: int, *, unicode: bool) -> list[Text]:
    """Return the meaning of the used signs."""
    used = {stretch.verdict for chart in charts for stretch in chart.view.stretches}
    rose, fell = ("┃", "█") if unicode else ("o", "#")
    parts = [
        Text(f"{rose} rose", style="dim"),
        Text(f"{fell} fell", style="dim"),
        Text("coverage line:", style="dim"),
    ]
    signs: list[tuple[str, tuple[str, str, str]]] = [("present", _PRESENT)]
    signs += [(name, sign) for name, sign in _SIGNS.items() if name in used]
    for name, (glyph, plain, style) in signs:
        parts.append(Text().append(glyph if unicode else plain, style=style).append(f" {name}", style="dim"))
    return folded(parts, width, "  ", "")


def _columns(chart: Chart) -> list[_Column]:
    found = {candle[0]: candle for candle in chart.view.rows}
    stretches = list(chart.view.stretches)
    columns = []
    for open_time in chart.bucket.open_times(*chart.shown):
        while stretches and stretches[0].end <= open_time:
            del stretches[0]
        inside = stretches and stretches[0].start <= open_time
        columns.append(_Column(open_time, found.get(open_time), stretches[0].verdict if inside else None))
    return columns


def _title(chart: Chart, candles: list[Candle], width: int) -> list[Text]:
    name = Text(f"{qualified(chart.series.exchange, chart.series.symbol)} {chart.bucket.name}", style="bold")
    start, end = (iso(instant)[:16].replace("T", " ") for instant in chart.shown)
    parts = [name, Text(f"{start} to {end} UTC", style="dim")]
    if candles:
        parts.append(Text(f"{len(candles):,} candles, last {candles[-1][4]:,.10g}"))
    if chart.bucket != chart.series.timeframe:
        parts.append(Text(f"aggregated from {chart.series.timeframe.name}", style="dim"))
    return folded(parts, width, "  ", "")


def _prices(columns: list[_Column], candles: list[Candle], rows: int, *, unicode: bool) -> list[Text]:
    top, bottom = max(candle[2] for candle in candles), min(candle[3] for candle in candles)
    scale = (top - bottom) / (2 * rows) or 1.0
    lines = []
    for row in range(rows):
        line = Text()
        for column in columns:
            line.append(*_cell(column.candle, top - 2 * row * scale, scale, unicode=unicode))
        if row % 4 == 0 or row == rows - 1:
            price = price_text(top - (2 * row + 1) * scale)
            line.append(f" {'┤' if unicode else '|'} {price}", style="dim")
        lines.append(line)
    return lines


def price_text(value: float) -> str:
    """Return a price with at most seven significant digits, and fewer if they do not fit beside the chart."""
    room = AXIS - 3
    texts = [f"{value:,.{digits}g}" for digits in range(7, 1, -1)]
    if value >= 1e6:
        texts.insert(0, f"{value:.0f}")
    return next((text for text in texts if len(text) <= room), texts[-1])


def _cell(candle: Candle | None, top: float, scale: float, *, unicode: bool) -> tuple[str, str]:
    """Return the sign for a candle in a cell that reaches from `top` down by twice `scale`, and its colour."""
    if candle is None:
        return " ", ""
    _, open_, high, low, close, _ = candle
    rose = close >= open_
    halves = tuple(
        _half((low, high), (min(open_, close), max(open_, close)), (top - (place + 1) * scale, top - place * scale))
        for place in range(2)
    )
    if not unicode:
        return " |"[max(halves) > 0] if max(halves) < _BODY else ("o" if rose else "#"), "green" if rose else "red"
    glyph = (_ROSE if rose else _FELL)[halves]  # type: ignore[index]  # of two
    return glyph, "" if glyph == " " else "green" if rose else "red"


def _half(wick: tuple[float, float], body: tuple[float, float], cell: tuple[float, float]) -> int:
    """Return what to draw in half a cell: what is at its middle, or a body that lies completely inside the half."""
    bottom, top = cell
    middle = (bottom + top) / 2
    if body[0] <= middle <= body[1] or bottom <= body[0] <= body[1] <= top:
        return _BODY
    return _WICK if wick[0] <= middle <= wick[1] else _NOTHING


def _volumes(columns: list[_Column], candles: list[Candle], *, unicode: bool) -> list[Text]:
    largest = max(candle[5] for candle in candles)
    lines = []
    for row in range(VOLUME_ROWS):
        line = Text()
        for column in columns:
            share = column.candle[5] / largest * VOLUME_ROWS if column.candle else 0.0
            filled = min(1.0, max(0.0, share - (VOLUME_ROWS - 1 - row)))
            # Even the smallest volume must be visible.
            least = 1 if column.candle and row == VOLUME_ROWS - 1 else 0
            line.append(_BARS[max(least, round(filled * 8))] if unicode else " :"[filled >= 0.5 or least])
        line.stylize("blue")
        if row == 0:
            line.append(f" {'┤' if unicode else '|'} {largest:,.{0 if largest >= 1000 else 3}f}", style="dim")
        lines.append(line)
    return lines


def _ledger(columns: list[_Column], *, unicode: bool) -> list[Text]:
    line = Text()
    for column in columns:
        glyph, plain, style = (
            _SIGNS[column.verdict] if column.verdict else (_PRESENT if column.candle else (" ", " ", ""))
        )
        line.append(glyph if unicode else plain, style=style)
    return [line]


def _times(columns: list[_Column], step: int) -> Text:
    """Return times below their columns; with the date if it changes, or if the columns are days."""
    text, day = "", ""
    for place in range(0, len(columns), _TICK):
        if place + _TICK > len(columns) and place:
            break
        date, time = iso(columns[place].open_time)[:16].split("T")
        is_plain = date == day and step and step < DAY
        text = text.ljust(place) + (
            "|" + (time if is_plain else date if not step or step >= DAY else f"{date[5:]} {time}")
        )
        day = date
    return Text(text, style="dim")
