"""The calendar of a series as SVG: a column for each week, a row for each weekday, a title for each day."""

from typing import NamedTuple

from markupsafe import Markup

from mdata.domain.calendar import Day, days
from mdata.domain.coverage_bar import Cell, KnownRanges
from mdata.domain.interval import Range
from mdata.domain.timeframe import DAY, TIMEFRAMES, Timeframe, month_index, month_start
from mdata.domain.times import iso

_SIZE = 13  # px from day to day
_LEFT, _TOP = 30, 16
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONDAY = TIMEFRAMES["1W"]

# The sign in a day, which says the same as its colour.
SIGNS: dict[str, str] = {
    "present": "", "empty": "_", "provisional": "~", "in doubt": "?", "unobtainable": "-", "partly unknown": ":",
    "unknown": "•", "lost": "×",
}  # fmt: skip


class Calendar(NamedTuple):
    """The calendar of a year, all years of the series, and how many days have each verdict."""

    svg: Markup
    year: int
    years: list[int]
    counts: list[tuple[str, int]]


def calendar(timeframe: Timeframe, wanted: Range, known: KnownRanges, year: int | None) -> Calendar | None:
    """Return the calendar of a year, by default the newest; None if there is no day to show."""
    if wanted.start >= wanted.end:
        return None
    newest, oldest = _year(wanted.end - 1), _year(wanted.start)
    year = newest if year is None else min(max(year, oldest), newest)
    shown = Range(month_start(year * 12), month_start(year * 12 + 12))
    found = days(timeframe, wanted, known, shown)
    if not found:
        return None
    kinds: list[str] = [day.cell for day in found if day.cell]
    counts = [(sign, kinds.count(sign)) for sign in SIGNS if sign in kinds]
    return Calendar(_svg(found, year, counts), year, list(range(newest, oldest - 1, -1)), counts)


def _year(instant: int) -> int:
    return month_index(instant) // 12


def _svg(found: list[Day], year: int, counts: list[tuple[str, int]]) -> Markup:
    monday = _MONDAY.floor(found[0].start)
    weeks = (found[-1].start - monday) // (7 * DAY) + 1
    told = ", ".join(f"{count} {'day' if count == 1 else 'days'} {cell}" for cell, count in counts)
    drawn = [day for day in found if day.cell]
    parts = [
        Markup('<svg class="calendar" viewBox="0 0 {} {}" role="group" aria-label="{}: {}">').format(
            _LEFT + weeks * _SIZE, _TOP + 7 * _SIZE, year, told
        ),
        *_names(monday, year),
        *(_day(day, monday, is_reached=day is drawn[-1]) for day in drawn if day.cell),
        Markup("</svg>"),
    ]
    return Markup("\n").join(parts)


def _names(monday: int, year: int) -> list[Markup]:
    """Return the months above the weeks, and every other weekday beside them; the titles of the days say the same."""
    months = [
        Markup('<text x="{}" y="11" aria-hidden="true">{}</text>').format(
            _LEFT + (_MONDAY.floor(month_start(year * 12 + month) + 6 * DAY) - monday) // (7 * DAY) * _SIZE, name
        )
        for month, name in enumerate(_MONTHS)
    ]
    weekdays = [
        Markup('<text x="0" y="{}" aria-hidden="true">{}</text>').format(_TOP + row * _SIZE + 10, _WEEKDAYS[row])
        for row in (0, 2, 4, 6)
    ]
    return [*months, *weekdays]


def _day(day: Day, monday: int, *, is_reached: bool) -> Markup:
    """Return a day as a link to it in the chart; the Tab key reaches one day, the arrow keys the other days."""
    cell: Cell | str = day.cell or ""
    week, weekday = divmod((day.start - monday) // DAY, 7)
    x, y = _LEFT + week * _SIZE, _TOP + weekday * _SIZE
    date = iso(day.start)[:10]
    return Markup(
        '<a href="#{date}" class="day" tabindex="{tab}" aria-label="{title}"><title>{title}</title>'
        '<rect x="{x}" y="{y}" width="{size}" height="{size}" class="{kind}"/>{sign}</a>'
    ).format(
        date=date, tab=0 if is_reached else -1, title=f"{_WEEKDAYS[weekday]} {date}: {cell}", x=x, y=y,
        size=_SIZE - 2, kind=cell.replace(" ", "-"), sign=_sign(cell, x, y),
    )  # fmt: skip


def _sign(cell: str, x: int, y: int) -> Markup:
    if not SIGNS[cell]:
        return Markup()
    middle = (_SIZE - 2) / 2
    return Markup('<text x="{}" y="{}" class="sign">{}</text>').format(x + middle, y + middle + 3.5, SIGNS[cell])
