"""The screen of `mdata status` for a person: series with their coverage strips, gaps, jobs, budget, database.

Series take one line each where the terminal is wide enough for a strip beside the figures, two where it is not,
and four where not even the figures fit side by side.
"""

from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from rich.cells import cell_len
from rich.text import Text

from mdata.domain.moment import human_duration, iso
from mdata.domain.strip import Cell, draw
from mdata.jobs import JOBS
from mdata.jobs.status import SeriesState, Status, outcome
from mdata.logs import harmless
from mdata.ratelimit import BudgetView

# A strip beside the figures that is shorter than this tells less than one below them.
_LEAST_STRIP = 24
_LONGEST_STRIP = 100
_LABEL = 10

_GLYPHS: dict[Cell, tuple[str, str, str]] = {
    # What a cell shows: in Unicode, in ASCII, and the colour, which never says anything alone.
    "present": ("█", "#", "green"),
    "empty": ("▁", "_", "cyan"),
    "provisional": ("▄", "~", "yellow"),
    "partly unknown": ("▒", ":", "red"),
    "unknown": ("·", ".", "red"),
    "lost": ("×", "x", "bold red"),
}

_HEADINGS = ("series", "first", "last (UTC)", "lag", "present", "empty", "provis.", "unknown", "gaps")
_FIGURES = ("present", "empty", "provisional", "unknown", "gaps")
# Those that stand at the left; figures stand at the right.
_TEXTS = 3


@dataclass(frozen=True, slots=True)
class Screen:
    """The lines of a screen: what comes before the series, each series, and what comes after them."""

    head: list[Text]
    series: list[list[Text]]
    foot: list[Text]
    troubled: list[bool]

    def lines(self) -> list[Text]:
        """Return all lines."""
        return [*self.head, *(line for block in self.series for line in block), *self.foot]

    def cut(self, height: int) -> list[Text]:
        """Return at most `height` lines: where not all series fit, those with something to look at come first."""
        room = height - len(self.head) - len(self.foot)
        if sum(map(len, self.series)) <= room:
            return self.lines()
        shown: list[Text] = []
        left = len(self.series)
        for block in [block for _, block in sorted(zip(self.troubled, self.series, strict=True), key=_calm_last)]:
            if len(shown) + len(block) >= room:
                break
            shown += block
            left -= 1
        more = Text(f"and {left} more series; without --watch all are shown", style="dim")
        return [*self.head, *shown, more, *self.foot][:height]


def _calm_last(entry: tuple[bool, list[Text]]) -> bool:
    return not entry[0]


def compose(state: Status, rate: BudgetView, max_lag: int, width: int, *, unicode: bool, hint: str = "") -> Screen:
    """Return the screen for a terminal `width` columns wide; `max_lag` (s) is what counts as behind."""
    rows = [_figures(one, max_lag) for one in state.series]
    columns = [max(cell_len(row[place].plain) for row in [*rows, _HEADING_ROW]) for place in range(len(_HEADINGS))]
    beside = width - sum(columns) - 2 * len(columns)
    blocks = [
        _block(one, row, columns, width, beside, unicode=unicode) for one, row in zip(state.series, rows, strict=True)
    ]
    head = [*_title(state, hint, width), Text()]
    if rows and beside >= -2:
        line = _line(_HEADING_ROW, columns)
        if beside >= _LEAST_STRIP:
            line.append("  wanted range")
        line.stylize("dim")
        head.append(line)
    foot = [Text()]
    if rows:
        foot += [*_legend(width, unicode=unicode), Text()]
    for label, text in _facts(state, rate):
        foot += _labelled(label, text, width)
    # A path is never broken: it is there to be copied.
    foot.append(Text().append(f"{'database':{_LABEL}}", style="dim").append(harmless(str(state.path))))
    foot += _labelled("", _database(state), width)
    for sentence in state.warnings:
        foot += _labelled("warning", sentence, width, style="yellow")
    return Screen(head, blocks, foot, [not one.is_complete or one.is_stale(max_lag) for one in state.series])


