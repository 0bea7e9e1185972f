"""The screen of `mdata status` for a person: a title, the series with their strips, and the whole store below."""

from dataclasses import dataclass

from rich.text import Text

from mdata.jobs.status import Status
from mdata.ratelimit import BudgetView
from mdata.screen import store
from mdata.screen.series import block, figures, heading, layout, legend
from mdata.screen.words import date_and_time, folded


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
        """Return at most `height` lines: if not all series fit, those that need attention come first."""
        room = height - len(self.head) - len(self.foot)
        if sum(map(len, self.series)) <= room:
            return self.lines()
        shown: list[Text] = []
        left = len(self.series)
        for _, lines in sorted(zip(self.troubled, self.series, strict=True), key=lambda entry: not entry[0]):
            if len(shown) + len(lines) >= room:
                break
            shown += lines
            left -= 1
        more = Text(f"and {left} more series; without --watch all are shown", style="dim")
        return [*self.head, *shown, more, *self.foot][:height]


def compose(state: Status, rate: BudgetView, max_lag: int, width: int, *, unicode: bool, hint: str = "") -> Screen:
    """Return the screen for a terminal `width` columns wide; `max_lag` (s) is the largest acceptable lag."""
    rows = [figures(one, max_lag, state.now) for one in state.series]
    plan = layout(rows, width)
    foot = [Text(), *legend(width, unicode=unicode), Text()] if rows else []
    return Screen(
        head=[*_title(state, hint, width), Text(), *(heading(plan) if rows else [])],
        series=[block(one, row, plan, unicode=unicode) for one, row in zip(state.series, rows, strict=True)],
        foot=[*foot, *store.lines(state, rate, width)],
        troubled=[not one.is_retired and (not one.is_complete or one.is_stale(max_lag)) for one in state.series],
    )


def _title(state: Status, hint: str, width: int) -> list[Text]:
    count = sum(not one.is_retired for one in state.series) + len(state.absent)
    complete = sum(one.is_complete for one in state.series if not one.is_retired)
    parts = [
        Text("mdata", style="bold"),
        Text(f"{date_and_time(state.now)} UTC", style="dim"),
        Text(f"{complete} of {count} series complete", style="green" if complete == count else "yellow"),
    ]
    return folded([*parts, Text(hint, style="dim")] if hint else parts, width, "  ", "")