def _title(state: Status, hint: str, width: int) -> list[Text]:
    count = sum(not one.is_retired for one in state.series) + len(state.absent)
    complete = sum(one.is_complete for one in state.series if not one.is_retired)
    verdict = f"{complete} of {count} series complete" if count else "no series"
    parts = [
        Text("mdata", style="bold"),
        Text(f"{iso(state.now)[:19].replace('T', ' ')} UTC", style="dim"),
        Text(verdict, style="green" if complete == count else "yellow"),
    ]
    return _folded([*parts, Text(hint, style="dim")] if hint else parts, width, "  ", "")


def _figures(one: SeriesState, max_lag: int) -> list[Text]:
    counts = one.counts
    lag = Text(human_duration(one.lag_seconds), style="red" if one.is_stale(max_lag) else "")
    if one.is_retired:
        lag = Text("retired", style="dim")
    elif one.is_quiet:
        lag = Text("quiet", style="dim")
    elif one.has_no_data:
        lag = Text("no data", style="red")
    return [
        Text(harmless(one.series.name), style="bold"),
        Text(_instant(counts.first)[:10]),
        Text(_instant(counts.last)),
        lag,
        Text(f"{counts.present:,}"),
        Text(f"{counts.empty:,}"),
        Text(f"{counts.provisional:,}"),
        Text(f"{counts.unknown:,}", style="red" if counts.unknown else ""),
        Text(f"{one.gaps.unresolved:,}", style="red" if one.gaps.unresolved else ""),
    ]


_HEADING_ROW = [Text(heading) for heading in _HEADINGS]


def _block(
    one: SeriesState, row: list[Text], columns: list[int], width: int, beside: int, *, unicode: bool
) -> list[Text]:
    if beside >= _LEAST_STRIP:
        return [_line(row, columns).append("  ").append_text(_strip(one, beside, unicode=unicode))]
    strip = Text("  ").append_text(_strip(one, width - 2, unicode=unicode))
    if beside >= -2:
        return [_line(row, columns), strip]
    name, first, last, lag, *figures = row
    about = [
        Text(f"{heading} ").append_text(figure) for heading, figure in zip(_FIGURES, figures, strict=True)
    ]  # fmt: skip
    since = Text(f"  {first.plain} to {last.plain} UTC")
    return [Text("  ").join([name, Text("lag ").append_text(lag)]), since, *_folded(about, width, ", ", "  "), strip]


def _folded(parts: list[Text], width: int, between: str, indent: str) -> list[Text]:
    """Put parts side by side, on as many lines as they need."""
    lines: list[Text] = []
    for part in parts:
        if lines and cell_len(lines[-1].plain) + len(between) + cell_len(part.plain) <= width:
            lines[-1].append(between).append_text(part)
        else:
            lines.append(Text(indent).append_text(part))
    return lines


def _line(row: list[Text], columns: list[int]) -> Text:
    line = Text()
    for place, (cell, size) in enumerate(zip(row, columns, strict=True)):
        padding = " " * (size - cell_len(cell.plain))
        line.append("  " if place else "")
        line.append_text(cell).append(padding) if place < _TEXTS else line.append(padding).append_text(cell)
    return line


def _strip(one: SeriesState, width: int, *, unicode: bool) -> Text:
    if one.series.first_candle is None:
        return Text("the exchange has no candle of it yet"[: max(0, width)], style="dim")
    drawn = Text()
    cells = draw(one.series.timeframe, one.counts.wanted, one.known, min(width, _LONGEST_STRIP))
    for cell, run in groupby(cells):
        glyph, plain, style = _GLYPHS[cell]
        drawn.append((glyph if unicode else plain) * len(list(run)), style=style)
    return drawn


def _legend(width: int, *, unicode: bool) -> list[Text]:
    marks = [Text().append("wanted range, oldest first:", style="dim")]
    for cell, (glyph, plain, style) in _GLYPHS.items():
        marks.append(Text().append(glyph if unicode else plain, style=style).append(f" {cell}", style="dim"))
    return _folded(marks, width, "  ", "")


def _facts(state: Status, rate: BudgetView) -> list[tuple[str, str]]:
    """Return the lines about the whole store: a label, and a sentence."""
    facts = [("gaps", _gaps(state))]
    commands = [one for one in JOBS if one in state.jobs or one in state.running or one in (state.next_runs or {})]
    size = max(map(len, commands), default=0)
    for place, command in enumerate(commands):
        facts.append(("" if place else "jobs", f"{command:{size}}  {_job(state, command)}"))
    if not commands:
        facts.append(("jobs", "none has run yet: `mdata backfill` is the first"))
    return [*facts, ("budget", _budget(state, rate))]


def _database(state: Status) -> str:
    log = f" and {_size(state.wal_bytes)} of log" if state.wal_bytes else ""
    return (f"{_size(state.bytes)}{log}" if state.bytes else "not there yet") + f", SQLite {state.sqlite_version}"


def _gaps(state: Status) -> str:
    gaps = state.gaps
    parts = [f"{gaps.open:,} open, {gaps.failed:,} given up, {gaps.repaired:,} repaired, {gaps.empty:,} proven empty"]
    if gaps.oldest_at is not None:
        parts.append(f"the oldest was found {_ago(state.now, gaps.oldest_at)}")
    if gaps.next_attempt_at is not None:
        is_due = gaps.next_attempt_at <= state.now
        parts.append("`mdata repair` may ask " + ("now" if is_due else _in(state.now, gaps.next_attempt_at)))
    return "; ".join(parts)


def _job(state: Status, command: str) -> str:
    parts = []
    last = state.jobs.get(command)
    if command in state.running:
        parts.append(f"at work since {(state.running[command] or '?')[11:16]} UTC")
    elif last is not None:
        how = outcome(state, command)
        parts.append(f"{how} {_ago(state.now, last.finished_at or last.started_at)}")
    else:
        parts.append("has not run yet")
    if last is not None and last.outcome not in {"ok", "partial", "running", "skipped"}:
        well = "never" if last.success_at is None else _ago(state.now, last.success_at)
        parts.append(f"last went well {well}")
    if state.next_runs is not None:
        following = state.next_runs.get(command)
        parts.append("no next run" if following is None else f"next {_in(state.now, following)}")
    return ", ".join(parts)


def _budget(state: Status, rate: BudgetView) -> str:
    text = f"one request in {rate.delay_seconds:g} s"
    if rate.blocked_until is not None:
        text += f"; blocked until {_instant(rate.blocked_until)} UTC, {_in(state.now, rate.blocked_until)}"
    elif rate.next_request_at is not None:
        text += f"; the next one is free {_in(state.now, rate.next_request_at)}"
    else:
        text += "; the next one is free now"
    return text + (f"; waiting: {', '.join(rate.waiting)}" if rate.waiting else "; nobody waits")


def _labelled(label: str, sentence: str, width: int, style: str = "") -> list[Text]:
    room = max(20, width - _LABEL)
    lines = wrap(harmless(sentence), room, break_on_hyphens=False) or [""]
    labels = [label, *("" for _ in lines[1:])]
    return [
        Text().append(f"{name:{_LABEL}}", style="dim").append(line, style=style)
        for name, line in zip(labels, lines, strict=True)
    ]


def _instant(instant: int | None) -> str:
    return "-" if instant is None else iso(instant)[:16].replace("T", " ")


def _ago(now: int, instant: int) -> str:
    return f"{human_duration((now - instant) / 1000)} ago"


def _in(now: int, instant: int) -> str:
    return f"in {human_duration((instant - now) / 1000)}" if instant > now else "now"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
